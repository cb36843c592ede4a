//! The pooler at one moment, in plain words and numbers: what SHOW, the metrics and readiness are made of.
//!
//! Whoever knows the real things (sessions, pools, clusters) fills it in; whoever shows it needs to know nothing
//! of them.

use std::time::{Duration, SystemTime};

use super::frequent::Often;
use super::totals::Totals;

/// Whether the pooler takes on work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It does.
    #[default]
    Serving,
    /// It lets transactions finish and stops then.
    Draining,
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    /// Whether it takes on work.
    pub phase: Phase,
    /// How long it has been running.
    pub uptime: Duration,
    /// Connections that are logged in or logging in.
    pub connected: usize,
    /// Clients that have logged in since the start.
    pub logins: u64,
    /// Log-ins that failed since the start.
    pub failed_logins: u64,
    /// Cancel requests that were passed on since the start.
    pub cancels: u64,
    /// The configured databases by name.
    pub databases: Vec<DatabaseOverview>,
    /// The configured users by name.
    pub users: Vec<UserOverview>,
    /// Every (database, user) that somebody has used, in this order.
    pub backends: Vec<BackendOverview>,
}

/// A configured database.
#[derive(Clone, Debug, Default)]
pub struct DatabaseOverview {
    /// Its name for clients.
    pub name: String,
    /// The primary's host.
    pub host: String,
    /// The primary's port.
    pub port: u16,
    /// Its name on the primary.
    pub dbname: String,
    /// The user that every client is on the primary, if it is one and the same.
    pub force_user: Option<String>,
    /// The settings of its pools.
    pub pool: PoolSettings,
    /// Server connections that it may have; 0 for any number.
    pub max_connections: usize,
    /// Clients that it may have; 0 for any number.
    pub max_client_connections: usize,
    /// Whether its pools hand out connections.
    pub service: Service,
    /// Its nodes, the one that is configured as primary first.
    pub nodes: Vec<NodeOverview>,
    /// How often another node, or another server in its place, has become the primary.
    pub primary_changes: u64,
    /// What is known of its catalog.
    pub catalog: CatalogOverview,
}

/// What is known of a database's catalog.
#[derive(Clone, Debug, Default)]
pub struct CatalogOverview {
    /// Counts what was new; 0 until it has been read.
    pub version: u64,
    /// How long ago it was read.
    pub age: Option<Duration>,
    /// How long that took.
    pub took: Duration,
    /// Tables, views, sequences and the like.
    pub relations: usize,
    /// Those of them that only the primary may read.
    pub primary_relations: usize,
    /// Functions and types that are not PostgreSQL's own.
    pub functions: usize,
    /// Those of them that only the primary may run.
    pub primary_functions: usize,
    /// The memory that it takes.
    pub bytes: usize,
    /// How often it was read.
    pub loads: u64,
    /// How often it could not be.
    pub failures: u64,
    /// Why it could not be read the last time, or why all statements run on the primary; empty if all is well.
    pub trouble: String,
}

/// What the pools of a database, user or both are set to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolSettings {
    /// "transaction" or "session"; empty where it is not set.
    pub mode: &'static str,
    /// Server connections of one pool.
    pub size: usize,
    /// Those that are kept open.
    pub min: usize,
    /// Those on top when clients wait for long.
    pub reserve: usize,
    /// The age at which a server connection is closed; zero for never.
    pub server_lifetime: Duration,
}

/// Whether a database's pools hand out connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Service {
    /// They do.
    #[default]
    Running,
    /// Everybody waits, by PAUSE.
    Paused,
}

/// A configured user.
#[derive(Clone, Debug, Default)]
pub struct UserOverview {
    /// Its name.
    pub name: String,
    /// Its own pool size, if it has one.
    pub pool_size: Option<usize>,
    /// Its own reserve, if it has one.
    pub reserve_pool_size: Option<usize>,
    /// Its own pool mode, if it has one.
    pub pool_mode: Option<&'static str>,
    /// Server connections that it may have; 0 for any number.
    pub max_connections: usize,
    /// Clients that it may have; 0 for any number.
    pub max_client_connections: usize,
}

/// A node of a database.
#[derive(Clone, Debug, Default)]
pub struct NodeOverview {
    /// "host:port".
    pub name: String,
    /// What it serves as.
    pub role: &'static str,
    /// Whether it may be used.
    pub is_up: bool,
    /// Whether it may be used, and why not, in a word.
    pub state: &'static str,
    /// How long it has been in this state.
    pub in_state_for: Duration,
    /// Why it is in this state; empty when it is up as what it is configured to be.
    pub reason: String,
    /// How far it was behind the primary at the primary's last answer.
    pub lag: Option<Duration>,
    /// The same in bytes.
    pub lag_bytes: Option<u64>,
    /// How long ago its state was that of the primary.
    pub age: Option<Duration>,
    /// Its position in the log.
    pub lsn: Option<String>,
    /// Its timeline.
    pub timeline: Option<u32>,
    /// Sessions that use one of its servers.
    pub in_flight: u32,
    /// Its share of the reads.
    pub weight: u32,
    /// Polls answered.
    pub polls_ok: u64,
    /// Polls failed.
    pub polls_failed: u64,
    /// The last failure.
    pub last_error: Option<String>,
}

/// One (database, user).
#[derive(Clone, Debug, Default)]
pub struct BackendOverview {
    /// The database as clients name it.
    pub database: String,
    /// The user as clients name it.
    pub user: String,
    /// "transaction" or "session".
    pub pool_mode: &'static str,
    /// What was done.
    pub totals: Totals,
    /// Batches by the reason of their route.
    pub routes: Vec<(&'static str, u64)>,
    /// Batches by the reason of their route and their statement, the most frequent first.
    pub frequent: Vec<(&'static str, Often)>,
    /// Fingerprints of reads that replicas have refused, and how many went to the primary because of that.
    pub learned: Vec<(u64, u64)>,
    /// Clients by what they are doing.
    pub clients: Vec<(&'static str, u64)>,
    /// Its pools in the order of the nodes.
    pub pools: Vec<PoolOverview>,
}

impl BackendOverview {
    /// How many clients there are.
    pub fn client_count(&self) -> u64 {
        self.clients.iter().map(|(_, count)| count).sum()
    }

    /// How many server connections there are, those being opened included.
    pub fn server_count(&self) -> usize {
        self.pools.iter().map(|pool| pool.idle + pool.busy + pool.connecting).sum()
    }
}

/// The pool of one (database, user, node).
#[derive(Clone, Debug, Default)]
pub struct PoolOverview {
    /// The node's name.
    pub node: String,
    /// What the node serves as.
    pub role: &'static str,
    /// Server connections that nobody uses.
    pub idle: usize,
    /// Server connections in use.
    pub busy: usize,
    /// Server connections being opened.
    pub connecting: usize,
    /// Clients in the queue.
    pub waiting: usize,
    /// How long the first of them has waited.
    pub oldest_wait: Duration,
    /// Connections given to clients.
    pub checkouts: u64,
    /// Server connections that were opened.
    pub connects: u64,
    /// Those that could not be.
    pub connect_failures: u64,
    /// Server connections that were closed.
    pub closed: u64,
    /// Why the last could not be opened, until one can.
    pub last_error: Option<String>,
}

/// One line of what is known of a statement's route, for SHOW ROUTE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub item: String,
    /// What is so.
    pub value: String,
    /// Why; empty if there is nothing to say.
    pub reason: String,
}

/// Why SHOW ROUTE has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unforeseeable {
    /// There is more than one database, and none was named.
    Ambiguous,
    /// The database is not configured.
    Database,
    /// The user is not configured.
    User,
}

/// A client or server connection, for SHOW CLIENTS and SHOW SERVERS.
#[derive(Clone, Debug)]
pub struct SocketOverview {
    /// The user as clients name it.
    pub user: String,
    /// The database as clients name it.
    pub database: String,
    /// What it is doing, in a word.
    pub state: &'static str,
    /// The peer's address; `None` for a Unix-domain socket.
    pub address: Option<(String, u16)>,
    /// When it connected.
    pub connected: SystemTime,
    /// When its last request came.
    pub requested: SystemTime,
    /// How long it has been waiting.
    pub wait: Duration,
    /// What identifies it.
    pub ptr: String,
    /// What identifies its peer within the pooler; empty if there is none.
    pub link: String,
    /// The process id: for a client that of its cancel key, for a server PostgreSQL's.
    pub process_id: i32,
    /// What the client calls itself.
    pub application_name: String,
    /// The node of the server, or of the client's server; empty if there is none.
    pub node: String,
    /// Why the client keeps its server; empty if it does not.
    pub pinned: &'static str,
    /// What the client replicates: `none`, `physical` or `logical`.
    pub replication: &'static str,
    /// On how many channels the client listens by way of the hub.
    pub channels: usize,
    /// How many statements the client has named, or the server has; `None` for a server that replicates.
    pub prepared: Option<usize>,
    /// The bytes that those take, as far as they are known.
    pub prepared_bytes: Option<usize>,
}
