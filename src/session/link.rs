//! A server connection as the pool holds it: the server, and what is on its way to and from it.
//!
//! All that a session needs only while it has a server lives here, so that an idle client costs nothing for it
//! and attaching allocates nothing.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll};

use crate::clock::Mono;
use crate::net::buffer::{Backlog, Recycler};
use crate::net::{Socket, Stream};
use crate::pool::{Pooled, WorkerId};
use crate::protocol::Version;
use crate::route::Reason;
use crate::server::{ConnectError, Login, Server};
use crate::session::machine::{Machine, OnBackend};
use crate::session::pins::Stains;
use crate::session::sequences::Use;

/// A pooled server connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) server: Server,
    pub(crate) machine: Machine,
    /// What the server has not taken yet.
    pub(crate) to_server: Backlog,
    /// An incomplete frame from the server.
    pub(crate) partial: Vec<u8>,
    /// The rest of a frame that passes without being looked at, each way.
    pub(crate) passing: Passing,
    pub(crate) gate: Gate,
    /// Why the session that has the server got it.
    pub(crate) reason: Reason,
    /// The fingerprint of the statement that was sent last.
    pub(crate) fingerprint: u64,
    /// What clients have left on the server that must be undone before another gets it.
    pub(crate) stains: Stains,
    /// What its `currval` and `lastval` come from.
    pub(crate) sequences: Use,
    /// The error of what we have sent to make the client's next statement possible: the client gets it in the place of
    /// the one that follows from it.
    pub(crate) excuse: Option<Box<[u8]>>,
    /// What has been appended to Queries that are not answered.
    pub(crate) tails: VecDeque<Tail>,
    /// Parameters that the client has set to values which only the server knows.
    pub(crate) unseen: Vec<Box<str>>,
}

/// Statements of ours at the end of a client's text, of which it is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// The number of the Query.
    pub(crate) request: u64,
    /// How many statements of the client's come before them, and have not been completed.
    pub(crate) left: usize,
}

/// Whether the client's statements may follow settings of ours in the same packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// They may: whatever becomes of the settings.
    Open,
    /// The settings change who the session is, or a statement may have other columns than the client knows: nothing may
    /// run before the server has agreed.
    Shut,
}

/// The rests of frames in transit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Passing {
    /// Bytes of the client's frame that are still to be passed to the server.
    pub(crate) to_server: usize,
    /// Bytes of the server's frame that are still to come.
    pub(crate) from_server: usize,
    /// What becomes of those.
    pub(crate) shown: OnBackend,
}

impl Link {
    pub(crate) fn new(server: Server) -> Box<Self> {
        Box::new(Self {
            server,
            machine: Machine::default(),
            to_server: Backlog::default(),
            partial: Vec::new(),
            passing: Passing::default(),
            gate: Gate::Open,
            reason: Reason::Trivial,
            fingerprint: 0,
            stains: Stains::default(),
            sequences: Use::NONE,
            excuse: None,
            tails: VecDeque::new(),
            unseen: Vec::new(),
        })
    }

    /// Stands for a server that a client opens itself, in the place that it has waited for. Anybody else finds it dead.
    pub(crate) fn vacant(home: WorkerId) -> Box<Self> {
        let login = Login {
            stream: Stream::Plain(Socket::Lost),
            parameters: Vec::new(),
            version: Version::V3_0,
            process_id: 0,
            canceler: None,
        };
        Self::new(Server::new(login, home.0, Mono::ZERO, Mono::MAX))
    }

    /// Sends `bytes` after what waits already, as far as the server takes it.
    #[inline]
    pub(crate) fn send(
        &mut self,
        bytes: &[u8],
        recycler: &RefCell<Recycler>,
        cx: &mut Context<'_>,
    ) -> io::Result<()> {
        let recycler = &mut *recycler.borrow_mut();
        self.to_server.send(&mut self.server.stream, cx, recycler, bytes)?;
        if self.to_server.is_empty() {
            return Ok(());
        }
        match self.to_server.poll_send(&mut self.server.stream, cx, recycler) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Ok(()),
        }
    }

    /// Keeps the beginning of a frame from the server.
    #[inline]
    pub(crate) fn keep(&mut self, bytes: &[u8], recycler: &mut Recycler) {
        if bytes.is_empty() {
            return;
        }
        if self.partial.capacity() == 0 {
            self.partial = recycler.take();
        }
        self.partial.extend_from_slice(bytes);
    }

    /// Says goodbye to the server, as far as that works without waiting.
    pub(crate) fn terminate(&mut self) {
        let mut goodbye = Vec::new();
        crate::protocol::frontend::terminate(&mut goodbye);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let _ = self.server.stream.poll_write(&mut cx, &goodbye);
        let _ = self.server.stream.poll_flush(&mut cx);
        self.server.stream.close();
    }

    /// Whether the server is where any client could take it over: nothing owed, nothing in transit.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.machine.is_settled() && self.is_still()
    }

    /// Whether the client has been shown the beginning of a message whose rest has not come.
    pub(crate) fn is_showing(&self) -> bool {
        self.passing.from_server > 0 && self.passing.shown == OnBackend::Forward
    }

    /// Whether no byte is on its way, and no message half sent.
    #[inline]
    pub(crate) fn is_still(&self) -> bool {
        self.passing.to_server == 0
            && self.passing.from_server == 0
            && self.partial.is_empty()
            && self.to_server.is_empty()
    }
}

impl Pooled for Box<Link> {
    type Error = ConnectError;

    fn home(&self) -> WorkerId {
        WorkerId(self.server.home)
    }

    fn retire_at(&self) -> Mono {
        self.server.retire_at
    }
}
