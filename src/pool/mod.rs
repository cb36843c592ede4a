//! Who gets which server connection.
//!
//! One [`Pool`] per (database, user, node), shared by all workers behind one short lock. It is bookkeeping only:
//! it owns no socket, spawns nothing and reads no clock. It is told the time, it wakes [`Ticket`]s, and it asks
//! its [`Connector`] to open and to close connections, always outside the lock.
//!
//! The rules:
//! * A free connection goes to the caller at once, the most recently used one of the caller's worker first (or the
//!   least recently used one: [`Order`]).
//! * Who finds none waits in line. A connection that comes back is handed directly to the oldest waiter (or to
//!   one of the releasing worker that came at most `LOCAL_WINDOW` places later), so no newcomer overtakes.
//! * While more clients wait than connects are in flight, and the limits leave room, connects are started.
//! * A connection is on loan as a [`Lease`]; dropped in any way but [`Lease::put_back`] it is closed and its
//!   place is free again. A dropped [`Ticket`] passes on what was on its way to it.
//! * Who wants but a place ([`Wants`]) stands in the same line; connections of its own are counted like all others.
//! * [`Budget`]s bound several pools together; a pool in need takes the place of another's idle connection.

mod budget;
mod error;
mod growth;
mod lease;
mod limits;
mod line;
mod state;
mod stats;
mod ticket;

#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use parking_lot::Mutex;

pub use self::budget::Budget;
pub use self::error::WaitError;
pub use self::lease::{Lease, Permit};
pub use self::limits::{Limits, Order};
pub use self::stats::{Snapshot, Status, Totals};
pub use self::ticket::Ticket;

use self::growth::{Growth, Look};
use self::state::{Effects, Held, More, Need, State, Taken, Wear};
use crate::clock::Mono;

/// One of the worker threads, numbered from 0 without gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u16);

/// What can be pooled.
pub trait Pooled: Send + 'static {
    /// Why one could not be opened.
    type Error: Error + Send + Sync + 'static;

    /// The worker whose runtime the socket is registered with.
    fn home(&self) -> WorkerId;

    /// When the connection has lived long enough (jitter included); [`Mono::MAX`]: never.
    fn retire_at(&self) -> Mono;
}

/// Opens and closes connections on behalf of a pool.
///
/// It is called on whatever thread finds the need, also from `Drop` and outside a runtime, with no lock held: it
/// may call the pool, but it must neither block nor panic. A permit keeps its pool alive, and the pool its
/// connector: a connector that stores permits must let go of them in the end.
pub trait Connector<C: Pooled>: Send + Sync {
    /// Start opening a connection; report by [`Permit::opened`] or [`Permit::failed`].
    fn connect(&self, permit: Permit<C>);

    /// The pool has let go of a connection. To drop it is enough.
    fn close(&self, conn: C, why: Closing) {
        let _ = why;
        drop(conn);
    }
}

/// Why a pool closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Closing {
    /// To make room for another pool under the same budget.
    Evicted,
    /// It has reached its lifetime.
    Expired,
    /// It was idle for too long.
    Idle,
    /// The pool is closed.
    PoolClosed,
    /// It was opened before the last [`Pool::renew`].
    Stale,
    /// There are more than the limits allow.
    Surplus,
}

impl Closing {
    /// For logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Evicted => "evicted",
            Self::Expired => "server_lifetime",
            Self::Idle => "server_idle_timeout",
            Self::PoolClosed => "pool_closed",
            Self::Stale => "reconnect",
            Self::Surplus => "surplus",
        }
    }
}

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// A connection.
    Connection,
    /// A place within the limits, for a connection of its own, which it puts into the lease: what it is given to replace
    /// need not be open.
    Place,
}

/// What a checkout led to.
#[derive(Debug)]
pub enum Checkout<C: Pooled> {
    /// A connection, at once. It may have its home at another worker.
    Ready(Lease<C>),
    /// A place in the queue.
    Wait(Ticket<C>),
}

/// The server connections of one (database, user, node).
pub struct Pool<C: Pooled> {
    state: Mutex<State<C>>,
    budgets: Vec<Arc<Budget<C>>>,
    connector: Box<dyn Connector<C>>,
}

impl<C: Pooled> Pool<C> {
    /// An empty pool. Every connection takes a place in each of `budgets`.
    pub fn new(
        limits: Limits,
        budgets: Vec<Arc<Budget<C>>>,
        connector: Box<dyn Connector<C>>,
    ) -> Arc<Self> {
        let state = Mutex::new(State::new(limits));
        let pool = Arc::new(Self { state, budgets, connector });
        for budget in &pool.budgets {
            budget.join(&pool);
        }
        pool
    }

    /// A connection for a client of `worker`, or a place in the queue for one.
    ///
    /// # Errors
    ///
    /// The pool is closed, cannot connect, or has too many waiters.
    pub fn checkout(
        self: &Arc<Self>,
        worker: WorkerId,
        now: Mono,
    ) -> Result<Checkout<C>, WaitError<C::Error>> {
        self.checkout_wanted((worker, Wants::Connection), now)
    }

    /// A connection for whatever a client of `worker` wants it for, or a place in the queue for one.
    ///
    /// # Errors
    ///
    /// As for [`Pool::checkout`].
    #[inline]
    pub fn checkout_wanted(
        self: &Arc<Self>,
        wish: (WorkerId, Wants),
        now: Mono,
    ) -> Result<Checkout<C>, WaitError<C::Error>> {
        let mut state = self.state.lock();
        match state.checkout(wish, now)? {
            Taken::Held(held) => {
                drop(state);
                Ok(Checkout::Ready(Lease::new(Arc::clone(self), held)))
            }
            Taken::Queued(key) => {
                let is_hungry = state.is_hungry();
                drop(state);
                let ticket = Ticket::new(Arc::clone(self), key, now);
                if is_hungry {
                    self.grow(Look::Once);
                }
                Ok(Checkout::Wait(ticket))
            }
        }
    }

    /// An idle connection that is `wanted`, if there is one: all are looked at, with the pool locked.
    pub fn checkout_idle(
        self: &Arc<Self>,
        wanted: impl Fn(&C) -> bool,
        now: Mono,
    ) -> Option<Lease<C>> {
        let held = self.state.lock().checkout_idle(wanted, now)?;
        Some(Lease::new(Arc::clone(self), held))
    }

    /// The janitor: closes what is idle for too long or too old, opens the minimum, and starts connects that
    /// became possible by the passing of time (reserve, retry after a failure, idle connections of others).
    ///
    /// To be called a few times per second.
    pub fn tick(self: &Arc<Self>, now: Mono) {
        self.change(now, State::reap);
        while self.budgets.iter().any(|budget| budget.is_over()) && self.evict_idle(Mono::MAX, now)
        {
        }
        let connects = self.state.lock().limits().connects();
        for _ in 0..connects {
            let Growth::Permitted(permit) = self.attempt(Need::Minimum) else { break };
            self.connector.connect(permit);
        }
        self.grow(Look::Again);
    }

    /// Changes the limits; surplus connections are closed when they are free.
    pub fn reconfigure(self: &Arc<Self>, limits: Limits, now: Mono) {
        self.change(now, |state| state.reconfigure(limits));
    }

    /// Nothing that is open or being opened will be used again: idle connections are closed now, the others
    /// when they come back.
    pub fn renew(self: &Arc<Self>, now: Mono) {
        self.change(now, State::renew);
    }

    /// The last failure to connect says nothing any more: connects that are needed are tried now.
    pub fn forgive(self: &Arc<Self>, now: Mono) {
        self.change(now, State::forgive);
    }

    /// Stops handing out connections: everybody waits. The pool is quiet when [`Snapshot::busy`] is 0.
    pub fn pause(&self) {
        self.state.lock().pause();
    }

    /// Ends a pause.
    pub fn resume(self: &Arc<Self>, now: Mono) {
        self.change(now, State::resume);
    }

    /// Ends the pool: waiters fail, connections are closed as they come back. There is no way back.
    pub fn close(self: &Arc<Self>, now: Mono) {
        self.change(now, State::close);
    }

    /// The pool as it is now.
    pub fn snapshot(&self, now: Mono) -> Snapshot<C::Error> {
        let mut state = self.state.lock();
        state.tell(now);
        state.snapshot()
    }

    /// Shows every idle connection and since when it is idle, the longest first. The pool is locked meanwhile.
    pub fn visit_idle(&self, visit: impl FnMut(&C, Mono)) {
        self.state.lock().visit_idle(visit);
    }

    fn accept(self: &Arc<Self>, held: Held<C>, wear: Wear, now: Mono) {
        self.change(now, |state| {
            let own = state.oldest_wait();
            if self.budgets.iter().any(|budget| budget.is_over() || budget.is_claimed(own)) {
                state.yield_place(held)
            } else {
                state.accept(held, wear)
            }
        });
    }

    fn discard(self: &Arc<Self>, now: Mono) {
        self.change(now, State::discard);
    }

    fn connected(self: &Arc<Self>, held: Held<C>, now: Mono) {
        self.change(now, |state| state.connected(held));
    }

    fn connect_failed(self: &Arc<Self>, error: Arc<C::Error>, now: Mono) {
        self.change(now, |state| state.connect_failed(error));
    }

    fn connect_abandoned(self: &Arc<Self>) {
        self.change(Mono::ZERO, State::connect_abandoned);
    }

    fn poll_place(
        &self,
        key: usize,
        waker: &Waker,
    ) -> Option<Result<Held<C>, WaitError<C::Error>>> {
        let (outcome, old) = self.state.lock().poll(key, waker);
        drop(old);
        outcome
    }

    fn leave(self: &Arc<Self>, key: usize) {
        self.change(Mono::ZERO, |state| state.leave(key));
    }

    /// Changes the state under the lock and carries out what follows from it.
    fn change(self: &Arc<Self>, now: Mono, change: impl FnOnce(&mut State<C>) -> Effects<C>) {
        let (effects, now) = {
            let mut state = self.state.lock();
            let now = state.tell(now);
            (change(&mut state), now)
        };
        if let Some(waker) = effects.wake {
            waker.wake();
        }
        if let Some(more) = effects.more {
            self.carry_out(*more, now);
        }
        if effects.hungry {
            self.grow(Look::Once);
        }
    }

    #[cold]
    fn carry_out(&self, more: More<C>, now: Mono) {
        more.wakes.into_iter().for_each(Waker::wake);
        let freed = more.freed + more.close.len();
        for (conn, why) in more.close {
            self.connector.close(conn, why);
        }
        self.free_places(freed, now);
    }
}

impl<C: Pooled> Drop for Pool<C> {
    fn drop(&mut self) {
        // Leases, tickets and permits keep the pool alive: only idle connections are left.
        let (idle, now) = {
            let state = self.state.get_mut();
            (state.idle_len(), state.now())
        };
        self.free_places(idle, now);
    }
}

impl<C: Pooled> fmt::Debug for Pool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("state", &self.state.lock().snapshot()).finish_non_exhaustive()
    }
}
