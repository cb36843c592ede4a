//! A place in the queue of a pool.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Lease, Pool, Pooled, WaitError};
use crate::clock::Mono;

/// A place in the queue of a pool: a future of the connection. 24 bytes, `Unpin`.
///
/// # Cancel safety
///
/// It may be dropped at any time: the place is given up in O(1), and a connection that was already on its way
/// goes to the next in the queue. Once it has returned `Ready` it holds nothing.
#[must_use = "dropping a ticket gives up the place in the queue"]
pub struct Ticket<C: Pooled> {
    /// The pool, until the outcome has been returned: a lease takes it over.
    pool: Option<Arc<Pool<C>>>,
    key: usize,
    since: Mono,
}

impl<C: Pooled> Ticket<C> {
    pub(super) const fn new(pool: Arc<Pool<C>>, key: usize, since: Mono) -> Self {
        Self { pool: Some(pool), key, since }
    }

    /// The pool that is waited for; `None` once the outcome has been returned.
    pub const fn pool(&self) -> Option<&Arc<Pool<C>>> {
        self.pool.as_ref()
    }

    /// When the wait began.
    pub const fn since(&self) -> Mono {
        self.since
    }
}

impl<C: Pooled> Future for Ticket<C> {
    type Output = Result<Lease<C>, WaitError<C::Error>>;

    /// Polled again after `Ready` it answers [`WaitError::Closed`].
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(pool) = &self.pool else { return Poll::Ready(Err(WaitError::Closed)) };
        let Some(outcome) = pool.poll_place(self.key, cx.waker()) else { return Poll::Pending };
        let Some(pool) = self.pool.take() else { return Poll::Ready(Err(WaitError::Closed)) };
        Poll::Ready(outcome.map(|held| Lease::new(pool, held)))
    }
}

impl<C: Pooled> Drop for Ticket<C> {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.leave(self.key);
        }
    }
}

impl<C: Pooled> fmt::Debug for Ticket<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("since", &self.since).finish_non_exhaustive()
    }
}
