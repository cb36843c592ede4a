//! Much data, in both directions, through little memory.

use std::pin::pin;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_postgres::{Client, error::SqlState};

use crate::{
    fixture::{client, eventually, on_each_version, shared_cluster, unique},
    pooler::{Pooler, shared_pooler},
};

on_each_version!(
    large_results_take_no_memory,
    a_reader_that_stops_makes_the_server_wait,
    copies_of_any_size_arrive_whole,
    a_copy_that_fails_midway_leaves_a_usable_connection,
    a_client_that_vanishes_in_a_copy_leaves_nothing,
);

/// How much the pooler may grow for any stream, in KiB.
const GROWTH: u64 = 6 * 1024;

/// A row of 1000 bytes, a hundred megabytes of them.
const LARGE: &str = "SELECT repeat('x', 1000) FROM generate_series(1, 100000)";

async fn large_results_take_no_memory(major: u16) {
    let pooler = Pooler::start(shared_cluster(major).await, &[]).await;
    let client = client(&pooler.url()).await;
    client.batch_execute("SELECT 1").await.unwrap();
    let before = pooler.resident();
    let rows = client.query_raw::<_, i32, _>(LARGE, []).await.unwrap();
    let bytes = rows.try_fold(0, async |sum, row| Ok(sum + row.get::<_, &str>(0).len()));
    assert_eq!(bytes.await.unwrap(), 100_000_000);
    let copied = client.copy_out(&format!("COPY ({LARGE}) TO STDOUT")).await.unwrap();
    let bytes = copied.try_fold(0, async |sum, part| Ok(sum + part.len()));
    assert_eq!(bytes.await.unwrap(), 100_100_000);
    assert_flat(&pooler, before);
    pooler.check();
}

fn assert_flat(pooler: &Pooler, before: Option<u64>) {
    let (Some(before), Some(after)) = (before, pooler.resident()) else { return };
    assert!(after <= before + GROWTH, "resident memory went from {before} to {after} KiB");
}

async fn a_reader_that_stops_makes_the_server_wait(major: u16) {
    let cluster = shared_cluster(major).await;
    let keys =
        [("users.app.password", ""), ("users.app.trust", "true"), ("databases.app.replicas", "[]")];
    let pooler = Pooler::start(cluster, &keys).await;
    let mut slow = log_in(&pooler).await;
    let before = pooler.resident();
    let text = format!("SELECT /* {} */ {}", unique("slow"), LARGE.trim_start_matches("SELECT "));
    slow.write_all(&message(b'Q', text.as_bytes())).await.unwrap();
    let watcher = client(&cluster.primary().superuser_url()).await;
    let waits =
        "SELECT count(*) FROM pg_stat_activity WHERE query = $1 AND wait_event = 'ClientWrite'";
    eventually("the server to wait for its client", async || {
        let count: i64 = watcher.query_one(waits, &[&text]).await.unwrap().get(0);
        (count == 1).then_some(())
    })
    .await;
    assert_flat(&pooler, before);
    // Others are served meanwhile.
    client(&pooler.url()).await.batch_execute("SELECT 1").await.unwrap();
    let mut all = 0;
    let mut part = vec![0; 1 << 20];
    let mut tail = Vec::new();
    while !tail.ends_with(b"Z\0\0\0\x05I") {
        let count = slow.read(&mut part).await.unwrap();
        assert_ne!(count, 0, "the pooler closed the connection");
        all += count;
        tail = [&tail[tail.len().saturating_sub(10)..], &part[..count]].concat();
        tail.drain(..tail.len().saturating_sub(10));
    }
    assert!(all > 100_000_000);
    assert_flat(&pooler, before);
    pooler.check();
}

/// A connection without a driver, logged in.
async fn log_in(pooler: &Pooler) -> TcpStream {
    let mut stream = TcpStream::connect(pooler.address()).await.unwrap();
    let mut startup = vec![0, 3, 0, 0];
    startup.extend_from_slice(b"user\0app\0database\0app\0\0");
    let mut packet = u32::try_from(startup.len() + 4).unwrap().to_be_bytes().to_vec();
    packet.append(&mut startup);
    stream.write_all(&packet).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"Z\0\0\0\x05I") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "{answer:?}");
    }
    stream
}

/// A message with a text.
fn message(tag: u8, text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len() + 5).unwrap();
    [&[tag][..], &length.to_be_bytes(), text, b"\0"].concat()
}

async fn copies_of_any_size_arrive_whole(major: u16) {
    let pooler = Pooler::start(shared_cluster(major).await, &[]).await;
    let client = client(&pooler.url()).await;
    let table = create(&client).await;
    let before = pooler.resident();
    // Forty megabytes, in messages from one row to many thousands.
    let mut id = 0;
    let mut sink = pin!(client.copy_in(&format!("COPY {table} FROM STDIN")).await.unwrap());
    for size in (0..).map(|turn| 1 << (turn % 14)) {
        let rows = (id..id + size).map(|id| format!("{id}\t{}\n", "y".repeat(1000)));
        sink.send(Bytes::from(rows.collect::<String>())).await.unwrap();
        id += size;
        if id > 40_000 {
            break;
        }
    }
    assert_eq!(sink.finish().await.unwrap(), id);
    assert_flat(&pooler, before);
    let sum: i64 = client
        .query_one(&format!("SELECT sum(id + length(name))::bigint FROM {table}"), &[])
        .await
        .unwrap()
        .get(0);
    let id = i64::try_from(id).unwrap();
    assert_eq!(sum, id * (id - 1) / 2 + id * 1000);
    client.batch_execute(&format!("DROP TABLE {table}")).await.unwrap();
    pooler.check();
}

async fn create(client: &Client) -> String {
    let table = unique("stream");
    client.batch_execute(&format!("CREATE TABLE {table} (id int, name text)")).await.unwrap();
    table
}

async fn a_copy_that_fails_midway_leaves_a_usable_connection(major: u16) {
    let client = client(&shared_pooler(major).await.url()).await;
    let table = create(&client).await;
    for _ in 0..5 {
        let mut sink = pin!(client.copy_in(&format!("COPY {table} FROM STDIN")).await.unwrap());
        sink.send(Bytes::from("no number\tx\n")).await.unwrap();
        // Ten megabytes that nobody wants any more.
        let rest = Bytes::from(format!("1\t{}\n", "z".repeat(1000)).repeat(1000));
        for _ in 0..10 {
            if sink.send(rest.clone()).await.is_err() {
                break;
            }
        }
        let error = sink.finish().await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INVALID_TEXT_REPRESENTATION));
        let count: i64 =
            client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0);
        assert_eq!(count, 0);
    }
    // One that fails on its way out, too: after it has sent something.
    let failing = "COPY (SELECT repeat('x', 1000), 1 / (5000 - i) FROM generate_series(1, 9000) AS i) TO STDOUT";
    let mut rows = pin!(client.copy_out(failing).await.unwrap());
    let error = loop {
        match rows.next().await.unwrap() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Some(&SqlState::DIVISION_BY_ZERO));
    client.batch_execute(&format!("DROP TABLE {table}")).await.unwrap();
}

async fn a_client_that_vanishes_in_a_copy_leaves_nothing(major: u16) {
    let cluster = shared_cluster(major).await;
    let pooler = shared_pooler(major).await;
    let stays = client(&pooler.url()).await;
    let table = create(&stays).await;
    for direction in ["FROM STDIN", "TO STDOUT"] {
        let (vanishing, connection) =
            tokio_postgres::connect(&pooler.url(), tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        if direction == "FROM STDIN" {
            let copy = format!("COPY {table} {direction}");
            let mut sink = Box::pin(vanishing.copy_in(&copy).await.unwrap());
            sink.send(Bytes::from("7\tnever\n".repeat(5000))).await.unwrap();
            connection.abort();
            let _ = connection.await;
        } else {
            let copy = format!(
                "COPY (SELECT '{table}', repeat('x', 1000) FROM generate_series(1, 1000000)) {direction}"
            );
            let mut rows = Box::pin(vanishing.copy_out(&copy).await.unwrap());
            rows.next().await.unwrap().unwrap();
            connection.abort();
            let _ = connection.await;
        }
        let watcher = client(&cluster.primary().superuser_url()).await;
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY%{table}%' AND state <> 'idle'"
        );
        eventually("the abandoned copy to end", async || {
            let count: i64 = watcher.query_one(&sql, &[]).await.unwrap().get(0);
            (count == 0).then_some(())
        })
        .await;
    }
    let count: i64 =
        stays.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0);
    assert_eq!(count, 0);
    stays.batch_execute(&format!("DROP TABLE {table}")).await.unwrap();
}
