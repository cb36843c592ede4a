//! Side by side: pgLagoon with the split off and on, and PgBouncer, on this machine, in one run.
//!
//! All three stand in front of the same PostgreSQL, with one thread, twenty servers per pool, transaction pooling, TCP over
//! loopback and no password. They take turns (A B C A B C ...) in short runs, so that the machine's drift hits all
//! alike: what counts are the ratios of one round, and their median. CPU time is that of the pooler's process alone.

#![expect(clippy::print_stdout, reason = "a program that reports")]
#![expect(clippy::cast_precision_loss, reason = "figures of a benchmark, far below 2^52")]

mod idle;
mod options;
mod pgbench;
mod pooler;
mod process;
mod report;
mod results;
mod series;
mod setup;
mod work;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use options::{Options, Protocol};
use pooler::{Kind, Pooler};
use results::{Cell, Results, Row};
use setup::Setup;

/// Clients of the runs in which instructions are counted.
const WORK_CLIENTS: usize = 32;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    setup::raise_file_limit()?;
    let plan = Options::parse().plan();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let setup = runtime.block_on(Setup::start())?;
    println!("{}", setup.describe());
    let mut results = Results::new(&setup);
    if !plan.clients.is_empty() {
        compare(&setup, &plan, &mut results)?;
    }
    if plan.idle_clients > 0 {
        for kind in setup.kinds() {
            println!("memory of {} idle clients: {} ...", plan.idle_clients, kind.name());
            results.idle.push((kind, idle::measure(&setup, kind, plan.idle_clients)?));
        }
    }
    let report = report::text(&results);
    print!("{report}");
    let path = results.write()?;
    println!("\nwritten to {}", path.display());
    Ok(())
}

/// Lets the poolers take turns through all cells.
fn compare(
    setup: &Setup,
    plan: &options::Plan,
    results: &mut Results,
) -> Result<(), Box<dyn Error>> {
    let poolers = setup
        .kinds()
        .into_iter()
        .map(|kind| Pooler::start(setup, kind))
        .collect::<Result<Vec<_>, _>>()?;
    for &protocol in &plan.protocols {
        for &clients in &plan.clients {
            let takes_part = |pooler: &&Pooler| setup.speaks(pooler.kind(), protocol);
            let seconds = plan.run.as_secs_f64();
            println!(
                "{} clients, {protocol}: {} rounds of {seconds} s each ...",
                clients, plan.rounds
            );
            let mut cell = Cell::new(protocol, clients);
            for _ in 0..plan.rounds {
                for pooler in poolers.iter().filter(takes_part) {
                    let run = pgbench::Run { protocol, clients, length: plan.run };
                    cell.add(pooler.kind(), run.measure(setup, pooler));
                }
            }
            results.cells.push(cell);
        }
        count_work(setup, &poolers, protocol, results);
    }
    Ok(())
}

/// Counts instructions, where this machine can: the figure that noise leaves alone.
fn count_work(setup: &Setup, poolers: &[Pooler], protocol: Protocol, results: &mut Results) {
    for pooler in poolers.iter().filter(|pooler| setup.speaks(pooler.kind(), protocol)) {
        match work::count(setup, pooler, protocol, WORK_CLIENTS) {
            Ok(work) => results.work.push(Row { protocol, kind: pooler.kind(), work }),
            Err(reason) => {
                println!("instructions cannot be counted here: {reason}");
                return;
            }
        }
    }
}

/// What is waited for before something counts as broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// A kind of pooler that nothing is compared with.
const BASELINE: Kind = Kind::PgBouncer;
