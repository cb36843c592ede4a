//! What each SHOW shows: a list of columns, and the rows that follow from a scene.
//!
//! Columns that PgBouncer has stand first, under its names and in its order, so that what reads its console reads
//! ours; our own follow. A column about what we do not have is there all the same, and zero or empty.

mod catalog;
mod databases;
mod nodes;
mod pools;
mod routes;
mod sockets;
mod stats;
mod summary;

use std::sync::Arc;
use std::time::Duration;

pub(super) use self::catalog::CATALOG;
pub(super) use self::databases::{DATABASES, USERS};
pub(super) use self::nodes::NODES;
pub(super) use self::pools::POOLS;
pub(super) use self::routes::{ROUTE, ROUTES};
pub(super) use self::sockets::{CLIENTS, SERVERS};
pub(super) use self::stats::{STATS, STATS_AVERAGES, STATS_TOTALS};
pub(super) use self::summary::{CONFIG, HELP, LISTS, STATE, VERSION, help};

use super::Period;
use super::table::{Cell, Row};
use crate::config::Config;
use crate::protocol::backend::Column;
use crate::telemetry::overview::{Finding, Overview, SocketOverview};

/// All that a SHOW may look at.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The pooler.
    pub overview: Overview,
    /// The connections that the command is about.
    pub sockets: Vec<SocketOverview>,
    /// What would become of the statement that the command is about.
    pub findings: Vec<Finding>,
    /// The configuration.
    pub config: Arc<Config>,
    /// What was done in the last period.
    pub period: Period,
}

/// One SHOW.
#[derive(Debug)]
pub(super) struct Show {
    pub(super) columns: &'static [Column],
    pub(super) rows: fn(&Scene) -> Vec<Row>,
}

/// Milliseconds, to the microsecond.
fn millis(duration: Duration) -> Cell {
    Cell::Real((duration.as_secs_f64() * 1e6).round() / 1e3)
}

/// A duration as PgBouncer splits it: whole seconds, and microseconds beyond them.
fn split(duration: Duration) -> [Cell; 2] {
    [duration.as_secs().into(), duration.subsec_micros().into()]
}

#[cfg(test)]
mod tests;
