//! SHOW CATALOG.

use super::{Show, millis};
use crate::admin::table::{Row, int, real, text};
use crate::telemetry::overview::DatabaseOverview;

/// One row for each database: what is known of its functions and tables, and since when.
pub(in crate::admin) const CATALOG: Show = Show {
    columns: &[
        text("database"),
        int("version"),
        real("age_ms"),
        real("took_ms"),
        int("relations"),
        int("primary_relations"),
        int("functions"),
        int("primary_functions"),
        int("bytes"),
        int("loads"),
        int("failures"),
        text("trouble"),
    ],
    rows: |scene| scene.overview.databases.iter().map(row).collect(),
};

fn row(database: &DatabaseOverview) -> Row {
    let catalog = &database.catalog;
    vec![
        (&database.name).into(),
        catalog.version.into(),
        catalog.age.map(millis).into(),
        millis(catalog.took),
        catalog.relations.into(),
        catalog.primary_relations.into(),
        catalog.functions.into(),
        catalog.primary_functions.into(),
        catalog.bytes.into(),
        catalog.loads.into(),
        catalog.failures.into(),
        (&catalog.trouble).into(),
    ]
}
