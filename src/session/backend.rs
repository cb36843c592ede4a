//! Where the sessions of one (database, user) get their servers: a cluster, and a pool for each of its nodes.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::clock::Mono;
use crate::cluster::{Cluster, NodeId};
use crate::config::{Limits, PoolMode, Routing, Timeouts};
use crate::pool::{Pool, Snapshot, WorkerId};
use crate::route::Reason;
use crate::server::census::{Register, Tally};
use crate::server::{ConnectError, Target};
use crate::session::clients::ServerId;
use crate::session::hub::Hub;
use crate::session::learned::Learned;
use crate::session::link::Link;
use crate::session::share::Share;
use crate::session::welcome::Welcomes;
use crate::session::writes::Writes;
use crate::telemetry::Traffic;

/// The settings that sessions of one (database, user) go by. Replaced as a whole by a reload.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Transaction or session pooling.
    pub mode: PoolMode,
    /// Where statements go.
    pub routing: Routing,
    /// How many servers the pool of a node has.
    pub pool_size: u32,
    /// How many of the primary's reads may use that belong on replicas.
    pub share: Share,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// From which time on statements are logged; [`Duration::MAX`] for none.
    pub slow_statement: Duration,
    /// How large things may be.
    pub limits: Limits,
    /// How long a plan may stand in for parsing its statement anew; `None` is not at all.
    pub plan_reuse: Option<Duration>,
    /// How long a client waits for a server; `None` for ever.
    pub query_wait_timeout: Option<Duration>,
    /// From which age on an idle server is asked whether it is alive before it is handed out.
    pub server_check_delay: Duration,
}

/// One (database, user): its nodes, pools, settings and counters. Shared by all workers.
#[derive(Debug)]
pub struct Backend {
    /// The database as clients name it.
    pub database: Box<str>,
    /// The user as clients name it.
    pub user: Box<str>,
    /// The nodes.
    pub cluster: Arc<Cluster>,
    /// How to reach each node, in the order of the cluster's nodes.
    pub targets: Box<[Arc<Target>]>,
    policy: ArcSwap<Policy>,
    /// What each worker has done, in the order of the workers.
    pub traffic: Box<[Traffic]>,
    /// A pool for each node.
    pub(crate) pools: Box<[Arc<Pool<Box<Link>>>]>,
    pub(crate) welcomes: Mutex<Welcomes>,
    /// When the database was last written to, by anybody.
    pub(crate) writes: Arc<Writes>,
    /// What replicas have refused.
    pub(crate) learned: Learned,
    /// Writes whose clients ask for `currval` or `lastval` when they are over.
    pub(crate) asked_about: Learned,
    /// How old a server connection may get: looked at when one is opened.
    pub(crate) lifetime: Arc<Mutex<Option<Duration>>>,
    /// The servers of each node.
    registers: Box<[Arc<Register>]>,
    /// The channels that clients of the database listen on.
    pub(crate) hub: Arc<Hub>,
    /// Set once, when a reload has no use for this backend any more.
    successor: OnceLock<Option<Arc<Self>>>,
}

/// Whether sessions may go on using a backend.
#[derive(Debug)]
pub(crate) enum Standing<'a> {
    /// They may.
    Current,
    /// A reload has put another in its place.
    Replaced(&'a Arc<Backend>),
    /// A reload has removed the database or the user.
    Removed,
}

/// What a [`Backend`] consists of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) database: Box<str>,
    pub(crate) user: Box<str>,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) targets: Box<[Arc<Target>]>,
    pub(crate) policy: Policy,
    pub(crate) workers: usize,
    pub(crate) pools: Box<[Arc<Pool<Box<Link>>>]>,
    pub(crate) lifetime: Arc<Mutex<Option<Duration>>>,
    pub(crate) registers: Box<[Arc<Register>]>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) writes: Arc<Writes>,
}

/// A server that nobody uses.
#[derive(Clone, Copy, Debug)]
pub struct IdleServer {
    /// Which it is.
    pub server: ServerId,
    /// Since when nobody does.
    pub since: Mono,
}

impl Backend {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            database: parts.database,
            user: parts.user,
            cluster: parts.cluster,
            targets: parts.targets,
            policy: ArcSwap::from_pointee(parts.policy),
            traffic: (0..parts.workers).map(|_| Traffic::default()).collect(),
            pools: parts.pools,
            welcomes: Mutex::default(),
            writes: parts.writes,
            learned: Learned::default(),
            asked_about: Learned::default(),
            lifetime: parts.lifetime,
            registers: parts.registers,
            hub: parts.hub,
            successor: OnceLock::new(),
        }
    }

    /// The settings as they are now.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// Replaces the settings; sessions go by them from their next wake-up on.
    pub fn set_policy(&self, policy: Policy) {
        self.policy.store(Arc::new(policy));
        self.cluster.touch();
    }

    /// Whether sessions may go on using it.
    #[inline]
    pub(crate) fn standing(&self) -> Standing<'_> {
        match self.successor.get() {
            None => Standing::Current,
            Some(Some(successor)) => Standing::Replaced(successor),
            Some(None) => Standing::Removed,
        }
    }

    /// Closes the pools; servers in use are closed when their clients let go of them. Sessions go on with
    /// `successor`, if there is one.
    pub(crate) fn retire(&self, successor: Option<Arc<Self>>, now: Mono) {
        let _ = self.successor.set(successor);
        for pool in &self.pools {
            pool.close(now);
        }
    }

    /// What is connected to `node` must not be used any more, nor what is known of servers from before.
    pub fn fence(&self, node: NodeId, now: Mono) {
        self.welcomes.lock().forget();
        if let Some(pool) = self.pool(node) {
            pool.renew(now);
        }
    }

    /// `node` takes connections again.
    pub fn welcome_back(&self, node: NodeId, now: Mono) {
        if let Some(pool) = self.pool(node) {
            pool.forgive(now);
        }
    }

    /// The pool of `node`.
    #[inline]
    pub(crate) fn pool(&self, node: NodeId) -> Option<&Arc<Pool<Box<Link>>>> {
        self.pools.get(node.index())
    }

    /// The state of the pool of `node`.
    pub fn pool_snapshot(&self, node: NodeId, now: Mono) -> Option<Snapshot<ConnectError>> {
        self.pool(node).map(|pool| pool.snapshot(now))
    }

    /// The servers of `node` that nobody uses. Their pool is locked meanwhile.
    pub fn idle_servers(&self, node: NodeId) -> Vec<IdleServer> {
        let mut servers = Vec::new();
        if let Some(pool) = self.pool(node) {
            pool.visit_idle(|link, idle_since| {
                let (process_id, since) = link.server.key();
                let server = ServerId { node, process_id, since };
                servers.push(IdleServer { server, since: idle_since });
            });
        }
        servers
    }

    /// What is prepared on a server, whoever has it.
    pub fn prepared_on(&self, server: ServerId) -> Option<Tally> {
        self.registers.get(server.node.index())?.tally((server.process_id, server.since))
    }

    /// Bytes go to a client of this worker.
    #[inline]
    pub(crate) fn count_sent(&self, worker: WorkerId, count: usize) {
        if let Some(traffic) = self.traffic.get(usize::from(worker.0)) {
            traffic.sent.add(u64::try_from(count).unwrap_or(0));
        }
    }

    /// How many batches have been routed for `reason`.
    pub fn routed(&self, reason: Reason) -> u64 {
        let counters = self.traffic.iter().filter_map(|one| one.routes.get(reason.index()));
        counters.map(crate::telemetry::counter::Counter::get).sum()
    }
}
