//! Opens and closes the server connections of one pool.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::Openers;
use crate::clock::Mono;
use crate::pool::{Closing, Connector, Permit, Wants};
use crate::server::Target;
use crate::server::census::Register;
use crate::session::connect::Opening;
use crate::session::link::Link;

/// The connector of one pool.
pub(super) struct Opener {
    pub(super) openers: Arc<dyn Openers>,
    pub(super) target: Arc<Target>,
    /// How old a connection may get. A reload may change it.
    pub(super) lifetime: Arc<Mutex<Option<Duration>>>,
    pub(super) node: Box<str>,
    pub(super) register: Arc<Register>,
}

impl Connector<Box<Link>> for Opener {
    fn connect(&self, permit: Permit<Box<Link>>) {
        let worker = permit.worker();
        if permit.wants() == Wants::Place {
            return permit.opened(Link::vacant(worker.unwrap_or_default()), Mono::ZERO);
        }
        let opening = Opening {
            permit,
            target: Arc::clone(&self.target),
            lifetime: *self.lifetime.lock(),
            node: self.node.clone(),
            register: Arc::clone(&self.register),
        };
        self.openers.open(worker, opening);
    }

    fn close(&self, mut conn: Box<Link>, why: Closing) {
        tracing::debug!(node = %self.node, why = why.as_str(), "closing a server connection");
        conn.terminate();
    }
}
