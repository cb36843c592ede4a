//! Money that moves between accounts while clients come, go and vanish is never lost or made.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

use crate::fixture::{at_each_door, client, unique};

at_each_door!(transfers_keep_the_sum_while_clients_vanish);

const ACCOUNTS: i32 = 20;
const SUM: i64 = 20_000;
const CLIENTS: usize = 12;

/// Connections that each client makes in a row, most of which it abandons in the middle of something.
const LIVES: usize = 12;

async fn transfers_keep_the_sum_while_clients_vanish(url: &str) {
    let table = unique("bank");
    let teller = client(url).await;
    let create = format!(
        "CREATE TABLE {table} (id int PRIMARY KEY, amount bigint NOT NULL CHECK (amount >= 0));
         INSERT INTO {table} SELECT i, 1000 FROM generate_series(0, 19) AS i"
    );
    teller.batch_execute(&create).await.unwrap();
    let auditor = async {
        loop {
            assert_eq!(sum(&teller, &table).await, SUM);
        }
    };
    tokio::select! {
        _ = join_all((0..CLIENTS).map(|_| live(url, &table))) => {}
        () = auditor => unreachable!(),
    }
    assert_eq!(sum(&teller, &table).await, SUM);
}

async fn sum(client: &Client, table: &str) -> i64 {
    let sql = format!("SELECT sum(amount)::bigint FROM {table}");
    client.query_one(&sql, &[]).await.unwrap().get(0)
}

/// Connects again and again, transfers, and goes away at a random moment without a word.
async fn live(url: &str, table: &str) {
    for _ in 0..LIVES {
        let (mut client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let span = Duration::from_micros(rand::random_range(0..40_000));
        // Dropped at whatever it awaits just then.
        let _ = timeout(span, transfer_for_ever(&mut client, table)).await;
        connection.abort();
    }
}

async fn transfer_for_ever(client: &mut Client, table: &str) {
    loop {
        let (from, to) = (rand::random_range(0..ACCOUNTS), rand::random_range(0..ACCOUNTS));
        // Always in the same order, so that no two wait for each other.
        let (first, second) = (from.min(to), from.max(to));
        let amount = rand::random_range(-50_i64..50);
        let add = format!("UPDATE {table} SET amount = amount + $2 WHERE id = $1");
        let transaction = client.transaction().await.unwrap();
        let taken = transaction.execute(&add, &[&first, &-amount]).await;
        if taken.is_err() || transaction.execute(&add, &[&second, &amount]).await.is_err() {
            // An account went below zero.
            transaction.rollback().await.unwrap();
        } else {
            transaction.commit().await.unwrap();
        }
    }
}
