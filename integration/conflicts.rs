//! What the primary does may cost a standby its queries: PostgreSQL's recovery conflicts, each made to happen. Nobody
//! notices but who has seen a part of an answer.

use futures_util::{TryStreamExt as _, future::join, pin_mut};
use pglagoon::demo::Cluster;
use tokio::sync::mpsc::Receiver;
use tokio_postgres::{Client, error::SqlState};

use crate::{
    fixture::{client, eventually, on_each_version, own_cluster},
    pooler::Pooler,
    second_try::{READ, check, pace, running, slow_reader},
};

on_each_version!(reads_in_conflict_with_recovery_run_elsewhere);

async fn reads_in_conflict_with_recovery_run_elsewhere(major: u16) {
    let builder = own_cluster(major)
        .setting("max_standby_streaming_delay", "0")
        .setting("hot_standby_feedback", "off")
        .setting("deadlock_timeout", "10ms")
        .setting("allow_in_place_tablespaces", "on");
    let cluster = builder.start().await.unwrap();
    let sql = "CREATE TABLESPACE spare LOCATION ''";
    cluster.primary().execute(sql).await.unwrap();
    let sql = "GRANT CREATE ON TABLESPACE spare TO app;
        ALTER ROLE app SET temp_tablespaces = spare; ALTER ROLE app SET work_mem = '64kB';
        CREATE TABLE pinned (n int); CREATE TABLE locked (n int);
        INSERT INTO pinned VALUES (1); INSERT INTO locked VALUES (2);
        CREATE FUNCTION looks() RETURNS int LANGUAGE plpgsql
            AS 'BEGIN RETURN (SELECT l.n FROM public.locked AS l); END';
        GRANT SELECT ON pinned, locked TO app";
    cluster.primary().execute(sql).await.unwrap();
    let keys = [("routing.max_lag", "\"1min\""), ("routing.catalog_interval", "\"50ms\"")];
    let pooler = Pooler::start(&cluster, &keys).await;
    let (client, told) = slow_reader(&cluster, &pooler).await;
    let mut scene = Scene { cluster, client, told };
    for (kind, read, statements) in CONFLICTS {
        scene.conflict(kind, read, statements).await;
    }
    scene.a_deadlock().await;
    scene.what_the_client_has_seen_is_not_run_again(&pooler).await;
    pooler.check();
}

/// A table that is cleaned up behind what has it open: the row of an aborted transaction concerns no snapshot.
const PINNING: &str = "SELECT pg_sleep((SELECT n FROM pace)) FROM pinned";

/// Keeps a temporary file while it sleeps.
const SPILLING: &str =
    "SELECT pg_sleep((SELECT n FROM pace)) FROM generate_series(1, 100000) AS g WHERE g = 1";

/// Kinds of conflicts, what meets each, and what brings it about, statement by statement.
const CONFLICTS: [(&str, &str, &[&str]); 4] = [
    ("lock", READ, &["BEGIN; LOCK TABLE pace; UPDATE pace SET n = 0; COMMIT"]),
    ("snapshot", READ, &["UPDATE pace SET n = 0", "VACUUM pace"]),
    ("bufferpin", PINNING, &["UPDATE pace SET n = 0", "VACUUM pinned"]),
    ("tablespace", SPILLING, &["UPDATE pace SET n = 0", "DROP TABLESPACE spare"]),
];

/// What VACUUM cleans up without waiting for anybody.
const ABORTED: &str = "BEGIN; INSERT INTO pinned VALUES (2); ROLLBACK";

/// Has one table open while it waits for another.
const WAITING: &str = "SELECT looks() FROM pinned";

struct Scene {
    cluster: Cluster,
    client: Client,
    told: Receiver<String>,
}

impl Scene {
    /// Has a read run on a replica for as long as it takes until the primary has run the statements, and checks that it
    /// ends well, elsewhere, and that it was this conflict that has ended it.
    async fn conflict(&mut self, kind: &str, read: &str, statements: &[&str]) {
        let writer = self.cluster.primary().client().await.unwrap();
        writer.batch_execute(ABORTED).await.unwrap();
        self.settle(read).await;
        let before = conflicts(&self.cluster, kind).await;
        let act = async {
            running(&self.cluster, read).await;
            for statement in statements {
                writer.batch_execute(statement).await.unwrap();
            }
            let Some(vacuum) = statements.last().filter(|last| last.starts_with("VACUUM")) else {
                return;
            };
            // It cleans up nothing that anybody's snapshot has need of.
            eventually(kind, async || {
                writer.batch_execute(vacuum).await.unwrap();
                (conflicts(&self.cluster, kind).await > before).then_some(())
            })
            .await;
        };
        let (outcome, ()) = join(self.client.batch_execute(read), act).await;
        outcome.unwrap_or_else(|error| panic!("{kind}: {error:?}"));
        check(&mut self.told);
        eventually(kind, async || (conflicts(&self.cluster, kind).await > before).then_some(()))
            .await;
    }

    /// Waits until the read goes to replicas, where it takes long from then on.
    async fn settle(&mut self, read: &str) {
        pace(&self.cluster, 0).await;
        eventually("the read to go to a replica", async || {
            while self.told.try_recv().is_ok() {}
            self.client.batch_execute(read).await.unwrap();
            self.told.recv().await.unwrap().ends_with("(read)").then_some(())
        })
        .await;
        while self.told.try_recv().is_ok() {}
        pace(&self.cluster, 300).await;
    }

    async fn a_deadlock(&mut self) {
        for replica in self.cluster.replicas() {
            replica.alter("max_standby_streaming_delay", "-1").await.unwrap();
        }
        self.settle(WAITING).await;
        let writer = self.cluster.primary().client().await.unwrap();
        let cleaner = self.cluster.primary().client().await.unwrap();
        writer.batch_execute(ABORTED).await.unwrap();
        writer.batch_execute("BEGIN; LOCK TABLE locked").await.unwrap();
        // The lock is written to the log at once, and shown to nobody until that is flushed.
        cleaner.batch_execute("UPDATE pace SET n = n").await.unwrap();
        self.cluster.wait_caught_up().await.unwrap();
        let before = conflicts(&self.cluster, "deadlock").await;
        let act = async {
            running(&self.cluster, WAITING).await;
            cleaner.batch_execute("VACUUM pinned").await.unwrap();
            eventually("a deadlock", async || {
                (conflicts(&self.cluster, "deadlock").await > before).then_some(())
            })
            .await;
            writer.batch_execute("COMMIT").await.unwrap();
        };
        let (outcome, ()) = join(self.client.batch_execute(WAITING), act).await;
        outcome.unwrap();
        check(&mut self.told);
        for replica in self.cluster.replicas() {
            replica.alter("max_standby_streaming_delay", "0").await.unwrap();
        }
    }

    /// Rows that have been shown are not taken back: the error is.
    async fn what_the_client_has_seen_is_not_run_again(&mut self, pooler: &Pooler) {
        let read = "SELECT pace.n, repeat('x', 1000) FROM generate_series(1, 1000000), pace";
        let reader = client(&pooler.url()).await;
        let rows = reader.query_raw(read, [0_i32; 0]).await.unwrap();
        pin_mut!(rows);
        assert!(rows.try_next().await.unwrap().is_some());
        running(&self.cluster, read).await;
        let sql = "BEGIN; LOCK TABLE pace; COMMIT";
        self.cluster.primary().client().await.unwrap().batch_execute(sql).await.unwrap();
        let mut seen = 1;
        let error = loop {
            match rows.try_next().await {
                Ok(row) => assert!(row.is_some(), "all {seen} rows"),
                Err(error) => break error,
            }
            seen += 1;
        };
        assert_eq!(error.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE));
        reader.batch_execute("SELECT 1").await.unwrap();
    }
}

/// How many queries the replicas have given up for this reason.
async fn conflicts(cluster: &Cluster, kind: &str) -> i64 {
    let sql = format!("SELECT confl_{kind} FROM pg_stat_database_conflicts WHERE datname = 'app'");
    let mut sum = 0;
    for replica in cluster.replicas() {
        let count = replica.query_text(&sql).await.unwrap();
        sum += count.unwrap().parse::<i64>().unwrap();
    }
    sum
}
