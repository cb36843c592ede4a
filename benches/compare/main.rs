//! Side by side: pgLagoon with the split off and on, PgBouncer, Pgpool-II, a bare relay and no pooler at all, on this
//! machine, in one run.
//!
//! All stand in front of the same PostgreSQL, with one thread, transaction pooling, TCP over loopback, and the same number
//! of servers: where pgLagoon splits, its nodes share them, as they share the machine. They take turns (A B C A B C ...) in
//! short runs, so that the machine's drift hits all alike: what counts are the ratios of one round, and their median. CPU
//! time is that of processes, as /proc tells it, in every table.
//!
//! `workloads` has what is measured, a file for each kind; `run` and `load` do it; `table`, `report` and `plot` show it.

#![expect(clippy::print_stdout, reason = "a program that reports")]
#![expect(clippy::cast_precision_loss, reason = "figures of a benchmark, far below 2^52")]

mod apart;
#[path = "../support/client.rs"]
mod client;
mod configuration;
mod counters;
#[path = "../support/floor.rs"]
mod floor;
mod front;
mod load;
mod options;
mod plot;
mod process;
mod report;
mod run;
mod series;
mod setup;
#[path = "../support/synthetic.rs"]
mod synthetic;
mod table;
mod tls;
mod workloads;

use std::error::Error;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use serde_json::json;

use front::Kind;
use options::{Company, Options, Processors};
use setup::Setup;
use synthetic::Role;
use table::Table;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// This program is also some of those that it runs.
fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let listen = |port: &str| -> Result<TcpListener, Box<dyn Error>> {
        Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse()?))?)
    };
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["floor", port, target] => {
            Ok(floor::relay(listen(port)?, (Ipv4Addr::LOCALHOST, target.parse()?).into())?)
        }
        ["primary", port] => Ok(synthetic::serve(listen(port)?, Role::Primary)?),
        ["replica", port] => Ok(synthetic::serve(listen(port)?, Role::Replica)?),
        _ => compare(),
    }
}

fn compare() -> Result<(), Box<dyn Error>> {
    setup::raise_file_limit()?;
    let plan = Options::parse().plan();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let setup = runtime.block_on(Setup::start(&plan.program, plan.company))?;
    let mut about = setup.describe();
    if plan.processors == Processors::Apart {
        about = format!("{about}\n{}", apart::keep_apart(&setup.servers())?);
    }
    println!("{about}");
    let mut tables = Vec::new();
    for &section in &plan.sections {
        for table in workloads::measure(section, &setup, &plan, &runtime)? {
            let mut text = String::new();
            report::write_table(&mut text, &table);
            print!("{text}");
            tables.push(table);
        }
    }
    println!("\n{about}");
    print!("{}", report::text(&tables));
    if plan.company == Company::Others {
        let directory = write(&about, &tables)?;
        println!("\nfigures and plots are in {}", directory.display());
    }
    Ok(())
}

/// Writes `target/bench/results.json` and the plots beside it.
fn write(about: &str, tables: &[Table]) -> Result<PathBuf, Box<dyn Error>> {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let directory = target.parent().ok_or("no target directory")?.join("bench");
    // What another run has left is not of this one.
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    let results = json!({
        "about": about.lines().collect::<Vec<_>>(),
        "tables": tables.iter().map(Table::json).collect::<Vec<_>>(),
    });
    fs::write(directory.join("results.json"), serde_json::to_string_pretty(&results)?)?;
    for (name, plot) in plot::all(tables) {
        fs::write(directory.join(name), plot)?;
    }
    Ok(directory)
}

/// What is waited for before something counts as broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the others are compared with.
const BASELINE: Kind = Kind::PgBouncer;
