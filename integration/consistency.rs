//! A client reads what it has written, whatever happens to the replicas.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use pglagoon::demo::{Cluster, Shutdown};
use tokio_postgres::Client;

use crate::fixture::{at_each_door, client, on_each_version, own_cluster, unique};

at_each_door!(every_write_is_read_back);

on_each_version!(writes_are_read_back_while_replicas_are_in_trouble);

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
    let url = cluster.primary().url();
    let pairs = Pairs::prepare(&url).await;
    let clients = join_all((0..CLIENTS).map(async |row| {
        let client = client(&url).await;
        for turn in 1.. {
            pairs.write_and_read_back(&client, row, turn).await;
        }
    }));
    tokio::select! {
        () = trouble(&cluster) => {}
        _ = clients => unreachable!(),
    }
    assert!(pairs.made.load(Ordering::Relaxed) > 100);
    cluster.wait_caught_up().await.unwrap();
}

/// Does to the replicas what happens to replicas, to at most one at a time.
async fn trouble(cluster: &Cluster) {
    let awhile = || tokio::time::sleep(Duration::from_millis(300));
    for replica in cluster.replicas() {
        replica.alter("recovery_min_apply_delay", "'300ms'").await.unwrap();
        awhile().await;
        replica.alter("recovery_min_apply_delay", "0").await.unwrap();
        replica.execute("SELECT pg_wal_replay_pause()").await.unwrap();
        awhile().await;
        replica.execute("SELECT pg_wal_replay_resume()").await.unwrap();
        replica.pause().unwrap();
        awhile().await;
        replica.resume().unwrap();
        replica.restart().await.unwrap();
        awhile().await;
        replica.stop(Shutdown::Immediate).await.unwrap();
        awhile().await;
        replica.start().await.unwrap();
        replica.kill().await.unwrap();
        replica.start().await.unwrap();
        cluster.wait_streaming(2).await.unwrap();
    }
}

/// Writes, each read back at once by the same client.
struct Pairs {
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
        }
    }

    async fn write_and_read_back(&self, client: &Client, row: i32, turn: i32) {
        client.execute(&self.write, &[&row, &turn]).await.unwrap();
        let found: i32 = client.query_one(&self.read, &[&row]).await.unwrap().get(0);
        assert_eq!(found, turn, "a stale read in row {row}");
        self.made.fetch_add(1, Ordering::Relaxed);
    }
}
