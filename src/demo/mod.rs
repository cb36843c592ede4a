//! Throwaway clusters, for whoever wants to see pgLagoon work and for the integration tests.
//!
//! Everything here runs on this machine only, on ports and in directories of its own, as many times side by
//! side as wanted, as root or not, and leaves nothing behind however the process ends.

mod access;
mod account;
mod cluster;
mod error;
mod front;
mod install;
mod node;
mod options;
mod pooler;
mod programs;
mod scratch;
mod show;
mod signal;
mod table;
mod workload;

use std::{future::Future, time::Duration};

use tokio::time::{Instant, sleep};

pub use self::{
    access::Authentication,
    cluster::{Cluster, ClusterBuilder, Step},
    error::Error,
    front::{Front, NodeStatus},
    install::{Installation, Search},
    node::{Node, Shutdown},
    options::{Options, Workload},
    pooler::run,
    show::{run_until, stop_signal},
    table::Surface,
};

/// How often a condition is looked at that nobody announces.
const LOOK_EVERY: Duration = Duration::from_millis(15);

/// Asks until the answer is yes, `patience` is over, or asking fails.
async fn await_true<F>(
    what: &str,
    patience: Duration,
    mut ask: impl FnMut() -> F,
) -> Result<(), Error>
where
    F: Future<Output = Result<bool, Error>>,
{
    let started = Instant::now();
    while !ask().await? {
        if started.elapsed() > patience {
            return Err(Error::Deadline { what: what.to_owned(), waited: patience });
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}
