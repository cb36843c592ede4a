//! SHOW POOLS.

use super::{Scene, Show, split};
use crate::admin::table::{Cell, Row, int, text};
use crate::telemetry::overview::{BackendOverview, PoolOverview};

/// One row for each (database, user, node).
///
/// A client counts where its server is, and where it waits for one; all others count in the row of the primary, so
/// that the sum over the nodes is the number of clients.
pub(in crate::admin) const POOLS: Show = Show {
    columns: &[
        text("database"),
        text("user"),
        int("cl_active"),
        int("cl_waiting"),
        int("cl_active_cancel_req"),
        int("cl_waiting_cancel_req"),
        int("sv_active"),
        int("sv_active_cancel"),
        int("sv_being_canceled"),
        int("sv_idle"),
        int("sv_used"),
        int("sv_tested"),
        int("sv_login"),
        int("maxwait"),
        int("maxwait_us"),
        text("pool_mode"),
        text("load_balance_hosts"),
        text("node"),
        text("role"),
        text("last_error"),
    ],
    rows,
};

fn rows(scene: &Scene) -> Vec<Row> {
    let backends = scene.overview.backends.iter();
    backends
        .flat_map(|backend| {
            backend.pools.iter().enumerate().map(move |(node, pool)| row(backend, node, pool))
        })
        .collect()
}

fn row(backend: &BackendOverview, node: usize, pool: &PoolOverview) -> Row {
    let zero = || Cell::Int(0);
    let [maxwait, maxwait_us] = split(pool.oldest_wait);
    let active = if node == 0 { active_at_primary(backend) } else { pool.busy };
    vec![
        (&backend.database).into(),
        (&backend.user).into(),
        active.into(),
        pool.waiting.into(),
        zero(),
        zero(),
        pool.busy.into(),
        zero(),
        zero(),
        pool.idle.into(),
        zero(),
        zero(),
        pool.connecting.into(),
        maxwait,
        maxwait_us,
        backend.pool_mode.into(),
        Cell::Null,
        (&pool.node).into(),
        pool.role.into(),
        pool.last_error.as_ref().into(),
    ]
}

/// Clients that neither wait nor have a server of a replica.
fn active_at_primary(backend: &BackendOverview) -> usize {
    let all = usize::try_from(backend.client_count()).unwrap_or(usize::MAX);
    let waiting: usize = backend.pools.iter().map(|pool| pool.waiting).sum();
    let elsewhere: usize = backend.pools.iter().skip(1).map(|pool| pool.busy).sum();
    all.saturating_sub(waiting + elsewhere)
}
