//! A commit that is acknowledged before it is flushed reaches replicas later than what the primary has flushed by then: who
//! has written that reads on the primary meanwhile, whatever replicas have.

use pglagoon::demo::Cluster;
use tokio::sync::mpsc::Receiver;
use tokio_postgres::Client;

use crate::{
    fixture::{eventually, on_each_version, one, own_cluster},
    own_parameters::listener,
    pooler::Pooler,
};

on_each_version!(what_is_acknowledged_before_it_is_flushed_is_waited_for);

/// Sets it for one transaction, and writes.
const LAZILY: &str =
    "BEGIN SET LOCAL synchronous_commit = off; INSERT INTO commits VALUES (1); END";

async fn what_is_acknowledged_before_it_is_flushed_is_waited_for(major: u16) {
    // Three times that is what is waited.
    let cluster = own_cluster(major).setting("wal_writer_delay", "10s").start().await.unwrap();
    let keys = [("routing.max_lag", "\"1min\""), ("routing.catalog_interval", "\"50ms\"")];
    let pooler = Pooler::start(&cluster, &keys).await;
    let mut scene = Scene { reader: guest(&pooler).await, cluster, pooler };
    scene.write("CREATE TABLE commits (n int)").await;
    let mut usual = scene.write("INSERT INTO commits VALUES (1)").await;
    eventually("a replica to be fresh enough", async || {
        place(&mut usual, "SELECT 1").await.starts_with("replica").then_some(())
    })
    .await;
    for statements in [
        "SET synchronous_commit = off; INSERT INTO commits VALUES (1)",
        "BEGIN; SET LOCAL synchronous_commit = off; INSERT INTO commits VALUES (1); COMMIT",
        &format!("DO '{LAZILY}'"),
    ] {
        scene.is_lazy(statements).await;
    }
    scene.by_default("ALTER ROLE app SET synchronous_commit = off").await;
    scene.by_default("ALTER ROLE app RESET synchronous_commit").await;
    let sql = format!("CREATE PROCEDURE lazily() LANGUAGE plpgsql AS '{LAZILY}'");
    scene.by_default(&sql).await;
    scene.is_lazy("CALL lazily()").await;
    scene.pooler.check();
}

type Guest = (Client, Receiver<String>);

struct Scene {
    cluster: Cluster,
    pooler: Pooler,
    /// Shows how far replicas are known to be.
    reader: Guest,
}

impl Scene {
    /// A session that has just written so.
    async fn write(&self, statements: &str) -> Guest {
        let writer = guest(&self.pooler).await;
        writer.0.batch_execute(statements).await.unwrap();
        writer
    }

    /// Where one that writes so reads when the replicas have all that had been flushed by then.
    async fn reads_after(&mut self, statements: &str) -> String {
        let mut writer = self.write(statements).await;
        let token = one(&writer.0, "SHOW pglagoon.token").await;
        let read = format!("/* pglagoon: after={token} */ SELECT 1");
        eventually("the replicas to have what was flushed", async || {
            place(&mut self.reader, &read).await.starts_with("replica").then_some(())
        })
        .await;
        place(&mut writer, "SELECT 1").await
    }

    async fn is_lazy(&mut self, statements: &str) {
        let place = self.reads_after(statements).await;
        assert!(place.starts_with("primary"), "{statements}: {place}");
    }

    /// Makes commits of plain statements lazy, or no longer so, and waits until that is known.
    async fn by_default(&mut self, change: &str) {
        self.cluster.primary().execute(change).await.unwrap();
        let wanted = if change.contains("RESET") { "replica" } else { "primary" };
        eventually(change, async || {
            let place = self.reads_after("INSERT INTO commits VALUES (1)").await;
            place.starts_with(wanted).then_some(())
        })
        .await;
    }
}

async fn guest(pooler: &Pooler) -> Guest {
    let (client, told) = listener(&pooler.url()).await;
    client.batch_execute("SET pglagoon.explain = on").await.unwrap();
    (client, told)
}

/// Where a read runs.
async fn place((client, told): &mut Guest, read: &str) -> String {
    while told.try_recv().is_ok() {}
    client.batch_execute(read).await.unwrap();
    let told = told.recv().await.unwrap();
    told.strip_prefix("pglagoon: ").unwrap_or(&told).to_owned()
}
