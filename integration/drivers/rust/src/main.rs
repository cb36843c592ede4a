//! sqlx as applications use it.

use std::{future::Future, path::Path, time::Duration};

use futures_util::{TryStreamExt as _, future::join_all};
use sqlx::{
    Connection as _, Error, Executor as _, PgConnection, Row as _,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgListener, PgPoolCopyExt as _, PgPoolOptions},
};
use tokio::task::{LocalSet, spawn_local};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = std::env::args().nth(1).unwrap();
    println!("sqlx version 0.8");
    for feature in std::env::var("FEATURES").unwrap().split(' ') {
        let url = url.clone();
        match feature {
            "connect" => say(feature, connect(url)).await,
            "prepare" => say(feature, prepare(url)).await,
            "transaction" => say(feature, transaction(url)).await,
            "error" => say(feature, error(url)).await,
            "large" => say(feature, large(url)).await,
            "copy" => say(feature, copy(url)).await,
            "notify" => say(feature, notify(url)).await,
            "pool" => say(feature, pool(url)).await,
            "schema" => say(feature, schema(url)).await,
            _ => println!("sqlx {feature} n/a"),
        }
    }
}

async fn say(feature: &str, work: impl Future<Output = ()> + 'static) {
    let trying = LocalSet::new();
    match trying.run_until(async { spawn_local(work).await }).await {
        Ok(()) => println!("sqlx {feature} ok"),
        Err(error) => println!("sqlx {feature} fails {}", error.to_string().replace('\n', " ")),
    }
}

fn unique(what: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("{what}_{}", now.unwrap().as_nanos())
}

async fn connection(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

async fn run(db: &mut PgConnection, sql: &str) {
    db.execute(sql).await.unwrap();
}

async fn number(db: &mut PgConnection, sql: &str, value: i32) -> Result<i32, Error> {
    sqlx::query_scalar(sql).bind(value).fetch_one(db).await
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    let error = result.unwrap_err();
    error.as_database_error().and_then(|error| error.code()).unwrap().into_owned()
}

async fn connect(url: String) {
    for _ in 0..10 {
        let mut db = connection(&url).await;
        assert_eq!(number(&mut db, "SELECT $1 + 1", 1).await.unwrap(), 2);
        db.ping().await.unwrap();
        db.close().await.unwrap();
    }
    // Types that it does not know have it ask the catalog, within what it is doing.
    let mood = unique("mood");
    let mut db = connection(&url).await;
    run(&mut db, &format!("CREATE TYPE {mood} AS ENUM ('glad', 'sad')")).await;
    let sql = format!("SELECT ARRAY['sad']::{mood}[]");
    assert_eq!(db.fetch_one(&*sql).await.unwrap().len(), 1);
    let found = sqlx::query(&sql).fetch_one(&mut db).await.unwrap();
    assert_eq!(found.len(), 1);
}

async fn prepare(url: String) {
    let (mut one, mut two) = (connection(&url).await, connection(&url).await);
    for n in 0..30 {
        assert_eq!(number(&mut one, "SELECT $1 + 1", n).await.unwrap(), n + 1);
        assert_eq!(number(&mut two, "SELECT $1 * 2", n).await.unwrap(), n * 2);
    }
    let described = one.describe("SELECT 1 AS a, 'x' AS b").await.unwrap();
    assert_eq!(described.columns().len(), 2);
    // More than it keeps: it closes the oldest.
    for turn in 0..3 {
        for width in 0..120 {
            let sql = format!("SELECT $1 + {width}");
            assert_eq!(number(&mut one, &sql, turn).await.unwrap(), turn + width);
        }
    }
    one.clear_cached_statements().await.unwrap();
    assert_eq!(number(&mut one, "SELECT $1 + 1", 7).await.unwrap(), 8);
}

async fn transaction(url: String) {
    let table = unique("sqlx");
    let mut db = connection(&url).await;
    run(&mut db, &format!("CREATE TABLE {table} (id int PRIMARY KEY)")).await;
    let insert = format!("INSERT INTO {table} VALUES ($1)");
    let count = format!("SELECT count(*)::int + $1 FROM {table}");
    for id in 0..20_i32 {
        sqlx::query(&insert).bind(id).execute(&mut db).await.unwrap();
        assert_eq!(number(&mut db, &count, 0).await.unwrap(), id + 1);
    }
    let mut outer = db.begin().await.unwrap();
    sqlx::query(&insert).bind(20).execute(&mut *outer).await.unwrap();
    let mut inner = outer.begin().await.unwrap();
    assert_eq!(code(sqlx::query(&insert).bind(1).execute(&mut *inner).await), "23505");
    inner.rollback().await.unwrap();
    outer.commit().await.unwrap();
    // It sends ROLLBACK with what comes next.
    let mut dropped = db.begin().await.unwrap();
    run(&mut dropped, &format!("DELETE FROM {table}")).await;
    drop(dropped);
    assert_eq!(number(&mut db, &count, 0).await.unwrap(), 21);
    let mut reading = db.begin_with("BEGIN READ ONLY").await.unwrap();
    assert_eq!(number(&mut reading, &count, 0).await.unwrap(), 21);
    assert_eq!(code(sqlx::query(&insert).bind(30).execute(&mut *reading).await), "25006");
    reading.rollback().await.unwrap();
}

async fn error(url: String) {
    let mut db = connection(&url).await;
    for _ in 0..20 {
        assert_eq!(code(number(&mut db, "SELECT 1 / $1", 0).await), "22012");
        assert_eq!(code(number(&mut db, "SELEC $1", 0).await), "42601");
        assert_eq!(code(db.execute("SELECT 1; SELECT * FROM no_such_table").await), "42P01");
        assert_eq!(number(&mut db, "SELECT $1 + 1", 7).await.unwrap(), 8);
    }
}

async fn large(url: String) {
    let mut db = connection(&url).await;
    let sql = "SELECT i, repeat('x', 100) FROM generate_series(1, $1) AS i";
    let rows = sqlx::query(sql).bind(50000).fetch(&mut db);
    let seen = rows.try_fold(0, |seen, _| async move { Ok(seen + 1) }).await.unwrap();
    assert_eq!(seen, 50000);
    // Given up midway.
    let mut rows = sqlx::query(sql).bind(20000).fetch(&mut db);
    assert_eq!(rows.try_next().await.unwrap().unwrap().get::<i32, _>(0), 1);
    drop(rows);
    let text = "lagoon".repeat(500_000);
    let found = sqlx::query_scalar::<_, String>("SELECT $1").bind(&text).fetch_one(&mut db).await;
    assert!(found.unwrap() == text);
}

async fn copy(url: String) {
    let table = unique("sqlx");
    let mut db = connection(&url).await;
    run(&mut db, &format!("CREATE TABLE {table} (id int PRIMARY KEY, name text)")).await;
    let from = format!("COPY {table} FROM STDIN");
    let rows: String = (0..5000).map(|id| format!("{id}\t{}\n", "x".repeat(200))).collect();
    let mut into = db.copy_in_raw(&from).await.unwrap();
    into.send(rows.as_bytes()).await.unwrap();
    assert_eq!(into.finish().await.unwrap(), 5000);
    let mut twice = db.copy_in_raw(&from).await.unwrap();
    twice.send(&b"1\tis there already\n"[..]).await.unwrap();
    assert_eq!(code(twice.finish().await), "23505");
    let given_up = db.copy_in_raw(&from).await.unwrap();
    given_up.abort("enough").await.unwrap();
    let to = format!("COPY {table} TO STDOUT");
    let out: Vec<_> = db.copy_out_raw(&to).await.unwrap().try_collect().await.unwrap();
    assert_eq!(out.concat(), rows.as_bytes());
    let pool = PgPoolOptions::new().connect(&url).await.unwrap();
    pool.copy_in_raw(&from).await.unwrap().abort("enough").await.unwrap();
}

async fn notify(url: String) {
    let channel = unique("sqlx");
    let mut ear = PgListener::connect(&url).await.unwrap();
    ear.listen(&channel).await.unwrap();
    let mut mouth = connection(&url).await;
    for payload in ["hello", "again"] {
        let told = sqlx::query("SELECT pg_notify($1, $2)").bind(&channel).bind(payload);
        told.execute(&mut mouth).await.unwrap();
        let heard = tokio::time::timeout(Duration::from_secs(60), ear.recv()).await;
        assert_eq!(heard.unwrap().unwrap().payload(), payload);
    }
}

async fn pool(url: String) {
    let table = unique("sqlx");
    let options: PgConnectOptions = url.parse().unwrap();
    let pool = PgPoolOptions::new().min_connections(30).max_connections(30);
    let pool = pool.connect_with(options).await.unwrap();
    pool.execute(&*format!("CREATE TABLE {table} (job int PRIMARY KEY)")).await.unwrap();
    let insert = format!("INSERT INTO {table} VALUES ($1)");
    let read = format!("SELECT job FROM {table} WHERE job = $1");
    join_all((0..300).map(async |job: i32| {
        let mut transaction = pool.begin().await.unwrap();
        sqlx::query(&insert).bind(job).execute(&mut *transaction).await.unwrap();
        assert_eq!(number(&mut transaction, &read, job).await.unwrap(), job);
        transaction.commit().await.unwrap();
    }))
    .await;
    let locked = format!("SELECT FROM {table} FOR UPDATE");
    assert_eq!(pool.fetch_all(&*locked).await.unwrap().len(), 300);
}

/// Its migrations take a session-level advisory lock.
async fn schema(url: String) {
    let folder = tempfile::tempdir().unwrap();
    let (table, schema) = (unique("migrated"), unique("schema"));
    let add = |name: &str, sql: String| std::fs::write(folder.path().join(name), sql).unwrap();
    add("1_first.sql", format!("CREATE TABLE {table} (id int); CREATE INDEX ON {table} (id);"));
    // Migrations of one database share a table: this one's lies in a schema of its own.
    let mut db = connection(&url).await;
    run(&mut db, &format!("CREATE SCHEMA {schema}; SET search_path = {schema}")).await;
    migrate(&mut db, folder.path()).await;
    add("2_second.sql", format!("ALTER TABLE {table} ADD COLUMN name text DEFAULT 'new'"));
    migrate(&mut db, folder.path()).await;
    migrate(&mut db, folder.path()).await;
    run(&mut db, &format!("INSERT INTO {table} VALUES (1)")).await;
    let read = format!("SELECT name FROM {table}");
    let name = sqlx::query_scalar::<_, String>(&read);
    assert_eq!(name.fetch_one(&mut db).await.unwrap(), "new");
}

async fn migrate(db: &mut PgConnection, folder: &Path) {
    let migrator = Migrator::new(folder).await.unwrap();
    migrator.run(db).await.unwrap();
}
