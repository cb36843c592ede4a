//! Session parameters (GUCs) as a set that a client wants and a server has.

use std::sync::Arc;

use crate::sql::settings::is_quoted_list;

/// How a value is to be given to the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// As in a startup packet or `set_config()`: one string, with lists in their flat form.
    Config(Box<str>),
    /// As it stood behind `TO` in a SET that the server accepted.
    Sql(Box<str>),
}

/// What the names of pgLagoon's own parameters begin with. Servers know nothing of them.
pub const OURS: &str = "pglagoon.";

/// The parameter that is two in one: a style, and an order of day, month and year.
pub const DATE_STYLE: &str = "datestyle";

/// The parameters that say as whom statements run.
const IDENTITY: [&str; 2] = ["session_authorization", "role"];

/// A set of parameters that differ from what a fresh server connection has; sorted by name.
///
/// Sets are shared: clients that want the same hold the same `Arc`, and a server that has the very set that its
/// next client wants needs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Settings {
    entries: Vec<(Box<str>, Value)>,
    /// Those of them that may change what a text means; `None` if there are none.
    meaning: Option<Arc<Meaning>>,
    modes: Modes,
}

/// Whether the settings say in which mode transactions begin that do not say so themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Modes {
    /// They begin as on a fresh server.
    #[default]
    Fresh,
    /// `default_transaction_isolation` or `default_transaction_read_only` is set.
    Set,
}

/// Settings that decide what a text means, sorted by name.
pub type Meaning = [(Box<str>, Value)];

/// The parameters that say in which mode a transaction begins.
const MODES: [&str; 2] = ["default_transaction_isolation", "default_transaction_read_only"];

/// Settings that change nothing about how a text is parsed and planned.
const MEANINGLESS: [&str; 16] = [
    "application_name",
    "bytea_output",
    "client_min_messages",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "lock_timeout",
    "log_min_duration_statement",
    "log_statement",
    "statement_timeout",
    "synchronous_commit",
    "transaction_timeout",
    "work_mem",
];

/// Whether texts may mean something else with another value of `name`. Custom parameters (`app.user`) are read when
/// a statement runs.
fn bears_meaning(name: &str) -> bool {
    !name.contains('.') && MEANINGLESS.binary_search(&name).is_err()
}

impl Settings {
    /// The value of `name`, if it is set.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let index = self.entries.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        self.entries.get(index).map(|(_, value)| value)
    }

    /// Sets `name`, or leaves it at the server's default if there is no value.
    pub fn set(&mut self, name: &str, value: Option<Value>) {
        self.assign(name, value);
        if MODES.contains(&name) {
            let is_set = MODES.iter().any(|name| self.get(name).is_some());
            self.modes = if is_set { Modes::Set } else { Modes::Fresh };
        }
        if bears_meaning(name) {
            let meaning: Vec<_> =
                self.entries.iter().filter(|(name, _)| bears_meaning(name)).cloned().collect();
            self.meaning = (!meaning.is_empty()).then(|| meaning.into());
        }
    }

    fn assign(&mut self, name: &str, value: Option<Value>) {
        let found = self.entries.binary_search_by(|(known, _)| (**known).cmp(name));
        match (found, value) {
            (Ok(index), Some(value)) => {
                if let Some(entry) = self.entries.get_mut(index) {
                    entry.1 = value;
                }
            }
            (Ok(index), None) => {
                self.entries.remove(index);
            }
            (Err(index), Some(value)) => self.entries.insert(index, (name.into(), value)),
            (Err(_), None) => {}
        }
    }

    /// Whether a server with `self` would run statements as somebody else than one with `wanted`.
    pub fn changes_identity(&self, wanted: &Self) -> bool {
        IDENTITY.iter().any(|name| self.get(name) != wanted.get(name))
    }

    /// What decides the meaning of texts; `None` if all of that is as on a fresh server.
    #[inline]
    pub fn meaning(&self) -> Option<&Arc<Meaning>> {
        self.meaning.as_ref()
    }

    /// Whether transactions begin in another mode than on a fresh server.
    #[inline]
    pub fn modes(&self) -> Modes {
        self.modes
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether each can be set by a statement without rows.
    pub fn has_plain_sql(&self) -> bool {
        let is_plain = |(name, value): &(Box<str>, Value)| {
            !(matches!(value, Value::Config(_)) && is_quoted_list(name))
        };
        self.entries.iter().all(is_plain)
    }

    /// Names and values in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(name, value)| (&**name, value))
    }

    /// Appends the SQL that turns a server with `self` into one with `wanted`; nothing if they are equal.
    ///
    /// `session_authorization` goes first, because setting it resets `role` (`SET SESSION AUTHORIZATION` in
    /// the manual); `role` goes last among the rest for the same reason.
    pub fn change_sql(&self, wanted: &Self, out: &mut Vec<u8>) {
        for (name, value) in self.changes(wanted) {
            self.change(name, value, out);
        }
    }

    /// The same with what an extension may have a say in apart: `custom` is given the SQL for each of those, which may fail
    /// and leaves the others alone. In one with the others if somebody else is going to run statements, as that decides
    /// who may set what.
    pub fn change_sql_apart(
        &self,
        wanted: &Self,
        out: &mut Vec<u8>,
        mut custom: impl FnMut(&[u8]),
    ) {
        let is_one = self.changes_identity(wanted);
        for (name, value) in self.changes(wanted) {
            if is_one || !name.contains('.') {
                self.change(name, value, out);
            } else {
                let mut sql = Vec::new();
                self.change(name, value, &mut sql);
                custom(&sql);
            }
        }
    }

    /// What must change, in an order in which it can.
    fn changes<'a>(&'a self, wanted: &'a Self) -> Vec<(&'a str, Option<&'a Value>)> {
        let mut changes: Vec<(&str, Option<&Value>)> = self
            .iter()
            .filter(|(name, _)| wanted.get(name).is_none())
            .map(|(name, _)| (name, None))
            .chain(
                wanted
                    .iter()
                    .filter(|(name, value)| self.get(name) != Some(value))
                    .map(|(name, value)| (name, Some(value))),
            )
            .filter(|(name, _)| !name.starts_with(OURS))
            .collect();
        let authorization_changes =
            changes.iter().any(|(name, _)| *name == "session_authorization");
        if authorization_changes && !changes.iter().any(|(name, _)| *name == "role") {
            changes.extend(wanted.get("role").map(|value| ("role", Some(value))));
        }
        changes.sort_by_key(|(name, _)| match *name {
            "session_authorization" => 0,
            "role" => 2,
            _ => 1,
        });
        changes
    }

    fn change(&self, name: &str, value: Option<&Value>, out: &mut Vec<u8>) {
        if name == DATE_STYLE && value.is_some() && self.get(name).is_some() {
            // What the new one leaves out is not what the old one has said.
            assignment(out, name, None);
        }
        assignment(out, name, value);
    }
}

/// Appends one SET, RESET or `set_config()` and a semicolon.
fn assignment(out: &mut Vec<u8>, name: &str, value: Option<&Value>) {
    match value {
        None => {
            out.extend_from_slice(b"RESET ");
            identifier(out, name);
        }
        Some(Value::Sql(sql)) if name == "timezone" => {
            // The text may be `INTERVAL '...'` or `LOCAL`, which only this form takes.
            out.extend_from_slice(b"SET TIME ZONE ");
            out.extend_from_slice(sql.as_bytes());
        }
        Some(Value::Sql(sql)) => {
            out.extend_from_slice(b"SET ");
            identifier(out, name);
            out.extend_from_slice(b" TO ");
            out.extend_from_slice(sql.as_bytes());
        }
        Some(Value::Config(value)) if is_quoted_list(name) => {
            out.extend_from_slice(b"SELECT ");
            set_config(out, name, value, b"false");
        }
        Some(Value::Config(value)) => {
            out.extend_from_slice(b"SET ");
            identifier(out, name);
            out.extend_from_slice(b" TO ");
            literal(out, value);
        }
    }
    out.push(b';');
}

/// Appends a call of `set_config()`.
pub fn set_config(out: &mut Vec<u8>, name: &str, value: &str, is_local: &[u8]) {
    out.extend_from_slice(b"pg_catalog.set_config(");
    literal(out, name);
    out.push(b',');
    literal(out, value);
    out.push(b',');
    out.extend_from_slice(is_local);
    out.push(b')');
}

/// Appends a parameter's name: each part of a custom name (`app.user`) quoted on its own.
fn identifier(out: &mut Vec<u8>, name: &str) {
    for (index, part) in name.split('.').enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        out.push(b'"');
        out.extend(
            part.bytes()
                .flat_map(|byte| std::iter::repeat_n(byte, if byte == b'"' { 2 } else { 1 })),
        );
        out.push(b'"');
    }
}

/// Appends a string literal that is safe whatever `standard_conforming_strings` is.
pub fn literal(out: &mut Vec<u8>, text: &str) {
    if text.contains('\\') {
        out.extend_from_slice(b" E");
    }
    out.push(b'\'');
    out.extend(text.bytes().filter(|&byte| byte != 0).flat_map(|byte| {
        std::iter::repeat_n(byte, if matches!(byte, b'\'' | b'\\') { 2 } else { 1 })
    }));
    out.push(b'\'');
}

/// Whether two sets are equal: at once if they are the same.
#[inline]
pub fn same(a: &Arc<Settings>, b: &Arc<Settings>) -> bool {
    Arc::ptr_eq(a, b) || **a == **b
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(entries: &[(&str, Value)]) -> Settings {
        let mut settings = Settings::default();
        for (name, value) in entries {
            settings.set(name, Some(value.clone()));
        }
        settings
    }

    fn change(from: &Settings, to: &Settings) -> String {
        let mut out = Vec::new();
        from.change_sql(to, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_differences_are_set() {
        let a = settings(&[("a", Value::Sql("1".into())), ("b", Value::Sql("2".into()))]);
        let path = ("search_path", Value::Config("x, y".into()));
        let b = settings(&[("b", Value::Sql("3".into())), ("c", Value::Config("x".into())), path]);
        assert_eq!(
            change(&a, &b),
            "RESET \"a\";SET \"b\" TO 3;SET \"c\" TO 'x';\
             SELECT pg_catalog.set_config('search_path','x, y',false);"
        );
        assert_eq!(change(&a, &a), "");
        let style = |text: &str| settings(&[("datestyle", Value::Config(text.into()))]);
        assert_eq!(
            change(&style("SQL, DMY"), &style("ISO")),
            "RESET \"datestyle\";SET \"datestyle\" TO 'ISO';"
        );
    }

    #[test]
    fn some_settings_change_what_texts_mean() {
        let mut set = settings(&[("work_mem", Value::Sql("1".into()))]);
        set.set("app.user", Some(Value::Config("7".into())));
        assert_eq!(set.meaning(), None);
        let bare = set.clone();
        set.set("search_path", Some(Value::Config("a, b".into())));
        assert_eq!(set.meaning().map(|meaning| meaning.len()), Some(1));
        set.set("search_path", None);
        assert_eq!(set, bare);
        assert!(MEANINGLESS.is_sorted());
    }

    #[test]
    fn what_an_extension_may_know_better_is_set_apart() {
        let sql = |text: &str| Value::Sql(text.into());
        let from = settings(&[("plpgsql.x", sql("1")), ("a", sql("1"))]);
        let to = settings(&[("a", sql("2")), ("my.own", sql("3"))]);
        let apart = |from: &Settings, to: &Settings| {
            let (mut out, mut customs) = (Vec::new(), Vec::new());
            let custom = |sql: &[u8]| customs.push(String::from_utf8(sql.to_vec()).unwrap());
            from.change_sql_apart(to, &mut out, custom);
            (String::from_utf8(out).unwrap(), customs)
        };
        let (out, customs) = apart(&from, &to);
        assert_eq!(out, "SET \"a\" TO 2;");
        assert_eq!(customs, ["RESET \"plpgsql\".\"x\";", "SET \"my\".\"own\" TO 3;"]);
        let role = settings(&[("my.own", sql("3")), ("role", sql("r"))]);
        let (out, customs) = apart(&to, &role);
        assert_eq!((out.as_str(), customs.len()), ("RESET \"a\";SET \"role\" TO r;", 0));
    }

    #[test]
    fn values_cannot_inject() {
        let hostile = settings(&[("a", Value::Config("x'; drop table t; --\\".into()))]);
        assert_eq!(
            change(&Settings::default(), &hostile),
            "SET \"a\" TO  E'x''; drop table t; --\\\\';"
        );
        let hostile = settings(&[("a\"; drop table t; --.b", Value::Sql("1".into()))]);
        assert_eq!(
            change(&Settings::default(), &hostile),
            "SET \"a\"\"; drop table t; --\".\"b\" TO 1;"
        );
    }

    #[test]
    fn a_change_of_authorization_sets_the_role_again_and_last() {
        let role = ("role", Value::Sql("r".into()));
        let from = settings(std::slice::from_ref(&role));
        let to = settings(&[role, ("session_authorization", Value::Sql("u".into()))]);
        assert_eq!(change(&from, &to), "SET \"session_authorization\" TO u;SET \"role\" TO r;");
    }
}
