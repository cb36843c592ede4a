//! A workload run once through one front: by pgbench, or by our own load where pgbench cannot do it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::configuration::Entrance;
use crate::counters::Counters;
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

/// What every run tells. None of it is perf's: what that does at every switch of a thread it counts makes a pooler that
/// sleeps often, because its servers answer fast, look up to 15 % dearer.
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

/// What perf counts in runs that are for that.
const EVENTS: [&str; 8] = [
    "instructions:u",
    "instructions:k",
    "raw_syscalls:sys_enter",
    "syscalls:sys_enter_sendto",
    "syscalls:sys_enter_recvfrom",
    "syscalls:sys_enter_epoll_wait",
    "syscalls:sys_enter_epoll_ctl",
    "syscalls:sys_enter_futex",
];

/// What such runs tell, in the order of the events.
pub(crate) const COUNTS: [Column; 8] = [
    column("instructions in user space", "user instr/tx", 0, Better::Lower),
    column("instructions in the kernel", "kernel instr/tx", 0, Better::Lower),
    column("system calls", "calls/tx", 2, Better::Lower),
    column("sends", "sendto/tx", 2, Better::Lower),
    column("receives", "recvfrom/tx", 2, Better::Lower),
    column("waits for sockets", "epoll_wait/tx", 2, Better::Lower),
    column("registrations of sockets", "epoll_ctl/tx", 3, Better::Lower),
    column("waits for locks, and wake-ups of those", "futex/tx", 3, Better::Lower),
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
    /// One read by primary key, by a client that connects for each (-C).
    SelectAndConnect,
    /// A read that nobody has ever sent.
    NewStatement,
    /// Three updates, a read and an insert: TPC-B, where all compete for the rows of the few branches.
    TpcB,
    /// The same without those rows: one update (-N).
    Write,
}

impl Pgbench {
    /// Runs it; the error says what went wrong in words.
    pub(crate) fn measure(self, setup: &Setup, front: &Front) -> Round {
        self.observe(setup, front)?.figures(front.kind)
    }

    fn observe(self, setup: &Setup, front: &Front) -> Result<Observed, String> {
        let run = || -> std::io::Result<_> {
            let logs = tempfile::tempdir_in(setup.scratch())?;
            let mut pgbench = self.command(setup, front)?;
            pgbench.args(["--time", &self.length.as_secs().to_string()]);
            pgbench.arg("--log").arg("--log-prefix").arg(logs.path().join("log"));
            pgbench.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            let pgbench = pgbench.spawn()?;
            let pid = pgbench.id();
            let wait = || pgbench.wait_with_output();
            let (output, observed) = observed(setup, front, (pid, &[]), wait);
            Ok((output?, Observed { transactions: read_logs(logs.path())?, ..observed }))
        };
        let (output, observed) = run().map_err(|error| error.to_string())?;
        check(&output)?;
        Ok(observed)
    }

    /// What all runs have in common.
    fn command(self, setup: &Setup, front: &Front) -> std::io::Result<Command> {
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
            Script::TpcB => {}
            Script::Write => drop(pgbench.arg("--skip-some-updates")),
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
    pub(crate) fn measure(self, setup: &Setup, front: &Front) -> Round {
        self.observe(setup, front, &[])?.figures(front.kind)
    }

    /// The same, but for counts.
    pub(crate) fn count(self, setup: &Setup, front: &Front) -> Round {
        self.observe(setup, front, &EVENTS)?.counts()
    }

    fn observe(self, setup: &Setup, front: &Front, events: &[&str]) -> Result<Observed, String> {
        let run = || self.run(front.address());
        let (transactions, observed) = observed(setup, front, (std::process::id(), events), run);
        let transactions = transactions.map_err(|error| error.to_string())?;
        Ok(Observed { transactions, ..observed })
    }
}

/// All that is known of a run.
#[derive(Debug)]
struct Observed {
    transactions: Vec<Transaction>,
    samples: Vec<Sample>,
    counters: Counters,
}

/// Does something, and looks at all processes meanwhile: at those that are part of it, and at the load that it is.
fn observed<T>(
    setup: &Setup,
    front: &Front,
    (load, events): (u32, &[&str]),
    run: impl FnOnce() -> T,
) -> (T, Observed) {
    let watched = Watched { pooler: front.pid(), servers: front.config.nodes.pids.clone(), load };
    // Of Pgpool-II it would see but one of many processes.
    let counted = front.pid().filter(|_| front.kind != Kind::Pgpool);
    let counters = Counters::start(counted, events, setup.scratch());
    let done = AtomicBool::new(false);
    let (outcome, samples) = std::thread::scope(|scope| {
        let looking = scope.spawn(|| watched.watch(&done));
        let outcome = run();
        done.store(true, Ordering::Relaxed);
        (outcome, looking.join().unwrap_or_default())
    });
    (outcome, Observed { transactions: Vec::new(), samples, counters: counters.stop() })
}

/// A run counts only if every client got through to the end.
fn check(output: &Output) -> Result<(), String> {
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

impl Observed {
    /// The two samples between which everything runs as it does in the long run.
    fn span(&self) -> Option<(&Sample, &Sample)> {
        let begin = self.transactions.iter().map(|one| one.ended).min()? + WARM_UP;
        let end = self.transactions.iter().map(|one| one.begun).max()?.checked_sub(COOL_DOWN)?;
        let first = self.samples.iter().find(|sample| sample.at >= begin)?;
        let last = self.samples.iter().rev().find(|sample| sample.at <= end)?;
        (first.at < last.at).then_some((first, last))
    }

    /// Transactions that ended between two samples: what CPU time and counts belong to.
    fn ended(&self, first: &Sample, last: &Sample) -> f64 {
        let span = first.at..last.at;
        self.transactions.iter().filter(|one| span.contains(&one.ended)).count() as f64
    }

    /// Of those that began between them, how long they took, in milliseconds, the shortest first. One that nobody answers
    /// before the end counts with all that it has waited.
    fn latencies(&self, first: &Sample, last: &Sample) -> Vec<f64> {
        let span = first.at..last.at;
        let begun = self.transactions.iter().filter(|one| span.contains(&one.begun));
        let mut latencies: Vec<f64> =
            begun.map(|one| one.ended.saturating_sub(one.begun) as f64 / 1000.0).collect();
        latencies.sort_by(f64::total_cmp);
        latencies
    }

    /// In the order of [`COLUMNS`].
    fn figures(&self, kind: Kind) -> Round {
        let (first, last) = self.span().ok_or("the run was too short")?;
        let count = self.ended(first, last);
        let seconds = last.at.saturating_sub(first.at) as f64 / 1e6;
        let latencies = self.latencies(first, last);
        let has_pooler = |figure: f64| (kind != Kind::Direct).then_some(figure / count);
        let latency = |share: f64| quantile(&latencies, share);
        Ok(vec![
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

    /// In the order of [`COUNTS`].
    fn counts(&self) -> Round {
        let (first, last) = self.span().ok_or("the run was too short")?;
        let count = self.ended(first, last);
        let each = |event: &&str| Some(self.counters.between(event, first.at, last.at)? / count);
        Ok(EVENTS.iter().map(each).collect())
    }
}
