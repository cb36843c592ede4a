//! A connection on loan, and the permission to open one.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::state::{Held, Wear};
use super::{Pool, Pooled, Wants, WorkerId};
use crate::clock::Mono;

/// A connection on loan from its pool.
///
/// It goes back with [`Lease::put_back`]. Dropped in any other way (an error, a panic, a vanished client) the
/// connection is closed and its place in the pool becomes free.
pub struct Lease<C: Pooled> {
    pool: Arc<Pool<C>>,
    held: Option<Held<C>>,
}

impl<C: Pooled> Lease<C> {
    pub(super) const fn new(pool: Arc<Pool<C>>, held: Held<C>) -> Self {
        Self { pool, held: Some(held) }
    }

    /// The pool that the connection belongs to.
    pub const fn pool(&self) -> &Arc<Pool<C>> {
        &self.pool
    }

    /// Gives the connection back, to be used by anybody: it must be clean.
    ///
    /// Its home is asked for now. The oldest waiter gets it, or it becomes idle; if it is too old, or no longer
    /// wanted, the pool's connector closes it.
    pub fn put_back(mut self, now: Mono) {
        if let Some(held) = self.held.take() {
            self.pool.accept(held, Wear::Used, now);
        }
    }

    /// Closes the connection instead of giving it back.
    pub fn close(mut self, now: Mono) {
        if let Some(held) = self.held.take() {
            drop(held);
            self.pool.discard(now);
        }
    }
}

impl<C: Pooled> Drop for Lease<C> {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            drop(held);
            self.pool.discard(Mono::ZERO);
        }
    }
}

impl<C: Pooled> Deref for Lease<C> {
    type Target = C;

    #[expect(clippy::expect_used, reason = "only methods that consume the lease empty it")]
    fn deref(&self) -> &C {
        &self.held.as_ref().expect("a lease holds its connection").conn
    }
}

impl<C: Pooled> DerefMut for Lease<C> {
    #[expect(clippy::expect_used, reason = "only methods that consume the lease empty it")]
    fn deref_mut(&mut self) -> &mut C {
        &mut self.held.as_mut().expect("a lease holds its connection").conn
    }
}

impl<C: Pooled + fmt::Debug> fmt::Debug for Lease<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&**self).finish()
    }
}

/// The permission, and the duty, to open one connection for a pool.
///
/// It counts as a connect in flight until [`Permit::opened`] or [`Permit::failed`]. Dropped without either (the
/// task was cancelled) it is taken back; the next [`Pool::tick`] starts another connect if one is still needed.
pub struct Permit<C: Pooled> {
    pool: Arc<Pool<C>>,
    wish: Option<(WorkerId, Wants)>,
    generation: u32,
    settled: bool,
}

impl<C: Pooled> Permit<C> {
    pub(super) const fn new(
        pool: Arc<Pool<C>>,
        wish: Option<(WorkerId, Wants)>,
        generation: u32,
    ) -> Self {
        Self { pool, wish, generation, settled: false }
    }

    /// The pool that the connection is for.
    pub const fn pool(&self) -> &Arc<Pool<C>> {
        &self.pool
    }

    /// The worker of the client that has waited longest: the best home for the connection.
    pub fn worker(&self) -> Option<WorkerId> {
        self.wish.map(|(worker, _)| worker)
    }

    /// What that client waits for. For [`Wants::Place`] anything will do that can be told from a live connection: others
    /// may get it if that client leaves.
    pub fn wants(&self) -> Wants {
        self.wish.map_or(Wants::Connection, |(_, wants)| wants)
    }

    /// The connection is open and authenticated: the oldest waiter gets it, or it becomes idle.
    pub fn opened(mut self, conn: C, now: Mono) {
        self.settled = true;
        self.pool.connected(Held { conn, generation: self.generation }, now);
    }

    /// It could not be opened. If the pool has no other connection, everybody who waits gets this error.
    pub fn failed(mut self, error: Arc<C::Error>, now: Mono) {
        self.settled = true;
        self.pool.connect_failed(error, now);
    }
}

impl<C: Pooled> Drop for Permit<C> {
    fn drop(&mut self) {
        if !self.settled {
            self.pool.connect_abandoned();
        }
    }
}

impl<C: Pooled> fmt::Debug for Permit<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("wish", &self.wish).finish_non_exhaustive()
    }
}
