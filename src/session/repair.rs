//! A plan that a server keeps no longer fits its tables: the batch runs once more, with the statement parsed anew.
//!
//! PostgreSQL refuses to run a prepared statement whose columns are others than when it was parsed (0A000, "cached
//! plan must not change result type"). A client that has just parsed the text itself, or asks what its columns are,
//! would not have been refused on a server of its own. One that relies on columns that it was told of before would,
//! and is.

use crate::protocol::frontend::{self, Bind};
use crate::protocol::{FrontendTag, TransactionStatus, frame};
use crate::server::statements::Reuse;
use crate::session::acquire::Moved;
use crate::session::fitting::make_room;
use crate::session::names::Names;
use crate::session::{Batches, Phase, Replay, Session};

/// Longer batches are not kept.
const MAX_RECORD: usize = 64 * 1024;

impl Replay {
    /// Adds what was sent, if it is recorded.
    #[inline]
    pub(super) fn record(&mut self, sent: &[u8]) {
        if let Self::Recorded(record) = self {
            if record.len() + sent.len() > MAX_RECORD {
                *self = Self::Off;
            } else {
                record.extend_from_slice(sent);
            }
        }
    }
}

impl Session {
    /// Begins to record a batch that `bytes` begin with, if it may use a plan.
    #[inline]
    pub(super) fn record_plans(&mut self, bytes: &[u8]) {
        let Phase::Attached(attached) = &mut self.phase else { return };
        let machine = &attached.lease.machine;
        let tag = bytes.first().copied().map(FrontendTag);
        if matches!(attached.replay, Replay::Off)
            && matches!(tag, Some(FrontendTag::BIND | FrontendTag::PARSE))
            && machine.owes_nothing()
            && machine.at_boundary()
            && machine.status() == TransactionStatus::Idle
            && attached.lease.passing.to_server == 0
        {
            attached.replay = Replay::Recorded(self.worker.recycler.borrow_mut().take());
        }
    }

    /// Has a batch run again that a stale plan has failed, if the client has seen nothing of its answer and its
    /// transaction, which was its own, has left nothing.
    pub(super) fn repair(&mut self) -> Moved {
        let Phase::Attached(attached) = &mut self.phase else { return Moved::No };
        let Replay::Recorded(record) = &mut attached.replay else { return Moved::No };
        if !is_repeatable(record, &self.names)
            || !self.parameters.is_untouched()
            || !attached.lease.machine.swallow_sync()
        {
            return Moved::No;
        }
        let record = std::mem::take(record);
        attached.replay = Replay::Off;
        attached.batches = Batches::None;
        attached.portals.clear();
        make_room(&self.worker, &mut attached.lease, self.policy.limits.max_prepared_statements);
        self.parameters.forget_error();
        tracing::debug!("running a batch again: a plan was stale");
        self.take_back(record);
        Moved::Yes
    }

    /// Puts what was sent in front of what has not been.
    pub(super) fn take_back(&mut self, mut record: Vec<u8>) {
        self.names.forget_parsed(&record);
        record.extend_from_slice(&self.input);
        std::mem::swap(&mut record, &mut self.input);
        self.worker.recycler.borrow_mut().give(&mut record);
        self.pending = super::Pending::Look;
        if let Some(traffic) = self.client.backend.traffic.get(self.worker.lane()) {
            traffic.replays.add(1);
        }
    }
}

/// Whether a batch is one transaction, whole, of plain queries and writes, whose client learns the columns within it.
fn is_repeatable(record: &[u8], names: &Names) -> bool {
    let mut rest = record;
    let (mut bound, mut described) = (0, 0);
    while let Ok(Some(header)) = frame::header(rest)
        && let Some((whole, others)) = rest.split_at_checked(header.size)
    {
        rest = others;
        match FrontendTag(header.tag) {
            FrontendTag::PARSE | FrontendTag::DESCRIBE => described += 1,
            FrontendTag::BIND => {
                let bind = Bind::read(frontend::body(whole)).ok();
                let statement = bind.and_then(|bind| names.get(bind.statement));
                if statement.is_none_or(|statement| statement.reuse == Reuse::Never) {
                    return false;
                }
                bound += 1;
            }
            FrontendTag::EXECUTE => {}
            FrontendTag::SYNC => return rest.is_empty() && bound <= described,
            _ => return false,
        }
    }
    false
}
