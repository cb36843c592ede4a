//! Session parameters (GUCs) as a set that a client wants and a server has.

mod change;

use std::sync::Arc;

use crate::sql::settings::is_quoted_list;
pub use change::{Part, literal, set_config};

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

/// The parameters that say as whom statements run, in the order in which they are set: the first one resets the other
/// (`SET SESSION AUTHORIZATION` in the manual).
pub const IDENTITY: [&str; 2] = ["session_authorization", "role"];

/// The role of who has logged in (`SET ROLE NONE`).
const NOBODY: &str = "none";

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

    /// Whether statements run as somebody else than who has logged in.
    pub fn is_somebody_else(&self) -> bool {
        let is_else = |value: &Value| *value != Value::Config(NOBODY.into());
        IDENTITY.iter().any(|name| self.get(name).is_some_and(is_else))
    }

    /// Whether on a server with these settings statements run as somebody else than who has logged in, or they would with
    /// those that are `wanted`. No role is not the same as none said: a role may have settings of its own, such as a role.
    pub fn is_or_becomes_somebody_else(&self, wanted: &Self) -> bool {
        let is_same = IDENTITY.iter().all(|name| self.get(name) == wanted.get(name));
        !is_same || self.is_somebody_else()
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
}

/// Whether two sets are equal: at once if they are the same.
#[inline]
pub fn same(a: &Arc<Settings>, b: &Arc<Settings>) -> bool {
    Arc::ptr_eq(a, b) || **a == **b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_no_role_is_who_has_logged_in() {
        let role = |role: &str| {
            let mut set = Settings::default();
            set.set("role", Some(Value::Config(role.into())));
            set.is_somebody_else()
        };
        assert!(!role("none") && role("NONE") && role("reader"));
    }

    #[test]
    fn some_settings_change_what_texts_mean() {
        let mut set = Settings::default();
        set.set("work_mem", Some(Value::Sql("1".into())));
        set.set("app.user", Some(Value::Config("7".into())));
        assert_eq!(set.meaning(), None);
        let bare = set.clone();
        set.set("search_path", Some(Value::Config("a, b".into())));
        assert_eq!(set.meaning().map(|meaning| meaning.len()), Some(1));
        set.set("search_path", None);
        assert_eq!(set, bare);
        assert!(MEANINGLESS.is_sorted());
    }
}
