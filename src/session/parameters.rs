//! The parameters of one client's session (GUCs), wherever its statements run.
//!
//! `current` is what the client's next statement must find, `committed` what it falls back to when the
//! transaction (or the implicit one of a batch) is rolled back: a SET is transactional
//! (<https://www.postgresql.org/docs/current/sql-set.html>). `defaults` came with the startup packet: what
//! RESET goes back to.

mod ours;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Mono;
use crate::protocol::TransactionStatus;
use crate::server::settings::{Settings, Value};
use crate::server::statements::Background;
use crate::session::ours::Book;
use crate::sql::settings::{Action, Change, Scope};

/// Decides whether a commit is flushed before it is acknowledged.
const SYNCHRONOUS_COMMIT: &str = "synchronous_commit";

/// What became of a transaction, as far as it is known when its statement completes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ended {
    /// It goes on, or it was committed.
    #[default]
    Committed,
    /// An error or ROLLBACK.
    RolledBack,
    /// ROLLBACK, perhaps only to a savepoint, and then more that depends on what it has undone.
    Unsure,
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
    current: Arc<Settings>,
    ended: Ended,
    touched: Touched,
    pending: VecDeque<Vec<Change>>,
    explained: Explained,
    commits: Commits,
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

/// How long after it was acknowledged a commit may not be flushed yet with `synchronous_commit = off`: three times
/// the default of `wal_writer_delay` (<https://www.postgresql.org/docs/current/wal-async-commit.html>).
const LAZY_FLUSH: Duration = Duration::from_millis(600);

impl Commits {
    /// When what was acknowledged before `now` is certainly flushed, and so can be seen on replicas that are as fresh.
    pub(crate) fn visible_at(self, now: Mono) -> Mono {
        match self {
            Self::Flushed => now,
            Self::Perhaps => now.plus(LAZY_FLUSH),
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
            current: Arc::clone(&defaults),
            defaults,
            ended: Ended::default(),
            touched: Touched::No,
            pending: VecDeque::new(),
            explained: Explained::No,
            commits: Commits::Flushed,
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
    /// under way or may end with the transaction.
    #[inline]
    pub(crate) fn background(&self, schema: u64) -> Option<Background> {
        if self.explained == Explained::Yes {
            return None;
        }
        Some(Background { meaning: self.current.meaning().map(Arc::clone), schema })
    }

    /// A statement that makes these changes is on its way.
    pub(crate) fn expect(&mut self, changes: Vec<Change>) {
        self.explained = Explained::Yes;
        self.pending.push_back(changes);
    }

    /// The oldest such statement has succeeded.
    pub(crate) fn commit(&mut self) {
        if self.ended == Ended::RolledBack {
            self.ended = Ended::Unsure;
        }
        for change in self.pending.pop_front().unwrap_or_default() {
            self.apply(change);
        }
    }

    /// The oldest such statement has failed.
    pub(crate) fn roll_back(&mut self) {
        self.pending.pop_front();
    }

    /// An error: the transaction, be it the implicit one of a batch, is going to be rolled back.
    #[inline]
    pub(crate) fn on_error(&mut self) {
        if self.ended != Ended::Unsure {
            self.ended = Ended::RolledBack;
        }
    }

    /// The error is not going to be seen: its statement runs again elsewhere.
    pub(crate) fn forget_error(&mut self) {
        self.ended = Ended::Committed;
    }

    /// DISCARD ALL outside a transaction.
    pub(crate) fn discard(&mut self) {
        self.current = Arc::clone(&self.defaults);
        self.committed = Arc::clone(&self.defaults);
        self.touched = Touched::No;
    }

    /// A command that ends transactions has completed.
    pub(crate) fn on_command(&mut self, tag: &[u8]) {
        match tag {
            b"COMMIT" if self.ended != Ended::Committed && self.touched == Touched::Yes => {
                self.ended = Ended::Unsure;
            }
            b"COMMIT" => {
                self.ended = Ended::Committed;
                self.touched = Touched::No;
                self.committed = Arc::clone(&self.current);
            }
            b"ROLLBACK" if self.ended == Ended::Committed => self.ended = Ended::RolledBack,
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
        self.change(&name, Some(Value::Config(value.into())));
    }

    /// ReadyForQuery. The server's parameters are the client's from here on, whatever happened.
    #[inline]
    pub(crate) fn on_ready(&mut self, status: TransactionStatus) -> Outcome {
        if status == TransactionStatus::Idle {
            self.explained = Explained::No;
        }
        let ended = std::mem::take(&mut self.ended);
        if self.touched == Touched::No {
            return Outcome::Known;
        }
        match (status, ended) {
            (TransactionStatus::Idle, Ended::Committed) => {
                self.committed = Arc::clone(&self.current);
                self.touched = Touched::No;
                Outcome::Known
            }
            (TransactionStatus::Idle, Ended::RolledBack) => {
                self.current = Arc::clone(&self.committed);
                self.touched = Touched::No;
                Outcome::Known
            }
            // The rest of the block decides; COMMIT of a failed block answers ROLLBACK.
            (TransactionStatus::InTransaction, Ended::Committed)
            | (TransactionStatus::Failed, Ended::Committed | Ended::RolledBack) => Outcome::Known,
            // ROLLBACK TO SAVEPOINT: which of the block's SETs it undid is not kept.
            (TransactionStatus::InTransaction, Ended::RolledBack) | (_, Ended::Unsure) => {
                Outcome::Unknown
            }
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
    pub(crate) fn commits(&self) -> Commits {
        if self.current.get(SYNCHRONOUS_COMMIT).is_some() { Commits::Perhaps } else { self.commits }
    }

    /// The transaction has ended: what was set for it alone is gone.
    #[inline]
    pub(crate) fn transaction_ended(&mut self) {
        self.commits = Commits::Flushed;
        self.ours.transaction_ended();
    }

    fn apply(&mut self, change: Change) {
        if let Action::Set { name, .. } | Action::Config { name, .. } = &change.action
            && name == SYNCHRONOUS_COMMIT
        {
            self.commits = Commits::Perhaps;
        }
        if change.scope == Scope::Local {
            self.ours.set_local(&self.current, &change.action);
            return;
        }
        match change.action {
            Action::Set { name, value } if value.eq_ignore_ascii_case("default") => {
                self.reset(&name);
            }
            Action::Set { name, value } => {
                self.change(&name, Some(Value::Sql(value.into_boxed_str())));
            }
            Action::Config { name, value } => {
                self.change(&name, Some(Value::Config(value.into_boxed_str())));
            }
            Action::Reset { name } => self.reset(&name),
            // RESET ALL leaves the role and the session's user (GUC_NO_RESET_ALL in guc_tables.c).
            Action::ResetAll => {
                self.touched = Touched::Yes;
                let mut settings = (*self.defaults).clone();
                for name in ["role", "session_authorization"] {
                    settings.set(name, self.current.get(name).cloned());
                }
                self.current = Arc::new(settings);
                self.revoke_defaults();
            }
            Action::Transaction => {}
        }
    }

    fn reset(&mut self, name: &str) {
        let value = self.defaults.get(name).cloned();
        if value.is_some() {
            self.revoked.push(name.into());
        }
        self.change(name, value);
    }

    fn change(&mut self, name: &str, value: Option<Value>) {
        self.touched = Touched::Yes;
        self.ours.set(name, value.as_ref());
        // SET SESSION AUTHORIZATION also ends SET ROLE, even if it changes nothing itself.
        let ends_role = name == "session_authorization" && self.current.get("role").is_some();
        if ends_role || self.current.get(name) != value.as_ref() {
            let settings = Arc::make_mut(&mut self.current);
            settings.set(name, value);
            if ends_role {
                settings.set("role", None);
            }
        }
        self.share();
    }

    /// Goes back to the set that others share when the values are the same again.
    fn share(&mut self) {
        for known in [&self.committed, &self.defaults] {
            if **known == *self.current {
                self.current = Arc::clone(known);
                return;
            }
        }
    }
}
