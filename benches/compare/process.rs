//! What a process has used, as the kernel tells.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often a process is looked at during a run.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What /proc counts CPU time in: hundredths of a second on every Linux of today.
const TICK: Duration = Duration::from_millis(10);

/// CPU time of a process at one instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Microseconds since the epoch, the time that pgbench logs.
    pub(crate) at: u64,
    /// All threads, user and system, in microseconds.
    pub(crate) cpu: f64,
    /// The part of it in user space; counted in ticks.
    pub(crate) user: f64,
}

impl Sample {
    /// Looks at a process now.
    pub(crate) fn take(pid: u32) -> Option<Self> {
        let (user, system) = ticks(pid)?;
        let tick = TICK.as_micros() as f64;
        let cpu = run_time(pid).unwrap_or((user + system) * tick);
        let at = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        Some(Self { at: u64::try_from(at.as_micros()).ok()?, cpu, user: user * tick })
    }
}

/// Looks at a process again and again until `done`.
pub(crate) fn watch(pid: u32, done: &AtomicBool) -> Vec<Sample> {
    let mut samples = Vec::new();
    while !done.load(Ordering::Relaxed) {
        samples.extend(Sample::take(pid));
        std::thread::sleep(LOOK_EVERY);
    }
    samples
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// utime and stime of all threads.
fn ticks(pid: u32) -> Option<(f64, f64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may contain anything; the fields are counted after it.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// What the scheduler has counted for the threads that live, in microseconds: the same as the ticks, but finer.
fn run_time(pid: u32) -> Option<f64> {
    let mut sum = 0.0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        let nanoseconds: f64 = text.split_whitespace().next()?.parse().ok()?;
        sum += nanoseconds / 1000.0;
    }
    Some(sum)
}
