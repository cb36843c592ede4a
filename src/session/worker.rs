//! What the sessions of one worker thread share: buffers, caches, counters. Never touched by another thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::clock::{Clock, Mono};
use crate::cluster::Cluster;
use crate::net::buffer::{Recycler, Scratch};
use crate::pool::WorkerId;
use crate::reactor::{Home, Reactor};
use crate::route::Dice;
use crate::server::interner::Interner;
use crate::server::statements::{Background, Statement};
use crate::session::clients::{ClientRow, Clients, Summons};
use crate::session::sequences::Use;
use crate::sql::{Classifier, LiveCatalog, Verdict};
use crate::telemetry::WorkerStats;

/// Whether the process is being stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stopping {
    /// It is not.
    #[default]
    No,
    /// Transactions may end; whoever is between two is told goodbye.
    Gently,
    /// At once.
    Now,
}

/// One worker thread's share of everything.
#[derive(Debug)]
pub struct Worker {
    /// Which worker.
    pub(crate) id: WorkerId,
    pub(crate) clock: Clock,
    pub(crate) scratch: RefCell<Scratch>,
    pub(crate) recycler: RefCell<Recycler>,
    pub(crate) clients: Clients,
    pub(crate) stopping: Cell<Stopping>,
    pub(crate) stats: Arc<WorkerStats>,
    classifier: RefCell<Classifier>,
    interner: RefCell<Interner>,
    pub(crate) dice: RefCell<Dice>,
    /// The fingerprint of the statement that was routed last, if it has just become frequent; else 0.
    pub(crate) unnamed: Cell<u64>,
    /// How many [`Use`]s of sequences have been given numbers.
    uses: Cell<u64>,
    reactor: Rc<Reactor>,
}

impl Worker {
    /// A worker that remembers the classes of `cache` statement texts, and half as many prepared statements in each
    /// of two generations. `statement_ids` is shared by all workers. Its sessions run on `reactor`.
    pub fn new(
        id: WorkerId,
        clock: Clock,
        statement_ids: Arc<AtomicU64>,
        stats: Arc<WorkerStats>,
        (cache, reactor): (usize, Rc<Reactor>),
    ) -> Rc<Self> {
        Rc::new(Self {
            id,
            clock,
            scratch: RefCell::default(),
            recycler: RefCell::default(),
            clients: Clients::new(id),
            stopping: Cell::default(),
            stats,
            classifier: RefCell::new(Classifier::new(cache)),
            interner: RefCell::new(Interner::new((cache / 2).max(1), statement_ids)),
            dice: RefCell::new(Dice::new(rand::random())),
            unnamed: Cell::new(0),
            uses: Cell::new(0),
            reactor,
        })
    }

    /// Starts a task beside the sessions.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.reactor.spawn(future);
    }

    /// Where the sockets of this worker are registered.
    pub(crate) fn home(&self) -> &Arc<Home> {
        self.reactor.home()
    }

    /// The worker's place in what is counted by worker.
    #[inline]
    pub(crate) fn lane(&self) -> usize {
        usize::from(self.id.0)
    }

    /// The current instant.
    #[inline]
    pub(crate) fn now(&self) -> Mono {
        self.clock.now()
    }

    /// A use of sequences like no other.
    pub(crate) fn new_use(&self) -> Use {
        self.uses.set(self.uses.get() + 1);
        Use::new(self.uses.get(), self.id)
    }

    /// What a text is and does in the database of this catalog.
    #[inline]
    pub(crate) fn classify(&self, sql: &[u8], catalog: &LiveCatalog) -> Verdict {
        self.classifier.borrow_mut().classify(sql, catalog)
    }

    /// A text with its literals masked, for people.
    pub(crate) fn form(&self, sql: &[u8]) -> String {
        String::from_utf8_lossy(self.classifier.borrow_mut().form(sql)).trim_end().to_owned()
    }

    /// The statement of a Parse message with this text and these types.
    #[inline]
    pub(crate) fn intern(
        &self,
        parsed: (&[u8], &[u8]),
        (catalog, background): (&LiveCatalog, Option<&Background>),
    ) -> Arc<Statement> {
        let classify = |query: &[u8]| self.classify(query, catalog);
        self.interner.borrow_mut().intern(parsed, (catalog, background), classify)
    }

    /// The same statement as the present edition of the catalog has it.
    pub(crate) fn renew(&self, old: &Statement, catalog: &LiveCatalog) -> Arc<Statement> {
        let classify = |query: &[u8]| self.classify(query, catalog);
        self.interner.borrow_mut().renew(old, catalog, classify)
    }

    /// Enforces the clients' deadlines.
    pub fn sweep(&self) {
        self.clients.sweep(self.now());
    }

    /// `cluster` has another primary, or has one again: whoever waits or holds a server has to look.
    pub fn rally(&self, cluster: &Arc<Cluster>) {
        self.clients.each(|client| {
            if Arc::ptr_eq(&client.backend.cluster, cluster) && !client.is_at_rest() {
                client.wake();
            }
        });
    }

    /// The clients, as they are now.
    pub fn client_rows(&self) -> Vec<ClientRow> {
        let mut rows = Vec::with_capacity(self.clients.len());
        self.clients.each(|client| rows.push(client.row()));
        rows
    }

    /// Begins to stop: whoever has nothing to finish is sent away, with `now` everybody.
    pub fn stop(&self, now: Urgency) {
        self.stopping.set(match now {
            Urgency::Gentle => Stopping::Gently,
            Urgency::Immediate => Stopping::Now,
        });
        self.clients.each(|client| client.summon(Summons::Stop));
    }

    /// Whether the worker stops and has no client left.
    pub fn is_done(&self) -> bool {
        self.stopping.get() != Stopping::No && self.clients.len() == 0
    }
}

/// How much time clients have when the process stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Transactions may finish.
    Gentle,
    /// None.
    Immediate,
}
