//! What the janitor and the operator do to a pool.

use super::{Effects, Idle, State};
use crate::clock::Mono;
use crate::pool::{Closing, Limits, Pooled, Snapshot, Status, WaitError};

impl<C: Pooled> State<C> {
    /// Closes what is idle for too long, too old, or too much.
    pub(in crate::pool) fn reap(&mut self) -> Effects<C> {
        self.stalled = false;
        let mut effects = Effects::none();
        let mut next = self.idle.first();
        while let Some(key) = next {
            next = self.idle.after(key);
            if let Some(why) = self.idle.get(key).and_then(|idle| self.is_overdue(idle)) {
                self.drop_idle(key, why, &mut effects);
            }
        }
        self.settle(effects)
    }

    /// Gives up the connection that is idle for the longest time, if that is at least `since`.
    pub(in crate::pool) fn evict(&mut self, latest: Mono) -> Effects<C> {
        let mut effects = Effects::none();
        let oldest = self.idle.first();
        if let Some(key) = oldest
            && self.idle.get(key).is_some_and(|idle| idle.since <= latest)
        {
            self.drop_idle(key, Closing::Evicted, &mut effects);
        }
        effects
    }

    pub(in crate::pool) fn reconfigure(&mut self, limits: Limits) -> Effects<C> {
        self.limits = limits;
        self.settle(Effects::none())
    }

    /// Nothing opened so far is used again.
    pub(in crate::pool) fn renew(&mut self) -> Effects<C> {
        self.generation = self.generation.wrapping_add(1);
        self.failure = None;
        let mut effects = Effects::none();
        self.clear_idle(Closing::Stale, &mut effects);
        self.settle(effects)
    }

    pub(in crate::pool) fn forgive(&mut self) -> Effects<C> {
        self.failure = None;
        self.settle(Effects::none())
    }

    pub(in crate::pool) fn pause(&mut self) {
        if self.status == Status::Running {
            self.status = Status::Paused;
        }
    }

    pub(in crate::pool) fn resume(&mut self) -> Effects<C> {
        let mut effects = Effects::none();
        if self.status == Status::Paused {
            self.status = Status::Running;
        }
        while self.is_serving() {
            let Some(held) = self.oldest_wish().and_then(|(worker, _)| self.take_idle(worker))
            else {
                break;
            };
            let waker = self.grant(held);
            effects.more().wakes.extend(waker);
        }
        self.settle(effects)
    }

    pub(in crate::pool) fn close(&mut self) -> Effects<C> {
        self.status = Status::Closed;
        let mut effects = Effects::none();
        self.clear_idle(Closing::PoolClosed, &mut effects);
        self.fail_all(&WaitError::Closed, &mut effects);
        effects
    }

    pub(in crate::pool) fn snapshot(&self) -> Snapshot<C::Error> {
        Snapshot {
            status: self.status,
            idle: self.idle.len(),
            busy: self.busy,
            connecting: self.connecting,
            waiting: self.queue.len(),
            oldest_wait: self
                .oldest_wait()
                .map(|since| self.now.saturating_since(since))
                .unwrap_or_default(),
            totals: self.totals,
            last_error: self.failure.as_ref().map(|failure| (failure.at, failure.error.clone())),
        }
    }

    pub(in crate::pool) fn visit_idle(&self, mut visit: impl FnMut(&C, Mono)) {
        let mut next = self.idle.first();
        while let Some(key) = next {
            next = self.idle.after(key);
            if let Some(idle) = self.idle.get(key) {
                visit(&idle.held.conn, idle.since);
            }
        }
    }

    fn is_overdue(&self, idle: &Idle<C>) -> Option<Closing> {
        let total = self.total();
        let timeout = self.limits.idle_timeout;
        if idle.held.conn.retire_at() <= self.now {
            Some(Closing::Expired)
        } else if total > self.limits.size {
            Some(Closing::Surplus)
        } else if !timeout.is_zero()
            && total > self.limits.min
            && idle.since.plus(timeout) <= self.now
        {
            Some(Closing::Idle)
        } else {
            None
        }
    }

    fn clear_idle(&mut self, why: Closing, effects: &mut Effects<C>) {
        while let Some(key) = self.idle.first() {
            self.drop_idle(key, why, effects);
        }
    }

    fn drop_idle(&mut self, key: usize, why: Closing, effects: &mut Effects<C>) {
        if let Some(idle) = self.idle.remove(key) {
            self.note_closing(idle.held.conn, why, effects);
        }
    }
}
