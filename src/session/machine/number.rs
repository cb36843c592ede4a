//! Requests by number: for who wants to know later which of them the server answers.

use crate::session::machine::Machine;

impl Machine {
    /// The number of the next request that is entered.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        self.sent
    }

    /// The number of the oldest request that is owed; of the next one, if none is.
    #[inline]
    pub(crate) fn oldest(&self) -> u64 {
        self.sent - u64::try_from(self.owed.len()).unwrap_or(0)
    }
}
