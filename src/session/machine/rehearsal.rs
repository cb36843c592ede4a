//! Exchanges with an imagined server, for the micro-benchmarks: the machine itself is nobody's but the session's.

use super::{Ledger, Machine, Owed, Request, Synthetic};
use crate::protocol::{BackendTag, frame};

/// A machine and nothing else.
#[derive(Debug, Default)]
pub struct Rehearsal(Machine);

/// What the extended protocol's drivers send for one statement.
const EXTENDED: [Request; 5] =
    [Request::Parse, Request::Bind, Request::DescribePortal, Request::Execute, Request::Sync];

impl Rehearsal {
    /// Sends a Query and takes `reply`, which is made of whole frames. Whether the server could be handed on then.
    pub fn simple(&mut self, reply: &[u8]) -> bool {
        self.0.sent(Owed::forward(Request::Query));
        self.take(reply)
    }

    /// The same with Parse, Bind, Describe, Execute and Sync.
    pub fn extended(&mut self, reply: &[u8]) -> bool {
        for request in EXTENDED {
            self.0.sent(Owed::forward(request));
        }
        self.take(reply)
    }

    fn take(&mut self, mut reply: &[u8]) -> bool {
        while let Ok(Some(header)) = frame::header(reply) {
            let Some((frame, rest)) = reply.split_at_checked(header.size) else { return false };
            let body = frame.get(frame::HEADER_LEN..).unwrap_or_default();
            if self.0.on_backend(BackendTag(header.tag), body, &mut NoLedger).is_err() {
                return false;
            }
            reply = rest;
        }
        self.0.is_settled()
    }
}

/// Nobody wants to know.
struct NoLedger;

impl Ledger for NoLedger {
    fn completed(&mut self, _: Owed) {}
    fn failed(&mut self, _: Owed) {}
    fn skipped(&mut self, _: Owed) {}
    fn synthesize(&mut self, _: Synthetic) {}
}
