//! What a client sends: to whom it goes, frame by frame.

use std::rc::Rc;
use std::task::Context;

use crate::clock::Mono;
use crate::net::buffer::Gather;
use crate::protocol::{FrontendTag, TransactionStatus};
use crate::route::Patience;
use crate::session::books::Books;
use crate::session::cancel;
use crate::session::clients::Activity;
use crate::session::fitting::{bring_up_to_date, make_room};
use crate::session::link::Gate;
use crate::session::ours::Circumstances;
use crate::session::requests::{Requests, Taken};
use crate::session::respond::Trouble;
use crate::session::sequences::{forget_others, not_own};
use crate::session::succession::Side;
use crate::session::survey::{self, Batch, Ends, Knowledge, Survey, Surveyed};
use crate::session::worker::Stopping;
use crate::session::{Batches, Ended, Held, Hold, Phase, Presence, Replay, Session, Skip};

/// How much of the client's bytes was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Used {
    /// So much, and more can be.
    Bytes(usize),
    /// So much, and no more for now.
    Stop(usize),
}

/// Why no more of the client's bytes is taken.
#[derive(Debug)]
enum Stop {
    /// They are no protocol.
    Malformed(String),
    /// They must not run on this server.
    Refused(Trouble),
    /// The client says goodbye.
    Terminate,
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Self::Refused(trouble)
    }
}

/// Whether a frame may go to the server that the session has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    /// It may.
    Pass,
    /// It must wait for another one.
    Hold,
}

impl Session {
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        cx: &mut Context<'_>,
        now: Mono,
    ) -> Result<usize, Ended> {
        let worker = Rc::clone(&self.worker);
        let mut scratch = worker.scratch.borrow_mut();
        self.take_with(bytes, &mut scratch.write, cx, now)
    }

    /// Processes what the client has sent; returns how much of it is done with.
    pub(super) fn take_with(
        &mut self,
        bytes: &[u8],
        mixed: &mut Vec<u8>,
        cx: &mut Context<'_>,
        now: Mono,
    ) -> Result<usize, Ended> {
        self.follow_catalog();
        self.renew_terms();
        let mut position = 0;
        while position < bytes.len() {
            let rest = bytes.get(position..).unwrap_or_default();
            let used = match (&self.phase, self.skip) {
                (_, Skip::Bytes(count)) => {
                    let used = count.min(rest.len());
                    self.skip =
                        if used == count { Skip::Nothing } else { Skip::Bytes(count - used) };
                    Used::Bytes(used)
                }
                (_, Skip::BytesToSync(count)) => {
                    let used = count.min(rest.len());
                    self.skip =
                        if used == count { Skip::ToSync } else { Skip::BytesToSync(count - used) };
                    Used::Bytes(used)
                }
                (Phase::Detached, Skip::Batch | Skip::ToSync) => self.skip_to_sync(rest, cx)?,
                (Phase::Detached, Skip::Nothing) => self.take_detached(rest, cx, now)?,
                (Phase::Attached(_), _) => self.take_attached(rest, mixed, cx, now)?,
                // It waits.
                _ => Used::Stop(0),
            };
            match used {
                Used::Bytes(count) => position += count,
                Used::Stop(count) => return Ok(position + count),
            }
        }
        Ok(position)
    }

    /// The client has no server: what is it that it sends?
    pub(super) fn take_detached(
        &mut self,
        bytes: &[u8],
        cx: &mut Context<'_>,
        now: Mono,
    ) -> Result<Used, Ended> {
        if self.worker.stopping.get() != Stopping::No && !self.held.is_open() {
            return Err(self.dismiss(&Trouble::Shutdown, cx));
        }
        let limit = self.policy.limits.max_statement_inspect;
        let cluster = &self.client.backend.cluster;
        let mut knowledge = Knowledge {
            names: &self.names,
            catalog: cluster.catalog(),
            background: self.parameters.background(cluster.schema()),
            ends: self.ends(),
        };
        let mut survey = survey::survey(&self.worker, &knowledge, bytes, limit);
        if let Ok(Survey::Apart(size, first)) = survey {
            if let Some(local) = self.apart(bytes.get(..size).unwrap_or_default(), first) {
                return self.answer(local, bytes, cx, now);
            }
            knowledge.ends = Ends::Within;
            survey = survey::survey(&self.worker, &knowledge, bytes, limit);
        }
        let survey = match survey {
            Ok(survey) => survey,
            Err(error) => return Err(self.dismiss(&Trouble::Protocol(error.to_string()), cx)),
        };
        let survey = if self.held.is_open() || survey.begins_transaction() {
            self.hold_back(survey, bytes)
        } else {
            survey
        };
        match survey {
            Survey::Incomplete | Survey::Apart(..) => Ok(Used::Stop(0)),
            Survey::Drop(size) => {
                self.skip = Skip::Bytes(size);
                Ok(Used::Bytes(0))
            }
            Survey::Local(local) => self.answer(local, bytes, cx, now),
            Survey::Terminate => Err(Ended::Client),
            Survey::Batch(batch, surveyed) => {
                self.surveyed = surveyed;
                let used = self.take_batch(&batch, cx, now);
                if self.worker.unnamed.get() != 0 {
                    self.name_frequent(bytes);
                }
                used
            }
        }
    }

    /// Gets a server for a batch.
    pub(super) fn take_batch(
        &mut self,
        batch: &Batch,
        cx: &mut Context<'_>,
        now: Mono,
    ) -> Result<Used, Ended> {
        let patience = std::mem::replace(&mut self.patience, Patience::Left);
        match self.acquire(batch, patience, now) {
            Ok(()) => Ok(Used::Bytes(0)),
            Err(Trouble::Removed) => Err(self.dismiss(&Trouble::Removed, cx)),
            Err(trouble) => {
                self.refuse_batch(&trouble, cx)?;
                Ok(Used::Bytes(0))
            }
        }
    }

    /// Passes on what the client sends to the server that it has.
    pub(super) fn take_attached(
        &mut self,
        bytes: &[u8],
        mixed: &mut Vec<u8>,
        cx: &mut Context<'_>,
        now: Mono,
    ) -> Result<Used, Ended> {
        if matches!(self.held, Held::Fresh(..)) && self.begins_anew(bytes) {
            return Ok(Used::Bytes(0));
        }
        let mut out = Gather::new(bytes, mixed);
        self.explain_stay();
        self.renew_settings(bytes, now);
        self.record_plans(bytes);
        let outcome = self.pass_requests(bytes, &mut out, now);
        self.answer_at_once();
        let (used, trouble) = match outcome {
            Ok(used) => (used, None),
            Err(passed) => (Used::Stop(0), Some(passed)),
        };
        let Phase::Attached(attached) = &mut self.phase else { return Ok(Used::Stop(0)) };
        let (Used::Bytes(count) | Used::Stop(count)) = used;
        attached.replay.record(bytes.get(..count).unwrap_or_default());
        // What the server has to say about a failure comes by reading.
        if let Err(error) = attached.lease.send(out.bytes(), &self.worker.recycler, cx) {
            tracing::debug!(%error, "writing to the server failed");
        }
        match trouble {
            None => Ok(used),
            Some(Stop::Terminate) if attached.lease.machine.owes_nothing() => Err(Ended::Client),
            Some(Stop::Terminate) => {
                self.presence = Presence::Leaving;
                Ok(Used::Stop(bytes.len()))
            }
            Some(Stop::Refused(trouble)) => Err(self.dismiss(&trouble, cx)),
            Some(Stop::Malformed(text)) => Err(self.dismiss(&Trouble::Protocol(text), cx)),
        }
    }

    /// A client that keeps its server may have lost what came with its startup packet by a RESET, and may prepare more
    /// than a server should have. What is sent for that is answered with the client's own messages; to a goodbye nothing
    /// is answered.
    #[inline]
    fn renew_settings(&mut self, bytes: &[u8], now: Mono) {
        let Phase::Attached(attached) = &self.phase else { return };
        let meets_others = self.meets_others(&attached.lease);
        let Phase::Attached(attached) = &mut self.phase else { return };
        let link = &mut *attached.lease;
        if !link.machine.owes_nothing()
            || link.passing.to_server > 0
            || bytes.first() == Some(&FrontendTag::TERMINATE.0)
        {
            return;
        }
        let limit = self.policy.limits.max_prepared_statements;
        if link.machine.is_settled() {
            bring_up_to_date(&self.worker, link, self.parameters.wanted(), limit);
            if meets_others {
                forget_others(&self.worker, self.client.backend.cluster.catalog(), link);
            }
        } else if link.machine.at_boundary() {
            make_room(&self.worker, link, limit);
        }
        (attached.asked, attached.first) = (now, link.machine.next());
    }

    /// Takes frame after frame, as long as they may go to this server.
    fn pass_requests(
        &mut self,
        bytes: &[u8],
        out: &mut Gather<'_>,
        now: Mono,
    ) -> Result<Used, Stop> {
        let Phase::Attached(attached) = &mut self.phase else { return Ok(Used::Stop(0)) };
        let backend = &self.client.backend;
        let Some(traffic) = backend.traffic.get(self.worker.lane()) else {
            return Ok(Used::Stop(0));
        };
        let mut requests = Requests {
            surveyed: match attached.batches {
                Batches::None => std::mem::take(&mut self.surveyed),
                Batches::Sent => Surveyed::Nothing,
            },
            worker: &self.worker,
            catalog: backend.cluster.catalog(),
            traffic,
            link: &mut attached.lease,
            names: &mut self.names,
            parameters: &mut self.parameters,
            listening: &mut self.listening,
            hub: &backend.hub,
            portals: &mut attached.portals,
            pins: &mut attached.pins,
            sequences: &mut self.sequences,
            written: &mut self.written,
            asked_about: &backend.asked_about,
            inquiry: &mut attached.inquiry,
            wrote: &mut attached.wrote,
            tables: &mut attached.tables,
            replay: &mut attached.replay,
            policy: &self.policy,
            schema: backend.cluster.schema(),
            given: Circumstances::at(attached.side, &backend.cluster, &self.policy.routing),
            now,
        };
        let (limits, mut position) = (&self.policy.limits, 0);
        while position < bytes.len() {
            if admit(&requests, attached.side, attached.batches, bytes.get(position))
                == Admission::Hold
            {
                self.hold = Hold::Batch;
                return Ok(Used::Stop(position));
            }
            requests.link.gate = Gate::Open;
            if requests.link.machine.owes_nothing() {
                (attached.asked, attached.first) = (now, requests.link.machine.next());
                requests.count_if_pinned(attached.batches);
            }
            let taken = requests
                .take(bytes, position, out)
                .map_err(|error| Stop::Malformed(error.to_string()))?;
            if attached.batches == Batches::None
                && !matches!(taken, Taken::Wait | Taken::Incomplete)
            {
                attached.batches = Batches::Sent;
                // What was known is known of the first frame alone.
                requests.surveyed = Surveyed::Nothing;
            }
            if attached.side.is_replica() && requests.pins.last() {
                return Err(Trouble::NotOnReplica.into());
            }
            match taken {
                Taken::Bytes(count) => position += count,
                Taken::Drop(size) => {
                    self.skip = Skip::Bytes(size);
                    return Ok(Used::Bytes(position));
                }
                Taken::Incomplete => return Ok(Used::Stop(position)),
                Taken::Wait => {
                    self.hold = Hold::at(requests.link.gate);
                    return Ok(Used::Stop(position));
                }
                Taken::TooLong => {
                    return Err(Trouble::StatementTooLong(limits.max_statement_inspect).into());
                }
                Taken::TooMuch => {
                    return Err(Trouble::StatementsTooMany(limits.prepared_statement_bytes).into());
                }
                Taken::NotOwn => return Err(Trouble::Ours(not_own()).into()),
                Taken::Terminate => return Err(Stop::Terminate),
            }
        }
        self.note_busy(now);
        Ok(Used::Bytes(position))
    }

    /// Emits what has become due at the client because of a request that needs no server. If the server will answer
    /// what follows in the batch anyway, that waits for its first answer: one packet less, and as long as the batch may
    /// have to run on another server, the client must not see anything of it.
    fn answer_at_once(&mut self) {
        let Phase::Attached(attached) = &mut self.phase else { return };
        let recycler = &mut *self.worker.recycler.borrow_mut();
        let link = &mut *attached.lease;
        if !link.machine.is_answer_due() {
            return;
        }
        let is_whole = attached.side.is_primary() && link.machine.at_boundary();
        if (is_whole || matches!(attached.replay, Replay::Recorded(_)))
            && link.machine.awaits_server()
        {
            return;
        }
        if let Replay::Recorded(mut record) = std::mem::replace(&mut attached.replay, Replay::Off) {
            recycler.give(&mut record);
        }
        let mut books = Books {
            names: &mut self.names,
            parameters: &mut self.parameters,
            statements: &mut link.server.statements,
            answers: self.to_client.queue(recycler),
        };
        link.machine.drain(&mut books);
    }

    /// A request is on its way: the client is busy from now on.
    pub(super) fn note_busy(&self, now: Mono) {
        cancel::end_repeats(&self.client);
        let Phase::Attached(attached) = &self.phase else { return };
        if self.client.activity.get() != Activity::Active {
            let deadline = self.busy_deadline(attached.began, attached.asked);
            self.client.set_activity(Activity::Active, now, deadline);
        }
    }
}

/// Whether the next frame, which begins with `tag`, may go to the server that the client has. A replica was chosen for
/// one batch: the next may be a write, so it waits until the server has been given back.
#[inline]
fn admit(requests: &Requests<'_>, side: Side, batches: Batches, tag: Option<&u8>) -> Admission {
    let machine = &requests.link.machine;
    if requests.link.gate == Gate::Shut && machine.awaits_consent() {
        return Admission::Hold;
    }
    if side.is_primary()
        || machine.status() != TransactionStatus::Idle
        || batches == Batches::None
        || !machine.at_boundary()
        || requests.link.passing.to_server > 0
        || requests.pins.last()
        || tag == Some(&FrontendTag::SYNC.0)
    {
        return Admission::Pass;
    }
    Admission::Hold
}
