//! The catalog of a database as it is at present.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use bitflags::bitflags;

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
    /// [`Readers`].
    readers: AtomicU8,
    current: ArcSwap<Catalog>,
}

bitflags! {
    /// Who may ask a session for its `currval` or `lastval`.
    #[derive(Clone, Copy)]
    struct Readers: u8 {
        /// Something in the database: a function, a default, a view. Or the catalog is not known.
        const CATALOG = 1;
        /// A client: one has done so.
        const CLIENTS = 1 << 1;
    }
}

impl Readers {
    fn of(catalog: &Catalog) -> Self {
        if catalog.may_use_currval() { Self::CATALOG } else { Self::empty() }
    }
}

impl LiveCatalog {
    /// A database whose catalog is this one at first. No two databases of one process have editions in common, as
    /// `random` is a random number.
    pub fn new(catalog: Catalog, random: u64) -> Self {
        Self {
            origin: random,
            edition: AtomicU64::new(random),
            readers: AtomicU8::new(Readers::of(&catalog).bits()),
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

    /// Whether anything in this database, or any client of it, may ask its session for `currval` or `lastval`.
    #[inline]
    pub fn uses_currval(&self) -> bool {
        self.readers.load(Ordering::Relaxed) != 0
    }

    /// A client asks for it, now or by what it creates.
    pub fn note_currval(&self) {
        // Loaded first, so that the cache line stays shared.
        if self.readers.load(Ordering::Relaxed) & Readers::CLIENTS.bits() == 0 {
            self.readers.fetch_or(Readers::CLIENTS.bits(), Ordering::Relaxed);
        }
    }

    /// The catalog of this edition or of a later one.
    pub fn load(&self) -> Guard<Arc<Catalog>> {
        self.current.load()
    }

    /// Puts another catalog in the place of the current one.
    pub fn publish(&self, catalog: Catalog) {
        match Readers::of(&catalog).bits() {
            0 => self.readers.fetch_and(!Readers::CATALOG.bits(), Ordering::Relaxed),
            bits => self.readers.fetch_or(bits, Ordering::Relaxed),
        };
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
