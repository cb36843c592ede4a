//! The pooler as the demo sees it, and the configuration that the demo gives it.

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

use crate::config::{
    Config, Database, Host, ListenAddress, NodeUrl, Overrides, Secret, User, UserRouting,
    UserSecret,
};

use super::{Cluster, Error, Node};

/// Where metrics are served unless somebody else is there already.
const HTTP_PORT: u16 = 9632;

/// A pooler that runs in this process.
pub trait Front {
    /// Where clients connect.
    fn address(&self) -> SocketAddr;

    /// Where metrics and health are served.
    fn http_address(&self) -> Option<SocketAddr>;

    /// What the pooler knows about its nodes at this moment.
    fn nodes(&self) -> Vec<NodeStatus>;

    /// Lets transactions finish, closes everything and returns when it has gone.
    fn shutdown(self) -> impl Future<Output = ()>;
}

/// What a pooler knows about one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its name in the configuration: `127.0.0.1:15432`.
    pub name: String,
    /// What it is: `primary` or `replica`.
    pub role: &'static str,
    /// How it is, in a word: `up`, `lagging`, `down`, ...
    pub state: &'static str,
    /// How old the newest state is that it surely has; `None` if that is unknown or meaningless.
    pub lag: Option<Duration>,
    /// Reads that were sent to it so far.
    pub reads: u64,
    /// Everything else that was sent to it so far.
    pub writes: u64,
    /// Server connections that the pooler holds to it.
    pub connections: usize,
}

/// Fails early, and with advice, when nobody can listen on `address`.
pub(super) fn check_free(address: SocketAddr) -> Result<(), Error> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(source) => Err(Error::Listen { address, other: neighbour(address), source }),
    }
}

/// The same address with the next port that is free.
fn neighbour(address: SocketAddr) -> SocketAddr {
    let candidates = (1..100).filter_map(|step| address.port().checked_add(step));
    let free = candidates.map(|port| SocketAddr::new(address.ip(), port));
    free.into_iter().find(|other| TcpListener::bind(other).is_ok()).unwrap_or(address)
}

/// The configuration of a pooler in front of `cluster`.
pub(super) fn config(cluster: &Cluster, listen: SocketAddr) -> Config {
    let mut config = Config::default();
    config.listen.address = vec![ListenAddress::Tcp(listen)];
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, HTTP_PORT));
    let is_free = TcpListener::bind(usual).is_ok();
    config.http.address = Some(if is_free { usual } else { (Ipv4Addr::LOCALHOST, 0).into() });
    config.admin.stats_users = vec!["app".to_owned()];
    let database = Database {
        primary: node_url(cluster.primary(), cluster),
        replicas: cluster.replicas().map(|replica| node_url(replica, cluster)).collect(),
        overrides: Overrides::default(),
        routing: config.routing.clone(),
        monitor: None,
    };
    let user = User {
        secret: UserSecret::Password(Secret::new(cluster.app_password())),
        server_password: None,
        overrides: Overrides::default(),
        routing: UserRouting::default(),
    };
    config.databases.insert("app".to_owned(), database);
    config.users.insert("app".to_owned(), user);
    config
}

fn node_url(node: &Node, cluster: &Cluster) -> NodeUrl {
    NodeUrl {
        name: node.address().to_string(),
        host: Host::Tcp(Ipv4Addr::LOCALHOST.to_string()),
        port: node.port(),
        user: Some("app".to_owned()),
        password: Some(Secret::new(cluster.app_password())),
        dbname: "app".to_owned(),
        sslmode: None,
        ca_file: None,
        weight: 1,
        zone: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_address_is_reported_with_a_free_one() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = check_free(taken.local_addr().unwrap()).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("--listen 127.0.0.1:"), "{message}");
    }
}
