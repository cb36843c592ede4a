//! How bytes get from one socket to another.
//!
//! A worker has one [`Scratch`]: every readable socket is read into it and the bytes leave for the other side
//! from where they lie. A session owns bytes only while a frame is incomplete or a peer is slow; those buffers
//! come from the worker's [`Recycler`] and go back to it.

use std::task::{Context, Poll};
use std::{io, mem};

use super::Stream;

/// The scratch buffer's size in bytes.
pub const SCRATCH_LEN: usize = 64 * 1024;

/// A recycled buffer that grew beyond this is given back to the allocator instead.
const KEEP_CAPACITY: usize = 64 * 1024;

/// How many recycled buffers a worker keeps.
const KEEP_BUFFERS: usize = 64;

/// The buffers of one worker.
#[derive(Debug)]
pub struct Scratch {
    /// What a socket is read into.
    pub read: Box<[u8]>,
    /// Where frames that must be changed on their way are put together.
    pub write: Vec<u8>,
}

impl Scratch {
    /// Allocates the buffers.
    pub fn new() -> Self {
        Self { read: vec![0; SCRATCH_LEN].into_boxed_slice(), write: Vec::with_capacity(16 * 1024) }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// Buffers that sessions of one worker have given back.
#[derive(Debug, Default)]
pub struct Recycler {
    free: Vec<Vec<u8>>,
}

impl Recycler {
    /// An empty buffer, with capacity if one was given back before.
    pub fn take(&mut self) -> Vec<u8> {
        self.free.pop().unwrap_or_default()
    }

    /// Gives a buffer back; what it held is forgotten.
    pub fn give(&mut self, buffer: &mut Vec<u8>) {
        let mut buffer = mem::take(buffer);
        if buffer.capacity() > 0
            && buffer.capacity() <= KEEP_CAPACITY
            && self.free.len() < KEEP_BUFFERS
        {
            buffer.clear();
            self.free.push(buffer);
        }
    }
}

/// The bytes that leave for one peer in one pass, put together from what came in.
///
/// As long as they are one run of the input they are not copied: [`Gather::bytes`] is then a part of the input.
/// The first byte that does not follow on moves everything to the scratch's write buffer.
#[derive(Debug)]
pub struct Gather<'a> {
    input: &'a [u8],
    run: (usize, usize),
    mixed: &'a mut Vec<u8>,
}

impl<'a> Gather<'a> {
    /// Nothing yet, from `input`; `mixed` is cleared.
    pub fn new(input: &'a [u8], mixed: &'a mut Vec<u8>) -> Self {
        mixed.clear();
        Self { input, run: (0, 0), mixed }
    }

    /// Lets `input[start..end]` pass.
    #[inline]
    pub fn pass(&mut self, start: usize, end: usize) {
        if self.mixed.is_empty() {
            if self.run.1 == start && self.run.0 != self.run.1 {
                self.run.1 = end;
                return;
            }
            if self.run.0 == self.run.1 {
                self.run = (start, end);
                return;
            }
            self.spill();
        }
        self.mixed.extend_from_slice(self.input.get(start..end).unwrap_or_default());
    }

    /// What follows `position` in the input.
    pub fn behind(&self, position: usize) -> &'a [u8] {
        self.input.get(position..).unwrap_or_default()
    }

    /// The buffer to append inserted bytes to.
    #[inline]
    pub fn insert(&mut self) -> &mut Vec<u8> {
        self.spill();
        self.mixed
    }

    /// Forgets everything gathered.
    pub fn clear(&mut self) {
        self.run = (0, 0);
        self.mixed.clear();
    }

    /// What is to be written.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        if self.mixed.is_empty() {
            self.input.get(self.run.0..self.run.1).unwrap_or_default()
        } else {
            self.mixed
        }
    }

    fn spill(&mut self) {
        let run = self.input.get(self.run.0..self.run.1).unwrap_or_default();
        if self.mixed.is_empty() {
            self.mixed.extend_from_slice(run);
            self.run = (0, 0);
        }
    }
}

/// Bytes that a slow peer has not taken yet.
#[derive(Debug, Default)]
pub struct Backlog {
    bytes: Vec<u8>,
    sent: usize,
    unflushed: Flush,
}

/// Whether TLS may still hold bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Flush {
    #[default]
    Done,
    Needed,
}

impl Backlog {
    /// Whether nothing waits to be sent.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == self.sent && self.unflushed == Flush::Done
    }

    /// How many bytes wait.
    #[inline]
    pub fn waiting(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Sends `bytes` after what waits already; keeps what the peer does not take.
    ///
    /// # Errors
    ///
    /// What the operating system or TLS says.
    #[inline]
    pub fn send(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        recycler: &mut Recycler,
        mut bytes: &[u8],
    ) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.waiting() == 0 {
            while !bytes.is_empty() {
                match stream.poll_write(cx, bytes) {
                    Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(Ok(count)) => bytes = bytes.get(count..).unwrap_or_default(),
                    Poll::Ready(Err(error)) => return Err(error),
                    Poll::Pending => break,
                }
            }
            if stream.is_encrypted() {
                self.unflushed = Flush::Needed;
                let _ = self.flush(stream, cx)?;
            }
        }
        if !bytes.is_empty() {
            if self.bytes.capacity() == 0 {
                self.bytes = recycler.take();
            }
            self.bytes.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Sends what waits. Ready when nothing does any more.
    ///
    /// # Errors
    ///
    /// What the operating system or TLS says.
    pub fn poll_send(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        recycler: &mut Recycler,
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = self.bytes.get(self.sent..)
            && !rest.is_empty()
        {
            match stream.poll_write(cx, rest)? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(count) => {
                    self.sent += count;
                    if stream.is_encrypted() {
                        self.unflushed = Flush::Needed;
                    }
                }
                Poll::Pending => {
                    let _ = self.flush(stream, cx)?;
                    return Poll::Pending;
                }
            }
        }
        self.sent = 0;
        self.bytes.clear();
        recycler.give(&mut self.bytes);
        self.flush(stream, cx)
    }

    fn flush(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed == Flush::Needed {
            match stream.poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = Flush::Done,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Appends to what waits, to be sent with it.
    pub fn queue(&mut self, recycler: &mut Recycler) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = recycler.take();
        }
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_is_not_copied() {
        let input = b"0123456789";
        let mut mixed = Vec::new();
        let mut gather = Gather::new(input, &mut mixed);
        gather.pass(2, 4);
        gather.pass(4, 7);
        assert_eq!(gather.bytes(), b"23456");
        assert!(std::ptr::eq(gather.bytes().as_ptr(), input[2..].as_ptr()));
    }

    #[test]
    fn gaps_and_insertions_keep_the_order() {
        let mut mixed = Vec::new();
        let mut gather = Gather::new(b"0123456789", &mut mixed);
        gather.insert().extend_from_slice(b"<");
        gather.pass(0, 2);
        gather.pass(5, 6);
        gather.insert().extend_from_slice(b">");
        gather.pass(6, 7);
        assert_eq!(gather.bytes(), b"<015>6");
        gather.clear();
        assert_eq!(gather.bytes(), b"");
    }

    #[test]
    fn a_gap_after_a_run_moves_the_run() {
        let mut mixed = Vec::new();
        let mut gather = Gather::new(b"0123456789", &mut mixed);
        gather.pass(0, 2);
        gather.pass(3, 4);
        assert_eq!(gather.bytes(), b"013");
    }

    #[test]
    fn recycled_buffers_keep_their_capacity_but_not_their_content() {
        let mut recycler = Recycler::default();
        let mut buffer = Vec::with_capacity(100);
        buffer.push(1);
        recycler.give(&mut buffer);
        let again = recycler.take();
        assert!(again.is_empty() && again.capacity() >= 100);
    }
}
