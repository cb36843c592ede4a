//! SHOW DATABASES and SHOW USERS.

use super::{Scene, Show};
use crate::admin::table::{Cell, Row, int, text};
use crate::telemetry::overview::{BackendOverview, DatabaseOverview, Service, UserOverview};

/// One row for each configured database; host and port are the primary's.
pub(in crate::admin) const DATABASES: Show = Show {
    columns: &[
        text("name"),
        text("host"),
        int("port"),
        text("database"),
        text("force_user"),
        int("pool_size"),
        int("min_pool_size"),
        int("reserve_pool_size"),
        int("server_lifetime"),
        text("pool_mode"),
        text("load_balance_hosts"),
        int("max_connections"),
        int("current_connections"),
        int("max_client_connections"),
        int("current_client_connections"),
        int("paused"),
        int("disabled"),
        int("nodes"),
    ],
    rows: |scene| scene.overview.databases.iter().map(|one| database(one, scene)).collect(),
};

fn database(database: &DatabaseOverview, scene: &Scene) -> Row {
    let [connections, clients] = standing(scene, |one| one.database == database.name);
    let pool = &database.pool;
    vec![
        (&database.name).into(),
        (&database.host).into(),
        u32::from(database.port).into(),
        (&database.dbname).into(),
        database.force_user.as_ref().into(),
        pool.size.into(),
        pool.min.into(),
        pool.reserve.into(),
        pool.server_lifetime.as_secs().into(),
        pool.mode.into(),
        Cell::Null,
        database.max_connections.into(),
        connections,
        database.max_client_connections.into(),
        clients,
        u32::from(database.service == Service::Paused).into(),
        Cell::Int(0),
        database.nodes.len().into(),
    ]
}

/// One row for each configured user; its own settings, empty where it has none.
pub(in crate::admin) const USERS: Show = Show {
    columns: &[
        text("name"),
        text("pool_size"),
        text("reserve_pool_size"),
        text("pool_mode"),
        int("max_user_connections"),
        int("current_connections"),
        int("max_user_client_connections"),
        int("current_client_connections"),
    ],
    rows: |scene| scene.overview.users.iter().map(|one| user(one, scene)).collect(),
};

fn user(user: &UserOverview, scene: &Scene) -> Row {
    let [connections, clients] = standing(scene, |one| one.user == user.name);
    let own = |size: Option<usize>| size.map_or_else(String::new, |size| size.to_string());
    vec![
        (&user.name).into(),
        own(user.pool_size).into(),
        own(user.reserve_pool_size).into(),
        user.pool_mode.into(),
        user.max_connections.into(),
        connections,
        user.max_client_connections.into(),
        clients,
    ]
}

/// How many server connections and clients the chosen backends have.
fn standing(scene: &Scene, is_meant: impl Fn(&BackendOverview) -> bool) -> [Cell; 2] {
    let meant = || scene.overview.backends.iter().filter(|one| is_meant(one));
    let servers: usize = meant().map(BackendOverview::server_count).sum();
    let clients: u64 = meant().map(BackendOverview::client_count).sum();
    [servers.into(), clients.into()]
}
