//! Two hundred clients that do everything at once, and check all the while that what they see is their own.
//!
//! `make torture` runs it for a minute, `TORTURE_SECONDS` sets another time and `TORTURE_SEED` repeats what the clients
//! did (not how their steps interleaved).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _, future::join_all, pin_mut};
use pglagoon::demo::{Cluster, Shutdown};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use tokio::task::JoinHandle;
use tokio_postgres::{
    AsyncMessage, Client, Error, NoTls, SimpleQueryMessage, Statement, error::SqlState,
};

use crate::{
    fixture::{client, eventually, on_each_version, own_cluster},
    pooler::Pooler,
};

on_each_version!(torture);

const GUESTS: i32 = 200;
const POOL: usize = 20;
/// How long it takes as one of all tests.
const SECONDS: u64 = 8;

/// Something that a guest does.
const STEPS: [(&str, u32); 16] = [
    ("read", 12),
    ("read in a transaction", 6),
    ("write", 8),
    ("transact", 10),
    ("set", 6),
    ("set and undo", 3),
    ("look at settings", 8),
    ("use a temporary table", 4),
    ("take a lock", 4),
    ("use prepared statements", 8),
    ("pipeline with an error", 5),
    ("copy", 4),
    ("cancel", 2),
    ("listen", 4),
    ("notify", 4),
    ("vanish", 4),
];

/// Those that may run on a replica.
const READS: [&str; 5] = [
    "read",
    "read in a transaction",
    "look at settings",
    "use prepared statements",
    "pipeline with an error",
];

/// One client, and what it must find.
struct Guest {
    id: i32,
    url: String,
    dice: SmallRng,
    client: Client,
    connection: JoinHandle<bool>,
    /// Rows of the table that have its number.
    rows: i64,
    work_mem: i32,
    statements: Vec<(Statement, i32)>,
    listens: Vec<String>,
}

/// Where a statement runs, and with whose settings.
const WHERE: &str = "SELECT concat_ws(' ', pg_backend_pid(), pg_is_in_recovery(), \
    pg_last_wal_replay_lsn(), current_setting('work_mem'), current_setting('torture.tag'))";

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

async fn torture(major: u16) {
    let seconds = setting("TORTURE_SECONDS").unwrap_or(SECONDS);
    let seed = setting("TORTURE_SEED").unwrap_or_else(rand::random);
    eprintln!("PostgreSQL {major}: {seconds} s with TORTURE_SEED={seed}");
    let cluster = own_cluster(major).replicas(2).start().await.unwrap();
    let size = POOL.to_string();
    let keys = [
        ("pool.default_pool_size", &*size),
        ("listen.workers", "2"),
        ("pool.server_order", "\"oldest\""),
    ];
    let pooler = Pooler::start(&cluster, &keys).await;
    let owner = client(&cluster.primary().url()).await;
    let tables = "CREATE TABLE torture (tag int, body text); CREATE INDEX ON torture (tag); \
        CREATE TABLE shadow AS SELECT -1 AS tag";
    owner.batch_execute(tables).await.unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let guests = (1..=GUESTS).map(|id| {
        let over = Arc::clone(&is_over);
        let dice = SmallRng::seed_from_u64(seed.wrapping_add(u64::try_from(id).unwrap()));
        let url = pooler.url();
        tokio::spawn(async move { live(id, url, dice, &over, seed).await })
    });
    let guests: Vec<_> = guests.collect();
    restart_replicas(&cluster, Duration::from_secs(seconds)).await;
    is_over.store(true, Ordering::Relaxed);
    let rows = join_all(guests).await.into_iter().map(Result::unwrap).sum::<i64>();
    let found: i64 = owner.query_one("SELECT count(*) FROM torture", &[]).await.unwrap().get(0);
    assert_eq!(found, rows, "seed {seed}");
    expect_order(&cluster, &pooler, seed).await;
    pooler.check();
}

/// Restarts a replica now and then, until the time is over: how long the test runs is a time, so this is a matter of time,
/// too.
async fn restart_replicas(cluster: &Cluster, within: Duration) {
    let restarts = async {
        loop {
            for replica in cluster.replicas() {
                tokio::time::sleep(Duration::from_secs(2)).await;
                replica.stop(Shutdown::Fast).await.unwrap();
                tokio::time::sleep(Duration::from_millis(200)).await;
                replica.start().await.unwrap();
            }
        }
    };
    let _ = tokio::time::timeout(within, restarts).await;
}

/// Nothing is left of anybody: no lock, no open transaction, no setting, no temporary object.
async fn expect_order(cluster: &Cluster, pooler: &Pooler, seed: u64) {
    let watcher = client(&cluster.primary().superuser_url()).await;
    let left = "SELECT (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') \
        + (SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state LIKE 'idle in%')";
    eventually("locks and transactions to end", async || {
        let left: i64 = watcher.query_one(left, &[]).await.unwrap().get(0);
        (left == 0).then_some(())
    })
    .await;
    let strange = "SELECT current_setting('work_mem') || ' ' \
        || coalesce(nullif(current_setting('torture.tag', true), ''), 'no tag') || ' ' \
        || (SELECT tag FROM shadow) || ' ' \
        || (SELECT count(*) FROM pg_listening_channels()) || ' ' \
        || (SELECT count(*) FROM pg_cursors WHERE is_holdable)";
    // All servers of the primary at the same time.
    let mut clients = Vec::new();
    for _ in 0..POOL {
        let client = client(&pooler.url()).await;
        client.batch_execute("BEGIN").await.unwrap();
        let found: String = client.query_one(strange, &[]).await.unwrap().get(0);
        assert_eq!(found, "4MB no tag -1 0 0", "seed {seed}");
        clients.push(client);
    }
}

/// A guest's life; returns how many rows it has left.
async fn live(id: i32, url: String, dice: SmallRng, is_over: &AtomicBool, seed: u64) -> i64 {
    let mut guest = Guest::arrive(id, url, dice).await;
    let mut step = "arrive";
    while !is_over.load(Ordering::Relaxed) {
        let before = std::mem::replace(&mut step, guest.choose());
        let done = tokio::time::timeout(Duration::from_mins(1), guest.step(step)).await;
        let Ok(done) = done else { panic!("seed {seed}, guest {id} hangs: {before}, {step}") };
        let Err(failure) = done else { continue };
        // A replica that restarts takes what it is answering with it: a read may fail, and a transaction on it ends its
        // session.
        let is_lost = step == "read in a transaction"
            && (failure.is_closed() || failure.code() == Some(&SqlState::CONNECTION_FAILURE));
        let is_excused = is_lost
            || READS.contains(&step)
                && failure.code() == Some(&SqlState::T_R_SERIALIZATION_FAILURE);
        assert!(is_excused, "seed {seed}, guest {id}, {before}, {step}: {failure:?}");
        if is_lost {
            guest.leave().await;
            guest.come_back().await;
        }
    }
    guest.rows
}

async fn connect(url: &str) -> (Client, JoinHandle<bool>) {
    let (client, mut connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let ears = tokio::spawn(async move {
        while let Some(message) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            match message {
                Ok(AsyncMessage::Notification(said)) => {
                    assert!(said.payload().starts_with(said.channel()), "{said:?}");
                }
                Ok(_) => {}
                Err(_) => return false,
            }
        }
        true
    });
    (client, ears)
}

impl Guest {
    async fn arrive(id: i32, url: String, dice: SmallRng) -> Self {
        let (client, connection) = connect(&url).await;
        let (rows, work_mem) = (0, 0);
        let (statements, listens) = (Vec::new(), Vec::new());
        let mut guest =
            Self { id, url, dice, client, connection, rows, work_mem, statements, listens };
        guest.settle_in().await;
        guest
    }

    async fn settle_in(&mut self) {
        self.work_mem = 1000 + self.id;
        let (tag, work_mem) = (self.id, self.work_mem);
        let set = format!("SET torture.tag = {tag}; SET work_mem = {work_mem}");
        self.client.batch_execute(&set).await.unwrap();
        // Another session has written its rows; from here on they are as fresh as its own.
        self.client.batch_execute("DELETE FROM torture WHERE tag < 0").await.unwrap();
        self.statements.clear();
        self.listens.clear();
    }

    /// Closes the connection, whatever goes on there.
    async fn leave(&mut self) {
        self.connection.abort();
        let _ = (&mut self.connection).await;
    }

    async fn come_back(&mut self) {
        (self.client, self.connection) = connect(&self.url).await;
        self.settle_in().await;
    }

    fn choose(&mut self) -> &'static str {
        let mut dice = self.dice.random_range(0..STEPS.iter().map(|(_, weight)| weight).sum());
        for (step, weight) in STEPS {
            if dice < weight {
                return step;
            }
            dice -= weight;
        }
        STEPS[0].0
    }

    async fn step(&mut self, step: &str) -> Result<(), Error> {
        match step {
            "read" => self.read().await,
            "read in a transaction" => self.read_in_transaction().await,
            "write" => self.write().await,
            "transact" => self.transact().await,
            "set" => self.set().await,
            "set and undo" => self.set_and_undo().await,
            "look at settings" => self.look_at_settings().await,
            "use a temporary table" => self.use_temporary_table().await,
            "take a lock" => self.take_lock().await,
            "use prepared statements" => self.use_statements().await,
            "pipeline with an error" => self.pipeline().await,
            "copy" => self.copy().await,
            "cancel" => self.cancel().await,
            "listen" => self.listen().await,
            "notify" => self.notify().await,
            _ => self.vanish().await,
        }
    }

    async fn one(&self, sql: &str) -> Result<String, Error> {
        let messages = self.client.simple_query(sql).await?;
        let row = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        Ok(row.unwrap_or("NULL").to_owned())
    }

    fn count(&self) -> String {
        let id = self.id;
        format!(
            "SELECT count(*) || ' ' || count(*) FILTER (WHERE body <> 'of {id}') \
                FROM torture WHERE tag = {id}"
        )
    }

    fn check(&self, found: &str, rows: i64) {
        assert_eq!(found, format!("{rows} 0"), "rows of guest {}", self.id);
    }

    async fn read(&mut self) -> Result<(), Error> {
        let found = if self.dice.random_bool(0.5) {
            self.one(&self.count()).await?
        } else {
            self.client.query_one(&self.count(), &[]).await?.get(0)
        };
        if found != format!("{} 0", self.rows) {
            let later = (self.one(&self.count()).await?, self.one(WHERE).await?);
            panic!("guest {}: {} rows, not {found}, later {later:?}", self.id, self.rows);
        }
        Ok(())
    }

    async fn read_in_transaction(&mut self) -> Result<(), Error> {
        self.client.batch_execute("BEGIN READ ONLY").await?;
        let found = self.one(&self.count()).await?;
        self.client.batch_execute("COMMIT").await?;
        self.check(&found, self.rows);
        Ok(())
    }

    async fn write(&mut self) -> Result<(), Error> {
        let insert = "INSERT INTO torture VALUES ($1, 'of ' || $1::int)";
        self.client.execute(insert, &[&self.id]).await?;
        self.rows += 1;
        Ok(())
    }

    async fn transact(&mut self) -> Result<(), Error> {
        let insert = format!("INSERT INTO torture VALUES ({0}, 'of {0}')", self.id);
        self.client.batch_execute(&format!("BEGIN; {insert}; SAVEPOINT a")).await?;
        let mut rows = self.rows + 1;
        match self.dice.random_range(0..3) {
            0 => {
                self.client.batch_execute(&insert).await?;
                rows += 1;
            }
            1 => self.client.batch_execute(&format!("{insert}; ROLLBACK TO a")).await?,
            _ => {
                let failed = self.client.batch_execute("SELECT 1/0").await.unwrap_err();
                assert_eq!(failed.code(), Some(&SqlState::DIVISION_BY_ZERO));
                self.client.batch_execute("ROLLBACK TO a").await?;
            }
        }
        self.check(&self.one(&self.count()).await?, rows);
        if self.dice.random_bool(0.7) {
            self.client.batch_execute("COMMIT").await?;
            self.rows = rows;
        } else {
            self.client.batch_execute("ROLLBACK").await?;
        }
        Ok(())
    }

    async fn set(&mut self) -> Result<(), Error> {
        let value = self.dice.random_range(1000..9000);
        self.client.batch_execute(&format!("SET work_mem = {value}")).await?;
        self.work_mem = value;
        Ok(())
    }

    async fn set_and_undo(&mut self) -> Result<(), Error> {
        let value = self.dice.random_range(1000..9000);
        let scope = if self.dice.random_bool(0.5) { "LOCAL" } else { "SESSION" };
        self.client.batch_execute(&format!("BEGIN; SET {scope} work_mem = {value}")).await?;
        assert_eq!(self.one("SHOW work_mem").await?, memory(value));
        self.client.batch_execute("ROLLBACK").await
    }

    async fn look_at_settings(&mut self) -> Result<(), Error> {
        let found = self.one("SHOW work_mem").await?;
        if found != memory(self.work_mem) {
            let later = (self.one("SHOW work_mem").await?, self.one(WHERE).await?);
            panic!("guest {}: {} kB, not {found}, later {later:?}", self.id, self.work_mem);
        }
        let tag = self.one("SELECT current_setting('torture.tag')").await?;
        assert_eq!(tag, self.id.to_string());
        assert_eq!(self.one("SELECT tag FROM shadow").await?, "-1");
        Ok(())
    }

    async fn use_temporary_table(&mut self) -> Result<(), Error> {
        let id = self.id;
        let create = format!("CREATE TEMP TABLE shadow AS SELECT {id} AS tag");
        self.client.batch_execute(&create).await?;
        for _ in 0..3 {
            assert_eq!(self.one("SELECT tag FROM shadow").await?, id.to_string());
            self.write().await?;
        }
        if self.dice.random_bool(0.3) {
            self.leave().await;
            self.come_back().await;
            return Ok(());
        }
        self.client.batch_execute("DROP TABLE pg_temp.shadow").await
    }

    async fn take_lock(&mut self) -> Result<(), Error> {
        let id = self.id;
        let lock = format!("SELECT pg_advisory_lock({id})");
        self.client.batch_execute(&lock).await?;
        self.client.batch_execute(&lock).await?;
        self.read_in_transaction().await?;
        if self.dice.random_bool(0.3) {
            self.leave().await;
            self.come_back().await;
            return Ok(());
        }
        let unlock = format!("SELECT pg_advisory_unlock({id})");
        for _ in 0..2 {
            assert_eq!(self.one(&unlock).await?, "t");
        }
        Ok(())
    }

    async fn use_statements(&mut self) -> Result<(), Error> {
        let factor = self.dice.random_range(2..5);
        let text = format!("SELECT {} + {factor} * $1::int", self.id);
        self.statements.push((self.client.prepare(&text).await?, factor));
        for (statement, factor) in &self.statements {
            let found: i32 = self.client.query_one(statement, &[&7]).await?.get(0);
            assert_eq!(found, self.id + factor * 7);
        }
        if self.statements.len() > 3 {
            self.statements.remove(0);
        }
        Ok(())
    }

    async fn pipeline(&mut self) -> Result<(), Error> {
        let text = format!("SELECT {} + 1", self.id);
        let (before, failed, after) = tokio::join!(
            self.client.query_one(&text, &[]),
            self.client.query_one("SELECT 1 / (random() * 0)::int", &[]),
            self.client.query_one(&text, &[]),
        );
        let failed = failed.unwrap_err();
        if failed.code() != Some(&SqlState::DIVISION_BY_ZERO) {
            return Err(failed);
        }
        for row in [before?, after?] {
            assert_eq!(row.get::<_, i32>(0), self.id + 1);
        }
        Ok(())
    }

    async fn copy(&mut self) -> Result<(), Error> {
        let sink = self.client.copy_in("COPY torture FROM STDIN").await?;
        pin_mut!(sink);
        for _ in 0..5 {
            let line = format!("{0}\tof {0}\n", self.id);
            sink.send(bytes::Bytes::from(line)).await?;
        }
        self.rows += i64::try_from(sink.finish().await?).unwrap();
        let select = format!("COPY (SELECT body FROM torture WHERE tag = {}) TO STDOUT", self.id);
        let stream = self.client.copy_out(&format!("/* pglagoon: primary */ {select}")).await?;
        let lines: Vec<_> = stream.collect().await;
        assert_eq!(i64::try_from(lines.len()).unwrap(), self.rows);
        Ok(())
    }

    async fn cancel(&mut self) -> Result<(), Error> {
        let token = self.client.cancel_token();
        let is_awake = AtomicBool::new(false);
        let sleep = async {
            let slept = self.client.batch_execute("SELECT pg_sleep(600)").await;
            is_awake.store(true, Ordering::Relaxed);
            slept.unwrap_err()
        };
        let cancels = async {
            while !is_awake.load(Ordering::Relaxed) {
                let _ = token.cancel_query(NoTls).await;
            }
        };
        let (failure, ()) = tokio::join!(sleep, cancels);
        assert_eq!(failure.code(), Some(&SqlState::QUERY_CANCELED));
        // A cancel that comes late may hit the next statement, as it may without a pooler.
        self.leave().await;
        self.come_back().await;
        Ok(())
    }

    async fn listen(&mut self) -> Result<(), Error> {
        let channel = format!("channel{}", self.dice.random_range(0..10));
        if self.listens.contains(&channel) {
            self.client.batch_execute(&format!("UNLISTEN {channel}")).await?;
            self.listens.retain(|known| *known != channel);
        } else {
            self.client.batch_execute(&format!("LISTEN {channel}")).await?;
            self.listens.push(channel);
        }
        Ok(())
    }

    async fn notify(&mut self) -> Result<(), Error> {
        let channel = format!("channel{}", self.dice.random_range(0..10));
        let notify = format!("NOTIFY {channel}, '{channel} of {}'", self.id);
        self.client.batch_execute(&notify).await
    }

    /// Leaves in the midst of something that must not have happened then.
    async fn vanish(&mut self) -> Result<(), Error> {
        let insert = format!("INSERT INTO torture VALUES ({}, 'never')", self.id);
        let doing = match self.dice.random_range(0..4) {
            0 => format!("BEGIN; {insert}"),
            1 => format!("BEGIN; {insert}; SELECT pg_sleep(600)"),
            2 => "COPY torture FROM STDIN".to_owned(),
            _ => "SELECT * FROM generate_series(1, 1000000)".to_owned(),
        };
        let _ = tokio::time::timeout(
            Duration::from_millis(self.dice.random_range(0..30)),
            self.client.simple_query(&doing),
        )
        .await;
        self.leave().await;
        self.come_back().await;
        Ok(())
    }
}

/// As SHOW has it.
fn memory(kilobytes: i32) -> String {
    if kilobytes % 1024 == 0 { format!("{}MB", kilobytes / 1024) } else { format!("{kilobytes}kB") }
}
