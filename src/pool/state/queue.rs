//! Those who wait: whose turn it is, and how they learn of it.

use std::task::Waker;

use super::{Effects, Held, State, Wear};
use crate::clock::Mono;
use crate::pool::{Pooled, WaitError, Wants, WorkerId};

/// A waiter of the releasing worker may be served before older ones if at most so many came between.
///
/// Nobody is ever overtaken by more than this number of clients: whoever overtakes somebody, even one who is not
/// the oldest, arrived at most this many places later.
pub(in crate::pool) const LOCAL_WINDOW: u64 = 64;

/// Somebody who waits.
pub(super) struct Waiter<C: Pooled> {
    since: Mono,
    wants: Wants,
    place: Place<C>,
}

enum Place<C: Pooled> {
    Waiting(Option<Waker>),
    Granted(Held<C>),
    Failed(WaitError<C::Error>),
}

impl<C: Pooled> Waiter<C> {
    pub(super) const fn new(since: Mono, wants: Wants) -> Self {
        Self { since, wants, place: Place::Waiting(None) }
    }
}

impl<C: Pooled> State<C> {
    /// Since when the oldest waiter has waited.
    pub(in crate::pool) fn oldest_wait(&self) -> Option<Mono> {
        self.queue.first().and_then(|key| self.queue.get(key)).map(|waiter| waiter.since)
    }

    /// The oldest waiter's worker, and what it waits for.
    pub(in crate::pool) fn oldest_wish(&self) -> Option<(WorkerId, Wants)> {
        let key = self.queue.first()?;
        Some((self.queue.worker(key)?, self.queue.get(key)?.wants))
    }

    /// What the ticket of `key` came to, if anything; else `waker` is kept.
    ///
    /// The second part is a waker to be dropped outside the lock.
    #[expect(clippy::type_complexity, reason = "a pair for one caller")]
    pub(in crate::pool) fn poll(
        &mut self,
        key: usize,
        waker: &Waker,
    ) -> (Option<Result<Held<C>, WaitError<C::Error>>>, Option<Waker>) {
        if let Some(Waiter { place: Place::Waiting(slot), .. }) = self.queue.get_mut(key) {
            let old = match slot {
                Some(known) if known.will_wake(waker) => None,
                _ => slot.replace(waker.clone()),
            };
            return (None, old);
        }
        match self.queue.remove(key).map(|waiter| waiter.place) {
            Some(Place::Granted(held)) => (Some(Ok(held)), None),
            Some(Place::Failed(error)) => (Some(Err(error)), None),
            Some(Place::Waiting(_)) | None => (Some(Err(WaitError::Closed)), None),
        }
    }

    /// The holder of the ticket of `key` has gone; a connection granted to it goes on.
    pub(in crate::pool) fn leave(&mut self, key: usize) -> Effects<C> {
        let since = self.queue.get(key).map_or(self.now, |waiter| waiter.since);
        match self.queue.remove(key).map(|waiter| waiter.place) {
            Some(Place::Granted(held)) => {
                self.totals.checkouts -= 1;
                self.totals.handoffs -= 1;
                self.totals.abandoned += 1;
                self.accept(held, Wear::Used)
            }
            Some(Place::Waiting(waker)) => {
                self.totals.abandoned += 1;
                self.note_wait(since);
                // To be dropped outside the lock; to be woken once more does no harm.
                Effects { wake: waker, ..Effects::none() }
            }
            Some(Place::Failed(_)) | None => Effects::none(),
        }
    }

    /// Hands a busy connection to the waiter whose turn it is.
    pub(super) fn grant(&mut self, held: Held<C>) -> Option<Waker> {
        let key = self.next_waiter(held.conn.home())?;
        self.queue.step_out(key);
        let waiter = self.queue.get_mut(key)?;
        let since = waiter.since;
        let before = std::mem::replace(&mut waiter.place, Place::Granted(held));
        self.totals.checkouts += 1;
        self.totals.handoffs += 1;
        self.note_wait(since);
        match before {
            Place::Waiting(waker) => waker,
            Place::Granted(_) | Place::Failed(_) => None,
        }
    }

    /// The oldest waiter, or one of `worker` that came shortly after.
    fn next_waiter(&self, worker: WorkerId) -> Option<usize> {
        let oldest = self.queue.first()?;
        let local = self.queue.first_of(worker);
        local.filter(|key| self.queue.distance(oldest, *key) <= LOCAL_WINDOW).or(Some(oldest))
    }

    pub(super) fn fail_all(&mut self, error: &WaitError<C::Error>, effects: &mut Effects<C>) {
        while let Some(key) = self.queue.first() {
            self.queue.step_out(key);
            let Some(waiter) = self.queue.get_mut(key) else { continue };
            let since = waiter.since;
            let before = std::mem::replace(&mut waiter.place, Place::Failed(error.clone()));
            self.note_wait(since);
            if let Place::Waiting(waker) = before {
                effects.more().wakes.extend(waker);
            }
        }
    }

    fn note_wait(&mut self, since: Mono) {
        let waited = self.now.0.saturating_sub(since.0);
        self.totals.wait_nanos = self.totals.wait_nanos.saturating_add(waited);
    }
}
