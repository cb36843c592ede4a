//! The clients of one worker: who they are, what they are doing, how to reach them.
//!
//! A session writes what it is doing into its [`Client`] with plain stores. The sweeper, SHOW CLIENTS and cancel
//! requests read it on the same thread, so there is nothing to lock.

mod transfer;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use slab::Slab;
use subtle::ConstantTimeEq;
use tokio::sync::oneshot;

use crate::clock::Mono;
use crate::cluster::NodeId;
use crate::pool::WorkerId;
use crate::server::Server;
use crate::server::census::Tally;
use crate::session::backend::Backend;
use crate::session::replication::Kind;
use crate::telemetry::{ACTIVITIES, Presence, Traffic};

/// Bits of a process id that number the client within its worker.
const SLOT_BITS: u32 = 22;

/// The secret of a client that speaks protocol 3.0 has 4 bytes, of 3.2 it has 32.
const LONG_SECRET: usize = 32;

/// What a client is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activity {
    /// Nothing.
    #[default]
    Idle,
    /// It waits for a server.
    Waiting,
    /// It waits until a replica is fresh enough.
    WaitingForReplica,
    /// It has a server and is in no transaction.
    Active,
    /// It has a server and is in a transaction, and the server waits for it.
    IdleInTransaction,
}

impl Activity {
    /// All activities, each at its [`Activity::index`].
    pub const ALL: [Self; ACTIVITIES] =
        [Self::Idle, Self::Waiting, Self::WaitingForReplica, Self::Active, Self::IdleInTransaction];

    /// The activity's place in [`Activity::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The word that SHOW CLIENTS shows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::WaitingForReplica => "waiting_replica",
            Self::Active => "active",
            Self::IdleInTransaction => "idle_in_transaction",
        }
    }
}

/// What somebody else wants of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Summons {
    /// Nothing.
    #[default]
    None,
    /// A cancel request came while the client waited, for a server or for what that runs.
    Cancel,
    /// The present deadline has passed.
    Deadline,
    /// The process stops.
    Stop,
}

/// Whether a cancel request for the client's server is on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cancelling {
    /// None is.
    #[default]
    No,
    /// The server must not be handed on until this many cancel connections have closed.
    Yes(u32),
    /// One may still arrive, nobody knows when: the server must be closed.
    Unsure,
}

/// One client, as others see it.
#[derive(Debug)]
pub struct Client {
    /// The process id of the key that the client was given.
    pub(crate) process_id: i32,
    pub(crate) secret: Box<[u8]>,
    pub(crate) backend: Arc<Backend>,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) application_name: RefCell<Box<str>>,
    pub(crate) connected: Mono,
    pub(crate) activity: Cell<Activity>,
    /// When the present activity began.
    pub(crate) since: Cell<Mono>,
    /// When the sweeper is to summon the session; [`Mono::MAX`] for never.
    pub(crate) deadline: Cell<Mono>,
    pub(crate) summons: Cell<Summons>,
    pub(crate) cancelling: Cell<Cancelling>,
    /// Who has asked for the cancel that is yet to be seen to.
    pub(crate) cancel_done: RefCell<Option<oneshot::Sender<()>>>,
    /// Dropped when the client is shown what has come of what is being cancelled, or has sent more.
    pub(crate) until_answered: RefCell<Option<oneshot::Sender<()>>>,
    pub(crate) pinned: Cell<&'static str>,
    /// What it replicates, if it is no ordinary session.
    pub(crate) replication: Option<Kind>,
    /// On how many channels it listens by way of the hub.
    pub(crate) channels: Cell<usize>,
    /// What it has named, as far as that was known when it last had no server.
    pub(crate) prepared: Cell<Tally>,
    /// The server that the client has.
    server: Cell<Option<ServerId>>,
    waker: RefCell<Option<Waker>>,
}

impl Client {
    /// Remembers how to wake the session.
    pub(crate) fn know_waker(&self, waker: Waker) {
        *self.waker.borrow_mut() = Some(waker);
    }

    /// Wakes the session to look at its summons.
    pub(crate) fn summon(&self, summons: Summons) {
        self.summons.set(summons);
        self.wake();
    }

    /// Wakes the session.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Notes which server the client has.
    #[inline]
    pub(crate) fn set_server(&self, server: &Server, node: NodeId) {
        self.server.set(Some(ServerId {
            node,
            process_id: server.process_id,
            since: server.since,
        }));
    }

    /// Notes that the client has none.
    #[inline]
    pub(crate) fn clear_server(&self) {
        self.server.set(None);
    }

    /// Whether it neither waits nor has a server.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.activity.get() == Activity::Idle && self.server.get().is_none()
    }

    /// The client as SHOW CLIENTS shows it.
    pub(crate) fn row(&self) -> ClientRow {
        ClientRow {
            process_id: self.process_id,
            backend: Arc::clone(&self.backend),
            address: self.address,
            application_name: self.application_name.borrow().clone(),
            connected: self.connected,
            activity: self.activity.get(),
            since: self.since.get(),
            pinned: self.pinned.get(),
            replication: self.replication,
            channels: self.channels.get(),
            prepared: self.prepared.get(),
            server: self.server.get(),
        }
    }

    /// Notes what the client is doing since `now`.
    #[inline]
    pub(crate) fn set_activity(&self, activity: Activity, now: Mono, deadline: Mono) {
        let before = self.activity.replace(activity);
        if before != activity
            && let Some(presence) = self.presence()
        {
            presence.leave(before.index());
            presence.enter(activity.index());
        }
        self.since.set(now);
        self.deadline.set(deadline);
    }

    /// Where this worker counts.
    #[inline]
    pub(crate) fn traffic(&self) -> Option<&Traffic> {
        let worker = worker_of(self.process_id)?;
        self.backend.traffic.get(usize::from(worker.0))
    }

    /// Where the clients of this worker are counted.
    #[inline]
    fn presence(&self) -> Option<&Presence> {
        self.traffic().map(|traffic| &traffic.presence)
    }
}

/// A server connection as SHOW CLIENTS and SHOW SERVERS name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerId {
    /// The node that it is on.
    pub node: NodeId,
    /// Its process id there; 0 if the server told none.
    pub process_id: i32,
    /// When it was connected.
    pub since: Mono,
}

/// A client as SHOW CLIENTS shows it.
#[derive(Clone, Debug)]
pub struct ClientRow {
    /// The process id of the key that the client was given.
    pub process_id: i32,
    /// Its (database, user).
    pub backend: Arc<Backend>,
    /// Where it connected from; `None` for a Unix-domain socket.
    pub address: Option<SocketAddr>,
    /// Its application_name at log-in.
    pub application_name: Box<str>,
    /// When it connected.
    pub connected: Mono,
    /// What it is doing.
    pub activity: Activity,
    /// Since when.
    pub since: Mono,
    /// Why it keeps its server; empty if it does not.
    pub pinned: &'static str,
    /// What it replicates, if it is no ordinary session.
    pub replication: Option<Kind>,
    /// On how many channels it listens by way of the hub.
    pub channels: usize,
    /// Its prepared statements.
    pub prepared: Tally,
    /// The server that it has.
    pub server: Option<ServerId>,
}

/// The clients of one worker.
#[derive(Debug)]
pub(crate) struct Clients {
    worker: WorkerId,
    slots: RefCell<Slab<Rc<Client>>>,
}

/// What is known of a client when it has logged in.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) backend: Arc<Backend>,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) application_name: Box<str>,
    pub(crate) now: Mono,
    /// Whether the client can take a long cancel key.
    pub(crate) key: KeyLength,
    pub(crate) replication: Option<Kind>,
}

/// How long a client's cancel key may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyLength {
    /// 4 bytes: protocol 3.0.
    Short,
    /// Up to 256 bytes: protocol 3.2.
    Long,
}

impl Clients {
    pub(crate) fn new(worker: WorkerId) -> Self {
        Self { worker, slots: RefCell::default() }
    }

    /// Takes a client in and gives it a key.
    pub(crate) fn admit(&self, arrival: Arrival) -> Rc<Client> {
        let mut secret = [0; LONG_SECRET];
        rand::fill(&mut secret);
        let secret = match arrival.key {
            KeyLength::Short => secret.get(..4).unwrap_or_default(),
            KeyLength::Long => &secret,
        };
        let mut slots = self.slots.borrow_mut();
        let entry = slots.vacant_entry();
        let client = Rc::new(Client {
            process_id: process_id(self.worker, entry.key()),
            secret: secret.into(),
            backend: arrival.backend,
            address: arrival.address,
            application_name: RefCell::new(arrival.application_name),
            connected: arrival.now,
            activity: Cell::default(),
            since: Cell::new(arrival.now),
            deadline: Cell::new(Mono::MAX),
            summons: Cell::default(),
            cancelling: Cell::default(),
            cancel_done: RefCell::default(),
            until_answered: RefCell::default(),
            pinned: Cell::new(""),
            replication: arrival.replication,
            channels: Cell::default(),
            prepared: Cell::default(),
            server: Cell::default(),
            waker: RefCell::default(),
        });
        entry.insert(Rc::clone(&client));
        if let Some(presence) = client.presence() {
            presence.enter(client.activity.get().index());
        }
        client
    }

    /// The client has gone.
    pub(crate) fn dismiss(&self, client: &Client) {
        let mut slots = self.slots.borrow_mut();
        let slot = slot_of(client.process_id);
        if slots.get(slot).is_some_and(|known| std::ptr::eq(&raw const **known, client)) {
            slots.remove(slot);
            if let Some(presence) = client.presence() {
                presence.leave(client.activity.get().index());
            }
        }
    }

    /// The client with this key.
    pub(crate) fn with_key(&self, process_id: i32, secret: &[u8]) -> Option<Rc<Client>> {
        let slots = self.slots.borrow();
        let client = slots.get(slot_of(process_id))?;
        let is_same = client.process_id == process_id && bool::from(client.secret.ct_eq(secret));
        is_same.then(|| Rc::clone(client))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.borrow().len()
    }

    /// Calls `visit` with each. It must not admit or dismiss anybody.
    pub(crate) fn each(&self, mut visit: impl FnMut(&Rc<Client>)) {
        for (_, client) in self.slots.borrow().iter() {
            visit(client);
        }
    }

    /// Summons every client whose deadline has passed.
    pub(crate) fn sweep(&self, now: Mono) {
        self.each(|client| {
            if client.deadline.get() <= now {
                client.deadline.set(Mono::MAX);
                client.summon(Summons::Deadline);
            }
        });
    }
}

/// The process id of the client in `slot` of `worker`: never 0 and never negative.
fn process_id(worker: WorkerId, slot: usize) -> i32 {
    let slot = i32::try_from(slot & ((1 << SLOT_BITS) - 1)).unwrap_or(0);
    ((i32::from(worker.0) + 1) << SLOT_BITS) | slot
}

fn slot_of(process_id: i32) -> usize {
    usize::try_from(process_id & ((1 << SLOT_BITS) - 1)).unwrap_or(0)
}

/// The worker whose client has this process id, if there can be one.
pub fn worker_of(process_id: i32) -> Option<WorkerId> {
    let worker = u16::try_from(process_id >> SLOT_BITS).ok()?;
    worker.checked_sub(1).map(WorkerId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_id_names_worker_and_slot() {
        for (worker, slot) in [(0, 0), (3, 17), (500, (1 << SLOT_BITS) - 1)] {
            let id = process_id(WorkerId(worker), slot);
            assert!(id > 0);
            assert_eq!(worker_of(id), Some(WorkerId(worker)));
            assert_eq!(slot_of(id), slot);
        }
        assert_eq!(worker_of(0), None);
        assert_eq!(worker_of(-1), None);
    }
}
