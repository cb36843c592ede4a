//! A workload run once through one front: by pgbench, or by our own load where pgbench cannot do it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::configuration::Entrance;
use crate::front::{Front, Kind};
use crate::load::Load;
use crate::options::Protocol;
use crate::process::{Sample, Watched};
use crate::series::quantile;
use crate::setup::{PASSWORD, Setup};
use crate::table::{Better, Column, Round};

/// Cut off at the beginning, when clients still come and caches fill, in microseconds.
const WARM_UP: u64 = 400_000;

/// Cut off at the end, when clients leave, in microseconds.
const COOL_DOWN: u64 = 100_000;

const fn column(name: &'static str, head: &'static str, digits: usize, better: Better) -> Column {
    Column { name, head, digits, better }
}

/// What every run tells.
pub(crate) const COLUMNS: [Column; 9] = [
    column("CPU per transaction", "CPU us/tx", 1, Better::Lower),
    column("of it in user space", "user us/tx", 1, Better::Lower),
    column("CPU of the servers", "servers us/tx", 0, Better::Neither),
    column("CPU of the clients", "clients us/tx", 0, Better::Neither),
    column("throughput", "tx/s", 0, Better::Higher),
    column("median latency", "p50 ms", 2, Better::Lower),
    column("p99 latency", "p99 ms", 2, Better::Lower),
    column("p99.9 latency", "p99.9 ms", 1, Better::Lower),
    column("longest wait", "longest ms", 0, Better::Lower),
];

/// The place of the throughput among them.
pub(crate) const THROUGHPUT: usize = 4;

/// When a transaction was wanted and when it had ended, in microseconds since the epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transaction {
    pub(crate) begun: u64,
    pub(crate) ended: u64,
}

/// What pgbench is to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pgbench {
    pub(crate) script: Script,
    pub(crate) protocol: Protocol,
    pub(crate) clients: usize,
    pub(crate) length: Duration,
}

/// The transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// One read by primary key (-S).
    Select,
    /// The same from a file: then pgbench asks the server nothing else.
    SelectOnly,
    /// One read by primary key, by a client that connects for each (-C).
    SelectAndConnect,
    /// A read that nobody has ever sent.
    NewStatement,
    /// Three updates, a read and an insert (TPC-B, without the rows that all compete for: -N).
    Write,
}

impl Pgbench {
    /// Runs it; the error says what went wrong in words.
    pub(crate) fn measure(self, setup: &Setup, front: &Front) -> Round {
        self.try_measure(setup, front).map_err(|error| error.to_string())?
    }

    fn try_measure(self, setup: &Setup, front: &Front) -> std::io::Result<Round> {
        let logs = tempfile::tempdir_in(setup.scratch())?;
        let mut pgbench = self.command(setup, front)?;
        pgbench.args(["--time", &self.length.as_secs().to_string()]);
        pgbench.arg("--log").arg("--log-prefix").arg(logs.path().join("log"));
        pgbench.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let pgbench = pgbench.spawn()?;
        let (output, samples) = watched(front, pgbench.id(), || pgbench.wait_with_output());
        if let Err(why) = check(&output?) {
            return Ok(Err(why));
        }
        Ok(evaluate(&read_logs(logs.path())?, &samples, front.kind))
    }

    /// What all runs have in common.
    pub(crate) fn command(self, setup: &Setup, front: &Front) -> std::io::Result<Command> {
        let mut pgbench = setup.pgbench();
        let threads = self.clients.min(2);
        let address = front.address();
        pgbench
            .args(["--no-vacuum", "--username", "app"])
            .args(["--host", &address.ip().to_string(), "--port", &address.port().to_string()])
            .args(["--protocol", &self.protocol.to_string()])
            .args(["--client", &self.clients.to_string(), "--jobs", &threads.to_string()]);
        match self.script {
            Script::Select => drop(pgbench.arg("--select-only")),
            Script::SelectAndConnect => drop(pgbench.args(["--select-only", "--connect"])),
            Script::Write => drop(pgbench.arg("--skip-some-updates")),
            Script::SelectOnly => {
                let text = "\\set aid random(1, 200000)\n\
                    SELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n";
                pgbench.arg("--file").arg(file(setup, "select.sql", text)?);
            }
            Script::NewStatement => {
                let text = "\\set n random(1, 1000000000)\n\
                    SELECT abalance AS a:n FROM pgbench_accounts WHERE aid = 1;\n";
                pgbench.arg("--file").arg(file(setup, "new_statement.sql", text)?);
            }
        }
        let over_tls = front.config.entrance == Entrance::Tls;
        pgbench
            .arg("app")
            .env("PGPASSWORD", PASSWORD)
            .env("PGSSLMODE", if over_tls { "require" } else { "disable" })
            .env("PGGSSENCMODE", "disable");
        Ok(pgbench)
    }
}

/// A script of ours.
fn file(setup: &Setup, name: &str, text: &str) -> std::io::Result<PathBuf> {
    let path = setup.scratch().join(name);
    fs::write(&path, text)?;
    Ok(path)
}

impl Load {
    /// Runs it; the error says what went wrong in words.
    pub(crate) fn measure(self, front: &Front) -> Round {
        let (transactions, samples) =
            watched(front, std::process::id(), || self.run(front.address()));
        let transactions = transactions.map_err(|error| error.to_string())?;
        evaluate(&transactions, &samples, front.kind)
    }
}

/// Does something, and looks at all processes meanwhile.
fn watched<T>(front: &Front, load: u32, run: impl FnOnce() -> T) -> (T, Vec<Sample>) {
    let watched = Watched { pooler: front.pid(), servers: front.config.nodes.pids.clone(), load };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| watched.watch(&done));
        let outcome = run();
        done.store(true, Ordering::Relaxed);
        (outcome, looking.join().unwrap_or_default())
    })
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
    let latency: u64 = fields.next()?.parse().ok()?;
    let seconds: u64 = fields.nth(1)?.parse().ok()?;
    let microseconds: u64 = fields.next()?.parse().ok()?;
    let ended = seconds * 1_000_000 + microseconds;
    Some(Transaction { begun: ended.saturating_sub(latency), ended })
}

/// What happened between two samples, so that CPU time and transactions belong together.
fn evaluate(transactions: &[Transaction], samples: &[Sample], kind: Kind) -> Round {
    figures(transactions, samples, kind).ok_or_else(|| "the run was too short".to_owned())
}

fn figures(
    transactions: &[Transaction],
    samples: &[Sample],
    kind: Kind,
) -> Option<Vec<Option<f64>>> {
    let begin = transactions.iter().map(|one| one.ended).min()? + WARM_UP;
    let end = transactions.iter().map(|one| one.begun).max()?.checked_sub(COOL_DOWN)?;
    let first = samples.iter().find(|sample| sample.at >= begin)?;
    let last = samples.iter().rev().find(|sample| sample.at <= end)?;
    let span = first.at..last.at;
    let count = transactions.iter().filter(|one| span.contains(&one.ended)).count() as f64;
    // By when they began: one that nobody answers before the end counts with all that it has waited.
    let mut latencies: Vec<f64> = transactions
        .iter()
        .filter(|one| span.contains(&one.begun))
        .map(|one| one.ended.saturating_sub(one.begun) as f64 / 1000.0)
        .collect();
    latencies.sort_by(f64::total_cmp);
    let seconds = last.at.checked_sub(first.at)? as f64 / 1e6;
    let has_pooler = |figure: f64| (kind != Kind::Direct).then_some(figure / count);
    let latency = |share: f64| quantile(&latencies, share);
    Some(vec![
        has_pooler(last.pooler.total - first.pooler.total),
        has_pooler(last.pooler.user - first.pooler.user),
        Some((last.servers.total - first.servers.total) / count),
        Some((last.load.total - first.load.total) / count),
        Some(count / seconds),
        latency(0.5),
        latency(0.99),
        latency(0.999),
        latency(1.0),
    ])
}
