//! Who is the primary, as sessions see it, and how they learn of a change.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::sync::watch;

use super::{Cluster, Fault, NodeId, Role, State};

/// Counts the primaries of a cluster: whatever was connected to the primary of another term must not be written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Term(pub u32);

/// A primary and its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Office {
    /// The node.
    pub node: NodeId,
    /// Its term.
    pub term: Term,
}

/// Whoever has to act when a cluster gets another primary. Called on the thread of the monitors.
pub trait Herald: fmt::Debug + Send + Sync {
    /// What is connected to `node` must not be used any more. Called before anybody can see the next primary.
    fn fence(&self, node: NodeId);

    /// Whoever waits for the primary, or holds a server, has to look again. `node` takes connections, if there is one.
    fn rally(&self, node: Option<NodeId>);
}

/// Nobody is the primary.
const NOBODY: u16 = u16::MAX;

/// The present primary, published.
#[derive(Debug)]
pub(super) struct Leadership {
    /// The term, and below it the node.
    office: AtomicU64,
    /// Changes whenever sessions have to look around.
    version: AtomicU32,
    terms: watch::Sender<Term>,
    herald: OnceLock<Box<dyn Herald>>,
}

impl Leadership {
    pub(super) fn new(node: Option<NodeId>) -> Self {
        Self {
            office: AtomicU64::new(pack(Term::default(), node)),
            version: AtomicU32::new(0),
            terms: watch::Sender::new(Term::default()),
            herald: OnceLock::new(),
        }
    }

    pub(super) fn set_herald(&self, herald: Box<dyn Herald>) {
        let _ = self.herald.set(herald);
    }

    /// The node that is to be written to, if there is one.
    #[inline]
    pub(super) fn office(&self) -> Option<Office> {
        let word = self.office.load(Ordering::Acquire);
        let node = u16::try_from(word & 0xFFFF).unwrap_or(NOBODY);
        (node != NOBODY).then(|| Office { node: NodeId(node), term: term(word) })
    }

    /// The present term, whether its primary is there or not.
    pub(super) fn term(&self) -> Term {
        term(self.office.load(Ordering::Acquire))
    }

    /// Publishes who is to be written to. Returns whether that is news.
    pub(super) fn publish(&self, term: Term, node: Option<NodeId>) -> bool {
        let word = pack(term, node);
        self.office.swap(word, Ordering::AcqRel) != word
    }

    #[inline]
    pub(super) fn version(&self) -> u32 {
        self.version.load(Ordering::Acquire)
    }

    /// Has every session look around when it next wakes up.
    pub(super) fn touch(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn fence(&self, node: NodeId) {
        if let Some(herald) = self.herald.get() {
            herald.fence(node);
        }
    }

    /// Has everybody whom it concerns look around now.
    pub(super) fn rally(&self, node: Option<NodeId>) {
        self.touch();
        self.terms.send_replace(self.term());
        if let Some(herald) = self.herald.get() {
            herald.rally(node);
        }
    }

    /// Waits until there is somebody to be written to.
    pub(super) async fn inauguration(&self) -> Office {
        let mut terms = self.terms.subscribe();
        loop {
            if let Some(office) = self.office() {
                return office;
            }
            // Told of with every change, of the term or not. The sender lives as long as this does.
            let _ = terms.changed().await;
        }
    }

    /// Waits until `term` has ended.
    pub(super) async fn end_of(&self, term: Term) {
        let mut terms = self.terms.subscribe();
        // The sender lives as long as this does.
        let _ = terms.wait_for(|now| *now != term).await;
    }
}

impl Cluster {
    /// The node that is to be written to; `None` while there is none, or it hangs.
    #[inline]
    pub fn primary(&self) -> Option<Office> {
        self.leadership.office()
    }

    /// The primary; it may be down.
    pub fn led_by(&self) -> Option<NodeId> {
        self.tracker.lock().primary()
    }

    /// The timeline that the primary writes, as far as it has told.
    pub fn timeline(&self) -> Option<u32> {
        self.tracker.lock().timeline()
    }

    /// The present term, whether its primary is there or not.
    pub fn term(&self) -> Term {
        self.leadership.term()
    }

    /// Changes whenever sessions have to look around: for another primary, or other settings.
    #[inline]
    pub fn version(&self) -> u32 {
        self.leadership.version()
    }

    /// Has every session look around when it next wakes up.
    pub fn touch(&self) {
        self.leadership.touch();
    }

    /// From now on `herald` is told when the primary changes. To be called once.
    pub fn set_herald(&self, herald: Box<dyn Herald>) {
        self.leadership.set_herald(herald);
    }

    /// Has nobody get a server of these nodes that was opened before.
    pub(super) fn renew_servers(&self, which: impl Fn(Role) -> bool) {
        for node in self.nodes().iter().filter(|node| which(node.role())) {
            self.leadership.fence(node.id());
        }
    }

    /// Waits until there is a node to be written to.
    pub async fn await_primary(&self) -> Office {
        self.leadership.inauguration().await
    }

    /// Waits until `term` has ended.
    pub async fn end_of(&self, term: Term) {
        self.leadership.end_of(term).await;
    }

    /// A client could not be connected to the primary `node`. Returns whether the monitor will tell when it can be: it
    /// cannot if it does not get in itself while others may.
    pub fn doubt(&self, node: NodeId) -> bool {
        let state = self.tracker.lock().node(node).map(|known| known.health().state());
        match (state, self.node(node)) {
            (Some(State::Down(Fault::LogIn | Fault::Answer)) | None, _) | (_, None) => false,
            (Some(State::Up), Some(node)) => {
                node.doubted.notify_one();
                true
            }
            (Some(_), Some(_)) => true,
        }
    }
}

fn pack(Term(term): Term, node: Option<NodeId>) -> u64 {
    u64::from(term) << 32 | u64::from(node.map_or(NOBODY, |node| node.0))
}

fn term(word: u64) -> Term {
    Term(u32::try_from(word >> 32).unwrap_or(u32::MAX))
}
