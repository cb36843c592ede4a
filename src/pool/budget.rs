//! Limits that several pools share: server connections per database, per user.
//!
//! Lock order: a pool's lock may be held while a budget's is taken, never the reverse, and no two pools' locks
//! are ever held at once.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::{Pool, Pooled};
use crate::clock::Mono;

/// How long a connection must have been idle before a pool that has others may take its place, and how much
/// longer than a pool's own clients those of a pool without any connection must have waited before they come
/// first. It keeps two busy pools from closing each other's connections for every transaction.
pub(super) const GRACE: Duration = Duration::from_millis(100);

/// A number of server connections that the pools of one database, or of one user, share.
pub struct Budget<C: Pooled> {
    limit: AtomicUsize,
    used: AtomicUsize,
    /// Since when the first of `Group::urgent` waits; `u64::MAX` when there is none.
    claim: AtomicU64,
    group: Mutex<Group<C>>,
}

struct Group<C: Pooled> {
    members: Vec<Weak<Pool<C>>>,
    /// The member that is asked next for an idle connection.
    turn: usize,
    /// Pools that have waiters and not a single connection.
    urgent: VecDeque<(Mono, Weak<Pool<C>>)>,
    /// Other pools that would grow.
    starving: VecDeque<Weak<Pool<C>>>,
}

/// How badly a pool needs a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It has no connection at all, and somebody has waited since then.
    Urgent(Mono),
    /// It has some.
    Ordinary,
}

/// Whether a pool stands in the queue of the budget that blocks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queued {
    Already,
    NotYet,
}

impl<C: Pooled> Budget<C> {
    /// A budget of `limit` connections; 0: any number.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicUsize::new(limit),
            used: AtomicUsize::new(0),
            claim: AtomicU64::new(u64::MAX),
            group: Mutex::new(Group {
                members: Vec::new(),
                turn: 0,
                urgent: VecDeque::new(),
                starving: VecDeque::new(),
            }),
        })
    }

    /// Connections open or being opened under this budget.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst)
    }

    /// The limit; 0: any number.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::SeqCst)
    }

    /// Changes the limit; connections above a lower one go as their pools let go of them.
    pub fn set_limit(&self, limit: usize, now: Mono) {
        self.limit.store(limit, Ordering::SeqCst);
        self.serve_starving(now);
    }

    pub(super) fn is_full(&self) -> bool {
        let limit = self.limit();
        limit != 0 && self.used() >= limit
    }

    pub(super) fn is_over(&self) -> bool {
        let limit = self.limit();
        limit != 0 && self.used() > limit
    }

    /// Takes a place, if one is free.
    pub(super) fn try_take(&self) -> bool {
        let limit = self.limit();
        let take = |used: usize| (limit == 0 || used < limit).then_some(used + 1);
        self.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
    }

    /// Gives a place back; the next starving pool gets it. No lock may be held.
    pub(super) fn release(&self, now: Mono) {
        self.used.fetch_sub(1, Ordering::SeqCst);
        self.serve_starving(now);
    }

    /// Whether a connection that comes back should make room for a pool without any, although clients of its
    /// own pool have waited since `own`. Cheap enough for every release.
    pub(super) fn is_claimed(&self, own: Option<Mono>) -> bool {
        let claim = Mono(self.claim.load(Ordering::Relaxed));
        claim < Mono::MAX && own.is_none_or(|since| claim.plus(GRACE) < since) && self.is_full()
    }

    pub(super) fn join(&self, pool: &Arc<Pool<C>>) {
        self.group.lock().members.push(Arc::downgrade(pool));
    }

    /// Puts a pool into the queue for places. The caller looks once more whether the budget is full: a place
    /// that was given back before the pool stood in the queue went to nobody.
    pub(super) fn queue_up(&self, pool: &Arc<Pool<C>>, claim: Claim) {
        let mut group = self.group.lock();
        match claim {
            Claim::Urgent(since) => group.urgent.push_back((since, Arc::downgrade(pool))),
            Claim::Ordinary => group.starving.push_back(Arc::downgrade(pool)),
        }
        self.publish(&group);
    }

    /// Closes one idle connection of a member other than `asking`. No lock may be held.
    pub(super) fn evict(&self, asking: &Arc<Pool<C>>, claim: Claim, now: Mono) -> bool {
        let latest = match claim {
            Claim::Urgent(_) => Mono::MAX,
            Claim::Ordinary => {
                Mono(now.0.saturating_sub(u64::try_from(GRACE.as_nanos()).unwrap_or(u64::MAX)))
            }
        };
        let members = self.group.lock().members.len();
        (0..members).any(|_| {
            self.next_member()
                .is_some_and(|pool| !Arc::ptr_eq(&pool, asking) && pool.evict_idle(latest, now))
        })
    }

    fn serve_starving(&self, now: Mono) {
        while !self.is_full() {
            let Some(pool) = self.next_starving() else { return };
            if let Some(pool) = pool.upgrade() {
                pool.grow_once(self, now);
            }
        }
    }

    fn next_starving(&self) -> Option<Weak<Pool<C>>> {
        let mut group = self.group.lock();
        let urgent = group.urgent.pop_front().map(|entry| entry.1);
        let next = urgent.or_else(|| group.starving.pop_front());
        self.publish(&group);
        next
    }

    fn publish(&self, group: &Group<C>) {
        let claim = group.urgent.front().map_or(u64::MAX, |entry| entry.0.0);
        self.claim.store(claim, Ordering::Relaxed);
    }

    /// The members in turn; forgets those that no longer exist.
    fn next_member(&self) -> Option<Arc<Pool<C>>> {
        let mut group = self.group.lock();
        group.turn =
            group.turn.checked_add(1).filter(|turn| *turn < group.members.len()).unwrap_or(0);
        let turn = group.turn;
        let pool = group.members.get(turn)?.upgrade();
        if pool.is_none() {
            group.members.swap_remove(turn);
        }
        pool
    }
}
