//! tokio-postgres as applications use it.

use std::{
    fmt::Write as _,
    future::Future,
    pin::pin,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{
    SinkExt as _, TryStreamExt as _,
    future::{join_all, poll_fn},
};
use tokio_postgres::{AsyncMessage, Client, NoTls, error::SqlState};

use super::matrix::Report;
use crate::fixture::{client, unique};

/// Tries feature by feature.
pub(super) async fn report(url: String) -> Report {
    let mut printed = format!("tokio-postgres version {}\n", version());
    say(&mut printed, "connect", connect(url.clone())).await;
    say(&mut printed, "prepare", prepare(url.clone())).await;
    say(&mut printed, "pipeline", pipeline(url.clone())).await;
    say(&mut printed, "transaction", transaction(url.clone())).await;
    say(&mut printed, "error", error(url.clone())).await;
    say(&mut printed, "large", large(url.clone())).await;
    say(&mut printed, "copy", copy(url.clone())).await;
    say(&mut printed, "cancel", cancel(url.clone())).await;
    say(&mut printed, "notify", notify(url.clone())).await;
    // It has no pool of its own.
    say(&mut printed, "pool", connections(url)).await;
    printed += "tokio-postgres schema n/a\n";
    Report::new(printed)
}

async fn say(printed: &mut String, feature: &str, work: impl Future<Output = ()> + Send + 'static) {
    let outcome = tokio::spawn(work).await.map_or_else(|e| format!("fails {e}"), |()| "ok".into());
    let _ = writeln!(printed, "tokio-postgres {feature} {outcome}");
}

fn version() -> &'static str {
    let lock = include_str!("../../Cargo.lock");
    let (_, rest) = lock.split_once("name = \"tokio-postgres\"\nversion = \"").unwrap();
    rest.split('"').next().unwrap()
}

async fn connect(url: String) {
    for _ in 0..10 {
        let one: i32 = client(&url).await.query_one("SELECT 1", &[]).await.unwrap().get(0);
        assert_eq!(one, 1);
    }
}

async fn prepare(url: String) {
    let (one, two) = (client(&url).await, client(&url).await);
    let table = unique("tokio");
    one.batch_execute(&format!("CREATE TABLE {table} (id int, name text)")).await.unwrap();
    let insert = one.prepare(&format!("INSERT INTO {table} VALUES ($1, $2)")).await.unwrap();
    let read = one.prepare(&format!("SELECT name FROM {table} WHERE id = $1")).await.unwrap();
    // Other statements of the same names.
    let minus = two.prepare("SELECT 0 - $1::int").await.unwrap();
    let double = two.prepare("SELECT 2 * $1::int").await.unwrap();
    for id in 0..20 {
        let name = format!("name {id}");
        one.execute(&insert, &[&id, &name]).await.unwrap();
        assert_eq!(two.query_one(&minus, &[&id]).await.unwrap().get::<_, i32>(0), -id);
        assert_eq!(one.query_one(&read, &[&id]).await.unwrap().get::<_, String>(0), name);
        assert_eq!(two.query_one(&double, &[&id]).await.unwrap().get::<_, i32>(0), 2 * id);
    }
}

async fn transaction(url: String) {
    let mut client = client(&url).await;
    let table = unique("tokio");
    client.batch_execute(&format!("CREATE TABLE {table} (id int PRIMARY KEY)")).await.unwrap();
    let insert = format!("INSERT INTO {table} VALUES ($1)");
    for id in 0..20_i32 {
        client.execute(&insert, &[&id]).await.unwrap();
        assert_eq!(count(&client, &table).await, i64::from(id) + 1);
    }
    let mut outer = client.transaction().await.unwrap();
    outer.execute(&insert, &[&20]).await.unwrap();
    let inner = outer.transaction().await.unwrap();
    let error = inner.execute(&insert, &[&1]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::UNIQUE_VIOLATION));
    inner.rollback().await.unwrap();
    outer.commit().await.unwrap();
    let dropped = client.transaction().await.unwrap();
    dropped.execute(&format!("DELETE FROM {table}"), &[]).await.unwrap();
    drop(dropped);
    assert_eq!(count(&client, &table).await, 21);
    refuse_to_write(&mut client, &insert).await;
}

async fn refuse_to_write(client: &mut Client, insert: &str) {
    let reading = client.build_transaction().read_only(true).start().await.unwrap();
    let error = reading.execute(insert, &[&30]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::READ_ONLY_SQL_TRANSACTION));
}

async fn connections(url: String) {
    let table = unique("tokio");
    let create = format!("CREATE TABLE {table} (job int PRIMARY KEY)");
    client(&url).await.batch_execute(&create).await.unwrap();
    let work = async |first: i32| {
        let mut client = client(&url).await;
        let insert = client.prepare(&format!("INSERT INTO {table} VALUES ($1)")).await.unwrap();
        let read =
            client.prepare(&format!("SELECT job FROM {table} WHERE job = $1")).await.unwrap();
        for job in first..first + 10 {
            let transaction = client.transaction().await.unwrap();
            transaction.execute(&insert, &[&job]).await.unwrap();
            transaction.commit().await.unwrap();
            assert_eq!(client.query_one(&read, &[&job]).await.unwrap().get::<_, i32>(0), job);
        }
    };
    join_all((0..30).map(|worker| work(worker * 10))).await;
    let all = client(&url).await.query(&format!("SELECT FROM {table} FOR UPDATE"), &[]).await;
    assert_eq!(all.unwrap().len(), 300);
}

async fn copy(url: String) {
    let client = client(&url).await;
    let table = unique("tokio");
    client.batch_execute(&format!("CREATE TABLE {table} (id int, name text)")).await.unwrap();
    let from = format!("COPY {table} FROM STDIN");
    let mut sink = pin!(client.copy_in(&from).await.unwrap());
    for id in 0..1000 {
        sink.send(Bytes::from(format!("{id}\tname {id}\n"))).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 1000);
    let copied = client.copy_out(&format!("COPY {table} TO STDOUT")).await.unwrap();
    assert_eq!(copied.try_collect::<Vec<Bytes>>().await.unwrap().len(), 1000);

    // A copy that the client gives up midway leaves nothing, and a usable connection.
    let mut given_up = Box::pin(client.copy_in::<_, Bytes>(&from).await.unwrap());
    given_up.send(Bytes::from("7000\tnever\n")).await.unwrap();
    drop(given_up);
    // One that the server gives up midway, too.
    let mut refused = pin!(client.copy_in(&from).await.unwrap());
    refused.send(Bytes::from("no number\tnever\n")).await.unwrap();
    let error = refused.finish().await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INVALID_TEXT_REPRESENTATION));
    assert_eq!(count(&client, &table).await, 1000);
}

async fn large(url: String) {
    let mut client = client(&url).await;
    let table = unique("portal");
    let create = format!("CREATE TABLE {table} AS SELECT generate_series(0, 999) AS id");
    client.batch_execute(&create).await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let all = transaction.prepare(&format!("SELECT id FROM {table} ORDER BY id")).await.unwrap();
    let portal = transaction.bind(&all, &[]).await.unwrap();
    for part in 0..10 {
        let rows = transaction.query_portal(&portal, 100).await.unwrap();
        assert_eq!(rows[0].get::<_, i32>(0), part * 100);
    }
    transaction.execute(&format!("DELETE FROM {table}"), &[]).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(count(&client, &table).await, 1000);
    let rows = client.query("SELECT i, repeat('x', 100) FROM generate_series(1, 50000) AS i", &[]);
    assert_eq!(rows.await.unwrap().len(), 50000);
    let text = "lagoon".repeat(500_000);
    let row = client.query_one("SELECT $1::text", &[&text]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), text);
}

async fn count(client: &Client, table: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0)
}

async fn error(url: String) {
    let client = client(&url).await;
    for _ in 0..10 {
        let error = client.query("SELECT 1 / $1::int", &[&0]).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::DIVISION_BY_ZERO));
        let error = client.batch_execute("SELECT 1; SELECT * FROM nowhere").await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::UNDEFINED_TABLE));
        assert_eq!(error.as_db_error().unwrap().routine(), Some("parserOpenTable"));
        let error = client.execute("EXECUTE never_prepared", &[]).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INVALID_SQL_STATEMENT_NAME));
        let one: i32 = client.query_one("SELECT 1", &[]).await.unwrap().get(0);
        assert_eq!(one, 1);
    }
}

async fn pipeline(url: String) {
    let client = client(&url).await;
    let statement = client.prepare("SELECT $1::int + 1").await.unwrap();
    let failing = client.prepare("SELECT 1 / $1::int").await.unwrap();
    // All are sent before the first answer is awaited, each with a Sync of its own.
    let answers = join_all((0..500).map(async |number: i32| {
        if number % 10 == 0 {
            let error = client.query_one(&failing, &[&0]).await.unwrap_err();
            assert_eq!(error.code(), Some(&SqlState::DIVISION_BY_ZERO));
            return None;
        }
        Some(client.query_one(&statement, &[&number]).await.unwrap().get::<_, i32>(0))
    }));
    for (number, answer) in (0..).zip(answers.await) {
        assert_eq!(answer, (number % 10 != 0).then_some(number + 1));
    }
}

async fn cancel(url: String) {
    let client = client(&url).await;
    let began = Instant::now();
    let sleeping = client.batch_execute("SELECT pg_sleep(60)");
    let cancelling = async {
        // Until the server has begun a cancel has nothing to hit, so that one may not be enough.
        loop {
            client.cancel_token().cancel_query(NoTls).await.unwrap();
        }
    };
    let error = tokio::select! {
        result = sleeping => result.unwrap_err(),
        () = cancelling => unreachable!(),
    };
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
    assert!(began.elapsed() < Duration::from_secs(30));
}

async fn notify(url: String) {
    let (ear, mut connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let (sender, mut heard) = tokio::sync::mpsc::channel(10);
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(notification) = message {
                let _ = sender.send(notification.payload().to_owned()).await;
            }
        }
    });
    let channel = unique("channel");
    ear.batch_execute(&format!("LISTEN {channel}")).await.unwrap();
    let mouth = client(&url).await;
    mouth.batch_execute(&format!("NOTIFY {channel}, 'hello'")).await.unwrap();
    let payload = tokio::time::timeout(Duration::from_secs(10), heard.recv()).await.unwrap();
    assert_eq!(payload.as_deref(), Some("hello"));
}
