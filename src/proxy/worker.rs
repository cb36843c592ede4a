//! A worker: a thread with a runtime of its own, on which clients live.

use std::io;
use std::net::TcpStream as StdTcpStream;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::net::Socket;
use crate::pool::WorkerId;
use crate::session::clients;
use crate::session::connect::Opening;
use crate::session::directory::{Directory, Openers};
use crate::session::login::{self, Arrived};
use crate::session::worker::{Urgency, Worker};
use crate::telemetry::WorkerStats;

/// Messages that may wait for a worker.
const INBOX: usize = 4096;

/// How often deadlines are enforced.
const SWEEP_PERIOD: Duration = Duration::from_millis(50);

/// A socket that belongs to no runtime yet.
#[derive(Debug)]
pub(super) enum Fresh {
    /// TCP.
    Tcp(StdTcpStream),
    /// A Unix-domain socket.
    Unix(StdUnixStream),
}

impl Fresh {
    fn register(self) -> io::Result<Socket> {
        Ok(match self {
            Self::Tcp(stream) => Socket::Tcp(TcpStream::from_std(stream)?),
            Self::Unix(stream) => Socket::Unix(UnixStream::from_std(stream)?),
        })
    }
}

/// What a worker is told. None of it is on the way of a statement.
enum Message {
    /// A new connection.
    Accept(Fresh),
    /// Somebody wants something cancelled whose client lives here.
    Cancel { process_id: i32, secret: Vec<u8> },
    /// A pool wants a server connection.
    Open(Opening),
    /// Stop.
    Stop(Urgency),
}

/// Where to reach every worker.
pub(super) struct Inboxes {
    senders: Vec<mpsc::Sender<Message>>,
    turn: AtomicUsize,
}

/// The receiving end of one worker, and what it needs to reach the others.
pub(super) struct Inbox {
    id: WorkerId,
    receiver: mpsc::Receiver<Message>,
    senders: Vec<mpsc::Sender<Message>>,
}

impl Inboxes {
    pub(super) fn new(count: usize) -> (Self, Vec<Inbox>) {
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..count).map(|_| mpsc::channel(INBOX)).unzip();
        let inboxes = receivers
            .into_iter()
            .zip(0..)
            .map(|(receiver, id)| Inbox { id: WorkerId(id), receiver, senders: senders.clone() })
            .collect();
        (Self { senders, turn: AtomicUsize::new(0) }, inboxes)
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
    sender: mpsc::Sender<Message>,
    clients: Arc<AtomicUsize>,
}

impl Outlet {
    /// How many clients the worker has.
    pub(super) fn load(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// Gives the worker a connection; it is dropped if the worker has gone.
    pub(super) async fn give(&self, socket: Fresh) {
        self.clients.fetch_add(1, Ordering::Relaxed);
        if self.sender.send(Message::Accept(socket)).await.is_err() {
            self.clients.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A worker that runs.
#[derive(Debug)]
pub(super) struct Handle {
    sender: mpsc::Sender<Message>,
    clients: Arc<AtomicUsize>,
    stats: Arc<WorkerStats>,
    thread: JoinHandle<()>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message")
    }
}

impl Handle {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub(super) fn spawn(
        inbox: Inbox,
        directory: &Arc<Directory>,
        statement_ids: &Arc<AtomicU64>,
        clock: Clock,
    ) -> io::Result<Self> {
        let clients = Arc::new(AtomicUsize::new(0));
        let stats = Arc::new(WorkerStats::default());
        let sender = inbox.senders.get(usize::from(inbox.id.0)).cloned();
        let sender = sender.ok_or_else(|| io::Error::other("a worker without an inbox"))?;
        let resident = Resident {
            directory: Arc::clone(directory),
            statement_ids: Arc::clone(statement_ids),
            clients: Arc::clone(&clients),
            stats: Arc::clone(&stats),
            clock,
        };
        let thread = std::thread::Builder::new()
            .name(format!("worker-{}", inbox.id.0))
            .spawn(move || resident.live(inbox))?;
        Ok(Self { sender, clients, stats, thread })
    }

    pub(super) fn outlet(&self) -> Outlet {
        Outlet { sender: self.sender.clone(), clients: Arc::clone(&self.clients) }
    }

    pub(super) fn stats(&self) -> &Arc<WorkerStats> {
        &self.stats
    }

    /// Tells the worker to stop.
    pub(super) fn stop(&self, how: Urgency) {
        let _ = self.sender.try_send(Message::Stop(how));
    }

    /// Waits until the thread has ended.
    pub(super) async fn join(self) {
        let Self { thread, sender, .. } = self;
        drop(sender);
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
}

/// What the worker thread starts with.
struct Resident {
    directory: Arc<Directory>,
    statement_ids: Arc<AtomicU64>,
    clients: Arc<AtomicUsize>,
    stats: Arc<WorkerStats>,
    clock: Clock,
}

impl Resident {
    /// The thread's life. A [`tokio::runtime::LocalRuntime`] cannot leave the thread that made it.
    fn live(self, inbox: Inbox) {
        let made = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(tokio::runtime::LocalOptions::default());
        match made {
            Ok(runtime) => runtime.block_on(self.run(inbox)),
            Err(error) => tracing::error!(%error, "cannot make a worker's runtime"),
        }
    }

    async fn run(self, inbox: Inbox) {
        let Inbox { id, mut receiver, senders } = inbox;
        let worker = Worker::new(id, self.clock, self.statement_ids, self.stats);
        let guests = Rc::new(Guests {
            worker: Rc::clone(&worker),
            directory: self.directory,
            clients: self.clients,
            senders,
        });
        let sweeper = tokio::task::spawn_local(sweep(Rc::clone(&worker)));
        while let Some(message) = receiver.recv().await {
            match message {
                Message::Accept(socket) => guests.accept(socket),
                Message::Cancel { process_id, secret } => {
                    crate::session::cancel::request(&worker, process_id, &secret);
                }
                Message::Open(opening) => {
                    let clock = self.clock;
                    tokio::task::spawn_local(opening.run(id, clock));
                }
                Message::Stop(how) => {
                    worker.stop(how);
                    if how == Urgency::Immediate {
                        break;
                    }
                }
            }
            if worker.is_done() {
                break;
            }
        }
        sweeper.abort();
        // Those who were told to go have their message in the socket; what they leave behind is cleaned up.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn sweep(worker: Rc<Worker>) {
    let mut ticks = tokio::time::interval(SWEEP_PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        worker.sweep();
    }
}

/// What serves those who connect.
struct Guests {
    worker: Rc<Worker>,
    directory: Arc<Directory>,
    clients: Arc<AtomicUsize>,
    senders: Vec<mpsc::Sender<Message>>,
}

impl Guests {
    fn accept(self: &Rc<Self>, socket: Fresh) {
        let guests = Rc::clone(self);
        tokio::task::spawn_local(async move {
            match socket.register() {
                Ok(socket) => guests.serve(socket).await,
                Err(error) => tracing::warn!(%error, "cannot register a connection"),
            }
            guests.clients.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// The future of a client that is logged in is small: what only the log-in needs is boxed and dropped.
    async fn serve(&self, socket: Socket) {
        let arrived = Box::pin(login::receive(&self.worker, &self.directory, socket)).await;
        match arrived {
            Arrived::Client(newcomer) => newcomer.serve().await,
            Arrived::Cancel { process_id, secret } => {
                let home = clients::worker_of(process_id);
                if let Some(sender) = home.and_then(|home| self.senders.get(usize::from(home.0))) {
                    let _ = sender.send(Message::Cancel { process_id, secret }).await;
                }
            }
            Arrived::Admin(operator) => drop(operator),
            Arrived::Nobody => {}
        }
    }
}
