//! One run of pgbench through one pooler.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::options::Protocol;
use crate::pooler::Pooler;
use crate::process::{self, Sample};
use crate::series::quantile;
use crate::setup::Setup;

/// Cut off at the beginning, when clients still come and caches fill, in microseconds.
const WARM_UP: u64 = 400_000;

/// Cut off at the end, when clients leave, in microseconds.
const COOL_DOWN: u64 = 100_000;

/// What is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) protocol: Protocol,
    pub(crate) clients: usize,
    pub(crate) length: Duration,
}

/// What was measured in the middle of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// CPU time of the pooler per transaction, in microseconds.
    pub(crate) cpu: f64,
    /// The part of it in user space.
    pub(crate) user: f64,
    /// Transactions per second.
    pub(crate) rate: f64,
    /// Median of the latency, in milliseconds.
    pub(crate) p50: f64,
    /// The latency that one transaction in a hundred exceeds.
    pub(crate) p99: f64,
}

impl Run {
    /// Runs it; the error says what went wrong in words.
    pub(crate) fn measure(self, setup: &Setup, pooler: &Pooler) -> Result<Measured, String> {
        let logs = tempfile::tempdir_in(setup.scratch()).map_err(|error| error.to_string())?;
        let mut pgbench = setup.pgbench();
        self.arguments(&mut pgbench, pooler);
        pgbench.args(["--time", &self.length.as_secs().to_string()]);
        pgbench.arg("--log").arg("--log-prefix").arg(logs.path().join("log"));
        let done = AtomicBool::new(false);
        let (output, samples) = std::thread::scope(|scope| {
            let watcher = scope.spawn(|| process::watch(pooler.pid(), &done));
            let output = pgbench.output();
            done.store(true, Ordering::Relaxed);
            (output, watcher.join().unwrap_or_default())
        });
        check(&output.map_err(|error| error.to_string())?)?;
        let transactions = read_logs(logs.path()).map_err(|error| error.to_string())?;
        evaluate(transactions, &samples).ok_or_else(|| "the run was too short".to_owned())
    }

    /// What all runs have in common.
    pub(crate) fn arguments(self, pgbench: &mut Command, pooler: &Pooler) {
        let threads = self.clients.min(2);
        pgbench
            .args(["--no-vacuum", "--select-only", "--host", "127.0.0.1", "--username", "app"])
            .args(["--port", &pooler.port().to_string()])
            .args(["--protocol", &self.protocol.to_string()])
            .args(["--client", &self.clients.to_string(), "--jobs", &threads.to_string()])
            .arg("app")
            .env("PGSSLMODE", "disable")
            .env("PGGSSENCMODE", "disable");
    }
}

/// A run counts only if every client got through to the end.
pub(crate) fn check(output: &Output) -> Result<(), String> {
    let errors = String::from_utf8_lossy(&output.stderr);
    match errors.lines().find(|line| line.contains("error") || line.contains("aborted")) {
        Some(line) => Err(line.to_owned()),
        None if output.status.success() => Ok(()),
        None => Err(format!("pgbench failed: {}", errors.trim_end())),
    }
}

/// When each transaction ended (microseconds since the epoch), and how long it took (milliseconds).
type Transaction = (u64, f64);

/// Reads what pgbench has logged: client, number, latency in us, script, seconds, microseconds.
fn read_logs(directory: &Path) -> std::io::Result<Vec<Transaction>> {
    let mut transactions = Vec::new();
    for file in fs::read_dir(directory)? {
        let text = fs::read_to_string(file?.path())?;
        transactions.extend(text.lines().filter_map(parse));
    }
    Ok(transactions)
}

fn parse(line: &str) -> Option<Transaction> {
    let mut fields = line.split_ascii_whitespace().skip(2);
    let latency: f64 = fields.next()?.parse().ok()?;
    let seconds: u64 = fields.nth(1)?.parse().ok()?;
    let microseconds: u64 = fields.next()?.parse().ok()?;
    Some((seconds * 1_000_000 + microseconds, latency / 1000.0))
}

/// What happened between two samples, so that CPU time and transactions belong together.
fn evaluate(transactions: Vec<Transaction>, samples: &[Sample]) -> Option<Measured> {
    let begin = transactions.iter().map(|(at, _)| at).min()? + WARM_UP;
    let end = transactions.iter().map(|(at, _)| at).max()?.checked_sub(COOL_DOWN)?;
    let first = samples.iter().find(|sample| sample.at >= begin)?;
    let last = samples.iter().rev().find(|sample| sample.at <= end)?;
    let mut latencies: Vec<f64> = transactions
        .into_iter()
        .filter(|(at, _)| (first.at..last.at).contains(at))
        .map(|(_, latency)| latency)
        .collect();
    latencies.sort_by(f64::total_cmp);
    let seconds = last.at.checked_sub(first.at)? as f64 / 1e6;
    let count = latencies.len() as f64;
    Some(Measured {
        cpu: (last.cpu - first.cpu) / count,
        user: (last.user - first.user) / count,
        rate: count / seconds,
        p50: quantile(&latencies, 0.5)?,
        p99: quantile(&latencies, 0.99)?,
    })
}
