//! Whatever a client sends in whatever order, nothing that writes is left to a replica: no sequence shows a client 25006
//! that did not ask for read-only transactions itself, also where it vouches for what it does not know.

use tokio_postgres::{Client, Error, error::SqlState};

use crate::{
    fixture::{client, eventually, on_each_version, one, own_cluster, unique},
    own_parameters::listener,
    pooler::{Pooler, shared_pooler},
};

on_each_version!(
    no_sequence_of_statements_meets_a_read_only_server,
    what_is_meant_for_the_primary_is_not_done_to_a_replica,
    what_would_pin_a_replica_fails_its_transaction_alone,
    what_is_written_otherwise_is_not_taken_for_a_read,
);

/// How many statements each client sends.
const LENGTH: u32 = 300;

/// What a client may send; `T` is its table, `F` a function that writes, `V` a view that calls it.
const STATEMENTS: [&str; 22] = [
    "SELECT count(*) FROM T",
    "SELECT 1",
    "INSERT INTO T DEFAULT VALUES",
    "WITH x AS (INSERT INTO T DEFAULT VALUES RETURNING n) SELECT count(*) FROM x",
    "SELECT F()",
    "SELECT * FROM V",
    "SELECT n FROM T ORDER BY n LIMIT 1 FOR UPDATE",
    "SELECT nextval('T_n_seq')",
    "EXPLAIN ANALYZE INSERT INTO T DEFAULT VALUES",
    "BEGIN",
    "START TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "COMMIT",
    "ROLLBACK",
    "SET pglagoon.route = 'replica'",
    "RESET pglagoon.route",
    "SET pglagoon.consistency = 'eventual'",
    "/* pglagoon: replica */ SELECT F()",
    "/* pglagoon: replica */ SELECT * FROM V",
    "SELECT pg_current_xact_id() IS NULL",
    "SELECT 1; INSERT INTO T DEFAULT VALUES",
    "DISCARD ALL",
    "CREATE TEMP TABLE IF NOT EXISTS mine (n int)",
];

async fn no_sequence_of_statements_meets_a_read_only_server(major: u16) {
    let url = shared_pooler(major).await.url();
    let clients = (0..8).map(async |_| {
        let client = client(&url).await;
        let table = unique("sequence");
        let prepare = format!(
            "CREATE TABLE {table} (n serial);
             CREATE FUNCTION {table}_f() RETURNS int LANGUAGE sql AS 'INSERT INTO {table} DEFAULT VALUES RETURNING n';
             CREATE VIEW {table}_v AS SELECT {table}_f() AS n"
        );
        client.batch_execute(&prepare).await.unwrap();
        let mut sent = Vec::new();
        for _ in 0..LENGTH {
            let pick = usize::try_from(rand::random::<u32>()).unwrap() % STATEMENTS.len();
            let sql = STATEMENTS[pick]
                .replace("T_n_seq", &format!("{table}_n_seq"))
                .replace("F()", &format!("{table}_f()"))
                .replace(" V", &format!(" {table}_v"))
                .replace(" T ", &format!(" {table} "));
            let sql = sql.strip_suffix(" T").map_or(sql.clone(), |sql| format!("{sql} {table}"));
            let outcome = send(&client, &sql).await;
            sent.push(sql);
            if let Err(error) = outcome {
                let code = error.code().cloned();
                assert_ne!(code, Some(SqlState::READ_ONLY_SQL_TRANSACTION), "{sent:#?}");
                assert!(code.is_some(), "{error}: {sent:#?}");
            }
        }
    });
    futures_util::future::join_all(clients).await;
}

/// By simple query or by the extended protocol, which takes one statement.
async fn send(client: &Client, sql: &str) -> Result<(), Error> {
    if sql.contains(';') || rand::random() {
        client.batch_execute(sql).await
    } else {
        client.execute(sql, &[]).await.map(drop)
    }
}

async fn what_would_pin_a_replica_fails_its_transaction_alone(major: u16) {
    let client = client(&shared_pooler(major).await.url()).await;
    for sql in ["SELECT pg_advisory_lock(1)", "DECLARE c CURSOR WITH HOLD FOR SELECT 1"] {
        is_refused_on_replica(&client, sql).await;
    }
    // What was prepared before; a long value does not come in one piece.
    let lock = client.prepare("SELECT pg_advisory_lock(length($1))").await.unwrap();
    for value in ["short".to_owned(), "long ".repeat(100_000)] {
        begin_on_replica(&client).await;
        let prepared = client.query(&lock, &[&value]).await.unwrap_err();
        assert_eq!(prepared.code(), Some(&SqlState::FEATURE_NOT_SUPPORTED));
        client.batch_execute("ROLLBACK").await.unwrap();
        client.query(&lock, &[&value]).await.unwrap();
        client.batch_execute("SELECT pg_advisory_unlock_all()").await.unwrap();
    }
}

/// PostgreSQL refuses nothing of it on a standby, but it means something else there.
async fn what_is_meant_for_the_primary_is_not_done_to_a_replica(major: u16) {
    let client = client(&shared_pooler(major).await.url()).await;
    let acting = "SELECT count(*) FROM (VALUES (0)) AS v (pid) WHERE (pid).pg_terminate_backend";
    for sql in ["SELECT pg_advisory_xact_lock(1)", acting] {
        is_refused_on_replica(&client, sql).await;
    }
    // What it refuses is refused in its own words.
    begin_on_replica(&client).await;
    let own = client.batch_execute("SELECT 1 FROM pg_class FOR UPDATE").await.unwrap_err();
    assert_eq!(own.code(), Some(&SqlState::READ_ONLY_SQL_TRANSACTION));
    client.batch_execute("ROLLBACK").await.unwrap();
    // A driver keeps what it has prepared there, and runs it on the primary later.
    begin_on_replica(&client).await;
    let lock = client.prepare("SELECT pg_try_advisory_xact_lock(length($1))").await.unwrap();
    let refused = client.query(&lock, &[&"short"]).await.unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::FEATURE_NOT_SUPPORTED));
    client.batch_execute("ROLLBACK").await.unwrap();
    client.query_one(&lock, &[&"short"]).await.unwrap();
}

/// Begins a read-only transaction that a replica runs.
async fn begin_on_replica(client: &Client) {
    eventually("a replica to take the transaction", async || {
        client.batch_execute("BEGIN READ ONLY").await.unwrap();
        let row = client.query_one("SELECT pg_is_in_recovery()", &[]).await.unwrap();
        if row.get::<_, bool>(0) {
            return Some(());
        }
        client.batch_execute("COMMIT").await.unwrap();
        None
    })
    .await;
}

/// In both protocols.
async fn is_refused_on_replica(client: &Client, sql: &str) {
    begin_on_replica(client).await;
    let simple = client.batch_execute(sql).await.unwrap_err();
    assert_eq!(simple.code(), Some(&SqlState::FEATURE_NOT_SUPPORTED), "{sql}");
    client.batch_execute("ROLLBACK").await.unwrap();
    begin_on_replica(client).await;
    let extended = client.execute(sql, &[]).await.unwrap_err();
    assert_eq!(extended.code(), Some(&SqlState::FEATURE_NOT_SUPPORTED), "{sql}");
    client.batch_execute("ROLLBACK").await.unwrap();
}

async fn what_is_written_otherwise_is_not_taken_for_a_read(major: u16) {
    let cluster = own_cluster(major).replicas(1).start().await.unwrap();
    let keys = [("routing.max_lag", "\"1min\"")];
    let pooler = Pooler::start(&cluster, &keys).await;
    let url = pooler.url();
    let with_reads_on_replicas = async |url: &str| {
        let (client, mut told) = listener(url).await;
        client.batch_execute("SET pglagoon.explain = on").await.unwrap();
        eventually("reads on a replica", async || {
            while told.try_recv().is_ok() {}
            client.batch_execute("SELECT 1").await.unwrap();
            told.recv().await.unwrap().contains(": replica").then_some(())
        })
        .await;
        client
    };
    // By the usual rules a literal and a comment; by those of the session a function that tells where it runs.
    let escaped = r"SELECT '\'' IS NULL OR pg_is_in_recovery() OR ' --' IS NULL";
    let shared = r"SELECT E'ぃ\' IS NULL OR pg_is_in_recovery() --'";
    for (set, sql) in
        [("standard_conforming_strings = off", escaped), ("client_encoding = 'SJIS'", shared)]
    {
        let name = set.split(' ').next().unwrap();
        let startup = format!("{url}?options=-c%20{}", set.replace(" = ", "%3d").replace('\'', ""));
        for (url, commands) in [(&url, [format!("SET {set}")]), (&startup, ["SELECT 1".to_owned()])]
        {
            let client = with_reads_on_replicas(url).await;
            client.batch_execute(&commands[0]).await.unwrap();
            for _ in 0..5 {
                assert_eq!(one(&client, sql).await, "f", "{commands:?}");
                let row = client.query_one(sql, &[]).await.unwrap();
                assert!(!row.get::<_, bool>(0), "{commands:?}");
            }
            client.batch_execute(&format!("RESET {name}")).await.unwrap();
        }
    }
    // The servers' own default counts as well.
    let sql = "ALTER ROLE app SET standard_conforming_strings = off";
    cluster.primary().execute(sql).await.unwrap();
    cluster.wait_caught_up().await.unwrap();
    let pooler = Pooler::start(&cluster, &keys).await;
    let client = with_reads_on_replicas(&pooler.url()).await;
    assert_eq!(one(&client, escaped).await, "f");
    pooler.check();
}
