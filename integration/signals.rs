//! SIGTERM, SIGINT and SIGHUP: what clients see of pgLagoon's end, and of another configuration.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, error::SqlState};

use crate::{
    fixture::{await_running, client, eventually, on_each_version, rows, shared_cluster, unique},
    pooler::Pooler,
};

on_each_version!(
    sigterm_lets_a_transaction_finish,
    the_grace_period_ends_what_does_not_end_by_itself,
    sigint_ends_everything_at_once,
    sigint_cuts_the_grace_period_short,
    sighup_and_reload_read_the_file_again,
);

/// A client, and what becomes of its connection.
struct Witness {
    client: Client,
    end: JoinHandle<Result<(), tokio_postgres::Error>>,
}

impl Witness {
    async fn connect(pooler: &Pooler) -> Self {
        let (client, connection) = tokio_postgres::connect(&pooler.url(), NoTls).await.unwrap();
        Self { client, end: tokio::spawn(connection) }
    }

    /// Waits until it has been told to go, and why.
    async fn sent_away(self) {
        let error = self.end.await.unwrap().unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::ADMIN_SHUTDOWN), "{error:?}");
    }
}

async fn sigterm_lets_a_transaction_finish(major: u16) {
    let cluster = shared_cluster(major).await;
    let pooler = Pooler::start(cluster, &[]).await;
    let table = unique("finished");
    let busy = Witness::connect(&pooler).await;
    busy.client.batch_execute(&format!("CREATE TABLE {table} (x int); BEGIN")).await.unwrap();
    let insert = format!("INSERT INTO {table} VALUES (1)");
    busy.client.batch_execute(&insert).await.unwrap();
    let idle = Witness::connect(&pooler).await;
    pooler.signal("TERM");
    idle.sent_away().await;
    eventually("the door to close", async || {
        tokio_postgres::connect(&pooler.url(), NoTls).await.is_err().then_some(())
    })
    .await;
    busy.client.batch_execute(&insert).await.unwrap();
    busy.client.batch_execute("COMMIT").await.unwrap();
    busy.sent_away().await;
    assert!(pooler.ended().await.success());
    assert_eq!(count(major, &table).await, 2);
}

async fn the_grace_period_ends_what_does_not_end_by_itself(major: u16) {
    let keys = [("timeouts.shutdown_grace", "\"300ms\"")];
    let pooler = Pooler::start(shared_cluster(major).await, &keys).await;
    let table = unique("graceless");
    let busy = Witness::connect(&pooler).await;
    busy.client.batch_execute(&format!("CREATE TABLE {table} (x int)")).await.unwrap();
    busy.client.batch_execute(&format!("BEGIN; INSERT INTO {table} VALUES (1)")).await.unwrap();
    let began = Instant::now();
    pooler.signal("TERM");
    busy.sent_away().await;
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert!(pooler.ended().await.success());
    assert_eq!(count(major, &table).await, 0);
}

async fn sigint_ends_everything_at_once(major: u16) {
    let keys = [("databases.app.replicas", "[]")];
    let pooler = Pooler::start(shared_cluster(major).await, &keys).await;
    let idle = Witness::connect(&pooler).await;
    let busy = Witness::connect(&pooler).await;
    busy.client.batch_execute("BEGIN; SELECT 1").await.unwrap();
    let running = Witness::connect(&pooler).await;
    let sleep = format!("SELECT pg_sleep(60) AS {}", unique("interrupted"));
    let statement = running.client.batch_execute(&sleep);
    let interrupt = async {
        await_running(shared_cluster(major).await, &sleep, 1).await;
        pooler.signal("INT");
    };
    let (result, ()) = tokio::join!(statement, interrupt);
    assert_eq!(result.unwrap_err().code(), Some(&SqlState::ADMIN_SHUTDOWN));
    idle.sent_away().await;
    busy.sent_away().await;
    assert!(pooler.ended().await.success());
}

async fn sigint_cuts_the_grace_period_short(major: u16) {
    let pooler = Pooler::start(shared_cluster(major).await, &[]).await;
    let busy = Witness::connect(&pooler).await;
    busy.client.batch_execute("BEGIN; SELECT 1").await.unwrap();
    let idle = Witness::connect(&pooler).await;
    pooler.signal("TERM");
    idle.sent_away().await;
    pooler.signal("INT");
    let began = Instant::now();
    assert!(pooler.ended().await.success());
    assert!(began.elapsed() < Duration::from_secs(20), "the grace period is 30 s");
    assert!(busy.end.await.unwrap().is_err());
}

/// What holds is taken over, and a file that is wrong changes nothing. Clients notice neither.
async fn sighup_and_reload_read_the_file_again(major: u16) {
    let keys = [("admin.admin_users", "[\"app\"]"), ("pool.query_wait_timeout", "\"11s\"")];
    let pooler = Pooler::start(shared_cluster(major).await, &keys).await;
    let busy = client(&pooler.url()).await;
    busy.batch_execute("BEGIN; CREATE TEMP TABLE kept (x int)").await.unwrap();
    pooler.configure("\"11s\"", "\"12s\"");
    pooler.signal("HUP");
    eventually("the new value", async || (waits_for(&pooler).await == "12s").then_some(())).await;
    pooler.configure("\"12s\"", "\"13s\"\npool.no_such_key = 1");
    pooler.signal("HUP");
    eventually("the refusal", async || pooler.log().contains("pool.no_such_key").then_some(()))
        .await;
    assert_eq!(waits_for(&pooler).await, "12s");
    let operator = pooler.operator().await;
    let error = operator.batch_execute("RELOAD").await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::CONFIG_FILE_ERROR), "{error:?}");
    assert!(error.as_db_error().unwrap().message().contains("pool.no_such_key"), "{error:?}");
    pooler.configure("\npool.no_such_key = 1", "");
    operator.batch_execute("RELOAD").await.unwrap();
    assert_eq!(waits_for(&pooler).await, "13s");
    busy.batch_execute("SELECT * FROM kept; COMMIT").await.unwrap();
    pooler.check();
}

/// `pool.query_wait_timeout`, as SHOW CONFIG has it.
async fn waits_for(pooler: &Pooler) -> String {
    let rows = rows(&pooler.operator().await, "SHOW CONFIG").await;
    let row = rows.iter().find(|row| row.get("key") == Some("pool.query_wait_timeout"));
    row.unwrap().get("value").unwrap().to_owned()
}

async fn count(major: u16, table: &str) -> i64 {
    let primary = client(&shared_cluster(major).await.primary().url()).await;
    primary.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0)
}
