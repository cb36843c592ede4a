//! Wiring: workers, acceptor, reload, shutdown.
//!
//! ```text
//!   control thread             worker threads (one reactor each)
//!                              acceptor -> the worker with the fewest clients -> receive -> Session | Operator | cancel
//!   monitors, janitor, HTTP    sweeper (deadlines)
//!   stop --------------------> drain
//! ```

mod acceptor;
mod desk;
mod dial;
mod endpoints;
mod files;
mod herald;
mod inbox;
mod overview;
mod reload;
mod run;
#[cfg(test)]
mod tests;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::config::{Config, ListenAddress, Workers};
use crate::http;
use crate::session::directory::Directory;
use crate::session::worker::Urgency;
use crate::telemetry::WorkerStats;
use acceptor::{Acceptor, Listener};
use desk::{Desk, Reload};
use inbox::{Inboxes, Outlet};
use reload::{Monitors, Plan};
pub use run::{RunError, run};
use worker::Handle as WorkerHandle;

/// How often pools are looked after.
const JANITOR_PERIOD: Duration = Duration::from_millis(200);

/// pgLagoon could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// Nobody can listen at this address.
    #[error("cannot listen on {0}")]
    Listen(ListenAddress, #[source] io::Error),
    /// Nobody can listen at this address for HTTP.
    #[error("cannot listen on {0}, which is http.address (\"\" turns HTTP off)")]
    Http(SocketAddr, #[source] io::Error),
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
    desk: Arc<Desk>,
    addresses: Vec<SocketAddr>,
    http_address: Option<SocketAddr>,
    workers: Vec<WorkerHandle>,
    /// Nobody is accepted any more once it is dropped.
    open: watch::Sender<()>,
    /// Monitors, janitor, HTTP: aborted when it has stopped.
    tasks: JoinSet<()>,
    monitors: Monitors,
    /// Operators who want the configuration to be read again; they are told that it is too late once it is dropped.
    reloads: mpsc::Receiver<Reload>,
    clock: Clock,
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
        let count = worker_count(config.listen.workers);
        let mut plan = Plan::new(&config, (clock, count), |_, _| None)?;
        let doors = endpoints::doors(&config)?;
        let (inboxes, receivers) = Inboxes::new(count);
        let inboxes = Arc::new(inboxes);
        let directory = Directory::new(
            Arc::clone(&config),
            std::mem::take(&mut plan.databases),
            doors,
            Arc::clone(&inboxes) as _,
            (count, clock),
        )
        .map_err(StartError::Secret)?;
        let mut monitors = Monitors::default();
        let (wish, reloads) = mpsc::channel(1);
        let desk = Arc::new(Desk::new(Arc::new(directory), inboxes, wish, clock));
        plan.watch(&desk, &mut monitors, &mut tasks);
        let http_address = config.http.address.map(|at| open_http(at, &desk, &mut tasks));
        let http_address = http_address.transpose()?;
        let statement_ids = Arc::new(AtomicU64::new(1));
        let workers = receivers
            .into_iter()
            .map(|inbox| WorkerHandle::spawn(inbox, &desk, &statement_ids))
            .collect::<Result<Vec<_>, _>>()
            .map_err(StartError::Thread)?;
        let (addresses, open) = listen(&config, &workers)?;
        tasks.spawn(look_after_pools(Arc::clone(desk.directory())));
        tasks.spawn(Arc::clone(&desk).keep_periods());
        Ok(Self { desk, addresses, http_address, workers, open, tasks, monitors, reloads, clock })
    }

    /// The TCP addresses that clients connect to; ports chosen by the system are real ones here.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where metrics and health are served, with the real port; `None` if they are not.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// Users, databases and backends.
    pub fn directory(&self) -> &Arc<Directory> {
        self.desk.directory()
    }

    /// The counters of the workers.
    pub fn stats(&self) -> Vec<Arc<WorkerStats>> {
        self.desk.inboxes().stats().to_vec()
    }

    /// The clock that every instant of this proxy is read from.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Lets transactions finish for as long as the grace period lasts, then ends what is left (57P01).
    pub async fn drain(self) {
        let grace = self.directory().config().timeouts.shutdown_grace;
        self.stop(Urgency::Gentle, grace).await;
    }

    /// Ends every client at once (57P01).
    pub async fn stop_now(self) {
        self.stop(Urgency::Immediate, Duration::from_secs(1)).await;
    }

    async fn stop(mut self, how: Urgency, grace: Duration) {
        drop((self.open, self.reloads));
        self.desk.begin_to_drain();
        for worker in &self.workers {
            worker.stop(how);
        }
        let directory = Arc::clone(self.desk.directory());
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

/// Binds to all addresses and has the workers accept there; tells the TCP addresses, and what keeps them open.
fn listen(
    config: &Config,
    workers: &[WorkerHandle],
) -> Result<(Vec<SocketAddr>, watch::Sender<()>), StartError> {
    let (close, open) = watch::channel(());
    let outlets: Arc<[Outlet]> = workers.iter().map(WorkerHandle::outlet).collect();
    let mut addresses = Vec::new();
    for (address, worker) in config.listen.address.iter().zip(workers.iter().cycle()) {
        let listener = Listener::bind(address, config.listen.backlog)
            .map_err(|error| StartError::Listen(address.clone(), error))?;
        addresses.extend(listener.address());
        worker.accept(Acceptor { listener, outlets: Arc::clone(&outlets), open: open.clone() });
    }
    Ok((addresses, close))
}

/// Serves metrics and health at `address`; tells the real one.
fn open_http(
    address: SocketAddr,
    desk: &Arc<Desk>,
    tasks: &mut JoinSet<()>,
) -> Result<SocketAddr, StartError> {
    let bound = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let real = listener.local_addr()?;
        Ok((TcpListener::from_std(listener)?, real))
    };
    let (listener, real) = bound().map_err(|error| StartError::Http(address, error))?;
    let subject = Arc::clone(desk) as Arc<dyn http::Subject>;
    tasks.spawn(async move {
        if let Err(error) = http::serve(listener, subject).await {
            tracing::error!(%error, "metrics and health are served no longer");
        }
    });
    Ok(real)
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
