//! The catalog of a database as it is at present.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use bitflags::bitflags;

use super::Catalog;
use super::snapshot::Currval;

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
    /// How often servers may still forget their values on trial.
    trial: AtomicU32,
    current: ArcSwap<Catalog>,
}

/// How often a server forgets values of sequences although nobody has ever asked for any. An application that does ask
/// does so as soon as it has written, and is not to be the first; of one that does not, this is all that it costs.
const TRIAL: u32 = 2_000;

bitflags! {
    /// Who may ask a session for its `currval` or `lastval`.
    #[derive(Clone, Copy)]
    struct Readers: u8 {
        /// Something in the database: a function, a default, a view. Or the catalog is not known.
        const CATALOG = 1;
        /// A client: one has done so.
        const CLIENTS = 1 << 1;
        /// A client, for all that is known so far: there are sequences.
        const TRIAL = 1 << 2;
    }
}

impl Readers {
    fn of(catalog: &Catalog) -> Self {
        match catalog.currval() {
            Currval::Void => Self::empty(),
            Currval::Unused => Self::TRIAL,
            Currval::Used => Self::CATALOG | Self::TRIAL,
        }
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
            trial: AtomicU32::new(TRIAL),
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

    /// A server has been told to forget its values.
    pub fn note_forgotten(&self) {
        if self.readers.load(Ordering::Relaxed) != Readers::TRIAL.bits() {
            return;
        }
        let left = |trial: u32| trial.checked_sub(1);
        let before = self.trial.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
        if before.is_err() {
            self.readers.fetch_and(!Readers::TRIAL.bits(), Ordering::Relaxed);
        }
    }

    /// The catalog of this edition or of a later one.
    pub fn load(&self) -> Guard<Arc<Catalog>> {
        self.current.load()
    }

    /// Puts another catalog in the place of the current one.
    pub fn publish(&self, catalog: Catalog) {
        let mut readers = Readers::of(&catalog);
        if self.trial.load(Ordering::Relaxed) == 0 {
            readers -= Readers::TRIAL;
        }
        self.readers.fetch_or(readers.bits(), Ordering::Relaxed);
        self.readers.fetch_and((readers | Readers::CLIENTS).bits(), Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Facts, Overrides, Trees};

    /// A database with one relation of this kind.
    fn catalog(kind: &str) -> Catalog {
        let mut facts = Facts::new(Overrides::default(), Trees::default());
        let row = ["relation", "20000", "public", "s", kind, "p"].map(Some);
        facts.add(&row).unwrap();
        Catalog::of(Arc::new(facts.settle().0), Arc::default())
    }

    #[test]
    fn values_are_kept_apart_until_it_is_seen_that_nobody_asks() {
        let live = LiveCatalog::new(Catalog::awaited(Arc::default()), 1);
        assert!(live.uses_currval());
        live.publish(catalog("r"));
        assert!(!live.uses_currval(), "there is no sequence");
        live.publish(catalog("S"));
        for _ in 0..=TRIAL {
            assert!(live.uses_currval());
            live.note_forgotten();
        }
        assert!(!live.uses_currval());
        live.publish(catalog("S"));
        assert!(!live.uses_currval(), "it has been tried");
        live.note_currval();
        live.publish(catalog("S"));
        live.note_forgotten();
        assert!(live.uses_currval());
    }
}
