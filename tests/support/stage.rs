//! A pooler in this process between a fake primary, perhaps a fake replica, and fake clients.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use pglagoon::cluster::{Cluster, NodeId};
use pglagoon::config::{
    Config, Database, Host, ListenAddress, NodeUrl, Overrides, ServerTlsMode, User, UserRouting,
    UserSecret, Workers,
};
use pglagoon::proxy::{Proxy, StartError};
use pglagoon::session::backend::Backend;
use tokio::time::{sleep, timeout};

use super::client::Client;
use super::frames::{empty_query, idle, query};
use super::monitor::Position;
use super::postgres::{Postgres, Server};
use super::wire::{Delivery, PATIENCE};

/// Everything that a scripted test plays with.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) primary: Postgres,
    pub(crate) replica: Option<Postgres>,
    pub(crate) delivery: Delivery,
    address: SocketAddr,
    proxy: RefCell<Option<Proxy>>,
}

impl Stage {
    /// A primary alone.
    pub(crate) async fn new(delivery: Delivery) -> Self {
        Self::with(delivery, |_| {}).await
    }

    /// A primary alone; `change` has the last word on the configuration.
    pub(crate) async fn with(delivery: Delivery, change: impl FnOnce(&mut Config)) -> Self {
        let primary = Postgres::start(Position::primary(), delivery.clone()).await;
        Self::open(primary, None, delivery, change)
    }

    /// A primary, and a replica that has everything; `change` has the last word on the configuration.
    pub(crate) async fn replicated_with(
        delivery: Delivery,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let primary = Postgres::start(Position::primary(), delivery.clone()).await;
        let replica = Postgres::start(Position::standby(), delivery.clone()).await;
        let stage = Self::open(primary, Some(replica), delivery, change);
        stage.replica_has_caught_up().await;
        stage
    }

    fn open(
        primary: Postgres,
        replica: Option<Postgres>,
        delivery: Delivery,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config::default();
        config.listen.address = vec![ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))];
        config.listen.workers = Workers::Count(NonZeroUsize::MIN);
        config.http.address = None;
        config.tls_server.mode = ServerTlsMode::Disable;
        // Whether a plan is recent enough depends on how long a test takes.
        config.pool.plan_reuse = None;
        // A test that is slow to answer must not look like a replica that lags.
        config.routing.max_lag = Duration::from_mins(1);
        config.routing.poll_interval = Duration::from_millis(1);
        config.routing.idle_poll_interval = Duration::from_millis(5);
        let database = Database {
            primary: node(&primary),
            replicas: replica.iter().map(node).collect(),
            overrides: Overrides::default(),
            routing: config.routing.clone(),
            monitor: None,
        };
        let user = User {
            secret: UserSecret::Trust,
            server_password: None,
            overrides: Overrides::default(),
            routing: UserRouting::default(),
        };
        config.databases.insert("app".to_owned(), database);
        config.users.insert("app".to_owned(), user);
        change(&mut config);
        let proxy = Proxy::start(config).unwrap();
        let address = proxy.addresses()[0];
        Self { primary, replica, delivery, address, proxy: RefCell::new(Some(proxy)) }
    }

    /// A connection on which nothing has been said.
    pub(crate) async fn dial(&self) -> Client {
        Client::dial(self.address, self.delivery.clone()).await
    }

    /// A client that has logged in.
    pub(crate) async fn client(&self) -> Client {
        let mut client = self.dial().await;
        client.log_in_as_app().await;
        client
    }

    /// A client that has logged in, and the server that was opened for that. The catalog is known: before, a server is
    /// told to forget its sequences between two clients.
    pub(crate) async fn pair(&mut self) -> (Client, Server) {
        let cluster = self.cluster();
        eventually("the catalog is known", || cluster.catalog_report().version > 0).await;
        let client = self.client().await;
        let server = self.primary.accept().await;
        (client, server)
    }

    /// The replica.
    pub(crate) fn replica(&mut self) -> &mut Postgres {
        self.replica.as_mut().unwrap()
    }

    /// Waits until the pooler has seen everything that was sent to it before, on whatever connection.
    pub(crate) async fn settle(&self, client: &mut Client) {
        for _ in 0..2 {
            client.ask([query("")], [empty_query(), idle()]).await;
        }
    }

    /// Reloads the configuration as `change` makes it.
    pub(crate) fn reload(&self, change: impl FnOnce(&mut Config)) -> Result<(), StartError> {
        let mut proxy = self.proxy.borrow_mut();
        let proxy = proxy.as_mut().unwrap();
        let mut config = (*proxy.directory().config()).clone();
        change(&mut config);
        proxy.reload(config)
    }

    /// The pooler's only backend.
    pub(crate) fn backend(&self) -> Arc<Backend> {
        let proxy = self.proxy.borrow();
        proxy.as_ref().unwrap().directory().backends().pop().unwrap()
    }

    /// How many clients there are.
    pub(crate) fn clients(&self) -> usize {
        self.proxy.borrow().as_ref().unwrap().directory().clients()
    }

    /// What the pooler knows about the nodes.
    pub(crate) fn cluster(&self) -> Arc<Cluster> {
        let proxy = self.proxy.borrow();
        let databases = proxy.as_ref().unwrap().directory().databases();
        Arc::clone(&databases[0].1.cluster)
    }

    /// Waits until the replica is known to show all that has been acknowledged up to now, and which tables there are.
    pub(crate) async fn replica_has_caught_up(&self) {
        let cluster = self.cluster();
        let now = self.proxy.borrow().as_ref().unwrap().clock().now();
        let is_known = || cluster.catalog_report().version > 0;
        let is_fresh = || cluster.view().freshest() > now && is_known();
        eventually("the replica is fresh, and the catalog known", is_fresh).await;
    }

    /// Waits until as many clients as this wait for a server of the primary.
    pub(crate) async fn waiting(&self, count: usize) {
        self.waiting_at(NodeId::FIRST, count).await;
    }

    /// The same of a server of this node.
    pub(crate) async fn waiting_at(&self, node: NodeId, count: usize) {
        let backend = self.backend();
        let now = self.proxy.borrow().as_ref().unwrap().clock().now();
        let has = || backend.pool_snapshot(node, now).is_some_and(|pool| pool.waiting == count);
        eventually("clients wait", has).await;
    }

    /// Lets transactions finish and stops. Returns when the pooler has gone.
    pub(crate) async fn drain(&self) {
        let proxy = self.proxy.borrow_mut().take();
        timeout(PATIENCE, proxy.unwrap().drain()).await.expect("the pooler does not stop");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Its threads are told to end; nobody needs to wait for that.
        if let Some(proxy) = self.proxy.get_mut().take()
            && !std::thread::panicking()
        {
            let _ = proxy.stop_now().now_or_never();
        }
    }
}

/// How the configuration calls it.
pub(crate) fn node(postgres: &Postgres) -> NodeUrl {
    NodeUrl {
        name: format!("127.0.0.1:{}", postgres.port()),
        host: Host::Tcp("127.0.0.1".to_owned()),
        port: postgres.port(),
        user: None,
        password: None,
        dbname: "app".to_owned(),
        sslmode: None,
        ca_file: None,
        weight: 1,
        zone: None,
    }
}

/// Waits for a condition.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !condition() {
            sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(waited.await.is_ok(), "in vain: {what}");
}
