//! The throwaway clusters themselves: what every other test relies on.

use std::time::{Duration, Instant};

use pglagoon::demo::{Authentication, ClusterBuilder, Shutdown};

use crate::fixture::{client, installation, on_each_version, own_cluster, shared_cluster};

on_each_version!(
    what_the_primary_writes_reaches_every_replica,
    the_ordinary_user_owns_the_database,
    a_promoted_replica_takes_writes_and_the_other_follows_it,
    restarted_nodes_are_back_at_their_ports_and_stream_again,
    a_paused_node_answers_nothing_until_it_goes_on,
    a_delayed_replica_lags,
    nothing_is_left_of_a_dropped_cluster,
);

async fn what_the_primary_writes_reaches_every_replica(major: u16) {
    let cluster = shared_cluster(major).await;
    let sql = "CREATE TABLE reached AS SELECT generate_series(1, 100) AS x";
    cluster.primary().execute(sql).await.unwrap();
    cluster.wait_caught_up().await.unwrap();
    assert_eq!(cluster.replicas().count(), 2);
    for replica in cluster.replicas() {
        let count = replica.query_text("SELECT count(*) FROM reached").await.unwrap();
        assert_eq!(count.as_deref(), Some("100"));
        let name = replica.query_text("SHOW cluster_name").await.unwrap();
        assert_eq!(name.as_deref(), Some(replica.name()));
        assert!(replica.execute("DROP TABLE reached").await.is_err());
    }
    let version = cluster.primary().query_text("SHOW server_version_num").await.unwrap().unwrap();
    assert_eq!(version[..2], major.to_string());
}

async fn the_ordinary_user_owns_the_database(major: u16) {
    let cluster = shared_cluster(major).await;
    let app = client(&cluster.primary().url()).await;
    app.batch_execute("CREATE SCHEMA mine; CREATE TABLE mine.t (x int)").await.unwrap();
    let superuser: bool = app
        .query_one("SELECT rolsuper FROM pg_roles WHERE rolname = current_user", &[])
        .await
        .unwrap()
        .get(0);
    assert!(!superuser);
    let wrong = cluster.primary().url().replace("app:", "app:x");
    assert!(tokio_postgres::connect(&wrong, tokio_postgres::NoTls).await.is_err());
}

async fn a_promoted_replica_takes_writes_and_the_other_follows_it(major: u16) {
    let cluster = own_cluster(major).start().await.unwrap();
    cluster.primary().execute("CREATE TABLE t AS SELECT 1 AS x").await.unwrap();
    cluster.wait_caught_up().await.unwrap();
    cluster.primary().kill().await.unwrap();
    assert!(!cluster.primary().is_running());
    cluster.promote(0).await.unwrap();
    assert_eq!(cluster.primary().name(), "replica1");
    let other = cluster.replicas().find(|node| node.is_running()).unwrap();
    cluster.follow(other).await.unwrap();
    cluster.wait_streaming(1).await.unwrap();
    cluster.primary().execute("INSERT INTO t VALUES (2)").await.unwrap();
    cluster.wait_caught_up().await.unwrap();
    let count = other.query_text("SELECT count(*) FROM t").await.unwrap();
    assert_eq!(count.as_deref(), Some("2"));
}

async fn restarted_nodes_are_back_at_their_ports_and_stream_again(major: u16) {
    let cluster = own_cluster(major).start().await.unwrap();
    for node in cluster.nodes() {
        let port = node.port();
        node.restart().await.unwrap();
        assert_eq!(node.port(), port);
    }
    cluster.wait_streaming(2).await.unwrap();
    let replica = cluster.replica(1).unwrap();
    replica.stop(Shutdown::Immediate).await.unwrap();
    cluster.primary().execute("CREATE TABLE missed AS SELECT 1").await.unwrap();
    replica.start().await.unwrap();
    cluster.wait_caught_up().await.unwrap();
    assert!(replica.query_text("TABLE missed").await.unwrap().is_some());
}

async fn a_paused_node_answers_nothing_until_it_goes_on(major: u16) {
    let cluster = own_cluster(major).start().await.unwrap();
    let replica = cluster.replica(0).unwrap();
    let connected = replica.client().await.unwrap();
    replica.pause().unwrap();
    let answer = connected.simple_query("SELECT 1");
    tokio::pin!(answer);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut answer).await;
    assert!(early.is_err(), "a paused server answered");
    replica.resume().unwrap();
    answer.await.unwrap();
    // A cluster with a paused node can be dropped, too.
    replica.pause().unwrap();
}

async fn a_delayed_replica_lags(major: u16) {
    let delay = Duration::from_millis(700);
    let cluster = own_cluster(major).delay(1, delay).start().await.unwrap();
    let written = Instant::now();
    cluster.primary().execute("CREATE TABLE late AS SELECT 1").await.unwrap();
    cluster.wait_caught_up().await.unwrap();
    assert!(written.elapsed() >= delay, "{:?}", written.elapsed());
}

async fn nothing_is_left_of_a_dropped_cluster(major: u16) {
    for authentication in [Authentication::Md5, Authentication::Trust] {
        let builder = ClusterBuilder::new(installation(major)).authentication(authentication);
        let cluster = builder.start().await.unwrap();
        let (directory, url) = (cluster.directory().to_owned(), cluster.primary().url());
        client(&url).await;
        drop(cluster);
        assert!(!directory.exists());
        assert!(tokio_postgres::connect(&url, tokio_postgres::NoTls).await.is_err());
    }
}
