//! The real pooler behind the demo's [`Front`].

use std::{io, net::SocketAddr};

use crate::{
    cluster::{NodeReport, Role},
    proxy::Proxy,
    route::Reason,
};

use super::{Error, Front, NodeStatus, Options, Surface, run_until, stop_signal};

/// Runs the demo on this thread until Ctrl-C or SIGTERM.
///
/// # Errors
///
/// When the listen address is taken, PostgreSQL is not to be had, or something does not start.
pub fn run(options: Options) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Error::io("make a runtime"))?.block_on(async {
        let stop = stop_signal().map_err(Error::io("listen for signals"))?;
        let start = async |config| Ok(Proxy::start(config)?);
        run_until(options, start, stop, (&mut io::stdout(), Surface::of_stdout())).await
    })
}

/// Reasons for which a read runs on the primary.
const READS_OF_THE_PRIMARY: [Reason; 4] =
    [Reason::ReadAfterOwnWrite, Reason::NoReplica, Reason::ReadLagging, Reason::SplitOff];

impl Front for Proxy {
    fn address(&self) -> SocketAddr {
        self.addresses().first().copied().unwrap_or_else(|| ([127, 0, 0, 1], 0).into())
    }

    fn http_address(&self) -> Option<SocketAddr> {
        self.http_address()
    }

    fn nodes(&self) -> Vec<NodeStatus> {
        let databases = self.directory().databases();
        let Some((name, database)) = databases.into_iter().next() else { return Vec::new() };
        database.cluster.report().iter().map(|report| self.status(&name, report)).collect()
    }

    async fn shutdown(self) {
        self.drain().await;
    }
}

impl Proxy {
    fn status(&self, database: &str, report: &NodeReport) -> NodeStatus {
        let now = self.clock().now();
        let is_replica = report.role == Role::Replica;
        let (mut checkouts, mut reads, mut connections) = (0, 0, 0);
        for backend in self.directory().backends() {
            if *backend.database != *database {
                continue;
            }
            if let Some(pool) = backend.pool_snapshot(report.id, now) {
                checkouts += pool.totals.checkouts;
                connections += pool.idle + pool.busy;
            }
            reads += READS_OF_THE_PRIMARY.iter().map(|reason| backend.routed(*reason)).sum::<u64>();
        }
        if is_replica {
            reads = checkouts;
        }
        NodeStatus {
            name: report.name.clone(),
            role: report.role.as_str(),
            state: report.state.as_str(),
            lag: report.age.filter(|_| is_replica),
            reads,
            writes: checkouts.saturating_sub(reads),
            connections,
        }
    }
}
