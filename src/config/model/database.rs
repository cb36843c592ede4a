//! Databases with their nodes, and users.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::{PoolMode, Routing, ServerLogin, ServerTlsMode, UserRouting};
use crate::config::codec::{
    Count, CountAboveZero, CountOrUnlimited, Inherited, Keyword, TimeOrOff,
};
use crate::config::secret::Secret;
use crate::config::section::section;

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
    pub fn monitor_login<'a>(&'a self, node: &'a NodeUrl) -> Option<ServerLogin<'a>> {
        match (&self.monitor, &node.user) {
            (Some(own), _) => {
                Some(ServerLogin { user: &own.user, password: own.password.as_ref() })
            }
            (None, Some(user)) => Some(ServerLogin { user, password: node.password.as_ref() }),
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
    /// Its own routing settings.
    pub routing: UserRouting,
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

section! {
    /// Pool settings of one database or user; what is `None` is as `[pool]` or `[limits]` say.
    Overrides {
        /// As `pool.mode`.
        pool_mode: Option<PoolMode>, Inherited<Keyword>, None, Reload;
        /// As `pool.default_pool_size`.
        pool_size: Option<usize>, Inherited<CountAboveZero>, None, Reload;
        /// As `pool.min_pool_size`.
        min_pool_size: Option<usize>, Inherited<Count>, None, Reload;
        /// As `pool.reserve_pool_size`.
        reserve_pool_size: Option<usize>, Inherited<Count>, None, Reload;
        /// As `pool.plan_reuse`; 0 means not at all.
        plan_reuse: Option<Option<Duration>>, Inherited<TimeOrOff>, None, Reload;
        /// As `pool.max_db_connections` or `pool.max_user_connections`; 0 means no limit.
        max_connections: Option<Option<usize>>, Inherited<CountOrUnlimited>, None, Reload;
        /// As `limits.max_db_client_connections` or `limits.max_user_client_connections`; 0 means no limit.
        max_client_connections: Option<Option<usize>>, Inherited<CountOrUnlimited>, None, Reload;
    }
}
