//! One spelling for all values of a parameter that PostgreSQL keeps alike: `'1MB'` and `1024` of `work_mem`, `on` and
//! `true`, `a,b` and `"a", 'b'` of `search_path`.
//!
//! Only for values that a server has accepted. What is found here it takes for the same, and shows the same of it; where
//! that is not sure a value stays as it was written, which costs no more than a SET that changes nothing. The rules are
//! those of `parse_and_validate_value` and `convert_to_base_unit` in `src/backend/utils/misc/guc.c`, and of
//! `flatten_set_variable_args` in `guc_funcs.c`.

use super::super::cursor::{Cursor, name_of, string_of};
use super::super::lexer::Kind as Lexeme;
use super::{Action, Change};

/// What kind of value a parameter has, as far as it has several spellings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `on` and `off`.
    Boolean,
    /// One of several words.
    Word,
    /// The same, with all words that stand for `on` and `off`.
    Switch,
    /// An integer, of so many of the smallest unit there is.
    Integer(Measure),
    /// A number without a unit.
    Real,
}

/// What an integer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Nothing in particular.
    Plain,
    /// So many bytes.
    Bytes(i64),
    /// So many microseconds.
    Microseconds(i64),
}

/// Bytes of each unit.
const BYTES: [(&str, i64); 5] =
    [("B", 1), ("kB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30), ("TB", 1 << 40)];

/// Microseconds of each unit.
const MICROSECONDS: [(&str, i64); 6] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("min", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

/// Lists of names, each of which PostgreSQL quotes itself (`GUC_LIST_QUOTE`); there are no others, because those of
/// extensions must not be.
const QUOTED_LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// Whether the value of this parameter is a list of names that are quoted each by each: SET takes a single string for
/// one name.
pub fn is_quoted_list(name: &str) -> bool {
    QUOTED_LISTS.contains(&name)
}

impl Kind {
    /// The kind of a parameter by its row in `pg_settings`: its type (`switch` for an enum of which `on` and `off` are
    /// words) and its unit. `None` if values are kept as they are written, or if their rules are not followed here.
    pub fn of(vartype: &str, unit: &str) -> Option<Self> {
        match (vartype, unit) {
            ("bool", _) => Some(Self::Boolean),
            ("switch", _) => Some(Self::Switch),
            ("enum", _) => Some(Self::Word),
            ("integer", unit) => Measure::of(unit).map(Self::Integer),
            ("real", "") => Some(Self::Real),
            _ => None,
        }
    }

    fn canonical(self, text: &str) -> Option<String> {
        match self {
            Self::Boolean => boolean(text).map(str::to_owned),
            Self::Word => Some(text.to_ascii_lowercase()),
            Self::Switch => {
                let word = text.to_ascii_lowercase();
                Some(match word.as_str() {
                    "true" | "yes" | "1" => "on".to_owned(),
                    "false" | "no" | "0" => "off".to_owned(),
                    _ => word,
                })
            }
            Self::Integer(measure) => measure.count(text).map(|count| count.to_string()),
            Self::Real => text.parse::<f64>().ok().filter(|x| x.is_finite()).map(|x| x.to_string()),
        }
    }
}

impl Measure {
    /// By the unit of a parameter: `kB`, `8kB`, `ms`.
    fn of(unit: &str) -> Option<Self> {
        if unit.is_empty() {
            return Some(Self::Plain);
        }
        let start = unit.find(|c: char| !c.is_ascii_digit())?;
        let (count, unit) = unit.split_at(start);
        let count: i64 = if count.is_empty() { 1 } else { count.parse().ok()? };
        let of = |units: &[(&str, i64)]| {
            let size = units.iter().find(|(name, _)| *name == unit)?.1;
            count.checked_mul(size)
        };
        of(&BYTES).map(Self::Bytes).or_else(|| of(&MICROSECONDS).map(Self::Microseconds))
    }

    /// How many of it a text stands for, if it is a whole number of them.
    fn count(self, text: &str) -> Option<i64> {
        let text = text.trim_ascii();
        let end = text.rfind(|c: char| c.is_ascii_digit())? + 1;
        let (digits, unit) = text.split_at(end);
        let number = digits.strip_prefix(['-', '+']).unwrap_or(digits);
        // Octal, hexadecimal and fractions are left alone.
        if number.len() > 1 && number.starts_with('0')
            || !number.bytes().all(|b| b.is_ascii_digit())
        {
            return None;
        }
        let value: i64 = digits.parse().ok()?;
        let unit = unit.trim_ascii_start();
        if unit.is_empty() {
            return Some(value);
        }
        let (units, base): (&[_], _) = match self {
            Self::Plain => return None,
            Self::Bytes(base) => (&BYTES, base),
            Self::Microseconds(base) => (&MICROSECONDS, base),
        };
        let size = units.iter().find(|(name, _)| *name == unit)?.1;
        let smallest = value.checked_mul(size)?;
        (smallest % base == 0).then_some(smallest / base)
    }
}

/// `parse_bool_with_len` in `src/backend/utils/adt/bool.c`.
fn boolean(text: &str) -> Option<&'static str> {
    let text = text.to_ascii_lowercase();
    let is_part = |word: &str, least: usize| text.len() >= least && word.starts_with(&text);
    if is_part("true", 1) || is_part("yes", 1) || text == "on" || text == "1" {
        Some("on")
    } else if is_part("false", 1) || is_part("no", 1) || is_part("off", 2) || text == "0" {
        Some("off")
    } else {
        None
    }
}

impl Change {
    /// The same change with the value in its one spelling. `kind` knows parameters by their names.
    #[must_use]
    pub fn canonical(self, kind: impl Fn(&str) -> Option<Kind>) -> Self {
        let action = match self.action {
            Action::Set { name, value } if is_quoted_list(&name) => {
                let value = quoted_list(&value).unwrap_or(value);
                Action::Set { name, value }
            }
            Action::Set { name, value } => match flat(&value) {
                Some(text) => {
                    let value = canonical(&name, &text, kind(&name));
                    Action::Config { name, value }
                }
                None => Action::Set { name, value },
            },
            Action::Config { name, value } => {
                let value = canonical(&name, &value, kind(&name));
                Action::Config { name, value }
            }
            other => other,
        };
        Self { scope: self.scope, action }
    }
}

/// The one spelling of a value as `set_config` takes it.
pub fn canonical(name: &str, value: &str, kind: Option<Kind>) -> String {
    let known = match (name, kind) {
        ("timezone", _) => time_zone(value),
        ("client_encoding", _) => encoding(value),
        (_, Some(kind)) => kind.canonical(value),
        (_, None) => None,
    };
    known.unwrap_or_else(|| value.to_owned())
}

/// Zones are found by their names in any case, and shown by the right one.
fn time_zone(value: &str) -> Option<String> {
    let is_name = value.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_interval = value.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("interval"));
    (is_name && !is_interval).then(|| value.to_ascii_lowercase())
}

/// Of an encoding's name only letters and digits count (`clean_encoding_name`); but `UNICODE` is shown as it is written.
fn encoding(value: &str) -> Option<String> {
    let letters = value.chars().filter(char::is_ascii_alphanumeric);
    let name: String = letters.map(|c| c.to_ascii_lowercase()).collect();
    (name != "unicode").then_some(name)
}

/// The string that the values behind TO amount to; `None` if that is not clear.
fn flat(value: &str) -> Option<String> {
    let mut whole = String::new();
    elements(value, |element| {
        if !whole.is_empty() {
            whole.push_str(", ");
        }
        whole.push_str(&element);
    })?;
    Some(whole)
}

/// A list of names, each as a string.
fn quoted_list(value: &str) -> Option<String> {
    let mut whole = String::new();
    elements(value, |element| {
        whole.push_str(if whole.is_empty() { "'" } else { ", '" });
        whole.push_str(&element.replace('\'', "''"));
        whole.push('\'');
    })?;
    Some(whole)
}

/// Shows the values of a list, one by one.
fn elements(value: &str, mut see: impl FnMut(String)) -> Option<()> {
    let mut cursor = Cursor::new(value.as_bytes());
    (!value.eq_ignore_ascii_case("default")).then_some(())?;
    loop {
        see(element(&mut cursor)?);
        if cursor.at_end() {
            return Some(());
        }
        cursor.symbol(",").then_some(())?;
    }
}

fn element(cursor: &mut Cursor<'_>) -> Option<String> {
    let is_negative = cursor.symbol("-");
    let token = cursor.take()?;
    match token.kind {
        Lexeme::Integer => {
            let digits = std::str::from_utf8(token.text).ok()?;
            let number: i32 = digits.parse().ok()?;
            Some(if is_negative { format!("-{number}") } else { number.to_string() })
        }
        _ if is_negative => None,
        Lexeme::String => string_of(&token),
        Lexeme::Word | Lexeme::QuotedWord => name_of(&token).map(std::borrow::Cow::into_owned),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::changes;
    use super::*;

    fn kind(name: &str) -> Option<Kind> {
        match name {
            "jit" => Kind::of("bool", ""),
            "synchronous_commit" => Kind::of("switch", ""),
            "client_min_messages" => Kind::of("enum", ""),
            "work_mem" => Kind::of("integer", "kB"),
            "temp_buffers" => Kind::of("integer", "8kB"),
            "statement_timeout" => Kind::of("integer", "ms"),
            "geqo_threshold" => Kind::of("integer", ""),
            "seq_page_cost" => Kind::of("real", ""),
            _ => None,
        }
    }

    fn canonical(sql: &str) -> Action {
        let change = changes(sql.as_bytes()).unwrap().pop().unwrap();
        change.canonical(kind).action
    }

    fn config(name: &str, value: &str) -> Action {
        Action::Config { name: name.into(), value: value.into() }
    }

    #[test]
    fn spellings_of_one_value_become_one() {
        for (name, value, spellings) in [
            ("jit", "on", "jit=on|jit to TRUE|jit='t'|jit=1|jit to 'yEs'|jit='on'"),
            ("jit", "off", "jit=off|jit=false|jit=0|jit='of'|jit='n'|jit='N'"),
            ("synchronous_commit", "on", "synchronous_commit=on|synchronous_commit=TRUE"),
            ("client_min_messages", "warning", "client_min_messages=WARNING"),
            ("work_mem", "1024", "work_mem=1024|work_mem='1MB'|work_mem=' 1024 kB '"),
            ("temp_buffers", "1024", "temp_buffers='8MB'|temp_buffers=1024"),
            ("statement_timeout", "60000", "statement_timeout='1min'|statement_timeout='60s'"),
            ("geqo_threshold", "-1", "geqo_threshold=-1|geqo_threshold='-1'"),
            ("seq_page_cost", "1", "seq_page_cost=1|seq_page_cost='1.0'"),
            ("timezone", "europe/paris", "timezone='Europe/Paris'|time zone 'EUROPE/paris'"),
            ("client_encoding", "utf8", "client_encoding='UTF8'|names 'utf-8'"),
            ("role", "alice", "role alice|role 'alice'|role to Alice"),
            ("a.b", "x, y", "a.b=x,y|a.b=X , \"y\""),
        ] {
            for spelling in spellings.split('|') {
                assert_eq!(
                    canonical(&format!("set {spelling}")),
                    config(name, value),
                    "{spelling}"
                );
            }
        }
        let path = Action::set("search_path", "'a', 'B c', 'it''s'");
        for spelling in ["a,\"B c\",'it''s'", "'a' , 'B c', \"it's\"", "A, \"B c\", \"it's\""] {
            assert_eq!(canonical(&format!("set search_path to {spelling}")), path);
        }
        assert_eq!(canonical("select set_config('jit', '1', true)"), config("jit", "on"));
    }

    #[test]
    fn what_may_be_something_else_stays_as_it_is() {
        for (sql, stays) in [
            ("set a = E'x'", Action::set("a", "E'x'")),
            ("set a = 'x\\y'", config("a", "x\\y")),
            ("set a = 1.50", Action::set("a", "1.50")),
            ("set time zone interval '1' hour", Action::set("timezone", "interval '1' hour")),
            ("set names 'UNICODE'", config("client_encoding", "UNICODE")),
            ("set work_mem = '010'", config("work_mem", "010")),
            ("set work_mem = '0x10'", config("work_mem", "0x10")),
            ("set work_mem = '1500B'", config("work_mem", "1500B")),
            ("set work_mem = '1.5MB'", config("work_mem", "1.5MB")),
            ("set work_mem = '1mb'", config("work_mem", "1mb")),
            ("set jit = 'o'", config("jit", "o")),
            ("set A.B = 'Case Matters'", config("a.b", "Case Matters")),
            ("set search_path = E'x'", Action::set("search_path", "E'x'")),
            ("reset a", Action::reset("a")),
        ] {
            assert_eq!(canonical(sql), stays, "{sql}");
        }
        assert_eq!(Kind::of("real", "ms"), None);
        assert_eq!(Kind::of("integer", "parsec"), None);
        assert_eq!(Kind::of("string", ""), None);
    }
}
