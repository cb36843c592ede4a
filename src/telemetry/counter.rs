//! Counters and histograms that cost a plain addition.
//!
//! Each belongs to one worker thread, which alone writes it; others may read it at any time. That is why an
//! addition is a load and a store, not a locked instruction.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that one thread counts up.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`. Only ever called by the thread that owns the counter.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// The present value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that one thread counts up and down.
#[derive(Debug, Default)]
pub struct Gauge(Counter);

impl Gauge {
    /// One more. Only ever called by the thread that owns the gauge.
    #[inline]
    pub fn up(&self) {
        self.0.add(1);
    }

    /// One less.
    #[inline]
    pub fn down(&self) {
        self.0.add(u64::MAX);
    }

    /// The present value.
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// The number of buckets of a [`Histogram`].
pub const BUCKETS: usize = 28;

/// Durations in buckets whose upper bounds are powers of two microseconds: 1 us to 134 s, and beyond.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BUCKETS],
    nanos: Counter,
}

impl Histogram {
    /// Counts one duration.
    #[inline]
    pub fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = bucket_of(nanos / 1000);
        if let Some(counter) = self.buckets.get(bucket) {
            counter.add(1);
        }
        self.nanos.add(nanos);
    }

    /// The count of each bucket (not cumulative).
    pub fn counts(&self) -> [u64; BUCKETS] {
        std::array::from_fn(|index| self.buckets.get(index).map_or(0, Counter::get))
    }

    /// The sum of all durations.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.nanos.get())
    }

    /// The upper bound of a bucket, in microseconds; `None` for the last, which has none.
    pub fn bound_us(bucket: usize) -> Option<u64> {
        (bucket + 1 < BUCKETS).then(|| 1 << bucket)
    }
}

/// The first bucket whose bound is not below `micros`.
#[inline]
fn bucket_of(micros: u64) -> usize {
    let bits = u64::BITS - micros.saturating_sub(1).leading_zeros();
    usize::try_from(bits).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        for (micros, bound) in [(0, 1), (1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (1000, 1024)] {
            assert_eq!(Histogram::bound_us(bucket_of(micros)), Some(bound), "{micros}");
        }
        assert_eq!(Histogram::bound_us(bucket_of(u64::MAX)), None);
    }

    #[test]
    fn sums_and_counts_add_up() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_micros(3));
        histogram.record(Duration::from_micros(5));
        assert_eq!(histogram.sum(), Duration::from_micros(8));
        assert_eq!(histogram.counts().iter().sum::<u64>(), 2);
    }
}
