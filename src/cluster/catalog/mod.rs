//! The catalog of a database: read from its primary, and read again when it may have changed.
//!
//! A task on the control thread ([`keep`]) has a connection of tokio-postgres to the primary. It reads the catalog
//!
//! * when it has connected;
//! * when a session has run DDL ([`News::Changed`]);
//! * when a session has met something that the catalog does not know, or that a replica refused ([`News::Doubt`]);
//! * when PostgreSQL's own counters say that somebody else has changed a catalog (looked at every
//!   `routing.catalog_interval`, which costs the server 0.2 ms);
//! * every ten minutes.
//!
//! However often it is asked to, it keeps the server busy for no more than a twentieth of the time, and for doubts no more
//! than a hundredth. What is long, the trees of views, is read only where it has changed. Snapshots that say the same as the one before are dropped, so that no verdict is forgotten for
//! them. While the primary is away the last snapshot holds: its replicas change no catalog either.

mod keeper;
mod queries;
mod reader;
mod report;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

pub use keeper::{Access, Dial, keep};
pub use reader::{Failure, Reader};
pub use report::CatalogReport;

use crate::clock::Mono;
use crate::config::Routing;
use crate::sql::{Catalog, LiveCatalog, Overrides, Snapshot};

/// What speaks for reading the catalog again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    /// A statement has met what the catalog does not know.
    Doubt = 1,
    /// Somebody has changed it.
    Changed = 2,
}

/// The catalog of one database, and how it came about.
#[derive(Debug)]
pub struct CatalogState {
    live: LiveCatalog,
    /// The strongest [`News`] that nobody has looked at.
    news: AtomicU8,
    arrived: Notify,
    settings: Mutex<Settings>,
    report: Mutex<CatalogReport>,
}

/// What the configuration says.
#[derive(Clone, Debug)]
struct Settings {
    overrides: Arc<Overrides>,
    interval: Duration,
}

impl Settings {
    fn new(routing: &Routing) -> Self {
        let overrides = Overrides::new(
            &routing.safe_functions,
            &routing.unsafe_functions,
            &routing.primary_tables,
        );
        Self { overrides: Arc::new(overrides), interval: routing.catalog_interval }
    }
}

impl CatalogState {
    /// A database whose catalog is not known yet.
    pub fn new(routing: &Routing) -> Self {
        let settings = Settings::new(routing);
        let catalog = Catalog::awaited(Arc::clone(&settings.overrides));
        Self {
            live: LiveCatalog::new(catalog, rand::random()),
            news: AtomicU8::new(0),
            arrived: Notify::new(),
            settings: Mutex::new(settings),
            report: Mutex::default(),
        }
    }

    /// What statements are classified by.
    #[inline]
    pub fn live(&self) -> &LiveCatalog {
        &self.live
    }

    /// Has the catalog read again, soon.
    #[inline]
    pub fn tell(&self, news: News) {
        // Loaded first, so that the cache line stays shared while many say the same.
        if self.news.load(Ordering::Relaxed) < news as u8
            && self.news.fetch_max(news as u8, Ordering::Relaxed) < news as u8
        {
            self.arrived.notify_one();
        }
    }

    /// Goes by other settings.
    pub fn set_routing(&self, routing: &Routing) {
        let settings = Settings::new(routing);
        let overrides = Arc::clone(&settings.overrides);
        let before = std::mem::replace(&mut *self.settings.lock(), settings);
        if *before.overrides != *overrides {
            // What is reached through views is known when the catalog has been read again.
            self.live.publish(match self.live.load().snapshot() {
                Some(snapshot) => Catalog::of(Arc::clone(snapshot), overrides),
                None => Catalog::awaited(overrides),
            });
            self.tell(News::Changed);
        }
    }

    /// What `SHOW CATALOG` and the metrics show.
    pub fn report(&self, now: Mono) -> CatalogReport {
        let mut report = self.report.lock().clone();
        report.age = report.loaded_at.map(|at| now.saturating_since(at));
        report
    }

    /// The news, which count as looked at from now on.
    fn take_news(&self) -> Option<News> {
        match self.news.swap(0, Ordering::Relaxed) {
            0 => None,
            1 => Some(News::Doubt),
            _ => Some(News::Changed),
        }
    }

    /// The news that nobody has looked at.
    fn pending(&self) -> Option<News> {
        match self.news.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(News::Doubt),
            _ => Some(News::Changed),
        }
    }

    fn settings(&self) -> Settings {
        self.settings.lock().clone()
    }

    /// Takes over what has been read at `now`. Returns whether it says anything new.
    fn accept(&self, snapshot: Snapshot, overrides: Arc<Overrides>, now: Mono) -> bool {
        let is_news = self.live.load().snapshot().is_none_or(|before| **before != snapshot);
        {
            let mut report = self.report.lock();
            report.accept(&snapshot, now);
            report.version += u64::from(is_news);
        }
        if is_news {
            self.live.publish(Catalog::of(Arc::new(snapshot), overrides));
        }
        is_news
    }

    /// Notes a failure. Returns whether it is another than the last one.
    fn fail(&self, error: &str) -> bool {
        self.report.lock().fail(error)
    }
}
