//! SHOW NODES.

use super::{Show, millis};
use crate::admin::table::{Row, int, real, text};
use crate::telemetry::overview::NodeOverview;

/// One row for each node of each database.
pub(in crate::admin) const NODES: Show = Show {
    columns: &[
        text("database"),
        text("node"),
        text("role"),
        text("state"),
        text("reason"),
        real("lag_ms"),
        int("lag_bytes"),
        real("fresh_as_of_age_ms"),
        text("lsn"),
        int("timeline"),
        int("in_flight"),
        int("weight"),
        real("in_state_ms"),
        int("polls_ok"),
        int("polls_failed"),
        text("last_error"),
    ],
    rows: |scene| {
        let databases = scene.overview.databases.iter();
        databases
            .flat_map(|database| database.nodes.iter().map(|node| row(&database.name, node)))
            .collect()
    },
};

fn row(database: &String, node: &NodeOverview) -> Row {
    vec![
        database.into(),
        (&node.name).into(),
        node.role.into(),
        node.state.into(),
        (&node.reason).into(),
        node.lag.map(millis).into(),
        node.lag_bytes.into(),
        node.age.map(millis).into(),
        node.lsn.as_ref().into(),
        node.timeline.into(),
        node.in_flight.into(),
        node.weight.into(),
        millis(node.in_state_for),
        node.polls_ok.into(),
        node.polls_failed.into(),
        node.last_error.as_ref().into(),
    ]
}
