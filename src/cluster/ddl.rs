//! What is known of changes of the catalog before it is read again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Cluster;
use super::catalog::News;
use crate::clock::Mono;

/// For so long after it was noticed a change of the catalog counts as a late one, besides the replicas' lag: a statement
/// may have been waiting meanwhile.
const NOTICED: Duration = Duration::from_secs(1);

impl Cluster {
    /// Changes with every change of the catalog that a session has made.
    #[inline]
    pub fn schema(&self) -> u64 {
        self.schema.load(Ordering::Acquire)
    }

    /// A session has changed the catalog, or may have. To be called before its client learns of it.
    pub fn schema_changed(&self) {
        self.schema.fetch_add(1, Ordering::Release);
        self.note_ddl();
        self.catalog.tell(News::Changed);
    }

    /// Somebody has changed the catalog.
    pub(super) fn note_ddl(&self) {
        self.schema_changed.fetch_max(self.clock.now().0, Ordering::AcqRel);
    }

    /// Whether a replica that is no further behind than `max_lag` may not know all of the catalog's changes yet, as far
    /// as they have been noticed.
    pub fn changed_lately(&self, now: Mono, max_lag: Duration) -> bool {
        let changed = Mono(self.schema_changed.load(Ordering::Acquire));
        changed != Mono::ZERO && now.saturating_since(changed) <= max_lag.saturating_add(NOTICED)
    }
}
