//! Tells pools and sessions when a cluster gets another primary.

use std::sync::{Arc, Weak};

use crate::clock::Clock;
use crate::cluster::{Cluster, Herald, NodeId};
use crate::proxy::desk::Desk;
use crate::proxy::inbox::Inboxes;
use crate::session::directory::Directory;

/// The one that a cluster tells.
#[derive(Debug)]
pub(super) struct Messenger {
    /// Weak, because the cluster owns its herald, and the directory the cluster.
    cluster: Weak<Cluster>,
    directory: Weak<Directory>,
    inboxes: Arc<Inboxes>,
    clock: Clock,
}

impl Messenger {
    pub(super) fn new(cluster: &Arc<Cluster>, desk: &Desk) -> Self {
        Self {
            cluster: Arc::downgrade(cluster),
            directory: Arc::downgrade(desk.directory()),
            inboxes: Arc::clone(desk.inboxes()),
            clock: desk.clock(),
        }
    }
}

impl Herald for Messenger {
    fn fence(&self, node: NodeId) {
        let (Some(cluster), Some(directory)) = (self.cluster.upgrade(), self.directory.upgrade())
        else {
            return;
        };
        let now = self.clock.now();
        for backend in directory.backends_of(&cluster) {
            backend.fence(node, now);
        }
    }

    fn rally(&self, node: Option<NodeId>) {
        let (Some(cluster), Some(directory)) = (self.cluster.upgrade(), self.directory.upgrade())
        else {
            return;
        };
        if let Some(node) = node {
            let now = self.clock.now();
            for backend in directory.backends_of(&cluster) {
                backend.welcome_back(node, now);
            }
        }
        self.inboxes.rally(&cluster);
    }
}
