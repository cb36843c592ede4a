//! Fills in an [`Overview`] from users, databases, clusters, pools and counters.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Mono;
use crate::cluster::catalog::CatalogReport;
use crate::cluster::{NodeReport, State};
use crate::config::{Config, PoolMode, User};
use crate::route::Reason;
use crate::session::backend::Backend;
use crate::session::clients::Activity;
use crate::session::directory::{Directory, Prepared};
use crate::telemetry::counter::Counter;
use crate::telemetry::overview::{
    BackendOverview, CatalogOverview, DatabaseOverview, NodeOverview, Overview, Phase,
    PoolOverview, PoolSettings, Service, UserOverview,
};
use crate::telemetry::{Frequent, Often, Totals, WorkerStats};

/// How many statements of each (database, user) are told apart.
const MOST: usize = 50;

/// Everything as it is now: locks each pool and each cluster for a moment, and asks no worker.
pub(super) fn take(
    directory: &Directory,
    workers: &[Arc<WorkerStats>],
    (phase, now): (Phase, Mono),
) -> Overview {
    let config = directory.config();
    let mut databases = directory.databases();
    databases.sort_by(|one, other| one.0.cmp(&other.0));
    let mut backends = directory.backends();
    backends.sort_by(|one, other| (&one.database, &one.user).cmp(&(&other.database, &other.user)));
    let count = |counter: fn(&WorkerStats) -> &Counter| {
        workers.iter().map(|worker| counter(worker).get()).sum()
    };
    Overview {
        phase,
        uptime: now.saturating_since(Mono::ZERO),
        connected: directory.clients(),
        logins: count(|worker| &worker.logins),
        failed_logins: count(|worker| &worker.failed_logins),
        cancels: count(|worker| &worker.cancels),
        databases: databases
            .into_iter()
            .map(|(name, prepared)| database(name, &prepared, &config))
            .collect(),
        users: config.users.iter().map(|(name, one)| user(name, one, &config)).collect(),
        backends: backends.iter().map(|one| backend(one, now)).collect(),
    }
}

fn database(name: String, prepared: &Prepared, config: &Config) -> DatabaseOverview {
    let database = &prepared.database;
    let (own, primary) = (&database.overrides, &database.primary);
    DatabaseOverview {
        name,
        host: primary.host.to_string(),
        port: primary.port,
        dbname: primary.dbname.clone(),
        force_user: primary.user.clone(),
        pool: PoolSettings {
            mode: own.pool_mode.unwrap_or(config.pool.mode).as_str(),
            size: own.pool_size.unwrap_or(config.pool.default_pool_size),
            min: own.min_pool_size.unwrap_or(config.pool.min_pool_size),
            reserve: own.reserve_pool_size.unwrap_or(config.pool.reserve_pool_size),
            server_lifetime: config.pool.server_lifetime.unwrap_or(Duration::ZERO),
        },
        max_connections: config.max_db_connections(database).unwrap_or(0),
        max_client_connections: config.max_db_client_connections(database).unwrap_or(0),
        service: if prepared.is_paused() { Service::Paused } else { Service::Running },
        nodes: prepared.cluster.report().into_iter().map(node).collect(),
        primary_changes: prepared.cluster.term().0.into(),
        catalog: catalog(prepared.cluster.catalog_report()),
    }
}

fn catalog(report: CatalogReport) -> CatalogOverview {
    CatalogOverview {
        version: report.version,
        age: report.age,
        took: report.took,
        relations: report.census.relations,
        primary_relations: report.census.primary_relations,
        functions: report.census.functions,
        primary_functions: report.census.primary_functions,
        bytes: report.bytes,
        loads: report.loads,
        failures: report.failures,
        trouble: if report.error.is_empty() { report.note.to_owned() } else { report.error },
    }
}

fn user(name: &str, user: &User, config: &Config) -> UserOverview {
    let own = &user.overrides;
    UserOverview {
        name: name.to_owned(),
        pool_size: own.pool_size,
        reserve_pool_size: own.reserve_pool_size,
        pool_mode: own.pool_mode.map(PoolMode::as_str),
        max_connections: config.max_user_connections(user).unwrap_or(0),
        max_client_connections: config.max_user_client_connections(user).unwrap_or(0),
    }
}

fn node(report: NodeReport) -> NodeOverview {
    NodeOverview {
        name: report.name,
        role: report.role.as_str(),
        is_up: report.state == State::Up,
        state: report.state.as_str(),
        in_state_for: report.in_state_for,
        reason: report.reason,
        lag: report.lag,
        lag_bytes: report.lag_bytes,
        age: report.age,
        lsn: report.lsn.map(|lsn| lsn.to_string()),
        timeline: report.timeline,
        in_flight: report.in_flight,
        weight: report.weight,
        polls_ok: report.polls_ok,
        polls_failed: report.polls_failed,
        last_error: report.last_error,
    }
}

fn backend(backend: &Backend, now: Mono) -> BackendOverview {
    let totals = Totals::sum(backend.traffic.iter().map(Totals::of));
    let clients = |activity: Activity| -> u64 {
        backend.traffic.iter().map(|traffic| traffic.presence.count(activity.index())).sum()
    };
    BackendOverview {
        database: backend.database.to_string(),
        user: backend.user.to_string(),
        pool_mode: backend.policy().mode.as_str(),
        totals,
        routes: Reason::ALL.iter().copied().map(Reason::as_str).zip(totals.routes).collect(),
        frequent: frequent(backend),
        learned: backend.learned.list(),
        clients: Activity::ALL.map(|activity| (activity.as_str(), clients(activity))).to_vec(),
        pools: pools(backend, now),
    }
}

fn frequent(backend: &Backend) -> Vec<(&'static str, Often)> {
    let tables = backend.traffic.iter().map(|traffic| &traffic.frequent);
    let told = |one: Often| {
        let reason = Reason::ALL.get(one.reason).map_or("", |reason| reason.as_str());
        (reason, one)
    };
    Frequent::top(tables, MOST).into_iter().map(told).collect()
}

fn pools(backend: &Backend, now: Mono) -> Vec<PoolOverview> {
    let nodes = backend.cluster.nodes().iter();
    nodes
        .filter_map(|node| {
            let pool = backend.pool_snapshot(node.id(), now)?;
            Some(PoolOverview {
                node: node.name().to_owned(),
                role: node.role().as_str(),
                idle: pool.idle,
                busy: pool.busy,
                connecting: pool.connecting,
                waiting: pool.waiting,
                oldest_wait: pool.oldest_wait,
                checkouts: pool.totals.checkouts,
                connects: pool.totals.connects,
                connect_failures: pool.totals.connect_failures,
                closed: pool.totals.closed,
                last_error: pool.last_error.map(|(_, error)| error.to_string()),
            })
        })
        .collect()
}
