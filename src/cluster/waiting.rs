//! Reads that wait until a replica has caught up, without a timer each.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use slab::Slab;

use super::Cluster;
use crate::clock::Mono;

/// How a wait for freshness ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// A replica has caught up: decide again.
    Fresh,
    /// The deadline passed first.
    Expired,
}

/// All reads of a cluster that wait.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    entries: Slab<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    required: Mono,
    deadline: Mono,
    waker: Waker,
    ended: Option<Waited>,
}

/// Whom a new wait concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It is the only one: nobody polls for waiters yet.
    First,
    /// Others wait, and this one's deadline is the first to pass.
    Soonest,
    /// Others wait already.
    Later,
}

impl Waiters {
    /// Adds a wait; it has ended already if `freshest` satisfies it.
    pub(super) fn insert(
        &mut self,
        required: Mono,
        deadline: Mono,
        freshest: Mono,
    ) -> (usize, Arrival) {
        let arrival = match self.next_deadline() {
            None => Arrival::First,
            Some(soonest) if deadline < soonest => Arrival::Soonest,
            Some(_) => Arrival::Later,
        };
        let ended = (freshest > required).then_some(Waited::Fresh);
        let waker = Waker::noop().clone();
        (self.entries.insert(Waiter { required, deadline, waker, ended }), arrival)
    }

    pub(super) fn remove(&mut self, key: usize) {
        self.entries.try_remove(key);
    }

    /// Whether any wait has not ended.
    pub(super) fn any(&self) -> bool {
        self.pending().next().is_some()
    }

    /// The earliest deadline of a wait that has not ended.
    pub(super) fn next_deadline(&self) -> Option<Mono> {
        self.pending().map(|waiter| waiter.deadline).min()
    }

    /// Ends all waits that `freshest` satisfies or whose deadline has passed, and takes their wakers, which
    /// are to be woken once the lock is released.
    pub(super) fn end_due(&mut self, freshest: Mono, now: Mono, wake: &mut Vec<Waker>) {
        for (_, waiter) in &mut self.entries {
            if waiter.ended.is_none() {
                waiter.ended = waiter.outcome(freshest, now);
                if waiter.ended.is_some() {
                    wake.push(std::mem::replace(&mut waiter.waker, Waker::noop().clone()));
                }
            }
        }
    }

    /// Whether the wait has ended. If not, `waker` will be woken when it does.
    pub(super) fn poll(&mut self, key: usize, waker: &Waker) -> Poll<Waited> {
        let Some(waiter) = self.entries.get_mut(key) else {
            return Poll::Ready(Waited::Expired);
        };
        if let Some(ended) = waiter.ended {
            return Poll::Ready(ended);
        }
        waiter.waker.clone_from(waker);
        Poll::Pending
    }

    fn pending(&self) -> impl Iterator<Item = &Waiter> {
        self.entries.iter().map(|(_, waiter)| waiter).filter(|waiter| waiter.ended.is_none())
    }
}

impl Waiter {
    fn outcome(&self, freshest: Mono, now: Mono) -> Option<Waited> {
        if freshest > self.required {
            Some(Waited::Fresh)
        } else if now >= self.deadline {
            Some(Waited::Expired)
        } else {
            None
        }
    }
}

/// A read's place among those that wait. Dropping it gives the place up.
#[derive(Debug)]
pub struct WaitKey {
    cluster: Arc<Cluster>,
    key: usize,
}

impl WaitKey {
    pub(super) fn new(cluster: Arc<Cluster>, key: usize) -> Self {
        Self { cluster, key }
    }

    /// Whether the wait has ended; if not, the task of `context` will be woken when it does. May be called from
    /// any thread, any number of times.
    pub fn poll_fresh(&self, context: &Context<'_>) -> Poll<Waited> {
        self.cluster.poll_wait(self.key, context.waker())
    }
}

impl Drop for WaitKey {
    fn drop(&mut self) {
        self.cluster.end_wait(self.key);
    }
}
