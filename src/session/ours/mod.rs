//! Parameters of pgLagoon's own: `SET pglagoon.consistency = 'strong'` and its like.
//!
//! To a client they are parameters like any other: SET, SET LOCAL, RESET, SHOW, `set_config`, startup options, undone
//! by ROLLBACK and DISCARD ALL. They are kept among the session's parameters, which know all that; they never reach a
//! server. What asks for them ([`ask()`]) is answered here, in its place among the server's answers ([`Answer`]).

mod answer;
mod ask;
mod pass;
pub(super) mod value;

use std::collections::VecDeque;

use crate::cluster::Cluster;
use crate::config::{Monotonic, Routing};
use crate::protocol::SqlState;
use crate::server::settings::{OURS, Settings, Value};
use crate::sql::settings::{Action, Change, Operand, Scope};

pub(super) use answer::Answer;
pub(super) use ask::{Ask, Circumstances, ask, names_ours};
pub(super) use pass::{NO_TYPES, NO_VALUES};
pub(super) use value::{Asks, asks, switch};

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parameter {
    /// A token: reads see everything that it stands for.
    After,
    /// As `routing.consistency`.
    Consistency,
    /// Whether a NOTICE tells where each statement runs, and why.
    Explain,
    /// The name of the session's group.
    Group,
    /// How old what reads see may be, at most `routing.max_lag`.
    MaxLag,
    /// As `routing.monotonic`.
    Monotonic,
    /// Where statements go that may go to a replica.
    Route,
    /// What `after` takes, after a write. It cannot be set.
    Token,
}

impl Parameter {
    const ALL: [Self; 8] = [
        Self::After,
        Self::Consistency,
        Self::Explain,
        Self::Group,
        Self::MaxLag,
        Self::Monotonic,
        Self::Route,
        Self::Token,
    ];

    /// The parameter's name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::After => "pglagoon.after",
            Self::Consistency => "pglagoon.consistency",
            Self::Explain => "pglagoon.explain",
            Self::Group => "pglagoon.group",
            Self::MaxLag => "pglagoon.max_lag",
            Self::Monotonic => "pglagoon.monotonic",
            Self::Route => "pglagoon.route",
            Self::Token => "pglagoon.token",
        }
    }

    /// The parameter of this name.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(super) fn find(name: &str) -> Result<Self, Fault> {
        Self::ALL.into_iter().find(|one| one.name() == name).ok_or_else(|| Fault {
            code: SqlState::UNDEFINED_OBJECT,
            message: format!("unrecognized configuration parameter \"{name}\""),
            hint: "",
        })
    }
}

/// What is wrong with a command about a parameter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: SqlState,
    pub(crate) message: String,
    /// Empty for none.
    pub(crate) hint: &'static str,
}

/// Whether `name` is one of our parameters, or may only be one of ours.
pub(super) fn is_ours(name: &str) -> bool {
    name.starts_with(OURS)
}

/// What is to be answered to commands about our parameters, in order, and what they change.
#[derive(Debug, Default)]
pub(crate) struct Book(VecDeque<(Vec<Change>, Answer)>);

impl Book {
    /// Changes and their answer are owed, behind all that are.
    pub(super) fn owe(&mut self, changes: Vec<Change>, answer: Answer) {
        self.0.push_back((changes, answer));
    }

    /// The changes and the answer that are due.
    pub(super) fn take(&mut self) -> Option<(Vec<Change>, Answer)> {
        self.0.pop_front()
    }
}

/// The same changes, with every value checked and in the form that is kept.
///
/// # Errors
///
/// What the client is to be told.
fn checked(changes: Vec<Change>, cluster: &Cluster) -> Result<Vec<Change>, Fault> {
    changes.into_iter().map(|change| checked_change(change, cluster)).collect()
}

fn checked_change(change: Change, cluster: &Cluster) -> Result<Change, Fault> {
    let Change { scope, action } = change;
    let action = match action {
        Action::Set { name, value } => {
            let value = Parameter::find(&name)?.check(&value::plain(&value), cluster)?;
            Action::Config { name, value }
        }
        Action::Config { name, value } => {
            let value = Parameter::find(&name)?.check(&value, cluster)?;
            Action::Config { name, value }
        }
        Action::Reset { name } => {
            Parameter::find(&name)?.check_settable()?;
            Action::Reset { name }
        }
        Action::Bound { name: Operand::Text(name), value } => {
            Parameter::find(&name)?.check_settable()?;
            Action::Bound { name: Operand::Text(name), value }
        }
        Action::Bound { .. }
        | Action::Hidden
        | Action::ResetAll
        | Action::Transaction
        | Action::Unseen { .. } => action,
    };
    Ok(Change { scope, action })
}

/// Takes our parameters out of a startup packet's, checked.
///
/// # Errors
///
/// What the client is to be told.
pub(super) fn split_off(settings: &mut Settings, cluster: &Cluster) -> Result<Settings, Fault> {
    let mut ours = Settings::default();
    let names: Vec<String> =
        settings.iter().map(|(name, _)| name.to_owned()).filter(|name| is_ours(name)).collect();
    for name in names {
        if let Some(Value::Config(value) | Value::Sql(value)) = settings.get(&name) {
            let value = Parameter::find(&name)?.check(value, cluster)?;
            ours.set(&name, Some(Value::Config(value.into())));
        }
        settings.set(&name, None);
    }
    Ok(ours)
}

/// What SHOW shows of a parameter where the session has not set it.
fn default_of(parameter: Parameter, routing: &Routing) -> String {
    match parameter {
        Parameter::After | Parameter::Group | Parameter::Token => String::new(),
        Parameter::Consistency => routing.consistency.as_str().to_owned(),
        Parameter::Explain => "off".to_owned(),
        Parameter::MaxLag => value::show_time(routing.max_lag),
        Parameter::Monotonic => match routing.monotonic {
            Monotonic::On => "on".to_owned(),
            Monotonic::Off => "off".to_owned(),
        },
        Parameter::Route => routing.route.as_str().to_owned(),
    }
}

/// What fails a read-only transaction on a replica, whose next statement would leave session state behind.
pub(super) fn not_on_replica() -> Fault {
    let message = "this read-only transaction runs on a replica, where its statement would leave session state behind";
    Fault { code: SqlState::FEATURE_NOT_SUPPORTED, message: message.to_owned(), hint: TO_PRIMARY }
}

/// What fails a read-only transaction on a replica, whose next statement would lock there what is to be locked on the primary,
/// or end a process there.
pub(super) fn meant_for_primary() -> Fault {
    let message = "this read-only transaction runs on a replica, where its statement would act on the replica";
    Fault { code: SqlState::FEATURE_NOT_SUPPORTED, message: message.to_owned(), hint: TO_PRIMARY }
}

/// How a read-only transaction comes to run on the primary.
const TO_PRIMARY: &str = "Begin such a transaction with /* pglagoon: primary */ in front.";

/// What fails a statement that names a prepared statement as only pgLagoon does.
pub(super) fn reserved_name() -> Fault {
    let message = "names of prepared statements that begin with \"pgl_\" are reserved";
    let hint = "pgLagoon gives such names to statements that its clients share.";
    Fault { code: SqlState::RESERVED_NAME, message: message.to_owned(), hint }
}

/// Whether any of the changes ends with the transaction.
fn is_local(changes: &[Change]) -> bool {
    changes.iter().any(|change| change.scope == Scope::Local)
}

#[cfg(test)]
mod tests;
