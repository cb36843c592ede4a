//! Parameters of pgLagoon's own among the session's, and the answers about them.

use std::sync::Arc;

use super::{Explained, Parameters};
use crate::protocol::TransactionStatus;
use crate::server::settings::{Settings, Value};
use crate::session::ours::Answer;
use crate::sql::settings::Change;

impl Parameters {
    /// The parameters that routing goes by.
    #[inline]
    pub(crate) fn in_force(&self) -> &Arc<Settings> {
        &self.current
    }

    /// Changes and an answer that become due when everything before them has been answered.
    pub(in crate::session) fn owe(&mut self, changes: Vec<Change>, answer: Answer) {
        self.ours.owe(changes, answer);
    }

    /// What was to be answered next will not be.
    pub(in crate::session) fn forget_answer(&mut self) {
        self.ours.take();
    }

    /// Makes the changes that are due, and appends their answer as after Execute or Describe.
    pub(in crate::session) fn answer(&mut self, out: &mut Vec<u8>) {
        let Some((changes, answer)) = self.ours.take() else { return };
        self.explain(changes);
        answer.execute(self.shown(&answer), out);
    }

    /// The same as the whole answer to a Query.
    pub(in crate::session) fn answer_query(
        &mut self,
        status: TransactionStatus,
        out: &mut Vec<u8>,
    ) {
        let Some((changes, answer)) = self.ours.take() else { return };
        let changes = if status == TransactionStatus::Idle { lasting(changes) } else { changes };
        self.explain(changes);
        answer.query(self.shown(&answer), status, out);
        if status == TransactionStatus::Idle {
            self.on_ready(status);
        }
    }

    fn explain(&mut self, changes: Vec<Change>) {
        if !changes.is_empty() {
            self.explained = Explained::Yes;
        }
        self.make(changes);
    }

    /// What the session has set of the parameter that `answer` shows.
    fn shown(&self, answer: &Answer) -> Option<&str> {
        let Answer::Show(parameter, _) = answer else { return None };
        match self.in_force().get(parameter.name())? {
            Value::Config(value) | Value::Sql(value) => Some(value),
        }
    }
}

/// What a statement that is a transaction of its own leaves: nothing that is local.
fn lasting(changes: Vec<Change>) -> Vec<Change> {
    use crate::sql::settings::Scope;
    changes.into_iter().filter(|change| change.scope == Scope::Session).collect()
}
