//! The catalog of a database as it is at present.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};

use super::Catalog;

/// The current [`Catalog`] of one database, for all who classify its texts.
///
/// What is remembered of a text is remembered under the edition of the catalog that it was classified by. Only
/// where nothing is remembered the catalog itself is loaded.
#[derive(Debug)]
pub struct LiveCatalog {
    /// The edition of the first catalog.
    origin: u64,
    edition: AtomicU64,
    current: ArcSwap<Catalog>,
}

impl LiveCatalog {
    /// A database whose catalog is this one at first. No two databases of one process have editions in common, as
    /// `random` is a random number.
    pub fn new(catalog: Catalog, random: u64) -> Self {
        Self {
            origin: random,
            edition: AtomicU64::new(random),
            current: ArcSwap::from_pointee(catalog),
        }
    }

    /// Distinguishes the database from all others.
    pub fn origin(&self) -> u64 {
        self.origin
    }

    /// Changes with every catalog that takes the place of another.
    #[inline]
    pub fn edition(&self) -> u64 {
        self.edition.load(Ordering::Acquire)
    }

    /// The catalog of this edition or of a later one.
    pub fn load(&self) -> Guard<Arc<Catalog>> {
        self.current.load()
    }

    /// Puts another catalog in the place of the current one.
    pub fn publish(&self, catalog: Catalog) {
        self.current.store(Arc::new(catalog));
        // After the catalog: no verdict of an old one is remembered under the new edition.
        self.edition.fetch_add(1, Ordering::Release);
    }
}

/// A database of which only PostgreSQL's own objects are known.
impl Default for LiveCatalog {
    fn default() -> Self {
        Self::new(Catalog::builtin(), 0)
    }
}
