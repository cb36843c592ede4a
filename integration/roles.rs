//! Nodes that are not what they are configured to be, and a primary that comes and goes.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use futures_util::future::join_all;
use tokio_postgres::{Client, NoTls, error::SqlState};

use crate::{
    fixture::{client, eventually, on_each_version, own_cluster, unique},
    pooler::Pooler,
};

on_each_version!(
    a_standby_that_is_configured_as_primary_gets_no_writes,
    a_primary_that_is_configured_as_replica_gets_no_reads,
    the_primary_is_the_primary_wherever_it_is_configured,
    a_promoted_replica_gets_no_reads_where_promotions_are_not_followed,
    a_restarted_primary_is_used_again_at_once,
);

async fn a_standby_that_is_configured_as_primary_gets_no_writes(major: u16) {
    let cluster = own_cluster(major).start().await.unwrap();
    let (primary, replica) = (cluster.replica(0).unwrap(), cluster.replica(1).unwrap());
    let keys = [("pool.query_wait_timeout", "\"200ms\"")];
    let pooler = Pooler::start_with(&cluster, (primary, &[replica]), &keys).await;
    await_log(&pooler, "no node is fit to be the primary").await;
    let client = client(&pooler.url()).await;
    let error = client.batch_execute("CREATE TABLE nowhere (x int)").await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::CANNOT_CONNECT_NOW), "{error:?}");
    let message = error.as_db_error().unwrap().message();
    assert!(message.contains("no primary could be reached within"), "{message}");
    let log = primary.log();
    assert!(!log.contains("read-only transaction"), "{log}");
    pooler.check();
}

async fn a_primary_that_is_configured_as_replica_gets_no_reads(major: u16) {
    let cluster = own_cluster(major).start().await.unwrap();
    let other = own_cluster(major).replicas(0).start().await.unwrap();
    let replicas = [cluster.replica(0).unwrap(), other.primary()];
    let pooler = Pooler::start_with(&cluster, (cluster.primary(), &replicas), &[]).await;
    await_log(&pooler, "has another system identifier than the primary").await;
    reads_go_to(&pooler, &replicas[0].client().await.unwrap()).await;
}

async fn the_primary_is_the_primary_wherever_it_is_configured(major: u16) {
    let cluster = own_cluster(major).start().await.unwrap();
    let (standby, primary) = (cluster.replica(0).unwrap(), cluster.primary());
    let replicas = [cluster.replica(1).unwrap(), primary];
    let pooler = Pooler::start_with(&cluster, (standby, &replicas), &[]).await;
    reads_go_to(&pooler, &standby.client().await.unwrap()).await;
}

async fn a_promoted_replica_gets_no_reads_where_promotions_are_not_followed(major: u16) {
    let cluster = own_cluster(major).start().await.unwrap();
    let keys = [("routing.return_delay", "\"100ms\""), ("routing.follow_promotion", "false")];
    let pooler = Pooler::start(&cluster, &keys).await;
    let writer = client(&pooler.url()).await;
    writer.batch_execute("CREATE TABLE split (x int)").await.unwrap();
    cluster.wait_caught_up().await.unwrap();
    let stray = cluster.replica(0).unwrap();
    stray.execute("SELECT pg_promote(true, 60)").await.unwrap();
    await_log(&pooler, "configured as replica but is not in recovery").await;
    stray.execute("INSERT INTO split VALUES (666)").await.unwrap();
    for round in 1..=200_i64 {
        writer.batch_execute("INSERT INTO split VALUES (1)").await.unwrap();
        let found: i64 = writer.query_one("SELECT sum(x) FROM split", &[]).await.unwrap().get(0);
        assert_eq!(found, round);
    }
    pooler.check();
}

/// Reads of this pooler run on the node of this client, among others perhaps, and writes on the primary.
async fn reads_go_to(pooler: &Pooler, replica: &Client) {
    let table = unique("only");
    let reader = client(&pooler.url()).await;
    reader.batch_execute(&format!("CREATE TABLE {table} AS SELECT 1 AS x")).await.unwrap();
    let scans = format!("SELECT seq_scan > 0 FROM pg_stat_user_tables WHERE relname = '{table}'");
    // The catalog must have been read again before anything but the primary may answer for a new table.
    eventually("reads on the good replica", async || {
        for _ in 0..200 {
            reader.batch_execute(&format!("SELECT x FROM {table}")).await.unwrap();
        }
        let row = replica.query_opt(&scans, &[]).await.unwrap();
        row.is_some_and(|row| row.get(0)).then_some(())
    })
    .await;
    pooler.check();
}

async fn await_log(pooler: &Pooler, text: &str) {
    eventually(text, async || pooler.log().contains(text).then_some(())).await;
}

async fn a_restarted_primary_is_used_again_at_once(major: u16) {
    let cluster = own_cluster(major).start().await.unwrap();
    let pooler = Pooler::start(&cluster, &[("pool.server_login_retry", "\"50ms\"")]).await;
    let table = unique("restarted");
    let idle = client(&pooler.url()).await;
    idle.batch_execute(&format!("CREATE TABLE {table} (x int)")).await.unwrap();
    let (stop, done) = (AtomicBool::new(false), AtomicU32::new(0));
    let workers = join_all((0..8).map(|_| write_through(&pooler, &table, &stop, &done)));
    let restarts = async {
        for _ in 0..3 {
            let before = done.load(Ordering::Relaxed);
            eventually("writes", async || {
                (done.load(Ordering::Relaxed) > before + 50).then_some(())
            })
            .await;
            cluster.primary().restart().await.unwrap();
        }
        let before = done.load(Ordering::Relaxed);
        eventually("writes after the last restart", async || {
            (done.load(Ordering::Relaxed) > before + 50).then_some(())
        })
        .await;
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(workers, restarts);
    // Whoever said nothing meanwhile has noticed nothing.
    idle.batch_execute("SELECT 1").await.unwrap();
    // Asked of the primary: a replica need not have yet what others wrote.
    let count = format!("SELECT count(*) FROM {table}");
    let direct = client(&cluster.primary().url()).await;
    let count: i64 = direct.query_one(&count, &[]).await.unwrap().get(0);
    assert!(count >= i64::from(done.load(Ordering::Relaxed)), "acknowledged writes are there");
    pooler.check();
}

/// Writes until told to stop. What fails must fail as it would at a direct connection; a connection that is
/// lost with its server is made again.
async fn write_through(pooler: &Pooler, table: &str, stop: &AtomicBool, done: &AtomicU32) {
    let insert = format!("INSERT INTO {table} VALUES (1)");
    let mut connected: Option<Client> = None;
    while !stop.load(Ordering::Relaxed) {
        let client = match connected.take() {
            Some(client) => client,
            None => match tokio_postgres::connect(&pooler.url(), NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    client
                }
                Err(error) => {
                    assert_expected(&error);
                    continue;
                }
            },
        };
        match client.batch_execute(&insert).await {
            Ok(()) => {
                done.fetch_add(1, Ordering::Relaxed);
                connected = Some(client);
            }
            Err(error) => {
                assert_expected(&error);
                if !client.is_closed() {
                    connected = Some(client);
                }
            }
        }
    }
}

/// What PostgreSQL says, or would say, while it goes and comes.
fn assert_expected(error: &tokio_postgres::Error) {
    let expected = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::CONNECTION_FAILURE,
        SqlState::CRASH_SHUTDOWN,
    ];
    let is_expected = error.code().is_none_or(|code| expected.contains(code));
    assert!(is_expected, "{error:?}");
}
