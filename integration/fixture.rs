//! What the tests stand on: PostgreSQL of each version, clusters of their own or shared, and programs.

use std::{
    path::{Path, PathBuf},
    process::Output,
    sync::OnceLock,
    time::Duration,
};

use futures_util::future::join_all;
use pglagoon::demo::{Cluster, ClusterBuilder, Installation, Search};
use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, SimpleQueryRow};

/// The versions that every test runs against: the oldest that Debian ships and the newest.
pub(crate) const VERSIONS: [u16; 2] = [15, 18];

/// What stands in for them: `PGLAGOON_VERSIONS=13,17` has what is called `on_15` run on 13, and `on_18` on 17.
pub(crate) fn versions() -> [u16; VERSIONS.len()] {
    static CHOSEN: OnceLock<[u16; VERSIONS.len()]> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let Ok(list) = std::env::var("PGLAGOON_VERSIONS") else { return VERSIONS };
        let all: Vec<u16> = list.split(',').map(|major| major.trim().parse().unwrap()).collect();
        all.try_into().unwrap()
    })
}

/// The version that stands in for this one.
pub(crate) fn standing_for(major: u16) -> u16 {
    versions()[VERSIONS.iter().position(|version| *version == major).unwrap()]
}

/// Where the things of this version stand among those of all.
pub(crate) fn index(major: u16) -> usize {
    versions().iter().position(|version| *version == major).unwrap()
}

/// Where downloaded versions are kept; git ignores it.
pub(crate) fn store() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".local")
}

/// PostgreSQL of this major version, downloaded when the machine has none.
pub(crate) fn installation(major: u16) -> &'static Installation {
    static FOUND: [OnceLock<Installation>; VERSIONS.len()] = [OnceLock::new(), OnceLock::new()];
    FOUND[index(major)].get_or_init(|| {
        Search::new()
            .major(major)
            .store(store())
            .find_or_install()
            .unwrap_or_else(|e| panic!("{e}"))
    })
}

/// A cluster for one test alone, which may break it.
pub(crate) fn own_cluster(major: u16) -> ClusterBuilder {
    ClusterBuilder::new(installation(major)).replicas(2)
}

/// The cluster with two replicas that all tests share which leave it as they found it.
///
/// It goes when the test process ends, however that ends.
pub(crate) async fn shared_cluster(major: u16) -> &'static Cluster {
    static STARTED: [OnceCell<Cluster>; VERSIONS.len()] =
        [OnceCell::const_new(), OnceCell::const_new()];
    STARTED[index(major)]
        .get_or_init(|| async {
            own_cluster(major).start().await.unwrap_or_else(|error| panic!("{error}"))
        })
        .await
}

/// A connection of tokio-postgres, driven by the test's own runtime.
pub(crate) async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The first column of the first row, as text.
pub(crate) async fn one(client: &Client, sql: &str) -> String {
    rows(client, sql).await[0].get(0).unwrap_or("NULL").to_owned()
}

/// Asks until there is an answer, a hundred times a second. What is waited for comes within a minute, or the test fails.
pub(crate) async fn eventually<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    within(Duration::from_mins(1), what, ask).await
}

/// The same for what may take as long as this on a busy machine.
pub(crate) async fn within<T>(
    limit: Duration,
    what: &str,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> T {
    let answer = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let answer = tokio::time::timeout(limit, answer).await;
    answer.unwrap_or_else(|_| panic!("waited for {what} in vain"))
}

/// Waits until as many servers of the cluster run this statement.
pub(crate) async fn await_running(cluster: &Cluster, sql: &str, wanted: i64) {
    let active = "SELECT count(*) FROM pg_stat_activity WHERE query = $1 AND state = 'active'";
    let nodes = cluster.nodes().iter();
    let watchers = join_all(nodes.map(async |node| client(&node.superuser_url()).await)).await;
    eventually("a statement to begin or end", async || {
        let mut count = 0;
        for watcher in &watchers {
            count += watcher.query_one(active, &[&sql]).await.unwrap().get::<_, i64>(0);
        }
        (count == wanted).then_some(())
    })
    .await;
}

/// All rows that a statement, or a command of the admin database, returns.
pub(crate) async fn rows(operator: &Client, command: &str) -> Vec<SimpleQueryRow> {
    let messages = operator.simple_query(command).await.unwrap();
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    };
    messages.into_iter().filter_map(row).collect()
}

/// A name that no other test of this run uses, for a table in the shared cluster.
pub(crate) fn unique(what: &str) -> String {
    format!("{what}_{:016x}", rand::random::<u64>())
}

/// Runs `psql -XAtq` with these arguments; `None`, with a printed reason, when there is no psql to be had.
pub(crate) async fn psql(url: &str, arguments: &[&str]) -> Option<Output> {
    let mut all = vec!["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url];
    all.extend_from_slice(arguments);
    tool("psql", &all).await
}

/// Runs pgbench with these arguments; `None`, with a printed reason, when there is no pgbench to be had.
pub(crate) async fn pgbench(url: &str, arguments: &[&str]) -> Option<Output> {
    let mut all = arguments.to_vec();
    all.push(url);
    tool("pgbench", &all).await
}

/// Runs another of PostgreSQL's programs; `None`, with a printed reason, when there is none to be had.
pub(crate) async fn tool(name: &str, arguments: &[&str]) -> Option<Output> {
    let program = tools()?.join(name);
    if !program.exists() {
        eprintln!("skipped: there is no {name} beside psql");
        return None;
    }
    let output = tokio::process::Command::new(program).args(arguments).output().await;
    Some(output.unwrap())
}

/// The directory of psql and pgbench; `None`, with a printed reason, when there are none to be had.
pub(crate) fn tools() -> Option<&'static Path> {
    static TOOLS: OnceLock<Option<PathBuf>> = OnceLock::new();
    let directory = TOOLS.get_or_init(|| {
        Search::new().store(store()).tools().inspect_err(|error| eprintln!("skipped: {error}")).ok()
    });
    directory.as_deref()
}

/// What a program printed, which must have succeeded.
pub(crate) fn succeeded(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Makes tests of an async function that takes the address of a database: what holds for a direct connection
/// holds for every way to it.
macro_rules! at_each_door {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn direct_on_15() {
                super::$name(&crate::fixture::shared_cluster(crate::fixture::standing_for(15)).await.primary().url()).await;
            }
            #[tokio::test]
            async fn direct_on_18() {
                super::$name(&crate::fixture::shared_cluster(crate::fixture::standing_for(18)).await.primary().url()).await;
            }
            #[tokio::test]
            async fn pooled_on_15() {
                super::$name(&crate::pooler::shared_pooler(crate::fixture::standing_for(15)).await.url()).await;
            }
            #[tokio::test]
            async fn pooled_on_18() {
                super::$name(&crate::pooler::shared_pooler(crate::fixture::standing_for(18)).await.url()).await;
            }
        }
    )+};
}
pub(crate) use at_each_door;

/// Makes one test per PostgreSQL version of an async function that takes the major version.
macro_rules! on_each_version {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn on_15() {
                super::$name(crate::fixture::standing_for(15)).await;
            }
            #[tokio::test]
            async fn on_18() {
                super::$name(crate::fixture::standing_for(18)).await;
            }
        }
    )+};
}
pub(crate) use on_each_version;
