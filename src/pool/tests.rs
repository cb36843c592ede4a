//! What the tests of the pool share: a counted connection and a connector that the test plays.

mod budgets;
mod model;
mod rules;
mod stress;
mod upkeep;

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;

use super::*;

/// A connection that counts how many of its kind exist.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) id: usize,
    pub(super) home: WorkerId,
    pub(super) retire_at: Mono,
    pub(super) live: Arc<AtomicUsize>,
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused(pub(super) usize);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused {}", self.0)
    }
}

impl Error for Refused {}

impl Pooled for Conn {
    type Error = Refused;

    fn home(&self) -> WorkerId {
        self.home
    }

    fn retire_at(&self) -> Mono {
        self.retire_at
    }
}

/// What the pool asked of its connector.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) permits: Vec<Permit<Conn>>,
    pub(super) closed: Vec<(usize, Closing)>,
}

#[derive(Clone, Default)]
pub(super) struct Desk(pub(super) Arc<Mutex<Asked>>);

impl Connector<Conn> for Desk {
    fn connect(&self, permit: Permit<Conn>) {
        self.0.lock().permits.push(permit);
    }

    fn close(&self, conn: Conn, why: Closing) {
        self.0.lock().closed.push((conn.id, why));
    }
}

/// One pool whose connects the test completes.
pub(super) struct Rig {
    pub(super) pool: Arc<Pool<Conn>>,
    pub(super) desk: Desk,
    pub(super) live: Arc<AtomicUsize>,
    pub(super) made: usize,
}

impl Drop for Rig {
    /// A permit holds its pool, and the pool its connector.
    fn drop(&mut self) {
        let permits = std::mem::take(&mut self.desk.0.lock().permits);
        drop(permits);
    }
}

pub(super) const A: WorkerId = WorkerId(0);
pub(super) const B: WorkerId = WorkerId(1);

impl Rig {
    pub(super) fn new(limits: Limits) -> Self {
        Self::with_budgets(limits, Vec::new())
    }

    pub(super) fn with_budgets(limits: Limits, budgets: Vec<Arc<Budget<Conn>>>) -> Self {
        let desk = Desk::default();
        let pool = Pool::new(limits, budgets, Box::new(desk.clone()));
        Self { pool, desk, live: Arc::default(), made: 0 }
    }

    /// A pool with `count` idle connections of worker A; ids from 1.
    pub(super) fn with_idle(limits: Limits, count: usize, now: Mono) -> Self {
        let mut rig = Self::new(limits);
        let leases: Vec<_> = (0..count).map(|_| rig.connect_one(A, now)).collect();
        for lease in leases {
            lease.put_back(now);
        }
        rig
    }

    pub(super) fn conn(&mut self, home: WorkerId) -> Conn {
        self.made += 1;
        self.live.fetch_add(1, Ordering::SeqCst);
        Conn { id: self.made, home, retire_at: Mono::MAX, live: Arc::clone(&self.live) }
    }

    pub(super) fn permit(&self) -> Option<Permit<Conn>> {
        self.desk.0.lock().permits.pop()
    }

    pub(super) fn permits(&self) -> usize {
        self.desk.0.lock().permits.len()
    }

    pub(super) fn closed(&self) -> Vec<(usize, Closing)> {
        std::mem::take(&mut self.desk.0.lock().closed)
    }

    pub(super) fn live(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }

    /// Completes the latest connect.
    pub(super) fn open(&mut self, home: WorkerId, now: Mono) {
        let conn = self.conn(home);
        self.permit().expect("a permit").opened(conn, now);
    }

    pub(super) fn wait(&self, worker: WorkerId, now: Mono) -> Ticket<Conn> {
        match self.pool.checkout(worker, now) {
            Ok(Checkout::Wait(ticket)) => ticket,
            other => panic!("expected a ticket, got {other:?}"),
        }
    }

    pub(super) fn ready(&self, worker: WorkerId, now: Mono) -> Lease<Conn> {
        match self.pool.checkout(worker, now) {
            Ok(Checkout::Ready(lease)) => lease,
            other => panic!("expected a connection, got {other:?}"),
        }
    }

    /// Checks out, connects, and picks up.
    pub(super) fn connect_one(&mut self, worker: WorkerId, now: Mono) -> Lease<Conn> {
        let mut ticket = self.wait(worker, now);
        self.open(worker, now);
        granted(&mut ticket)
    }
}

/// A waker that counts.
#[derive(Default)]
pub(super) struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Bell {
    pub(super) fn rings(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

pub(super) type Outcome = Poll<Result<Lease<Conn>, WaitError<Refused>>>;

pub(super) fn poll_with(ticket: &mut Ticket<Conn>, bell: &Arc<Bell>) -> Outcome {
    let waker = Waker::from(Arc::clone(bell));
    Pin::new(ticket).poll(&mut Context::from_waker(&waker))
}

pub(super) fn poll(ticket: &mut Ticket<Conn>) -> Outcome {
    Pin::new(ticket).poll(&mut Context::from_waker(Waker::noop()))
}

pub(super) fn granted(ticket: &mut Ticket<Conn>) -> Lease<Conn> {
    match poll(ticket) {
        Poll::Ready(Ok(lease)) => lease,
        other => panic!("expected a connection, got {other:?}"),
    }
}

pub(super) fn limits(size: usize) -> Limits {
    Limits { size, ..Limits::default() }
}

pub(super) const fn at(millis: u64) -> Mono {
    Mono(millis * 1_000_000 + 1)
}

pub(super) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
