//! Clients that share servers never notice: what one of them sets, makes, holds or names is its own.

use tokio_postgres::{Client, error::SqlState};

use crate::{
    fixture::{client, eventually, on_each_version, one, shared_cluster, unique},
    pooler::Pooler,
};

on_each_version!(
    settings_belong_to_the_client,
    what_nobody_can_see_coming_is_cleaned_up,
    settings_of_a_transaction_end_with_it,
    roles_belong_to_the_client,
    startup_options_belong_to_the_client,
    startup_options_outlive_a_reset_in_session_mode,
    statements_named_alike_are_different_ones,
    statements_of_sql_belong_to_the_client,
    temporary_tables_go_with_their_client,
    advisory_locks_go_with_their_client,
    cursors_and_sequences_belong_to_the_client,
    discarding_all_affects_nobody_else,
    what_was_heard_once_is_not_heard_by_the_next,
);

/// Pools of this size, so that two clients take turns with every server.
const POOLS: [(&str, &str); 3] =
    [("pool.default_pool_size", "1"), ("routing.max_lag", "\"10s\""), ("listen.workers", "2")];

/// Two clients of a pooler with one server per node, and the pooler.
async fn two(major: u16, keys: &[(&str, &str)]) -> (Client, Client, Pooler) {
    let keys = [&POOLS, keys].concat();
    let pooler = Pooler::start(shared_cluster(major).await, &keys).await;
    (client(&pooler.url()).await, client(&pooler.url()).await, pooler)
}

/// Whether the query's first column of its first row is `expected`.
async fn says(client: &Client, sql: &str, expected: &str) {
    assert_eq!(one(client, sql).await, expected, "{sql}");
}

async fn settings_belong_to_the_client(major: u16) {
    let (ours, theirs, pooler) = two(major, &[]).await;
    for (set, name, value) in [
        ("SET TIME ZONE 'Asia/Tokyo'", "timezone", "Asia/Tokyo"),
        ("SET timezone TO 'America/Lima'", "timezone", "America/Lima"),
        (
            "SET search_path = \"$user\", 'it''s', public",
            "search_path",
            "\"$user\", \"it's\", public",
        ),
        ("SELECT set_config('search_path', '', false)", "search_path", ""),
        ("SET statement_timeout = '77s'", "statement_timeout", "77s"),
        ("SELECT set_config('work_mem', (1024 * 3)::text, false), 1", "work_mem", "3MB"),
        (
            "WITH a AS (SELECT set_config('geqo', 'of' || 'f', false)) SELECT * FROM a",
            "geqo",
            "off",
        ),
        ("SET DateStyle = 'German, DMY'", "DateStyle", "German, DMY"),
        ("SET client_min_messages = error", "client_min_messages", "error"),
        ("SET application_name = 'O''Hara; \\'", "application_name", "O'Hara; \\"),
        ("SET standard_conforming_strings = off", "standard_conforming_strings", "off"),
        ("SET NAMES 'LATIN1'", "client_encoding", "LATIN1"),
        ("SET client_encoding = 'UTF8'", "client_encoding", "UTF8"),
        ("SET bytea_output TO escape; SET extra_float_digits = 0", "bytea_output", "escape"),
        ("SET my.own = 'a value'", "my.own", "a value"),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "default_transaction_isolation",
            "repeatable read",
        ),
    ] {
        let show = format!("SHOW {name}");
        let theirs_show = format!("SELECT current_setting('{name}', true)");
        let before = one(&theirs, &theirs_show).await;
        ours.batch_execute(set).await.unwrap();
        for _ in 0..3 {
            says(&ours, &show, value).await;
            // A parameter of nobody's that has been set once is known for ever, but empty.
            let now = one(&theirs, &theirs_show).await.replace("NULL", "");
            assert_eq!(now, before.replace("NULL", ""), "{set}");
        }
        // What it means is what it says, on whatever server.
        if name == "timezone" {
            let sql = "SELECT to_char('2026-01-01 00:00+00'::timestamptz, 'HH24')";
            let hour = if value == "Asia/Tokyo" { "09" } else { "19" };
            says(&ours, sql, hour).await;
            assert_ne!(one(&theirs, sql).await, hour);
        }
    }
    pooler.check();
}

async fn what_nobody_can_see_coming_is_cleaned_up(major: u16) {
    let keys = [("databases.app.replicas", "[]")];
    let (ours, theirs, pooler) = two(major, &keys).await;
    let (schema, memory) = (unique("schema"), one(&theirs, "SHOW work_mem").await);
    let body = "BEGIN
        PERFORM set_config('work_mem', '3MB', false);
        CREATE TEMP TABLE IF NOT EXISTS hidden (x int);
        PERFORM pg_advisory_lock(77);
    END";
    ours.batch_execute(&format!(
        "CREATE SCHEMA {schema};
         CREATE FUNCTION {schema}.f() RETURNS int LANGUAGE plpgsql AS $${}$$;
         CREATE PROCEDURE {schema}.p() LANGUAGE plpgsql AS $${body}$$",
        body.replace("END", "RETURN 1; END"),
    ))
    .await
    .unwrap();
    for surprise in [format!("DO $$ {body} $$"), format!("CALL {schema}.p()")] {
        ours.batch_execute(&surprise).await.unwrap();
        says(&theirs, "SHOW work_mem", &memory).await;
        says(&theirs, "SELECT to_regclass('hidden')", "NULL").await;
        let held =
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
        says(&theirs, held, "0").await;
    }
    pooler.check();
}

async fn settings_of_a_transaction_end_with_it(major: u16) {
    let (ours, theirs, pooler) = two(major, &[("pool.default_pool_size", "2")]).await;
    ours.batch_execute("SET lock_timeout = '1s'").await.unwrap();
    for (transaction, after) in [
        ("BEGIN; SET LOCAL lock_timeout = '2s'; COMMIT", "1s"),
        ("BEGIN; SET lock_timeout = '3s'; ROLLBACK", "1s"),
        ("BEGIN; SET lock_timeout = '4s'; SELECT 1 / 0", "1s"),
        ("BEGIN; SET lock_timeout = '5s'; COMMIT", "5s"),
        ("BEGIN; SAVEPOINT a; SET lock_timeout = '6s'; ROLLBACK TO a; COMMIT", "5s"),
        ("BEGIN; SAVEPOINT a; SET lock_timeout = '7s'; RELEASE a; COMMIT", "7s"),
        ("SET lock_timeout = '8s'; SELECT 1 / 0", "7s"),
        ("SET lock_timeout = 'nonsense'", "7s"),
        ("BEGIN; SET TRANSACTION READ ONLY; COMMIT", "7s"),
        ("RESET lock_timeout", "0"),
        ("SET lock_timeout = '9s'; RESET ALL", "0"),
    ] {
        let failed = ours.batch_execute(transaction).await.is_err();
        assert_eq!(failed, transaction.contains("/ 0") || transaction.contains("nonsense"));
        if failed && transaction.starts_with("BEGIN") {
            ours.batch_execute("ROLLBACK").await.unwrap();
        }
        says(&theirs, "SHOW lock_timeout", "0").await;
        says(&ours, "SHOW lock_timeout", after).await;
    }
    // The same, statement by statement.
    for (end, after) in [("ROLLBACK", "0"), ("COMMIT", "3s")] {
        for sql in ["BEGIN", "SET lock_timeout = '3s'", "SET LOCAL work_mem = '2MB'", end] {
            ours.batch_execute(sql).await.unwrap();
        }
        says(&theirs, "SHOW lock_timeout", "0").await;
        says(&ours, "SHOW lock_timeout", after).await;
        assert_ne!(one(&ours, "SHOW work_mem").await, "2MB");
    }
    pooler.check();
}

async fn roles_belong_to_the_client(major: u16) {
    let (ours, theirs, pooler) = two(major, &[]).await;
    let role = unique("role");
    let cluster = shared_cluster(major).await;
    let create = format!("CREATE ROLE {role}; GRANT {role} TO app");
    cluster.primary().execute(&create).await.unwrap();
    cluster.wait_caught_up().await.unwrap();
    ours.batch_execute(&format!("SET ROLE {role}")).await.unwrap();
    for _ in 0..3 {
        says(&ours, "SELECT current_user", &role).await;
        says(&theirs, "SELECT current_user", "app").await;
    }
    ours.batch_execute("RESET ROLE").await.unwrap();
    says(&ours, "SELECT current_user", "app").await;
    ours.batch_execute(&format!("SET ROLE {role}")).await.unwrap();
    drop(ours);
    for _ in 0..3 {
        says(&theirs, "SELECT current_user", "app").await;
    }
    pooler.check();
}

async fn startup_options_belong_to_the_client(major: u16) {
    let (_, theirs, pooler) = two(major, &[]).await;
    let url = format!(
        "{}?application_name=named&options=-c%20statement_timeout%3D66s%20-c%20search_path%3Dpg_catalog",
        pooler.url()
    );
    let ours = client(&url).await;
    for _ in 0..3 {
        says(&ours, "SHOW statement_timeout", "66s").await;
        says(&ours, "SHOW search_path", "pg_catalog").await;
        says(&ours, "SHOW application_name", "named").await;
        says(&theirs, "SHOW statement_timeout", "0").await;
        assert_ne!(one(&theirs, "SHOW search_path").await, "pg_catalog");
    }
    ours.batch_execute("SET statement_timeout = 0; RESET statement_timeout").await.unwrap();
    says(&ours, "SHOW statement_timeout", "66s").await;
    ours.batch_execute("SET statement_timeout = 0; RESET ALL").await.unwrap();
    says(&ours, "SHOW search_path", "pg_catalog").await;
    ours.batch_execute("DISCARD ALL").await.unwrap();
    says(&ours, "SHOW statement_timeout", "66s").await;
    says(&theirs, "SHOW statement_timeout", "0").await;
    pooler.check();
}

async fn startup_options_outlive_a_reset_in_session_mode(major: u16) {
    let keys = [("pool.default_pool_size", "2"), ("pool.mode", "\"session\"")];
    let (_, theirs, pooler) = two(major, &keys).await;
    let url = format!("{}?options=-c%20statement_timeout%3D66s", pooler.url());
    let ours = client(&url).await;
    for reset in
        ["RESET statement_timeout", "RESET ALL", "DISCARD ALL", "SET statement_timeout TO DEFAULT"]
    {
        ours.batch_execute("SET statement_timeout = 0").await.unwrap();
        ours.batch_execute(reset).await.unwrap();
        says(&ours, "SHOW statement_timeout", "66s").await;
        says(&theirs, "SHOW statement_timeout", "0").await;
    }
    drop(ours);
    let next = client(&pooler.url()).await;
    says(&next, "SHOW statement_timeout", "0").await;
    pooler.check();
}

async fn statements_named_alike_are_different_ones(major: u16) {
    let (ours, theirs, pooler) = two(major, &[("pool.default_pool_size", "2")]).await;
    // tokio-postgres calls the first of each client s0.
    let one_of_ours = ours.prepare("SELECT 1 + $1::int").await.unwrap();
    let one_of_theirs = theirs.prepare("SELECT 2 + $1::int").await.unwrap();
    for _ in 0..10 {
        let found: i32 = ours.query_one(&one_of_ours, &[&10]).await.unwrap().get(0);
        assert_eq!(found, 11);
        let found: i32 = theirs.query_one(&one_of_theirs, &[&10]).await.unwrap().get(0);
        assert_eq!(found, 12);
    }
    pooler.check();
}

async fn statements_of_sql_belong_to_the_client(major: u16) {
    let (ours, theirs, pooler) = two(major, &[("pool.default_pool_size", "2")]).await;
    ours.batch_execute("PREPARE q AS SELECT 3").await.unwrap();
    theirs.batch_execute("PREPARE q AS SELECT 4").await.unwrap();
    says(&ours, "EXECUTE q", "3").await;
    says(&theirs, "EXECUTE q", "4").await;
    let twice = ours.batch_execute("PREPARE q AS SELECT 5").await.unwrap_err();
    assert_eq!(twice.code(), Some(&SqlState::DUPLICATE_PSTATEMENT));
    ours.batch_execute("DEALLOCATE q").await.unwrap();
    let gone = ours.batch_execute("EXECUTE q").await.unwrap_err();
    assert_eq!(gone.code(), Some(&SqlState::INVALID_SQL_STATEMENT_NAME));
    says(&theirs, "EXECUTE q", "4").await;
    drop((ours, theirs));
    let next = client(&pooler.url()).await;
    let gone = next.batch_execute("EXECUTE q").await.unwrap_err();
    assert_eq!(gone.code(), Some(&SqlState::INVALID_SQL_STATEMENT_NAME));
    pooler.check();
}

async fn temporary_tables_go_with_their_client(major: u16) {
    let (ours, theirs, pooler) = two(major, &[("pool.default_pool_size", "2")]).await;
    let table = unique("shadowed");
    let create = format!("CREATE TABLE {table} AS SELECT 'real' AS what");
    theirs.batch_execute(&create).await.unwrap();
    let read = format!("SELECT what FROM {table}");
    let shadow = format!("CREATE TEMP TABLE {table} AS SELECT 'shadow' AS what");
    ours.batch_execute(&shadow).await.unwrap();
    for _ in 0..3 {
        says(&ours, &read, "shadow").await;
        says(&theirs, &read, "real").await;
    }
    drop(ours);
    let others = [client(&pooler.url()).await, client(&pooler.url()).await];
    for client in &others {
        // One transaction each at the same time: both servers of the primary are looked at.
        client.batch_execute("BEGIN").await.unwrap();
    }
    for client in &others {
        says(client, &read, "real").await;
        client.batch_execute("COMMIT").await.unwrap();
    }
    pooler.check();
}

async fn advisory_locks_go_with_their_client(major: u16) {
    let (ours, theirs, pooler) = two(major, &[("pool.default_pool_size", "2")]).await;
    let lock = format!("({})", rand::random::<i32>());
    let get = format!("SELECT pg_advisory_lock{lock}");
    let free = format!("SELECT pg_advisory_unlock{lock}");
    let attempt = format!("SELECT pg_try_advisory_lock{lock}");
    ours.batch_execute(&get).await.unwrap();
    ours.batch_execute(&get).await.unwrap();
    says(&theirs, &attempt, "f").await;
    // Locked twice, it must be unlocked twice.
    says(&ours, &free, "t").await;
    says(&theirs, &attempt, "f").await;
    says(&ours, &free, "t").await;
    says(&theirs, &attempt, "t").await;
    says(&ours, &attempt, "f").await;
    drop(theirs);
    eventually("the lock of a client that has left", async || {
        (one(&ours, &attempt).await == "t").then_some(())
    })
    .await;
    pooler.check();
}

async fn cursors_and_sequences_belong_to_the_client(major: u16) {
    let (ours, theirs, pooler) = two(major, &[("pool.default_pool_size", "2")]).await;
    let declare = "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM generate_series(1, 3)";
    ours.batch_execute(declare).await.unwrap();
    theirs.batch_execute("SELECT 1").await.unwrap();
    for expected in ["1", "2", "3"] {
        says(&ours, "FETCH 1 FROM c", expected).await;
        let unknown = theirs.batch_execute("FETCH 1 FROM c").await.unwrap_err();
        assert_eq!(unknown.code(), Some(&SqlState::INVALID_CURSOR_NAME));
    }
    ours.batch_execute("CLOSE c").await.unwrap();
    let sequence = unique("sequence");
    ours.batch_execute(&format!("CREATE SEQUENCE {sequence}")).await.unwrap();
    let next = format!("SELECT nextval('{sequence}')");
    says(&ours, &next, "1").await;
    says(&theirs, &next, "2").await;
    let current = format!("SELECT currval('{sequence}')");
    // Asked in the transaction that has used it, as frameworks do.
    ours.batch_execute("BEGIN").await.unwrap();
    says(&ours, &next, "3").await;
    says(&ours, &current, "3").await;
    ours.batch_execute("COMMIT").await.unwrap();
    pooler.check();
}

async fn discarding_all_affects_nobody_else(major: u16) {
    let (ours, theirs, pooler) = two(major, &[]).await;
    ours.batch_execute("SET work_mem = '5MB'").await.unwrap();
    theirs.batch_execute("SET work_mem = '6MB'").await.unwrap();
    let statement = theirs.prepare("SELECT $1::int + 1").await.unwrap();
    let lost = ours.prepare("SELECT $1::int + 2").await.unwrap();
    for _ in 0..5 {
        ours.batch_execute("DISCARD ALL").await.unwrap();
        assert_ne!(one(&ours, "SHOW work_mem").await, "5MB");
        says(&theirs, "SHOW work_mem", "6MB").await;
        let found: i32 = theirs.query_one(&statement, &[&1]).await.unwrap().get(0);
        assert_eq!(found, 2);
    }
    let error = ours.query_one(&lost, &[&1]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INVALID_SQL_STATEMENT_NAME));
    ours.batch_execute("DEALLOCATE ALL").await.unwrap();
    let found: i32 = theirs.query_one(&statement, &[&1]).await.unwrap().get(0);
    assert_eq!(found, 2);
    pooler.check();
}

async fn what_was_heard_once_is_not_heard_by_the_next(major: u16) {
    let (ears, theirs, pooler) = two(major, &[("pool.default_pool_size", "2")]).await;
    let channel = unique("channel");
    ears.batch_execute(&format!("LISTEN {channel}")).await.unwrap();
    let listening = "SELECT count(*) FROM pg_listening_channels()";
    says(&theirs, listening, "0").await;
    drop(ears);
    let next = client(&pooler.url()).await;
    for client in [&theirs, &next] {
        client.batch_execute("BEGIN").await.unwrap();
        says(client, listening, "0").await;
    }
    for client in [&theirs, &next] {
        client.batch_execute("COMMIT").await.unwrap();
    }
    pooler.check();
}
