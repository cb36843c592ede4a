//! What a text about our parameters asks for.

use crate::cluster::{Cluster, token};
use crate::config::Routing;
use crate::protocol::{SqlState, TransactionStatus};
use crate::server::settings::literal;
use crate::session::ours::{Answer, Fault, Parameter, checked, default_of, is_local, is_ours};
use crate::session::parameters::Commits;
use crate::session::succession::Side;
use crate::sql::settings::{self, Action, Change, Operand};

/// What a text about our parameters asks for.
#[derive(Debug)]
pub(in crate::session) enum Ask {
    /// Something that needs no server: these changes, and this answer.
    Ours(Vec<Change>, Answer),
    /// Something that a server is to run in its place.
    Server(Vec<u8>),
    /// Something that cannot be had.
    Fault(Fault),
}

/// What the answer depends on, besides the text.
#[derive(Clone, Copy, Debug)]
pub(in crate::session) struct Circumstances<'a> {
    pub(in crate::session) cluster: &'a Cluster,
    pub(in crate::session) routing: &'a Routing,
    pub(in crate::session) commits: Commits,
    /// What the client's server was chosen as.
    pub(in crate::session) side: Side,
}

impl<'a> Circumstances<'a> {
    /// Those of a client that has such a server.
    pub(in crate::session) fn at(side: Side, cluster: &'a Cluster, routing: &'a Routing) -> Self {
        Self { cluster, routing, commits: Commits::Flushed, side }
    }
}

/// What `text` asks for, one of whose statements names a parameter of ours.
pub(in crate::session) fn ask(text: &[u8], given: &Circumstances<'_>) -> Ask {
    if let Some(name) = settings::shown(text) {
        return match Parameter::find(&name) {
            Err(fault) => Ask::Fault(fault),
            Ok(Parameter::Token) => Ask::Server(match given.commits {
                Commits::Flushed => token::QUERY.into(),
                Commits::Perhaps => token::QUERY_UNFLUSHED.into(),
            }),
            Ok(parameter) => {
                let default = default_of(parameter, given.routing);
                Ask::Ours(Vec::new(), Answer::Show(parameter, default))
            }
        };
    }
    let changes = settings::lone_changes(text).filter(|changes| are_ours(changes));
    let Some(changes) = changes else {
        return Ask::Fault(Fault {
            code: SqlState::FEATURE_NOT_SUPPORTED,
            message: "parameters of pgLagoon and other statements cannot be in one text".to_owned(),
            hint: "Send a SET of a pglagoon parameter on its own.",
        });
    };
    match checked(changes, given.cluster) {
        Err(fault) => Ask::Fault(fault),
        Ok(changes) => {
            let answer = Answer::to(text, &changes);
            Ask::Ours(changes, answer)
        }
    }
}

fn are_ours(changes: &[Change]) -> bool {
    changes.iter().all(is_about_ours)
}

/// Whether any of the changes is about a parameter of ours.
pub(in crate::session) fn names_ours(changes: &[Change]) -> bool {
    changes.iter().any(is_about_ours)
}

fn is_about_ours(change: &Change) -> bool {
    match &change.action {
        Action::Bound { name: Operand::Text(name), .. }
        | Action::Config { name, .. }
        | Action::Reset { name }
        | Action::Set { name, .. } => is_ours(name),
        Action::Bound { .. }
        | Action::Hidden
        | Action::ResetAll
        | Action::Transaction
        | Action::Unseen { .. } => false,
    }
}

impl Fault {
    /// The SQL that makes a server report the fault: within a transaction it must fail as well.
    pub(in crate::session) fn sql(&self) -> Vec<u8> {
        let mut raise = Vec::from(b"BEGIN RAISE EXCEPTION USING ERRCODE =".as_slice());
        literal(&mut raise, self.code.as_str());
        raise.extend_from_slice(b", MESSAGE =");
        literal(&mut raise, &self.message);
        if !self.hint.is_empty() {
            raise.extend_from_slice(b", HINT =");
            literal(&mut raise, self.hint);
        }
        raise.extend_from_slice(b"; END");
        let mut sql = Vec::from(b"DO ".as_slice());
        literal(&mut sql, &String::from_utf8_lossy(&raise));
        sql
    }
}

impl Ask {
    /// The same of a Query, which has no values for parameters: that PostgreSQL says in its own words.
    pub(in crate::session) fn of_query(self, text: &[u8]) -> Self {
        match self {
            Self::Ours(changes, _) if settings::parameters(&changes) > 0 => {
                Self::Server(text.into())
            }
            other => other,
        }
    }

    /// The SQL for a server, if it has to have a part in the answer.
    pub(in crate::session) fn into_server(
        self,
        status: TransactionStatus,
    ) -> Result<Vec<u8>, (Vec<Change>, Answer)> {
        match self {
            Self::Server(sql) => Ok(sql),
            Self::Fault(fault) => Ok(fault.sql()),
            // It refuses every command, whichever it is.
            Self::Ours(..) if status == TransactionStatus::Failed => Ok(b"SELECT 1".into()),
            Self::Ours(changes, answer) => Err((changes, answer)),
        }
    }
}

impl Answer {
    /// The answer to `text`, which makes `changes`.
    pub(super) fn to(text: &[u8], changes: &[Change]) -> Self {
        let value = |change: &Change| match &change.action {
            Action::Config { value, .. } => value.clone(),
            _ => String::new(),
        };
        match settings::command(text) {
            settings::Command::Config => Self::Config(changes.iter().map(value).collect()),
            settings::Command::Reset => Self::Command(b"RESET"),
            settings::Command::Set if is_local(changes) => Self::SetLocal,
            settings::Command::Set => Self::Command(b"SET"),
        }
    }
}
