//! The poll function that drives a session: one task, two sockets.
//!
//! The contract (a reviewer may refuse a change by number):
//!
//! 1. A readable socket is read into the worker's scratch buffer, and the bytes leave from where they lie.
//! 2. Bodies are looked at only where the machine or the session needs them; the rest is skipped by length.
//! 3. One write per pass and direction, when there is nothing more to read; never one per message.
//! 4. At most [`TURNS`] reads per wake-up, then others have their turn.
//! 5. The server is given back as soon as ReadyForQuery has been read, also if the client is slow.
//! 6. One look at the clock per wake-up; no timer is armed: the worker's sweeper enforces deadlines.
//! 7. A steady-state transaction allocates nothing, formats nothing and logs nothing.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::clock::Mono;
use crate::net::buffer::SCRATCH_LEN;
use crate::route::Patience;
use crate::session::acquire::Moved;
use crate::session::clients::Summons;
use crate::session::{Ended, Hold, Pending, Phase, Presence, Session};

/// Reads per wake-up.
const TURNS: usize = 16;

impl Session {
    /// Runs the session until it ends.
    ///
    /// # Cancel safety
    ///
    /// Dropped with the session; its server, if it has one, is closed.
    pub(crate) async fn run(&mut self) {
        // Its idle time counts from the log-in on.
        self.become_idle(self.worker.now());
        // The task's waker stays the same.
        self.client.know_waker(std::future::poll_fn(|cx| Poll::Ready(cx.waker().clone())).await);
        let ended = std::future::poll_fn(|cx| self.poll(cx)).await;
        self.finish(&ended).await;
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let now = self.worker.now();
        if self.client.backend.cluster.version() != self.version {
            self.adopt_policy();
            if let Err(ended) = self.heed_primary(cx) {
                return Poll::Ready(ended);
            }
        }
        for _ in 0..TURNS {
            match self.turn(cx, now) {
                Ok(Moved::Yes) if !self.waits() => {}
                Ok(_) => return Poll::Pending,
                Err(ended) => return Poll::Ready(ended),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether nothing can be done before an event: the server has something to answer, and both sockets are known to be
    /// dry. It is what comes of most turns, and costs less than another one.
    #[inline]
    fn waits(&self) -> bool {
        let Phase::Attached(attached) = &self.phase else { return false };
        let link = &*attached.lease;
        !link.machine.owes_nothing()
            && link.to_server.is_empty()
            && self.to_client.is_empty()
            && self.hold == Hold::Nothing
            && self.pending == Pending::More
            && self.presence == Presence::Here
            && self.listening.is_none()
            && self.client.summons.get() == Summons::None
            && self.stream.waits()
            && link.server.stream.waits()
    }

    /// Does what can be done once. The order matters: what frees a server comes before what needs one.
    pub(super) fn turn(&mut self, cx: &mut Context<'_>, now: Mono) -> Result<Moved, Ended> {
        let mut moved = self.obey(cx, now)?;
        if !self.to_client.is_empty() {
            self.push_to_client(cx)?;
        }
        match self.phase {
            Phase::Attached(_) if self.presence == Presence::Leaving && self.input.is_empty() => {
                return self.see_off(cx, now);
            }
            Phase::Attached(_) => {
                let read = self.read_server(cx, now)?;
                // Without a server what is left to do comes from the client, who is read next.
                if !matches!(self.phase, Phase::Detached) || !self.to_client.is_empty() {
                    moved = moved.or(read);
                }
            }
            Phase::Waiting(..) => match self.poll_waiting(cx, now) {
                Ok(Moved::Yes) => {
                    self.pending = Pending::Look;
                    moved = Moved::Yes;
                }
                Ok(Moved::No) => {}
                Err(trouble) => {
                    self.refuse(&trouble, cx, now)?;
                    moved = Moved::Yes;
                }
            },
            Phase::WaitingPrimary => moved = moved.or(self.poll_primary()),
            Phase::WaitingShare(_) => moved = moved.or(self.poll_share(cx)),
            Phase::WaitingFresh(ref key) => {
                if let Poll::Ready(waited) = key.poll_fresh(cx) {
                    self.phase = Phase::Detached;
                    self.patience = match waited {
                        crate::cluster::Waited::Fresh => Patience::Left,
                        crate::cluster::Waited::Expired => Patience::Spent,
                    };
                    self.pending = Pending::Look;
                    moved = Moved::Yes;
                }
            }
            Phase::Detached => {}
        }
        if self.listening.is_some() {
            moved = moved.or(self.listen(cx)?);
        }
        Ok(moved.or(self.read_client(cx, now)?))
    }

    /// The client has said goodbye: what it has asked for is finished, and then its session ends. A server that
    /// waits for a Sync or for CopyData would wait for ever.
    fn see_off(&mut self, cx: &mut Context<'_>, now: Mono) -> Result<Moved, Ended> {
        let moved = self.read_server(cx, now)?;
        match &self.phase {
            Phase::Attached(attached)
                if !attached.lease.machine.owes_nothing()
                    && attached.lease.machine.at_boundary() =>
            {
                Ok(moved)
            }
            _ => Err(Ended::Client),
        }
    }

    /// Reads from the client, or looks again at what is there.
    pub(super) fn read_client(&mut self, cx: &mut Context<'_>, now: Mono) -> Result<Moved, Ended> {
        if self.hold == Hold::Ready {
            return Ok(Moved::No);
        }
        if self.pending == Pending::Look {
            self.pending = Pending::More;
            let input = std::mem::take(&mut self.input);
            let consumed = self.take(&input, cx, now)?;
            self.restore(input, consumed);
            return Ok(Moved::Yes);
        }
        if !self.wants_input() {
            return Ok(Moved::No);
        }
        if self.input.is_empty() { self.read_fresh(cx, now) } else { self.read_more(cx, now) }
    }

    /// Whether more of what the client sends is of use now.
    pub(super) fn wants_input(&self) -> bool {
        match &self.phase {
            _ if self.presence == Presence::Leaving => false,
            Phase::Detached => self.to_client.waiting() == 0,
            // So that a client that leaves or cancels is noticed; what comes is kept, within bounds.
            Phase::Waiting(..)
            | Phase::WaitingPrimary
            | Phase::WaitingFresh(_)
            | Phase::WaitingShare(_) => self.input.len() < SCRATCH_LEN,
            Phase::Attached(attached) => {
                attached.lease.to_server.is_empty()
                    && (self.hold == Hold::Nothing || self.input.len() < SCRATCH_LEN)
            }
        }
    }

    /// The usual case: nothing is left over, the bytes are processed where they were read.
    pub(super) fn read_fresh(&mut self, cx: &mut Context<'_>, now: Mono) -> Result<Moved, Ended> {
        if self.stream.waits() {
            return Ok(Moved::No);
        }
        let worker = Rc::clone(&self.worker);
        let mut scratch = worker.scratch.borrow_mut();
        let scratch = &mut *scratch;
        let count = match self.stream.poll_read(cx, &mut scratch.read) {
            Poll::Pending => return Ok(Moved::No),
            Poll::Ready(Ok(count)) => count,
            Poll::Ready(Err(error)) => return Err(Ended::ClientSocket(error)),
        };
        if count == 0 {
            return Err(Ended::Client);
        }
        self.count_received(count);
        let bytes = scratch.read.get(..count).unwrap_or_default();
        let consumed = self.take_with(bytes, &mut scratch.write, cx, now)?;
        self.keep(bytes.get(consumed..).unwrap_or_default());
        Ok(Moved::Yes)
    }

    /// An incomplete frame is there, or a batch that waits: what comes is put behind it.
    pub(super) fn read_more(&mut self, cx: &mut Context<'_>, now: Mono) -> Result<Moved, Ended> {
        let worker = Rc::clone(&self.worker);
        {
            let mut scratch = worker.scratch.borrow_mut();
            let count = match self.stream.poll_read(cx, &mut scratch.read) {
                Poll::Pending => return Ok(Moved::No),
                Poll::Ready(Ok(0)) if self.has_said_goodbye() => {
                    self.presence = Presence::Leaving;
                    return Ok(Moved::No);
                }
                Poll::Ready(Ok(0)) => return Err(Ended::Client),
                Poll::Ready(Ok(count)) => count,
                Poll::Ready(Err(error)) => return Err(Ended::ClientSocket(error)),
            };
            self.count_received(count);
            self.input.extend_from_slice(scratch.read.get(..count).unwrap_or_default());
        }
        if matches!(
            self.phase,
            Phase::Waiting(..) | Phase::WaitingFresh(_) | Phase::WaitingShare(_)
        ) {
            return Ok(Moved::Yes);
        }
        let input = std::mem::take(&mut self.input);
        let consumed = self.take(&input, cx, now)?;
        self.restore(input, consumed);
        Ok(Moved::Yes)
    }

    /// Whether the client waits for a server with statements that a Terminate follows: it wants them run, and nothing
    /// else.
    fn has_said_goodbye(&self) -> bool {
        matches!(self.phase, Phase::Waiting(..) | Phase::WaitingFresh(_) | Phase::WaitingShare(_))
            && self.input.ends_with(b"X\0\0\0\x04")
    }

    /// Puts back what was not consumed.
    pub(super) fn restore(&mut self, mut input: Vec<u8>, consumed: usize) {
        if consumed >= input.len() {
            self.worker.recycler.borrow_mut().give(&mut input);
            return;
        }
        input.drain(..consumed);
        // A replay may have put something in front meanwhile.
        if !self.input.is_empty() {
            let mut front = std::mem::take(&mut self.input);
            front.extend_from_slice(&input);
            self.worker.recycler.borrow_mut().give(&mut input);
            input = front;
        }
        self.input = input;
    }

    /// Reads from the server and passes on what it answers.
    pub(super) fn read_server(&mut self, cx: &mut Context<'_>, now: Mono) -> Result<Moved, Ended> {
        let Phase::Attached(attached) = &mut self.phase else { return Ok(Moved::No) };
        let worker = Rc::clone(&self.worker);
        let link = &mut *attached.lease;
        if !link.to_server.is_empty() {
            // A failure shows when the server is read.
            let _ = link.send(&[], &worker.recycler, cx);
        }
        let limit = self.policy.limits.client_write_buffer;
        if self.to_client.waiting() > limit {
            return Ok(Moved::No);
        }
        let mut scratch = worker.scratch.borrow_mut();
        let scratch = &mut *scratch;
        let count = match link.server.stream.poll_read(cx, &mut scratch.read) {
            Poll::Pending => return Ok(self.release_if_done(now)),
            Poll::Ready(Ok(0) | Err(_)) => return self.server_has_gone(cx, now),
            Poll::Ready(Ok(count)) => count,
        };
        let bytes = scratch.read.get(..count).unwrap_or_default();
        if link.partial.is_empty() {
            return self.take_replies(bytes, &mut scratch.write, cx, now);
        }
        link.partial.extend_from_slice(bytes);
        let mut bytes = std::mem::take(&mut link.partial);
        let moved = self.take_replies(&bytes, &mut scratch.write, cx, now);
        worker.recycler.borrow_mut().give(&mut bytes);
        moved
    }

    pub(super) fn push_to_client(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        let recycler = &mut *self.worker.recycler.borrow_mut();
        flush(self.to_client.poll_send(&mut self.stream, cx, recycler)).map_err(Ended::ClientSocket)
    }

    pub(super) fn count_received(&self, count: usize) {
        if let Some(traffic) = self.client.backend.traffic.get(self.worker.lane()) {
            traffic.received.add(u64::try_from(count).unwrap_or(0));
        }
    }
}

impl Moved {
    fn or(self, other: Self) -> Self {
        if self == Self::Yes { self } else { other }
    }
}

fn flush(polled: Poll<io::Result<()>>) -> io::Result<()> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Ok(()),
    }
}
