//! Replicas that fail, all at once or one for long: reads go elsewhere, and the primary is not flooded.

use std::{
    future::pending,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use pglagoon::demo::{Node, Shutdown};
use tokio_postgres::{NoTls, error::SqlState};

use crate::{
    fixture::{client, eventually, on_each_version, own_cluster, rows},
    pooler::Pooler,
};

on_each_version!(
    reads_that_all_replicas_fail_take_their_share_of_the_primary,
    a_standby_that_starts_up_is_not_missed,
);

/// Takes for ever on a replica, and a moment on the primary.
const READ: &str = "SELECT pg_sleep(CASE WHEN pg_is_in_recovery() THEN 600 ELSE 0.05 END)";

const READERS: u32 = 12;
const READS: u32 = 4;

async fn reads_that_all_replicas_fail_take_their_share_of_the_primary(major: u16) {
    let cluster = own_cluster(major).start().await.unwrap();
    let keys = [
        ("routing.safe_functions", "[\"pg_is_in_recovery\"]"),
        ("routing.max_lag", "\"1min\""),
        ("routing.primary_read_share", "25"),
        ("pool.default_pool_size", "8"),
        ("http.address", "\"127.0.0.1:0\""),
    ];
    let pooler = Pooler::start(&cluster, &keys).await;
    let url = pooler.url();
    let sql = "CREATE TABLE written (n int); SELECT 1";
    client(&url).await.batch_execute(sql).await.unwrap();
    let replicated = "pglagoon_routed_total{database=\"app\",reason=\"read\"}";
    eventually("replicas to be there", async || {
        let reader = client(&url).await;
        reader.batch_execute("SELECT 1").await.unwrap();
        pooler.metrics().await.contains(replicated).then_some(())
    })
    .await;
    let (most, written) = (AtomicU32::new(0), AtomicU32::new(0));
    let storm = join_all(cluster.replicas().map(terminate));
    let watch = count(cluster.primary(), &most);
    let write = async {
        let writer = client(&url).await;
        loop {
            writer.batch_execute("INSERT INTO written VALUES (1)").await.unwrap();
            written.fetch_add(1, Ordering::Relaxed);
        }
    };
    let reads = join_all((0..READERS).map(async |_| {
        let reader = client(&url).await;
        for _ in 0..READS {
            reader.batch_execute(READ).await.unwrap();
        }
    }));
    tokio::select! {
        _ = storm => unreachable!(),
        () = watch => unreachable!(),
        () = write => unreachable!(),
        _ = reads => {}
    }
    // A quarter of eight connections.
    let most = most.load(Ordering::Relaxed);
    assert!((1..=2).contains(&most), "{most} reads on the primary at once");
    assert!(written.load(Ordering::Relaxed) > 0);
    let failed = pooler.metric("pglagoon_routed_total{database=\"app\",reason=\"replica_failed\"}");
    let again = pooler.metric("pglagoon_replays_total{database=\"app\",user=\"app\"}");
    let shown = pooler.metric("pglagoon_errors_total{database=\"app\",user=\"app\"}");
    assert!(failed.await >= f64::from(READERS * READS));
    assert!(again.await >= f64::from(READERS * READS));
    assert!(shown.await == 0.0, "clients were shown errors");
    pooler.check();
}

/// Ends the servers that run the read as soon as they do.
async fn terminate(replica: &Node) {
    let executioner = replica.client().await.unwrap();
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = $1 AND state = 'active'";
    loop {
        executioner.query(sql, &[&READ]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Keeps the greatest number of reads that run at once.
async fn count(node: &Node, most: &AtomicU32) {
    let watcher = node.client().await.unwrap();
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE query = $1 AND state = 'active'";
    loop {
        let count: i64 = watcher.query_one(sql, &[&READ]).await.unwrap().get(0);
        most.fetch_max(u32::try_from(count).unwrap(), Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn a_standby_that_starts_up_is_not_missed(major: u16) {
    let cluster = own_cluster(major).start().await.unwrap();
    let keys = [("routing.return_delay", "\"100ms\""), ("admin.admin_users", "[\"app\"]")];
    let pooler = Pooler::start(&cluster, &keys).await;
    let url = pooler.url();
    let operator = pooler.operator().await;
    client(&url).await.batch_execute("CREATE TABLE t AS SELECT 1 AS n").await.unwrap();
    let done = AtomicU32::new(0);
    let readers = join_all((0..4).map(async |_| {
        let reader = client(&url).await;
        loop {
            reader.batch_execute("SELECT n FROM t").await.unwrap();
            done.fetch_add(1, Ordering::Relaxed);
        }
    }));
    let goes_on = async || {
        let enough = done.load(Ordering::Relaxed) + 200;
        eventually("reads", async || (done.load(Ordering::Relaxed) > enough).then_some(())).await;
    };
    let replica = cluster.replica(0).unwrap();
    let state = async |wanted: &str| {
        let port = format!(":{}", replica.port());
        eventually(wanted, async || {
            let rows = rows(&operator, "SHOW NODES").await;
            let row = rows.iter().find(|row| row.get("node").unwrap().ends_with(&port)).unwrap();
            (row.get("state") == Some(wanted)).then_some(())
        })
        .await;
    };
    let play = async {
        state("up").await;
        goes_on().await;
        replica.alter("hot_standby", "off").await.unwrap();
        replica.stop(Shutdown::Fast).await.unwrap();
        let starts = async {
            // It never takes connections, which is what this would wait for.
            let _ = replica.start().await;
            pending::<()>().await;
        };
        let watch = async {
            eventually("57P03", async || {
                let refusal = tokio_postgres::connect(&replica.url(), NoTls).await.err()?;
                (refusal.code() == Some(&SqlState::CANNOT_CONNECT_NOW)).then_some(())
            })
            .await;
            state("down").await;
            goes_on().await;
        };
        tokio::select! {
            () = starts => unreachable!(),
            () = watch => {}
        }
        replica.stop(Shutdown::Fast).await.unwrap();
        cluster.rejoin(replica).await.unwrap();
        state("up").await;
        goes_on().await;
    };
    tokio::select! {
        _ = readers => unreachable!(),
        () = play => {}
    }
    pooler.check();
}
