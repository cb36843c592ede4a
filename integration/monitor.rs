//! The monitor against real primaries and replicas: what it says about freshness is never too good.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use pglagoon::{
    auth::Credential,
    clock::{Clock, Mono},
    cluster::{
        self, Fault, Mistake, NodeId, Role, State, monitor,
        probe::{Dial, PollError, WalSource},
    },
    config::{NodeUrl, ServerTlsMode},
    demo::{Cluster, Node, Shutdown},
    net::{Stream, tls::Connector},
    protocol::Version,
    server::{self, Endpoint, Target},
};
use tokio::task::JoinSet;

use crate::fixture::{client, eventually, on_each_version, own_cluster};

on_each_version!(
    freshness_is_never_overstated,
    a_replica_that_stops_leaves_and_returns,
    a_replica_that_lags_leaves_and_returns,
    a_promoted_replica_is_the_primary_and_the_old_one_is_not,
);

/// Logs in to one node as pgLagoon does.
struct Dialer(Target);

impl Dial for Dialer {
    async fn dial(&mut self) -> Result<Stream, PollError> {
        let login = server::connect(&self.0).await;
        Ok(login.map_err(|error| PollError::new(Fault::Unreachable, error))?.stream)
    }
}

fn target(node: &NodeUrl) -> Target {
    Target {
        endpoint: Arc::new(Endpoint {
            host: node.host.clone(),
            port: node.port,
            tls: Connector::new(ServerTlsMode::Disable, None).unwrap(),
            timeout: Duration::from_secs(5),
            keepalive: Duration::from_mins(1),
        }),
        user: node.user.clone().unwrap(),
        credential: Credential::password(node.password.as_ref().unwrap().expose()),
        parameters: vec![("database".to_owned(), node.dbname.clone())],
        version: Version::V3_0,
    }
}

/// A cluster under the eyes of the monitor.
struct Watched {
    real: Cluster,
    seen: Arc<cluster::Cluster>,
    clock: Clock,
    _tasks: JoinSet<()>,
}

impl Watched {
    async fn start(major: u16) -> Self {
        let real = own_cluster(major).start().await.unwrap();
        let clock = Clock::start();
        let config = real.pooler_config(([127, 0, 0, 1], 0).into());
        let mut database = config.databases["app"].clone();
        database.routing.return_delay = Duration::from_millis(200);
        let seen = Arc::new(cluster::Cluster::new("app", &database, clock));
        let sources = database.nodes().map(|node| WalSource::new(Dialer(target(node)), clock));
        let tasks = monitor::spawn(&seen, sources);
        let watched = Self { real, seen, clock, _tasks: tasks };
        for node in 0..3 {
            watched.until(node, "up").await;
        }
        watched
    }

    /// Waits until a node is in a state.
    async fn until(&self, node: usize, state: &str) {
        eventually(&format!("node {node} to be {state}"), async || {
            (self.seen.report()[node].state.as_str() == state).then_some(())
        })
        .await;
    }
}

/// What was written, and when the primary had acknowledged it.
#[derive(Default)]
struct Written(Mutex<Vec<Mono>>);

impl Written {
    /// How many writes were acknowledged before this instant.
    fn before(&self, instant: Mono) -> i64 {
        let acknowledged = self.0.lock().unwrap();
        i64::try_from(acknowledged.partition_point(|at| *at < instant)).unwrap()
    }
}

async fn freshness_is_never_overstated(major: u16) {
    let watched = Watched::start(major).await;
    watched.real.primary().execute("CREATE TABLE n AS SELECT 0::bigint AS n").await.unwrap();
    watched.real.wait_caught_up().await.unwrap();
    let written = Written::default();
    let writer = async {
        let client = watched.real.primary().client().await.unwrap();
        let update = client.prepare("UPDATE n SET n = n + 1").await.unwrap();
        loop {
            client.execute(&update, &[]).await.unwrap();
            let now = watched.clock.now();
            written.0.lock().unwrap().push(now);
        }
    };
    let proven = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let more = async |number: usize| {
        let proofs = || proven[number].load(Ordering::Relaxed);
        let before = proofs();
        eventually("reads that prove something", async || (proofs() > before + 100).then_some(()))
            .await;
    };
    let disturber = async {
        let [one, two] = [watched.real.replica(0).unwrap(), watched.real.replica(1).unwrap()];
        for delay in ["300ms", "0"] {
            more(1).await;
            one.alter("recovery_min_apply_delay", &format!("'{delay}'")).await.unwrap();
            two.execute("SELECT pg_wal_replay_pause()").await.unwrap();
            more(0).await;
            two.execute("SELECT pg_wal_replay_resume()").await.unwrap();
            two.pause().unwrap();
            more(0).await;
            two.resume().unwrap();
            two.restart().await.unwrap();
            watched.until(2, "up").await;
        }
    };
    let reader = |number: usize| read(&watched, number, &written, &proven[number]);
    tokio::select! {
        () = disturber => {}
        () = writer => unreachable!(),
        () = reader(0) => unreachable!(),
        () = reader(1) => unreachable!(),
    }
    let proven = proven.map(AtomicUsize::into_inner);
    assert!(proven.iter().all(|proven| *proven > 100), "too few reads proved anything: {proven:?}");
}

/// Reads from one replica for ever what the monitor says must be there.
async fn read(watched: &Watched, number: usize, written: &Written, proven: &AtomicUsize) {
    let node = watched.real.replica(number).unwrap();
    let id = NodeId(u16::try_from(number + 1).unwrap());
    let mut connection = None;
    loop {
        watched.seen.note_read(watched.clock.now());
        let fresh_as_of = watched.seen.node(id).unwrap().fresh_as_of();
        let expected = written.before(fresh_as_of);
        if let Some(found) = count(&mut connection, node).await {
            assert!(found >= expected, "{} shows {found} of {expected}", node.name());
            proven.fetch_add(usize::from(expected > 0), Ordering::Relaxed);
        } else {
            // It restarts.
            let connect = async || node.client().await.ok();
            connection = Some(eventually("the replica to be back", connect).await);
        }
    }
}

async fn count(connection: &mut Option<tokio_postgres::Client>, node: &Node) -> Option<i64> {
    if connection.is_none() {
        *connection = Some(node.client().await.ok()?);
    }
    let answer = connection.as_ref()?.query_one("SELECT n FROM n", &[]).await;
    if answer.is_err() {
        *connection = None;
    }
    Some(answer.ok()?.get(0))
}

async fn a_replica_that_stops_leaves_and_returns(major: u16) {
    let watched = Watched::start(major).await;
    let replica = watched.real.replica(0).unwrap();
    replica.stop(Shutdown::Fast).await.unwrap();
    watched.until(1, "down").await;
    assert_eq!(watched.seen.node(NodeId(1)).unwrap().fresh_as_of(), Mono::ZERO);
    replica.start().await.unwrap();
    watched.until(1, "up").await;
    // Without its primary it goes on, and the primary's own state says why nothing is fresher.
    watched.real.primary().kill().await.unwrap();
    watched.until(0, "down").await;
    assert!(watched.seen.node(NodeId(1)).unwrap().fresh_as_of() > Mono::ZERO);
    watched.real.primary().start().await.unwrap();
    watched.until(0, "up").await;
    watched.until(1, "up").await;
}

async fn a_replica_that_lags_leaves_and_returns(major: u16) {
    let watched = Watched::start(major).await;
    let replica = watched.real.replica(1).unwrap();
    replica.execute("SELECT pg_wal_replay_pause()").await.unwrap();
    watched.real.primary().execute("CREATE TABLE late (x int)").await.unwrap();
    watched.until(2, "lagging").await;
    let report = &watched.seen.report()[2];
    assert!(report.lag_bytes.unwrap() > 0, "{report:#?}");
    replica.execute("SELECT pg_wal_replay_resume()").await.unwrap();
    watched.until(2, "up").await;
}

async fn a_promoted_replica_is_the_primary_and_the_old_one_is_not(major: u16) {
    let watched = Watched::start(major).await;
    let writer = client(&watched.real.primary().url()).await;
    writer.batch_execute("CREATE TABLE t (x int)").await.unwrap();
    watched.real.promote(0).await.unwrap();
    watched.until(0, "misconfigured").await;
    let report = watched.seen.report();
    assert_eq!(report[0].state, State::Misconfigured(Mistake::Superseded));
    assert_eq!((report[1].state, report[1].role), (State::Up, Role::Primary));
    assert_eq!(watched.seen.primary().unwrap().node, NodeId(1));
    assert_eq!(watched.seen.node(NodeId(1)).unwrap().fresh_as_of(), Mono::ZERO);
    assert!(!report[0].reason.is_empty());
}
