//! What the queue of owed answers tells beyond whether it is empty.

use super::stage::{Batch, Copy, Head};
use super::{Change, Fate, Machine, Request};
use crate::protocol::TransactionStatus;

impl Machine {
    /// Whether nothing is owed beyond the present request group, outside a transaction: one ReadyForQuery would
    /// end it.
    pub(crate) fn is_last_of_batch(&self) -> bool {
        self.owes_one_batch() && self.status == TransactionStatus::Idle && self.copy == Copy::None
    }

    /// Whether one ReadyForQuery is going to come, with which all that is owed has been answered.
    fn owes_one_batch(&self) -> bool {
        let ends = self.owed.iter().filter(|owed| owed.request.ends_with_ready());
        ends.count() == 1 && self.batch == Batch::Closed
    }

    /// Whether a request that is sent now may find the transaction failed. The server answers it with an error then,
    /// also where we know the answer.
    #[inline]
    pub(crate) fn may_be_failed(&self) -> bool {
        match self.status {
            TransactionStatus::Idle => false,
            TransactionStatus::InTransaction => self.awaits_ready(),
            TransactionStatus::Failed => true,
        }
    }

    /// Whether a ReadyForQuery is going to come.
    pub(crate) fn awaits_ready(&self) -> bool {
        self.owed.iter().any(|owed| owed.request.ends_with_ready())
    }

    /// After an error that has left no transaction: has its Sync, if that is all that is still to be answered, answered
    /// to nobody. Returns whether that is so.
    pub(crate) fn swallow_sync(&mut self) -> bool {
        if self.status != TransactionStatus::Idle || !self.at_boundary() || self.is_in_doubt() {
            return false;
        }
        match self.owed.len() {
            0 => true,
            1 => self.owed.front_mut().is_some_and(|owed| {
                let is_sync = owed.request == Request::Sync;
                if is_sync {
                    owed.fate = Fate::Swallow;
                }
                is_sync
            }),
            _ => false,
        }
    }

    /// What the request that is being answered changes.
    pub(crate) fn change_at_hand(&self) -> Change {
        self.owed.front().map_or(Change::None, |owed| owed.change)
    }

    /// Whether nothing is owed but the rest of the answer to one request, and what comes of our own accord or by a Sync.
    pub(crate) fn is_at_last(&self) -> bool {
        let mut others = self.owed.iter().skip(1);
        others.all(|owed| owed.fate == Fate::Swallow || owed.request == Request::Sync)
    }

    /// Whether a Query of our own has not been answered.
    pub(crate) fn awaits_own_query(&self) -> bool {
        self.owed.iter().any(|owed| owed.fate == Fate::Swallow && owed.request == Request::Query)
    }

    /// Whether what the client sends must wait until the server has agreed to something of ours.
    pub(crate) fn awaits_consent(&self) -> bool {
        self.awaits_own_query()
            || self.owed.iter().any(|owed| matches!(owed.change, Change::Checks(_)))
    }

    /// Whether one whole batch is owed that began with the request of this number, and nothing of its answer has come.
    pub(crate) fn is_silent_since(&self, first: u64) -> bool {
        self.owes_one_batch() && self.head == Head::Silent && self.oldest() == first
    }

    /// Whether anything is owed that the server answers.
    pub(crate) fn awaits_server(&self) -> bool {
        self.owed
            .iter()
            .any(|owed| owed.fate != Fate::Synthesize && owed.request != Request::CopyEnd)
    }
}
