//! What `currval` and `lastval` say is the client's own, whoever else has used the server; else they say nothing.

use std::collections::HashMap;

use pglagoon::demo::Cluster;
use tokio_postgres::{Client, Error, error::SqlState};

use crate::{
    fixture::{client, on_each_version, one, shared_cluster, unique},
    pooler::Pooler,
};

on_each_version!(
    whoever_asks_gets_its_own_values_or_none,
    who_asks_outside_its_transaction_finds_its_server_and_keeps_it,
    whoever_asks_first_is_told_its_own_values,
    what_is_asked_about_keeps_its_server_for_the_question,
    values_that_may_be_anothers_fail_a_transaction_that_asks_late,
    what_asks_within_a_function_is_known_from_the_catalog,
);

/// A database of its own, of which no pooler has heard yet.
pub(crate) async fn database(cluster: &Cluster, content: &str) -> String {
    let name = unique("values");
    let superuser = client(&cluster.primary().superuser_url()).await;
    superuser.batch_execute(&format!("CREATE DATABASE {name} OWNER app")).await.unwrap();
    let url = cluster.primary().url().clone();
    let url = format!("{}/{name}", url.rsplit_once('/').unwrap().0);
    client(&url).await.batch_execute(content).await.unwrap();
    url
}

/// In front of that database, with so many servers that take turns.
async fn pooler(cluster: &Cluster, database: &str, servers: &str) -> Pooler {
    let keys = [
        ("databases.app.primary", &*format!("{database:?}")),
        ("databases.app.replicas", ""),
        ("pool.default_pool_size", servers),
        ("pool.server_order", "\"oldest\""),
        ("listen.workers", "1"),
        ("logging.level", "\"debug\""),
    ];
    let pooler = Pooler::start(cluster, &keys).await;
    // A server that nobody has had has no values.
    let count: usize = servers.parse().unwrap();
    let mut clients = Vec::new();
    for _ in 0..count {
        let client = client(&pooler.url()).await;
        client.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.unwrap();
        clients.push(client);
    }
    for client in clients {
        client.batch_execute("COMMIT").await.unwrap();
    }
    pooler
}

/// The value of a query, or its error.
async fn value(client: &Client, sql: &str) -> Result<i64, Error> {
    if rand::random() {
        return Ok(client.query_one(sql, &[]).await?.get(0));
    }
    for message in client.simple_query(sql).await? {
        if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
            return Ok(row.get(0).unwrap().parse().unwrap());
        }
    }
    panic!("{sql} has no row");
}

/// What a client knows of itself.
#[derive(Default)]
struct Own {
    current: HashMap<usize, i64>,
    last: Option<i64>,
    /// Of these the sequences that it has used in the transaction that it is in.
    fresh: Vec<usize>,
}

async fn whoever_asks_gets_its_own_values_or_none(major: u16) {
    const SEQUENCES: usize = 3;
    let cluster = shared_cluster(major).await;
    let content = "CREATE SEQUENCE s0; CREATE SEQUENCE s1; CREATE SEQUENCE s2;
        CREATE TABLE t (n bigint DEFAULT nextval('s0'));
        CREATE FUNCTION hidden(s text) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN currval(s); END'";
    let url = database(cluster, content).await;
    let pooler = pooler(cluster, &url, "5").await;
    let clients = (0..4).map(async |_| {
        let client = client(&pooler.url()).await;
        let mut own = Own::default();
        let mut is_open = false;
        for _ in 0..150 {
            let pick = rand::random_range(0..SEQUENCES);
            match rand::random_range(0..8) {
                0 | 1 => {
                    let next = value(&client, &format!("SELECT nextval('s{pick}')")).await.unwrap();
                    own.current.insert(pick, next);
                    own.last = Some(next);
                    own.fresh.push(pick);
                }
                2 => {
                    let insert = "INSERT INTO t DEFAULT VALUES RETURNING n";
                    let next = value(&client, insert).await.unwrap();
                    own.current.insert(0, next);
                    own.last = Some(next);
                    own.fresh.push(0);
                }
                3 | 4 if is_open => {
                    client.batch_execute("COMMIT").await.unwrap();
                    is_open = false;
                }
                3 | 4 => {
                    client.batch_execute("BEGIN").await.unwrap();
                    is_open = true;
                    own.fresh.clear();
                }
                kind => {
                    let (sql, expected, is_sure) = match kind {
                        5 => (
                            format!("SELECT currval('s{pick}')"),
                            own.current.get(&pick).copied(),
                            own.fresh.contains(&pick),
                        ),
                        6 => (
                            format!("SELECT hidden('s{pick}')"),
                            own.current.get(&pick).copied(),
                            own.fresh.contains(&pick),
                        ),
                        _ => ("SELECT lastval()".to_owned(), own.last, !own.fresh.is_empty()),
                    };
                    if is_open {
                        client.batch_execute("SAVEPOINT before").await.unwrap();
                    }
                    match value(&client, &sql).await {
                        Ok(found) => assert_eq!(Some(found), expected, "{sql}"),
                        Err(error) => {
                            let code = error.code().cloned();
                            let undefined = Some(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
                            assert_eq!(code, undefined, "{sql}: {error:?}");
                            assert!(!(is_open && is_sure), "{sql}: {expected:?}");
                            if is_open {
                                let back = "ROLLBACK TO before";
                                client.batch_execute(back).await.unwrap();
                            }
                        }
                    }
                }
            }
        }
    });
    futures_util::future::join_all(clients).await;
    pooler.check();
}

/// Checks that the client is told this value.
async fn says(client: &Client, sql: &str, expected: i64) {
    assert_eq!(value(client, sql).await.unwrap(), expected, "{sql}");
}

/// Checks that the client is told that there are no values.
async fn says_nothing(client: &Client, sql: &str) {
    let code = value(client, sql).await.err().and_then(|error| error.code().cloned());
    assert_eq!(code, Some(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE), "{sql}");
}

async fn who_asks_outside_its_transaction_finds_its_server_and_keeps_it(major: u16) {
    let cluster = shared_cluster(major).await;
    let url = database(cluster, "CREATE TABLE t (n serial); CREATE TABLE u (n int)").await;
    let pooler = pooler(cluster, &url, "3").await;
    let insert = "INSERT INTO t DEFAULT VALUES";
    let [ours, theirs] = [client(&pooler.url()).await, client(&pooler.url()).await];
    // Since somebody asks for values, all are kept apart.
    says_nothing(&theirs, "SELECT lastval()").await;
    theirs.batch_execute("DISCARD ALL").await.unwrap();
    ours.batch_execute(insert).await.unwrap();
    theirs.batch_execute(insert).await.unwrap();
    says(&ours, "SELECT lastval()", 1).await;
    // From then on it has a server of its own.
    for expected in 3..6 {
        theirs.batch_execute("INSERT INTO u VALUES (1)").await.unwrap();
        ours.batch_execute(insert).await.unwrap();
        says(&ours, "SELECT lastval()", expected).await;
        says(&ours, "SELECT currval('t_n_seq')", expected).await;
    }
    let log = pooler.log();
    assert!(log.contains("reason=\"sequence\""), "{log}");
    gives_its_server_up(&ours).await;
    pooler.check();
}

/// Checks that the client is free again after DISCARD SEQUENCES.
async fn gives_its_server_up(client: &Client) {
    client.batch_execute("DISCARD SEQUENCES").await.unwrap();
    let pid = "SELECT pg_backend_pid()";
    assert_ne!(one(client, pid).await, one(client, pid).await);
    says_nothing(client, "SELECT lastval()").await;
}

async fn is_read(pooler: &Pooler) {
    let log = async || pooler.log().contains("catalog read").then_some(());
    crate::fixture::eventually("the catalog to be read", log).await;
}

/// As PHP's PDO asks, in a transaction or right behind the INSERT.
async fn whoever_asks_first_is_told_its_own_values(major: u16) {
    let cluster = shared_cluster(major).await;
    let url = database(cluster, "CREATE TABLE t (n serial)").await;
    for (asks, is_open) in [
        ("SELECT LASTVAL()", true),
        ("SELECT CURRVAL('t_n_seq')", true),
        ("SELECT LASTVAL()", false),
    ] {
        let pooler = pooler(cluster, &url, "2").await;
        is_read(&pooler).await;
        let [ours, theirs] = [client(&pooler.url()).await, client(&pooler.url()).await];
        for _ in 0..4 {
            theirs.batch_execute("INSERT INTO t DEFAULT VALUES").await.unwrap();
        }
        if is_open {
            ours.batch_execute("BEGIN").await.unwrap();
        }
        let inserted = one(&ours, "INSERT INTO t DEFAULT VALUES RETURNING n").await;
        says(&ours, asks, inserted.parse().unwrap()).await;
        if is_open {
            ours.batch_execute("COMMIT").await.unwrap();
        }
        pooler.check();
    }
}

/// An INSERT after which clients ask.
const ASKED_ABOUT: &str = "INSERT INTO t (n) VALUES (DEFAULT) RETURNING n";

/// Uses every server.
async fn write_everywhere(client: &Client) {
    for _ in 0..6 {
        client.batch_execute("INSERT INTO t DEFAULT VALUES").await.unwrap();
    }
}

async fn what_is_asked_about_keeps_its_server_for_the_question(major: u16) {
    let cluster = shared_cluster(major).await;
    let url = database(cluster, "CREATE TABLE t (n serial)").await;
    let pooler = pooler(cluster, &url, "3").await;
    is_read(&pooler).await;
    let theirs = client(&pooler.url()).await;
    let first = client(&pooler.url()).await;
    first.batch_execute(ASKED_ABOUT).await.unwrap();
    write_everywhere(&theirs).await;
    says_nothing(&first, "SELECT LASTVAL()").await;
    drop(first);
    asks_behind_it(&pooler, &theirs, None).await;
    asks_behind_it(&pooler, &theirs, Some(("BEGIN", "SELECT 1; COMMIT"))).await;
    who_does_not_ask_is_free(&client(&pooler.url()).await).await;
    pooler.check();
}

/// Checks that a client gets its own value behind a transaction, or a statement alone.
async fn asks_behind_it(pooler: &Pooler, theirs: &Client, around: Option<(&str, &str)>) {
    let ours = client(&pooler.url()).await;
    if let Some((begin, _)) = around {
        ours.batch_execute(begin).await.unwrap();
    }
    let inserted = one(&ours, ASKED_ABOUT).await;
    if let Some((_, end)) = around {
        ours.batch_execute(end).await.unwrap();
    }
    write_everywhere(theirs).await;
    assert_eq!(one(&ours, "SELECT LASTVAL()").await, inserted);
}

/// Checks that the client gives its server up with the statement behind what is asked about.
async fn who_does_not_ask_is_free(client: &Client) {
    client.batch_execute(ASKED_ABOUT).await.unwrap();
    let pid = "SELECT pg_backend_pid()";
    one(client, pid).await;
    assert_ne!(one(client, pid).await, one(client, pid).await);
}

/// Has two clients meet each other's values until nobody is believed to ask for any.
async fn wear_out([ours, theirs]: [&Client; 2]) {
    for round in 0..1_100 {
        let both = if round % 2 == 0 { [ours, theirs] } else { [theirs, ours] };
        for client in both {
            client.batch_execute("INSERT INTO t DEFAULT VALUES").await.unwrap();
        }
    }
}

async fn values_that_may_be_anothers_fail_a_transaction_that_asks_late(major: u16) {
    let cluster = shared_cluster(major).await;
    let url = database(cluster, "CREATE TABLE t (n serial)").await;
    for is_simple in [true, false] {
        let pooler = pooler(cluster, &url, "2").await;
        let [ours, theirs] = [client(&pooler.url()).await, client(&pooler.url()).await];
        is_read(&pooler).await;
        wear_out([&ours, &theirs]).await;
        // All servers have values of somebody.
        for _ in 0..2 {
            theirs.batch_execute("INSERT INTO t DEFAULT VALUES").await.unwrap();
        }
        let statement = ours.prepare("SELECT n FROM t").await.unwrap();
        let ask = async || {
            ours.batch_execute("BEGIN; INSERT INTO t DEFAULT VALUES").await.unwrap();
            let expected = one(&ours, "SELECT max(n) FROM t").await;
            let asked = if is_simple {
                ours.simple_query("SELECT lastval()").await.map(drop)
            } else {
                let row = ours.query_one("SELECT lastval()", &[]).await;
                row.map(|row| assert_eq!(row.get::<_, i64>(0).to_string(), expected))
            };
            let ended = ours.batch_execute("COMMIT").await;
            asked.and(ended)
        };
        let doubt = ask().await.unwrap_err();
        assert_eq!(doubt.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE), "{doubt:?}");
        // As it says, the second time it works.
        for _ in 0..4 {
            ask().await.unwrap();
        }
        ours.query(&statement, &[]).await.unwrap();
        // And nobody gets what it has left.
        theirs.batch_execute("BEGIN").await.unwrap();
        says_nothing(&theirs, "SELECT currval('t_n_seq')").await;
        theirs.batch_execute("ROLLBACK").await.unwrap();
        pooler.check();
    }
}

async fn what_asks_within_a_function_is_known_from_the_catalog(major: u16) {
    let cluster = shared_cluster(major).await;
    let content = "CREATE TABLE t (n serial); CREATE TABLE log (n int);";
    let hiding = [
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT lastval()::int; END",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN EXECUTE ''SELECT LastVal()''; RETURN 1; END'",
        "CREATE VIEW v AS SELECT lastval() AS n; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT n::int FROM v'",
        "ALTER TABLE log ALTER n SET DEFAULT lastval(); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS
            'INSERT INTO log DEFAULT VALUES RETURNING n'",
    ];
    for hiding in hiding.into_iter().filter(|sql| major >= 14 || !sql.contains("ATOMIC")) {
        let url = database(cluster, &format!("{content}{hiding}")).await;
        let pooler = pooler(cluster, &url, "2").await;
        let theirs = client(&pooler.url()).await;
        for _ in 0..4 {
            let ours = client(&pooler.url()).await;
            theirs.batch_execute("INSERT INTO t DEFAULT VALUES").await.unwrap();
            ours.batch_execute("BEGIN").await.unwrap();
            says_nothing(&ours, &format!("SELECT f() /* {hiding} */")).await;
            ours.batch_execute("ROLLBACK; BEGIN; INSERT INTO t DEFAULT VALUES").await.unwrap();
            ours.batch_execute("SELECT f(); COMMIT").await.unwrap();
        }
        pooler.check();
    }
}
