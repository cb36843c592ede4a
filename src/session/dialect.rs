//! Sessions whose texts are not to be read as `sql` reads them: a backslash may escape a quote in any string
//! (`standard_conforming_strings = off`), or the bytes of ASCII may be parts of other characters (`client_encoding`).
//!
//! A text of such a session in which that may matter is taken for one that cannot be read.

use crate::server::settings::{Settings, Value};
use crate::session::ours::value::{plain, switch};
use crate::sql::settings::{Action, Change};
use crate::sql::{Effects, Verdict};

/// How the texts of a session are written. What has been unusual once stays so: prepared statements do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dialect {
    #[default]
    Usual,
    /// What is on its way may make it unusual.
    Suspect,
    Unusual,
}

/// The parameters that decide it.
const DECISIVE: [&str; 2] = ["client_encoding", "standard_conforming_strings"];

/// Whether this parameter has a say in it.
pub(super) fn is_decisive(name: &str) -> bool {
    DECISIVE.contains(&name)
}

/// Encodings of which second bytes may be ASCII (`src/include/mb/pg_wchar.h`, those of clients alone), by all their names
/// (`src/common/encnames.c`).
const SHARING: [&str; 17] = [
    "big5",
    "gb18030",
    "gbk",
    "johab",
    "mskanji",
    "shiftjis",
    "shiftjis2004",
    "sjis",
    "uhc",
    "win932",
    "win936",
    "win949",
    "win950",
    "windows932",
    "windows936",
    "windows949",
    "windows950",
];

impl Dialect {
    /// That of a session with these settings.
    pub(super) fn of(settings: &Settings) -> Self {
        let is_unusual = DECISIVE.iter().any(|name| match settings.get(name) {
            Some(Value::Config(text)) => is_unusual(name, text),
            Some(Value::Sql(text)) => is_unusual(name, &plain(text)),
            None => false,
        });
        if is_unusual { Self::Unusual } else { Self::Usual }
    }

    /// What was found out about `text`, if it can be relied on.
    #[inline]
    pub(super) fn trust(self, verdict: Verdict, text: &[u8]) -> Verdict {
        if self.may_misread(text) {
            let sets = if mentions_set(text) { Effects::SETS } else { Effects::empty() };
            return Verdict { effects: Verdict::UNREAD.effects | sets, ..Verdict::UNREAD };
        }
        verdict
    }

    /// Whether `text` may be something else than it looks.
    #[inline]
    pub(super) fn may_misread(self, text: &[u8]) -> bool {
        self != Self::Usual && text.iter().any(|byte| !byte.is_ascii() || *byte == b'\\')
    }
}

/// How texts may be written that are sent before a change has happened.
pub(super) fn behind(change: &Change) -> Dialect {
    let is_other = match (&change.action, change.name()) {
        (Action::Set { name, value }, _) => is_decisive(name) && is_unusual(name, &plain(value)),
        (Action::Config { name, value }, _) => is_decisive(name) && is_unusual(name, value),
        // What it goes back to was there before.
        (Action::Reset { .. } | Action::ResetAll | Action::Transaction, _) => false,
        (Action::Bound { .. } | Action::Hidden | Action::Unseen { .. }, name) => {
            name.is_none_or(is_decisive)
        }
    };
    if is_other { Dialect::Suspect } else { Dialect::Usual }
}

/// Whether parameters may be set by a text that cannot be read.
fn mentions_set(text: &[u8]) -> bool {
    text.windows(3).any(|letters| letters.eq_ignore_ascii_case(b"set"))
}

/// Whether a server reports what may make texts mean something else.
pub(super) fn is_reported_unusual(name: &str, value: &str) -> bool {
    is_decisive(name) && is_unusual(name, value)
}

/// Adds what a server has told of itself and the client has not asked for otherwise, if it is unusual.
pub(super) fn complete(settings: &Settings, reported: &[(String, String)]) -> Settings {
    let mut all = settings.clone();
    for (name, value) in reported {
        if all.get(name).is_none() && is_reported_unusual(name, value) {
            all.set(name, Some(Value::Config(value.as_str().into())));
        }
    }
    all
}

fn is_unusual(name: &str, value: &str) -> bool {
    if name == "client_encoding" {
        let letters = value.bytes().filter(u8::is_ascii_alphanumeric);
        let name: Vec<u8> = letters.map(|byte| byte.to_ascii_lowercase()).collect();
        return SHARING.iter().any(|known| known.as_bytes() == name);
    }
    switch(value) != Some("on")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Class, Classifier, LiveCatalog, Why};

    fn set(name: &str, value: Value) -> Dialect {
        let mut settings = Settings::default();
        settings.set(name, Some(value));
        Dialect::of(&settings)
    }

    #[test]
    fn what_changes_the_meaning_of_bytes_is_unusual() {
        assert_eq!(Dialect::of(&Settings::default()), Dialect::Usual);
        for (name, value, expected) in [
            ("standard_conforming_strings", "on", Dialect::Usual),
            ("standard_conforming_strings", "1", Dialect::Usual),
            ("standard_conforming_strings", "off", Dialect::Unusual),
            ("standard_conforming_strings", "nonsense", Dialect::Unusual),
            ("client_encoding", "UTF8", Dialect::Usual),
            ("client_encoding", "EUC_JP", Dialect::Usual),
            ("client_encoding", "Shift_JIS_2004", Dialect::Unusual),
            ("client_encoding", "windows-936", Dialect::Unusual),
            ("work_mem", "off", Dialect::Usual),
        ] {
            assert_eq!(set(name, Value::Config(value.into())), expected, "{name} {value}");
        }
        assert_eq!(set("client_encoding", Value::Sql("'SJIS'".into())), Dialect::Unusual);
        let off = Value::Sql("off".into());
        assert_eq!(set("standard_conforming_strings", off), Dialect::Unusual);
    }

    #[test]
    fn only_texts_that_may_mean_something_else_are_not_trusted() {
        // What they call there is a literal by the usual rules.
        for text in [r"SELECT '\'' || f() || ' --' || ''", r"SELECT E'ぃ\' || f() --'"] {
            let verdict = Classifier::new(16).classify(text.as_bytes(), &LiveCatalog::default());
            assert_eq!(verdict.class, Class::Read, "{text}");
            assert_eq!(Dialect::Unusual.trust(verdict, text.as_bytes()), Verdict::UNREAD);
        }
        let read = Verdict { class: Class::Read, ..Verdict::UNREAD };
        for (text, expected) in [
            ("select 'a'", read),
            ("select '\\''", Verdict::UNREAD),
            ("select 'é'", Verdict::UNREAD),
        ] {
            assert_eq!(Dialect::Unusual.trust(read, text.as_bytes()), expected, "{text}");
            assert_eq!(Dialect::Usual.trust(read, text.as_bytes()), read);
        }
        assert_eq!(Verdict::UNREAD.class, Class::Primary(Why::Unparsed));
    }

    #[test]
    fn what_a_server_says_of_itself_counts_unless_the_client_says_otherwise() {
        let reported = [
            ("standard_conforming_strings".to_owned(), "off".to_owned()),
            ("client_encoding".to_owned(), "UTF8".to_owned()),
        ];
        assert_eq!(Dialect::of(&complete(&Settings::default(), &reported)), Dialect::Unusual);
        let mut own = Settings::default();
        own.set("standard_conforming_strings", Some(Value::Config("on".into())));
        assert_eq!(complete(&own, &reported), own);
    }
}
