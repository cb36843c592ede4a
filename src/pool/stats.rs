//! What SHOW POOLS and the metrics say about one pool.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Mono;

/// Whether the pool hands out connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// It does.
    #[default]
    Running,
    /// Everybody waits; connections come back and stay.
    Paused,
    /// Nobody gets anything any more; connections are closed when they come back.
    Closed,
}

/// One pool at one instant.
#[derive(Clone, Debug)]
pub struct Snapshot<E> {
    /// Whether the pool hands out connections.
    pub status: Status,
    /// Connections that wait for a client.
    pub idle: usize,
    /// Connections that a client has (or is about to pick up).
    pub busy: usize,
    /// Connects in flight.
    pub connecting: usize,
    /// Clients in the queue.
    pub waiting: usize,
    /// How long the oldest of them has waited; zero when there is none.
    pub oldest_wait: Duration,
    /// Counts since the pool was made.
    pub totals: Totals,
    /// The last connect that failed, and when, until one succeeds.
    pub last_error: Option<(Mono, Arc<E>)>,
}

/// Counts since the pool was made; they only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections given to clients, at once or after a wait.
    pub checkouts: u64,
    /// Checkouts served at once by a connection of another worker, which had to be re-homed.
    pub moved: u64,
    /// Connections given to a waiter.
    pub handoffs: u64,
    /// Checkouts that had to wait.
    pub waits: u64,
    /// Waits that the client gave up.
    pub abandoned: u64,
    /// Time spent waiting by all who have left the queue, in nanoseconds.
    pub wait_nanos: u64,
    /// Connects that succeeded.
    pub connects: u64,
    /// Connects that failed.
    pub connect_failures: u64,
    /// Connections closed, for whatever reason.
    pub closed: u64,
    /// Those of them that made room for another pool of the same budget.
    pub evicted: u64,
}
