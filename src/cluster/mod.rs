//! Which nodes a database has, what each of them is, and how fresh it is.
//!
//! One number per replica answers every question about staleness: [`Node::fresh_as_of`], the instant up to
//! which everything that the primary acknowledged is visible there. The [`monitor`] polls every node on a
//! connection of its own ([`probe`]); [`freshness`] turns positions in the log into instants, [`health`]
//! decides whether a node may be used, and `tracker` puts the two together. Sessions read the result from atomics
//! and never wait for a poll, except those that asked to ([`Cluster::wait_fresh`]).
//!
//! This module knows nothing of statements, sessions or pools.

pub mod catalog;
mod ddl;
mod election;
mod flushing;
pub mod freshness;
pub mod health;
mod leadership;
mod load;
mod lsn;
pub mod monitor;
mod node;
pub mod probe;
mod report;
pub mod token;
mod tracker;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Poll as TaskPoll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

pub use self::flushing::Flushing;
pub use self::health::{Fault, Mistake, State};
pub use self::leadership::{Herald, Office, Term};
pub use self::lsn::{Lineage, Lsn, NotAnLsn};
pub use self::node::{Node, NodeId, Role, Usable};
pub use self::report::NodeReport;
pub use self::token::{Reach, Token};
pub use self::tracker::{Poll, Transition};
pub use self::waiting::{WaitKey, Waited};

use self::catalog::CatalogState;
use self::leadership::Leadership;
use self::tracker::Tracker;
use self::waiting::{Arrival, Waiters};
use crate::clock::{Clock, Mono};
use crate::config::{Database, Routing};
use crate::sql::LiveCatalog;

/// How often nodes are polled while a read waits for a replica to catch up.
const WAITING_PAUSE: Duration = Duration::from_millis(1);

/// How long after the last read nodes are still polled as often as while reads come in.
const HOT_FOR: Duration = Duration::from_millis(200);

/// The nodes of one configured database.
#[derive(Debug)]
pub struct Cluster {
    database: Box<str>,
    clock: Clock,
    /// The one that is configured as primary first.
    nodes: Box<[Node]>,
    leadership: Leadership,
    /// Whether the primary has not answered for longer than it should.
    suspicion: AtomicBool,
    /// See [`View::held_at`].
    held_at: AtomicU64,
    /// Set by sessions with every read, cleared by the monitor.
    read_came: AtomicBool,
    hot_until: AtomicU64,
    tracker: Mutex<Tracker>,
    waiters: Mutex<Waiters>,
    catalog: CatalogState,
    /// Tells the monitor that a deadline was added which passes before all others.
    deadline_added: Notify,
    /// Counts what sessions have done to the catalog.
    schema: AtomicU64,
    /// When somebody is known to have changed the catalog last.
    schema_changed: AtomicU64,
    setbacks: AtomicU32,
    flushing: Flushing,
}

impl Cluster {
    /// The cluster that `database` is configured to have. Nothing is known of its nodes until a
    /// [`monitor`] runs.
    pub fn new(name: &str, database: &Database, clock: Clock) -> Self {
        let nodes = database.nodes().zip(0..).map(|(node, index)| {
            let role = if index == 0 { Role::Primary } else { Role::Replica };
            let zone = node.zone.as_deref().unwrap_or_default();
            Node::new(NodeId(index), &node.name, role, node.weight).in_zone(zone)
        });
        Self::of_nodes(name, nodes.collect(), database.routing.clone(), clock)
    }

    fn of_nodes(name: &str, nodes: Box<[Node]>, routing: Routing, clock: Clock) -> Self {
        for node in &nodes {
            node.compare_zone(&routing.zone);
        }
        let catalog = CatalogState::new(&routing);
        let tracker = Tracker::new(nodes.iter().map(Node::role), routing);
        let leadership = Leadership::new(tracker.writable());
        Self {
            database: name.into(),
            clock,
            nodes,
            leadership,
            suspicion: AtomicBool::new(false),
            held_at: AtomicU64::new(Mono::MAX.0),
            read_came: AtomicBool::new(false),
            hot_until: AtomicU64::new(0),
            tracker: Mutex::new(tracker),
            waiters: Mutex::default(),
            catalog,
            deadline_added: Notify::new(),
            schema: AtomicU64::new(0),
            schema_changed: AtomicU64::new(0),
            setbacks: AtomicU32::new(0),
            flushing: Flushing::default(),
        }
    }

    /// The configured database that this is the cluster of.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// What the names in the database's texts stand for.
    #[inline]
    pub fn catalog(&self) -> &LiveCatalog {
        self.catalog.live()
    }

    /// How that is known.
    pub fn catalog_state(&self) -> &CatalogState {
        &self.catalog
    }

    /// What `SHOW CATALOG` and the metrics show.
    pub fn catalog_report(&self) -> catalog::CatalogReport {
        self.catalog.report(self.clock.now())
    }

    /// All nodes, the one that is configured as primary first.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One node.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.index())
    }

    /// Changes whenever a node may have gone back in time: what was known of its freshness before holds no longer. To be
    /// asked before the nodes are looked at, and again when a server has been got.
    #[inline]
    pub fn setbacks(&self) -> u32 {
        self.setbacks.load(Ordering::Acquire)
    }

    /// Whether commits are flushed when they are acknowledged.
    #[inline]
    pub fn flushing(&self) -> &Flushing {
        &self.flushing
    }

    /// What routing may look at. Costs nothing.
    pub fn view(&self) -> View<'_> {
        View { cluster: self }
    }

    /// Tells the monitor that a read wanted a replica at `now`. To be called with every such read.
    pub fn note_read(&self, now: Mono) {
        // Loaded first, so that the cache line stays shared while reads come in.
        if self.read_came.load(Ordering::Relaxed) {
            return;
        }
        self.read_came.store(true, Ordering::Relaxed);
        if now.0 > self.hot_until.load(Ordering::Relaxed) {
            self.kick();
        }
    }

    /// Has every node polled now (those that are down: when their back-off has passed).
    pub fn kick(&self) {
        for node in &self.nodes {
            node.poll_now.notify_one();
        }
    }

    /// Waits until some replica is fresh as of an instant after `required`, or until `deadline`.
    ///
    /// Dropping the key ends the wait. Who decides anew after [`Waited::Fresh`] must wait no longer than until the
    /// same deadline: the replica may have left meanwhile.
    pub fn wait_fresh(self: &Arc<Self>, required: Mono, deadline: Mono) -> WaitKey {
        let (key, arrival) = {
            let mut waiters = self.waiters.lock();
            // Looked at under the lock: what is published later finds this wait in the list.
            waiters.insert(required, deadline, self.view().freshest())
        };
        match arrival {
            Arrival::First => {
                self.deadline_added.notify_one();
                self.kick();
            }
            Arrival::Soonest => self.deadline_added.notify_one(),
            // All nodes are polled often already. The primary once more: what is required may lie after its
            // present poll began.
            Arrival::Later => self.kick_primary(),
        }
        WaitKey::new(Arc::clone(self), key)
    }

    /// Takes note of a finished poll of `node`, publishes what it says and ends the waits that it satisfies.
    pub fn record(&self, node: NodeId, poll: Poll) -> Option<Transition> {
        if poll.outcome.is_ok()
            && let Some(node) = self.node(node)
        {
            node.settle(poll.ended_at.saturating_since(poll.started_at));
        }
        let (transition, displaced) = {
            let mut tracker = self.tracker.lock();
            let before = tracker.office();
            let transition = tracker.on_poll(node, poll);
            (transition, (tracker.office().term != before.term).then_some(before.node))
        };
        if let Some(node) = displaced {
            self.leadership.fence(node);
        }
        let is_new = {
            let tracker = self.tracker.lock();
            let is_led = tracker.is_led();
            let concerns = transition.is_some() && tracker.primary() == Some(node);
            (self.publish(&tracker) || concerns).then_some(is_led)
        };
        if let Some(is_led) = is_new {
            let primary = self.primary().map(|office| office.node);
            self.leadership.rally(primary.filter(|_| is_led));
        }
        self.end_waits();
        transition
    }

    /// Which instant `token` stands for, at `now` or later.
    pub fn reach(&self, token: Token, now: Mono) -> Reach {
        self.tracker.lock().reach(token, now)
    }

    /// Applies other settings from now on.
    pub fn set_routing(&self, routing: &Routing) {
        self.compare_zones(routing);
        self.catalog.set_routing(routing);
        let mut tracker = self.tracker.lock();
        tracker.set_routing(routing.clone());
        self.publish(&tracker);
        self.leadership.touch();
    }

    /// What `SHOW NODES` and the metrics show, in the order of the nodes.
    pub fn report(&self) -> Vec<NodeReport> {
        let now = self.clock.now();
        let tracker = self.tracker.lock();
        self.nodes.iter().map(|node| NodeReport::new(node, &tracker, now)).collect()
    }

    fn compare_zones(&self, routing: &Routing) {
        for node in &self.nodes {
            node.compare_zone(&routing.zone);
        }
    }

    /// Called with the tracker locked, so that what is published last is what was found out last. Returns whether
    /// another node is to be written to now.
    fn publish(&self, tracker: &Tracker) -> bool {
        let (now, mut setbacks) = (self.clock.now(), 0);
        for node in &self.nodes {
            let id = node.id();
            let Some(known) = tracker.node(id) else { continue };
            let is_primary = tracker.primary() == Some(id);
            node.set_role(if is_primary { Role::Primary } else { Role::Replica });
            let (fresh, usable) = (tracker.fresh_as_of(id), known.health().state().into());
            setbacks += u32::from(node.publish(fresh, usable, now));
        }
        // After the nodes: who sees the new count sees what they are since.
        self.setbacks.fetch_add(setbacks, Ordering::Release);
        // After the nodes: who sees that the primary is back must not measure its lag by what it was before.
        self.held_at.store(tracker.held_at().0, Ordering::Release);
        self.leadership.publish(tracker.office().term, tracker.writable())
    }

    fn kick_primary(&self) {
        for primary in self.nodes.iter().filter(|node| node.role() == Role::Primary) {
            primary.poll_now.notify_one();
        }
    }

    fn end_waits(&self) {
        let mut wake = Vec::new();
        self.waiters.lock().end_due(self.view().freshest(), self.clock.now(), &mut wake);
        // Woken without the lock, which a woken task takes at once.
        wake.into_iter().for_each(Waker::wake);
    }

    fn has_waiters(&self) -> bool {
        self.waiters.lock().any()
    }

    fn next_deadline(&self) -> Option<Mono> {
        self.waiters.lock().next_deadline()
    }

    fn poll_wait(&self, key: usize, waker: &Waker) -> TaskPoll<Waited> {
        self.waiters.lock().poll(key, waker)
    }

    fn end_wait(&self, key: usize) {
        self.waiters.lock().remove(key);
    }

    /// How long after the beginning of one poll the next begins.
    fn pause(&self, now: Mono) -> Duration {
        if self.has_waiters() {
            return WAITING_PAUSE;
        }
        if self.read_came.swap(false, Ordering::Relaxed) {
            self.hot_until.store(now.plus(HOT_FOR).0, Ordering::Relaxed);
        }
        let hot = now.0 <= self.hot_until.load(Ordering::Relaxed);
        let tracker = self.tracker.lock();
        let routing = tracker.routing();
        // Another may be promoted any moment.
        let alert = self.suspicion.load(Ordering::Relaxed) || !tracker.is_led();
        let configured =
            if hot || alert { routing.poll_interval } else { routing.idle_poll_interval };
        // Polled less often than this, replicas would look too old between two polls.
        configured.min(routing.max_lag / 4).max(WAITING_PAUSE)
    }
}

/// What routing may look at: plain loads, no lock, no allocation.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    cluster: &'a Cluster,
}

impl<'a> View<'a> {
    /// The replicas.
    pub fn replicas(self) -> impl Iterator<Item = &'a Node> + Clone {
        self.cluster.nodes.iter().filter(|node| node.role() == Role::Replica)
    }

    /// One node.
    pub fn node(self, id: NodeId) -> Option<&'a Node> {
        self.cluster.node(id)
    }

    /// Lag is measured from this instant if it is earlier than now: the last answer of a primary that is
    /// down, if reads may then go on. [`Mono::MAX`] otherwise.
    pub fn held_at(self) -> Mono {
        Mono(self.cluster.held_at.load(Ordering::Acquire))
    }

    /// The instant of the freshest replica that takes reads; [`Mono::ZERO`] if none is usable.
    pub fn freshest(self) -> Mono {
        let takes_reads = self.replicas().filter(|node| node.weight() > 0);
        takes_reads.map(Node::fresh_as_of).max().unwrap_or(Mono::ZERO)
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
