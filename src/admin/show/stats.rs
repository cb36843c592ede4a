//! SHOW STATS, STATS_TOTALS and STATS_AVERAGES.
//!
//! Counts and bytes of an average are per second; times are per transaction, per query, and for waits per second, all
//! in microseconds.

use std::time::Duration;

use super::{Column, Scene, Show};
use crate::admin::period;
use crate::admin::table::{Cell, Row, int, text};
use crate::telemetry::{Distribution, Totals};

/// Both.
pub(in crate::admin) const STATS: Show = Show {
    columns: &[
        text("database"),
        int("total_server_assignment_count"),
        int("total_xact_count"),
        int("total_query_count"),
        int("total_received"),
        int("total_sent"),
        int("total_xact_time"),
        int("total_query_time"),
        int("total_wait_time"),
        int("total_client_parse_count"),
        int("total_server_parse_count"),
        int("total_bind_count"),
        int("avg_server_assignment_count"),
        int("avg_xact_count"),
        int("avg_query_count"),
        int("avg_recv"),
        int("avg_sent"),
        int("avg_xact_time"),
        int("avg_query_time"),
        int("avg_wait_time"),
        int("avg_client_parse_count"),
        int("avg_server_parse_count"),
        int("avg_bind_count"),
    ],
    rows: |scene| {
        rows(scene, |total, done, length| totals(total).chain(averages(done, length)).collect())
    },
};

/// What is counted, with PgBouncer's names.
const COUNTS: &[Column] = &[
    text("database"),
    int("server_assignment_count"),
    int("xact_count"),
    int("query_count"),
    int("bytes_received"),
    int("bytes_sent"),
    int("xact_time"),
    int("query_time"),
    int("wait_time"),
    int("client_parse_count"),
    int("server_parse_count"),
    int("bind_count"),
];

/// Since the start.
pub(in crate::admin) const STATS_TOTALS: Show =
    Show { columns: COUNTS, rows: |scene| rows(scene, |total, _, _| totals(total).collect()) };

/// Over the last period.
pub(in crate::admin) const STATS_AVERAGES: Show = Show {
    columns: COUNTS,
    rows: |scene| rows(scene, |_, done, length| averages(done, length).collect()),
};

fn rows(scene: &Scene, cells: impl Fn(&Totals, &Totals, Duration) -> Vec<Cell>) -> Vec<Row> {
    let nothing = Totals::default();
    let all = period::totals(&scene.overview);
    all.iter()
        .map(|(database, total)| {
            let done = scene.period.done.get(database).unwrap_or(&nothing);
            let mut row = vec![database.into()];
            row.extend(cells(total, done, scene.period.length));
            row
        })
        .collect()
}

fn totals(total: &Totals) -> impl Iterator<Item = Cell> {
    [
        total.waits.count(),
        total.transactions.count(),
        total.queries.count(),
        total.received,
        total.sent,
        total.transactions.sum_us(),
        total.queries.sum_us(),
        total.waits.sum_us(),
        total.client_parses,
        total.server_parses,
        total.binds,
    ]
    .into_iter()
    .map(Cell::from)
}

fn averages(done: &Totals, length: Duration) -> impl Iterator<Item = Cell> {
    let per_second = |count: u64| {
        let scaled = u128::from(count) * 1_000_000;
        let average = scaled.checked_div(length.as_micros()).unwrap_or(0);
        u64::try_from(average).unwrap_or(u64::MAX)
    };
    let mean = |times: &Distribution| times.sum_us().checked_div(times.count()).unwrap_or(0);
    [
        per_second(done.waits.count()),
        per_second(done.transactions.count()),
        per_second(done.queries.count()),
        per_second(done.received),
        per_second(done.sent),
        mean(&done.transactions),
        mean(&done.queries),
        per_second(done.waits.sum_us()),
        per_second(done.client_parses),
        per_second(done.server_parses),
        per_second(done.binds),
    ]
    .into_iter()
    .map(Cell::from)
}
