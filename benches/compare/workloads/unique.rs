//! Memory while ever more different statements come: what a day brings, in short.

use std::error::Error;
use std::time::Duration;

use crate::front::{Front, Kind};
use crate::load::{Load, Pace, Statement};
use crate::options::Plan;
use crate::process::resident;
use crate::setup::Setup;
use crate::table::{Better, Column, Table};
use crate::workloads::instant::Servers;

const KINDS: [Kind; 3] = [Kind::SplitOff, Kind::SplitOn, Kind::PgBouncer];

const fn column(name: &'static str, head: &'static str, better: Better) -> Column {
    Column { name, head, digits: 1, better }
}

const COLUMNS: [Column; 4] = [
    column("different statements", "thousands", Better::Neither),
    column("memory at the beginning", "MiB after 1/5", Better::Neither),
    column("memory at the end", "MiB at the end", Better::Lower),
    column("growth per statement", "growth B/statement", Better::Lower),
];

/// Statements by the simple and by the extended protocol.
pub(crate) fn measure(setup: &Setup, plan: &Plan) -> Result<Vec<Table>, Box<dyn Error>> {
    let servers = Servers::start()?;
    let mut tables = Vec::new();
    for (what, statement) in
        [("simple", Statement::New), ("extended (unnamed Parse)", Statement::NewParsed)]
    {
        let title = format!("memory with ever new statements, {what}, servers that answer at once");
        println!("{title} ...");
        let mut table = Table::new(title, &COLUMNS);
        for front in Front::start_all(setup, &KINDS, &servers.config(1)) {
            let seconds = plan.by_length(5, 20, 120);
            table.add(
                front.kind,
                grow(&front, statement, seconds).map_err(|error| error.to_string()),
            );
        }
        tables.push(table);
    }
    Ok(tables)
}

fn grow(
    front: &Front,
    statement: Statement,
    seconds: u64,
) -> Result<Vec<Option<f64>>, Box<dyn Error>> {
    let load = |length: u64| Load {
        clients: 32,
        pace: Pace::Closed,
        statement,
        pipelined: 10,
        length: Duration::from_secs(length),
    };
    let memory = || front.pid().and_then(resident).ok_or("the pooler has gone");
    let early = load(seconds.div_ceil(5)).run(front.address())?.len();
    let begin = memory()?;
    let late = load(seconds - seconds.div_ceil(5)).run(front.address())?.len();
    let end = memory()?;
    let mib = |bytes: f64| Some(bytes / 1024.0 / 1024.0);
    let growth = (end - begin) / late as f64;
    Ok(vec![Some((early + late) as f64 / 1000.0), mib(begin), mib(end), Some(growth)])
}
