//! Wiring: workers, acceptor, reload, shutdown.
//!
//! ```text
//!   control thread                                   worker threads (one runtime each)
//!   acceptor -- the worker with the fewest clients --> receive -> Session | Operator | cancel
//!   monitors, janitor, HTTP                            sweeper (deadlines)
//!   stop ------------------------------------------->  drain
//! ```

mod acceptor;
mod dial;
mod endpoints;
mod run;
mod worker;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use thiserror::Error;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::cluster::{self, Cluster};
use crate::config::{Config, ListenAddress, Workers};
use crate::session::directory::{Directory, Prepared};
use crate::session::worker::Urgency;
use crate::telemetry::WorkerStats;
pub use run::{RunError, run};
use worker::{Handle as WorkerHandle, Inboxes};

/// How often pools are looked after.
const JANITOR_PERIOD: Duration = Duration::from_millis(200);

/// pgLagoon could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// Nobody can listen at this address.
    #[error("cannot listen on {0}")]
    Listen(ListenAddress, #[source] io::Error),
    /// A certificate, key or authority cannot be used.
    #[error(transparent)]
    Tls(#[from] crate::net::tls::TlsError),
    /// A user's secret cannot be used.
    #[error("{0}")]
    Secret(String),
    /// A thread or runtime could not be made.
    #[error("cannot start a worker thread")]
    Thread(#[source] io::Error),
}

/// A pooler that runs.
#[derive(Debug)]
pub struct Proxy {
    directory: Arc<Directory>,
    addresses: Vec<SocketAddr>,
    workers: Vec<WorkerHandle>,
    /// Aborted when the proxy begins to stop.
    acceptors: JoinSet<()>,
    /// Monitors and janitor: aborted when it has stopped.
    tasks: JoinSet<()>,
    clock: Clock,
    grace: Duration,
}

impl Proxy {
    /// Binds, starts the workers and begins to serve. To be called on the control thread's runtime.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing runs then.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let clock = Clock::start();
        let config = Arc::new(config);
        let mut tasks = JoinSet::new();
        let databases = prepare(&config, clock, &mut tasks)?;
        let doors = endpoints::doors(&config)?;
        let count = worker_count(config.listen.workers);
        let (inboxes, receivers) = Inboxes::new(count);
        let directory = Directory::new(
            Arc::clone(&config),
            databases,
            doors,
            Arc::new(inboxes),
            (count, clock),
        )
        .map_err(StartError::Secret)?;
        let directory = Arc::new(directory);
        let statement_ids = Arc::new(AtomicU64::new(1));
        let workers = receivers
            .into_iter()
            .map(|inbox| {
                WorkerHandle::spawn(inbox, &directory, &statement_ids, clock)
                    .map_err(StartError::Thread)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let (mut addresses, mut acceptors) = (Vec::new(), JoinSet::new());
        for address in &config.listen.address {
            let listener = acceptor::bind(address, config.listen.backlog)
                .map_err(|error| StartError::Listen(address.clone(), error))?;
            addresses.extend(listener.address());
            let outlets = workers.iter().map(WorkerHandle::outlet).collect();
            acceptors.spawn(acceptor::accept(listener, outlets));
        }
        tasks.spawn(look_after_pools(Arc::clone(&directory)));
        let grace = config.timeouts.shutdown_grace;
        Ok(Self { directory, addresses, workers, acceptors, tasks, clock, grace })
    }

    /// The TCP addresses that clients connect to; ports chosen by the system are real ones here.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Users, databases and backends.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// The counters of the workers.
    pub fn stats(&self) -> Vec<Arc<WorkerStats>> {
        self.workers.iter().map(|worker| Arc::clone(worker.stats())).collect()
    }

    /// The clock that every instant of this proxy is read from.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Lets transactions finish for as long as the grace period lasts, then ends what is left (57P01).
    pub async fn drain(self) {
        let grace = self.grace;
        self.stop(Urgency::Gentle, grace).await;
    }

    /// Ends every client at once (57P01).
    pub async fn stop_now(self) {
        self.stop(Urgency::Immediate, Duration::from_secs(1)).await;
    }

    async fn stop(mut self, how: Urgency, grace: Duration) {
        self.acceptors.abort_all();
        for worker in &self.workers {
            worker.stop(how);
        }
        let directory = Arc::clone(&self.directory);
        let emptied = async {
            while directory.clients() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(grace, emptied).await.is_err() {
            tracing::warn!(clients = directory.clients(), "grace period is over");
        }
        // Also if nobody is left: a worker without clients waits for word.
        for worker in &self.workers {
            worker.stop(Urgency::Immediate);
        }
        for worker in self.workers {
            worker.join().await;
        }
        self.tasks.abort_all();
    }
}

/// Makes clusters and endpoints of the configured databases and starts to watch their nodes.
fn prepare(
    config: &Config,
    clock: Clock,
    tasks: &mut JoinSet<()>,
) -> Result<HashMap<String, Arc<Prepared>>, StartError> {
    let mut databases = HashMap::new();
    for (name, database) in &config.databases {
        let cluster = Arc::new(Cluster::new(name, database, clock));
        let endpoints = database
            .nodes()
            .map(|node| endpoints::endpoint(config, node).map(Arc::new))
            .collect::<Result<Box<[_]>, _>>()?;
        let sources = dial::sources(config, database, &endpoints, clock);
        let mut monitors = cluster::monitor::spawn(&cluster, sources);
        tasks.spawn(async move { while monitors.join_next().await.is_some() {} });
        let prepared = Prepared::new(database.clone(), cluster, endpoints, config);
        databases.insert(name.clone(), Arc::new(prepared));
    }
    Ok(databases)
}

async fn look_after_pools(directory: Arc<Directory>) {
    let mut ticks = tokio::time::interval(JANITOR_PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        directory.tick();
    }
}

/// On a machine that it shares with the database a pooler does best with few threads: one per two processors.
fn worker_count(workers: Workers) -> usize {
    match workers {
        Workers::Count(count) => count.get(),
        Workers::Auto => {
            let processors = std::thread::available_parallelism().map_or(1, usize::from);
            (processors / 2).max(1)
        }
    }
}
