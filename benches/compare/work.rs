//! Instructions per transaction, counted by the processor: they change with the load (the more wake-ups, the more of them),
//! but by some 20 percent where times double.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::options::Protocol;
use crate::pgbench::{Run, check};
use crate::pooler::Pooler;
use crate::setup::Setup;

/// Transactions of one client.
const TRANSACTIONS: usize = 1500;

/// Instructions of a pooler per transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) user: f64,
    pub(crate) kernel: f64,
}

/// Counts while pgbench runs a fixed number of transactions.
///
/// # Errors
///
/// Why that is impossible, in words: there is no perf, or the processor's counters are out of reach.
pub(crate) fn count(
    setup: &Setup,
    pooler: &Pooler,
    protocol: Protocol,
    clients: usize,
) -> Result<Work, String> {
    let path = setup.scratch().join("perf.csv");
    let _ = fs::remove_file(&path);
    let mut pgbench = setup.pgbench();
    Run { protocol, clients, length: Duration::ZERO }.arguments(&mut pgbench, pooler);
    pgbench.args(["--transactions", &TRANSACTIONS.to_string()]);
    let mut perf = Command::new("perf");
    perf.args(["stat", "-x,", "-e", "instructions:u,instructions:k", "-o"]).arg(&path);
    perf.args(["-p", &pooler.pid().to_string(), "--"]);
    perf.arg(pgbench.get_program()).args(pgbench.get_args());
    for (name, value) in pgbench.get_envs() {
        perf.envs(value.map(|value| (name, value)));
    }
    check(&perf.output().map_err(|error| format!("perf: {error}"))?)?;
    let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let transactions = (TRANSACTIONS * clients) as f64;
    let figure = |event: &str| -> Result<f64, String> {
        let line = text.lines().find(|line| line.contains(event));
        let number = line.and_then(|line| line.split(',').next()?.parse::<f64>().ok());
        number.map(|number| number / transactions).ok_or_else(|| format!("no {event}: {text}"))
    };
    Ok(Work { user: figure("instructions:u")?, kernel: figure("instructions:k")? })
}
