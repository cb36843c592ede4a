//! What a server still owes: the pure state machine of one attached server.
//!
//! Every request that goes to a server is entered with [`Machine::sent`]; every message that comes back is shown
//! to [`Machine::on_backend`], which says whether the client may see it and tells a [`Ledger`] which request was
//! answered and which will never be. Whether the server may be handed on is a conclusion from that
//! ([`Machine::is_settled`]), never a flag that someone sets.
//!
//! ```text
//!              sent(request)                on_backend(message)
//!   client ---------------------> owed ---------------------------> client
//!                              (a queue)
//!   Parse   -> ParseComplete                      Query, FunctionCall -> ... ReadyForQuery
//!   Bind    -> BindComplete                       Sync                -> ReadyForQuery
//!   Describe-> [ParameterDescription] RowDescription | NoData
//!   Execute -> ... CommandComplete | EmptyQueryResponse | PortalSuspended
//!   Close   -> CloseComplete                      an error in the extended protocol voids all up to Sync
//! ```
//!
//! There is no I/O here, no clock and no SQL. Sources of the rules: "Message Flow" in the manual
//! (<https://www.postgresql.org/docs/current/protocol-flow.html>) and `PostgresMain` in
//! `src/backend/tcop/postgres.c`.

mod ledger;
mod number;
mod owed;
mod rehearsal;
mod stage;
mod standing;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use thiserror::Error;

pub(crate) use ledger::{Ledger, Synthetic};
pub(crate) use owed::{Change, Fate, Owed, Request};
pub use rehearsal::Rehearsal;
use stage::{Batch, Copy, Head};

use crate::protocol::{BackendTag, TransactionStatus, backend};

/// What becomes of a message from the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OnBackend {
    /// The client gets it.
    #[default]
    Forward,
    /// It answers something that the client did not send.
    Swallow,
}

/// The server said something that the protocol does not allow here: it cannot be used any further.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum Violation {
    /// Nothing that was sent asks for this message.
    #[error("the server sent an unexpected message ({0:?})")]
    Unexpected(BackendTag),
    /// The message's body cannot be read.
    #[error("the server sent a malformed message ({0:?})")]
    Malformed(BackendTag),
}

/// The requests sent to one server and what is known of their answers.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    owed: VecDeque<Owed>,
    /// How many requests have been entered.
    sent: u64,
    status: TransactionStatus,
    copy: Copy,
    batch: Batch,
    head: Head,
    /// Syncs sent within COPY FROM STDIN. The server ignores them, unless the COPY fails before it reads them
    /// (a statement trigger, say). After a failure nobody can tell how many of them are going to be answered.
    strays: u32,
}

impl Machine {
    /// Where the transaction stands, as the last ReadyForQuery said.
    #[inline]
    pub(crate) fn status(&self) -> TransactionStatus {
        self.status
    }

    /// Whether the server has answered everything, is in no transaction, and waits for nothing from the client.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.owed.is_empty()
            && self.status == TransactionStatus::Idle
            && self.copy == Copy::None
            && self.batch == Batch::Closed
    }

    /// Whether the server has answered everything.
    #[inline]
    pub(crate) fn owes_nothing(&self) -> bool {
        self.owed.is_empty()
    }

    /// Whether the next frontend message begins a new batch: a Query, or the first message after a Sync.
    #[inline]
    pub(crate) fn at_boundary(&self) -> bool {
        self.batch == Batch::Closed && self.copy == Copy::None
    }

    /// Whether the server may owe answers that nobody can count: it must not be given to another client.
    #[inline]
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.strays > 0
    }

    /// Whether the server ignores whatever is not a Sync. It is not to be sent anything else then.
    #[inline]
    pub(crate) fn is_skipping(&self) -> bool {
        self.batch == Batch::Skipping
    }

    /// Whether CopyData from the client may still mean something to the server. A client may send COPY and its
    /// data in one go, before it has seen CopyInResponse.
    #[inline]
    pub(crate) fn takes_copy_data(&self) -> bool {
        !self.owed.is_empty()
    }

    /// A request goes to the server, or ([`Fate::Synthesize`]) would have gone if its answer were not known.
    ///
    /// A Synthesize that nothing stands before is due at once: call [`Machine::drain`] afterwards.
    #[inline]
    pub(crate) fn sent(&mut self, owed: Owed) {
        match owed.request {
            // The server ignores a Sync within COPY FROM STDIN.
            Request::Sync if self.copy == Copy::In => {
                self.strays += 1;
                return;
            }
            Request::CopyEnd if self.copy == Copy::In => {
                self.copy = Copy::Ended;
                return;
            }
            Request::CopyEnd if self.owed.is_empty() => return,
            // The server never sees a question about our parameters, so that ends no batch of its.
            Request::CopyEnd | Request::Ours => {}
            Request::FunctionCall | Request::Query | Request::Sync => self.batch = Batch::Closed,
            Request::Bind
            | Request::Close
            | Request::DescribePortal
            | Request::DescribeStatement
            | Request::Execute
            | Request::Parse => {
                // What we inject ourselves is followed by the client's own message, which opens the batch; by and by,
                // if its answer is waited for.
                if owed.fate != Fate::Swallow || matches!(owed.change, Change::Checks(_)) {
                    self.batch = Batch::Open;
                }
            }
        }
        self.owed.push_back(owed);
        self.sent += 1;
    }

    /// Whether a row that comes now is the client's, and changes nothing.
    #[inline]
    pub(crate) fn passes_rows(&self) -> bool {
        self.owed.front().is_some_and(|head| head.fate == Fate::Forward)
    }

    /// Whether [`Machine::on_backend`] reads the body of messages with this tag.
    #[inline]
    pub(crate) fn wants_body(tag: BackendTag) -> bool {
        tag == BackendTag::READY_FOR_QUERY
    }

    /// A message has come from the server; `body` is only looked at if [`Machine::wants_body`].
    ///
    /// # Errors
    ///
    /// [`Violation`] if nothing that was sent asks for it.
    #[inline]
    pub(crate) fn on_backend(
        &mut self,
        tag: BackendTag,
        body: &[u8],
        ledger: &mut impl Ledger,
    ) -> Result<OnBackend, Violation> {
        let Some(head) = self.owed.front() else {
            return self.unasked(tag, body);
        };
        let shown = match head.fate {
            Fate::Forward => OnBackend::Forward,
            Fate::Swallow => OnBackend::Swallow,
            // Never the head: `drain` has removed it.
            Fate::Synthesize => return Err(Violation::Unexpected(tag)),
        };
        let (request, change) = (head.request, head.change);
        match tag {
            // Rows and data; and what may come at any moment. What our own requests provoke stays with us.
            BackendTag::DATA_ROW
            | BackendTag::COPY_DATA
            | BackendTag::COPY_DONE
            | BackendTag::NOTICE_RESPONSE
            | BackendTag::PARAMETER_STATUS => {}
            BackendTag::READY_FOR_QUERY => {
                if self.is_stray_ready(request) {
                    return self.on_stray_ready(body);
                }
                self.status = read_status(body)?;
                self.copy = Copy::None;
                self.finish(ledger);
            }
            BackendTag::ERROR_RESPONSE => {
                self.on_error(request, ledger);
                // The error of a Parse of ours takes the place of the one that the client's own message, which is
                // skipped now, would have met.
                if !request.ends_with_ready() && change != Change::Offered {
                    return Ok(OnBackend::Forward);
                }
            }
            BackendTag::NOTIFICATION_RESPONSE => return Ok(OnBackend::Forward),
            BackendTag::COPY_IN_RESPONSE if request.may_copy() => self.on_copy_in(),
            BackendTag::COPY_OUT_RESPONSE if request.may_copy() => {}
            _ => {
                let expected = request.expects(tag);
                if expected == owed::Expects::Never {
                    return Err(Violation::Unexpected(tag));
                }
                // Whatever was sent before this request has been answered.
                self.strays = 0;
                self.copy = Copy::None;
                self.head = Head::Begun;
                if expected == owed::Expects::Last {
                    self.finish(ledger);
                }
            }
        }
        Ok(shown)
    }

    /// Whether [`Machine::drain`] would do anything.
    #[inline]
    pub(crate) fn is_answer_due(&self) -> bool {
        self.owed
            .front()
            .is_some_and(|head| head.fate == Fate::Synthesize || head.request == Request::CopyEnd)
    }

    /// Answers in the server's stead what has become due. To be called after each message that was let pass,
    /// so that the order is kept, and after [`Machine::sent`].
    #[inline]
    pub(crate) fn drain(&mut self, ledger: &mut impl Ledger) {
        while let Some(head) = self.owed.front() {
            match (head.fate, head.request) {
                (Fate::Synthesize, Request::Parse) => {
                    ledger.synthesize(Synthetic::ParseComplete);
                }
                (Fate::Synthesize, Request::Bind) => ledger.synthesize(Synthetic::BindComplete),
                (Fate::Synthesize, Request::Close) => ledger.synthesize(Synthetic::CloseComplete),
                (Fate::Synthesize, Request::Ours) => {
                    ledger.synthesize(Synthetic::OursToQuery(self.status));
                }
                (Fate::Synthesize, _) => ledger.synthesize(Synthetic::Ours),
                (_, Request::CopyEnd) => {}
                _ => return,
            }
            self.finish(ledger);
        }
    }

    /// The server is gone: everything that is owed has failed.
    pub(crate) fn abandon(&mut self, ledger: &mut impl Ledger) {
        while let Some(owed) = self.owed.pop_front() {
            ledger.skipped(owed);
        }
        *self = Self { owed: std::mem::take(&mut self.owed), ..Self::default() };
    }

    /// Removes the oldest request.
    #[inline]
    fn finish(&mut self, ledger: &mut impl Ledger) {
        let head = std::mem::take(&mut self.head);
        if let Some(owed) = self.owed.pop_front() {
            match head {
                Head::Silent | Head::Begun => ledger.completed(owed),
                Head::Failed => ledger.failed(owed),
            }
        }
    }

    fn on_error(&mut self, request: Request, ledger: &mut impl Ledger) {
        if request.ends_with_ready() {
            // ReadyForQuery follows; only what the request would have changed has not happened.
            self.head = Head::Failed;
            if self.copy == Copy::In {
                // A Sync that is sent from here on is answered.
                self.copy = Copy::Ended;
            }
            return;
        }
        // The server now skips everything up to the next Sync, a Query included (`ignore_till_sync`).
        self.copy = Copy::None;
        self.head = Head::Failed;
        self.finish(ledger);
        while let Some(owed) = self.owed.front() {
            if owed.request == Request::Sync {
                return;
            }
            if let Some(owed) = self.owed.pop_front() {
                ledger.skipped(owed);
            }
        }
        self.batch = Batch::Skipping;
    }

    fn on_copy_in(&mut self) {
        // Of what the client has sent already, a Sync before the end of the data is ignored by the server.
        let end = self.owed.iter().position(|owed| owed.request == Request::CopyEnd);
        let mut index = 0;
        let mut ignored = 0;
        self.owed.retain(|owed| {
            let is_ignored =
                owed.request == Request::Sync && index > 0 && end.is_none_or(|end| index < end);
            let is_this_end = end == Some(index);
            index += 1;
            ignored += u32::from(is_ignored);
            !(is_this_end || is_ignored)
        });
        self.strays = ignored;
        self.head = Head::Begun;
        self.copy = if end.is_some() { Copy::Ended } else { Copy::In };
        // A Sync that was ignored has closed no batch.
        let mut owed = self.owed.iter();
        if owed.next().is_some_and(|head| head.request == Request::Execute)
            && !owed.any(|later| later.request.ends_with_ready())
        {
            self.batch = Batch::Open;
        }
    }

    /// Whether ReadyForQuery answers a Sync within a COPY that failed, rather than `request`.
    fn is_stray_ready(&self, request: Request) -> bool {
        match request {
            Request::Sync => false,
            // Something must have come before.
            Request::FunctionCall | Request::Query => self.strays > 0 && self.head == Head::Silent,
            _ => true,
        }
    }

    fn on_stray_ready(&mut self, body: &[u8]) -> Result<OnBackend, Violation> {
        if self.strays == 0 {
            return Err(Violation::Unexpected(BackendTag::READY_FOR_QUERY));
        }
        self.strays -= 1;
        self.status = read_status(body)?;
        if self.batch == Batch::Skipping {
            self.batch = Batch::Closed;
        }
        Ok(OnBackend::Forward)
    }

    /// A message that answers nothing: the server may say these at any time.
    fn unasked(&mut self, tag: BackendTag, body: &[u8]) -> Result<OnBackend, Violation> {
        match tag {
            BackendTag::READY_FOR_QUERY => self.on_stray_ready(body),
            BackendTag::ERROR_RESPONSE
            | BackendTag::NOTICE_RESPONSE
            | BackendTag::NOTIFICATION_RESPONSE
            | BackendTag::PARAMETER_STATUS => Ok(OnBackend::Forward),
            _ => Err(Violation::Unexpected(tag)),
        }
    }
}

fn read_status(body: &[u8]) -> Result<TransactionStatus, Violation> {
    backend::read_ready_for_query(body)
        .map_err(|_| Violation::Malformed(BackendTag::READY_FOR_QUERY))
}
