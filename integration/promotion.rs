//! A replica is promoted: clients between two transactions notice nothing, and nothing is written to the old primary.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use futures_util::future::join_all;
use pglagoon::demo::{Cluster, Node, Shutdown};
use tokio::sync::RwLock;

use crate::{
    fixture::{self, client, eventually, on_each_version, one, own_cluster},
    pooler::Pooler,
};

on_each_version!(
    after_a_switchover_the_old_primary_serves_as_a_replica,
    an_old_primary_that_comes_back_as_it_was_is_refused,
    a_primary_that_hangs_is_replaced,
    an_old_primary_is_not_taken_for_the_present_one_at_the_start,
    a_restart_of_the_primary_is_not_noticed_between_transactions,
);

const WRITERS: usize = 6;

/// A cluster and clients of a pooler in front of it, which write and read what they have written.
struct Scene {
    // Dropped first: its log lies in the cluster's directory.
    pooler: Pooler,
    cluster: Cluster,
    /// Whoever writes and reads holds it meanwhile.
    gate: RwLock<()>,
    stop: AtomicBool,
    done: AtomicI64,
}

impl Scene {
    async fn new(major: u16) -> Self {
        let cluster = own_cluster(major).start().await.unwrap();
        let sql = "CREATE TABLE written (writer int, number int)";
        client(&cluster.primary().url()).await.batch_execute(sql).await.unwrap();
        // Without it no replica's timeline is known before its next restartpoint.
        cluster.primary().execute("GRANT pg_read_all_stats TO app").await.unwrap();
        cluster.wait_caught_up().await.unwrap();
        let keys = [
            ("routing.return_delay", "\"100ms\""),
            ("routing.poll_timeout", "\"1s\""),
            ("admin.admin_users", "[\"app\"]"),
        ];
        let pooler = Pooler::start(&cluster, &keys).await;
        let (gate, stop, done) = (RwLock::default(), AtomicBool::default(), AtomicI64::default());
        Self { pooler, cluster, gate, stop, done }
    }

    /// Writes and reads for ever; nothing of it may fail. Prepared statements and what was set must last.
    async fn write(&self, writer: usize) -> i64 {
        let client = client(&self.pooler.url()).await;
        client.batch_execute("SET statement_timeout = '12345s'").await.unwrap();
        let insert = "INSERT INTO written VALUES ($1, $2)";
        let insert = client.prepare(insert).await.unwrap();
        let count = "SELECT count(*) FROM written WHERE writer = $1";
        let count = client.prepare(count).await.unwrap();
        let writer = i32::try_from(writer).unwrap();
        let mut number = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let pass = self.gate.read().await;
            client.execute(&insert, &[&writer, &number]).await.unwrap();
            number += 1;
            let row = client.query_one(&count, &[&writer]).await.unwrap();
            assert_eq!(row.get::<_, i64>(0), i64::from(number), "a session reads what it wrote");
            drop(pass);
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        assert_eq!(one(&client, "SHOW statement_timeout").await, "12345s");
        i64::from(number)
    }

    /// Runs `play` among the writers and checks that all they wrote is on the primary.
    async fn run(&self, play: impl Future<Output = ()>) {
        let writers = join_all((0..WRITERS).map(|writer| self.write(writer)));
        let play = async {
            self.goes_on().await;
            play.await;
            self.goes_on().await;
            self.stop.store(true, Ordering::Relaxed);
        };
        let (written, ()) = tokio::join!(writers, play);
        assert_eq!(rows(self.cluster.primary()).await, written.iter().sum::<i64>());
        self.pooler.check();
    }

    /// Waits until every writer has written again, and again.
    async fn goes_on(&self) {
        let before = self.done.load(Ordering::Relaxed);
        let enough = i64::try_from(20 * WRITERS).unwrap();
        eventually("writes", async || {
            (self.done.load(Ordering::Relaxed) > before + enough).then_some(())
        })
        .await;
    }

    /// Does something to the primary while no client is within a transaction.
    async fn between_transactions(&self, act: impl AsyncFnOnce(&Node)) {
        let _pause = self.gate.write().await;
        act(self.cluster.primary()).await;
    }

    async fn await_log(&self, text: &str) {
        eventually(text, async || self.pooler.log().contains(text).then_some(())).await;
    }

    /// Waits until the pooler says of this node what must come after `since` bytes of its log.
    async fn await_node(&self, node: &Node, since: usize, text: &str) {
        let name = format!("node=\"127.0.0.1:{}\"", node.port());
        let is_told = || {
            let log = self.pooler.log();
            log[since..].lines().any(|line| line.contains(&name) && line.contains(text))
        };
        eventually(text, async || is_told().then_some(())).await;
    }
}

async fn rows(node: &Node) -> i64 {
    let count = node.query_text("SELECT count(*) FROM written").await.unwrap();
    count.unwrap().parse().unwrap()
}

async fn after_a_switchover_the_old_primary_serves_as_a_replica(major: u16) {
    let scene = Scene::new(major).await;
    let cluster = &scene.cluster;
    let play = async {
        let old = cluster.primary();
        let other = cluster.replica(1).unwrap();
        scene
            .between_transactions(async |primary| primary.stop(Shutdown::Fast).await.unwrap())
            .await;
        cluster.promote(0).await.unwrap();
        scene.goes_on().await;
        let since = scene.pooler.log().len();
        cluster.follow(other).await.unwrap();
        cluster.rejoin(old).await.unwrap();
        cluster.wait_streaming(2).await.unwrap();
        for node in [old, other] {
            scene.await_node(node, since, "to=\"up\"").await;
        }
        let scans = "SELECT sum(seq_scan) > 0 FROM pg_stat_user_tables WHERE relname = 'written'";
        for node in [old, other] {
            eventually(node.name(), async || {
                (node.query_text(scans).await.unwrap()? == "t").then_some(())
            })
            .await;
        }
    };
    scene.run(play).await;
}

async fn an_old_primary_that_comes_back_as_it_was_is_refused(major: u16) {
    let scene = Scene::new(major).await;
    let cluster = &scene.cluster;
    let play = async {
        let old = cluster.primary();
        let crash = async |primary: &Node| {
            // What no replica has would be lost.
            cluster.wait_caught_up().await.unwrap();
            primary.stop(Shutdown::Immediate).await.unwrap();
        };
        scene.between_transactions(crash).await;
        cluster.promote(0).await.unwrap();
        cluster.follow(cluster.replicas().find(|node| node.is_running()).unwrap()).await.unwrap();
        scene.goes_on().await;
        old.start().await.unwrap();
        let before = rows(old).await;
        scene.await_log("accepts writes, but on an older timeline").await;
        scene.goes_on().await;
        // Also when the new one goes for a moment.
        scene.between_transactions(async |primary| primary.restart().await.unwrap()).await;
        scene.goes_on().await;
        assert_eq!(rows(old).await, before, "somebody has written to the old primary");
        assert!(rows(cluster.primary()).await > before);
    };
    scene.run(play).await;
}

async fn a_primary_that_hangs_is_replaced(major: u16) {
    let scene = Scene::new(major).await;
    let cluster = &scene.cluster;
    let within = client(&scene.pooler.url()).await;
    let play = async {
        let old = cluster.primary();
        within.batch_execute("BEGIN; INSERT INTO written VALUES (99, 1)").await.unwrap();
        let hang = async |primary: &Node| {
            cluster.wait_caught_up().await.unwrap();
            primary.pause().unwrap();
            scene.await_log("no answer within 1s").await;
        };
        scene.between_transactions(hang).await;
        cluster.promote(0).await.unwrap();
        scene.goes_on().await;
        // Whoever was within a transaction is told so, and not only when the old primary answers.
        assert!(within.batch_execute("COMMIT").await.is_err());
        old.resume().unwrap();
        scene.await_log("accepts writes, but on an older timeline").await;
        let before = rows(old).await;
        scene.goes_on().await;
        assert_eq!(rows(old).await, before, "somebody has written to the old primary");
    };
    scene.run(play).await;
}

async fn an_old_primary_is_not_taken_for_the_present_one_at_the_start(major: u16) {
    let cluster = own_cluster(major).start().await.unwrap();
    let (old, new) = (cluster.primary(), cluster.replica(0).unwrap());
    cluster.primary().execute("CREATE TABLE written (writer int)").await.unwrap();
    cluster.primary().execute("GRANT ALL ON written TO PUBLIC").await.unwrap();
    cluster.wait_caught_up().await.unwrap();
    cluster.promote(0).await.unwrap();
    for round in 1..=3 {
        let pooler = Pooler::start_with(&cluster, (old, &[new]), &[]).await;
        // From the first moment on that it listens.
        client(&pooler.url()).await.batch_execute("INSERT INTO written VALUES (1)").await.unwrap();
        assert_eq!((rows(old).await, rows(new).await), (0, round));
        pooler.check();
    }
    // Unless that is what is asked for.
    let keys = [("routing.follow_promotion", "false")];
    let pooler = Pooler::start_with(&cluster, (old, &[new]), &keys).await;
    client(&pooler.url()).await.batch_execute("INSERT INTO written VALUES (1)").await.unwrap();
    assert_eq!((rows(old).await, rows(new).await), (1, 3));
}

async fn a_restart_of_the_primary_is_not_noticed_between_transactions(major: u16) {
    let scene = Scene::new(major).await;
    let operator = scene.pooler.operator().await;
    let play = async {
        for how in [Shutdown::Fast, Shutdown::Immediate] {
            let stop = async |primary: &Node| primary.stop(how).await.unwrap();
            scene.between_transactions(stop).await;
            eventually("every writer to wait for it", async || {
                let clients = fixture::rows(&operator, "SHOW CLIENTS").await;
                let waiting = clients.iter().filter(|row| row.get("state") == Some("waiting"));
                (waiting.count() == WRITERS).then_some(())
            })
            .await;
            scene.cluster.primary().start().await.unwrap();
            scene.goes_on().await;
        }
    };
    scene.run(play).await;
}
