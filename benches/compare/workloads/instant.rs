//! Servers that answer at once: what the pooler itself can do, what it costs, and what a second thread brings.

use std::error::Error;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::PATIENCE;
use crate::configuration::{Config, Entrance, Nodes};
use crate::front::{Front, Kind};
use crate::load::{Load, Pace, Statement};
use crate::options::{Plan, Protocol};
use crate::run::{self, COLUMNS, Pgbench, Script};
use crate::setup::Setup;
use crate::table::{Better, Column, Round, Table};

/// Clients of the runs in which instructions and system calls are counted.
const CLIENTS: usize = 32;

/// Transactions of each of them.
const TRANSACTIONS: usize = 1000;

/// Servers that answer at once, each a process of its own; killed when dropped.
#[derive(Debug)]
pub(crate) struct Servers {
    processes: Vec<Child>,
    ports: Vec<u16>,
}

impl Servers {
    /// Starts a primary and a replica.
    pub(crate) fn start() -> Result<Self, Box<dyn Error>> {
        let mut servers = Self { processes: Vec::new(), ports: Vec::new() };
        for role in ["primary", "replica"] {
            let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
            let mut command = Command::new(std::env::current_exe()?);
            command.args([role, &address.port().to_string()]).stdin(Stdio::null());
            servers.processes.push(command.spawn()?);
            servers.ports.push(address.port());
            await_listener(address)?;
        }
        Ok(servers)
    }

    /// In front of them.
    pub(crate) fn config(&self, workers: u32) -> Config {
        let pids = self.processes.iter().map(Child::id).collect();
        let (first, others) = self.ports.split_first().map_or((0, &[][..]), |(a, b)| (*a, b));
        let nodes = Nodes { primary: first, replicas: others.to_vec(), pids };
        Config { servers: 20, workers, entrance: Entrance::Trust, nodes }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn await_listener(address: SocketAddr) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    while TcpStream::connect(address).is_err() {
        if started.elapsed() > PATIENCE {
            return Err("a server of ours did not start".into());
        }
        sleep(Duration::from_millis(10));
    }
    Ok(())
}

pub(crate) fn measure(setup: &Setup, plan: &Plan) -> Result<Vec<Table>, Box<dyn Error>> {
    let servers = Servers::start()?;
    let mut tables = vec![as_fast_as_can_be(setup, plan, &servers)];
    for protocol in [Protocol::Simple, Protocol::Extended, Protocol::Prepared] {
        tables.push(count(setup, &servers, protocol));
    }
    for (what, statement) in [("reads", Statement::NewLiteral), ("new statements", Statement::New)]
    {
        tables.push(workers(setup, plan, &servers, (what, statement)));
    }
    Ok(tables)
}

/// Many cheap transactions.
fn as_fast_as_can_be(setup: &Setup, plan: &Plan, servers: &Servers) -> Table {
    let title = "reads by 32 clients of ours, servers that answer at once";
    println!("{title} ...");
    let mut table = Table::new(title, &COLUMNS);
    let kinds = [Kind::Direct, Kind::Floor, Kind::SplitOff, Kind::SplitOn, Kind::PgBouncer];
    let fronts = Front::start_all(setup, &kinds, &servers.config(1));
    let load = load(Statement::NewLiteral, 1, plan.run);
    for _ in 0..plan.rounds {
        for front in &fronts {
            table.add(front.kind, load.measure(front));
        }
    }
    table
}

fn load(statement: Statement, pipelined: usize, length: Duration) -> Load {
    Load { clients: CLIENTS, pace: Pace::Closed, statement, pipelined, length }
}

const fn column(name: &'static str, head: &'static str, digits: usize, better: Better) -> Column {
    Column { name, head, digits, better }
}

const SPEED_UP: [Column; 4] = [
    column("throughput with one worker", "tx/s, 1 worker", 0, Better::Neither),
    column("throughput with two workers", "tx/s, 2 workers", 0, Better::Neither),
    column("gain by the second worker", "gain", 2, Better::Neither),
    column("CPU per transaction, two workers over one", "CPU ratio", 2, Better::Neither),
];

/// One worker and two. Requests come by tens, so that clients and servers cost little beside the pooler.
fn workers(
    setup: &Setup,
    plan: &Plan,
    servers: &Servers,
    (what, statement): (&str, Statement),
) -> Table {
    let title = format!("a second worker: {what}, ten in a packet, servers that answer at once");
    println!("{title} ...");
    let mut table = Table::new(title, &SPEED_UP);
    table.notes.push("the machine's processors are shared with clients and servers".to_owned());
    let kind = Kind::SplitOff;
    let fronts: Vec<Front> = [1, 2]
        .into_iter()
        .flat_map(|workers| Front::start_all(setup, &[kind], &servers.config(workers)))
        .collect();
    let load = load(statement, 10, plan.run);
    for _ in 0..plan.rounds {
        let rounds: Vec<Round> = fronts.iter().map(|front| load.measure(front)).collect();
        table.add(kind, gain(&rounds));
    }
    table
}

fn gain(rounds: &[Round]) -> Round {
    let figure = |round: usize, column: usize| -> Result<f64, String> {
        let round = rounds.get(round).ok_or("one of the two did not start")?.as_ref()?;
        round.get(column).copied().flatten().ok_or_else(|| "no figure".to_owned())
    };
    let (one, two) = (figure(0, run::THROUGHPUT)?, figure(1, run::THROUGHPUT)?);
    Ok(vec![Some(one), Some(two), Some(two / one), Some(figure(1, 0)? / figure(0, 0)?)])
}

const COUNTS: [Column; 6] = [
    column("instructions in user space", "instr. user/tx", 0, Better::Lower),
    column("instructions in the kernel", "instr. kernel/tx", 0, Better::Lower),
    column("sends", "send+write/tx", 2, Better::Lower),
    column("receives", "recv+read/tx", 2, Better::Lower),
    column("waits", "epoll_wait/tx", 2, Better::Lower),
    column("other system calls", "other calls/tx", 2, Better::Lower),
];

/// Instructions and system calls per transaction. They change with the load (the more wake-ups, the more of them), but by
/// some 20 percent where times double.
fn count(setup: &Setup, servers: &Servers, protocol: Protocol) -> Table {
    let title =
        format!("counted: pgbench -S, {protocol}, {CLIENTS} clients, servers that answer at once");
    println!("{title} ...");
    let mut table = Table::new(title, &COUNTS);
    let kinds = [Kind::Floor, Kind::SplitOff, Kind::SplitOn, Kind::PgBouncer];
    let takes_part = |kind: &Kind| protocol != Protocol::Prepared || setup.keeps_statements(*kind);
    let kinds: Vec<Kind> = kinds.into_iter().filter(takes_part).collect();
    for front in Front::start_all(setup, &kinds, &servers.config(1)) {
        let run = Pgbench {
            script: Script::SelectOnly,
            protocol,
            clients: CLIENTS,
            length: Duration::ZERO,
        };
        let instructions = instructions(setup, &front, run).map_err(|why| table.notes.push(why));
        let calls = calls(setup, &front, run).map_err(|why| table.notes.push(why));
        let [user, kernel] = instructions.map_or([None; 2], |counts| counts.map(Some));
        let [send, receive, wait, other] = calls.map_or([None; 4], |counts| counts.map(Some));
        table.add(front.kind, Ok(vec![user, kernel, send, receive, wait, other]));
    }
    table.notes.dedup();
    table
}

/// Counts while pgbench runs a fixed number of transactions.
fn instructions(setup: &Setup, front: &Front, run: Pgbench) -> Result<[f64; 2], String> {
    let path = setup.scratch().join("perf.csv");
    let pid = front.pid().ok_or("no process")?.to_string();
    let mut perf = Command::new("perf");
    perf.args(["stat", "-x,", "-e", "instructions:u,instructions:k", "-o"]).arg(&path);
    perf.args(["-p", &pid, "--"]);
    let pgbench = fixed(setup, front, run).map_err(|error| error.to_string())?;
    perf.arg(pgbench.get_program()).args(pgbench.get_args());
    for (name, value) in pgbench.get_envs() {
        perf.envs(value.map(|value| (name, value)));
    }
    let output =
        perf.output().map_err(|error| format!("instructions are not counted: perf: {error}"))?;
    run::check(&output)?;
    let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let figure = |event: &str| -> Result<f64, String> {
        let line = text.lines().find(|line| line.contains(event));
        let number = line.and_then(|line| line.split(',').next()?.parse::<f64>().ok());
        number.map(|number| number / (TRANSACTIONS * CLIENTS) as f64).ok_or_else(|| {
            "instructions are not counted: the processor does not let perf".to_owned()
        })
    };
    Ok([figure("instructions:u")?, figure("instructions:k")?])
}

/// System calls by sort, while strace looks; it slows everything down, and so makes for fewer of them.
fn calls(setup: &Setup, front: &Front, run: Pgbench) -> Result<[f64; 4], String> {
    let path = setup.scratch().join("strace");
    let pid = front.pid().ok_or("no process")?.to_string();
    let mut strace = Command::new("strace");
    strace.args(["-c", "-f", "-o"]).arg(&path).args(["-p", &pid]);
    strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut strace =
        strace.spawn().map_err(|error| format!("system calls are not counted: strace: {error}"))?;
    sleep(Duration::from_millis(300));
    let output = fixed(setup, front, run).and_then(|mut pgbench| pgbench.output());
    // It writes what it has counted when it is interrupted.
    let _ = Command::new("kill").args(["-s", "INT", &strace.id().to_string()]).status();
    let _ = strace.wait();
    run::check(&output.map_err(|error| error.to_string())?)?;
    let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let mut sums = [0.0; 4];
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, _, _, count, .., name] = fields[..] else { continue };
        let Ok(count) = count.parse::<f64>() else { continue };
        let place = match name {
            "total" => continue,
            "sendto" | "sendmsg" | "write" | "writev" => 0,
            "recvfrom" | "recvmsg" | "read" | "readv" => 1,
            "epoll_wait" | "epoll_pwait" | "epoll_pwait2" => 2,
            _ => 3,
        };
        if let Some(sum) = sums.get_mut(place) {
            *sum += count / (TRANSACTIONS * CLIENTS) as f64;
        }
    }
    Ok(sums)
}

/// pgbench with so many transactions.
fn fixed(setup: &Setup, front: &Front, run: Pgbench) -> std::io::Result<Command> {
    let mut pgbench = run.command(setup, front)?;
    pgbench.args(["--transactions", &TRANSACTIONS.to_string()]);
    Ok(pgbench)
}
