//! What is classified as a read means the same on a real standby: the statements of the corpus are run.

use std::sync::Arc;

use futures_util::TryStreamExt as _;
use pglagoon::{
    cluster::catalog::Reader,
    demo::Node,
    sql::{Catalog, Class, Classifier, Facts, LiveCatalog, Overrides, Trees},
};
use tokio_postgres::{Client, Error, SimpleQueryMessage};

use crate::fixture::{on_each_version, own_cluster};

on_each_version!(what_a_standby_refuses_or_answers_differently_is_no_read);

/// A line of the corpus.
struct Line {
    class: &'static str,
    /// The first major version that knows the statement.
    since: u16,
    sql: &'static str,
}

fn corpus() -> impl Iterator<Item = Line> {
    let files = [
        include_str!("../src/sql/testdata/standby.txt"),
        include_str!("../src/sql/testdata/corpus.txt"),
    ];
    let lines = files.into_iter().flat_map(str::lines).filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let (class, sql) = line.split_once(" || ").unwrap();
        let (class, since) = class.split_once(' ').unwrap_or((class, "0"));
        Line { class, since: since.parse().unwrap(), sql }
    })
}

async fn what_a_standby_refuses_or_answers_differently_is_no_read(major: u16) {
    let cluster = own_cluster(major).replicas(1).start().await.unwrap();
    let primary = connect(cluster.primary()).await;
    primary.batch_execute(include_str!("../src/sql/testdata/objects.sql")).await.unwrap();
    cluster.wait_caught_up().await.unwrap();
    let standby = connect(cluster.replica(0).unwrap()).await;
    let known = LiveCatalog::new(catalog(cluster.primary()).await, 1);
    let mut classifier = Classifier::new(64);
    let mut wrong = Vec::new();
    let mut counts = [0; 2];
    for Line { class, sql, .. } in corpus().filter(|line| line.since <= major) {
        let found = classifier.classify(sql.as_bytes(), &LiveCatalog::default()).class;
        let by_catalog = classifier.classify(sql.as_bytes(), &known).class;
        match (by_catalog, class) {
            (Class::Read, "read") => {}
            // A volatile function whose body only reads, for instance.
            (Class::Read, _) => {
                let problem = compare(&primary, &standby, "read", sql).await;
                wrong.extend(problem.map(|what| format!("{what}, by the catalog: {sql}")));
            }
            (_, "read") => wrong.push(format!("{by_catalog:?} by the catalog: {sql}")),
            _ => {}
        }
        let problem = if found == Class::Read {
            counts[0] += 1;
            compare(&primary, &standby, class, sql).await
        } else {
            counts[1] += 1;
            check_syntax(&primary, sql).await
        };
        if let Some(problem) = problem {
            wrong.push(format!("{problem}: {sql}"));
        }
    }
    wrong.extend(readable_system_relations(&primary, &mut classifier, &known).await);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(counts[0] > 150 && counts[1] > 450, "{counts:?}");
}

/// PostgreSQL's own tables and views that count as reads: many of them tell of their node alone, so none may.
async fn readable_system_relations(
    primary: &Client,
    classifier: &mut Classifier,
    known: &LiveCatalog,
) -> Vec<String> {
    let sql = "SELECT unnest(ARRAY[oid::regclass::text, 'pg_catalog.' || relname]) FROM pg_class
        WHERE relkind IN ('v', 'r') AND relnamespace = 'pg_catalog'::regnamespace";
    let rows = primary.query(sql, &[]).await.unwrap();
    assert!(rows.len() > 200, "{}", rows.len());
    let statements = rows.iter().map(|row| format!("select * from {}", row.get::<_, String>(0)));
    statements
        .filter(|sql| classifier.classify(sql.as_bytes(), known).class == Class::Read)
        .map(|sql| format!("a read: {sql}"))
        .collect()
}

/// The catalog of the database, as pgLagoon reads it.
async fn catalog(primary: &Node) -> Catalog {
    let reader = Reader::over(primary.client().await.unwrap()).await.unwrap();
    let mut facts = Facts::new(Overrides::default(), Trees::default());
    reader.read(&mut facts).await.unwrap();
    let (snapshot, _) = facts.settle();
    Catalog::of(Arc::new(snapshot), Arc::default())
}

/// A connection on which nothing takes for ever.
async fn connect(node: &Node) -> Client {
    let client = node.client().await.unwrap();
    client.batch_execute("SET statement_timeout = '1min'").await.unwrap();
    client
}

/// What is wrong with a statement that is classified as a read.
async fn compare(primary: &Client, standby: &Client, class: &str, sql: &str) -> Option<String> {
    let there = answer(standby, sql).await;
    let here = answer(primary, sql).await;
    let is_typo = |code: &str| ["42601", "42P01", "42703", "42883", "42804"].contains(&code);
    match &here {
        // What only the catalog can tell may differ; if it did not, it would not be worth a line.
        _ if class == "catalog" => (here == there).then(|| format!("{here:?} on both nodes")),
        Err(code) if is_typo(code) => Some(format!("the primary says {code}")),
        _ if here == there => None,
        // Plans follow statistics, and measure time.
        Ok(_) if there.is_ok() && sql.starts_with("explain") => None,
        // Clocks and chance: one and the same node answers differently, too.
        Ok(_) if there.is_ok() && answer(primary, sql).await != here => None,
        _ => Some(format!("{here:?} on the primary, {there:?} on the standby")),
    }
}

/// What is wrong with a statement that is not classified as a read: nothing, if it is a statement.
async fn check_syntax(primary: &Client, sql: &str) -> Option<String> {
    // A backup waits for a checkpoint, for instance; what is waited for here is but the parser.
    if primary.simple_query("BEGIN; SET LOCAL statement_timeout = '200ms'").await.is_err() {
        return Some("the session is lost".to_owned());
    }
    let found = if sql.starts_with("copy") && sql.contains("from stdin") {
        Err(String::new())
    } else {
        answer(primary, sql).await
    };
    primary.simple_query("ROLLBACK").await.unwrap();
    found.err().filter(|code| code == "42601").map(|_| "the primary sees a syntax error".to_owned())
}

/// All rows, or the SQLSTATE.
async fn answer(client: &Client, sql: &str) -> Result<Vec<String>, String> {
    let code = |error: Error| match error.code() {
        Some(code) => code.code().to_owned(),
        None => error.to_string(),
    };
    if sql.starts_with("copy") && sql.contains(" to stdout") {
        let stream = client.copy_out(sql).await.map_err(code)?;
        let rows: Vec<_> = stream.try_collect().await.map_err(code)?;
        return Ok(rows.iter().map(|row| format!("{row:?}")).collect());
    }
    let messages = client.simple_query(sql).await.map_err(code)?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some(format!("{:?}", (0..row.len()).map(|column| row.get(column)).collect::<Vec<_>>()))
        }
        _ => None,
    });
    Ok(rows.collect())
}
