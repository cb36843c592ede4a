//! Getting a server for a batch, and giving it back.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::clock::Mono;
use crate::cluster::{NodeId, Office};
use crate::config::{NoReplica, PoolMode};
use crate::pool::{Checkout, Lease, WaitError};
use crate::route::{Patience, Reason, Target};
use crate::session::backend::Standing;
use crate::session::clients::{Activity, Cancelling, Summons};
use crate::session::fitting::{bring_up_to_date, revived};
use crate::session::link::{Gate, Link, Passing};
use crate::session::pins::Pins;
use crate::session::portals::Portals;
use crate::session::queued::Queued;
use crate::session::respond::Trouble;
use crate::session::sequences::forget_others;
use crate::session::succession::Side;
use crate::session::survey::Batch;
use crate::session::worker::Stopping;
use crate::session::{
    Attached, Batches, Detour, Held, Inquiry, Phase, Replay, Session, Wrote, cancel, cleaning,
};
use crate::sql::{Class, Tables};

/// How many dead servers in a row are taken from a pool before the client goes into the queue for a new one.
const DEAD_SERVERS: usize = 64;

impl Session {
    /// Finds a server for `batch`: the phase is another one afterwards.
    ///
    /// # Errors
    ///
    /// What the client is to be told.
    pub(super) fn acquire(
        &mut self,
        batch: &Batch,
        patience: Patience,
        now: Mono,
    ) -> Result<(), Trouble> {
        self.follow()?;
        let setbacks = self.client.backend.cluster.setbacks();
        let route = self.route(batch, patience, now);
        if self.awaits_share(route, now) {
            return Ok(());
        }
        let (node, side) = match route.target {
            Target::Primary => match self.client.backend.cluster.primary() {
                Some(Office { node, term }) => (node, Side::Primary(term)),
                None => return self.await_primary(now),
            },
            Target::Node(node) => (node, Side::Replica(setbacks)),
            Target::Refuse => return Err(Trouble::NoReplica),
            Target::WaitFresh { required } => {
                let cluster = &self.client.backend.cluster;
                self.arrived = if self.arrived == Mono::ZERO { now } else { self.arrived };
                let deadline = self.arrived.plus(self.policy.routing.read_wait);
                self.phase = Phase::WaitingFresh(cluster.wait_fresh(required, deadline));
                self.client.set_activity(Activity::WaitingForReplica, now, Mono::MAX);
                return Ok(());
            }
        };
        if let (Class::Begin(begin), Held::None, true) = (batch.class, self.held, side.is_primary())
        {
            self.held = Held::Fresh(begin, 0);
        }
        self.count_route(route.reason, batch.fingerprint);
        self.explain(node, side, route.reason.as_str());
        self.doubt_unknown(route.reason);
        if self.return_to_values(batch, ((node, side), route.reason), now) {
            return Ok(());
        }
        let Err(trouble) = self.check_out((node, side), route.reason, now) else { return Ok(()) };
        self.turn_to_primary((node, side), trouble, now)?;
        match self.phase {
            Phase::Detached => self.acquire(batch, patience, now),
            _ => Ok(()),
        }
    }

    /// A replica that cannot be had is no reason to refuse a read that the primary may answer.
    ///
    /// # Errors
    ///
    /// `trouble`, if there is no way out.
    fn turn_to_primary(
        &mut self,
        (node, side): (NodeId, Side),
        trouble: Trouble,
        now: Mono,
    ) -> Result<(), Trouble> {
        if side.is_primary() {
            return self.miss_primary(node, trouble, now);
        }
        let is_replica_lost = match &trouble {
            Trouble::NoServer(error) => !matches!(error, WaitError::QueueFull),
            other => matches!(other, Trouble::ServerLost),
        };
        if !is_replica_lost || self.policy.routing.no_replica == NoReplica::Error {
            return Err(trouble);
        }
        self.phase = Phase::Detached;
        self.detour = Detour::Primary;
        Ok(())
    }

    /// Goes over to what a reload has put in the place of the session's backend.
    pub(super) fn follow(&mut self) -> Result<(), Trouble> {
        loop {
            let next = match self.client.backend.standing() {
                Standing::Current => return Ok(()),
                Standing::Removed => return Err(Trouble::Removed),
                Standing::Replaced(next) => Arc::clone(next),
            };
            self.client = self.worker.clients.transfer(&self.client, next);
            self.adopt_policy();
        }
    }

    fn check_out(
        &mut self,
        (node, side): (NodeId, Side),
        reason: Reason,
        now: Mono,
    ) -> Result<(), Trouble> {
        let client = Rc::clone(&self.client);
        let Some(pool) = client.backend.pool(node) else { return Err(Trouble::NoReplica) };
        for _ in 0..DEAD_SERVERS {
            match pool.checkout(self.worker.id, now).map_err(Trouble::NoServer)? {
                Checkout::Ready(lease) => {
                    if let Some(lease) = revived(&self.worker, lease, self.check_delay(), now) {
                        self.take_server(lease, (node, side), reason, (now, now));
                        return Ok(());
                    }
                }
                Checkout::Wait(ticket) => {
                    let limit = self.policy.query_wait_timeout;
                    let deadline = limit.map_or(Mono::MAX, |limit| now.plus(limit));
                    let counted = (Rc::clone(&client), self.worker.lane());
                    let queued = Queued::new(ticket, (node, side), reason, counted);
                    self.phase = Phase::Waiting(queued);
                    self.client.set_activity(Activity::Waiting, now, deadline);
                    return Ok(());
                }
            }
        }
        Err(Trouble::ServerLost)
    }

    /// The wait for a server: goes on until there is one.
    pub(super) fn poll_waiting(
        &mut self,
        cx: &mut Context<'_>,
        now: Mono,
    ) -> Result<Moved, Trouble> {
        let Phase::Waiting(queued) = &mut self.phase else { return Ok(Moved::No) };
        let (node, reason, since) =
            ((queued.node, queued.side), queued.reason, queued.ticket.since());
        match std::pin::Pin::new(&mut queued.ticket).poll(cx) {
            Poll::Pending => Ok(Moved::No),
            Poll::Ready(Err(WaitError::Closed))
                if !matches!(self.client.backend.standing(), Standing::Current) =>
            {
                // A reload: the batch is looked at again, as one of the new configuration.
                self.phase = Phase::Detached;
                Ok(Moved::Yes)
            }
            Poll::Ready(Err(error)) => {
                self.turn_to_primary(node, Trouble::NoServer(error), now)?;
                Ok(Moved::Yes)
            }
            Poll::Ready(Ok(lease)) => {
                self.phase = Phase::Detached;
                match revived(&self.worker, lease, self.check_delay(), now) {
                    Some(lease) => self.take_server(lease, node, reason, (since, now)),
                    None => self
                        .check_out(node, reason, now)
                        .or_else(|trouble| self.turn_to_primary(node, trouble, now))?,
                }
                Ok(Moved::Yes)
            }
        }
    }

    /// Takes a server that a pool has given, unless its node may show less by now than when it was chosen: then the batch
    /// is routed again.
    fn take_server(
        &mut self,
        lease: Lease<Box<Link>>,
        (node, side): (NodeId, Side),
        reason: Reason,
        times: (Mono, Mono),
    ) {
        if side.may_have_gone_back(&self.client.backend.cluster) {
            lease.put_back(times.1);
            self.phase = Phase::Detached;
            return;
        }
        self.attach(lease, (node, side), reason, times);
    }

    /// Takes a server, and makes it have what the session wants.
    pub(super) fn attach(
        &mut self,
        mut lease: Lease<Box<Link>>,
        (node, side): (NodeId, Side),
        reason: Reason,
        (waiting_since, now): (Mono, Mono),
    ) {
        let backend = &self.client.backend;
        backend.cluster.begin(node, self.worker.lane());
        if let Some(traffic) = backend.traffic.get(self.worker.lane()) {
            traffic.waits.record(now.saturating_since(waiting_since));
        }
        let meets_others = self.meets_others(&lease);
        let policy = &self.policy;
        let link = &mut *lease;
        link.passing = Passing::default();
        link.gate = Gate::Open;
        link.reason = reason;
        bring_up_to_date(
            &self.worker,
            link,
            self.parameters.wanted(),
            policy.limits.max_prepared_statements,
        );
        if meets_others {
            forget_others(&self.worker, backend.cluster.catalog(), link);
        }
        self.held.pass_to(link, side, &self.worker);
        let is_replayable = side.is_replica()
            && matches!(reason, Reason::Read | Reason::ReadOnlyTransaction | Reason::ReplicaFailed);
        // What a replica has refused writes perhaps, whatever it was taken for.
        let is_in_doubt =
            side.is_primary() && matches!(reason, Reason::Learned | Reason::ReplicaFailed);
        let pins = match policy.mode {
            PoolMode::Session => Pins::SESSION_MODE,
            PoolMode::Transaction => Pins::empty(),
        };
        self.client.set_server(&link.server, node);
        self.phase = Phase::Attached(Attached {
            first: lease.machine.next(),
            lease,
            node,
            side,
            pins,
            inquiry: Inquiry::None,
            wrote: if is_in_doubt { Wrote::Maybe } else { Wrote::No },
            tables: if is_in_doubt { Tables::ALL } else { Tables::NONE },
            replay: if is_replayable {
                Replay::Recorded(self.worker.recycler.borrow_mut().take())
            } else {
                Replay::Off
            },
            portals: Portals::default(),
            batches: Batches::None,
            began: now,
            asked: now,
        });
        self.client.set_activity(Activity::Active, now, self.busy_deadline(now, now));
        self.detour = Detour::None;
        self.arrived = Mono::ZERO;
        self.leave_share(side);
    }

    /// Gives the server back, if nothing ties the session to it.
    #[inline]
    pub(super) fn release_if_done(&mut self, now: Mono) -> Moved {
        let Phase::Attached(attached) = &self.phase else { return Moved::No };
        let limit = self.policy.limits.client_write_buffer;
        if !attached.lease.is_settled()
            || !attached.pins.is_empty()
            // What it was got for waits: for its settings, or for the hub.
            || attached.batches == Batches::None
            || matches!(self.client.cancelling.get(), Cancelling::Yes(_))
            || self.to_client.waiting() > limit
        {
            return Moved::No;
        }
        let Phase::Attached(attached) = std::mem::replace(&mut self.phase, Phase::Detached) else {
            return Moved::No;
        };
        self.let_go(attached, now);
        Moved::Yes
    }

    fn let_go(&mut self, attached: Attached, now: Mono) {
        let backend = &self.client.backend;
        backend.cluster.end(attached.node, self.worker.lane());
        if let Replay::Recorded(mut bytes) = attached.replay {
            self.worker.recycler.borrow_mut().give(&mut bytes);
        }
        let mut lease = attached.lease;
        lease.server.last_used = now;
        if self.client.cancelling.replace(Cancelling::No) == Cancelling::Unsure
            || lease.machine.is_in_doubt()
        {
            lease.close(now);
        } else if lease.stains.is_empty() {
            lease.put_back(now);
        } else {
            let within = self.policy.timeouts.server_reset_timeout;
            cleaning::clean(&self.worker, lease, within);
        }
        self.client.clear_server();
        self.held.let_go();
        self.become_idle(now);
    }

    /// The client has nothing to do with any server.
    pub(super) fn become_idle(&mut self, now: Mono) {
        self.place = None;
        cancel::forget(&self.client);
        let timeouts = &self.policy.timeouts;
        let (activity, limit) = if self.held.is_open() {
            (Activity::IdleInTransaction, timeouts.idle_transaction_timeout)
        } else {
            (Activity::Idle, timeouts.client_idle_timeout)
        };
        let deadline = limit.map_or(Mono::MAX, |limit| now.plus(limit));
        self.client.set_activity(activity, now, deadline);
        self.client.prepared.set(self.names.tally());
        if !self.input.is_empty() {
            self.pending = super::Pending::Look;
        }
        if self.worker.stopping.get() != Stopping::No {
            // It was let finish; now it is its turn to go.
            self.client.summon(Summons::Stop);
        }
    }

    /// When a statement that was sent at `asked` in a transaction that began at `began` takes too long.
    pub(super) fn busy_deadline(&self, began: Mono, asked: Mono) -> Mono {
        let timeouts = &self.policy.timeouts;
        let query = timeouts.query_timeout.map_or(Mono::MAX, |limit| asked.plus(limit));
        let transaction = timeouts.transaction_timeout.map_or(Mono::MAX, |limit| began.plus(limit));
        query.min(transaction)
    }

    fn check_delay(&self) -> std::time::Duration {
        self.policy.server_check_delay
    }
}

/// Whether a step has changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// Nothing more can be done now.
    No,
    /// Another look is worth while.
    Yes,
}
