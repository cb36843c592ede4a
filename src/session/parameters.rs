//! The parameters of one client's session (GUCs), wherever its statements run.
//!
//! `current` is what the client's next statement must find. SET LOCAL shows only there; `lasting` is what is left when
//! the transaction is committed, and `committed` what it falls back to when the transaction (or the implicit one of a
//! batch) is rolled back: a SET is transactional (<https://www.postgresql.org/docs/current/sql-set.html>), and ROLLBACK
//! TO a savepoint undoes what came after that. `defaults` came with the startup packet: what RESET goes back to.
//!
//! Everything is followed in the order in which the server has done it.

mod changes;
mod date_style;
mod ours;
mod savepoints;
mod script;
mod startup;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::clock::Mono;
use crate::cluster::Flushing;
use crate::protocol::TransactionStatus;
use crate::server::settings::{Settings, Value};
use crate::server::statements::Background;
use crate::session::ours::Book;
use crate::sql::settings::{Change, Scope, canonical};
pub(crate) use changes::is_settable;
pub(crate) use savepoints::Savepoint;
use savepoints::Savepoints;
pub(crate) use script::Script;

/// Decides whether a commit is flushed before it is acknowledged.
const SYNCHRONOUS_COMMIT: &str = "synchronous_commit";

/// Parameters whose values PostgreSQL reports (those that it marks GUC_REPORT, and what `is_superuser` follows from), in
/// lower case.
const REPORTING: [&str; 10] = [
    "application_name",
    "client_encoding",
    "datestyle",
    "default_transaction_read_only",
    "intervalstyle",
    "role",
    "search_path",
    "session_authorization",
    "standard_conforming_strings",
    "timezone",
];

/// Whether an error has doomed the transaction, be it the implicit one of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Doomed {
    #[default]
    No,
    Yes,
}

/// Whether what is believed of the transaction is sure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Clarity {
    /// It is.
    #[default]
    Clear,
    /// Something has been set, or undone, by a text of which it is not known in detail what it does.
    Blurred,
    /// Blurred, and what the client has set may be other than what is believed.
    Lost,
}

/// Something on its way that bears on parameters.
#[derive(Debug)]
pub(crate) enum Step {
    /// These changes.
    Changes(Vec<Change>),
    /// A savepoint.
    Savepoint(Savepoint),
    /// Several statements, some of which control transactions.
    Script(Script),
    /// The same, if not all that they do to savepoints is known.
    Several,
}

/// Whether a transaction has changed parameters, were it back to what they had been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Touched {
    #[default]
    No,
    Yes,
}

/// The parameters of one client.
#[derive(Debug)]
pub(crate) struct Parameters {
    defaults: Arc<Settings>,
    committed: Arc<Settings>,
    lasting: Arc<Settings>,
    current: Arc<Settings>,
    savepoints: Savepoints,
    doomed: Doomed,
    clarity: Clarity,
    touched: Touched,
    pending: VecDeque<Step>,
    explained: Explained,
    commits: Commits,
    /// What something on its way may make of that.
    foreseen: Commits,
    /// What was reset to a startup value that the server does not know: there it has the server's default.
    revoked: Vec<Box<str>>,
    ours: Book,
}

/// Whether the transaction contains statements that are known to set parameters: what the server reports of its
/// parameters is their doing then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Explained {
    #[default]
    No,
    Yes,
}

/// Whether commits are known to be flushed before they are acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Commits {
    /// They are: `synchronous_commit` is at least `local`, as far as the session has a say in it.
    #[default]
    Flushed,
    /// The session or the transaction has set `synchronous_commit`, perhaps to `off`.
    Perhaps,
}

impl Commits {
    /// When what was acknowledged before `now` is certainly flushed, and so can be seen on replicas that are as fresh.
    pub(crate) fn visible_at(self, now: Mono, flushing: &Flushing) -> Mono {
        match self {
            Self::Flushed => now,
            Self::Perhaps => now.plus(flushing.within()),
        }
    }
}

/// What the session must do because of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The client's parameters are known exactly.
    Known,
    /// They are not: the client must stay on this server.
    Unknown,
}

impl Parameters {
    /// A client with these startup parameters.
    pub(crate) fn new(defaults: Arc<Settings>) -> Self {
        Self {
            committed: Arc::clone(&defaults),
            lasting: Arc::clone(&defaults),
            current: Arc::clone(&defaults),
            defaults,
            savepoints: Savepoints::default(),
            doomed: Doomed::No,
            clarity: Clarity::Clear,
            touched: Touched::No,
            pending: VecDeque::new(),
            explained: Explained::No,
            commits: Commits::Flushed,
            foreseen: Commits::Flushed,
            revoked: Vec::new(),
            ours: Book::default(),
        }
    }

    /// What a server must have for the client's next statement.
    #[inline]
    pub(crate) fn wanted(&self) -> &Arc<Settings> {
        &self.current
    }

    /// Under which circumstances the next text is parsed, with the catalog as `schema` says; `None` if a change is
    /// under way, or was made that is not known in detail.
    #[inline]
    pub(crate) fn background(&self, schema: u64) -> Option<Background> {
        if !self.pending.is_empty() || self.clarity != Clarity::Clear {
            return None;
        }
        Some(Background { meaning: self.current.meaning().map(Arc::clone), schema })
    }

    /// Something that bears on parameters is on its way.
    pub(crate) fn expect(&mut self, step: Step) {
        let sets = match &step {
            Step::Changes(_) => true,
            Step::Script(script) => script.sets(),
            Step::Savepoint(_) | Step::Several => false,
        };
        if sets {
            self.explained = Explained::Yes;
        }
        self.pending.push_back(step);
    }

    /// What is on its way may have its transaction acknowledged before it is flushed.
    pub(crate) fn expect_lazy_commit(&mut self) {
        self.foreseen = Commits::Perhaps;
    }

    /// Whether what the server reports of its parameters is the doing of the client's own statements.
    pub(crate) fn is_explained(&self) -> bool {
        self.explained == Explained::Yes
    }

    /// Whether the present transaction has changed nothing, and nothing on its way will.
    pub(crate) fn is_untouched(&self) -> bool {
        self.touched == Touched::No && self.pending.is_empty()
    }

    /// Whether a server has something to report when everything is as it was at the log-in.
    pub(crate) fn would_report(&self) -> bool {
        REPORTING.iter().any(|name| self.lasting.get(name) != self.defaults.get(name))
    }

    /// The oldest such step has succeeded.
    pub(crate) fn commit(&mut self) {
        match self.pending.pop_front() {
            Some(Step::Changes(changes)) => self.make(changes),
            Some(Step::Savepoint(savepoint)) => self.savepoint(savepoint),
            Some(Step::Several) => self.savepoints.lose(),
            // Its statements have taken effect one by one.
            Some(Step::Script(_)) | None => {}
        }
    }

    /// The oldest such step has failed.
    pub(crate) fn roll_back(&mut self) {
        if matches!(self.pending.pop_front(), Some(Step::Several)) {
            self.savepoints.lose();
        }
    }

    /// An error: the transaction, be it the implicit one of a batch, is going to be rolled back.
    #[inline]
    pub(crate) fn on_error(&mut self) {
        self.doomed = Doomed::Yes;
    }

    /// The error is not going to be seen: its statement runs again elsewhere.
    pub(crate) fn forget_error(&mut self) {
        self.doomed = Doomed::No;
    }

    /// DISCARD ALL outside a transaction.
    pub(crate) fn discard(&mut self) {
        self.touched = Touched::Yes;
        self.lasting = Arc::clone(&self.defaults);
        self.keep();
    }

    /// A command that ends transactions has completed.
    pub(crate) fn on_command(&mut self, tag: &[u8]) {
        match tag {
            b"COMMIT" | b"PREPARE TRANSACTION" => self.keep(),
            b"ROLLBACK" => {
                // It may have been ROLLBACK TO.
                if self.touched == Touched::Yes
                    && self.pending.iter().any(|step| matches!(step, Step::Several))
                {
                    self.clarity = Clarity::Lost;
                }
                self.undo();
            }
            b"DISCARD ALL" => {
                self.discard();
                self.revoke_defaults();
            }
            _ => {}
        }
    }

    /// The server reports a parameter whose change its SQL did not reveal.
    pub(crate) fn observe(&mut self, name: &str, value: &str) {
        if self.explained == Explained::Yes {
            return;
        }
        let name = name.to_ascii_lowercase();
        let value = canonical(&name, value, None);
        self.change(&name, Some(&Value::Config(value.into())), Scope::Session);
    }

    /// ReadyForQuery. The server's parameters are the client's from here on, whatever happened.
    #[inline]
    pub(crate) fn on_ready(&mut self, status: TransactionStatus) -> Outcome {
        let doomed = std::mem::take(&mut self.doomed);
        let outcome = match self.clarity {
            Clarity::Clear | Clarity::Blurred => Outcome::Known,
            Clarity::Lost => Outcome::Unknown,
        };
        if status == TransactionStatus::Idle {
            self.explained = Explained::No;
            self.clarity = Clarity::Clear;
            match doomed {
                Doomed::No => self.keep(),
                Doomed::Yes => self.undo(),
            }
        }
        outcome
    }

    /// The transaction is committed: what was set for it alone is gone.
    #[inline]
    fn keep(&mut self) {
        self.savepoints.clear();
        if self.touched == Touched::Yes {
            self.touched = Touched::No;
            self.committed = Arc::clone(&self.lasting);
            self.current = Arc::clone(&self.lasting);
        }
    }

    /// The transaction is rolled back.
    #[inline]
    fn undo(&mut self) {
        self.savepoints.clear();
        if self.touched == Touched::Yes {
            self.touched = Touched::No;
            self.lasting = Arc::clone(&self.committed);
            self.current = Arc::clone(&self.committed);
        }
    }

    fn savepoint(&mut self, savepoint: Savepoint) {
        match savepoint {
            Savepoint::Set(name) => self.savepoints.set(name, (&self.lasting, &self.current)),
            Savepoint::Release(name) => self.savepoints.release(&name),
            Savepoint::RollBackTo(name) => match self.savepoints.roll_back_to(&name) {
                Some((lasting, current)) => {
                    self.lasting = lasting;
                    self.current = current;
                }
                None if self.touched == Touched::Yes => self.clarity = Clarity::Lost,
                None => {}
            },
        }
    }

    /// Takes the names of what the server may not have as the client has, since the transaction has ended.
    #[inline]
    pub(crate) fn take_revoked(&mut self) -> Vec<Box<str>> {
        std::mem::take(&mut self.revoked)
    }

    fn revoke_defaults(&mut self) {
        self.revoked = self.defaults.iter().map(|(name, _)| name.into()).collect();
    }

    /// Whether the commits of the present transaction are known to be flushed when they are acknowledged. To be
    /// asked before the transaction is forgotten with [`Parameters::transaction_ended`].
    pub(crate) fn commits(&self, flushing: &Flushing) -> Commits {
        let is_set = self.current.get(SYNCHRONOUS_COMMIT).is_some();
        if is_set || flushing.is_lazy() || self.foreseen == Commits::Perhaps {
            return Commits::Perhaps;
        }
        self.commits
    }

    /// The transaction has ended: what was set for it alone is gone.
    #[inline]
    pub(crate) fn transaction_ended(&mut self) {
        self.commits = Commits::Flushed;
    }

    /// No transaction is open, and nothing is on its way.
    #[inline]
    pub(crate) fn nothing_expected(&mut self) {
        self.foreseen = Commits::Flushed;
    }
}
