//! SHOW ROUTES and SHOW ROUTE.

use super::Show;
use crate::admin::table::{Row, int, text};
use crate::telemetry::overview::{BackendOverview, Finding};

/// How many batches were routed for each reason, the most frequent first; then the statements that came most often, with
/// theirs; then the reads that replicas have refused as writes, and how many of each have gone to the primary at once since
/// then.
pub(in crate::admin) const ROUTES: Show = Show {
    columns: &[
        text("database"),
        text("user"),
        text("reason"),
        text("fingerprint"),
        int("batches"),
        text("statement"),
    ],
    rows: |scene| scene.overview.backends.iter().flat_map(rows).collect(),
};

fn rows(backend: &BackendOverview) -> Vec<Row> {
    let row = |reason: &str, fingerprint: Option<u64>, count: u64, statement: &str| {
        let fingerprint = fingerprint.map(|one| format!("{one:016x}")).unwrap_or_default();
        vec![
            (&backend.database).into(),
            (&backend.user).into(),
            reason.into(),
            fingerprint.into(),
            count.into(),
            statement.into(),
        ]
    };
    let mut routes: Vec<_> = backend.routes.iter().filter(|(_, count)| *count > 0).collect();
    routes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let routes = routes.into_iter().map(|(reason, count)| row(reason, None, *count, ""));
    let frequent = backend.frequent.iter();
    let frequent =
        frequent.map(|(reason, one)| row(reason, Some(one.fingerprint), one.count, &one.text));
    let learned = backend.learned.iter();
    let learned =
        learned.map(|(fingerprint, count)| row("learned", Some(*fingerprint), *count, ""));
    routes.chain(frequent).chain(learned).collect()
}

/// What would become of a statement: where it would run, what that follows from, each name in it, each node.
pub(in crate::admin) const ROUTE: Show = Show {
    columns: &[text("item"), text("value"), text("reason")],
    rows: |scene| {
        let row =
            |one: &Finding| vec![(&one.item).into(), (&one.value).into(), (&one.reason).into()];
        scene.findings.iter().map(row).collect()
    },
};
