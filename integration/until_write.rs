//! Transactions that run on a replica until they write, or because they say that they will not.

use tokio::sync::mpsc::Receiver;
use tokio_postgres::{Client, error::SqlState};

use crate::{
    fixture::{client, eventually, on_each_version, one, shared_cluster, unique},
    own_parameters::listener,
    pooler::Pooler,
};

on_each_version!(
    a_transaction_reads_on_replicas_until_it_writes,
    what_fails_on_a_replica_fails_the_transaction,
    a_transaction_that_is_set_read_only_runs_on_a_replica,
);

const KEYS: [(&str, &str); 2] =
    [("routing.read_only_until_write", "true"), ("routing.read_wait", "\"30s\"")];

/// A table with one row, and a client that is told where its statements run.
struct Stage {
    client: Client,
    told: Receiver<String>,
    table: String,
}

impl Stage {
    async fn set(pooler: &Pooler) -> Self {
        let (client, told) = listener(&pooler.url()).await;
        let table = unique("until");
        let sql = format!("CREATE TABLE {table} (n int); INSERT INTO {table} VALUES (1)");
        client.batch_execute(&sql).await.unwrap();
        client.batch_execute("SET pglagoon.explain = on").await.unwrap();
        let mut stage = Self { client, told, table };
        let read = stage.read();
        eventually("the table to be read on a replica", async || {
            let place = stage.run(&read).await;
            place.contains(": replica").then_some(())
        })
        .await;
        stage
    }

    fn read(&self) -> String {
        format!("SELECT n FROM {}", self.table)
    }

    /// Runs a statement and returns where, and why there; nothing if no server was troubled.
    async fn run(&mut self, sql: &str) -> String {
        while self.told.try_recv().is_ok() {}
        let _ = self.client.simple_query(sql).await;
        let mut last = String::new();
        while let Ok(notice) = self.told.try_recv() {
            last = notice;
        }
        last
    }

    /// Runs statements, each of which must run in this place.
    async fn follow(&mut self, story: &[(&str, &str)]) {
        for (sql, place) in story {
            let sql = sql.replace("ROWS", &self.table);
            let told = self.run(&sql).await;
            let is_there = told.contains(place) && told.is_empty() == place.is_empty();
            assert!(is_there, "{sql} of {story:?}: {told}");
        }
    }
}

async fn a_transaction_reads_on_replicas_until_it_writes(major: u16) {
    let pooler = Pooler::start(shared_cluster(major).await, &KEYS).await;
    let mut stage = Stage::set(&pooler).await;
    for (begin, read) in [
        ("BEGIN", "SELECT n FROM ROWS"),
        ("START TRANSACTION READ WRITE", "SELECT n FROM ROWS; SELECT 1"),
        ("BEGIN ISOLATION LEVEL READ COMMITTED", "VALUES ((SELECT n FROM ROWS))"),
    ] {
        stage
            .follow(&[
                (begin, ""),
                (read, ": replica"),
                (read, ": replica"),
                ("UPDATE ROWS SET n = n + 1", "primary (write)"),
                (read, "primary (in_transaction)"),
                ("COMMIT", "primary (in_transaction)"),
                (begin, ""),
                // What the session has written it reads.
                ("SELECT 1 / n FROM ROWS", ": replica"),
                ("COMMIT", ""),
            ])
            .await;
    }
    let read = stage.read();
    assert_eq!(one(&stage.client, &read).await, "4");
    stage
        .follow(&[("BEGIN", ""), ("UPDATE ROWS SET n = 0", "primary"), ("ROLLBACK", "primary")])
        .await;
    assert_eq!(one(&stage.client, &read).await, "4");
    // What more than its own snapshot decides is the primary's, and then all is.
    for (sql, place) in [
        ("SELECT now(), n FROM ROWS", "primary (transaction)"),
        ("SAVEPOINT a", "primary (trivial)"),
        ("SET LOCAL work_mem = '2MB'", "primary"),
        ("SELECT n FROM ROWS FOR UPDATE", "primary (locking)"),
        ("BEGIN", "already a transaction"),
    ] {
        stage
            .follow(&[
                ("BEGIN", ""),
                ("SELECT n FROM ROWS", ": replica"),
                (sql, place),
                ("SELECT n FROM ROWS", "primary (in_transaction)"),
                ("COMMIT", "primary (in_transaction)"),
            ])
            .await;
    }
    for begin in ["BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN ISOLATION LEVEL SERIALIZABLE"] {
        stage
            .follow(&[(begin, "primary"), ("SELECT n FROM ROWS", "primary"), ("END", "primary")])
            .await;
    }
    portals_that_live_on_are_the_primarys(&mut stage).await;
    a_transaction_that_the_server_may_end_begins_there(&mut stage, major).await;
    pooler.check();
}

/// A server cannot end what it does not know of.
async fn a_transaction_that_the_server_may_end_begins_there(stage: &mut Stage, major: u16) {
    let timeouts = [(13, "idle_in_transaction_session_timeout"), (17, "transaction_timeout")];
    for (_, timeout) in timeouts.into_iter().filter(|(since, _)| *since <= major) {
        stage.client.batch_execute(&format!("SET {timeout} = '1h'")).await.unwrap();
        stage
            .follow(&[
                ("BEGIN", "primary"),
                ("SELECT n FROM ROWS", "primary"),
                ("COMMIT", "primary"),
            ])
            .await;
        stage.client.batch_execute(&format!("RESET {timeout}")).await.unwrap();
        stage.follow(&[("BEGIN", ""), ("COMMIT", "")]).await;
    }
}

/// A driver that fetches row by row, and one that does not.
async fn portals_that_live_on_are_the_primarys(stage: &mut Stage) {
    let sql = format!("INSERT INTO {} SELECT generate_series(5, 9)", stage.table);
    stage.client.batch_execute(&sql).await.unwrap();
    let statement = stage.client.prepare(&stage.read()).await.unwrap();
    let transaction = stage.client.transaction().await.unwrap();
    assert_eq!(transaction.query(&statement, &[]).await.unwrap().len(), 6);
    let portal = transaction.bind(&statement, &[]).await.unwrap();
    let mut rows = 0;
    for _ in 0..3 {
        rows += transaction.query_portal(&portal, 2).await.unwrap().len();
    }
    assert_eq!(rows, 6);
    transaction.commit().await.unwrap();
    let places: Vec<String> = std::iter::from_fn(|| stage.told.try_recv().ok()).collect();
    let first = |word: &str| places.iter().position(|place| place.contains(word));
    assert!(first("replica") < first("primary (transaction)"), "{places:?}");
}

async fn what_fails_on_a_replica_fails_the_transaction(major: u16) {
    let pooler = Pooler::start(shared_cluster(major).await, &KEYS).await;
    let mut stage = Stage::set(&pooler).await;
    stage
        .follow(&[
            ("BEGIN", ""),
            ("SELECT 1 / (n - 1) FROM ROWS", ": replica"),
            ("COMMIT", ""),
            ("BEGIN", ""),
            ("SELECT 1 / (n - 1) FROM ROWS", ": replica"),
            ("SELECT n FROM ROWS", "primary (transaction)"),
        ])
        .await;
    stage.run("ROLLBACK").await;
    let client = &stage.client;
    client.batch_execute("SET pglagoon.explain = off").await.unwrap();
    let (read, write) = (stage.read(), format!("UPDATE {} SET n = 0", stage.table));
    for is_simple in [true, false] {
        let run = async |sql: &str| {
            if is_simple {
                client.batch_execute(sql).await
            } else {
                client.execute(sql, &[]).await.map(drop)
            }
        };
        for end in ["ROLLBACK", "COMMIT"] {
            for more in [&[][..], &["SELECT 1", &write, "SAVEPOINT a"]] {
                client.batch_execute("BEGIN").await.unwrap();
                run(&read).await.unwrap();
                let error = run(&format!("SELECT 1 / (n - 1) FROM {}", stage.table)).await;
                assert_eq!(error.unwrap_err().code(), Some(&SqlState::DIVISION_BY_ZERO));
                for sql in more {
                    let error = run(sql).await.unwrap_err();
                    assert_eq!(error.code(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION), "{sql}");
                }
                run(end).await.unwrap();
                assert_eq!(one(client, &read).await, "1");
            }
        }
    }
    pooler.check();
}

async fn a_transaction_that_is_set_read_only_runs_on_a_replica(major: u16) {
    // It needs no consent.
    let pooler = Pooler::start(shared_cluster(major).await, &KEYS[1..]).await;
    let mut stage = Stage::set(&pooler).await;
    for (begin, set) in [
        ("BEGIN", "SET TRANSACTION READ ONLY"),
        (
            "START TRANSACTION READ WRITE",
            "set transaction isolation level repeatable read, read only;",
        ),
    ] {
        stage
            .follow(&[
                (begin, "primary (transaction)"),
                (set, ": replica"),
                ("SELECT n FROM ROWS", ": replica"),
                ("UPDATE ROWS SET n = 2", ": replica"),
            ])
            .await;
        stage.run("ROLLBACK").await;
        stage
            .follow(&[
                // Not the first statement, not read-only, or not for a standby.
                (begin, "primary (transaction)"),
                ("UPDATE ROWS SET n = n + 1", "primary"),
                ("SET TRANSACTION READ ONLY", "primary (in_transaction)"),
                ("COMMIT", "primary"),
                ("BEGIN ISOLATION LEVEL SERIALIZABLE", "primary"),
                ("SET TRANSACTION READ ONLY", "primary (in_transaction)"),
                ("COMMIT", "primary"),
            ])
            .await;
    }
    let read = stage.read();
    assert_eq!(one(&stage.client, &read).await, "3");
    // In one packet with what follows, which stays where it is.
    let pipelined = client(&pooler.url()).await;
    let update = format!("UPDATE {} SET n = n + 1", stage.table);
    let (begun, updated, set) = tokio::join!(
        pipelined.batch_execute("BEGIN"),
        pipelined.batch_execute(&update),
        pipelined.batch_execute("SET TRANSACTION READ ONLY"),
    );
    begun.and(updated).and(set).unwrap();
    pipelined.batch_execute("SET TRANSACTION READ ONLY").await.unwrap();
    pipelined.batch_execute("COMMIT").await.unwrap();
    assert_eq!(one(&pipelined, &read).await, "4");
    pooler.check();
}
