//! SHOW ROUTES.

use super::Show;
use crate::admin::table::{Row, int, text};

/// How many batches were routed for each reason, the most frequent first; then the fingerprints of reads that replicas
/// have refused as writes, and how many of each have gone to the primary at once since then.
pub(in crate::admin) const ROUTES: Show = Show {
    columns: &[text("database"), text("user"), text("reason"), text("fingerprint"), int("batches")],
    rows: |scene| {
        let mut rows: Vec<Row> = Vec::new();
        for backend in &scene.overview.backends {
            let mut of = |reason: &str, fingerprint: String, count: u64| {
                let name = (backend.database.clone(), backend.user.clone());
                rows.push(vec![
                    name.0.into(),
                    name.1.into(),
                    reason.into(),
                    fingerprint.into(),
                    count.into(),
                ]);
            };
            let mut routes: Vec<_> =
                backend.routes.iter().filter(|(_, count)| *count > 0).collect();
            routes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            for (reason, count) in routes {
                of(reason, String::new(), *count);
            }
            for (fingerprint, count) in &backend.learned {
                of("learned", format!("{fingerprint:016x}"), *count);
            }
        }
        rows
    },
};
