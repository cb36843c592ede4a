//! Who learns what became of each request.

use crate::protocol::TransactionStatus;
use crate::session::machine::Owed;

/// Learns what became of each request.
pub(crate) trait Ledger {
    /// The request was answered without an error.
    fn completed(&mut self, owed: Owed);
    /// The request failed.
    fn failed(&mut self, owed: Owed);
    /// The request was not looked at, because an earlier one failed or the server has gone.
    fn skipped(&mut self, owed: Owed);
    /// It is time to answer the client in the server's stead.
    fn synthesize(&mut self, answer: Synthetic);
}

/// An answer that we give in the server's stead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Synthetic {
    /// BindComplete.
    BindComplete,
    /// CloseComplete.
    CloseComplete,
    /// The oldest answer about our parameters.
    Ours,
    /// The same as the whole answer to a Query, with ReadyForQuery of this status.
    OursToQuery(TransactionStatus),
    /// ParseComplete.
    ParseComplete,
}
