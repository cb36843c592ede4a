//! Who may log in, and to what: users, databases, and the backends that have been opened so far.

mod opener;
mod reload;
mod replicated;
mod service;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::auth::{Credential, MockKey, Secret};
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::config::{AuthMethod, Config, Database, PoolSize, ServerOrder, User};
use crate::pool::{Budget, Limits, Order, Pool, WorkerId};
use crate::protocol::Version;
use crate::server::census::Register;
use crate::server::{Endpoint, Target};
use crate::session::backend::{Backend, Parts, Policy};
use crate::session::connect::Opening;
use crate::session::hub::Hub;
use crate::session::link::Link;
use crate::session::share::Share;
pub use crate::session::startup::Doors;
use crate::session::writes::Writes;
use opener::Opener;
pub use service::UnknownDatabase;

/// Gives openings to workers: the way from a pool, which may be asked on any thread, to a runtime.
pub trait Openers: Send + Sync {
    /// Has `opening` run on `worker`'s runtime, or on any if that is `None`. Must not block. Dropping the opening
    /// is allowed: the pool asks again.
    fn open(&self, worker: Option<WorkerId>, opening: Opening);
}

/// A configured database, prepared: its nodes, and how to reach them.
pub struct Prepared {
    /// The configuration.
    pub database: Database,
    /// The nodes' state.
    pub cluster: Arc<Cluster>,
    /// How to reach each node.
    pub endpoints: Box<[Arc<Endpoint>]>,
    /// The channels that its clients listen on.
    pub hub: Arc<Hub>,
    budget: Arc<Budget<Box<Link>>>,
    seats: Arc<AtomicUsize>,
    paused: AtomicBool,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("database", &self.database).finish_non_exhaustive()
    }
}

impl Prepared {
    /// A database whose nodes are watched as `cluster`.
    pub fn new(
        database: Database,
        cluster: Arc<Cluster>,
        endpoints: Box<[Arc<Endpoint>]>,
        config: &Config,
    ) -> Self {
        let limit = database.overrides.max_connections.unwrap_or(config.pool.max_db_connections);
        Self {
            database,
            cluster,
            endpoints,
            hub: Arc::default(),
            budget: Budget::new(limit.unwrap_or(0)),
            seats: Arc::default(),
            paused: AtomicBool::new(false),
        }
    }
}

/// What the directory knows of a user.
struct Account {
    user: User,
    secret: Arc<Secret>,
    budget: Arc<Budget<Box<Link>>>,
    seats: Arc<AtomicUsize>,
}

/// What a reload replaces.
struct Contents {
    config: Arc<Config>,
    databases: HashMap<String, Arc<Prepared>>,
    accounts: HashMap<String, Account>,
    doors: Doors,
}

/// Users, databases and backends. Shared by all workers.
pub struct Directory {
    contents: ArcSwap<Contents>,
    backends: Mutex<HashMap<(String, String), Arc<Backend>>>,
    openers: Arc<dyn Openers>,
    mock: MockKey,
    workers: usize,
    clock: Clock,
    seats: Arc<AtomicUsize>,
    /// By database. They outlive a reload.
    writes: Mutex<HashMap<String, Arc<Writes>>>,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").field("workers", &self.workers).finish_non_exhaustive()
    }
}

/// Places that a client takes up in the limits; given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat([Option<Arc<AtomicUsize>>; 3]);

impl Drop for Seat {
    fn drop(&mut self) {
        for counter in self.0.iter().flatten() {
            counter.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A limit that is reached: its name, its value, and who it is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full(pub(crate) &'static str, pub(crate) usize);

impl Directory {
    /// The directory of a configuration.
    ///
    /// # Errors
    ///
    /// A user's secret cannot be used; the message names the user.
    pub fn new(
        config: Arc<Config>,
        databases: HashMap<String, Arc<Prepared>>,
        doors: Doors,
        openers: Arc<dyn Openers>,
        (workers, clock): (usize, Clock),
    ) -> Result<Self, String> {
        let contents = Contents::new(config, databases, doors, None)?;
        Ok(Self {
            contents: ArcSwap::from_pointee(contents),
            backends: Mutex::default(),
            openers,
            mock: MockKey::random(),
            workers,
            clock,
            seats: Arc::default(),
            writes: Mutex::default(),
        })
    }

    /// The configuration.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.contents.load().config)
    }

    /// The configured databases, in no order.
    pub fn databases(&self) -> Vec<(String, Arc<Prepared>)> {
        let contents = self.contents.load();
        contents.databases.iter().map(|(name, one)| (name.clone(), Arc::clone(one))).collect()
    }

    /// All backends that have been opened.
    pub fn backends(&self) -> Vec<Arc<Backend>> {
        self.backends.lock().values().map(Arc::clone).collect()
    }

    /// How many clients are logged in or logging in.
    pub fn clients(&self) -> usize {
        self.seats.load(Ordering::Relaxed)
    }

    pub(crate) fn doors(&self) -> Doors {
        self.contents.load().doors.clone()
    }

    pub(crate) fn mock(&self) -> &MockKey {
        &self.mock
    }

    /// The user's secret, and how it is to be asked for.
    pub(crate) fn secret(&self, user: &str) -> (Option<Arc<Secret>>, AuthMethod) {
        let contents = self.contents.load();
        let secret = contents.accounts.get(user).map(|account| Arc::clone(&account.secret));
        (secret, contents.config.listen.auth_method)
    }

    /// Takes a place for a connection that has not logged in yet.
    pub(crate) fn take_door(&self) -> Result<Seat, Full> {
        let limit = self.contents.load().config.listen.max_client_connections;
        take(&self.seats, limit, "listen.max_client_connections")
            .map(|counter| Seat([Some(counter), None, None]))
    }

    /// Takes places for a client of this user and database.
    pub(crate) fn take_seat(
        &self,
        mut door: Seat,
        database: &str,
        user: &str,
    ) -> Result<Seat, Full> {
        let contents = self.contents.load();
        let limits = &contents.config.limits;
        if let Some(prepared) = contents.databases.get(database)
            && let Some(limit) = prepared
                .database
                .overrides
                .max_client_connections
                .unwrap_or(limits.max_db_client_connections)
            && let Some(slot) = door.0.get_mut(1)
        {
            *slot = Some(take(&prepared.seats, limit, "max_client_connections of the database")?);
        }
        if let Some(account) = contents.accounts.get(user)
            && let Some(limit) = account
                .user
                .overrides
                .max_client_connections
                .unwrap_or(limits.max_user_client_connections)
            && let Some(slot) = door.0.get_mut(2)
        {
            *slot = Some(take(&account.seats, limit, "max_client_connections of the user")?);
        }
        Ok(door)
    }

    /// Where the sessions of `user` in `database` get their servers; `None` if there is no such database.
    pub(crate) fn backend(&self, database: &str, user: &str) -> Option<Arc<Backend>> {
        let key = (database.to_owned(), user.to_owned());
        let mut backends = self.backends.lock();
        if let Some(backend) = backends.get(&key) {
            return Some(Arc::clone(backend));
        }
        let backend = self.open_in(&self.contents.load(), database, user)?;
        backends.insert(key, Arc::clone(&backend));
        Some(backend)
    }

    /// A backend of these contents; `None` if they have no such database or user.
    fn open_in(&self, contents: &Contents, database: &str, user: &str) -> Option<Arc<Backend>> {
        let prepared = contents.databases.get(database)?;
        let account = contents.accounts.get(user)?;
        let backend = self.open(&contents.config, (database, prepared), (user, account));
        if prepared.is_paused() {
            backend.pools.iter().for_each(|pool| pool.pause());
        }
        Some(Arc::new(backend))
    }

    fn open(
        &self,
        config: &Config,
        (database, prepared): (&str, &Arc<Prepared>),
        (user, account): (&str, &Account),
    ) -> Backend {
        let size = config.pool_size(&prepared.database, &account.user);
        let targets: Box<[Arc<Target>]> = prepared
            .database
            .nodes()
            .zip(&prepared.endpoints)
            .map(|(node, endpoint)| Arc::new(target(config, node, user, (account, endpoint))))
            .collect();
        let lifetime = Arc::new(Mutex::new(config.pool.server_lifetime));
        let registers: Box<[Arc<Register>]> = targets.iter().map(|_| Arc::default()).collect();
        let pools = targets
            .iter()
            .zip(prepared.database.nodes().zip(&registers))
            .map(|(target, (node, register))| {
                let opener = Opener {
                    openers: Arc::clone(&self.openers),
                    target: Arc::clone(target),
                    lifetime: Arc::clone(&lifetime),
                    node: node.name.as_str().into(),
                    register: Arc::clone(register),
                };
                let budgets = vec![Arc::clone(&prepared.budget), Arc::clone(&account.budget)];
                Pool::new(limits(config, size), budgets, Box::new(opener))
            })
            .collect();
        Backend::new(Parts {
            database: database.into(),
            user: user.into(),
            cluster: Arc::clone(&prepared.cluster),
            targets,
            policy: policy(config, &prepared.database, &account.user),
            workers: self.workers,
            pools,
            lifetime,
            registers,
            hub: Arc::clone(&prepared.hub),
            writes: Arc::clone(self.writes.lock().entry(database.to_owned()).or_default()),
        })
    }

    /// Upkeep of all pools; to be called a few times per second.
    pub fn tick(&self) {
        let now = self.clock.now();
        for backend in self.backends() {
            for pool in &backend.pools {
                pool.tick(now);
            }
        }
    }
}

fn take(
    counter: &Arc<AtomicUsize>,
    limit: usize,
    name: &'static str,
) -> Result<Arc<AtomicUsize>, Full> {
    let taken = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
        (count < limit).then_some(count + 1)
    });
    match taken {
        Ok(_) => Ok(Arc::clone(counter)),
        Err(_) => Err(Full(name, limit)),
    }
}

/// How to log in to `node` for `user`.
fn target(
    config: &Config,
    node: &crate::config::NodeUrl,
    user: &str,
    (account, endpoint): (&Account, &Arc<Endpoint>),
) -> Target {
    let login = config.server_login(node, user);
    let credential = match login.password {
        Some(password) => Credential::password(password.expose()),
        None => Credential::of_secret(&account.secret),
    };
    Target {
        endpoint: Arc::clone(endpoint),
        user: login.user.to_owned(),
        credential,
        parameters: vec![("database".into(), node.dbname.clone())],
        version: Version::V3_0,
    }
}

fn limits(config: &Config, size: PoolSize) -> Limits {
    Limits {
        size: size.size,
        min: size.min,
        reserve: size.reserve,
        reserve_after: config.pool.reserve_pool_timeout,
        max_connects: config.pool.max_concurrent_connects,
        max_waiting: config.pool.max_waiting,
        login_retry: config.pool.server_login_retry,
        idle_timeout: config.pool.server_idle_timeout.unwrap_or_default(),
        order: match config.pool.server_order {
            ServerOrder::Newest => Order::Newest,
            ServerOrder::Oldest => Order::Oldest,
        },
    }
}

fn policy(config: &Config, database: &Database, user: &User) -> Policy {
    let size = config.pool_size(database, user);
    Policy {
        mode: size.mode,
        plan_reuse: config.plan_reuse(database, user),
        routing: user.routing.over(&database.routing),
        pool_size: u32::try_from(size.size).unwrap_or(u32::MAX),
        share: Share::new(database.routing.primary_read_share, size.size),
        timeouts: config.timeouts.clone(),
        slow_statement: config.logging.slow_statement.unwrap_or(std::time::Duration::MAX),
        limits: config.limits.clone(),
        query_wait_timeout: config.pool.query_wait_timeout,
        server_check_delay: config.pool.server_check_delay,
    }
}
