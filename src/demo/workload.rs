//! A small steady workload through the pooler: tide gauges that are read often and updated now and then.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_postgres::{Client, NoTls};

use super::Error;

/// Clients, each with a connection of its own.
const CLIENTS: u32 = 8;

/// How often each client does something: 8 / 36 ms makes some 220 statements a second.
const PACE: Duration = Duration::from_millis(36);

/// One statement in so many is a write, which is then read back.
const WRITE_EVERY: u32 = 12;

/// Rows of the table.
const GAUGES: i32 = 100;

/// How long a client that lost its connection waits before it tries again.
const RETRY: Duration = Duration::from_millis(250);

/// The table that the workload uses; owned by `app`, so that a visitor may look at it.
pub(super) const SCHEMA: &str = "
    CREATE TABLE gauge (id int PRIMARY KEY, level real NOT NULL, readings bigint NOT NULL);
    INSERT INTO gauge SELECT id, 0, 0 FROM generate_series(0, 99) AS id;
    ALTER TABLE gauge OWNER TO app";

/// What the clients of the workload have seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Reads that did not show what the same client had written before.
    stale: AtomicU64,
    /// Statements that failed, and connections that broke.
    failed: AtomicU64,
}

impl Seen {
    /// In one line, for people.
    pub(super) fn summary(&self) -> String {
        let (stale, failed) =
            (self.stale.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed));
        format!("workload: {stale} stale reads, {failed} failed statements")
    }
}

/// The clients at work; they stop when this value is dropped.
#[derive(Debug)]
pub(super) struct Workload {
    pub(super) seen: Arc<Seen>,
    _clients: JoinSet<()>,
}

impl Workload {
    /// Starts the clients against the pooler at `url`.
    pub(super) fn start(url: &str) -> Self {
        let seen = Arc::new(Seen::default());
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            clients.spawn(keep_going(url.to_owned(), number, Arc::clone(&seen)));
        }
        Self { seen, _clients: clients }
    }
}

/// One client, which connects again whenever it is thrown out.
async fn keep_going(url: String, number: u32, seen: Arc<Seen>) {
    // Spread over one beat, so that the load is even.
    sleep(PACE * number / CLIENTS).await;
    loop {
        if work(&url, number, &seen).await.is_err() {
            seen.failed.fetch_add(1, Ordering::Relaxed);
        }
        sleep(RETRY).await;
    }
}

/// Reads and writes until something fails.
async fn work(url: &str, number: u32, seen: &Seen) -> Result<(), Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    let read = client.prepare("SELECT readings, level FROM gauge WHERE id = $1").await?;
    let mut beat = interval(PACE);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for turn in (0..WRITE_EVERY).cycle().skip(number as usize) {
        beat.tick().await;
        if turn == 0 {
            write_and_read_back(&client, seen).await?;
        } else {
            client.query_one(&read, &[&any_gauge()]).await?;
        }
    }
    Ok(())
}

/// Counts one reading, and then expects to see it.
async fn write_and_read_back(client: &Client, seen: &Seen) -> Result<(), Error> {
    let gauge = any_gauge();
    let level = rand::random_range(-1.0_f32..1.0);
    let write =
        "UPDATE gauge SET level = $2, readings = readings + 1 WHERE id = $1 RETURNING readings";
    let written: i64 = client.query_one(write, &[&gauge, &level]).await?.try_get(0)?;
    let read = "SELECT readings FROM gauge WHERE id = $1";
    let found: i64 = client.query_one(read, &[&gauge]).await?.try_get(0)?;
    if found < written {
        seen.stale.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn any_gauge() -> i32 {
    rand::random_range(0..GAUGES)
}
