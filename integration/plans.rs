//! Plans outlive their clients: a text that is parsed again and again is parsed once, and nobody notices.

use tokio_postgres::{Client, types::Type};

use crate::fixture::{client, on_each_version, shared_cluster, unique};
use crate::pooler::Pooler;

on_each_version!(
    a_text_that_comes_again_is_planned_once,
    a_plan_follows_an_altered_table,
    a_plan_gives_way_to_a_table_that_is_found_first,
    a_plan_that_others_have_made_stale_is_made_anew,
    a_plan_belongs_to_its_search_path,
    a_plan_does_not_see_through_temporary_tables,
    a_literal_that_means_the_moment_moves_on,
);

/// A pooler with one server for each node, where plans never get too old.
async fn pooler(major: u16) -> Pooler {
    let keys = [
        ("pool.default_pool_size", "1"),
        ("pool.plan_reuse", "\"1h\""),
        ("routing.read_write_split", "false"),
    ];
    Pooler::start(shared_cluster(major).await, &keys).await
}

/// The first value, by Parse without a name, Bind, Describe and Execute.
async fn ask(client: &Client, sql: &str) -> String {
    let rows = client.query_typed(sql, &[]).await.unwrap();
    rows[0].get(0)
}

/// Long enough for PostgreSQL to settle for a generic plan.
const TIMES: usize = 8;

async fn a_text_that_comes_again_is_planned_once(major: u16) {
    let pooler = pooler(major).await;
    let ours = client(&pooler.url()).await;
    let theirs = client(&pooler.url()).await;
    for n in 0..TIMES {
        for client in [&ours, &theirs] {
            let number = i32::try_from(n).unwrap();
            let rows = client.query_typed("SELECT $1 + 1", &[(&number, Type::INT4)]).await.unwrap();
            let found: i32 = rows[0].get(0);
            assert_eq!(found, number + 1);
        }
    }
    let of = "FROM pg_prepared_statements WHERE statement = 'SELECT $1 + 1'";
    assert_eq!(ask(&ours, &format!("SELECT count(*)::text {of}")).await, "1");
    if major < 14 {
        eprintln!("PostgreSQL {major} does not count how often a prepared statement was run");
        return;
    }
    let all = TIMES * 2;
    let plans = ask(&ours, &format!("SELECT (generic_plans + custom_plans)::text {of}")).await;
    assert_eq!(plans, (all - 1).to_string(), "all but the first");
    pooler.check();
}

async fn a_plan_follows_an_altered_table(major: u16) {
    let pooler = pooler(major).await;
    let (ours, theirs) = (client(&pooler.url()).await, client(&pooler.url()).await);
    let table = unique("altered");
    ours.batch_execute(&format!("CREATE TABLE {table} AS SELECT 1 AS a")).await.unwrap();
    let sql = format!("SELECT * FROM {table} WHERE a = $1");
    for _ in 0..TIMES {
        assert_eq!(ours.query_typed(&sql, &[(&1, Type::INT4)]).await.unwrap()[0].len(), 1);
    }
    theirs.batch_execute(&format!("ALTER TABLE {table} ADD b int DEFAULT 1")).await.unwrap();
    for _ in 0..TIMES {
        assert_eq!(ours.query_typed(&sql, &[(&1, Type::INT4)]).await.unwrap()[0].len(), 2);
    }
    theirs.batch_execute(&format!("DROP TABLE {table}")).await.unwrap();
    assert!(ours.query_typed(&sql, &[(&1, Type::INT4)]).await.is_err());
    pooler.check();
}

async fn a_plan_gives_way_to_a_table_that_is_found_first(major: u16) {
    let pooler = pooler(major).await;
    let (ours, theirs) = (client(&pooler.url()).await, client(&pooler.url()).await);
    let (near, far) = (unique("near"), unique("far"));
    let setup = format!(
        "CREATE SCHEMA {near}; CREATE SCHEMA {far}; CREATE TABLE {far}.t AS SELECT 'far' AS a"
    );
    ours.batch_execute(&setup).await.unwrap();
    ours.batch_execute(&format!("SET search_path TO {near}, {far}")).await.unwrap();
    for _ in 0..TIMES {
        assert_eq!(ask(&ours, "SELECT * FROM t").await, "far");
    }
    theirs.batch_execute(&format!("CREATE TABLE {near}.t AS SELECT 'near' AS a")).await.unwrap();
    for _ in 0..TIMES {
        assert_eq!(ask(&ours, "SELECT * FROM t").await, "near");
    }
    theirs.batch_execute(&format!("DROP SCHEMA {near}, {far} CASCADE")).await.unwrap();
    pooler.check();
}

async fn a_plan_that_others_have_made_stale_is_made_anew(major: u16) {
    let pooler = pooler(major).await;
    let ours = client(&pooler.url()).await;
    let direct = client(&shared_cluster(major).await.primary().url()).await;
    let table = unique("stale");
    direct.batch_execute(&format!("CREATE TABLE {table} AS SELECT 1 AS a")).await.unwrap();
    let sql = format!("SELECT * FROM {table}");
    for columns in 1..4 {
        for _ in 0..3 {
            assert_eq!(ours.query_typed(&sql, &[]).await.unwrap()[0].len(), columns);
        }
        let add = format!("ALTER TABLE {table} ADD column_{columns} int DEFAULT 1");
        direct.batch_execute(&add).await.unwrap();
    }
    // In a transaction it is an error as it would be for a prepared statement, and the next is well.
    ours.batch_execute("BEGIN").await.unwrap();
    let error = ours.query_typed(&sql, &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(&tokio_postgres::error::SqlState::FEATURE_NOT_SUPPORTED));
    ours.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(ours.query_typed(&sql, &[]).await.unwrap()[0].len(), 4);
    direct.batch_execute(&format!("DROP TABLE {table}")).await.unwrap();
    pooler.check();
}

async fn a_plan_belongs_to_its_search_path(major: u16) {
    let pooler = pooler(major).await;
    let ours = client(&pooler.url()).await;
    let theirs = client(&pooler.url()).await;
    let (one, two) = (unique("one"), unique("two"));
    let setup = format!(
        "CREATE SCHEMA {one}; CREATE TABLE {one}.t AS SELECT 'one' AS a; \
         CREATE SCHEMA {two}; CREATE TABLE {two}.t AS SELECT 2 AS b, 'two' AS a"
    );
    ours.batch_execute(&setup).await.unwrap();
    ours.batch_execute(&format!("SET search_path TO {one}")).await.unwrap();
    theirs.batch_execute(&format!("SET search_path TO {two}")).await.unwrap();
    for _ in 0..TIMES {
        assert_eq!(ask(&ours, "SELECT * FROM t").await, "one");
        let row = &theirs.query_typed("SELECT * FROM t", &[]).await.unwrap()[0];
        assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (2, "two"));
    }
    // In a transaction, and for that alone.
    ours.batch_execute("BEGIN").await.unwrap();
    ours.batch_execute(&format!("SET LOCAL search_path TO {two}")).await.unwrap();
    assert_eq!(ours.query_typed("SELECT * FROM t", &[]).await.unwrap()[0].len(), 2);
    ours.batch_execute("COMMIT").await.unwrap();
    assert_eq!(ask(&ours, "SELECT * FROM t").await, "one");
    ours.batch_execute(&format!("DROP SCHEMA {one}, {two} CASCADE")).await.unwrap();
    pooler.check();
}

async fn a_plan_does_not_see_through_temporary_tables(major: u16) {
    let pooler = pooler(major).await;
    let ours = client(&pooler.url()).await;
    let table = unique("shadowed");
    ours.batch_execute(&format!("CREATE TABLE {table} AS SELECT 'real' AS a")).await.unwrap();
    let sql = format!("SELECT a FROM {table}");
    for _ in 0..TIMES {
        assert_eq!(ask(&ours, &sql).await, "real");
    }
    let shadow = format!("CREATE TEMP TABLE {table} ON COMMIT DROP AS SELECT 'shadow' AS a");
    for _ in 0..3 {
        ours.batch_execute(&format!("BEGIN; {shadow}")).await.unwrap();
        for _ in 0..TIMES {
            assert_eq!(ask(&ours, &sql).await, "shadow");
        }
        let named = ours.prepare(&sql).await.unwrap();
        let found: String = ours.query_one(&named, &[]).await.unwrap().get(0);
        assert_eq!(found, "shadow");
        ours.batch_execute("COMMIT").await.unwrap();
        assert_eq!(ask(&ours, &sql).await, "real");
    }
    ours.batch_execute(&format!("DROP TABLE {table}")).await.unwrap();
    pooler.check();
}

async fn a_literal_that_means_the_moment_moves_on(major: u16) {
    let pooler = pooler(major).await;
    let ours = client(&pooler.url()).await;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..TIMES {
        assert!(seen.insert(ask(&ours, "SELECT 'now'::timestamptz::text").await));
    }
    pooler.check();
}
