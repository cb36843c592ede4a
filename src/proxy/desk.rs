//! Where operators and scrapers turn to: what it knows of the running pooler, and what it can have done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::admin::{NoSuchDatabase, Order, Period, Periods, Pooler, Question, Side};
use crate::clock::{Clock, Mono};
use crate::cluster::NodeId;
use crate::config::{Config, Host};
use crate::http;
use crate::proxy::inbox::Inboxes;
use crate::proxy::overview;
use crate::session::backend::Backend;
use crate::session::clients::{Activity, ClientRow, ServerId};
use crate::session::directory::{Directory, UnknownDatabase};
use crate::session::forecast::{Asker, forecast};
use crate::session::replication::Kind;
use crate::telemetry::overview::{Finding, Overview, Phase, SocketOverview, Unforeseeable};

/// How often PAUSE looks whether the last server has come back.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The pooler as those see it who do not go through it.
#[derive(Debug)]
pub(super) struct Desk {
    directory: Arc<Directory>,
    inboxes: Arc<Inboxes>,
    periods: Mutex<Periods>,
    draining: AtomicBool,
    reloads: mpsc::Sender<Reload>,
    clock: Clock,
}

/// Somebody wants the configuration to be read again, and waits to hear what is wrong with it.
pub(super) type Reload = oneshot::Sender<Result<(), Vec<String>>>;

impl Desk {
    /// Who holds the other end of `reloads` reads the configuration.
    pub(super) fn new(
        directory: Arc<Directory>,
        inboxes: Arc<Inboxes>,
        reloads: mpsc::Sender<Reload>,
        clock: Clock,
    ) -> Self {
        let periods = Mutex::new(Periods::new(clock.now()));
        Self { directory, inboxes, periods, draining: AtomicBool::new(false), reloads, clock }
    }

    pub(super) fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    pub(super) fn inboxes(&self) -> &Arc<Inboxes> {
        &self.inboxes
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// From now on the pooler is not ready.
    pub(super) fn begin_to_drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn see(&self, now: Mono) -> Overview {
        let phase =
            if self.draining.load(Ordering::Relaxed) { Phase::Draining } else { Phase::Serving };
        overview::take(&self.directory, self.inboxes.stats(), (phase, now))
    }

    /// Whether a database, or one of all, is still paused.
    fn is_paused(&self, database: Option<&str>) -> bool {
        let databases = self.directory.databases();
        let mut meant =
            databases.iter().filter(|(name, _)| database.is_none_or(|wanted| wanted == name));
        meant.any(|(_, prepared)| prepared.is_paused())
    }

    /// Begins a new period of statistics, again and again.
    pub(super) async fn keep_periods(self: Arc<Self>) {
        loop {
            tokio::time::sleep(Periods::LENGTH).await;
            let now = self.clock.now();
            let overview = self.see(now);
            self.periods.lock().end(now, &overview);
        }
    }
}

impl http::Subject for Desk {
    fn overview(&self) -> Overview {
        self.see(self.clock.now())
    }
}

impl Pooler for Desk {
    fn overview(&self) -> Overview {
        self.see(self.clock.now())
    }

    fn config(&self) -> Arc<Config> {
        self.directory.config()
    }

    fn period(&self) -> Period {
        let now = self.clock.now();
        let overview = self.see(now);
        self.periods.lock().last(now, &overview)
    }

    async fn sockets(&self, side: Side) -> Vec<SocketOverview> {
        let clients = self.inboxes.clients().await;
        let sight = Sight { now: self.clock.now(), wall: SystemTime::now() };
        match side {
            Side::Clients => clients.iter().map(|row| sight.client(row)).collect(),
            Side::Servers => {
                let mut sockets: Vec<_> =
                    clients.iter().filter_map(|row| sight.busy_server(row)).collect();
                for backend in self.directory.backends() {
                    let nodes = backend.cluster.nodes().iter();
                    sockets.extend(nodes.flat_map(|node| sight.idle_servers(&backend, node.id())));
                }
                sockets
            }
        }
    }

    fn forecast(&self, question: &Question) -> Result<Vec<Finding>, Unforeseeable> {
        let (database, user) = (question.database.as_deref(), question.user.as_deref());
        let asker = Asker { database, user };
        forecast(&self.directory, asker, (&question.statement, self.clock.now()))
    }

    async fn carry_out(&self, order: Order, database: Option<&str>) -> Result<(), NoSuchDatabase> {
        let directory = &self.directory;
        match order {
            Order::Reconnect => directory.renew(database)?,
            Order::Resume => directory.resume(database)?,
            Order::Pause => {
                directory.pause(database)?;
                // Until somebody resumes.
                while self.is_paused(database) && !directory.is_quiet(database) {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                if self.is_paused(database) {
                    directory.renew(database)?;
                }
            }
        }
        Ok(())
    }

    async fn reload(&self) -> Result<(), Vec<String>> {
        let (answer, outcome) = oneshot::channel();
        let _ = self.reloads.send(answer).await;
        outcome.await.unwrap_or_else(|_| Err(vec!["pgLagoon stops".to_owned()]))
    }
}

impl From<UnknownDatabase> for NoSuchDatabase {
    fn from(_: UnknownDatabase) -> Self {
        Self
    }
}

/// The moment at which connections are looked at, on both clocks.
struct Sight {
    now: Mono,
    wall: SystemTime,
}

impl Sight {
    fn client(&self, row: &ClientRow) -> SocketOverview {
        let is_waiting = matches!(row.activity, Activity::Waiting | Activity::WaitingForReplica);
        let node = row.server.map(|server| node_name(&row.backend, server.node));
        SocketOverview {
            user: row.backend.user.to_string(),
            database: row.backend.database.to_string(),
            state: row.activity.as_str(),
            address: row.address.map(|address| (address.ip().to_string(), address.port())),
            connected: self.wall(row.connected),
            requested: self.wall(row.since),
            wait: if is_waiting { self.now.saturating_since(row.since) } else { Duration::ZERO },
            ptr: client_ptr(row),
            link: row.server.map_or_else(String::new, |server| server_ptr(&row.backend, server)),
            process_id: row.process_id,
            application_name: row.application_name.to_string(),
            node: node.unwrap_or_default(),
            pinned: row.pinned,
            replication: replication(row),
            channels: row.channels,
            prepared: Some(row.prepared.statements),
            prepared_bytes: Some(row.prepared.bytes),
        }
    }

    fn busy_server(&self, row: &ClientRow) -> Option<SocketOverview> {
        let mut socket = self.server(&row.backend, row.server?, ("active", row.since));
        socket.link = client_ptr(row);
        socket.application_name = row.application_name.to_string();
        socket.pinned = row.pinned;
        socket.replication = replication(row);
        Some(socket)
    }

    fn idle_servers(&self, backend: &Backend, node: NodeId) -> Vec<SocketOverview> {
        let idle = backend.idle_servers(node).into_iter();
        idle.map(|one| self.server(backend, one.server, ("idle", one.since))).collect()
    }

    fn server(
        &self,
        backend: &Backend,
        server: ServerId,
        (state, since): (&'static str, Mono),
    ) -> SocketOverview {
        let prepared = backend.prepared_on(server);
        let endpoint = backend.targets.get(server.node.index()).map(|target| &target.endpoint);
        let address = endpoint.and_then(|endpoint| match &endpoint.host {
            Host::Tcp(host) => Some((host.clone(), endpoint.port)),
            Host::Unix(_) => None,
        });
        SocketOverview {
            user: backend.user.to_string(),
            database: backend.database.to_string(),
            state,
            address,
            connected: self.wall(server.since),
            requested: self.wall(since),
            wait: Duration::ZERO,
            ptr: server_ptr(backend, server),
            link: String::new(),
            process_id: server.process_id,
            application_name: String::new(),
            node: node_name(backend, server.node),
            pinned: "",
            replication: NONE,
            channels: 0,
            prepared: prepared.map(|tally| tally.statements),
            prepared_bytes: prepared.map(|tally| tally.bytes),
        }
    }

    fn wall(&self, at: Mono) -> SystemTime {
        self.wall.checked_sub(self.now.saturating_since(at)).unwrap_or(self.wall)
    }
}

/// No replication.
const NONE: &str = "none";

fn replication(row: &ClientRow) -> &'static str {
    row.replication.map_or(NONE, Kind::as_str)
}

fn client_ptr(row: &ClientRow) -> String {
    format!("{:#x}", row.process_id)
}

fn server_ptr(backend: &Backend, server: ServerId) -> String {
    format!("{}/{}", node_name(backend, server.node), server.process_id)
}

fn node_name(backend: &Backend, node: NodeId) -> String {
    backend.cluster.node(node).map_or_else(String::new, |node| node.name().to_owned())
}
