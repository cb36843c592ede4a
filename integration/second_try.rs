//! What a replica alone has failed is run again elsewhere, and nobody notices.

use std::time::Duration;

use futures_util::future::join;
use pglagoon::demo::{Cluster, Node};
use tokio::sync::mpsc::Receiver;
use tokio_postgres::{Client, error::SqlState};

use crate::{
    fixture::{client, eventually, on_each_version, own_cluster},
    own_parameters::listener,
    pooler::Pooler,
};

on_each_version!(
    what_a_replica_fails_runs_on_another,
    what_only_the_primary_knows_yet_is_read_there,
);

async fn what_a_replica_fails_runs_on_another(major: u16) {
    let cluster = own_cluster(major).start().await.unwrap();
    let pooler = Pooler::start(&cluster, &[("routing.max_lag", "\"500ms\"")]).await;
    let mut reader = slow_reader(&cluster, &pooler).await;
    a_read_whose_server_is_terminated(&cluster, &mut reader).await;
    what_nobody_knows_fails_once(&mut reader).await;
    pooler.check();
}

/// A read that takes as long as the table says.
pub(crate) const READ: &str = "SELECT n FROM pace, pg_sleep(n)";

/// A client that is told where its statements run, and a table that has its read sleep.
pub(crate) async fn slow_reader(cluster: &Cluster, pooler: &Pooler) -> (Client, Receiver<String>) {
    let (reader, mut told) = listener(&pooler.url()).await;
    let sql = "CREATE TABLE pace (n int); INSERT INTO pace VALUES (0)";
    client(&pooler.url()).await.batch_execute(sql).await.unwrap();
    cluster.wait_caught_up().await.unwrap();
    reader.batch_execute("SET pglagoon.explain = on").await.unwrap();
    eventually("the read to run on a replica", async || {
        reader.batch_execute(READ).await.unwrap();
        told.recv().await.unwrap().contains("(read)").then_some(())
    })
    .await;
    (reader, told)
}

/// Has the read take so many seconds.
pub(crate) async fn pace(cluster: &Cluster, seconds: u32) {
    cluster.primary().execute(&format!("UPDATE pace SET n = {seconds}")).await.unwrap();
    cluster.wait_caught_up().await.unwrap();
}

/// The replica that a read is running on, and the process that runs it.
pub(crate) async fn running<'a>(cluster: &'a Cluster, read: &str) -> (&'a Node, String) {
    let sql = format!(
        "SELECT pid FROM pg_stat_activity WHERE query = $text${read}$text$ AND state = 'active'"
    );
    eventually("the read to run", async || {
        for replica in cluster.replicas() {
            if let Some(process) = replica.query_text(&sql).await.unwrap() {
                return Some((replica, process));
            }
        }
        None
    })
    .await
}

/// Where the read went: first to one replica, then to another; to the primary, if at all, at last.
pub(crate) fn check(told: &mut Receiver<String>) {
    let mut places = Vec::new();
    while let Ok(notice) = told.try_recv() {
        places.push(notice);
    }
    let [first, second, rest @ ..] = &*places else { panic!("{places:?}") };
    let name = |notice: &str| notice.split(" (").next().unwrap().to_owned();
    assert!(first.starts_with("pglagoon: replica") && first.ends_with("(read)"), "{places:?}");
    assert!(second.starts_with("pglagoon: replica"), "{places:?}");
    assert!(second.ends_with("(replica_failed)") && name(first) != name(second), "{places:?}");
    assert!(matches!(rest, [] | [_]) && rest.iter().all(|last| last.contains("primary")));
}

async fn a_read_whose_server_is_terminated(
    cluster: &Cluster,
    (reader, told): &mut (Client, Receiver<String>),
) {
    pace(cluster, 300).await;
    let termination = async {
        let (replica, process) = running(cluster, READ).await;
        pace(cluster, 0).await;
        replica.execute(&format!("SELECT pg_terminate_backend({process})")).await.unwrap();
    };
    let (read, ()) = join(reader.batch_execute(READ), termination).await;
    read.unwrap();
    check(told);
}

async fn what_nobody_knows_fails_once((reader, told): &mut (Client, Receiver<String>)) {
    // A catalog that was changed only just now would speak for another try.
    eventually("the error to come from a replica alone", async || {
        let error = reader.batch_execute("SELECT nothing").await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::UNDEFINED_COLUMN));
        let told: Vec<String> = std::iter::from_fn(|| told.try_recv().ok()).collect();
        let [notice] = &*told else { return None };
        notice.ends_with("(read)").then_some(())
    })
    .await;
}

async fn what_only_the_primary_knows_yet_is_read_there(major: u16) {
    let late = Duration::from_secs(2);
    let cluster = own_cluster(major).delay(0, late).delay(1, late).start().await.unwrap();
    let keys = [("routing.max_lag", "\"30s\""), ("routing.consistency", "\"eventual\"")];
    let pooler = Pooler::start(&cluster, &keys).await;
    let writer = client(&pooler.url()).await;
    let (reader, mut told) = listener(&pooler.url()).await;
    reader.batch_execute("SET pglagoon.explain = on").await.unwrap();
    writer.batch_execute("CREATE TABLE late (n int)").await.unwrap();
    cluster.wait_caught_up().await.unwrap();
    let function = "CREATE FUNCTION late_@() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 7'";
    for (ddl, read) in [
        (function, "SELECT late_@()"),
        ("ALTER TABLE late ADD late_@ int", "SELECT late_@ FROM late"),
        ("CREATE TABLE late_@ (n int)", "SELECT n FROM late_@"),
    ] {
        let mut number = 0;
        eventually("a replica to be asked for what it does not know yet", async || {
            number += 1;
            let [ddl, read] = [ddl, read].map(|sql| sql.replace('@', &number.to_string()));
            writer.batch_execute(&ddl).await.unwrap();
            loop {
                reader.batch_execute(&read).await.unwrap();
                let told: Vec<String> = std::iter::from_fn(|| told.try_recv().ok()).collect();
                match told.last()?.as_str() {
                    "pglagoon: primary (replica_failed)" => return Some(()),
                    // The replicas have been quicker than the catalog's reader.
                    last if last.contains("replica") => return None,
                    _ => {}
                }
            }
        })
        .await;
    }
    pooler.check();
}
