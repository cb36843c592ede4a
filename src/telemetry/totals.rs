//! The counters of all workers, added up at one moment.

use std::time::Duration;

use super::counter::{BUCKETS, Counter, Histogram};
use super::traffic::{REASONS, Traffic};

/// A histogram's content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// The count of each bucket (not cumulative).
    pub counts: [u64; BUCKETS],
    /// The sum of all durations.
    pub sum: Duration,
}

impl Distribution {
    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum in whole microseconds.
    pub fn sum_us(&self) -> u64 {
        u64::try_from(self.sum.as_micros()).unwrap_or(u64::MAX)
    }

    fn of(histogram: &Histogram) -> Self {
        Self { counts: histogram.counts(), sum: histogram.sum() }
    }

    fn combine(&mut self, other: &Self, how: How) {
        for (count, other) in self.counts.iter_mut().zip(other.counts) {
            *count = how.apply(*count, other);
        }
        self.sum = match how {
            How::Add => self.sum.saturating_add(other.sum),
            How::Subtract => self.sum.saturating_sub(other.sum),
        };
    }
}

/// What has been done for a (database, user), or for several together. The fields are those of [`Traffic`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Transactions ended.
    pub transactions: Distribution,
    /// Requests answered with ReadyForQuery.
    pub queries: Distribution,
    /// Waits for a server; their count is how often a server was given to a client.
    pub waits: Distribution,
    /// Bytes from clients.
    pub received: u64,
    /// Bytes to clients.
    pub sent: u64,
    /// Parse messages from clients.
    pub client_parses: u64,
    /// Parse messages sent to servers.
    pub server_parses: u64,
    /// Bind messages from clients.
    pub binds: u64,
    /// Reads that were run again elsewhere.
    pub replays: u64,
    /// Errors of servers that clients were shown.
    pub errors: u64,
    /// Times that a client was pinned to its server.
    pub pins: u64,
    /// Notifications that clients were sent by the hub.
    pub notifications: u64,
    /// Notifications that were thrown away.
    pub lost_notifications: u64,
    /// Batches by the reason of their route.
    pub routes: [u64; REASONS],
}

impl Default for Totals {
    fn default() -> Self {
        Self::of(&Traffic::default())
    }
}

impl Totals {
    /// What one worker has counted.
    pub fn of(traffic: &Traffic) -> Self {
        Self {
            transactions: Distribution::of(&traffic.transactions),
            queries: Distribution::of(&traffic.queries),
            waits: Distribution::of(&traffic.waits),
            received: traffic.received.get(),
            sent: traffic.sent.get(),
            client_parses: traffic.client_parses.get(),
            server_parses: traffic.server_parses.get(),
            binds: traffic.binds.get(),
            replays: traffic.replays.get(),
            errors: traffic.errors.get(),
            pins: traffic.pins.get(),
            notifications: traffic.notifications.get(),
            lost_notifications: traffic.lost_notifications.get(),
            routes: std::array::from_fn(|index| traffic.routes.get(index).map_or(0, Counter::get)),
        }
    }

    /// The sum of all.
    pub fn sum(all: impl IntoIterator<Item = Self>) -> Self {
        let mut sum = Self::default();
        for one in all {
            sum.combine(&one, How::Add);
        }
        sum
    }

    /// What was done after `earlier`.
    pub fn since(mut self, earlier: &Self) -> Self {
        self.combine(earlier, How::Subtract);
        self
    }

    fn combine(&mut self, other: &Self, how: How) {
        self.transactions.combine(&other.transactions, how);
        self.queries.combine(&other.queries, how);
        self.waits.combine(&other.waits, how);
        for (own, other) in [
            (&mut self.received, other.received),
            (&mut self.sent, other.sent),
            (&mut self.client_parses, other.client_parses),
            (&mut self.server_parses, other.server_parses),
            (&mut self.binds, other.binds),
            (&mut self.replays, other.replays),
            (&mut self.errors, other.errors),
            (&mut self.pins, other.pins),
            (&mut self.notifications, other.notifications),
            (&mut self.lost_notifications, other.lost_notifications),
        ] {
            *own = how.apply(*own, other);
        }
        for (own, other) in self.routes.iter_mut().zip(other.routes) {
            *own = how.apply(*own, other);
        }
    }
}

#[derive(Clone, Copy)]
enum How {
    Add,
    Subtract,
}

impl How {
    fn apply(self, one: u64, other: u64) -> u64 {
        match self {
            Self::Add => one.wrapping_add(other),
            Self::Subtract => one.saturating_sub(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_of_workers_add_up_and_differences_are_what_came_since() {
        let (one, other) = (Traffic::default(), Traffic::default());
        one.queries.record(Duration::from_micros(10));
        one.sent.add(5);
        let earlier = Totals::sum([Totals::of(&one), Totals::of(&other)]);
        other.queries.record(Duration::from_micros(30));
        other.sent.add(2);
        let later = Totals::sum([Totals::of(&one), Totals::of(&other)]);
        assert_eq!((later.queries.count(), later.queries.sum_us(), later.sent), (2, 40, 7));
        let since = later.since(&earlier);
        assert_eq!((since.queries.count(), since.queries.sum_us(), since.sent), (1, 30, 2));
    }
}
