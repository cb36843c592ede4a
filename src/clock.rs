//! pgLagoon's own monotonic clock.
//!
//! Every instant that is compared with another (last write, freshness of a replica, deadlines) is read from
//! this one clock, so no comparison ever depends on another machine's idea of time.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// An instant: nanoseconds since the clock was started.
///
/// [`Mono::ZERO`] stands for "never"; a running clock never returns it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

impl Mono {
    /// "Never": before every instant that a clock returns.
    pub const ZERO: Self = Self(0);
    /// Later than every instant that a clock returns.
    pub const MAX: Self = Self(u64::MAX);

    /// The time from `earlier` to `self`; zero if `earlier` is the later one.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The instant `duration` after this one, saturating at [`Mono::MAX`].
    pub fn plus(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

/// The clock. Made once when the process starts and handed down by value.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base: Instant,
    reads: Reads,
}

/// What a clock reads.
#[derive(Clone, Copy, Debug)]
enum Reads {
    /// CLOCK_MONOTONIC, which read so many nanoseconds when the clock was started. Instant reads the same one, but its
    /// differences take 200 instructions, and every wake-up of a session asks for one.
    System(u64),
    /// tokio's time, which tests can pause.
    #[cfg(test)]
    Tokio,
}

impl Clock {
    /// Starts the clock.
    pub fn start() -> Self {
        // In this order, as time may pass between the two: who sleeps until an instant must not wake before it.
        let reads = Reads::System(monotonic());
        Self { base: Instant::now(), reads }
    }

    /// Starts a clock that stands still while tokio's time is paused.
    #[cfg(test)]
    pub(crate) fn of_tokio() -> Self {
        Self { base: Instant::now(), reads: Reads::Tokio }
    }

    /// The current instant, never [`Mono::ZERO`].
    #[inline]
    pub fn now(self) -> Mono {
        let nanos = match self.reads {
            Reads::System(base) => monotonic().saturating_sub(base),
            #[cfg(test)]
            Reads::Tokio => u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(u64::MAX),
        };
        Mono(nanos.saturating_add(1))
    }

    /// The tokio instant that `at` stands for, to sleep until it.
    pub fn instant(self, at: Mono) -> Instant {
        self.base + Duration::from_nanos(at.0.saturating_sub(1))
    }
}

/// What CLOCK_MONOTONIC reads, in nanoseconds.
#[inline]
fn monotonic() -> u64 {
    let read = clock_gettime(ClockId::Monotonic);
    let [seconds, nanos] = [read.tv_sec, read.tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn now_advances_with_tokio_time_and_is_never_zero() {
        let clock = Clock::of_tokio();
        let first = clock.now();
        assert!(first > Mono::ZERO);
        tokio::time::advance(Duration::from_millis(5)).await;
        assert_eq!(clock.now().saturating_since(first), Duration::from_millis(5));
        assert_eq!(clock.instant(first.plus(Duration::from_millis(5))), Instant::now());
    }

    #[tokio::test]
    async fn tokio_sleeps_until_the_instant_that_is_meant() {
        let clock = Clock::start();
        let at = clock.now().plus(Duration::from_millis(20));
        tokio::time::sleep_until(clock.instant(at)).await;
        assert!(clock.now() >= at);
    }
}
