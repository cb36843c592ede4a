//! A worker: a thread with a reactor of its own, on which clients live.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};

use crate::admin;
use crate::net::{Plain, Socket};
use crate::proxy::acceptor::Acceptor;
use crate::proxy::desk::Desk;
use crate::proxy::inbox::{Inbox, Message, Outlet};
use crate::reactor::Reactor;
use crate::session::clients;
use crate::session::login::{self, Arrived, Operator};
use crate::session::worker::{Urgency, Worker};

/// How often deadlines are enforced.
const SWEEP_PERIOD: Duration = Duration::from_millis(50);

/// A worker that runs.
#[derive(Debug)]
pub(super) struct Handle {
    sender: mpsc::Sender<Message>,
    clients: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Handle {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub(super) fn spawn(
        inbox: Inbox,
        desk: &Arc<Desk>,
        statement_ids: &Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let clients = Arc::new(AtomicUsize::new(0));
        let sender = inbox.sender.clone();
        let resident = Resident {
            desk: Arc::clone(desk),
            statement_ids: Arc::clone(statement_ids),
            clients: Arc::clone(&clients),
        };
        let control = tokio::runtime::Handle::current();
        let thread = std::thread::Builder::new()
            .name(format!("worker-{}", inbox.id.0))
            .spawn(move || resident.live(inbox, &control))?;
        Ok(Self { sender, clients, thread })
    }

    pub(super) fn outlet(&self) -> Outlet {
        Outlet { sender: self.sender.clone(), clients: Arc::clone(&self.clients) }
    }

    /// Has the worker accept connections, for all workers.
    pub(super) fn accept(&self, acceptor: Acceptor) {
        let _ = self.sender.try_send(Message::Listen(acceptor));
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
    desk: Arc<Desk>,
    statement_ids: Arc<AtomicU64>,
    clients: Arc<AtomicUsize>,
}

impl Resident {
    /// The thread's life. A reactor cannot leave the thread that made it.
    fn live(self, inbox: Inbox, control: &tokio::runtime::Handle) {
        // Timers, names and connecting are tokio's, on the control thread.
        let _entered = control.enter();
        match Reactor::new() {
            Ok(reactor) => {
                let worker = self.worker(&inbox, &reactor);
                let swept = Rc::clone(&worker);
                // When the worker stops, clients have their last message in the socket; what they leave behind has one
                // period to be cleaned up.
                reactor.run(self.run(inbox, worker), SWEEP_PERIOD, move || swept.sweep());
            }
            Err(error) => tracing::error!(%error, "cannot make a worker's reactor"),
        }
    }

    fn worker(&self, inbox: &Inbox, reactor: &Rc<Reactor>) -> Rc<Worker> {
        let clock = self.desk.clock();
        let cache = self.desk.directory().config().limits.statement_cache;
        let (ids, stats) = (Arc::clone(&self.statement_ids), Arc::clone(&inbox.stats));
        Worker::new(inbox.id, clock, ids, stats, (cache, Rc::clone(reactor)))
    }

    async fn run(self, mut inbox: Inbox, worker: Rc<Worker>) {
        let guests = Rc::new(Guests {
            worker: Rc::clone(&worker),
            desk: self.desk,
            clients: self.clients,
            emptied: Notify::new(),
        });
        loop {
            let message = tokio::select! {
                message = inbox.receiver.recv() => message,
                // The last client has gone while the worker stops: nobody will send anything more.
                () = guests.emptied.notified() => None,
            };
            match message {
                Some(Message::Listen(acceptor)) => {
                    worker.spawn(acceptor.run(Arc::clone(worker.home())));
                }
                Some(Message::Accept(socket)) => guests.accept(socket),
                Some(Message::Cancel { process_id, secret, done }) => {
                    crate::session::cancel::request(&worker, process_id, &secret, done);
                }
                Some(Message::Clients(answer)) => {
                    let _ = answer.send(worker.client_rows());
                }
                Some(Message::Rally(cluster)) => worker.rally(&cluster),
                Some(Message::Open(opening)) => {
                    let here = Rc::clone(&worker);
                    worker.spawn(async move { opening.run(&here).await });
                }
                Some(Message::Stop(how)) => {
                    worker.stop(how);
                    if how == Urgency::Immediate {
                        break;
                    }
                }
                None => break,
            }
            if worker.is_done() {
                break;
            }
        }
    }
}

/// What serves those who connect.
struct Guests {
    worker: Rc<Worker>,
    desk: Arc<Desk>,
    clients: Arc<AtomicUsize>,
    /// Told when the worker stops and its last client has gone.
    emptied: Notify,
}

impl Guests {
    fn accept(self: &Rc<Self>, socket: Plain) {
        let visit = Visit(Rc::clone(self));
        self.worker.spawn(async move {
            match Socket::near(socket, visit.0.worker.home()) {
                Ok(socket) => visit.receive(socket).await,
                Err(error) => tracing::warn!(%error, "cannot register a connection"),
            }
        });
    }
}

/// One connection, from when it was accepted to its end.
struct Visit(Rc<Guests>);

impl Visit {
    /// Finds out who it is. Who has logged in as a client gets a task that has room for nothing else.
    async fn receive(self, socket: Socket) {
        let Guests { worker, desk, .. } = &*self.0;
        match login::receive(worker, desk.directory(), socket).await {
            Arrived::Client(newcomer) => {
                let worker = Rc::clone(worker);
                worker.spawn(async move {
                    newcomer.serve().await;
                    drop(self);
                });
            }
            Arrived::Cancel { process_id, secret, stream } => {
                if let Some(home) = clients::worker_of(process_id) {
                    let (done, is_done) = oneshot::channel();
                    let message = Message::Cancel { process_id, secret, done };
                    desk.inboxes().tell(home, message).await;
                    // The end of this connection tells the client that nothing later can be hit.
                    let _ = is_done.await;
                    drop(stream);
                }
            }
            Arrived::Admin(operator) => {
                let Operator { stream, user, buffer } = operator;
                admin::serve(stream, user, buffer, &**desk).await;
            }
            Arrived::Replication(client) => client.serve().await,
            Arrived::Nobody => {}
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let Guests { worker, clients, emptied, .. } = &*self.0;
        clients.fetch_sub(1, Ordering::Relaxed);
        if worker.is_done() {
            emptied.notify_one();
        }
    }
}
