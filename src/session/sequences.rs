//! Whose `currval` and `lastval` a server answers with.
//!
//! They belong to the session that has called `nextval`, and a server would give them to whoever asks next. So each
//! server knows the last [`Use`] of its sequences. Where anybody asks for such values at all
//! ([`LiveCatalog::uses_currval`]), a server that has another client's forgets them in the packet of its next client's
//! first statement; so it does for some time, where there are sequences, before it is known that nobody asks.
//!
//! Everything that may write counts as a use: a default or a trigger calls `nextval` and does not say so. Outside its
//! transaction a client is given the server of its last use, if nobody has used that since, and keeps it from then on.
//! What such a client had written is remembered: whoever writes that keeps its server until its next statement.

use crate::clock::Mono;
use crate::cluster::NodeId;
use crate::config::PoolMode;
use crate::pool::WorkerId;
use crate::protocol::{SqlState, TransactionStatus, frontend};
use crate::route::Reason;
use crate::session::fitting::revived;
use crate::session::link::Link;
use crate::session::machine::{Owed, Request};
use crate::session::ours::Fault;
use crate::session::pins::Pins;
use crate::session::replies::Replies;
use crate::session::requests::Requests;
use crate::session::succession::Side;
use crate::session::survey::Batch;
use crate::session::worker::Worker;
use crate::session::{Session, Wrote};
use crate::sql::{Effects, LiveCatalog, Verdict};

/// A use of sequences that the values of a server, or of a session, come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Use(u64);

impl Use {
    /// There are no values; for a session: none that could be found.
    pub(crate) const NONE: Self = Self(0);
    /// There are values of several clients.
    const SEVERAL: Self = Self(u64::MAX);

    /// One that nobody else in this process has, if each worker counts.
    pub(super) fn new(count: u64, worker: WorkerId) -> Self {
        Self((count << 16) | u64::from(worker.0))
    }
}

/// `currval(regclass)` and `lastval()` in `pg_proc`.
const FUNCTIONS: [[u8; 4]; 2] = [1575_u32.to_be_bytes(), 2559_u32.to_be_bytes()];

/// What applications ask does not depend on the catalog.
const ANY_EDITION: u64 = 0;

/// Has a server forget its values.
pub(super) fn forget_others(worker: &Worker, catalog: &LiveCatalog, link: &mut Link) {
    catalog.note_forgotten();
    let mut queue = worker.recycler.borrow_mut();
    frontend::query(link.to_server.queue(&mut queue), b"DISCARD SEQUENCES");
    link.machine.sent(Owed::swallow(Request::Query));
    link.server.statements.set_unnamed(None);
    link.sequences = Use::NONE;
}

/// Whether one of these words stands in `text`, in whatever case.
pub(super) fn mentions(text: &[u8], words: &[&[u8; 7]]) -> bool {
    text.windows(7).any(|part| words.iter().any(|word| part.eq_ignore_ascii_case(*word)))
}

/// What fails a statement that might be answered with the values of another client.
pub(super) fn not_own() -> Fault {
    Fault {
        code: SqlState::SERIALIZATION_FAILURE,
        message: "currval or lastval might be another client's here".to_owned(),
        hint: "Run the transaction again: from now on pgLagoon keeps such values apart.",
    }
}

impl Session {
    /// Whether `link` has values of others, and this session must not meet them.
    #[inline]
    pub(super) fn meets_others(&self, link: &Link) -> bool {
        link.sequences != Use::NONE
            && link.sequences != self.sequences
            && (self.policy.mode == PoolMode::Session
                || self.client.backend.cluster.catalog().uses_currval())
    }

    /// Takes the server that has this session's values, if `batch` asks for them and it is free. Returns whether
    /// that is so.
    pub(super) fn return_to_values(
        &mut self,
        batch: &Batch,
        ((node, side), reason): ((NodeId, Side), Reason),
        now: Mono,
    ) -> bool {
        if !batch.effects.contains(Effects::SEQUENCE_STATE) {
            return false;
        }
        self.client.backend.cluster.catalog().note_currval();
        self.learn_to_foresee(now);
        let own = self.sequences;
        let found = match self.client.backend.pool(node) {
            Some(pool) if own != Use::NONE => pool.checkout_idle(|link| link.sequences == own, now),
            _ => None,
        };
        let within = self.policy.server_check_delay;
        let Some(lease) = found.and_then(|lease| revived(&self.worker, lease, within, now)) else {
            return false;
        };
        self.attach(lease, (node, side), reason, (now, now));
        true
    }

    /// The session asks for values when what it has written is over. Whoever writes that from now on is expected to do the
    /// same.
    fn learn_to_foresee(&self, now: Mono) {
        let asked_about = &self.client.backend.asked_about;
        if !asked_about.has(self.written, ANY_EDITION, now) {
            asked_about.learn(self.written, ANY_EDITION, now);
        }
    }
}

impl Replies<'_> {
    /// DISCARD SEQUENCES, be it as a part of DISCARD ALL. What has been sent behind it may have used them again.
    pub(super) fn forget_values(&mut self) {
        if self.link.machine.is_at_last() && self.link.sequences != Use::SEVERAL {
            self.link.sequences = Use::NONE;
        }
        *self.sequences = Use::NONE;
        *self.pins -= Pins::SEQUENCE;
    }
}

impl Requests<'_> {
    /// Anything that may write is on its way.
    #[inline]
    pub(super) fn note_use(&mut self) {
        if self.link.sequences != *self.sequences || *self.sequences == Use::NONE {
            self.change_use();
        }
    }

    fn change_use(&mut self) {
        if self.link.sequences == Use::NONE {
            self.link.sequences = self.worker.new_use();
            *self.sequences = self.link.sequences;
        } else {
            self.link.sequences = Use::SEVERAL;
            *self.sequences = Use::NONE;
        }
    }

    /// Notes a write. One that clients ask about when it is over keeps its server for the next statement.
    #[inline]
    pub(super) fn foresee(&mut self, fingerprint: u64) {
        *self.written = fingerprint;
        if self.asked_about.has(fingerprint, ANY_EDITION, self.now) && self.given.side.is_primary()
        {
            *self.pins |= Pins::FORESEEN;
        }
    }

    /// The next statement is here: if it does not ask, none is expected to.
    pub(super) fn forget_foreseen(&mut self) {
        if self.link.machine.status() == TransactionStatus::Idle {
            *self.pins -= Pins::FORESEEN;
        }
    }

    /// A statement that asks for the session's values outside the transaction that they come from keeps its server, so
    /// that the next one will find them.
    #[inline]
    pub(super) fn note_values(&mut self, effects: Effects, text: &[u8]) {
        if effects.contains(Effects::DISCARDS_PART | Effects::MULTI) {
            // Nobody will know which came first.
            self.link.sequences = Use::SEVERAL;
        }
        if effects.contains(Effects::SEQUENCE_STATE)
            && *self.wrote == Wrote::No
            && self.given.side.is_primary()
            && !effects.intersects(Effects::MULTI | Effects::DDL)
            && !mentions(text, &[b"nextval"])
        {
            *self.pins |= Pins::SEQUENCE;
        }
    }

    /// Whether a statement might be answered with another client's values: it is the first to ask for any, and the server
    /// has not been told to forget them.
    #[inline]
    pub(super) fn asks_others(&self, verdict: Verdict, text: &[u8]) -> bool {
        let (effects, hides) = (verdict.effects, Effects::DDL | Effects::OPAQUE);
        if !effects.intersects(Effects::SEQUENCE_STATE | hides) {
            return false;
        }
        let asks =
            effects.contains(Effects::SEQUENCE_STATE) || mentions(text, &[b"currval", b"lastval"]);
        asks && self.has_others()
    }

    /// Whether a FunctionCall might be answered so.
    pub(super) fn call_asks_others(&self, body: &[u8]) -> bool {
        body.first_chunk().is_some_and(|oid| FUNCTIONS.contains(oid)) && self.has_others()
    }

    fn has_others(&self) -> bool {
        self.catalog.note_currval();
        let values = self.link.sequences;
        values != Use::NONE && values != *self.sequences
    }
}
