//! The parameters of one client's session (GUCs), wherever its statements run.
//!
//! `current` is what the client's next statement must find, `committed` what it falls back to when the
//! transaction (or the implicit one of a batch) is rolled back: a SET is transactional
//! (<https://www.postgresql.org/docs/current/sql-set.html>). `defaults` came with the startup packet: what
//! RESET goes back to.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::protocol::TransactionStatus;
use crate::server::settings::{Settings, Value};
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
}

/// The parameters of one client.
#[derive(Debug)]
pub(crate) struct Parameters {
    defaults: Arc<Settings>,
    committed: Arc<Settings>,
    current: Arc<Settings>,
    ended: Ended,
    pending: VecDeque<Vec<Change>>,
    explained: Explained,
    commits: Commits,
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
            pending: VecDeque::new(),
            explained: Explained::No,
            commits: Commits::Flushed,
        }
    }

    /// What a server must have for the client's next statement.
    #[inline]
    pub(crate) fn wanted(&self) -> &Arc<Settings> {
        &self.current
    }

    /// A statement that makes these changes is on its way.
    pub(crate) fn expect(&mut self, changes: Vec<Change>) {
        self.explained = Explained::Yes;
        self.pending.push_back(changes);
    }

    /// The oldest such statement has succeeded.
    pub(crate) fn commit(&mut self) {
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
        self.ended = Ended::RolledBack;
    }

    /// The error is not going to be seen: its statement runs again elsewhere.
    pub(crate) fn forget_error(&mut self) {
        self.ended = Ended::Committed;
    }

    /// DISCARD ALL outside a transaction.
    pub(crate) fn discard(&mut self) {
        self.current = Arc::clone(&self.defaults);
        self.committed = Arc::clone(&self.defaults);
    }

    /// A command that ends transactions has completed.
    pub(crate) fn on_command(&mut self, tag: &[u8]) {
        match tag {
            b"COMMIT" => {
                self.ended = Ended::Committed;
                self.committed = Arc::clone(&self.current);
            }
            b"ROLLBACK" => self.ended = Ended::RolledBack,
            b"DISCARD ALL" => {
                self.current = Arc::clone(&self.defaults);
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
        if Arc::ptr_eq(&self.current, &self.committed) {
            self.ended = Ended::Committed;
            return Outcome::Known;
        }
        match (status, std::mem::take(&mut self.ended)) {
            (TransactionStatus::Idle, Ended::Committed) => {
                self.committed = Arc::clone(&self.current);
                Outcome::Known
            }
            (TransactionStatus::Idle, Ended::RolledBack) => {
                self.current = Arc::clone(&self.committed);
                Outcome::Known
            }
            // The rest of the block decides; COMMIT of a failed block answers ROLLBACK.
            (TransactionStatus::InTransaction, Ended::Committed)
            | (TransactionStatus::Failed, _) => Outcome::Known,
            // ROLLBACK TO SAVEPOINT: which of the block's SETs it undid is not kept.
            (TransactionStatus::InTransaction, Ended::RolledBack) => Outcome::Unknown,
        }
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
    }

    fn apply(&mut self, change: Change) {
        if let Action::Set { name, .. } | Action::Config { name, .. } = &change.action
            && name == SYNCHRONOUS_COMMIT
        {
            self.commits = Commits::Perhaps;
        }
        if change.scope == Scope::Local {
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
                let mut settings = (*self.defaults).clone();
                for name in ["role", "session_authorization"] {
                    settings.set(name, self.current.get(name).cloned());
                }
                self.current = Arc::new(settings);
            }
            Action::Transaction => {}
        }
    }

    fn reset(&mut self, name: &str) {
        let value = self.defaults.get(name).cloned();
        self.change(name, value);
    }

    fn change(&mut self, name: &str, value: Option<Value>) {
        if self.current.get(name) != value.as_ref() {
            // SET SESSION AUTHORIZATION also ends SET ROLE.
            let settings = Arc::make_mut(&mut self.current);
            settings.set(name, value);
            if name == "session_authorization" {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> Vec<Change> {
        vec![Change {
            scope: Scope::Session,
            action: Action::Set { name: name.into(), value: value.into() },
        }]
    }

    fn run(parameters: &mut Parameters, changes: Vec<Change>, status: TransactionStatus) {
        parameters.expect(changes);
        parameters.commit();
        assert_eq!(parameters.on_ready(status), Outcome::Known);
    }

    fn value(parameters: &Parameters, name: &str) -> Option<String> {
        match parameters.wanted().get(name)? {
            Value::Sql(text) | Value::Config(text) => Some(text.to_string()),
        }
    }

    #[test]
    fn a_set_outside_a_transaction_stays() {
        let mut parameters = Parameters::new(Arc::default());
        run(&mut parameters, set("a", "1"), TransactionStatus::Idle);
        parameters.on_error();
        let _ = parameters.on_ready(TransactionStatus::Idle);
        assert_eq!(value(&parameters, "a").as_deref(), Some("1"));
    }

    #[test]
    fn a_set_is_undone_with_its_transaction() {
        let mut parameters = Parameters::new(Arc::default());
        run(&mut parameters, set("a", "1"), TransactionStatus::InTransaction);
        assert_eq!(value(&parameters, "a").as_deref(), Some("1"));
        parameters.on_command(b"ROLLBACK");
        assert_eq!(parameters.on_ready(TransactionStatus::Idle), Outcome::Known);
        assert_eq!(value(&parameters, "a"), None);
    }

    #[test]
    fn a_committed_set_survives_a_later_rollback() {
        let mut parameters = Parameters::new(Arc::default());
        run(&mut parameters, set("a", "1"), TransactionStatus::InTransaction);
        parameters.on_command(b"COMMIT");
        let _ = parameters.on_ready(TransactionStatus::Idle);
        run(&mut parameters, set("a", "2"), TransactionStatus::InTransaction);
        parameters.on_command(b"ROLLBACK");
        let _ = parameters.on_ready(TransactionStatus::Idle);
        assert_eq!(value(&parameters, "a").as_deref(), Some("1"));
    }

    #[test]
    fn an_error_in_the_batch_undoes_its_set() {
        let mut parameters = Parameters::new(Arc::default());
        parameters.expect(set("a", "1"));
        parameters.commit();
        parameters.on_error();
        assert_eq!(parameters.on_ready(TransactionStatus::Idle), Outcome::Known);
        assert_eq!(value(&parameters, "a"), None);
    }

    #[test]
    fn a_rollback_to_a_savepoint_after_a_set_is_not_known() {
        let mut parameters = Parameters::new(Arc::default());
        run(&mut parameters, set("a", "1"), TransactionStatus::InTransaction);
        parameters.on_command(b"ROLLBACK");
        assert_eq!(parameters.on_ready(TransactionStatus::InTransaction), Outcome::Unknown);
    }

    #[test]
    fn reset_goes_back_to_the_startup_value() {
        let mut defaults = Settings::default();
        defaults.set("a", Some(Value::Config("0".into())));
        let mut parameters = Parameters::new(Arc::new(defaults));
        run(&mut parameters, set("a", "1"), TransactionStatus::Idle);
        let reset = Change { scope: Scope::Session, action: Action::Reset { name: "a".into() } };
        run(&mut parameters, vec![reset], TransactionStatus::Idle);
        assert_eq!(value(&parameters, "a").as_deref(), Some("0"));
        assert!(Arc::ptr_eq(&parameters.defaults, &parameters.current));
    }

    #[test]
    fn reset_all_keeps_the_role() {
        let mut parameters = Parameters::new(Arc::default());
        run(&mut parameters, set("role", "r"), TransactionStatus::Idle);
        run(&mut parameters, set("a", "1"), TransactionStatus::Idle);
        let all = Change { scope: Scope::Session, action: Action::ResetAll };
        run(&mut parameters, vec![all], TransactionStatus::Idle);
        assert_eq!(value(&parameters, "a"), None);
        assert_eq!(value(&parameters, "role").as_deref(), Some("r"));
    }
}
