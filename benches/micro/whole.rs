//! Whole transactions: the program itself under callgrind, between a client and servers that cost it nothing. What a
//! transaction takes is the difference between a long run and a short one, so that starting is not in it.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use pglagoon::protocol::frontend::{self, Object};

use crate::client::Client;
use crate::counts::{Counts, total};
use crate::synthetic::{self, Role};

/// How often a transaction is run in the short run, and in the long one.
const TIMES: [u32; 2] = [500, 2500];

/// What is waited for, in slow motion.
const PATIENCE: Duration = Duration::from_mins(1);

/// Between two looks at something that takes time.
const PAUSE: Duration = Duration::from_millis(50);

/// One kind of transaction.
struct Kind {
    name: &'static str,
    split: Split,
    /// What is sent each time, with a number of eight digits; nothing if it is logging in that counts.
    sent: Option<fn(u32) -> Vec<u8>>,
}

/// Where reads may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Split {
    Off,
    On,
}

const KINDS: [Kind; 7] = [
    Kind { name: "whole/simple, split off", split: Split::Off, sent: Some(simple) },
    Kind { name: "whole/simple, split on", split: Split::On, sent: Some(simple) },
    Kind { name: "whole/extended, split off", split: Split::Off, sent: Some(extended) },
    Kind { name: "whole/extended, split on", split: Split::On, sent: Some(extended) },
    Kind { name: "whole/prepared, split on", split: Split::On, sent: Some(prepared) },
    Kind { name: "whole/1000 rows", split: Split::Off, sent: Some(thousand_rows) },
    Kind { name: "whole/log-in by trust", split: Split::Off, sent: None },
];

/// Counts the instructions of every kind.
pub(crate) fn count(counts: &mut Counts) -> Result<(), Box<dyn Error>> {
    let primary = server(Role::Primary)?;
    let replica = server(Role::Replica)?;
    for kind in KINDS {
        let mut totals = [0; 2];
        for (total, times) in totals.iter_mut().zip(TIMES) {
            *total = run(&kind, times, primary, replica)?;
        }
        let [short, long] = totals;
        let each = long.saturating_sub(short) / u64::from(TIMES[1] - TIMES[0]);
        counts.insert(kind.name.to_owned(), each);
    }
    Ok(())
}

/// A server that answers at once, on a thread of its own.
fn server(role: Role) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || synthetic::serve(listener, role));
    Ok(address)
}

/// Instructions of a process that has run a kind of transaction so many times.
fn run(
    kind: &Kind,
    times: u32,
    primary: SocketAddr,
    replica: SocketAddr,
) -> Result<u64, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let (config, counts) = (directory.path().join("config"), directory.path().join("counts"));
    fs::write(&config, configuration(kind.split, address, primary, replica))?;
    let mut process = start(&config, &counts)?;
    let outcome = exchange(kind, times, address);
    // It ends in order, so that the counts are written.
    let pid = process.id().to_string();
    Command::new("kill").args(["-s", "TERM", &pid]).status()?;
    process.wait()?;
    outcome?;
    total(&counts)
}

fn start(config: &Path, counts: &Path) -> io::Result<Child> {
    Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .args([env!("CARGO_BIN_EXE_pglagoon"), "serve", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// Nothing that happens from time to time happens while we count.
fn configuration(
    split: Split,
    address: SocketAddr,
    primary: SocketAddr,
    replica: SocketAddr,
) -> String {
    let replicas = if split == Split::On {
        format!("\"postgres://app@{replica}/app\"")
    } else {
        String::new()
    };
    format!(
        "[listen]\naddress = \"{address}\"\nworkers = 1\n\
         [http]\naddress = \"\"\n\
         [routing]\nmax_lag = \"10m\"\npoll_interval = \"5s\"\nidle_poll_interval = \"5s\"\nreturn_delay = 0\n\
         [tls.server]\nmode = \"disable\"\n\
         [logging]\nlevel = \"warn\"\n\
         [databases.app]\nprimary = \"postgres://app@{primary}/app\"\nreplicas = [{replicas}]\n\
         [users.app]\ntrust = true\n"
    )
}

fn exchange(kind: &Kind, times: u32, address: SocketAddr) -> Result<(), Box<dyn Error>> {
    let mut client = first_client(address)?;
    if kind.split == Split::On {
        await_replica(&mut client)?;
    }
    match kind.sent {
        None => (0..times).try_for_each(|_| Client::log_in(address).map(drop)),
        Some(sent) => {
            client.ask(&prelude())?;
            (0..times).try_for_each(|number| client.ask(&sent(10_000_000 + number)).map(drop))
        }
    }
}

/// The program takes its time to start.
fn first_client(address: SocketAddr) -> Result<Client, Box<dyn Error>> {
    let started = Instant::now();
    loop {
        match Client::log_in(address) {
            Err(_) if started.elapsed() < PATIENCE => thread::sleep(PAUSE),
            outcome => return outcome,
        }
    }
}

/// Waits until reads go to the replica.
fn await_replica(client: &mut Client) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let by_replica = synthetic::VALUES[1].as_bytes();
    while started.elapsed() < PATIENCE {
        let answer = client.query("SELECT 1")?;
        if answer.windows(by_replica.len()).any(|window| window == by_replica) {
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
    Err("no read goes to the replica".into())
}

/// Of the statement's text and name, for all kinds.
const NAME: &[u8] = b"P0_1";
const TEXT: &[u8] = b"SELECT abalance FROM pgbench_accounts WHERE aid = $1";

/// Prepares the statement with a name.
fn prelude() -> Vec<u8> {
    let mut out = Vec::new();
    frontend::parse(&mut out, NAME, TEXT, &[0, 0]);
    frontend::sync(&mut out);
    out
}

fn simple(number: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let text = format!("SELECT abalance FROM pgbench_accounts WHERE aid = {number}");
    frontend::query(&mut out, text.as_bytes());
    out
}

fn thousand_rows(_: u32) -> Vec<u8> {
    let mut out = Vec::new();
    frontend::query(&mut out, synthetic::THOUSAND_ROWS);
    out
}

fn extended(number: u32) -> Vec<u8> {
    let mut out = Vec::new();
    frontend::parse(&mut out, b"", TEXT, &[0, 0]);
    run_statement(&mut out, b"", number);
    out
}

fn prepared(number: u32) -> Vec<u8> {
    let mut out = Vec::new();
    run_statement(&mut out, NAME, number);
    out
}

/// Bind, Describe, Execute and Sync, with the number as a text.
fn run_statement(out: &mut Vec<u8>, name: &[u8], number: u32) {
    let mut values = vec![0, 0, 0, 1, 0, 0, 0, 8];
    values.extend_from_slice(number.to_string().as_bytes());
    values.extend_from_slice(&[0, 0]);
    frontend::bind(out, b"", name, &values);
    frontend::describe(out, Object::Portal, b"");
    frontend::execute(out, b"", 0);
    frontend::sync(out);
}
