//! A pooler that exists only in tests: one database with two nodes, one user, one client that waits.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::{NoSuchDatabase, Order, Period, Pooler, Question, Side};
use crate::config::Config;
use crate::telemetry::overview::{
    BackendOverview, DatabaseOverview, Finding, NodeOverview, Overview, PoolOverview,
    SocketOverview, Unforeseeable, UserOverview,
};
use crate::telemetry::{Often, Totals, Traffic};

/// The pooler, and what it was ordered to do.
pub(super) struct Sample {
    pub(super) config: Arc<Config>,
    pub(super) orders: RefCell<Vec<(Order, Option<String>)>>,
}

impl Default for Sample {
    fn default() -> Self {
        let mut config = Config::default();
        config.admin.admin_users = vec!["root".into()];
        config.admin.stats_users = vec!["watch".into()];
        Self { config: Arc::new(config), orders: RefCell::default() }
    }
}

pub(super) fn totals() -> Totals {
    let traffic = Traffic::default();
    for micros in [1_000, 3_000] {
        traffic.queries.record(Duration::from_micros(micros));
        traffic.transactions.record(Duration::from_micros(micros));
    }
    traffic.waits.record(Duration::from_millis(120));
    traffic.sent.add(6_000);
    Totals::of(&traffic)
}

impl Pooler for Sample {
    fn overview(&self) -> Overview {
        let node = |name: &str, role| NodeOverview {
            name: name.into(),
            role,
            state: "up",
            lag: (role == "replica").then_some(Duration::from_micros(1_500)),
            ..NodeOverview::default()
        };
        let pool = |name: &str, role, busy, waiting| PoolOverview {
            node: name.into(),
            role,
            busy,
            waiting,
            idle: 1,
            oldest_wait: Duration::from_micros(2_000_003 * u64::from(waiting > 0)),
            ..PoolOverview::default()
        };
        Overview {
            databases: vec![DatabaseOverview {
                name: "app".into(),
                nodes: vec![node("db1:5432", "primary"), node("db2:5432", "replica")],
                ..DatabaseOverview::default()
            }],
            users: vec![UserOverview { name: "alice".into(), ..UserOverview::default() }],
            backends: vec![BackendOverview {
                database: "app".into(),
                user: "alice".into(),
                pool_mode: "transaction",
                totals: totals(),
                clients: vec![("idle", 4), ("waiting", 1), ("active", 3)],
                routes: vec![("read", 7), ("write", 9)],
                frequent: vec![(
                    "read",
                    Often { fingerprint: 0xdef, reason: 0, count: 5, text: "select 1".into() },
                )],
                learned: vec![(0xabc, 2)],
                pools: vec![pool("db1:5432", "primary", 2, 1), pool("db2:5432", "replica", 1, 0)],
            }],
            ..Overview::default()
        }
    }

    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config)
    }

    fn period(&self) -> Period {
        Period { length: Duration::from_mins(1), done: [("app".into(), totals())].into() }
    }

    async fn sockets(&self, side: Side) -> Vec<SocketOverview> {
        vec![SocketOverview {
            user: "alice".into(),
            database: "app".into(),
            state: if side == Side::Clients { "waiting" } else { "idle" },
            address: Some(("127.0.0.1".into(), 40_000)),
            connected: UNIX_EPOCH,
            requested: UNIX_EPOCH + Duration::from_secs(61),
            wait: Duration::from_millis(1_500),
            ptr: "c1".into(),
            link: String::new(),
            process_id: 7,
            application_name: "psql".into(),
            node: String::new(),
            pinned: "",
            replication: "none",
            channels: 0,
            prepared: Some(2),
            prepared_bytes: Some(300),
        }]
    }

    fn forecast(&self, question: &Question) -> Result<Vec<Finding>, Unforeseeable> {
        if question.database.as_deref().is_some_and(|name| name != "app") {
            return Err(Unforeseeable::Database);
        }
        let reason = question.statement.clone();
        Ok(vec![Finding { item: "route".into(), value: "primary".into(), reason }])
    }

    async fn carry_out(&self, order: Order, database: Option<&str>) -> Result<(), NoSuchDatabase> {
        if database.is_some_and(|name| name != "app") {
            return Err(NoSuchDatabase);
        }
        self.orders.borrow_mut().push((order, database.map(str::to_owned)));
        Ok(())
    }

    async fn reload(&self) -> Result<(), Vec<String>> {
        Err(vec!["pglagoon.toml: 1 problem".into(), "line 3: there is no such key".into()])
    }
}
