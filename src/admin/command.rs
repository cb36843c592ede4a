//! Every command of the admin database, as data.

use super::show::{self, Show};
use super::words::{Quotes, Word, statements};
use super::{Order, Question, Side};
use crate::config::Admin;
use crate::protocol::SqlState;

/// A command.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) verb: &'static str,
    pub(super) argument: Argument,
    /// Who may run it.
    pub(super) needs: Role,
    pub(super) does: Does,
    /// For SHOW HELP.
    pub(super) about: &'static str,
}

/// What follows the verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    /// Anything; it is ignored.
    Anything,
    /// Nothing.
    Nothing,
    /// The name of a database, or nothing for all of them.
    Database,
    /// This word, whose it would be, and a statement: see [`Question`].
    Statement(&'static str),
    /// This word.
    Word(&'static str),
}

/// What operators may do; whoever may do more may do less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Look: `admin.stats_users`.
    Stats,
    /// Everything: `admin.admin_users`.
    Admin,
}

impl Role {
    /// What `user` may do.
    pub(super) fn of(user: &str, admin: &Admin) -> Option<Self> {
        let is_in = |users: &[String]| users.iter().any(|one| one == user);
        if is_in(&admin.admin_users) {
            Some(Self::Admin)
        } else {
            is_in(&admin.stats_users).then_some(Self::Stats)
        }
    }
}

/// What a command does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Does {
    /// Shows the list of commands, also as a notice.
    Help(&'static Show),
    /// Nothing: drivers send it without being asked to.
    Nothing,
    /// Changes something.
    Order(Order),
    /// Reads the configuration again.
    Reload,
    /// Shows what would become of a statement.
    Route(&'static Show),
    /// Shows something that the overview tells.
    Show(&'static Show),
    /// Shows connections.
    Sockets(Side, &'static Show),
}

const fn show(word: &'static str, show: &'static Show, about: &'static str) -> Command {
    let (argument, does) = (Argument::Word(word), Does::Show(show));
    Command { verb: "SHOW", argument, needs: Role::Stats, does, about }
}

const fn sockets(
    word: &'static str,
    side: Side,
    show: &'static Show,
    about: &'static str,
) -> Command {
    let (argument, does) = (Argument::Word(word), Does::Sockets(side, show));
    Command { verb: "SHOW", argument, needs: Role::Stats, does, about }
}

const fn order(verb: &'static str, order: Order, about: &'static str) -> Command {
    let (argument, does) = (Argument::Database, Does::Order(order));
    Command { verb, argument, needs: Role::Admin, does, about }
}

const fn ignored(verb: &'static str) -> Command {
    let (argument, does) = (Argument::Anything, Does::Nothing);
    Command { verb, argument, needs: Role::Stats, does, about: "" }
}

/// All commands.
pub(super) const COMMANDS: &[Command] = &[
    show("CATALOG", &show::CATALOG, "what is known of each database's functions and tables"),
    sockets("CLIENTS", Side::Clients, &show::CLIENTS, "clients and what they are doing"),
    show("CONFIG", &show::CONFIG, "every key with its value and default"),
    show("DATABASES", &show::DATABASES, "the configured databases"),
    Command {
        verb: "SHOW",
        argument: Argument::Word("HELP"),
        needs: Role::Stats,
        does: Does::Help(&show::HELP),
        about: "this list",
    },
    show("LISTS", &show::LISTS, "how many there are of everything"),
    show("NODES", &show::NODES, "PostgreSQL nodes: role, state, lag, freshness"),
    show("POOLS", &show::POOLS, "pools: clients, servers, waits"),
    Command {
        verb: "SHOW",
        argument: Argument::Statement("ROUTE"),
        needs: Role::Stats,
        does: Does::Route(&show::ROUTE),
        about: "where a statement would run if it came now, and why",
    },
    show("ROUTES", &show::ROUTES, "how many batches ran where they ran, by reason"),
    sockets("SERVERS", Side::Servers, &show::SERVERS, "server connections"),
    show("STATE", &show::STATE, "whether anything is paused"),
    show("STATS", &show::STATS, "what was done: totals, and averages over the last minute"),
    show("STATS_AVERAGES", &show::STATS_AVERAGES, "averages over the last minute"),
    show("STATS_TOTALS", &show::STATS_TOTALS, "totals since the start"),
    show("USERS", &show::USERS, "the configured users"),
    show("VERSION", &show::VERSION, "the version that runs"),
    order("PAUSE", Order::Pause, "let transactions finish, then close all server connections"),
    order("RECONNECT", Order::Reconnect, "replace server connections when they are free"),
    Command {
        verb: "RELOAD",
        argument: Argument::Nothing,
        needs: Role::Admin,
        does: Does::Reload,
        about: "read the configuration again, as SIGHUP does",
    },
    order("RESUME", Order::Resume, "end a PAUSE"),
    ignored("ABORT"),
    ignored("BEGIN"),
    ignored("COMMIT"),
    ignored("DEALLOCATE"),
    ignored("DISCARD"),
    ignored("END"),
    ignored("RESET"),
    ignored("ROLLBACK"),
    ignored("SET"),
    ignored("START"),
];

/// A command with its argument.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) command: &'static Command,
    pub(super) database: Option<String>,
    /// What SHOW ROUTE asks.
    pub(super) question: Option<Question>,
}

/// The commands of `text`, each as its words. What SHOW ROUTE asks about is one statement, whatever is in it.
pub(super) fn commands(text: &str) -> Vec<Vec<Word>> {
    let mut commands = statements(text);
    if let Some([verb, argument, ..]) = commands.first().map(Vec::as_slice)
        && verb.is("SHOW")
        && argument.is("ROUTE")
    {
        commands.truncate(1);
    }
    commands
}

/// Why a command is not run, or has failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) code: SqlState,
    pub(super) message: String,
    pub(super) hint: Option<&'static str>,
}

impl Complaint {
    pub(super) fn new(code: SqlState, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    fn syntax(message: String) -> Self {
        let hint = Some("SHOW HELP lists all commands.");
        Self { code: SqlState::SYNTAX_ERROR, message, hint }
    }
}

/// The command that `words` of `text` are.
pub(super) fn find(words: &[Word], text: &str) -> Result<Call, Complaint> {
    let Some((verb, rest)) = words.split_first() else {
        return Err(Complaint::syntax("empty command".to_owned()));
    };
    let mut with_verb = COMMANDS.iter().filter(|command| verb.is(command.verb)).peekable();
    if with_verb.peek().is_none() {
        let message = format!("\"{}\" is not a command of the admin database", verb.text);
        return Err(Complaint::syntax(message));
    }
    for command in with_verb {
        let (database, question) = match (command.argument, rest) {
            (Argument::Anything, _) | (Argument::Database | Argument::Nothing, []) => (None, None),
            (Argument::Database, [name]) if name.quotes != Quotes::Single => {
                (Some(name.name()), None)
            }
            (Argument::Statement(word), [given, rest @ ..]) if given.is(word) => {
                (None, Some(question(rest, (text, given.end))?))
            }
            (Argument::Word(word), [given]) if given.is(word) => (None, None),
            (
                Argument::Database | Argument::Nothing | Argument::Statement(_) | Argument::Word(_),
                _,
            ) => continue,
        };
        return Ok(Call { command, database, question });
    }
    let given: Vec<&str> = rest.iter().map(|word| word.text.as_str()).collect();
    let verb = verb.text.to_uppercase();
    Err(Complaint::syntax(match &*given {
        [] => format!("{verb} needs an argument"),
        _ => format!("{verb} does not take \"{}\"", given.join(" ")),
    }))
}

/// `[FOR database [USER user] [:]] statement`: the words behind SHOW ROUTE, which ends at `start` of `text`.
fn question(words: &[Word], (text, start): (&str, usize)) -> Result<Question, Complaint> {
    let (mut database, mut user, mut start, mut rest) = (None, None, start, words);
    if let [word, name, behind @ ..] = rest
        && word.is("FOR")
    {
        (database, start, rest) = (Some(name.name()), name.end, behind);
        if let [word, name, behind @ ..] = rest
            && word.is("USER")
        {
            (user, start, rest) = (Some(name.name()), name.end, behind);
        }
        if let [colon, behind @ ..] = rest
            && colon.is(":")
        {
            (start, rest) = (colon.end, behind);
        }
    }
    if rest.is_empty() {
        return Err(Complaint::syntax("SHOW ROUTE needs a statement".to_owned()));
    }
    let statement = text.get(start..).unwrap_or_default().trim().to_owned();
    Ok(Question { database, user, statement })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Result<Call, Complaint> {
        find(&commands(text)[0], text)
    }

    #[test]
    fn what_show_route_asks_about_is_one_statement_as_it_stands() {
        let asked = |text: &str| {
            assert_eq!(commands(text).len(), 1);
            let Question { database, user, statement } = found(text).unwrap().question.unwrap();
            (database.unwrap_or_default(), user.unwrap_or_default(), statement)
        };
        let expected = |database: &str, user: &str, statement: &str| {
            (database.to_owned(), user.to_owned(), statement.to_owned())
        };
        assert_eq!(
            asked("show route select 1; delete from T"),
            expected("", "", "select 1; delete from T")
        );
        assert_eq!(
            asked("SHOW ROUTE FOR app: /* pglagoon: primary */ SELECT 'a;b'"),
            expected("app", "", "/* pglagoon: primary */ SELECT 'a;b'")
        );
        assert_eq!(
            asked("SHOW ROUTE FOR \"App\" USER Bob select 1"),
            expected("App", "bob", "select 1")
        );
        for text in ["show route", "show route for app", "show route for app user bob :"] {
            assert_eq!(found(text).unwrap_err().message, "SHOW ROUTE needs a statement");
        }
    }

    #[test]
    fn commands_are_found_in_any_case_with_their_argument() {
        let call = found("show Pools").unwrap();
        assert_eq!(call.command.argument, Argument::Word("POOLS"));
        assert_eq!(found("PAUSE").unwrap().database, None);
        assert_eq!(found("pause App").unwrap().database.as_deref(), Some("app"));
        assert_eq!(found("pause \"App\"").unwrap().database.as_deref(), Some("App"));
        assert_eq!(found("SET extra_float_digits = 3").unwrap().command.verb, "SET");
    }

    #[test]
    fn what_is_no_command_is_a_syntax_error_with_a_hint() {
        for (text, message) in [
            ("select 1", "\"select\" is not a command of the admin database"),
            ("SHOW", "SHOW needs an argument"),
            ("show sockets now", "SHOW does not take \"sockets now\""),
            ("pause a b", "PAUSE does not take \"a b\""),
        ] {
            let complaint = found(text).unwrap_err();
            assert_eq!((complaint.code, &*complaint.message), (SqlState::SYNTAX_ERROR, message));
            assert!(complaint.hint.unwrap().contains("SHOW HELP"));
        }
    }

    #[test]
    fn whoever_may_only_look_may_change_nothing() {
        for command in COMMANDS {
            let changes = matches!(command.does, Does::Order(_) | Does::Reload);
            assert_eq!(command.needs, if changes { Role::Admin } else { Role::Stats });
        }
        let admin =
            Admin { admin_users: vec!["a".into()], stats_users: vec!["a".into(), "s".into()] };
        assert_eq!(Role::of("a", &admin), Some(Role::Admin));
        assert_eq!(Role::of("s", &admin), Some(Role::Stats));
        assert_eq!(Role::of("x", &admin), None);
    }
}
