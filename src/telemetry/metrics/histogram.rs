//! Histograms in Prometheus's text format, from buckets that are filled already.

use std::fmt::{self, Write};

use crate::telemetry::counter::Histogram;
use crate::telemetry::overview::{BackendOverview, Overview};
use crate::telemetry::totals::{Distribution, Totals};

/// Name, help, content.
type Family = (&'static str, &'static str, fn(&Totals) -> &Distribution);

const FAMILIES: &[Family] = &[
    (
        "pglagoon_wait_seconds",
        "Waits of clients for a server connection, also those that took no time.",
        |totals| &totals.waits,
    ),
    ("pglagoon_query_seconds", "Requests, from the first byte sent to ReadyForQuery.", |totals| {
        &totals.queries
    }),
    (
        "pglagoon_transaction_seconds",
        "Transactions; a statement outside a block is one.",
        |totals| &totals.transactions,
    ),
];

/// Appends every histogram of every (database, user).
pub(super) fn write(overview: &Overview, out: &mut String) {
    for (name, help, content) in FAMILIES {
        if overview.backends.is_empty() {
            return;
        }
        // A `String` takes everything.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram");
        for backend in &overview.backends {
            let _ = one(name, content(&backend.totals), backend, out);
        }
        out.push('\n');
    }
}

fn one(
    name: &str,
    content: &Distribution,
    backend: &BackendOverview,
    out: &mut String,
) -> fmt::Result {
    let labels =
        format!("database=\"{}\",user=\"{}\"", escaped(&backend.database), escaped(&backend.user));
    let mut below = 0;
    for (bucket, count) in content.counts.iter().enumerate() {
        below += count;
        match Histogram::bound_us(bucket) {
            Some(us) => {
                let (whole, rest) = (us / 1_000_000, us % 1_000_000);
                writeln!(out, "{name}_bucket{{{labels},le=\"{whole}.{rest:06}\"}} {below}")?;
            }
            None => writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {below}")?,
        }
    }
    writeln!(out, "{name}_sum{{{labels}}} {}", content.sum.as_secs_f64())?;
    writeln!(out, "{name}_count{{{labels}}} {below}")
}

/// A label's value with what must not stand in it escaped.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
