//! A throwaway primary with streaming replicas.

use std::{
    fs,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use crate::config::Config;

use super::{
    Authentication, Error, Installation, Node,
    access::Access,
    await_true, front,
    programs::{Programs, complete},
    scratch::Scratch,
};

/// How long replication may take to get going, or a replica to catch up, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Settings of every node. Nothing survives this process, so nothing is synced to disk.
const SETTINGS: [(&str, &str); 16] = [
    ("listen_addresses", "127.0.0.1"),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("shared_buffers", "32MB"),
    ("max_connections", "300"),
    ("max_wal_senders", "10"),
    // A replica that was away must find what it missed: there are no slots, which a promotion would lose.
    ("wal_keep_size", "512MB"),
    ("max_wal_size", "512MB"),
    ("wal_level", "replica"),
    ("wal_log_hints", "on"),
    ("max_prepared_transactions", "10"),
    ("hot_standby", "on"),
    // Five seconds by default: too long for anybody who watches a restarted primary.
    ("wal_retrieve_retry_interval", "200ms"),
    ("wal_receiver_status_interval", "1s"),
    ("log_min_messages", "warning"),
    ("jit", "off"),
];

/// What a throwaway cluster shall be like.
///
/// ```no_run
/// # async fn example() -> Result<(), pglagoon::demo::Error> {
/// use pglagoon::demo::{ClusterBuilder, Search};
///
/// let installation = Search::new().find_or_install()?;
/// let cluster = ClusterBuilder::new(&installation).replicas(2).start().await?;
/// cluster.primary().execute("CREATE TABLE t AS SELECT 1 AS x").await?;
/// cluster.wait_caught_up().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ClusterBuilder {
    installation: Installation,
    replicas: usize,
    delays: Vec<(usize, Duration)>,
    authentication: Authentication,
    tls: Option<(String, String)>,
    settings: Vec<(String, String)>,
}

/// A primary and its streaming replicas, stopped and removed when dropped or when this process ends.
///
/// The database is `app`, its owner is the ordinary user `app`, the superuser is `postgres`; their passwords
/// are random and stand in the URLs.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: the servers' processes are waited for after the scratch has stopped them.
    scratch: Scratch,
    nodes: Vec<Node>,
    primary: AtomicUsize,
    access: Access,
}

/// A step on the way to a running cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The first data directory is made.
    Initialize,
    /// It is copied for the replicas.
    Copy,
    /// The primary is started.
    StartPrimary,
    /// The replicas are started.
    StartReplicas,
}

impl ClusterBuilder {
    /// A primary alone, with SCRAM authentication.
    pub fn new(installation: &Installation) -> Self {
        Self {
            installation: installation.clone(),
            replicas: 0,
            delays: Vec::new(),
            authentication: Authentication::default(),
            tls: None,
            settings: Vec::new(),
        }
    }

    /// With this many streaming replicas.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// The replica of this number (from 0) applies everything this much late (`recovery_min_apply_delay`).
    pub fn delay(mut self, replica: usize, delay: Duration) -> Self {
        self.delays.push((replica, delay));
        self
    }

    /// How users prove who they are.
    pub fn authentication(mut self, authentication: Authentication) -> Self {
        self.authentication = authentication;
        self
    }

    /// Offers TLS on every node, with this certificate and its key, both as PEM.
    pub fn tls(mut self, certificate: &str, key: &str) -> Self {
        self.tls = Some((certificate.to_owned(), key.to_owned()));
        self.setting("ssl", "on")
    }

    /// One more line of `postgresql.conf`, on every node.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes the cluster and returns once every replica streams from the primary.
    ///
    /// # Errors
    /// When a program of PostgreSQL fails or a server does not get ready; nothing is left behind then.
    ///
    /// # Cancel safety
    /// When the future is dropped everything is stopped and removed.
    pub async fn start(self) -> Result<Cluster, Error> {
        self.start_observed(|_| ()).await
    }

    /// The same, telling `observe` what is about to happen.
    ///
    /// # Errors
    /// As [`ClusterBuilder::start`].
    ///
    /// # Cancel safety
    /// As [`ClusterBuilder::start`].
    pub async fn start_observed(self, mut observe: impl FnMut(Step)) -> Result<Cluster, Error> {
        observe(Step::Initialize);
        let scratch = Scratch::create()?;
        let programs = Programs::new(&self.installation, &scratch);
        let access = Access::new(self.authentication);
        let primary = Node::new("primary", &programs, &access, self.settings(None));
        initialize(&programs, &access, &primary).await?;
        if let Some((certificate, key)) = &self.tls {
            programs.keep(&primary.data().join("server.crt"), certificate)?;
            programs.keep(&primary.data().join("server.key"), key)?;
        }
        let replicas: Vec<Node> = (0..self.replicas)
            .map(|number| {
                let name = format!("replica{}", number + 1);
                Node::new(&name, &programs, &access, self.settings(Some(number)))
            })
            .collect();
        observe(Step::Copy);
        for replica in &replicas {
            // The primary has never run as a server: its directory is a cold, consistent copy.
            let mut copy = programs.tool("cp");
            copy.arg("-Rp").arg(primary.data()).arg(replica.data());
            complete(copy, String::new()).await?;
        }
        let nodes = std::iter::once(primary).chain(replicas).collect();
        let cluster = Cluster { scratch, nodes, primary: AtomicUsize::new(0), access };
        cluster.start_all(observe).await?;
        Ok(cluster)
    }

    /// The settings of one node; later lines win.
    fn settings(&self, replica: Option<usize>) -> Vec<(String, String)> {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut settings: Vec<_> = SETTINGS.into_iter().map(owned).collect();
        settings.push(owned(("password_encryption", self.authentication.encryption())));
        settings.extend(self.settings.iter().cloned());
        for (number, delay) in &self.delays {
            if replica == Some(*number) {
                let delay = format!("{}ms", delay.as_millis());
                settings.push(("recovery_min_apply_delay".to_owned(), delay));
            }
        }
        settings
    }
}

impl Cluster {
    /// The node that takes writes.
    pub fn primary(&self) -> &Node {
        #[expect(
            clippy::indexing_slicing,
            reason = "set only to indices of `nodes`, which is fixed"
        )]
        &self.nodes[self.primary.load(Ordering::Relaxed)]
    }

    /// All other nodes. After a promotion the former primary is one of them, whether it runs or not.
    pub fn replicas(&self) -> impl Iterator<Item = &Node> {
        let primary = self.primary.load(Ordering::Relaxed);
        self.nodes
            .iter()
            .enumerate()
            .filter(move |(index, _)| *index != primary)
            .map(|(_, node)| node)
    }

    /// The replica of this number, from 0.
    ///
    /// # Errors
    /// [`Error::NoSuchReplica`] when there are not so many.
    pub fn replica(&self, number: usize) -> Result<&Node, Error> {
        self.replicas().nth(number).ok_or(Error::NoSuchReplica(number))
    }

    /// Every node, the first primary first.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The directory that holds all nodes and their Unix sockets.
    pub fn directory(&self) -> &std::path::Path {
        self.scratch.path()
    }

    /// The password of the ordinary user `app`.
    pub fn app_password(&self) -> &str {
        &self.access.app_password
    }

    /// The address of the database `app` for the user `app` by way of a pooler at `address`.
    pub fn app_url_at(&self, address: SocketAddr) -> String {
        self.access.app_url(address)
    }

    /// The configuration of a pooler that listens at `listen` in front of this cluster.
    pub fn pooler_config(&self, listen: SocketAddr) -> Config {
        front::config(self, listen)
    }

    /// Makes a replica the primary. The old primary is left as it is: stop it first, or have two.
    ///
    /// The other replicas go on following the old one until [`Cluster::follow`] tells them otherwise.
    ///
    /// # Errors
    /// When the replica cannot be asked or does not become a primary in time.
    pub async fn promote(&self, number: usize) -> Result<(), Error> {
        let node = self.replica(number)?;
        node.execute("SELECT pg_promote(true, 60)").await?;
        let what = format!("{} to be promoted", node.name());
        await_true(&what, PATIENCE, || async {
            Ok(node.query_text("SELECT pg_is_in_recovery()").await?.as_deref() == Some("f"))
        })
        .await?;
        let index = self.nodes.iter().position(|other| other.name() == node.name());
        self.primary.store(index.unwrap_or_default(), Ordering::Relaxed);
        Ok(())
    }

    /// Makes a running replica stream from the present primary.
    ///
    /// # Errors
    /// When the replica cannot be asked.
    pub async fn follow(&self, replica: &Node) -> Result<(), Error> {
        let source = self.access.replication(self.primary().port());
        replica.alter("primary_conninfo", &format!("'{source}'")).await
    }

    /// Starts a stopped node as a standby of the present primary, whatever it was before.
    ///
    /// # Errors
    /// When it cannot be configured or does not start.
    pub async fn rejoin(&self, node: &Node) -> Result<(), Error> {
        let source = self.access.replication(self.primary().port());
        let line = format!("primary_conninfo = '{source}'\n");
        fs::write(node.data().join("standby.signal"), "")
            .and_then(|()| fs::write(node.data().join("postgresql.auto.conf"), line))
            .map_err(Error::io(format!("configure {}", node.name())))?;
        node.start().await
    }

    /// Waits until this many replicas stream from the primary.
    ///
    /// # Errors
    /// When the primary cannot be asked, or after a minute.
    pub async fn wait_streaming(&self, replicas: usize) -> Result<(), Error> {
        let client = self.primary().client().await?;
        let sql = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
        await_true("replicas to stream", PATIENCE, || async {
            let streaming: i64 = client.query_one(sql, &[]).await?.try_get(0)?;
            Ok(usize::try_from(streaming).is_ok_and(|streaming| streaming >= replicas))
        })
        .await
    }

    /// Waits until every running replica has replayed all that the primary has flushed by now.
    ///
    /// # Errors
    /// When a node cannot be asked, or after a minute.
    pub async fn wait_caught_up(&self) -> Result<(), Error> {
        let lsn = self.primary().query_text("SELECT pg_current_wal_flush_lsn()").await?;
        let lsn = lsn.unwrap_or_default();
        let sql = format!("SELECT pg_last_wal_replay_lsn() >= '{lsn}'::pg_lsn");
        for replica in self.replicas().filter(|replica| replica.is_running()) {
            let what = format!("{} to catch up", replica.name());
            await_true(&what, PATIENCE, || async {
                Ok(replica.query_text(&sql).await?.as_deref() == Some("t"))
            })
            .await?;
        }
        Ok(())
    }

    async fn start_all(&self, mut observe: impl FnMut(Step)) -> Result<(), Error> {
        observe(Step::StartPrimary);
        self.primary().start().await?;
        observe(Step::StartReplicas);
        let started = self.replicas().map(|replica| self.rejoin(replica));
        futures_util::future::try_join_all(started).await?;
        self.wait_streaming(self.nodes.len() - 1).await
    }
}

/// Makes the first data directory, with its users and its database.
async fn initialize(programs: &Programs, access: &Access, node: &Node) -> Result<(), Error> {
    let mut initdb = programs.command("initdb");
    initdb
        .args(["--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync", "-A", "trust"])
        .arg("-D")
        .arg(node.data());
    complete(initdb, String::new()).await?;
    let configured = || Error::io("configure the primary");
    fs::write(node.data().join("pg_hba.conf"), access.hba()).map_err(configured())?;
    let main = node.data().join("postgresql.conf");
    // Readable by the server's user as it is: only its content is replaced.
    fs::write(main, "include_if_exists = 'pglagoon.conf'\n").map_err(configured())?;
    let mut single = programs.command("postgres");
    single.args(["--single", "-c", "fsync=off", "-c"]);
    single.arg(format!("password_encryption={}", access.authentication.encryption()));
    single.arg("-D").arg(node.data()).arg("postgres");
    complete(single, access.roles()).await
}
