//! What perf counts for a process while something runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::process::now;

/// How often perf writes down where it stands, in milliseconds.
const INTERVAL: &str = "100";

/// perf, attached to a process; and what it has written once it is stopped.
#[derive(Debug)]
pub(crate) struct Counters {
    perf: Option<Child>,
    path: PathBuf,
    /// Microseconds since the epoch.
    begun: u64,
    /// Event, microseconds since perf began, and how many in the interval that ended then.
    readings: Vec<(String, u64, f64)>,
}

impl Counters {
    /// Begins to count; nothing is counted where there is no perf, no process, or no event that is asked for.
    pub(crate) fn start(pid: Option<u32>, events: &[&str], scratch: &Path) -> Self {
        let path = scratch.join("perf.csv");
        let _ = fs::remove_file(&path);
        let begin = |pid: u32| {
            let mut perf = Command::new("perf");
            perf.args(["stat", "-x,", "-I", INTERVAL, "-e", &events.join(","), "-o"]).arg(&path);
            perf.args(["-p", &pid.to_string()]);
            perf.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
        };
        let perf = pid.filter(|_| !events.is_empty()).and_then(begin);
        Self { perf, path, begun: now(), readings: Vec::new() }
    }

    /// Counts no longer.
    pub(crate) fn stop(mut self) -> Self {
        let Some(mut perf) = self.perf.take() else { return self };
        let _ = Command::new("kill").args(["-s", "INT", &perf.id().to_string()]).status();
        let _ = perf.wait();
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        self.readings = text.lines().filter_map(reading).collect();
        self
    }

    /// How many there were between two instants; nothing if they were not counted.
    pub(crate) fn between(&self, event: &str, first: u64, last: u64) -> Option<f64> {
        let (mut sum, mut before, mut is_counted) = (0.0, 0, false);
        for (_, at, count) in self.readings.iter().filter(|(name, ..)| name == event) {
            // The part of the interval that is asked for.
            let (from, to) = (self.begun + before, self.begun + at);
            let part = to.min(last).saturating_sub(from.max(first)) as f64;
            sum += count * part / to.saturating_sub(from).max(1) as f64;
            before = *at;
            is_counted = true;
        }
        is_counted.then_some(sum)
    }
}

/// Time in seconds, count, unit, event, ...
fn reading(line: &str) -> Option<(String, u64, f64)> {
    let mut fields = line.trim().split(',');
    let seconds: f64 = fields.next()?.parse().ok()?;
    let count = fields.next()?.parse().ok()?;
    let event = fields.nth(1)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a short time")]
    let microseconds = (seconds * 1e6) as u64;
    Some((event.to_owned(), microseconds, count))
}
