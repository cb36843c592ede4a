//! pgLagoon's own monotonic clock.
//!
//! Every instant that is compared with another (last write, freshness of a replica, deadlines) is read from
//! this one clock, so no comparison ever depends on another machine's idea of time.

use std::time::Duration;

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
///
/// It reads tokio's time, which tests can pause.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base: Instant,
}

impl Clock {
    /// Starts the clock.
    pub fn start() -> Self {
        Self { base: Instant::now() }
    }

    /// The current instant, never [`Mono::ZERO`].
    pub fn now(self) -> Mono {
        let nanos = u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Mono(nanos.saturating_add(1))
    }

    /// The tokio instant that `at` stands for, to sleep until it.
    pub fn instant(self, at: Mono) -> Instant {
        self.base + Duration::from_nanos(at.0.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn now_advances_with_tokio_time_and_is_never_zero() {
        let clock = Clock::start();
        let first = clock.now();
        assert!(first > Mono::ZERO);
        tokio::time::advance(Duration::from_millis(5)).await;
        assert_eq!(clock.now().saturating_since(first), Duration::from_millis(5));
        assert_eq!(clock.instant(first.plus(Duration::from_millis(5))), Instant::now());
    }
}
