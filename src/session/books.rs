//! Carries out what the machine reports.

use crate::protocol::{BackendTag, backend};
use crate::server::statements::Statements;
use crate::session::machine::{Change, Fate, Ledger, Owed, Request, Synthetic};
use crate::session::names::Names;
use crate::session::parameters::Parameters;

/// What the answers of a server change, at the client's side and at the server's.
#[derive(Debug)]
pub(super) struct Books<'a> {
    pub(super) names: &'a mut Names,
    pub(super) parameters: &'a mut Parameters,
    pub(super) statements: &'a mut Statements,
    /// Where our own answers go.
    pub(super) answers: &'a mut Vec<u8>,
}

impl Ledger for Books<'_> {
    #[inline]
    fn completed(&mut self, owed: Owed) {
        match owed.change {
            Change::None | Change::Custom | Change::Refused | Change::Uses(_) => {}
            Change::Checks(_) | Change::Describes(_) => self.statements.end_description(),
            Change::Startup => drop(self.parameters.take_revoked()),
            Change::Names | Change::Unnamed => self.names.commit(),
            Change::Prepares(id) => self.statements.confirm(id),
            Change::PreparesAndNames(id) | Change::PreparesUnnamed(id) => {
                self.statements.confirm(id);
                self.names.commit();
            }
            Change::Given | Change::Offered => self.statements.given.confirm(),
            Change::Savepoint | Change::Script | Change::Session => self.parameters.commit(),
        }
    }

    fn failed(&mut self, owed: Owed) {
        self.undo(owed);
        // A Parse of the unnamed statement drops the old one before anything can fail (`exec_parse_message`).
        if matches!(owed.change, Change::Unnamed | Change::PreparesUnnamed(_)) {
            self.names.forget_unnamed();
        }
        if owed.request == Request::Parse {
            self.statements.lose_unnamed();
        }
    }

    fn skipped(&mut self, owed: Owed) {
        self.undo(owed);
        // These might have replaced or closed the server's unnamed statement.
        if matches!(owed.request, Request::Close | Request::Parse | Request::Query)
            && owed.fate != Fate::Synthesize
        {
            self.statements.lose_unnamed();
        }
    }

    fn synthesize(&mut self, answer: Synthetic) {
        match answer {
            Synthetic::BindComplete => backend::bare(self.answers, BackendTag::BIND_COMPLETE),
            Synthetic::Ours => self.parameters.answer(self.answers),
            Synthetic::OursToQuery(status) => self.parameters.answer_query(status, self.answers),
            Synthetic::CloseComplete => backend::bare(self.answers, BackendTag::CLOSE_COMPLETE),
            Synthetic::ParseComplete => backend::bare(self.answers, BackendTag::PARSE_COMPLETE),
        }
    }
}

impl Books<'_> {
    /// Takes back what was to change.
    fn undo(&mut self, owed: Owed) {
        if owed.fate == Fate::Synthesize && is_about_ours(owed.request) {
            self.parameters.forget_answer();
        }
        match owed.change {
            Change::None | Change::Custom | Change::Refused | Change::Startup | Change::Uses(_) => {
            }
            Change::Checks(_) | Change::Describes(_) => self.statements.end_description(),
            Change::Names | Change::Unnamed => self.names.roll_back(),
            Change::Prepares(id) => self.statements.forget(id),
            Change::PreparesAndNames(id) | Change::PreparesUnnamed(id) => {
                self.statements.forget(id);
                self.names.roll_back();
            }
            Change::Given | Change::Offered => self.statements.given.doubt(),
            Change::Savepoint | Change::Script | Change::Session => self.parameters.roll_back(),
        }
    }
}

/// Whether an answer is kept for such a request, if we answer it.
fn is_about_ours(request: Request) -> bool {
    matches!(
        request,
        Request::DescribePortal | Request::DescribeStatement | Request::Execute | Request::Ours
    )
}
