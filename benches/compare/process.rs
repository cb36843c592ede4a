//! What processes have used, as the kernel tells.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often processes are looked at during a run.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What /proc counts CPU time in: hundredths of a second on every Linux of today.
const TICK: Duration = Duration::from_millis(10);

/// Whose CPU time is of interest, by process. Children count with a pooler and a server, which may have some; those of the
/// load are whom it is compared with.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) pooler: Option<u32>,
    pub(crate) servers: Vec<u32>,
    pub(crate) load: u32,
}

/// CPU time up to one instant, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Microseconds since the epoch, the time that pgbench logs.
    pub(crate) at: u64,
    pub(crate) pooler: Used,
    pub(crate) servers: Used,
    pub(crate) load: Used,
}

/// CPU time in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    pub(crate) total: f64,
    /// The part of it in user space; counted in ticks.
    pub(crate) user: f64,
}

impl std::ops::Add for Used {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { total: self.total + other.total, user: self.user + other.user }
    }
}

impl Watched {
    /// Looks at them again and again until `done`.
    pub(crate) fn watch(&self, done: &AtomicBool) -> Vec<Sample> {
        let mut samples = Vec::new();
        while !done.load(Ordering::Relaxed) {
            samples.push(self.sample());
            std::thread::sleep(LOOK_EVERY);
        }
        samples
    }

    fn sample(&self) -> Sample {
        Sample {
            at: now(),
            pooler: self.pooler.map(used).unwrap_or_default(),
            servers: self.servers.iter().map(|&pid| used(pid)).fold(Used::default(), |a, b| a + b),
            load: own(self.load).unwrap_or_default(),
        }
    }
}

/// Microseconds since the epoch.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// What a process and its children have used; nothing once it has gone.
pub(crate) fn used(pid: u32) -> Used {
    let Some(own) = own(pid) else { return Used::default() };
    let tick = TICK.as_micros() as f64;
    let [_, _, user, system] = ticks(pid).unwrap_or_default();
    let waited_for = Used { total: (user + system) * tick, user: user * tick };
    children(pid).map(used).fold(own + waited_for, |sum, child| sum + child)
}

/// What a process has used itself.
fn own(pid: u32) -> Option<Used> {
    let tick = TICK.as_micros() as f64;
    let [user, system, ..] = ticks(pid)?;
    Some(Used { total: run_time(pid).unwrap_or((user + system) * tick), user: user * tick })
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

fn children(pid: u32) -> impl Iterator<Item = u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let pids: Vec<u32> = text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    pids.into_iter()
}

/// utime and stime of all threads, and of the children that have been waited for.
fn ticks(pid: u32) -> Option<[f64; 4]> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may contain anything; the fields are counted after it.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse().ok();
    Some([next()?, next()?, next()?, next()?])
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
