//! When a pool starts another connect, and how it shares its budgets with other pools.

use std::sync::Arc;

use super::budget::{Claim, Queued};
use super::state::Need;
use super::{Budget, Permit, Pool, Pooled};
use crate::clock::Mono;

/// The outcome of looking whether a connect should start.
pub(super) enum Growth<C: Pooled> {
    Enough,
    Permitted(Permit<C>),
    Blocked { budget: Arc<Budget<C>>, claim: Claim, queued: Queued },
}

/// Whether a pool that stands in the queue of a budget looks once more for idle connections of other pools:
/// every look goes through all of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Again,
    Once,
}

impl<C: Pooled> Pool<C> {
    /// So many connections less: others under the same budgets may grow.
    pub(super) fn free_places(&self, count: usize, now: Mono) {
        for budget in self.budgets.iter().flat_map(|budget| std::iter::repeat_n(budget, count)) {
            budget.release(now);
        }
    }

    /// Gives up the longest idle connection if it has been idle since `latest` or longer.
    pub(super) fn evict_idle(self: &Arc<Self>, latest: Mono, now: Mono) -> bool {
        let mut evicted = false;
        self.change(now, |state| {
            let effects = state.evict(latest);
            evicted = effects.closes();
            effects
        });
        evicted
    }

    /// Starts connects while more are needed and allowed.
    pub(super) fn grow(self: &Arc<Self>, look: Look) {
        // Each round starts a connect or frees a place for one; what remains is left to the next tick.
        let rounds = self.state.lock().limits().connects().saturating_mul(2);
        for _ in 0..=rounds {
            match self.attempt(Need::Waiters) {
                Growth::Enough => return,
                Growth::Permitted(permit) => self.connector.connect(permit),
                Growth::Blocked { budget, claim, queued } => {
                    if queued == Queued::NotYet {
                        budget.queue_up(self, claim);
                    } else if look == Look::Once {
                        return;
                    }
                    let now = self.state.lock().now();
                    if budget.is_full() && !budget.evict(self, claim, now) {
                        return;
                    }
                }
            }
        }
    }

    /// `budget` has a place and this pool is the next in its queue; if it needs more it goes to the end.
    pub(super) fn grow_once(self: &Arc<Self>, budget: &Budget<C>, now: Mono) {
        {
            let mut state = self.state.lock();
            state.tell(now);
            state.leave_starving();
        }
        match self.attempt(Need::Waiters) {
            Growth::Permitted(permit) => {
                self.connector.connect(permit);
                self.queue_again(budget);
            }
            Growth::Blocked { budget, claim, queued: Queued::NotYet } => {
                budget.queue_up(self, claim);
            }
            Growth::Enough | Growth::Blocked { queued: Queued::Already, .. } => {}
        }
    }

    fn queue_again(self: &Arc<Self>, budget: &Budget<C>) {
        let claim = {
            let mut state = self.state.lock();
            let claim = state.is_hungry().then(|| state.claim());
            claim.filter(|claim| state.note_starving(*claim) == Queued::NotYet)
        };
        if let Some(claim) = claim {
            budget.queue_up(self, claim);
        }
    }

    /// Counts a connect in flight if one is needed and allowed.
    pub(super) fn attempt(self: &Arc<Self>, need: Need) -> Growth<C> {
        let mut state = self.state.lock();
        if !state.wants_connect(need) {
            return Growth::Enough;
        }
        // Looking first makes it rare that a place is taken in one budget and given back because of another.
        let full = self.budgets.iter().position(|budget| budget.is_full());
        let taken = match full {
            Some(_) => 0,
            None => self.budgets.iter().take_while(|budget| budget.try_take()).count(),
        };
        let Some(budget) = self.budgets.get(full.unwrap_or(taken)) else {
            state.begin_connect();
            let (wish, generation) = (state.oldest_wish(), state.generation());
            return Growth::Permitted(Permit::new(Arc::clone(self), wish, generation));
        };
        let (claim, now) = (state.claim(), state.now());
        let queued = match need {
            Need::Waiters => state.note_starving(claim),
            Need::Minimum => Queued::Already,
        };
        drop(state);
        for budget in self.budgets.iter().take(taken) {
            budget.release(now);
        }
        Growth::Blocked { budget: Arc::clone(budget), claim, queued }
    }
}
