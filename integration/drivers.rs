//! Real drivers, each doing what applications do with it.

use std::{
    path::{Path, PathBuf},
    pin::pin,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{
    SinkExt as _, TryStreamExt as _,
    future::{join_all, poll_fn},
};
use tokio::process::Command;
use tokio_postgres::{AsyncMessage, Client, NoTls, error::SqlState};

use crate::fixture::{at_each_door, client, store, succeeded, unique};

at_each_door!(
    psycopg,
    node_postgres,
    tokio_postgres_copies,
    tokio_postgres_reads_a_portal_in_parts,
    tokio_postgres_reports_errors_as_they_are,
    tokio_postgres_pipelines,
    tokio_postgres_cancels,
    tokio_postgres_is_notified,
);

async fn psycopg(url: &str) {
    let Some(python) = driver("python").await else { return };
    run(Command::new(python).arg(script("psycopg_client.py")).arg(url)).await;
}

async fn node_postgres(url: &str) {
    let Some(modules) = driver("node").await else { return };
    let script = script("node_client.cjs");
    run(Command::new("node").env("NODE_PATH", modules).arg(script).arg(url)).await;
}

async fn tokio_postgres_copies(url: &str) {
    let client = client(url).await;
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

async fn tokio_postgres_reads_a_portal_in_parts(url: &str) {
    let mut client = client(url).await;
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
}

async fn count(client: &Client, table: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0)
}

async fn tokio_postgres_reports_errors_as_they_are(url: &str) {
    let client = client(url).await;
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

async fn tokio_postgres_pipelines(url: &str) {
    let client = client(url).await;
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

async fn tokio_postgres_cancels(url: &str) {
    let client = client(url).await;
    let began = Instant::now();
    let sleeping = client.batch_execute("SELECT pg_sleep(60)");
    let cancelling = async {
        // Until the server has begun a cancel has nothing to hit, so that one may not be enough.
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
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

async fn tokio_postgres_is_notified(url: &str) {
    let (ear, mut connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
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
    let mouth = client(url).await;
    mouth.batch_execute(&format!("NOTIFY {channel}, 'hello'")).await.unwrap();
    let payload = tokio::time::timeout(Duration::from_secs(10), heard.recv()).await.unwrap();
    assert_eq!(payload.as_deref(), Some("hello"));
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("integration/drivers").join(name)
}

/// Runs a client program, which says "ok" at its end.
async fn run(command: &mut Command) {
    let output = command.kill_on_drop(true).output().await.unwrap();
    assert_eq!(succeeded(&output), "ok");
}

/// The driver of a language, from its registry; `None`, with a printed reason, when it is not to be had.
pub(crate) async fn driver(language: &str) -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/drivers.sh");
    let mut command = Command::new(script);
    let output = command.arg(language).env("PGLAGOON_LOCAL", store()).output().await.unwrap();
    if !output.status.success() {
        eprintln!("skipped: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    Some(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end()))
}
