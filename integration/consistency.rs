//! A client reads what it has written, whatever happens to the replicas.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use pglagoon::demo::Cluster;
use tokio_postgres::Client;

use crate::{
    fixture::{at_each_door, client, eventually, on_each_version, own_cluster, unique},
    pooler::Pooler,
    trouble::trouble,
};

at_each_door!(every_write_is_read_back);

on_each_version!(
    writes_are_read_back_while_replicas_are_in_trouble,
    no_read_is_stale_when_every_replica_is_late,
    no_read_is_stale_when_one_replica_is_late,
);

/// Clients that write and read at the same time, each in its own row.
const CLIENTS: i32 = 16;

async fn every_write_is_read_back(url: &str) {
    let pairs = Pairs::prepare(url).await;
    let clients = (0..CLIENTS).map(|row| async move {
        let client = client(url).await;
        (row, client)
    });
    let clients = join_all(clients).await;
    let pairs = &pairs;
    join_all(clients.iter().map(|(row, client)| async move {
        for turn in 1..=100 {
            pairs.write_and_read_back(client, *row, turn).await;
        }
    }))
    .await;
    assert_eq!(pairs.made.load(Ordering::Relaxed), 1600);
}

async fn writes_are_read_back_while_replicas_are_in_trouble(major: u16) {
    let cluster = own_cluster(major).start().await.unwrap();
    let pooler = Pooler::start(&cluster, &[("routing.return_delay", "\"100ms\"")]).await;
    let pairs = Pairs::prepare(&pooler.url()).await;
    let clients = join_all((0..CLIENTS).map(async |row| {
        let client = client(&pooler.url()).await;
        // Settings of its own, which every server has to take on.
        client.batch_execute(&format!("SET lock_timeout = '{}s'", row + 60)).await.unwrap();
        for turn in 1.. {
            pairs.write_and_read_back(&client, row, turn).await;
        }
    }));
    tokio::select! {
        () = trouble(&cluster, &pairs.made) => {}
        _ = clients => unreachable!(),
    }
    assert!(pairs.made.load(Ordering::Relaxed) > 100);
    cluster.wait_caught_up().await.unwrap();
    pooler.check();
}

/// How late replicas are, while clients must not notice.
const DELAY: Duration = Duration::from_millis(300);

async fn no_read_is_stale_when_every_replica_is_late(major: u16) {
    let cluster = own_cluster(major).delay(0, DELAY).delay(1, DELAY).start().await.unwrap();
    many_pairs(&cluster).await;
}

async fn no_read_is_stale_when_one_replica_is_late(major: u16) {
    let cluster = own_cluster(major).delay(0, DELAY).start().await.unwrap();
    let table = many_pairs(&cluster).await;
    // The other one is what they were read from, at least now and then.
    let sql = format!("SELECT idx_scan > 0 FROM pg_stat_user_tables WHERE relname = '{table}'");
    let replica = cluster.replica(1).unwrap();
    eventually("reads on the replica that is not late", async || {
        (replica.query_text(&sql).await.unwrap().as_deref() == Some("t")).then_some(())
    })
    .await;
}

/// Writes and reads back 25,000 times, so that all tests make 100,000 pairs.
async fn many_pairs(cluster: &Cluster) -> String {
    const MANY: i32 = 100;
    let pooler = Pooler::start(cluster, &[("routing.max_lag", "\"5s\"")]).await;
    let pairs = Pairs::prepare(&pooler.url()).await;
    join_all((0..MANY).map(async |row| {
        let client = client(&pooler.url()).await;
        let write = client.prepare(&pairs.write).await.unwrap();
        let read = client.prepare(&pairs.read).await.unwrap();
        for turn in 1..=250 {
            client.execute(&write, &[&row, &turn]).await.unwrap();
            let found: i32 = client.query_one(&read, &[&row]).await.unwrap().get(0);
            assert_eq!(found, turn, "a stale read in row {row}");
            pairs.made.fetch_add(1, Ordering::Relaxed);
        }
    }))
    .await;
    assert_eq!(pairs.made.load(Ordering::Relaxed), 25_000);
    pooler.check();
    pairs.table
}

/// Writes, each read back at once by the same client.
struct Pairs {
    table: String,
    write: String,
    read: String,
    made: AtomicU32,
}

impl Pairs {
    async fn prepare(url: &str) -> Self {
        let table = unique("pairs");
        let create = format!(
            "CREATE TABLE {table} (id int PRIMARY KEY, turn int NOT NULL);
             INSERT INTO {table} SELECT i, 0 FROM generate_series(0, 99) AS i"
        );
        client(url).await.batch_execute(&create).await.unwrap();
        Self {
            write: format!("UPDATE {table} SET turn = $2 WHERE id = $1"),
            read: format!("SELECT turn FROM {table} WHERE id = $1"),
            made: AtomicU32::new(0),
            table,
        }
    }

    async fn write_and_read_back(&self, client: &Client, row: i32, turn: i32) {
        client.execute(&self.write, &[&row, &turn]).await.unwrap();
        let found: i32 = client.query_one(&self.read, &[&row]).await.unwrap().get(0);
        assert_eq!(found, turn, "a stale read in row {row}");
        self.made.fetch_add(1, Ordering::Relaxed);
    }
}
