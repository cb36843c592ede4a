//! Whether commits are flushed when they are acknowledged, where no statement has said anything about that.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Three times the default of `wal_writer_delay`: how long after it was acknowledged a commit may not be flushed yet
/// (<https://www.postgresql.org/docs/current/wal-async-commit.html>).
const USUALLY: Duration = Duration::from_millis(600);

/// What the primary says of it.
#[derive(Debug)]
pub struct Flushing {
    /// Sessions begin so.
    begins_lazy: AtomicBool,
    /// A function may make it so.
    calls_lazy: AtomicBool,
    within: AtomicU64,
}

impl Default for Flushing {
    fn default() -> Self {
        let within = AtomicU64::new(millis(USUALLY));
        Self { begins_lazy: AtomicBool::new(false), calls_lazy: AtomicBool::new(false), within }
    }
}

impl Flushing {
    /// Whether sessions begin with `synchronous_commit = off`, some or all, or a function sets it.
    pub fn is_lazy(&self) -> bool {
        self.begins_lazy.load(Ordering::Relaxed) || self.calls_lazy.load(Ordering::Relaxed)
    }

    /// How long a commit may take to be flushed behind its acknowledgement, if it was not flushed before.
    pub fn within(&self) -> Duration {
        Duration::from_millis(self.within.load(Ordering::Relaxed))
    }

    /// Takes note of what the primary has answered: `lazy` or nothing, and `wal_writer_delay` in milliseconds.
    pub(super) fn note(&self, lazy: &str, delay: &str) {
        self.begins_lazy.store(lazy == "lazy", Ordering::Relaxed);
        if let Ok(delay) = delay.parse::<u64>() {
            self.within.store(delay.saturating_mul(3).max(millis(USUALLY)), Ordering::Relaxed);
        }
    }

    /// Takes note of whether there are functions that set `synchronous_commit`: `lazy` or nothing.
    pub(super) fn note_functions(&self, lazy: &str) {
        self.calls_lazy.store(lazy == "lazy", Ordering::Relaxed);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primary_says_how_commits_are_flushed() {
        let flushing = Flushing::default();
        assert_eq!((flushing.is_lazy(), flushing.within()), (false, USUALLY));
        flushing.note("lazy", "1000");
        assert_eq!((flushing.is_lazy(), flushing.within()), (true, Duration::from_secs(3)));
        flushing.note("", "10");
        assert_eq!((flushing.is_lazy(), flushing.within()), (false, USUALLY));
        flushing.note_functions("lazy");
        flushing.note("", "10");
        assert!(flushing.is_lazy());
    }
}
