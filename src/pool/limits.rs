//! The numbers that bound one pool.

use std::time::Duration;

/// The bounds of one pool. All of them can change while the pool runs ([`super::Pool::reconfigure`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Server connections at most, the reserve not included.
    pub size: usize,
    /// Server connections that are kept open while nobody needs them.
    pub min: usize,
    /// Connections on top of `size` once somebody has waited for `reserve_after`; 0: none.
    pub reserve: usize,
    /// How long the oldest waiter must have waited before the reserve is used.
    pub reserve_after: Duration,
    /// Connects in flight at most; 0 counts as 1.
    pub max_connects: usize,
    /// Waiters at most; 0: any number.
    pub max_waiting: usize,
    /// How long no new connect is tried after one failed. Meanwhile a pool without any connection answers with
    /// the original error at once.
    pub login_retry: Duration,
    /// An idle connection above `min` is closed after this time; zero: never.
    pub idle_timeout: Duration,
    /// Which idle connection is lent next.
    pub order: Order,
}

/// Which idle connection is lent next. Either way those of the caller's worker go first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The one that came back last.
    #[default]
    Newest,
    /// The one that has been idle for the longest time: no caller gets the same one twice in a row while there is
    /// another. What a session has left behind shows at once.
    Oldest,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            size: 20,
            min: 0,
            reserve: 0,
            reserve_after: Duration::from_secs(5),
            max_connects: 4,
            max_waiting: 0,
            login_retry: Duration::from_secs(1),
            idle_timeout: Duration::from_mins(10),
            order: Order::Newest,
        }
    }
}

impl Limits {
    pub(super) const fn with_reserve(&self) -> usize {
        self.size.saturating_add(self.reserve)
    }

    pub(super) fn connects(&self) -> usize {
        self.max_connects.max(1)
    }
}
