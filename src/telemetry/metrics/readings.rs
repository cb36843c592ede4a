//! Every counter and gauge: its name, what it means, its labels and its present value.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::telemetry::overview::{
    BackendOverview, CatalogOverview, DatabaseOverview, NodeOverview, Overview, Phase, PoolOverview,
};

/// One series and its value.
pub(super) struct Reading<'a> {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) labels: Vec<(&'static str, &'a str)>,
    pub(super) value: Value,
}

#[derive(Clone, Copy)]
pub(super) enum Value {
    /// It only grows.
    Count(u64),
    /// It goes up and down; not a number where it is unknown.
    Level(f64),
}

/// A family of series about `T`: name, help, value.
struct Family<T>(&'static str, &'static str, fn(&T) -> Value);

const PROCESS: &[Family<Overview>] = &[
    Family("pglagoon_uptime_seconds", "Time since the process started.", |all| {
        seconds(Some(all.uptime))
    }),
    Family("pglagoon_draining", "Whether the process lets transactions finish and stops.", |all| {
        number((all.phase == Phase::Draining).into())
    }),
    Family("pglagoon_connections", "Client connections, logged in or logging in.", |all| {
        level(all.connected)
    }),
    Family("pglagoon_logins_total", "Clients that have logged in.", |all| Value::Count(all.logins)),
    Family("pglagoon_failed_logins_total", "Log-ins of clients that failed.", |all| {
        Value::Count(all.failed_logins)
    }),
    Family("pglagoon_cancels_total", "Cancel requests that were passed on.", |all| {
        Value::Count(all.cancels)
    }),
];

const NODE: &[Family<NodeOverview>] = &[
    Family("pglagoon_node_up", "Whether the node may be used as what its role says.", |node| {
        number(node.is_up.into())
    }),
    Family(
        "pglagoon_node_lag_seconds",
        "How far a replica was behind the primary at the primary's last answer.",
        |node| seconds(node.lag),
    ),
    Family("pglagoon_node_lag_bytes", "The same in bytes of log.", |node| {
        node.lag_bytes.map_or(UNKNOWN, number)
    }),
    Family(
        "pglagoon_node_fresh_age_seconds",
        "How long ago a replica's state was that of the primary: what max_lag is compared with.",
        |node| seconds(node.age),
    ),
    Family("pglagoon_node_in_flight", "Sessions that use a server of the node.", |node| {
        Value::Level(f64::from(node.in_flight))
    }),
    Family("pglagoon_node_polls_total", "Polls of the node that were answered.", |node| {
        Value::Count(node.polls_ok)
    }),
    Family("pglagoon_node_poll_failures_total", "Polls of the node that failed.", |node| {
        Value::Count(node.polls_failed)
    }),
];

const DATABASE: &[Family<DatabaseOverview>] = &[
    Family(
        "pglagoon_primary_up",
        "Whether there is a primary that can be written to; without one writes wait.",
        |one| number(one.nodes.iter().any(|node| node.role == "primary" && node.is_up).into()),
    ),
    Family(
        "pglagoon_primary_changes_total",
        "Times that another node, or another server in its place, became the primary.",
        |one| Value::Count(one.primary_changes),
    ),
];

const CATALOG: &[Family<CatalogOverview>] = &[
    Family(
        "pglagoon_catalog_known",
        "Whether the database's catalog has been read: until then reads of tables run on the primary.",
        |catalog| number((catalog.version > 0).into()),
    ),
    Family("pglagoon_catalog_age_seconds", "How long ago it was read.", |catalog| {
        seconds(catalog.age)
    }),
    Family("pglagoon_catalog_load_seconds", "How long that took.", |catalog| {
        seconds(Some(catalog.took))
    }),
    Family("pglagoon_catalog_bytes", "The memory that it takes.", |catalog| level(catalog.bytes)),
    Family("pglagoon_catalog_loads_total", "Times that it was read.", |catalog| {
        Value::Count(catalog.loads)
    }),
    Family("pglagoon_catalog_failures_total", "Times that it could not be read.", |catalog| {
        Value::Count(catalog.failures)
    }),
];

const BACKEND: &[Family<BackendOverview>] = &[
    Family("pglagoon_received_bytes_total", "Bytes from clients.", |one| {
        Value::Count(one.totals.received)
    }),
    Family("pglagoon_sent_bytes_total", "Bytes to clients.", |one| Value::Count(one.totals.sent)),
    Family(
        "pglagoon_replays_total",
        "Reads that were run again elsewhere after a replica had failed them.",
        |one| Value::Count(one.totals.replays),
    ),
    Family("pglagoon_errors_total", "Errors of servers that clients were shown.", |one| {
        Value::Count(one.totals.errors)
    }),
    Family("pglagoon_pins_total", "Times that a client was pinned to its server.", |one| {
        Value::Count(one.totals.pins)
    }),
    Family(
        "pglagoon_notifications_total",
        "Notifications that clients were sent over the connection that listens for all.",
        |one| Value::Count(one.totals.notifications),
    ),
    Family(
        "pglagoon_notifications_lost_total",
        "Notifications that were thrown away because a client did not take them.",
        |one| Value::Count(one.totals.lost_notifications),
    ),
    Family("pglagoon_client_parses_total", "Parse messages from clients.", |one| {
        Value::Count(one.totals.client_parses)
    }),
    Family("pglagoon_server_parses_total", "Parse messages sent to servers.", |one| {
        Value::Count(one.totals.server_parses)
    }),
    Family("pglagoon_binds_total", "Bind messages from clients.", |one| {
        Value::Count(one.totals.binds)
    }),
    Family(
        "pglagoon_clients_waiting",
        "Clients that wait for a server connection, or for a primary.",
        |one| {
            let waiting = one.clients.iter().filter(|(state, _)| *state == "waiting");
            number(waiting.map(|(_, count)| count).sum())
        },
    ),
];

const POOL: &[Family<PoolOverview>] = &[
    Family("pglagoon_server_connects_total", "Server connections that were opened.", |pool| {
        Value::Count(pool.connects)
    }),
    Family(
        "pglagoon_server_connect_failures_total",
        "Server connections that could not be opened.",
        |pool| Value::Count(pool.connect_failures),
    ),
    Family("pglagoon_server_closes_total", "Server connections that were closed.", |pool| {
        Value::Count(pool.closed)
    }),
    Family("pglagoon_checkouts_total", "Server connections given to clients.", |pool| {
        Value::Count(pool.checkouts)
    }),
    Family(
        "pglagoon_oldest_wait_seconds",
        "How long the first client in the queue has waited.",
        |pool| seconds(Some(pool.oldest_wait)),
    ),
];

const UNKNOWN: Value = Value::Level(f64::NAN);

/// All series, in an order that depends only on which databases, users and nodes there are.
pub(super) fn readings(overview: &Overview) -> Vec<Reading<'_>> {
    let mut readings = vec![Reading {
        name: "pglagoon_build_info",
        help: "The version that runs; always 1.",
        labels: vec![("version", env!("CARGO_PKG_VERSION"))],
        value: Value::Level(1.0),
    }];
    about(PROCESS, overview, &[], &mut readings);
    for database in &overview.databases {
        for node in &database.nodes {
            let labels =
                [("database", &*database.name), ("node", &*node.name), ("role", node.role)];
            about(NODE, node, &labels, &mut readings);
        }
        about(DATABASE, database, &[("database", &*database.name)], &mut readings);
        about(CATALOG, &database.catalog, &[("database", &*database.name)], &mut readings);
        routes(database, overview, &mut readings);
    }
    for backend in &overview.backends {
        let labels = [("database", &*backend.database), ("user", &*backend.user)];
        about(BACKEND, backend, &labels, &mut readings);
        readings.extend(backend.clients.iter().map(|(state, count)| Reading {
            name: "pglagoon_clients",
            help: "Clients by what they are doing.",
            labels: with(&labels, ("state", *state)),
            value: number(*count),
        }));
        for pool in &backend.pools {
            let labels = with(&labels, ("node", &*pool.node));
            about(POOL, pool, &labels, &mut readings);
            servers(pool, &labels, &mut readings);
        }
    }
    readings
}

fn about<'a, T>(
    families: &[Family<T>],
    item: &T,
    labels: &[(&'static str, &'a str)],
    readings: &mut Vec<Reading<'a>>,
) {
    readings.extend(families.iter().map(|Family(name, help, value)| Reading {
        name,
        help,
        labels: labels.to_vec(),
        value: value(item),
    }));
}

/// Routed batches, over all users of the database.
fn routes<'a>(
    database: &'a DatabaseOverview,
    overview: &'a Overview,
    readings: &mut Vec<Reading<'a>>,
) {
    let mut counts = BTreeMap::new();
    for backend in overview.backends.iter().filter(|one| one.database == database.name) {
        for (reason, count) in &backend.routes {
            *counts.entry(*reason).or_insert(0) += count;
        }
    }
    readings.extend(counts.into_iter().map(|(reason, count)| Reading {
        name: "pglagoon_routed_total",
        help: "Batches of statements by the reason of their route.",
        labels: vec![("database", &*database.name), ("reason", reason)],
        value: Value::Count(count),
    }));
}

fn servers<'a>(
    pool: &'a PoolOverview,
    labels: &[(&'static str, &'a str)],
    readings: &mut Vec<Reading<'a>>,
) {
    let states = [("active", pool.busy), ("connecting", pool.connecting), ("idle", pool.idle)];
    readings.extend(states.into_iter().map(|(state, count)| Reading {
        name: "pglagoon_servers",
        help: "Server connections by what they are doing.",
        labels: with(labels, ("state", state)),
        value: level(count),
    }));
}

fn with<'a>(
    labels: &[(&'static str, &'a str)],
    more: (&'static str, &'a str),
) -> Vec<(&'static str, &'a str)> {
    labels.iter().copied().chain([more]).collect()
}

fn seconds(duration: Option<Duration>) -> Value {
    duration.map_or(UNKNOWN, |duration| Value::Level(duration.as_secs_f64()))
}

fn level(count: usize) -> Value {
    number(u64::try_from(count).unwrap_or(u64::MAX))
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
fn number(count: u64) -> Value {
    Value::Level(count as f64)
}
