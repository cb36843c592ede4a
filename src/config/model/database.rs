//! Databases with their nodes, and users.

use std::fmt;
use std::path::PathBuf;

use super::{PoolMode, Routing, ServerTlsMode};
use crate::config::secret::Secret;

/// `[databases.<name>]`: one database that clients may ask for.
#[derive(Clone, Debug, PartialEq)]
pub struct Database {
    /// The node that writes go to.
    pub primary: NodeUrl,
    /// The nodes that reads may go to.
    pub replicas: Vec<NodeUrl>,
    /// Its own pool settings.
    pub overrides: Overrides,
    /// `[routing]` with this database's own settings applied.
    pub routing: Routing,
    /// Whom the monitor logs in as where a node's URL names no user.
    pub monitor: Option<Credentials>,
}

impl Database {
    /// All nodes, the primary first.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeUrl> {
        std::iter::once(&self.primary).chain(&self.replicas)
    }

    /// Whom the monitor logs in to `node` as: `monitor_user` if it is set, else the URL's user.
    pub fn monitor_login<'a>(&'a self, node: &'a NodeUrl) -> Option<super::ServerLogin<'a>> {
        match (&self.monitor, &node.user) {
            (Some(own), _) => {
                Some(super::ServerLogin { user: &own.user, password: own.password.as_ref() })
            }
            (None, Some(user)) => {
                Some(super::ServerLogin { user, password: node.password.as_ref() })
            }
            (None, None) => None,
        }
    }
}

/// A user of a server and its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// Its password, if it needs one.
    pub password: Option<Secret>,
}

/// One PostgreSQL server, as its URL describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeUrl {
    /// What operators call the node: "host:port", without secrets. Unique within its database.
    pub name: String,
    /// Where it is.
    pub host: Host,
    /// Its port, also part of a Unix socket's file name.
    pub port: u16,
    /// The user that every client is there, whatever its own name ("forced user").
    pub user: Option<String>,
    /// That user's password.
    pub password: Option<Secret>,
    /// The database's name on the server.
    pub dbname: String,
    /// How strictly TLS is used with this node, if not as `[tls.server]` says.
    pub sslmode: Option<ServerTlsMode>,
    /// The authorities to trust for this node, if not those of `[tls.server]`.
    pub ca_file: Option<PathBuf>,
    /// Its share of the reads in proportion to other replicas, 1 or more.
    pub weight: u32,
    /// The zone that it is in.
    pub zone: Option<String>,
}

/// Where a node is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name or an IP address.
    Tcp(String),
    /// The directory of a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(name) if name.contains(':') => write!(f, "[{name}]"),
            Self::Tcp(name) => f.write_str(name),
            Self::Unix(directory) => write!(f, "{}", directory.display()),
        }
    }
}

/// `[users.<name>]`: one user that may log in.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// How the user proves who it is.
    pub secret: UserSecret,
    /// The password for servers whose URL names no user, where the client's own is only known as a verifier or
    /// differs.
    pub server_password: Option<Secret>,
    /// Its own pool settings.
    pub overrides: Overrides,
}

impl User {
    /// The password that logs this user in to a server.
    pub fn server_password(&self) -> Option<&Secret> {
        match (&self.server_password, &self.secret) {
            (Some(own), _) => Some(own),
            (None, UserSecret::Password(password)) => Some(password),
            (None, UserSecret::Trust | UserSecret::Verifier(_)) => None,
        }
    }
}

/// How a user proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserSecret {
    /// Not at all.
    Trust,
    /// With this password.
    Password(Secret),
    /// With the password of this verifier, as in `pg_authid`: `SCRAM-SHA-256$...` or `md5...`.
    Verifier(Secret),
}

/// Pool settings of one database or user; what is `None` is as `[pool]` or `[limits]` say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// When a server goes back to the pool.
    pub mode: Option<PoolMode>,
    /// Server connections that one pool may hold.
    pub pool_size: Option<usize>,
    /// Server connections that one pool keeps open.
    pub min_pool_size: Option<usize>,
    /// Server connections on top of the pool size for clients that have waited.
    pub reserve_pool_size: Option<usize>,
    /// Server connections of this database or user over all its pools; `Some(None)` means no limit.
    pub max_connections: Option<Option<usize>>,
    /// Clients of this database or user; `Some(None)` means no limit.
    pub max_client_connections: Option<Option<usize>>,
}
