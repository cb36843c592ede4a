//! A client goes over to another backend, because a reload has replaced its own.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::{Client, Clients, slot_of};
use crate::session::backend::Backend;

impl Clients {
    /// The client as one of `backend`: with the same key, in the same place. It must have no server.
    pub(crate) fn transfer(&self, client: &Client, backend: Arc<Backend>) -> Rc<Client> {
        let moved = Rc::new(client.with_backend(backend));
        if let Some(place) = self.slots.borrow_mut().get_mut(slot_of(client.process_id)) {
            *place = Rc::clone(&moved);
        }
        let activity = client.activity.get().index();
        if let Some(presence) = client.presence() {
            presence.leave(activity);
        }
        if let Some(presence) = moved.presence() {
            presence.enter(activity);
        }
        moved
    }
}

impl Client {
    fn with_backend(&self, backend: Arc<Backend>) -> Self {
        Self {
            process_id: self.process_id,
            secret: self.secret.clone(),
            backend,
            address: self.address,
            application_name: self.application_name.clone(),
            connected: self.connected,
            activity: self.activity.clone(),
            since: self.since.clone(),
            deadline: self.deadline.clone(),
            summons: Cell::new(self.summons.get()),
            cancelling: Cell::new(self.cancelling.get()),
            cancel_done: RefCell::new(self.cancel_done.take()),
            until_answered: RefCell::new(self.until_answered.take()),
            pinned: Cell::new(""),
            replication: self.replication,
            channels: self.channels.clone(),
            prepared: self.prepared.clone(),
            server: Cell::default(),
            waker: self.waker.clone(),
        }
    }
}
