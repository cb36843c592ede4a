//! A new configuration while clients are served: what is documented as applied by a reload is, the rest waits for
//! the next start.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};

use crate::clock::Clock;
use crate::cluster::{Cluster, catalog, monitor, probe::WalSource};
use crate::config::{Changes, Config, Database};
use crate::proxy::desk::Desk;
use crate::proxy::dial::{CatalogDial, NodeDial};
use crate::proxy::herald::Messenger;
use crate::proxy::{Proxy, StartError, dial, endpoints};
use crate::server::Target;
use crate::session::directory::Prepared;
use crate::session::hub::{Hub, listener};

/// How long the nodes of a database that is gone are still watched: whoever waits for one of them to catch up
/// must not wait for ever.
const LINGER: Duration = Duration::from_secs(10);

/// Databases, prepared, and those of them whose nodes are yet to be watched.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) databases: HashMap<String, Arc<Prepared>>,
    unwatched: Vec<(String, Unwatched)>,
}

/// The nodes of a database, and what watches them and listens there once the runtime runs.
#[derive(Debug)]
struct Unwatched {
    cluster: Arc<Cluster>,
    sources: Vec<WalSource<NodeDial>>,
    hub: Arc<Hub>,
    /// For each node.
    listeners: Vec<Option<Target>>,
    catalog: CatalogDial,
}

/// The monitors of each database. They end with the set of tasks that they were put in.
pub(super) type Monitors = HashMap<String, AbortHandle>;

impl Plan {
    /// Prepares the databases of `config`. Those in `kept` are taken over with their clusters.
    ///
    /// # Errors
    ///
    /// An authority file cannot be used.
    pub(super) fn new(
        config: &Config,
        (clock, workers): (Clock, usize),
        kept: impl Fn(&str, &Database) -> Option<Arc<Prepared>>,
    ) -> Result<Self, StartError> {
        let mut plan = Self::default();
        for (name, database) in &config.databases {
            let prepared = match kept(name, database) {
                Some(prepared) => prepared.renewed(database.clone()),
                None => plan.prepare(config, (clock, workers), (name, database))?,
            };
            plan.databases.insert(name.clone(), Arc::new(prepared));
        }
        Ok(plan)
    }

    fn prepare(
        &mut self,
        config: &Config,
        (clock, workers): (Clock, usize),
        (name, database): (&str, &Database),
    ) -> Result<Prepared, StartError> {
        let cluster = Arc::new(Cluster::new(name, database, clock).with_workers(workers));
        let endpoints = database
            .nodes()
            .map(|node| endpoints::endpoint(config, node).map(Arc::new))
            .collect::<Result<Box<[_]>, _>>()?;
        let sources = dial::sources(config, database, &endpoints, clock);
        let catalog = dial::catalog(config, database, &endpoints);
        let listeners = dial::listeners(config, database, &endpoints);
        let prepared = Prepared::new(database.clone(), Arc::clone(&cluster), endpoints, config);
        let hub = Arc::clone(&prepared.hub);
        let unwatched = Unwatched { cluster, sources, hub, listeners, catalog };
        self.unwatched.push((name.to_owned(), unwatched));
        Ok(prepared)
    }

    /// Begins to watch the nodes that nobody watches. To be called on the control thread's runtime.
    pub(super) fn watch(&mut self, desk: &Desk, monitors: &mut Monitors, tasks: &mut JoinSet<()>) {
        for (name, Unwatched { cluster, sources, hub, listeners, catalog }) in
            self.unwatched.drain(..)
        {
            cluster.set_herald(Box::new(Messenger::new(&cluster, desk)));
            let mut watchers = monitor::spawn(&cluster, sources);
            watchers.spawn(listener::listen(hub, Arc::clone(&cluster), listeners));
            watchers.spawn(catalog::keep(cluster, catalog));
            let handle = tasks.spawn(async move { while watchers.join_next().await.is_some() {} });
            monitors.insert(name, handle);
        }
    }
}

impl Proxy {
    /// Goes over to another configuration. Clients stay connected, and databases whose nodes are the same keep
    /// their servers and what is known of their nodes.
    ///
    /// # Errors
    ///
    /// A file or a secret cannot be used. Nothing has changed then.
    pub fn reload(&mut self, config: Config) -> Result<(), StartError> {
        let config = Arc::new(config);
        let old = self.directory().config();
        let known: HashMap<_, _> = self.directory().databases().into_iter().collect();
        let mut plan = Plan::new(&config, (self.clock, self.workers.len()), |name, database| {
            let prepared = known.get(name)?;
            let stays = has_same_nodes((&old, &prepared.database), (&config, database));
            stays.then(|| Arc::clone(prepared))
        })?;
        let doors = endpoints::doors(&config)?;
        self.directory()
            .replace(Arc::clone(&config), plan.databases.clone(), doors)
            .map_err(StartError::Secret)?;
        for (name, prepared) in known {
            match plan.databases.get(&name) {
                Some(new) if Arc::ptr_eq(&new.cluster, &prepared.cluster) => {
                    new.cluster.set_routing(&new.database.routing);
                }
                _ => {
                    prepared.hub.retire();
                    self.forget(&name);
                }
            }
        }
        plan.watch(&self.desk, &mut self.monitors, &mut self.tasks);
        warn_of_restarts(&old, &config);
        Ok(())
    }

    /// Ends the watch over a database's nodes, in a while.
    fn forget(&mut self, name: &str) {
        if let Some(handle) = self.monitors.remove(name) {
            self.tasks.spawn(async move {
                tokio::time::sleep(LINGER).await;
                handle.abort();
            });
        }
    }
}

/// Whether a database is on the same nodes, reached and watched in the same way.
fn has_same_nodes((old, before): (&Config, &Database), (new, after): (&Config, &Database)) -> bool {
    let names_its_monitor = || after.nodes().all(|node| after.monitor_login(node).is_some());
    before.nodes().eq(after.nodes())
        && before.monitor == after.monitor
        && old.tls_server == new.tls_server
        && old.timeouts.server_connect_timeout == new.timeouts.server_connect_timeout
        && (names_its_monitor() || old.users == new.users)
}

fn warn_of_restarts(old: &Config, new: &Config) {
    for (before, after) in old.rows().iter().zip(new.rows()) {
        if before.key == after.key
            && before.value != after.value
            && after.changes == Changes::Restart
        {
            tracing::warn!(key = %after.key, "takes effect when pgLagoon is started again");
        }
    }
}
