//! What a name stands for decides where a statement runs: the catalog of a real database, with one of everything
//! that makes a harmless-looking read none, each beside its harmless twin.

use pglagoon::demo::{Cluster, Node};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::{
    fixture::{client, eventually, on_each_version, one, own_cluster},
    own_parameters::listener,
    pooler::Pooler,
};

on_each_version!(
    what_names_stand_for_decides,
    until_it_is_known_nothing_is_trusted,
    changes_are_noticed,
    who_logs_in_begins_with_the_defaults_of_the_role_and_the_database,
);

/// Lets a query say where it runs, and asks often whether somebody has changed the catalog.
const KEYS: [(&str, &str); 4] = [
    ("routing.safe_functions", "[\"pg_is_in_recovery\", \"vouched_for\"]"),
    ("routing.unsafe_functions", "[\"f_avoided\"]"),
    ("routing.primary_tables", "[\"public.precious\"]"),
    ("routing.catalog_interval", "\"50ms\""),
];

/// One of everything.
const OBJECTS: &str = "
    CREATE TABLE t (id int, v text); INSERT INTO t VALUES (1, 'a'); CREATE TABLE log (id int);
    CREATE TABLE precious (id int); CREATE UNLOGGED TABLE raw (id int); CREATE SEQUENCE s;
    CREATE FUNCTION f_pure(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN $1 + 1; END';
    CREATE FUNCTION f_pure(int, int) RETURNS int LANGUAGE sql AS 'SELECT $1 + $2';
    CREATE FUNCTION f_count() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT count(*) FROM t';
    CREATE FUNCTION f_avoided() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION f_write() RETURNS int LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.log VALUES (1); RETURN 1; END';
    CREATE FUNCTION f_calls(int) RETURNS int LANGUAGE sql AS 'SELECT f_write()';
    CREATE FUNCTION f_lies() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT nextval(''s'')';
    CREATE FUNCTION f_locks() RETURNS int STABLE LANGUAGE plpgsql
        AS 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN 1; END';
    CREATE FUNCTION f_hides() RETURNS int LANGUAGE plpgsql
        AS 'DECLARE x int; BEGIN EXECUTE ''SELECT f_'' || ''write()'' INTO x; RETURN x; END';
    CREATE FUNCTION vouched_for() RETURNS int LANGUAGE plpgsql
        AS 'DECLARE x int; BEGIN EXECUTE ''SELECT 1'' INTO x; RETURN x; END';
    CREATE FUNCTION f_raw() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT count(*) FROM raw';
    CREATE FUNCTION f_field(int) RETURNS int LANGUAGE sql AS 'SELECT f_write()';
    CREATE FUNCTION f_wraps(bigint) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN ($1::int).f_field; END';
    CREATE FUNCTION f_param(k int) RETURNS int LANGUAGE sql AS 'SELECT k.f_field';
    CREATE FUNCTION f_takes(k int, x int DEFAULT f_write(), y text DEFAULT lower('A')) RETURNS int LANGUAGE sql
        AS 'SELECT k';
    CREATE FUNCTION f_given(k int, x int DEFAULT f_pure(1)) RETURNS int LANGUAGE sql AS 'SELECT k + x';
    CREATE VIEW v_takes AS SELECT f_takes(1) AS x;
    CREATE VIEW v_ok AS SELECT id, f_pure(id) FROM t;
    CREATE VIEW v_vouched AS SELECT vouched_for() AS v FROM t;
    CREATE VIEW v_write AS SELECT id, f_write() FROM t; CREATE VIEW v_nested AS SELECT id FROM v_write;
    CREATE VIEW v_raw AS SELECT * FROM raw; CREATE VIEW v_seq AS SELECT last_value FROM s;
    CREATE VIEW v_precious AS SELECT * FROM precious; CREATE VIEW v_stat AS SELECT pid FROM pg_stat_activity;
    CREATE VIEW v_locks AS SELECT * FROM t FOR UPDATE; CREATE MATERIALIZED VIEW m AS SELECT * FROM v_write;
    CREATE FUNCTION op_write(int, int) RETURNS int LANGUAGE sql AS 'SELECT f_write()';
    CREATE OPERATOR ### (leftarg = int, rightarg = int, function = op_write);
    CREATE OPERATOR @@@@ (leftarg = int, rightarg = int, function = f_pure);
    CREATE VIEW v_op AS SELECT 1 ### 2 AS x;
    CREATE DOMAIN d_ok AS int CHECK (f_pure(VALUE) > 0); CREATE DOMAIN d_write AS int CHECK (f_calls(VALUE) > 0);
    CREATE TYPE mood AS ENUM ('sad', 'fine'); CREATE TYPE cty AS (a int);
    CREATE FUNCTION to_cty(int) RETURNS cty LANGUAGE sql AS 'SELECT ROW(f_write())::cty';
    CREATE CAST (int AS cty) WITH FUNCTION to_cty(int);
    CREATE FUNCTION sneaky(t) RETURNS int LANGUAGE sql AS 'SELECT f_write()';
    CREATE FUNCTION f_rows(VARIADIC t[]) RETURNS int LANGUAGE sql AS 'SELECT f_write()';
    CREATE AGGREGATE agg_ok(int) (sfunc = f_pure, stype = int, initcond = '0');
    CREATE AGGREGATE agg_write(int) (sfunc = op_write, stype = int, initcond = '0');
    CREATE TABLE tenants (id int); ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
    CREATE POLICY p ON tenants USING (id = current_setting('app.tenant', true)::int);
    CREATE TABLE guarded (id int); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
    CREATE POLICY p ON guarded USING (f_calls(id) = 1);
    CREATE TABLE parts (id int) PARTITION BY RANGE (id);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
    CREATE TABLE mixed (id int) PARTITION BY RANGE (id);
    CREATE UNLOGGED TABLE mixed_1 PARTITION OF mixed FOR VALUES FROM (0) TO (10);
    CREATE TABLE ruled (id int); CREATE RULE r AS ON INSERT TO ruled DO ALSO INSERT INTO log VALUES (2);
    CREATE SCHEMA shadow;
    CREATE FUNCTION shadow.upper(text) RETURNS text LANGUAGE plpgsql
        AS 'BEGIN INSERT INTO log VALUES (1); RETURN $1; END';
    GRANT ALL ON SCHEMA public, shadow TO app; GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
    GRANT ALL ON SEQUENCE s TO app";

/// What a standby answers as the primary does.
const READS: &[&str] = &[
    "f_pure(1), f_pure(1, 2), f_count(), vouched_for(), f_given(1)",
    "count(*) FROM v_ok",
    "count(*) FROM v_vouched",
    "count(*) FROM m",
    "count(*) FROM parts",
    "count(*) FROM parts_1",
    "count(*) FROM tenants",
    "count(*) FROM ruled",
    "1 @@@@ 2",
    "5::d_ok, d_ok(5), 'sad'::mood",
    "t.v, (t).v, (t).id.f_pure FROM t",
    "agg_ok(id) FROM t",
    "pg_catalog.upper('a'), lower('A')",
];

/// What looks alike.
const NO_READS: &[&str] = &[
    "f_write()",
    "f_calls(1)",
    "f_lies()",
    "f_locks()",
    "f_hides()",
    "f_raw()",
    "f_avoided()",
    "f_takes(1)",
    "(1).f_takes",
    "count(*) FROM v_takes",
    "count(*) FROM raw",
    "last_value FROM s",
    "count(*) FROM v_write",
    "count(*) FROM v_nested",
    "count(*) FROM v_raw",
    "count(*) FROM v_seq",
    "count(*) FROM v_stat",
    "count(*) FROM v_op",
    "id FROM v_locks",
    "count(*) FROM precious",
    "count(*) FROM v_precious",
    "count(*) FROM guarded",
    "count(*) FROM mixed",
    "1 ### 2",
    "5::d_write",
    "d_write(5)",
    "1::cty",
    "t.sneaky FROM t",
    "t.f_rows FROM t",
    "(t.id).f_field FROM t",
    "(t).id.f_field FROM t",
    "('{1}'::int[])[1] . \"f_field\"",
    "(1::bigint).f_wraps",
    "(1).f_param",
    "('s'::text).nextval",
    "(42::bigint).pg_advisory_xact_lock::text",
    "agg_write(id) FROM t",
    "upper('a')",
];

/// Where a query runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Primary,
    Replica,
}

/// Where `SELECT` with these columns runs.
async fn place(client: &Client, columns: &str) -> Place {
    let sql = format!("SELECT (SELECT pg_is_in_recovery()), {columns}");
    let messages =
        client.simple_query(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    match row.unwrap_or_else(|| panic!("{sql}")).get(0) {
        Some("t") => Place::Replica,
        _ => Place::Primary,
    }
}

/// Waits until a query runs there, which it does for good then.
async fn settles(client: &Client, columns: &str, expected: Place) {
    eventually(columns, async || (place(client, columns).await == expected).then_some(())).await;
}

async fn start(major: u16) -> (Cluster, Pooler, Client) {
    let cluster = own_cluster(major).replicas(1).start().await.unwrap();
    cluster.primary().execute(OBJECTS).await.unwrap();
    let pooler = Pooler::start(&cluster, &KEYS).await;
    let client = client(&pooler.url()).await;
    (cluster, pooler, client)
}

async fn what_names_stand_for_decides(major: u16) {
    let (cluster, pooler, client) = start(major).await;
    for columns in READS {
        settles(&client, columns, Place::Replica).await;
    }
    for columns in NO_READS {
        assert_eq!(place(&client, columns).await, Place::Primary, "{columns}");
    }
    foreign_tables_are_read_on_the_primary(&cluster, &client).await;
    pooler.check();
}

/// While somebody holds a table that only the catalog's reader asks for, the pooler starts without a catalog.
async fn until_it_is_known_nothing_is_trusted(major: u16) {
    let cluster = own_cluster(major).replicas(1).start().await.unwrap();
    cluster.primary().execute(OBJECTS).await.unwrap();
    let holder = cluster.primary().client().await.unwrap();
    holder.batch_execute("BEGIN; LOCK TABLE pg_catalog.pg_depend").await.unwrap();
    let pooler = Pooler::start(&cluster, &KEYS).await;
    let (client, mut told) = listener(&pooler.url()).await;
    client.batch_execute("SET pglagoon.explain = on").await.unwrap();
    // What needs no catalog shows that the replica is there.
    eventually("the replica to be asked", async || {
        client.batch_execute("SELECT 1").await.unwrap();
        told.recv().await.unwrap().contains(": replica").then_some(())
    })
    .await;
    for (sql, reason) in [
        ("SELECT f_pure(1)", "unknown_function"),
        ("SELECT id FROM t", "catalog_not_loaded"),
        ("SELECT id FROM v_ok", "catalog_not_loaded"),
    ] {
        client.batch_execute(sql).await.unwrap();
        assert_eq!(told.recv().await.unwrap(), format!("pglagoon: primary ({reason})"), "{sql}");
    }
    holder.batch_execute("ROLLBACK").await.unwrap();
    settles(&client, "f_pure(id) FROM v_ok", Place::Replica).await;
    pooler.check();
}

/// A foreign table that nobody can read says where it was tried by an error in the log.
async fn foreign_tables_are_read_on_the_primary(cluster: &Cluster, client: &Client) {
    let sql = "CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER far FOREIGN DATA WRAPPER nowhere;
        CREATE FOREIGN TABLE away (id int) SERVER far; GRANT ALL ON away TO app";
    cluster.primary().execute(sql).await.unwrap();
    let tried =
        |node: &Node| node.log().contains("foreign-data wrapper \"nowhere\" has no handler");
    for _ in 0..3 {
        // Unknown at first, and known as what it is when the catalog has been read again.
        client.simple_query("SELECT * FROM away").await.unwrap_err();
        settles(client, "1 FROM t", Place::Replica).await;
    }
    assert!(tried(cluster.primary()) && !cluster.replicas().any(tried));
}

async fn changes_are_noticed(major: u16) {
    let (cluster, pooler, client) = start(major).await;
    settles(&client, "count(*) FROM t", Place::Replica).await;
    // Through the pooler: known on the primary at once, on replicas when the catalog has been read.
    client.batch_execute("CREATE TABLE made (id int)").await.unwrap();
    settles(&client, "count(*) FROM made", Place::Replica).await;
    client
        .batch_execute("CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        .await
        .unwrap();
    settles(&client, "mine()", Place::Replica).await;
    let sql = "CREATE OR REPLACE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT f_write()'";
    client.batch_execute(sql).await.unwrap();
    settles(&client, "mine()", Place::Primary).await;
    // Prepared statements follow.
    let statement = client.prepare("SELECT pg_is_in_recovery() FROM made2").await;
    assert!(statement.is_err());
    // Behind its back.
    let behind = cluster.primary();
    behind.execute("CREATE TABLE theirs (id int); GRANT ALL ON theirs TO app").await.unwrap();
    settles(&client, "count(*) FROM theirs", Place::Replica).await;
    let statement =
        client.prepare("SELECT (SELECT pg_is_in_recovery()), count(*) FROM theirs").await.unwrap();
    let runs_on_replica =
        async || client.query_one(&statement, &[]).await.unwrap().get::<_, bool>(0);
    assert!(runs_on_replica().await);
    behind.execute("ALTER TABLE theirs SET UNLOGGED").await.unwrap();
    eventually("the prepared statement to follow", async || {
        (!runs_on_replica().await).then_some(())
    })
    .await;
    // What PostgreSQL's counters do not tell is found out by the replica's refusal, and the client sees none.
    behind.execute("CREATE OR REPLACE FUNCTION f_count() RETURNS bigint LANGUAGE sql AS 'INSERT INTO log VALUES (3) RETURNING 1::bigint'").await.unwrap();
    settles(&client, "f_count()", Place::Primary).await;
    pooler.check();
}

async fn who_logs_in_begins_with_the_defaults_of_the_role_and_the_database(major: u16) {
    let cluster = own_cluster(major).replicas(1).start().await.unwrap();
    let pooler = Pooler::start(&cluster, &KEYS).await;
    let shows = async |name: &str, expected: &str| {
        eventually(name, async || {
            let late = client(&pooler.url()).await;
            // On a replica, on the primary, and what is told at the log-in.
            let read = one(&late, &format!("SELECT current_setting('{name}')")).await;
            late.batch_execute("BEGIN; SELECT txid_current()").await.unwrap();
            let written = one(&late, &format!("SELECT current_setting('{name}')")).await;
            (read == expected && written == expected).then_some(())
        })
        .await;
    };
    let early = client(&pooler.url()).await;
    early.batch_execute("SET work_mem = '3MB'").await.unwrap();
    // By way of the pooler, and by somebody else.
    early.batch_execute("ALTER ROLE app SET lock_timeout = '77s'").await.unwrap();
    shows("lock_timeout", "77s").await;
    let sql = "ALTER DATABASE app SET lock_timeout = '78s'; ALTER DATABASE app SET timezone = 'Asia/Tokyo'";
    cluster.primary().execute(sql).await.unwrap();
    shows("timezone", "Asia/Tokyo").await;
    cluster.primary().execute("ALTER ROLE app RESET lock_timeout").await.unwrap();
    shows("lock_timeout", "78s").await;
    assert_eq!(one(&early, "SHOW work_mem").await, "3MB");
    pooler.check();
}
