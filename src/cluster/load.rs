//! How many sessions have a server of each node, or wait for one.

use super::node::Sessions;
use super::{Cluster, NodeId};

impl Cluster {
    /// The same cluster, for the sessions of so many workers.
    #[must_use]
    pub fn with_workers(mut self, count: usize) -> Self {
        let nodes = std::mem::take(&mut self.nodes).into_iter();
        self.nodes = nodes.map(|node| node.with_workers(count)).collect();
        self
    }

    /// A session starts to use a server of `node`. Only that worker's thread may count for it.
    pub fn begin(&self, node: NodeId, worker: usize) {
        self.count(node, worker, |sessions| sessions.in_flight.up());
    }

    /// A session has released its server of `node`.
    pub fn end(&self, node: NodeId, worker: usize) {
        self.count(node, worker, |sessions| sessions.in_flight.down());
    }

    /// A session starts to wait for a server of `node`. Only that worker's thread may count for it.
    pub fn begin_waiting(&self, node: NodeId, worker: usize) {
        self.count(node, worker, |sessions| sessions.waiting.up());
    }

    /// A session waits no longer for a server of `node`.
    pub fn end_waiting(&self, node: NodeId, worker: usize) {
        self.count(node, worker, |sessions| sessions.waiting.down());
    }

    fn count(&self, node: NodeId, worker: usize, how: impl FnOnce(&Sessions)) {
        if let Some(sessions) = self.node(node).and_then(|node| node.sessions(worker)) {
            how(sessions);
        }
    }
}
