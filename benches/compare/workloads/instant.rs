//! Servers that answer at once: what the pooler itself can do, what it costs, and what a second thread brings.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::PATIENCE;
use crate::configuration::{Config, Entrance, Nodes};
use crate::front::{Front, Kind};
use crate::load::{Load, Pace, Statement};
use crate::options::Plan;
use crate::run::{self, COLUMNS, COUNTS};
use crate::setup::Setup;
use crate::table::{Better, Column, Round, Table};

/// Clients of most runs.
const CLIENTS: usize = 32;

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
    for statement in [Statement::NewLiteral, Statement::Parsed, Statement::Prepared] {
        tables.push(count(setup, plan, &servers, statement));
    }
    for (what, statement, pipelined) in
        [("reads", Statement::NewLiteral, 100), ("new statements", Statement::New, 10)]
    {
        let load = load(statement, pipelined, plan.run);
        tables.push(workers(setup, plan, &servers, (what, load)));
    }
    Ok(tables)
}

fn as_fast_as_can_be(setup: &Setup, plan: &Plan, servers: &Servers) -> Table {
    let title = "reads by 32 clients of ours, servers that answer at once";
    println!("{title} ...");
    let mut table = Table::new(title, &COLUMNS);
    let kinds = [Kind::Direct, Kind::Floor, Kind::SplitOff, Kind::SplitOn, Kind::PgBouncer];
    let fronts = Front::start_all(setup, &kinds, &servers.config(1));
    let load = load(Statement::NewLiteral, 1, plan.run);
    for _ in 0..plan.rounds {
        for front in &fronts {
            table.add(front.kind, load.measure(setup, front));
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

/// One worker and two. Requests come by many, so that clients and servers cost little beside the pooler.
fn workers(setup: &Setup, plan: &Plan, servers: &Servers, (what, load): (&str, Load)) -> Table {
    let many = load.pipelined;
    let title = format!("a second worker: {what}, {many} in a packet, servers that answer at once");
    println!("{title} ...");
    let mut table = Table::new(title, &SPEED_UP);
    table.notes.push("the machine's processors are shared with clients and servers".to_owned());
    let kind = Kind::SplitOff;
    let fronts: Vec<Front> = [1, 2]
        .into_iter()
        .flat_map(|workers| Front::start_all(setup, &[kind], &servers.config(workers)))
        .collect();
    for _ in 0..plan.rounds {
        let rounds: Vec<Round> = fronts.iter().map(|front| load.measure(setup, front)).collect();
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

/// Instructions and system calls per transaction. They change with the load (the more wake-ups, the more of them), but by
/// some 20 percent where times double.
fn count(setup: &Setup, plan: &Plan, servers: &Servers, statement: Statement) -> Table {
    let what = match statement {
        Statement::Parsed => "extended",
        Statement::Prepared => "prepared",
        _ => "simple",
    };
    let title = format!("counted: {what} reads by 32 clients of ours, servers that answer at once");
    println!("{title} ...");
    let mut table = Table::new(title, &COUNTS);
    let kinds = [Kind::Floor, Kind::SplitOff, Kind::SplitOn, Kind::PgBouncer];
    let takes_part =
        |kind: &Kind| statement != Statement::Prepared || setup.keeps_statements(*kind);
    let kinds: Vec<Kind> = kinds.into_iter().filter(takes_part).collect();
    for front in Front::start_all(setup, &kinds, &servers.config(1)) {
        table.add(front.kind, load(statement, 1, plan.run).count(setup, &front));
    }
    table
}

/// What grows with what: one thing more at a time.
pub(crate) fn scale(setup: &Setup, plan: &Plan) -> Result<Vec<Table>, Box<dyn Error>> {
    let servers = Servers::start()?;
    let base = Scene { clients: 500, servers: 20, workers: 1, statement: Statement::OneOf(1) };
    let mut scenes = Vec::new();
    scenes.extend([20, 500, 5000, 9000].map(|clients| Scene { clients, ..base }));
    scenes.extend([1, 200].map(|servers| Scene { servers, ..base }));
    scenes.extend([2, 4].map(|workers| Scene { workers, ..base }));
    scenes.extend(
        [1000, 100_000].map(|number| Scene { statement: Statement::OneOf(number), ..base }),
    );
    scenes.push(Scene { statement: Statement::New, ..base });
    let measure = |scene: Scene| {
        let Scene { clients, servers: size, workers, statement } = scene;
        let statements = match statement {
            Statement::OneOf(count) => count.to_string(),
            _ => "ever new".to_owned(),
        };
        let title = format!(
            "scale: {clients} clients, {size} servers, workers {workers}, statements {statements}"
        );
        println!("{title} ...");
        let mut table = Table::new(title, &COUNTS);
        let config = Config { servers: size, ..servers.config(workers) };
        for front in Front::start_all(setup, &[Kind::SplitOff, Kind::SplitOn], &config) {
            let load = Load { clients, ..load(statement, 1, plan.run) };
            table.add(front.kind, load.count(setup, &front));
        }
        table
    };
    Ok(scenes.into_iter().map(measure).collect())
}

/// One point of the scale.
#[derive(Clone, Copy, Debug)]
struct Scene {
    clients: usize,
    servers: u32,
    workers: u32,
    statement: Statement,
}
