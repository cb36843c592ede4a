//! Workloads that are made of many transactions.

use std::time::Duration;

use crate::configuration::{Config, Entrance};
use crate::front::{Front, Kind};
use crate::load::{Load, Pace, Statement};
use crate::options::{Plan, Protocol};
use crate::run::{COLUMNS, Pgbench, Script, THROUGHPUT};
use crate::setup::Setup;
use crate::table::{Round, Table};

/// Who stands in front of the servers, where clients are no more than servers can be.
const ALL: [Kind; 6] =
    [Kind::Direct, Kind::Floor, Kind::SplitOff, Kind::SplitOn, Kind::PgBouncer, Kind::Pgpool];

/// Those that let many clients share few servers.
const POOLERS: [Kind; 3] = [Kind::SplitOff, Kind::SplitOn, Kind::PgBouncer];

/// Clients that need no pooler: each of them can have a server of its own, or a process of Pgpool-II's.
const FEW: usize = 36;

/// Servers of most workloads.
const SERVERS: u32 = 20;

/// Those that can take part with so many clients.
fn kinds(clients: usize) -> &'static [Kind] {
    if clients <= FEW { &ALL } else { &POOLERS }
}

/// Lets all take turns.
fn rotate<'a>(
    title: String,
    fronts: &(impl Iterator<Item = &'a Front> + Clone),
    plan: &Plan,
    measure: impl Fn(&Front) -> Round,
) -> Table {
    println!("{title} ...");
    let mut table = Table::new(title, &COLUMNS);
    for _ in 0..plan.rounds {
        for front in fronts.clone() {
            table.add(front.kind, measure(front));
        }
    }
    table
}

/// `pgbench -S`, by protocol and number of clients.
pub(crate) fn select(setup: &Setup, plan: &Plan) -> Vec<Table> {
    let mut tables = Vec::new();
    let everybody = Front::start_all(setup, &ALL, &setup.config(SERVERS));
    for &protocol in &plan.protocols {
        for clients in plan.clients(plan.by_length(&[1, 32], &[1, 32, 500], &[1, 32, 500])) {
            let fronts = everybody.iter().filter(|front| {
                kinds(clients).contains(&front.kind)
                    && (protocol != Protocol::Prepared || setup.keeps_statements(front.kind))
            });
            let run = Pgbench { script: Script::Select, protocol, clients, length: plan.run };
            let title = format!("pgbench -S, {protocol}, {clients} clients, {SERVERS} servers");
            tables.push(rotate(title, &fronts, plan, |front| run.measure(setup, front)));
        }
    }
    tables
}

/// What is not a read.
pub(crate) fn write(setup: &Setup, plan: &Plan) -> Vec<Table> {
    let scripts = [
        (Script::TpcB, "pgbench (TPC-B, 7 statements)"),
        (Script::Write, "pgbench -N (5 statements)"),
    ];
    scripts.into_iter().map(|script| simple(setup, plan, script)).collect()
}

/// No two statements are the same.
pub(crate) fn new_statements(setup: &Setup, plan: &Plan) -> Table {
    simple(setup, plan, (Script::NewStatement, "every statement new"))
}

/// A script by the simple protocol.
fn simple(setup: &Setup, plan: &Plan, (script, name): (Script, &str)) -> Table {
    let fronts = Front::start_all(setup, &ALL, &setup.config(SERVERS));
    let run = Pgbench { script, protocol: Protocol::Simple, clients: 32, length: plan.run };
    let title = format!("{name}, simple, 32 clients, {SERVERS} servers");
    rotate(title, &fronts.iter(), plan, |front| run.measure(setup, front))
}

/// `pgbench -C -S`.
pub(crate) fn log_in(setup: &Setup, plan: &Plan) -> Vec<Table> {
    let entrances = [Entrance::Trust, Entrance::Scram, Entrance::Tls];
    let measure = |entrance: Entrance| {
        let config = Config { entrance, ..setup.config(SERVERS) };
        // The server itself has one entrance only.
        let kinds: &[Kind] = if entrance == Entrance::Trust {
            &[Kind::Direct, Kind::Floor, Kind::SplitOff, Kind::PgBouncer]
        } else {
            &[Kind::SplitOff, Kind::PgBouncer]
        };
        let fronts = Front::start_all(setup, kinds, &config);
        let run = Pgbench {
            script: Script::SelectAndConnect,
            protocol: Protocol::Simple,
            clients: 8,
            length: plan.run,
        };
        let title = format!("pgbench -C -S: log-in ({}) and one read, 8 clients", entrance.name());
        rotate(title, &fronts.iter(), plan, |front| run.measure(setup, front))
    };
    entrances.into_iter().map(measure).collect()
}

/// Many more clients than servers: how long does one wait at worst?
pub(crate) fn crowd(setup: &Setup, plan: &Plan) -> Vec<Table> {
    const MOST: usize = 9000;

    let numbers = plan.clients(plan.by_length(
        &[500, 5000, MOST],
        &[1, 32, 500, 5000, MOST],
        &[1, 32, 500, 5000, MOST],
    ));
    let tightest = numbers.contains(&MOST).then_some((MOST, SERVERS));
    let measure = |(clients, servers): (usize, u32)| {
        let fronts = Front::start_all(setup, &POOLERS, &setup.config(servers));
        let load = Load {
            clients,
            pace: Pace::Closed,
            statement: Statement::NewLiteral,
            pipelined: 1,
            // Each should have its turn several times.
            length: plan.run + Duration::from_millis(u64::try_from(clients / 4).unwrap_or(0)),
        };
        let title = format!("reads by {clients} clients of ours on {servers} servers");
        rotate(title, &fronts.iter(), plan, |front| load.measure(setup, front))
    };
    numbers.into_iter().map(|clients| (clients, 40)).chain(tightest).map(measure).collect()
}

/// What comes does not wait for what is there: at 70 % of what the slowest can do.
pub(crate) fn open(setup: &Setup, plan: &Plan) -> Table {
    let fronts = Front::start_all(setup, &POOLERS, &setup.config(SERVERS));
    let closed = Load {
        clients: 200,
        pace: Pace::Closed,
        statement: Statement::NewLiteral,
        pipelined: 1,
        length: plan.run,
    };
    println!("the most that can be done ...");
    let rate =
        |front: &Front| closed.measure(setup, front).ok()?.get(THROUGHPUT).copied().flatten();
    let most = fronts.iter().filter_map(rate).fold(f64::INFINITY, f64::min);
    let offered = 0.7 * if most.is_finite() { most } else { 1000.0 };
    let load = Load { pace: Pace::Open(offered), ..closed };
    let title = format!(
        "open loop: {offered:.0} reads a second by 200 clients of ours (70 % of what the slowest can do), {SERVERS} servers"
    );
    rotate(title, &fronts.iter(), plan, |front| load.measure(setup, front))
}
