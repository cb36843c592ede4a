//! What is classified as a read means the same on a real standby: every function that PostgreSQL has is tried.

use pglagoon::{
    demo::Node,
    sql::{Class, Classifier, LiveCatalog},
};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::fixture::{on_each_version, shared_cluster};

on_each_version!(
    no_volatile_function_is_a_read_but_those_that_are_known_to_be_harmless,
    functions_that_are_reads_answer_the_same_on_a_standby,
    operators_that_are_reads_are_not_volatile,
    postgresqls_own_functions_of_a_row_do_no_harm_without_a_parenthesis,
);

/// Volatile by label, and yet no node's business: time, chance, sleep, and what all nodes store alike.
const HARMLESS: &[&str] = &[
    "array_sample",
    "array_shuffle",
    "clock_timestamp",
    "current_query",
    "gen_random_uuid",
    "lo_get",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "random",
    "random_normal",
    "timeofday",
    // By mistake, of `timetz`, before PostgreSQL 14.
    "timezone",
    "uuidv4",
    "uuidv7",
];

/// Their answer differs from call to call on one and the same node.
const EVER_DIFFERENT: &[&str] = &[
    "clock_timestamp",
    "gen_random_uuid",
    "now",
    "random",
    "random_normal",
    "statement_timestamp",
    "timeofday",
    "transaction_timestamp",
    "uuidv4",
    "uuidv7",
];

fn is_read(classifier: &mut Classifier, sql: &str) -> bool {
    classifier.classify(sql.as_bytes(), &LiveCatalog::default()).class == Class::Read
}

async fn rows(node: &Node, sql: &str) -> Vec<[String; 2]> {
    let client = node.client().await.unwrap();
    let text = |row: &tokio_postgres::Row, column| row.get::<_, String>(column);
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| [text(row, 0), text(row, 1)]).collect()
}

async fn no_volatile_function_is_a_read_but_those_that_are_known_to_be_harmless(major: u16) {
    let cluster = shared_cluster(major).await;
    let sql = "SELECT DISTINCT proname::text, '' FROM pg_proc
               WHERE provolatile = 'v' AND pronamespace = 'pg_catalog'::regnamespace ORDER BY 1";
    let mut classifier = Classifier::new(64);
    let reads: Vec<String> = rows(cluster.primary(), sql)
        .await
        .into_iter()
        .filter(|[name, _]| is_read(&mut classifier, &format!("SELECT {name}()")))
        .map(|[name, _]| name)
        .filter(|name| !HARMLESS.contains(&name.as_str()))
        .collect();
    assert_eq!(reads, [""; 0]);
}

async fn functions_that_are_reads_answer_the_same_on_a_standby(major: u16) {
    let cluster = shared_cluster(major).await;
    // Each function with NULL for every argument, and the aggregates, too.
    let sql = "SELECT proname::text, format('SELECT %I(%s)::text', proname,
                   (SELECT coalesce(string_agg('NULL::' || format_type(t, NULL), ', ' ORDER BY n), '')
                    FROM unnest(proargtypes) WITH ORDINALITY AS a (t, n)))
               FROM pg_proc
               WHERE prokind IN ('f', 'a') AND pronamespace = 'pg_catalog'::regnamespace
                 AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype)
               ORDER BY oid";
    let mut classifier = Classifier::new(64);
    let primary = cluster.primary().client().await.unwrap();
    let replica = cluster.replica(0).unwrap().client().await.unwrap();
    let mut differences = Vec::new();
    let mut tried = 0;
    for [name, call] in rows(cluster.primary(), sql).await {
        if !is_read(&mut classifier, &call) || EVER_DIFFERENT.contains(&name.as_str()) {
            continue;
        }
        tried += 1;
        let answers = (answer(&primary, &call).await, answer(&replica, &call).await);
        if answers.0 != answers.1 {
            differences.push(format!("{call}: {answers:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(tried > 1500, "only {tried} functions are reads");
}

/// The first value, or the SQLSTATE.
async fn answer(client: &Client, sql: &str) -> Result<Option<String>, String> {
    match client.simple_query(sql).await {
        Ok(messages) => Ok(messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })),
        Err(error) => Err(error.code().unwrap().code().to_owned()),
    }
}

async fn operators_that_are_reads_are_not_volatile(major: u16) {
    let cluster = shared_cluster(major).await;
    let sql = "SELECT oprname::text, provolatile::text FROM pg_operator JOIN pg_proc ON pg_proc.oid = oprcode
               WHERE oprnamespace = 'pg_catalog'::regnamespace AND provolatile = 'v'";
    let mut classifier = Classifier::new(64);
    for [operator, _] in rows(cluster.primary(), sql).await {
        let is_read = is_read(&mut classifier, &format!("SELECT a {operator} b FROM t"));
        assert!(!is_read, "{operator} is volatile");
    }
    assert!(is_read(&mut classifier, "SELECT a @> b FROM t"));
}

/// `SELECT t.f FROM t` calls a function without a parenthesis that would betray it.
async fn postgresqls_own_functions_of_a_row_do_no_harm_without_a_parenthesis(major: u16) {
    let cluster = shared_cluster(major).await;
    let sql = "SELECT DISTINCT proname::text, '' FROM pg_proc
        JOIN pg_type t ON t.oid = CASE WHEN provariadic <> 0 AND pronargs = 1 THEN provariadic ELSE proargtypes[0] END
        WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f' AND pronargs > 0
            AND pronargs - pronargdefaults <= 1
            AND (typname IN ('any', 'record') OR typname IN ('anyelement', 'anynonarray') OR typname LIKE 'anycompatible%')
        ORDER BY 1";
    let mut classifier = Classifier::new(64);
    let functions = rows(cluster.primary(), sql).await;
    assert!(functions.len() > 10, "{functions:?}");
    // Of a row they say nothing, and the last two refuse to be called with it alone.
    let harmless = [
        "pg_column_compression",
        "pg_column_toast_chunk_id",
        "pg_restore_attribute_stats",
        "pg_restore_relation_stats",
    ];
    let is_more = |name: &&str| !is_read(&mut classifier, &format!("SELECT {name}(t)"));
    let mut more = functions.iter().map(|[name, _]| name.as_str()).filter(is_more);
    assert!(more.all(|name| harmless.contains(&name)), "{functions:?}");
}
