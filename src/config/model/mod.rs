//! What the program uses: the checked configuration.

mod database;
mod listen;
mod pool;
mod routing;
mod tls;

use std::collections::BTreeMap;
use std::time::Duration;

pub use database::*;
pub use listen::*;
pub use pool::*;
pub use routing::*;
pub use tls::*;

use super::secret::Secret;

/// The whole configuration, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// `[listen]`: where clients connect.
    pub listen: Listen,
    /// `[http]`: metrics and health.
    pub http: Http,
    /// `[pool]`: how many server connections there are, and for how long.
    pub pool: Pool,
    /// `[routing]`: which node a statement runs on. Each database has its own, resolved copy.
    pub routing: Routing,
    /// `[timeouts]`: how long things may take.
    pub timeouts: Timeouts,
    /// `[limits]`: how much a client may cost.
    pub limits: Limits,
    /// `[tls.client]`: TLS between clients and pgLagoon.
    pub tls_client: ClientTls,
    /// `[tls.server]`: TLS between pgLagoon and PostgreSQL.
    pub tls_server: ServerTls,
    /// `[logging]`: what is logged, and how.
    pub logging: Logging,
    /// `[admin]`: who may use the admin database.
    pub admin: Admin,
    /// `[databases.<name>]`: the databases that clients may ask for.
    pub databases: BTreeMap<String, Database>,
    /// `[users.<name>]`: the users that may log in.
    pub users: BTreeMap<String, User>,
}

impl Config {
    /// What the pool of `user` on any node of `database` may hold; the user's own settings beat the database's,
    /// and those beat `[pool]`.
    pub fn pool_size(&self, database: &Database, user: &User) -> PoolSize {
        let (own, shared) = (&user.overrides, &database.overrides);
        PoolSize {
            mode: own.pool_mode.or(shared.pool_mode).unwrap_or(self.pool.mode),
            size: own.pool_size.or(shared.pool_size).unwrap_or(self.pool.default_pool_size),
            min: own.min_pool_size.or(shared.min_pool_size).unwrap_or(self.pool.min_pool_size),
            reserve: own
                .reserve_pool_size
                .or(shared.reserve_pool_size)
                .unwrap_or(self.pool.reserve_pool_size),
        }
    }

    /// How long a plan may stand in for parsing its statement anew; `None` is not at all.
    pub fn plan_reuse(&self, database: &Database, user: &User) -> Option<Duration> {
        let own = user.overrides.plan_reuse.or(database.overrides.plan_reuse);
        own.unwrap_or(self.pool.plan_reuse)
    }

    /// Server connections that `database` may have over all its users and nodes; `None` is no limit.
    pub fn max_db_connections(&self, database: &Database) -> Option<usize> {
        database.overrides.max_connections.unwrap_or(self.pool.max_db_connections)
    }

    /// Server connections that `user` may have over all databases and nodes; `None` is no limit.
    pub fn max_user_connections(&self, user: &User) -> Option<usize> {
        user.overrides.max_connections.unwrap_or(self.pool.max_user_connections)
    }

    /// Clients of `database` that may be connected at once; `None` is no limit of its own.
    pub fn max_db_client_connections(&self, database: &Database) -> Option<usize> {
        let own = database.overrides.max_client_connections;
        own.unwrap_or(self.limits.max_db_client_connections)
    }

    /// Clients of `user` that may be connected at once; `None` is no limit of its own.
    pub fn max_user_client_connections(&self, user: &User) -> Option<usize> {
        let own = user.overrides.max_client_connections;
        own.unwrap_or(self.limits.max_user_client_connections)
    }

    /// How pgLagoon logs in to `node` for the client user `name`: with the URL's own user and password if the URL
    /// has a user, else as the client's user with the password that is configured for it.
    pub fn server_login<'a>(&'a self, node: &'a NodeUrl, name: &'a str) -> ServerLogin<'a> {
        match &node.user {
            Some(user) => ServerLogin { user, password: node.password.as_ref() },
            None => ServerLogin {
                user: name,
                password: self.users.get(name).and_then(User::server_password),
            },
        }
    }
}

/// The limits of one pool: (database, user, node).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSize {
    /// When a server goes back to the pool.
    pub mode: PoolMode,
    /// Server connections that the pool may hold.
    pub size: usize,
    /// Server connections that are kept open even when idle.
    pub min: usize,
    /// Server connections on top of `size` for clients that have waited for `pool.reserve_pool_timeout`.
    pub reserve: usize,
}

/// How to log in to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLogin<'a> {
    /// The user's name on the server.
    pub user: &'a str,
    /// Its password; none when the server asks for none.
    pub password: Option<&'a Secret>,
}
