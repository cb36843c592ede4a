//! What operators see of a catalog.

use std::time::Duration;

use crate::clock::Mono;
use crate::sql::{Census, Snapshot};

/// How much is known of a database's catalog, and since when.
#[derive(Clone, Debug, Default)]
pub struct CatalogReport {
    /// Counts the snapshots that said anything new; 0 until there is one.
    pub version: u64,
    pub(super) loaded_at: Option<Mono>,
    /// How long ago it was read last.
    pub age: Option<Duration>,
    /// How long that took.
    pub took: Duration,
    /// How much there is.
    pub census: Census,
    /// The memory that it takes.
    pub bytes: usize,
    /// How often it was read.
    pub loads: u64,
    /// How often it could not be read.
    pub failures: u64,
    /// Why it could not be read; empty when it could.
    pub error: String,
    /// Why no statement may run on a replica; empty if some may.
    pub note: &'static str,
}

impl CatalogReport {
    pub(super) fn accept(&mut self, snapshot: &Snapshot, now: Mono) {
        self.loaded_at = Some(now);
        self.census = snapshot.census();
        self.bytes = snapshot.bytes();
        self.loads += 1;
        self.error.clear();
        self.note = snapshot.keeps_everything().unwrap_or_default();
    }

    pub(super) fn fail(&mut self, error: &str) -> bool {
        self.failures += 1;
        let is_news = self.error != error;
        if is_news {
            error.clone_into(&mut self.error);
        }
        is_news
    }
}
