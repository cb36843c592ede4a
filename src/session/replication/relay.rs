//! A client and its walsender, once they have met: messages pass in both directions until one of them ends it.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Walsender;
use super::framing::Framing;
use crate::clock::Mono;
use crate::net::Stream;
use crate::net::buffer::Backlog;
use crate::protocol::backend::{backend_key_data, ready_for_query};
use crate::protocol::error_response::Severity;
use crate::protocol::{BackendTag, FrameError, FrontendTag, TransactionStatus};
use crate::session::backend::Standing;
use crate::session::cancel;
use crate::session::clients::{Activity, Client, Summons};
use crate::session::directory::Seat;
use crate::session::pins::Pins;
use crate::session::respond::{FAREWELL, Trouble};
use crate::session::worker::{Stopping, Worker};

/// Reads per wake-up in each direction.
const TURNS: usize = 16;

/// A client with a walsender of its own.
#[derive(Debug)]
pub struct Replication {
    worker: Rc<Worker>,
    client: Rc<Client>,
    stream: Stream,
    /// What the client has sent before it was let in.
    input: Vec<u8>,
    to_client: Backlog,
    walsender: Walsender,
    /// Where the client's messages are.
    requests: Framing,
    /// Where the server's are.
    replies: Framing,
    /// How many ReadyForQuery the server owes. Neither side need ever say anything while it owes one.
    owed: u64,
    /// Given back when the client has gone.
    _seat: Seat,
}

/// How it ends.
#[derive(Debug)]
enum Ended {
    /// The client has gone, or what it sends is no protocol.
    Client,
    /// The server has gone. What it had to say the client has been sent.
    Server,
    /// The client has been told why.
    Dismissed,
}

/// Whether a step has changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moved {
    No,
    Yes,
}

impl Replication {
    /// A client that is let in. `greeting` is the beginning of what it is told, `input` what it has sent already.
    pub(in crate::session) fn new(
        worker: &Rc<Worker>,
        client: Rc<Client>,
        (stream, input): (Stream, Vec<u8>),
        (walsender, mut greeting): (Walsender, Vec<u8>),
        seat: Seat,
    ) -> Box<Self> {
        backend_key_data(&mut greeting, client.process_id, &client.secret);
        ready_for_query(&mut greeting, TransactionStatus::Idle);
        let mut to_client = Backlog::default();
        to_client.queue(&mut worker.recycler.borrow_mut()).extend_from_slice(&greeting);
        client.set_server(&walsender.lease.server, walsender.node);
        client.backend.cluster.begin(walsender.node, worker.lane());
        let replication = Box::new(Self {
            worker: Rc::clone(worker),
            client,
            stream,
            input,
            to_client,
            walsender,
            requests: Framing::default(),
            replies: Framing::default(),
            owed: 0,
            _seat: seat,
        });
        replication.client.show_pin(Pins::REPLICATION.reason());
        replication.become_idle();
        replication
    }

    /// Serves the client until it leaves.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the client and its server.
    pub async fn serve(mut self: Box<Self>) {
        self.client.know_waker(std::future::poll_fn(|cx| Poll::Ready(cx.waker().clone())).await);
        let ended = std::future::poll_fn(|cx| self.poll(cx)).await;
        tracing::debug!(
            process_id = self.client.process_id,
            ?ended,
            "a replication connection ends"
        );
        // What the one who has gone has said the other is still given time to take.
        let farewell = std::future::poll_fn(|cx| match ended {
            Ended::Client => self.poll_send_to_server(cx),
            Ended::Server | Ended::Dismissed => self.poll_send_to_client(cx),
        });
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
        self.client.backend.cluster.end(self.walsender.node, self.worker.lane());
        self.client.clear_server();
        // Without Terminate: the client may have left amid a message.
        self.walsender.lease.server.stream.close();
        self.stream.close();
        self.worker.clients.dismiss(&self.client);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if let Some(trouble) = self.heed() {
            return Poll::Ready(self.dismiss(&trouble));
        }
        if !self.input.is_empty() {
            let input = std::mem::take(&mut self.input);
            if let Err(ended) = self.take_requests(&input, cx) {
                return Poll::Ready(ended);
            }
        }
        for _ in 0..TURNS {
            match self.turn(cx) {
                Ok(Moved::Yes) => {}
                Ok(Moved::No) => return Poll::Pending,
                Err(ended) => return Poll::Ready(ended),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// What others ask of it. Nothing but an end that was asked for cuts off what goes on.
    fn heed(&mut self) -> Option<Trouble> {
        let backend = &self.client.backend;
        if backend.cluster.term() != self.walsender.term {
            return Some(Trouble::PrimaryReplaced);
        }
        if matches!(backend.standing(), Standing::Removed) {
            return Some(Trouble::Removed);
        }
        match (self.client.summons.replace(Summons::None), self.worker.stopping.get()) {
            (_, Stopping::Now) => return Some(Trouble::Shutdown),
            (_, Stopping::Gently) if self.is_idle() => return Some(Trouble::Shutdown),
            (Summons::Deadline, _) if self.is_idle() => {
                let limit = backend.policy().timeouts.client_idle_timeout;
                return Some(Trouble::ClientIdleTimeout(limit.unwrap_or_default()));
            }
            (Summons::Cancel, _) if self.owed > 0 => {
                let canceler = self.walsender.lease.server.canceler.as_ref();
                cancel::pass_on(&self.worker, &self.client, canceler, Duration::ZERO);
            }
            _ => {}
        }
        None
    }

    /// Passes on what there is, once in each direction.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<Moved, Ended> {
        let mut moved = Moved::No;
        if self.poll_send_to_client(cx).map_err(|_| Ended::Client)?.is_ready()
            && self.read_server(cx)? == Moved::Yes
        {
            moved = Moved::Yes;
        }
        // What is wrong with the server shows when it is read.
        if matches!(self.poll_send_to_server(cx), Poll::Ready(Ok(())))
            && self.read_client(cx)? == Moved::Yes
        {
            moved = Moved::Yes;
        }
        Ok(moved)
    }

    fn read_server(&mut self, cx: &mut Context<'_>) -> Result<Moved, Ended> {
        let worker = Rc::clone(&self.worker);
        let scratch = &mut *worker.scratch.borrow_mut();
        let server = &mut self.walsender.lease.server.stream;
        let count = match server.poll_read(cx, &mut scratch.read) {
            Poll::Pending => return Ok(Moved::No),
            Poll::Ready(Ok(0) | Err(_)) => return Err(Ended::Server),
            Poll::Ready(Ok(count)) => count,
        };
        let bytes = scratch.read.get(..count).unwrap_or_default();
        let mut ready = 0;
        let count_ready = |tag| ready += u64::from(BackendTag(tag) == BackendTag::READY_FOR_QUERY);
        if let Err(violation) = self.replies.pass(bytes, count_ready) {
            tracing::warn!(%violation, "closing a replication connection");
            return Err(Ended::Server);
        }
        self.client.backend.count_sent(worker.id, count);
        let recycler = &mut *worker.recycler.borrow_mut();
        self.to_client.send(&mut self.stream, cx, recycler, bytes).map_err(|_| Ended::Client)?;
        self.owed = self.owed.saturating_sub(ready);
        if self.is_idle() && self.client.activity.get() != Activity::Idle {
            self.become_idle();
        }
        Ok(Moved::Yes)
    }

    fn read_client(&mut self, cx: &mut Context<'_>) -> Result<Moved, Ended> {
        let worker = Rc::clone(&self.worker);
        let scratch = &mut *worker.scratch.borrow_mut();
        let count = match self.stream.poll_read(cx, &mut scratch.read) {
            Poll::Pending => return Ok(Moved::No),
            Poll::Ready(Ok(0) | Err(_)) => return Err(Ended::Client),
            Poll::Ready(Ok(count)) => count,
        };
        self.take_requests(scratch.read.get(..count).unwrap_or_default(), cx)?;
        Ok(Moved::Yes)
    }

    /// Passes on what the client has sent.
    fn take_requests(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Result<(), Ended> {
        let is_protocol = self.count_requests(bytes);
        // What the server has to say about a failure comes by reading.
        let _ = self.walsender.lease.send(bytes, &self.worker.recycler, cx);
        is_protocol.map_err(|violation| self.dismiss(&Trouble::Protocol(violation.to_string())))
    }

    /// Notes what the client asks for.
    fn count_requests(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        let mut asked = 0;
        let passed = self.requests.pass(bytes, |tag| {
            let answered = [FrontendTag::QUERY, FrontendTag::SYNC, FrontendTag::FUNCTION_CALL];
            asked += u64::from(answered.contains(&FrontendTag(tag)));
        });
        if let Some(traffic) = self.client.backend.traffic.get(self.worker.lane()) {
            traffic.received.add(u64::try_from(bytes.len()).unwrap_or(0));
            if let Some(route) = Pins::REPLICATION.route()
                && let Some(counter) = traffic.routes.get(route.index())
            {
                counter.add(asked);
            }
        }
        if asked > 0 && self.owed == 0 {
            self.client.set_activity(Activity::Active, self.worker.now(), Mono::MAX);
        }
        self.owed += asked;
        passed
    }

    /// Whether the server waits for a command, and the client knows it.
    const fn is_idle(&self) -> bool {
        self.owed == 0 && self.replies.is_between()
    }

    /// It does from now on.
    fn become_idle(&self) {
        cancel::forget(&self.client);
        let now = self.worker.now();
        let limit = self.client.backend.policy().timeouts.client_idle_timeout;
        let deadline = limit.map_or(Mono::MAX, |limit| now.plus(limit));
        self.client.set_activity(Activity::Idle, now, deadline);
        if self.worker.stopping.get() != Stopping::No {
            // It was let finish; now it is its turn to go.
            self.client.summon(Summons::Stop);
        }
    }

    /// Tells the client why it must go, unless it would take that for the rest of a message.
    fn dismiss(&mut self, trouble: &Trouble) -> Ended {
        if self.replies.is_between() {
            let queue = &mut self.worker.recycler.borrow_mut();
            trouble.encode(Severity::Fatal, self.to_client.queue(queue));
        }
        Ended::Dismissed
    }

    fn poll_send_to_client(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.to_client.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let recycler = &mut *self.worker.recycler.borrow_mut();
        self.to_client.poll_send(&mut self.stream, cx, recycler)
    }

    fn poll_send_to_server(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let link = &mut *self.walsender.lease;
        if link.to_server.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let recycler = &mut *self.worker.recycler.borrow_mut();
        link.to_server.poll_send(&mut link.server.stream, cx, recycler)
    }
}
