//! A session's wait for a server of one node, as part of what that node has to do.

use std::rc::Rc;

use crate::cluster::NodeId;
use crate::pool::Ticket;
use crate::route::Reason;
use crate::session::clients::Client;
use crate::session::link::Link;
use crate::session::succession::Side;

/// A wait for a server. However it ends, the node is told.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) ticket: Ticket<Box<Link>>,
    pub(super) node: NodeId,
    pub(super) side: Side,
    pub(super) reason: Reason,
    _demand: Demand,
}

impl Queued {
    /// Counts for the worker with this number, on whose thread it has to stay.
    pub(super) fn new(
        ticket: Ticket<Box<Link>>,
        (node, side): (NodeId, Side),
        reason: Reason,
        (client, lane): (Rc<Client>, usize),
    ) -> Self {
        client.backend.cluster.begin_waiting(node, lane);
        Self { ticket, node, side, reason, _demand: Demand { client, node, lane } }
    }
}

/// One who waits, for as long as this is kept.
#[derive(Debug)]
struct Demand {
    client: Rc<Client>,
    node: NodeId,
    lane: usize,
}

impl Drop for Demand {
    fn drop(&mut self) {
        self.client.backend.cluster.end_waiting(self.node, self.lane);
    }
}
