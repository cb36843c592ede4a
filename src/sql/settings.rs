//! What a text of SET, RESET and `set_config` statements changes, read exactly or not at all.

mod canonical;
mod config;
mod parameter;
mod texts;

pub use self::canonical::{Kind as ValueKind, canonical, is_quoted_list};
pub use self::config::parameters;
pub use self::parameter::{Parameter, Setter};
pub use self::texts::{UNCLEAR, changes, changes_among, changes_by_statement, lone_changes};
use super::cursor::{Cursor, name_of, string_of};
use super::lexer::{self, Kind};
use super::utility::{isolation_level, transaction_modes};
use super::verdict::{Access, Isolation};

/// One change of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// How long it lasts.
    pub scope: Scope,
    /// What it does.
    pub action: Action,
}

/// How long a change lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Until the session ends; undone if its transaction rolls back.
    Session,
    /// Until the transaction ends.
    Local,
}

/// What one setting statement does. Parameter names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// SET.
    Set {
        /// The parameter; `timezone`, `client_encoding`, `search_path`, `role` and
        /// `session_authorization` for the forms with a syntax of their own.
        name: String,
        /// The SQL text after TO or `=`. For `timezone` it is valid after SET TIME ZONE.
        value: String,
    },
    /// `set_config`.
    Config {
        /// The parameter.
        name: String,
        /// The new value, decoded from its literal.
        value: String,
    },
    /// `set_config` with a name or a value that comes by Bind: see [`Change::bind`].
    Bound {
        /// The parameter.
        name: Operand,
        /// The new value.
        value: Operand,
    },
    /// RESET, or SET ... TO DEFAULT.
    Reset {
        /// The parameter.
        name: String,
    },
    /// RESET ALL.
    ResetAll,
    /// SET TRANSACTION: gone when the transaction ends, and nothing that decides what texts mean.
    Transaction,
    /// Transaction-local calls of `set_config` of which only the server learns names and values.
    Hidden,
    /// `set_config` of this parameter, if it is called at all, and to a value that only the server learns.
    Unseen {
        /// The parameter.
        name: String,
    },
}

/// An operand of `set_config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// NULL.
    Null,
    /// `$1` and its like.
    Parameter(u16),
    /// A string.
    Text(String),
}

impl Action {
    fn set(name: &str, value: &str) -> Self {
        Self::Set { name: name.to_owned(), value: value.to_owned() }
    }

    fn reset(name: &str) -> Self {
        Self::Reset { name: name.to_owned() }
    }
}

impl Change {
    const fn new(scope: Scope, action: Action) -> Self {
        Self { scope, action }
    }
}

/// How a setting statement is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// SELECT of `set_config`.
    Config,
    /// RESET.
    Reset,
    /// SET.
    Set,
}

/// How the setting statement `sql` is written.
pub fn command(sql: &[u8]) -> Command {
    let cursor = Cursor::new(sql);
    if cursor.sees("set") {
        Command::Set
    } else if cursor.sees("reset") {
        Command::Reset
    } else {
        Command::Config
    }
}

/// The parameter that `sql` shows, in lower case, if that is all it does.
pub fn shown(sql: &[u8]) -> Option<String> {
    lexer::validate(sql).ok()?;
    let mut reader = Reader { text: sql, cursor: Cursor::new(sql) };
    reader.cursor.keyword("show").then_some(())?;
    let name = reader.parameter_name()?;
    while reader.cursor.symbol(";") {}
    reader.cursor.at_end().then_some(name)
}

/// The value that the text behind TO in a SET stands for, if it is a single string, word or number.
pub fn plain(value: &str) -> Option<String> {
    let mut cursor = Cursor::new(value.as_bytes());
    let token = cursor.take()?;
    cursor.at_end().then_some(())?;
    let text = || std::str::from_utf8(token.text).ok().map(str::to_ascii_lowercase);
    string_of(&token).or_else(|| name_of(&token).map(std::borrow::Cow::into_owned)).or_else(text)
}

/// Reads one SET or RESET.
struct Reader<'a> {
    text: &'a [u8],
    cursor: Cursor<'a>,
}

impl Reader<'_> {
    fn set(&mut self, changes: &mut Vec<Change>) -> Option<()> {
        if self.cursor.keywords(&["session", "characteristics", "as", "transaction"]) {
            return self.characteristics(changes);
        }
        if self.cursor.keywords(&["session", "authorization"]) {
            changes.push(Change::new(Scope::Session, self.authorization()?));
            return Some(());
        }
        let is_local = self.cursor.keyword("local");
        let scope = if is_local { Scope::Local } else { Scope::Session };
        let is_explicit = is_local || self.cursor.keyword("session");
        // `local.x` and `session.x` may be parameters; the grammar is not worth following there.
        if is_explicit && self.cursor.symbol(".") {
            return None;
        }
        changes.push(self.scoped(scope)?);
        Some(())
    }

    /// What follows SET, SET LOCAL or SET SESSION.
    fn scoped(&mut self, scope: Scope) -> Option<Change> {
        let cursor = &mut self.cursor;
        let action = if cursor.keyword("transaction") {
            self.transaction()?;
            return Some(Change::new(Scope::Local, Action::Transaction));
        } else if cursor.keywords(&["session", "authorization"]) {
            self.authorization()?
        } else if cursor.keywords(&["time", "zone"]) {
            self.time_zone()?
        } else if cursor.keyword("role") && !self.sees_assignment() {
            Action::set("role", &self.one_value()?)
        } else if self.cursor.keyword("names") && !self.sees_assignment() {
            self.names()?
        } else if self.cursor.keyword("schema") {
            Action::set("search_path", &self.literal()?)
        } else if self.cursor.keywords(&["xml", "option"]) {
            Action::set("xmloption", &self.one_value()?)
        } else {
            return self.parameter(scope);
        };
        Some(Change::new(scope, action))
    }

    fn sees_assignment(&self) -> bool {
        self.cursor.sees("to") || self.cursor.peek().is_some_and(|token| token.is(b"="))
    }

    /// `name { TO | = } value`.
    fn parameter(&mut self, scope: Scope) -> Option<Change> {
        // Words of the grammar that were taken above may also be plain parameter names.
        self.restart_after_scope();
        let name = self.parameter_name()?;
        if !self.cursor.symbol("=") && !self.cursor.keyword("to") {
            return None;
        }
        if self.cursor.keyword("default") {
            return Some(Change::new(scope, Action::Reset { name }));
        }
        let (value, count) = self.values()?;
        match name.as_str() {
            name if config::of_transaction(name) => {
                Some(Change::new(Scope::Local, Action::Transaction))
            }
            config::SEED => None,
            "timezone" | "role" | "session_authorization" if count > 1 => None,
            _ => Some(Change::new(scope, Action::Set { name, value })),
        }
    }

    fn restart_after_scope(&mut self) {
        self.cursor = Cursor::new(self.text);
        self.cursor.keyword("set");
        let _ = self.cursor.keyword("local") || self.cursor.keyword("session");
    }

    fn parameter_name(&mut self) -> Option<String> {
        let mut name = self.cursor.name()?.to_ascii_lowercase();
        while self.cursor.symbol(".") {
            name.push('.');
            name.push_str(&self.cursor.name()?.to_ascii_lowercase());
        }
        Some(name)
    }

    /// One value and nothing behind it: a string, a word, or a signed number.
    fn one_value(&mut self) -> Option<String> {
        if self.cursor.symbol("+") {
            return self.number();
        }
        if self.cursor.symbol("-") {
            return self.number().map(|number| format!("-{number}"));
        }
        let token = self.cursor.take()?;
        let is_value = matches!(
            token.kind,
            Kind::Word
                | Kind::QuotedWord
                | Kind::String
                | Kind::EscapeString
                | Kind::DollarString
                | Kind::Integer
                | Kind::Number
        );
        is_value.then_some(())?;
        self.verbatim(token.start, token.end())
    }

    fn number(&mut self) -> Option<String> {
        let token = self.cursor.take()?;
        matches!(token.kind, Kind::Integer | Kind::Number).then_some(())?;
        self.verbatim(token.start, token.end())
    }

    /// Values separated by commas, as they are written, and how many.
    fn values(&mut self) -> Option<(String, usize)> {
        let mut values = vec![self.one_value()?];
        while self.cursor.symbol(",") {
            values.push(self.one_value()?);
        }
        Some((values.join(", "), values.len()))
    }

    /// A single string literal.
    fn literal(&mut self) -> Option<String> {
        let token = self.cursor.kind(Kind::String)?;
        self.verbatim(token.start, token.end())
    }

    fn verbatim(&self, start: usize, end: usize) -> Option<String> {
        let text = self.text.get(start..end)?;
        std::str::from_utf8(text).ok().map(str::to_owned)
    }

    fn authorization(&mut self) -> Option<Action> {
        Some(if self.cursor.keyword("default") {
            Action::reset("session_authorization")
        } else {
            Action::set("session_authorization", &self.one_value()?)
        })
    }

    fn time_zone(&mut self) -> Option<Action> {
        if self.cursor.keyword("local") || self.cursor.keyword("default") {
            return Some(Action::reset("timezone"));
        }
        if !self.cursor.sees("interval") {
            return Some(Action::set("timezone", &self.one_value()?));
        }
        let mut value = self.word()?;
        value.push(' ');
        value.push_str(&self.literal()?);
        // The fields of the interval, as in INTERVAL '-08:00' HOUR TO MINUTE.
        while !self.cursor.at_end() {
            value.push(' ');
            value.push_str(&self.word()?);
        }
        Some(Action::set("timezone", &value))
    }

    fn word(&mut self) -> Option<String> {
        let token = self.cursor.kind(Kind::Word)?;
        self.verbatim(token.start, token.end())
    }

    fn names(&mut self) -> Option<Action> {
        if self.cursor.at_end() || self.cursor.keyword("default") {
            return Some(Action::reset("client_encoding"));
        }
        Some(Action::set("client_encoding", &self.literal()?))
    }

    /// The rest of SET TRANSACTION.
    fn transaction(&mut self) -> Option<()> {
        if self.cursor.keyword("snapshot") {
            self.cursor.kind(Kind::String).map(drop)
        } else {
            transaction_modes(&mut self.cursor).map(drop)
        }
    }

    /// SET SESSION CHARACTERISTICS: defaults of later transactions.
    fn characteristics(&mut self, changes: &mut Vec<Change>) -> Option<()> {
        while !self.cursor.at_end() {
            let (name, value) = self.characteristic()?;
            changes.push(Change::new(Scope::Session, Action::set(name, value)));
            self.cursor.symbol(",");
        }
        Some(())
    }

    fn characteristic(&mut self) -> Option<(&'static str, &'static str)> {
        if self.cursor.keyword("deferrable") {
            return Some(("default_transaction_deferrable", "on"));
        }
        if self.cursor.keywords(&["not", "deferrable"]) {
            return Some(("default_transaction_deferrable", "off"));
        }
        if self.cursor.keywords(&["isolation", "level"]) {
            let value = match isolation_level(&mut self.cursor)? {
                Isolation::Serializable => "'serializable'",
                Isolation::RepeatableRead => "'repeatable read'",
                Isolation::ReadCommitted | Isolation::Default => "'read committed'",
            };
            return Some(("default_transaction_isolation", value));
        }
        let access = access_mode(&mut self.cursor)?;
        let value = if access == Access::ReadOnly { "on" } else { "off" };
        Some(("default_transaction_read_only", value))
    }

    fn reset(&mut self) -> Option<Change> {
        let cursor = &mut self.cursor;
        let action = if cursor.keyword("all") {
            Action::ResetAll
        } else if cursor.keywords(&["time", "zone"]) {
            Action::reset("timezone")
        } else if cursor.keywords(&["session", "authorization"]) {
            Action::reset("session_authorization")
        } else if cursor.keywords(&["transaction", "isolation", "level"]) {
            return Some(Change::new(Scope::Local, Action::Transaction));
        } else {
            Action::Reset { name: self.parameter_name()? }
        };
        Some(Change::new(Scope::Session, action))
    }
}

fn access_mode(cursor: &mut Cursor<'_>) -> Option<Access> {
    if cursor.keywords(&["read", "only"]) {
        Some(Access::ReadOnly)
    } else if cursor.keywords(&["read", "write"]) {
        Some(Access::ReadWrite)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
