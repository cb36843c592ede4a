//! What an idle client costs.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use pglagoon::protocol::frontend;

use crate::client::Client;
use crate::configuration::{Config, Entrance};
use crate::front::{Front, Kind};
use crate::options::Plan;
use crate::process::resident;
use crate::setup::Setup;
use crate::table::{Better, Column, Table};
use crate::tls;

/// Who takes part.
const KINDS: [Kind; 3] = [Kind::SplitOff, Kind::SplitOn, Kind::PgBouncer];

/// Clients that come before the first measurement, so that servers and buffers are there.
const FIRST: usize = 50;

/// Statements that a client has prepared.
const STATEMENTS: usize = 200;

const fn column(name: &'static str, head: &'static str) -> Column {
    Column { name, head, digits: 0, better: Better::Lower }
}

const COLUMNS: [Column; 4] = [
    column("memory of a client that has logged in", "logged in B"),
    column("memory of a client that has asked", "has asked B"),
    column("memory of a client with 200 prepared statements", "200 prepared B"),
    column("memory of a client over TLS that has asked", "asked, TLS B"),
];

/// Resident bytes for each client that does nothing.
pub(crate) fn measure(setup: &Setup, plan: &Plan) -> Table {
    let count = plan.by_length(2000, 5000, 5000);
    let title =
        format!("resident bytes per idle client ({count} clients; a tenth with statements or TLS)");
    println!("{title} ...");
    let mut table = Table::new(title, &COLUMNS);
    for kind in KINDS {
        let round = plain(setup, kind, count).and_then(|[logged_in, asked]| {
            let prepared = if setup.keeps_statements(kind) {
                Some(with_statements(setup, kind, count / 10)?)
            } else {
                None
            };
            let tls = over_tls(setup, kind, count / 10)?;
            Ok(vec![Some(logged_in), Some(asked), prepared, Some(tls)])
        });
        table.add(kind, round.map_err(|error| error.to_string()));
    }
    table
}

fn plain(setup: &Setup, kind: Kind, count: usize) -> Result<[f64; 2], Box<dyn Error>> {
    let front = Front::start(setup, kind, &setup.config(20))?;
    let log_in = || Client::log_in(front.address());
    let _first = clients(FIRST, log_in)?;
    let before = settled(&front)?;
    let mut clients = (0..count).map(|_| log_in()).collect::<Result<Vec<_>, _>>()?;
    let logged_in = settled(&front)?;
    clients.iter_mut().try_for_each(ask)?;
    let asked = settled(&front)?;
    Ok([(logged_in - before) / count as f64, (asked - before) / count as f64])
}

fn with_statements(setup: &Setup, kind: Kind, count: usize) -> Result<f64, Box<dyn Error>> {
    let front = Front::start(setup, kind, &setup.config(20))?;
    let mut sent = Vec::new();
    for number in 0..STATEMENTS {
        let text = format!("SELECT abalance + {number} FROM pgbench_accounts WHERE aid = $1");
        frontend::parse(&mut sent, format!("s{number}").as_bytes(), text.as_bytes(), &[0, 0]);
    }
    frontend::sync(&mut sent);
    let log_in = || -> Result<Client, Box<dyn Error>> {
        let mut client = Client::log_in(front.address())?;
        client.ask(&sent)?;
        Ok(client)
    };
    let _first = clients(FIRST, log_in)?;
    let before = settled(&front)?;
    let _clients = clients(count, log_in)?;
    Ok((settled(&front)? - before) / count as f64)
}

fn over_tls(setup: &Setup, kind: Kind, count: usize) -> Result<f64, Box<dyn Error>> {
    let config = Config { entrance: Entrance::Tls, ..setup.config(20) };
    let front = Front::start(setup, kind, &config)?;
    let trust = setup.trust()?;
    let log_in = |address: SocketAddr| tls::log_in(address, &trust);
    let _first = clients(FIRST, || log_in(front.address()))?;
    let before = settled(&front)?;
    let _clients = clients(count, || log_in(front.address()))?;
    Ok((settled(&front)? - before) / count as f64)
}

/// Clients that have asked once.
fn clients(
    count: usize,
    log_in: impl Fn() -> Result<Client, Box<dyn Error>>,
) -> Result<Vec<Client>, Box<dyn Error>> {
    let log_in = |_| {
        let mut client = log_in()?;
        ask(&mut client)?;
        Ok(client)
    };
    (0..count).map(log_in).collect()
}

fn ask(client: &mut Client) -> Result<(), Box<dyn Error>> {
    client.query("SELECT abalance FROM pgbench_accounts WHERE aid = 1").map(drop)
}

/// Resident memory once it has stopped to change.
fn settled(front: &Front) -> Result<f64, Box<dyn Error>> {
    std::thread::sleep(Duration::from_millis(500));
    Ok(front.pid().and_then(resident).ok_or("the pooler has gone")?)
}
