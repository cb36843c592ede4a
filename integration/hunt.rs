//! Stale reads are hunted at every level of consistency, by way of one pooler and of two, while replicas are late,
//! paused, restarted and unevenly behind.
//!
//! `PGLAGOON_PAIRS=1000000 cargo test --test integration hunt` makes as many pairs of a write and a read, over all tests
//! of a version, as it says.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use pglagoon::demo::Shutdown;
use tokio_postgres::{Client, Error};

use crate::{
    fixture::{client, eventually, on_each_version, own_cluster, unique},
    pooler::Pooler,
    trouble::trouble,
};

on_each_version!(
    no_read_is_stale_at_any_level,
    no_read_is_stale_at_any_level_while_replicas_are_in_trouble,
    no_read_of_a_transaction_is_stale_before_it_writes,
    no_read_is_stale_though_another_node_becomes_the_primary,
    no_session_goes_back_in_time,
);

/// Writers, each with a reader on another connection.
const COUPLES: usize = 16;

/// Pairs that one test makes at each of its levels.
fn pairs() -> u32 {
    let all = std::env::var("PGLAGOON_PAIRS").ok().and_then(|count| count.parse().ok());
    all.unwrap_or(6_000_u32).div_ceil(6)
}

/// How a reader comes to see what another connection has written.
#[derive(Clone, Copy, Debug)]
enum Level {
    /// Both are of a group.
    Group,
    /// The writer itself reads.
    Session,
    /// It asks for everything.
    Strong,
    /// It asks for what was written to its table.
    Table,
    /// It is given a token.
    Token,
}

impl Level {
    const ALL: [Self; 5] = [Self::Session, Self::Group, Self::Table, Self::Strong, Self::Token];

    /// What both say before.
    fn preparation(self, couple: usize) -> String {
        match self {
            Self::Group => format!(
                "SET pglagoon.consistency = 'group'; SET pglagoon.group = 'couple {couple}'"
            ),
            Self::Session => "SET pglagoon.consistency = 'session'".to_owned(),
            Self::Strong => "SET pglagoon.consistency = 'strong'".to_owned(),
            Self::Table => "SET pglagoon.consistency = 'table'".to_owned(),
            Self::Token => "SET pglagoon.consistency = 'eventual'".to_owned(),
        }
    }

    /// Whether it holds by way of two poolers.
    fn spans_poolers(self) -> bool {
        matches!(self, Self::Strong | Self::Token)
    }
}

/// A writer and a reader of one row.
struct Couple {
    table: String,
    row: i32,
    level: Level,
    writer: Client,
    reader: Client,
}

impl Couple {
    async fn meet(
        (here, there): (&Pooler, &Pooler),
        table: &str,
        level: Level,
        row: usize,
    ) -> Self {
        let there = if level.spans_poolers() { there } else { here };
        let (writer, reader) = (client(&here.url()).await, client(&there.url()).await);
        for one in [&writer, &reader] {
            for command in level.preparation(row).split("; ") {
                one.batch_execute(command).await.unwrap();
            }
        }
        let row = i32::try_from(row).unwrap();
        Self { table: table.to_owned(), row, level, writer, reader }
    }

    /// Writes `turn` and reads it back.
    async fn write_and_read(&self, turn: i32) {
        self.try_to_write_and_read(turn).await.unwrap();
    }

    async fn try_to_write_and_read(&self, turn: i32) -> Result<(), Error> {
        let Self { table, row, .. } = self;
        let write = format!("UPDATE {table} SET turn = {turn} WHERE id = {row}");
        self.writer.batch_execute(&write).await?;
        let (reader, read) = self.reading().await?;
        let found: i32 = reader.query_one(&read, &[]).await?.get(0);
        assert_eq!(found, turn, "a stale read at {:?}", self.level);
        Ok(())
    }

    /// Who reads what has been written, and how.
    async fn reading(&self) -> Result<(&Client, String), Error> {
        let read = format!("SELECT turn FROM {} WHERE id = {}", self.table, self.row);
        Ok(match self.level {
            Level::Group | Level::Strong | Level::Table => (&self.reader, read),
            Level::Session => (&self.writer, read),
            Level::Token => {
                let token = self.writer.query_one("SHOW pglagoon.token", &[]).await?;
                let token: &str = token.get(0);
                (&self.reader, format!("/* pglagoon: after={token} */ {read}"))
            }
        })
    }

    /// The same in transactions that read before they write, or do not write.
    async fn transact(&self, turn: i32) -> Result<(), Error> {
        let Self { table, row, level, .. } = self;
        let plain = format!("SELECT turn FROM {table} WHERE id = {row}");
        let write = format!("UPDATE {table} SET turn = {turn} WHERE id = {row}");
        let own = matches!(level, Level::Session | Level::Strong | Level::Table | Level::Group);
        self.writer.batch_execute("BEGIN").await?;
        let before: i32 = self.writer.query_one(&plain, &[]).await?.get(0);
        assert!(!own || before == turn - 1, "a stale read at {level:?} before the write");
        self.writer.batch_execute(&write).await?;
        let after: i32 = self.writer.query_one(&plain, &[]).await?.get(0);
        assert_eq!(after, turn, "a stale read at {level:?} after the write");
        self.writer.batch_execute("COMMIT").await?;
        let (reader, read) = self.reading().await?;
        reader.batch_execute("BEGIN").await?;
        for _ in 0..2 {
            let found: i32 = reader.query_one(&read, &[]).await?.get(0);
            assert_eq!(found, turn, "a stale read at {level:?} in a transaction");
        }
        reader.batch_execute("COMMIT").await
    }
}

async fn table_of(pooler: &Pooler) -> String {
    let table = unique("hunt");
    let sql = format!(
        "CREATE TABLE {table} (id int PRIMARY KEY, turn int NOT NULL);
         INSERT INTO {table} SELECT i, 0 FROM generate_series(0, 99) AS i"
    );
    client(&pooler.url()).await.batch_execute(&sql).await.unwrap();
    table
}

const KEYS: [(&str, &str); 3] = [
    ("routing.max_lag", "\"5s\""),
    ("routing.return_delay", "\"100ms\""),
    ("routing.slow_start", "\"1s\""),
];

async fn no_read_is_stale_at_any_level(major: u16) {
    chase(major, &KEYS, pairs(), async |couple, turn| couple.write_and_read(turn).await).await;
}

async fn no_read_of_a_transaction_is_stale_before_it_writes(major: u16) {
    let keys = [KEYS[0], KEYS[1], KEYS[2], ("routing.read_only_until_write", "true")];
    let few = pairs().div_ceil(4);
    chase(major, &keys, few, async |couple, turn| couple.transact(turn).await.unwrap()).await;
}

/// So many pairs at each level, while one replica is late.
async fn chase(
    major: u16,
    keys: &[(&str, &str)],
    pairs: u32,
    pair: impl AsyncFn(&Couple, i32) + Copy,
) {
    let cluster = own_cluster(major).delay(0, Duration::from_millis(100)).start().await.unwrap();
    let (here, there) = (Pooler::start(&cluster, keys).await, Pooler::start(&cluster, keys).await);
    for level in Level::ALL {
        let table = table_of(&here).await;
        cluster.wait_caught_up().await.unwrap();
        let left = AtomicU32::new(pairs);
        let take =
            || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        join_all((0..COUPLES).map(async |row| {
            let couple = Couple::meet((&here, &there), &table, level, row).await;
            let mut turn = 0;
            while take().is_ok() {
                turn += 1;
                pair(&couple, turn).await;
            }
        }))
        .await;
    }
    here.check();
    there.check();
}

async fn no_read_is_stale_at_any_level_while_replicas_are_in_trouble(major: u16) {
    let cluster = own_cluster(major).start().await.unwrap();
    let (here, there) =
        (Pooler::start(&cluster, &KEYS).await, Pooler::start(&cluster, &KEYS).await);
    let table = table_of(&here).await;
    let made = AtomicU32::new(0);
    let couples = join_all((0..COUPLES).map(async |row| {
        let level = Level::ALL[row % Level::ALL.len()];
        let couple = Couple::meet((&here, &there), &table, level, row).await;
        for turn in 1.. {
            couple.write_and_read(turn).await;
            made.fetch_add(1, Ordering::Relaxed);
        }
    }));
    tokio::select! {
        () = trouble(&cluster, &made) => {}
        _ = couples => unreachable!(),
    }
    assert!(made.load(Ordering::Relaxed) > 100);
    here.check();
    there.check();
}

/// Twice another node is promoted, when the one before has sent all that it had.
async fn no_read_is_stale_though_another_node_becomes_the_primary(major: u16) {
    let cluster = own_cluster(major).start().await.unwrap();
    cluster.primary().execute("GRANT pg_read_all_stats TO app").await.unwrap();
    let (here, there) =
        (Pooler::start(&cluster, &KEYS).await, Pooler::start(&cluster, &KEYS).await);
    let table = table_of(&here).await;
    cluster.wait_caught_up().await.unwrap();
    let made = AtomicU32::new(0);
    let couples = join_all((0..COUPLES).map(async |row| {
        let level = Level::ALL[row % Level::ALL.len()];
        let mut couple = Couple::meet((&here, &there), &table, level, row).await;
        for turn in 1.. {
            match couple.try_to_write_and_read(turn).await {
                Ok(()) => drop(made.fetch_add(1, Ordering::Relaxed)),
                // Within a statement a promotion is noticed: nobody knows what became of that.
                Err(_) => couple = Couple::meet((&here, &there), &table, level, row).await,
            }
        }
    }));
    let promotions = async {
        let goes_on = async || {
            let before = made.load(Ordering::Relaxed);
            let enough = before + pairs().div_ceil(16).clamp(50, 500);
            eventually("pairs", async || (made.load(Ordering::Relaxed) > enough).then_some(()))
                .await;
        };
        goes_on().await;
        for _ in 0..2 {
            let (old, other) = (cluster.primary(), cluster.replica(1).unwrap());
            old.stop(Shutdown::Fast).await.unwrap();
            cluster.promote(0).await.unwrap();
            goes_on().await;
            cluster.follow(other).await.unwrap();
            cluster.rejoin(old).await.unwrap();
            cluster.wait_streaming(2).await.unwrap();
            goes_on().await;
        }
    };
    tokio::select! {
        () = promotions => {}
        _ = couples => unreachable!(),
    }
    here.check();
    there.check();
}

/// One client counts; others watch, at any state that is near enough, but never see less than they saw.
async fn no_session_goes_back_in_time(major: u16) {
    let cluster = own_cluster(major).delay(0, Duration::from_millis(50)).start().await.unwrap();
    let keys = [KEYS[0], ("routing.consistency", "\"eventual\""), ("routing.monotonic", "true")];
    let pooler = Pooler::start(&cluster, &keys).await;
    let table = table_of(&pooler).await;
    cluster.wait_caught_up().await.unwrap();
    let left = AtomicU32::new(pairs());
    let writer = client(&pooler.url()).await;
    let count = async {
        for turn in 1.. {
            let write = format!("UPDATE {table} SET turn = {turn} WHERE id = 0");
            writer.batch_execute(&write).await.unwrap();
        }
    };
    let watch = join_all((0..COUPLES).map(async |_| {
        let reader = client(&pooler.url()).await;
        let read = format!("SELECT turn FROM {table} WHERE id = 0");
        let mut seen = 0;
        while left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
            .is_ok()
        {
            let found: i32 = reader.query_one(&read, &[]).await.unwrap().get(0);
            assert!(found >= seen, "{found} after {seen}");
            seen = found;
        }
    }));
    tokio::select! {
        () = count => unreachable!(),
        _ = watch => {}
    }
    pooler.check();
}
