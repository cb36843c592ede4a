//! What one worker has done for one (database, user).

use super::counter::{Counter, Gauge, Histogram};
use super::frequent::Frequent;

/// How many routing reasons can be told apart.
pub const REASONS: usize = 48;

/// One counter for each reason.
#[derive(Debug)]
pub struct Routes([Counter; REASONS]);

impl Default for Routes {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

impl Routes {
    /// The counter of the reason with this index.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&Counter> {
        self.0.get(index)
    }
}

/// How many things a client can be doing.
pub const ACTIVITIES: usize = 5;

/// How many clients are doing what, in the order of the activities.
#[derive(Debug, Default)]
pub struct Presence([Gauge; ACTIVITIES]);

impl Presence {
    /// How many clients do what has this index.
    pub fn count(&self, index: usize) -> u64 {
        self.0.get(index).map_or(0, Gauge::get)
    }

    /// One more client does what has this index.
    #[inline]
    pub fn enter(&self, index: usize) {
        if let Some(gauge) = self.0.get(index) {
            gauge.up();
        }
    }

    /// One client less does what has this index.
    #[inline]
    pub fn leave(&self, index: usize) {
        if let Some(gauge) = self.0.get(index) {
            gauge.down();
        }
    }
}

/// What one worker has done for one (database, user). Names as in PgBouncer's SHOW STATS.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Transactions ended; a statement outside a block is one.
    pub transactions: Histogram,
    /// Requests answered with ReadyForQuery.
    pub queries: Histogram,
    /// Waits for a server, also those that took no time.
    pub waits: Histogram,
    /// Bytes from clients.
    pub received: Counter,
    /// Bytes to clients.
    pub sent: Counter,
    /// Parse messages from clients.
    pub client_parses: Counter,
    /// Parse messages sent to servers.
    pub server_parses: Counter,
    /// Bind messages from clients.
    pub binds: Counter,
    /// Batches by the reason of their route, in the order of the reasons.
    pub routes: Routes,
    /// The statements that come most often, by the same reasons.
    pub frequent: Frequent,
    /// Reads that were run again elsewhere after a replica had failed them.
    pub replays: Counter,
    /// Errors of servers that clients were shown.
    pub errors: Counter,
    /// Times that a client was pinned to its server.
    pub pins: Counter,
    /// Notifications that clients were sent by the hub.
    pub notifications: Counter,
    /// Notifications that were thrown away because a client did not take them.
    pub lost_notifications: Counter,
    /// What the clients are doing now.
    pub presence: Presence,
}

/// What one worker has done for nobody in particular.
#[derive(Debug, Default)]
pub struct WorkerStats {
    /// Clients that have logged in.
    pub logins: Counter,
    /// Log-ins that failed.
    pub failed_logins: Counter,
    /// Cancel requests that were passed on.
    pub cancels: Counter,
    /// Clients that are connected now.
    pub clients: Counter,
}
