//! How threads reach a worker. None of it is on the way of a statement.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::cluster::Cluster;
use crate::net::Plain;
use crate::pool::WorkerId;
use crate::proxy::acceptor::Acceptor;
use crate::session::clients::ClientRow;
use crate::session::connect::Opening;
use crate::session::directory::Openers;
use crate::session::worker::Urgency;
use crate::telemetry::WorkerStats;

/// Messages that may wait for a worker.
const INBOX: usize = 4096;

/// What a worker is told.
pub(super) enum Message {
    /// Connections are to be accepted here.
    Listen(Acceptor),
    /// A new connection.
    Accept(Plain),
    /// Somebody wants something cancelled whose client lives here. Who asks waits until `done` is dropped.
    Cancel { process_id: i32, secret: Vec<u8>, done: oneshot::Sender<()> },
    /// Somebody wants to see the clients.
    Clients(oneshot::Sender<Vec<ClientRow>>),
    /// A cluster has another primary, or has one again.
    Rally(Arc<Cluster>),
    /// A pool wants a server connection.
    Open(Opening),
    /// Stop.
    Stop(Urgency),
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message")
    }
}

/// Where to reach every worker, and what each has counted.
#[derive(Debug)]
pub(super) struct Inboxes {
    senders: Vec<mpsc::Sender<Message>>,
    stats: Vec<Arc<WorkerStats>>,
    turn: AtomicUsize,
}

/// The receiving end of one worker.
pub(super) struct Inbox {
    pub(super) id: WorkerId,
    pub(super) receiver: mpsc::Receiver<Message>,
    pub(super) sender: mpsc::Sender<Message>,
    pub(super) stats: Arc<WorkerStats>,
}

impl Inboxes {
    pub(super) fn new(count: usize) -> (Self, Vec<Inbox>) {
        let (mut senders, mut stats, mut inboxes) = (Vec::new(), Vec::new(), Vec::new());
        for id in (0..).take(count) {
            let (sender, receiver) = mpsc::channel(INBOX);
            let counted = Arc::new(WorkerStats::default());
            senders.push(sender.clone());
            stats.push(Arc::clone(&counted));
            inboxes.push(Inbox { id: WorkerId(id), receiver, sender, stats: counted });
        }
        (Self { senders, stats, turn: AtomicUsize::new(0) }, inboxes)
    }

    /// What each worker has counted.
    pub(super) fn stats(&self) -> &[Arc<WorkerStats>] {
        &self.stats
    }

    /// Tells a worker something; nothing happens if there is no such worker.
    pub(super) async fn tell(&self, worker: WorkerId, message: Message) {
        if let Some(sender) = self.senders.get(usize::from(worker.0)) {
            let _ = sender.send(message).await;
        }
    }

    /// Tells all workers that `cluster` has another primary, or has one again. To be called on a runtime.
    pub(super) fn rally(&self, cluster: &Arc<Cluster>) {
        for sender in &self.senders {
            let message = Message::Rally(Arc::clone(cluster));
            if let Err(TrySendError::Full(message)) = sender.try_send(message) {
                let sender = sender.clone();
                tokio::spawn(async move {
                    let _ = sender.send(message).await;
                });
            }
        }
    }

    /// The clients of all workers; each is asked, and a worker that stops has none.
    pub(super) async fn clients(&self) -> Vec<ClientRow> {
        let mut answers = Vec::with_capacity(self.senders.len());
        for sender in &self.senders {
            let (answer, row) = oneshot::channel();
            if sender.send(Message::Clients(answer)).await.is_ok() {
                answers.push(row);
            }
        }
        let mut clients = Vec::new();
        for answer in answers {
            clients.extend(answer.await.unwrap_or_default());
        }
        clients
    }
}

impl Openers for Inboxes {
    fn open(&self, worker: Option<WorkerId>, opening: Opening) {
        let index = worker.map_or_else(
            || self.turn.fetch_add(1, Ordering::Relaxed) % self.senders.len().max(1),
            |worker| usize::from(worker.0),
        );
        if let Some(sender) = self.senders.get(index) {
            // A full inbox drops the permit; the pool asks again at its next tick.
            let _ = sender.try_send(Message::Open(opening));
        }
    }
}

/// The way to give a worker new connections.
#[derive(Clone)]
pub(super) struct Outlet {
    pub(super) sender: mpsc::Sender<Message>,
    pub(super) clients: Arc<AtomicUsize>,
}

impl Outlet {
    /// How many clients the worker has.
    pub(super) fn load(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// Gives the worker a connection; it is dropped if the worker has gone.
    pub(super) async fn give(&self, socket: Plain) {
        self.clients.fetch_add(1, Ordering::Relaxed);
        if self.sender.send(Message::Accept(socket)).await.is_err() {
            self.clients.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
