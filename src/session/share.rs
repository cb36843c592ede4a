//! How much of the primary reads may take up that belong on replicas: replicas that fail or lag must not bring the
//! primary down as well.
//!
//! Reads that no replica can answer, and those that a replica has failed, run on the primary with so many connections
//! of its pool at most (`routing.primary_read_share`). What comes beyond that waits its turn.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::Mono;
use crate::route::{Patience, Reason, Route, Target};
use crate::session::acquire::Moved;
use crate::session::clients::Activity;
use crate::session::succession::Side;
use crate::session::{Pending, Phase, Session};

/// The connections of one (database, user) to the primary that such reads may use at once.
#[derive(Clone, Debug, Default)]
pub struct Share(Option<Arc<Semaphore>>);

impl Share {
    /// So many percent of a pool of this size, and one at least.
    pub fn new(percent: usize, pool_size: usize) -> Self {
        if percent >= 100 {
            return Self(None);
        }
        let places = (pool_size.saturating_mul(percent) / 100).clamp(1, Semaphore::MAX_PERMITS);
        Self(Some(Arc::new(Semaphore::new(places))))
    }
}

/// A place in the share.
pub(super) type Place = OwnedSemaphorePermit;

/// A read's turn in the share, which it waits for. Dropping it gives the turn up.
pub(super) struct Turn(Pin<Box<dyn Future<Output = Option<Place>>>>);

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").finish_non_exhaustive()
    }
}

impl Session {
    /// Sees to it that a read which is on the primary only for want of a replica has a place there. Returns whether it
    /// has to wait for one: then the phase is another one.
    pub(super) fn awaits_share(&mut self, route: Route, now: Mono) -> bool {
        let is_stopgap = route.target == Target::Primary
            && route.reason.is_for_want_of_a_replica()
            && self.client.backend.pools.len() > 1;
        if !is_stopgap {
            self.place = None;
            return false;
        }
        let Some(semaphore) = &self.policy.share.0 else { return false };
        if self.place.is_some() {
            return false;
        }
        let semaphore = Arc::clone(semaphore);
        if let Ok(place) = Arc::clone(&semaphore).try_acquire_owned() {
            self.place = Some(place);
            return false;
        }
        // It has waited for a replica already, if it was to wait.
        self.patience = Patience::Spent;
        let turn = async move { semaphore.acquire_owned().await.ok() };
        self.phase = Phase::WaitingShare(Turn(Box::pin(turn)));
        let limit = self.policy.query_wait_timeout;
        let deadline = limit.map_or(Mono::MAX, |limit| now.plus(limit));
        self.client.set_activity(Activity::Waiting, now, deadline);
        true
    }

    /// The wait for a place: when it ends the batch is routed again, as a replica may do by now.
    pub(super) fn poll_share(&mut self, cx: &mut Context<'_>) -> Moved {
        let Phase::WaitingShare(Turn(turn)) = &mut self.phase else { return Moved::No };
        let Poll::Ready(place) = turn.as_mut().poll(cx) else { return Moved::No };
        self.place = place;
        self.phase = Phase::Detached;
        self.pending = Pending::Look;
        Moved::Yes
    }

    /// A server was had.
    pub(super) fn leave_share(&mut self, side: Side) {
        if side.is_replica() {
            self.place = None;
        }
    }
}

impl Reason {
    /// Whether a statement is on the primary only because no replica would do.
    const fn is_for_want_of_a_replica(self) -> bool {
        matches!(
            self,
            Self::ReadAfterOwnWrite
                | Self::ReadAfterGroupWrite
                | Self::ReadAfterTableWrite
                | Self::ReadAfterToken
                | Self::StrongRead
                | Self::MonotonicRead
                | Self::ReadTooFresh
                | Self::ReadLagging
                | Self::NoReplica
                | Self::ReplicaFailed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_at_least_one_connection_and_all_of_them_is_no_limit() {
        let places = |share: Share| share.0.map(|semaphore| semaphore.available_permits());
        assert_eq!(places(Share::new(50, 20)), Some(10));
        assert_eq!(places(Share::new(10, 5)), Some(1));
        assert_eq!(places(Share::new(100, 20)), None);
    }
}
