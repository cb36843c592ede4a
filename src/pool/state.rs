//! The bookkeeping of one pool: plain data, no lock, no clock, no callbacks.
//!
//! A connection is counted exactly once, as `connecting`, `busy` or idle; `busy` includes those that were
//! granted to a waiter who has not picked them up. Whatever must happen outside the lock (wake somebody, close
//! something) is returned as [`Effects`].

pub(super) mod queue;
mod upkeep;

use std::sync::Arc;
use std::task::Waker;

use self::queue::Waiter;
use super::budget::{Claim, Queued};
use super::line::Line;
use super::{Closing, Limits, Order, Pooled, Status, Totals, WaitError, Wants, WorkerId};
use crate::clock::Mono;

/// A connection and the generation of the configuration it was opened under.
pub(super) struct Held<C> {
    pub(super) conn: C,
    pub(super) generation: u32,
}

struct Idle<C> {
    held: Held<C>,
    since: Mono,
}

struct Failure<E> {
    at: Mono,
    error: Arc<E>,
}

/// What a checkout led to.
pub(super) enum Taken<C> {
    Held(Held<C>),
    Queued(usize),
}

/// Whether a connection that comes in has served a client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wear {
    Fresh,
    Used,
}

/// Why the pool should grow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Waiters,
    Minimum,
}

/// To be done once the lock is released: wakers and connections may run foreign code when used or dropped.
pub(super) struct Effects<C> {
    pub(super) wake: Option<Waker>,
    /// Apart, because there is rarely any.
    pub(super) more: Option<Box<More<C>>>,
    /// Whether the pool should try to grow.
    pub(super) hungry: bool,
}

/// Rare effects.
pub(super) struct More<C> {
    pub(super) wakes: Vec<Waker>,
    pub(super) close: Vec<(C, Closing)>,
    /// Places that became free without a connection to close.
    pub(super) freed: usize,
}

impl<C> Effects<C> {
    #[inline]
    pub(super) const fn none() -> Self {
        Self { wake: None, more: None, hungry: false }
    }

    /// A place became free without a connection to close.
    fn freed() -> Self {
        let mut effects = Self::none();
        effects.more().freed = 1;
        effects
    }

    #[cold]
    pub(super) fn more(&mut self) -> &mut More<C> {
        self.more.get_or_insert_with(|| {
            Box::new(More { wakes: Vec::new(), close: Vec::new(), freed: 0 })
        })
    }

    pub(super) fn closes(&self) -> bool {
        self.more.as_ref().is_some_and(|more| !more.close.is_empty())
    }
}

pub(super) struct State<C: Pooled> {
    limits: Limits,
    status: Status,
    generation: u32,
    idle: Line<Idle<C>>,
    queue: Line<Waiter<C>>,
    busy: usize,
    connecting: usize,
    failure: Option<Failure<C::Error>>,
    /// How the pool stands in the queue of a budget, if it does.
    starving: Option<Claim>,
    /// Whether a connect was abandoned since the last tick. None is started meanwhile: a connector that drops
    /// its permits at once (its runtime is gone) would otherwise be asked for ever.
    stalled: bool,
    /// The latest instant that a caller has told, for those who cannot tell one (`Drop`).
    now: Mono,
    totals: Totals,
}

impl<C: Pooled> State<C> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            status: Status::Running,
            generation: 0,
            idle: Line::new(),
            queue: Line::new(),
            busy: 0,
            connecting: 0,
            failure: None,
            starving: None,
            stalled: false,
            now: Mono::ZERO,
            totals: Totals::default(),
        }
    }

    pub(super) fn tell(&mut self, now: Mono) -> Mono {
        self.now = self.now.max(now);
        self.now
    }

    pub(super) const fn now(&self) -> Mono {
        self.now
    }

    pub(super) const fn generation(&self) -> u32 {
        self.generation
    }

    pub(super) const fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) const fn total(&self) -> usize {
        self.idle.len() + self.busy + self.connecting
    }

    pub(super) fn checkout(
        &mut self,
        (worker, wants): (WorkerId, Wants),
        now: Mono,
    ) -> Result<Taken<C>, WaitError<C::Error>> {
        self.tell(now);
        if self.status == Status::Closed {
            return Err(WaitError::Closed);
        }
        if self.status == Status::Running
            && self.queue.is_empty()
            && let Some(held) = self.take_idle(worker)
        {
            self.totals.checkouts += 1;
            return Ok(Taken::Held(held));
        }
        if let Some(error) = self.doom() {
            return Err(WaitError::ConnectFailed(error));
        }
        if self.limits.max_waiting != 0 && self.queue.len() >= self.limits.max_waiting {
            return Err(WaitError::QueueFull);
        }
        self.totals.waits += 1;
        Ok(Taken::Queued(self.queue.push(worker, Waiter::new(now, wants))))
    }

    /// The first idle connection that is `wanted`; it is then busy.
    pub(super) fn checkout_idle(
        &mut self,
        wanted: impl Fn(&C) -> bool,
        now: Mono,
    ) -> Option<Held<C>> {
        self.tell(now);
        if self.status != Status::Running {
            return None;
        }
        let is_wanted = |idle: &Idle<C>| wanted(&idle.held.conn);
        let mut keys = std::iter::successors(self.idle.first(), |key| self.idle.after(*key));
        let key = keys.find(|key| self.idle.get(*key).is_some_and(is_wanted))?;
        let idle = self.idle.remove(key)?;
        self.busy += 1;
        self.totals.checkouts += 1;
        Some(idle.held)
    }

    /// Takes in a connection that was counted as busy: to a waiter, to the idle ones, or out.
    pub(super) fn accept(&mut self, held: Held<C>, wear: Wear) -> Effects<C> {
        let mut effects = Effects::none();
        if let Some(why) = self.refusal(&held, wear) {
            self.drop_busy(held.conn, why, &mut effects);
        } else if self.is_serving() {
            effects.wake = self.grant(held);
        } else {
            self.busy -= 1;
            let (worker, since) = (held.conn.home(), self.now);
            self.idle.push(worker, Idle { held, since });
        }
        self.settle(effects)
    }

    /// Takes in nothing: the place is needed elsewhere.
    pub(super) fn yield_place(&mut self, held: Held<C>) -> Effects<C> {
        let mut effects = Effects::none();
        self.drop_busy(held.conn, Closing::Evicted, &mut effects);
        self.settle(effects)
    }

    fn drop_busy(&mut self, conn: C, why: Closing, effects: &mut Effects<C>) {
        self.busy -= 1;
        self.note_closing(conn, why, effects);
    }

    /// A busy connection has been closed by its holder.
    pub(super) fn discard(&mut self) -> Effects<C> {
        self.busy -= 1;
        self.totals.closed += 1;
        self.settle(Effects::freed())
    }

    /// Counts a connect in flight.
    pub(super) fn begin_connect(&mut self) {
        self.connecting += 1;
        self.starving = None;
    }

    pub(super) fn connected(&mut self, held: Held<C>) -> Effects<C> {
        self.connecting -= 1;
        self.busy += 1;
        self.totals.connects += 1;
        self.failure = None;
        self.accept(held, Wear::Fresh)
    }

    pub(super) fn connect_failed(&mut self, error: Arc<C::Error>) -> Effects<C> {
        self.connecting -= 1;
        self.totals.connect_failures += 1;
        self.failure = Some(Failure { at: self.now, error });
        self.settle(Effects::freed())
    }

    pub(super) fn connect_abandoned(&mut self) -> Effects<C> {
        self.connecting -= 1;
        self.stalled = true;
        Effects::freed()
    }

    /// Whether a connect should start, or a place be asked for, that nobody has asked for yet.
    pub(super) fn is_hungry(&self) -> bool {
        self.wants_connect(Need::Waiters) && self.unasked(self.claim())
    }

    /// Remembers that the pool waits for a place in a budget; tells whether it must be put into the queue.
    pub(super) fn note_starving(&mut self, claim: Claim) -> Queued {
        let queued = if self.unasked(claim) { Queued::NotYet } else { Queued::Already };
        self.starving = Some(claim);
        queued
    }

    fn unasked(&self, claim: Claim) -> bool {
        match self.starving {
            None => true,
            Some(Claim::Ordinary) => claim != Claim::Ordinary,
            Some(Claim::Urgent(_)) => false,
        }
    }

    /// How badly the pool needs a place.
    pub(super) fn claim(&self) -> Claim {
        match self.oldest_wait() {
            Some(since) if self.total() == 0 => Claim::Urgent(since),
            _ => Claim::Ordinary,
        }
    }

    /// Whether a connect should start now, the budgets aside.
    pub(super) fn wants_connect(&self, need: Need) -> bool {
        let room = match need {
            Need::Waiters => self.queue.len() > self.connecting && self.total() < self.cap(),
            Need::Minimum => self.total() < self.limits.min.min(self.limits.size),
        };
        room && self.status == Status::Running
            && !self.stalled
            && self.connecting < self.limits.connects()
            && self.recent_failure().is_none()
    }

    /// The budget says that it is the pool's turn.
    pub(super) fn leave_starving(&mut self) {
        self.starving = None;
    }

    pub(super) const fn idle_len(&self) -> usize {
        self.idle.len()
    }

    /// The most connections that may exist now.
    fn cap(&self) -> usize {
        let overdue = self
            .oldest_wait()
            .is_some_and(|since| since.plus(self.limits.reserve_after) <= self.now);
        if overdue { self.limits.with_reserve() } else { self.limits.size }
    }

    fn is_serving(&self) -> bool {
        self.status == Status::Running && !self.queue.is_empty()
    }

    /// The next idle connection of `worker`, else the next of all; it is then busy.
    fn take_idle(&mut self, worker: WorkerId) -> Option<Held<C>> {
        let (local, any) = match self.limits.order {
            Order::Newest => (self.idle.last_of(worker), self.idle.last()),
            Order::Oldest => (self.idle.first_of(worker), self.idle.first()),
        };
        let key = local.or(any)?;
        self.totals.moved += u64::from(local.is_none());
        let idle = self.idle.remove(key)?;
        self.busy += 1;
        Some(idle.held)
    }

    fn refusal(&self, held: &Held<C>, wear: Wear) -> Option<Closing> {
        let total = self.total();
        let most = if self.is_serving() { self.limits.with_reserve() } else { self.limits.size };
        if self.status == Status::Closed {
            Some(Closing::PoolClosed)
        } else if held.generation != self.generation {
            Some(Closing::Stale)
        } else if wear == Wear::Used && held.conn.retire_at() <= self.now {
            Some(Closing::Expired)
        } else if total > most {
            Some(Closing::Surplus)
        } else {
            None
        }
    }

    /// The error that everybody gets at once: nothing is open or being opened, and the last try has just failed.
    fn doom(&self) -> Option<Arc<C::Error>> {
        let hopeless = self.status == Status::Running && self.total() == 0;
        self.recent_failure().filter(|_| hopeless).map(|failure| failure.error.clone())
    }

    fn recent_failure(&self) -> Option<&Failure<C::Error>> {
        self.failure.as_ref().filter(|failure| self.now <= failure.at.plus(self.limits.login_retry))
    }

    /// Every change ends here: waiters without hope fail, and the caller learns whether growth is
    /// needed for the others.
    fn settle(&mut self, mut effects: Effects<C>) -> Effects<C> {
        if let Some(error) = self.doom().filter(|_| !self.queue.is_empty()) {
            self.fail_all(&WaitError::ConnectFailed(error), &mut effects);
        }
        effects.hungry = self.is_hungry();
        effects
    }

    fn note_closing(&mut self, conn: C, why: Closing, effects: &mut Effects<C>) {
        self.totals.closed += 1;
        if why == Closing::Evicted {
            self.totals.evicted += 1;
        }
        effects.more().close.push((conn, why));
    }
}
