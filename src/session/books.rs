//! Carries out what the machine reports.

use crate::protocol::{BackendTag, backend};
use crate::server::statements::Statements;
use crate::session::machine::{Change, Ledger, Owed, Request, Synthetic};
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
            Change::None => {}
            Change::Names | Change::Unnamed => self.names.commit(),
            Change::Prepares(id) => self.statements.confirm(id),
            Change::PreparesAndNames(id) => {
                self.statements.confirm(id);
                self.names.commit();
            }
            Change::Session => self.parameters.commit(),
        }
    }

    fn failed(&mut self, owed: Owed) {
        // A Parse of the unnamed statement drops the old one before anything can fail (`exec_parse_message`).
        if owed.change == Change::Unnamed {
            self.names.forget_unnamed();
        }
        self.skipped(owed);
    }

    fn skipped(&mut self, owed: Owed) {
        match owed.change {
            Change::None => {}
            Change::Names => self.names.roll_back(),
            Change::Unnamed => {
                self.names.roll_back();
                self.statements.set_unnamed(None);
            }
            Change::Prepares(id) => self.statements.forget(id),
            Change::PreparesAndNames(id) => {
                self.statements.forget(id);
                self.names.roll_back();
            }
            Change::Session => self.parameters.roll_back(),
        }
        // An injected Parse of the unnamed statement may be among what failed.
        if owed.request == Request::Parse && owed.change == Change::None {
            self.statements.set_unnamed(None);
        }
    }

    fn synthesize(&mut self, answer: Synthetic) {
        match answer {
            Synthetic::CloseComplete => backend::bare(self.answers, BackendTag::CLOSE_COMPLETE),
            Synthetic::ParseComplete => backend::bare(self.answers, BackendTag::PARSE_COMPLETE),
            Synthetic::Deallocated(status) => {
                backend::command_complete(self.answers, b"DEALLOCATE");
                backend::ready_for_query(self.answers, status);
            }
        }
    }
}
