//! The primary dies and comes back, or a replica is promoted in its place: when is the first write done again, and what do
//! clients see of it?

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pglagoon::demo::{Cluster, Shutdown};

use crate::PATIENCE;
use crate::client::Client;
use crate::configuration::Config;
use crate::front::{Front, Kind};
use crate::options::Plan;
use crate::setup::{Setup, nodes};
use crate::table::{Better, Column, Table};

/// How writes become possible again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// The same primary is started again.
    Return,
    /// A replica is promoted.
    Promotion,
}

impl Course {
    const fn title(self) -> &'static str {
        match self {
            Self::Return => "the primary is killed and started again, 8 clients",
            Self::Promotion => "the primary is killed and a replica promoted, 8 clients",
        }
    }

    /// What can take part. Without replicas there is nothing to promote.
    const fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Return => &[Kind::SplitOff, Kind::SplitOn, Kind::PgBouncer],
            Self::Promotion => &[Kind::SplitOn, Kind::PgBouncer],
        }
    }
}

/// Clients of each sort.
const CLIENTS: usize = 4;

/// Between two attempts of a client that has none.
const PAUSE: Duration = Duration::from_millis(2);

const WRITE: &str = "INSERT INTO t VALUES (1)";
const READ: &str = "SELECT count(*) FROM t";

const fn column(name: &'static str, head: &'static str) -> Column {
    Column { name, head, digits: 0, better: Better::Lower }
}

const COLUMNS: [Column; 4] = [
    column("first write after a primary takes writes again", "first write ms"),
    column("writes that failed", "failed writes"),
    column("longest time that a reader had no answer", "reads out ms"),
    column("reads that failed", "failed reads"),
];

/// Each in front of a cluster of its own.
pub(crate) async fn measure(setup: &Setup, plan: &Plan) -> Result<Vec<Table>, Box<dyn Error>> {
    let mut tables = Vec::new();
    for course in [Course::Return, Course::Promotion] {
        println!("{} ...", course.title());
        let mut table = Table::new(course.title(), &COLUMNS);
        table.notes.push(
            "the first write counts from when the primary itself took one from somebody who tries every 2 ms".to_owned(),
        );
        if course == Course::Promotion {
            table.notes.push(
                "PgBouncer does not know which node is the primary: it is told (RELOAD) as soon as the promotion is done"
                    .to_owned(),
            );
        }
        for _ in 0..plan.by_length(1, 3, 5) {
            for &kind in course.kinds() {
                let round = round(setup, kind, course).await;
                table.add(kind, round.map_err(|error| error.to_string()));
            }
        }
        tables.push(table);
    }
    Ok(tables)
}

/// What the clients and we tell each other.
#[derive(Debug, Default)]
struct Signs {
    /// The primary has gone.
    gone: AtomicBool,
    /// How many have had an answer since.
    back: AtomicUsize,
    /// It is over.
    stop: AtomicBool,
}

/// What one client has seen.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    failures: u32,
    /// The longest time between two answers.
    gap: Duration,
    /// The first answer to what was asked after the primary had gone.
    back: Option<Instant>,
}

async fn round(
    setup: &Setup,
    kind: Kind,
    course: Course,
) -> Result<Vec<Option<f64>>, Box<dyn Error>> {
    let cluster = setup.cluster_of_its_own().await?;
    cluster.primary().execute("CREATE TABLE t (n int); GRANT ALL ON t TO PUBLIC").await?;
    cluster.wait_caught_up().await?;
    let config = Config { nodes: nodes(&cluster), ..setup.config(20) };
    let front = Front::start(setup, kind, &config)?;
    let next = match course {
        Course::Return => cluster.primary(),
        Course::Promotion => cluster.replica(0)?,
    };
    let next = SocketAddr::from((Ipv4Addr::LOCALHOST, next.port()));
    let signs = Arc::new(Signs::default());
    let start = |address: SocketAddr, text: &'static str| {
        let signs = Arc::clone(&signs);
        thread::spawn(move || keep_on(address, text, &signs))
    };
    let direct = start(next, WRITE);
    let writers: Vec<_> = (0..CLIENTS).map(|_| start(front.address(), WRITE)).collect();
    let readers: Vec<_> = (0..CLIENTS).map(|_| start(front.address(), READ)).collect();
    let outcome = go_and_come((&cluster, course), (setup, &front), &signs).await;
    signs.stop.store(true, Ordering::Relaxed);
    let back = direct.join().unwrap_or_default().back.ok_or("the primary was never away")?;
    let writers: Vec<Seen> = writers.into_iter().filter_map(|thread| thread.join().ok()).collect();
    let readers: Vec<Seen> = readers.into_iter().filter_map(|thread| thread.join().ok()).collect();
    outcome?;
    let first = writers.iter().filter_map(|seen| seen.back).min().ok_or("nobody could write")?;
    let out = readers.iter().map(|seen| seen.gap).max().unwrap_or_default();
    let milliseconds = |time: Duration| Some(time.as_secs_f64() * 1000.0);
    let failed = |all: &[Seen]| Some(f64::from(all.iter().map(|seen| seen.failures).sum::<u32>()));
    Ok(vec![
        milliseconds(first.saturating_duration_since(back)),
        failed(&writers),
        milliseconds(out),
        failed(&readers),
    ])
}

/// Kills the primary, has a primary again a second later, and waits until all that write do so again.
async fn go_and_come(
    (cluster, course): (&Cluster, Course),
    (setup, front): (&Setup, &Front),
    signs: &Signs,
) -> Result<(), Box<dyn Error>> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.primary().stop(Shutdown::Immediate).await?;
    signs.gone.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(1)).await;
    match course {
        Course::Return => cluster.primary().start().await?,
        Course::Promotion => {
            cluster.promote(0).await?;
            if front.kind == Kind::PgBouncer {
                let config = Config { nodes: nodes(cluster), ..front.config.clone() };
                front.reload(setup, &config)?;
            }
        }
    }
    let started = Instant::now();
    while signs.back.load(Ordering::Relaxed) <= 2 * CLIENTS && started.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Asks the same again and again, and connects again when that fails.
fn keep_on(address: SocketAddr, text: &str, signs: &Signs) -> Seen {
    let (mut seen, mut last) = (Seen::default(), Instant::now());
    let mut client: Option<Client> = None;
    while !signs.stop.load(Ordering::Relaxed) {
        let is_gone = signs.gone.load(Ordering::Relaxed);
        let open = client.take().map_or_else(|| Client::log_in(address), Ok);
        client = open.and_then(|mut open| open.query(text).map(|_| open)).ok();
        if client.is_some() {
            seen.gap = seen.gap.max(last.elapsed());
            last = Instant::now();
            if is_gone && seen.back.is_none() {
                seen.back = Some(last);
                signs.back.fetch_add(1, Ordering::Relaxed);
            }
        } else {
            seen.failures += 1;
        }
        thread::sleep(PAUSE);
    }
    seen
}
