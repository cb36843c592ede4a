//! A socket that a reactor watches.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::task::Poll;

use bitflags::bitflags;
use mio::event::Event;
use mio::unix::SourceFd;

use super::Home;
use super::tasks::TaskId;

bitflags! {
    /// What may be done with a socket, as far as is known.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Ready: u8 {
        /// There may be something to read.
        const READ = 1;
        /// There may be room to write.
        const WRITE = 2;
        /// The peer will send nothing more, or the socket is broken: a read always has something to tell.
        const ENDED = 4;
    }
}

/// What is known of one socket, and who waits for it.
///
/// Only the reactor's thread writes it, except for numbers of tasks that nobody waits as: plain loads and
/// stores do.
#[derive(Debug)]
pub(super) struct Readiness {
    ready: AtomicU8,
    reader: Watcher,
    writer: Watcher,
}

impl Readiness {
    /// Nothing is known: the first try finds out.
    fn new() -> Arc<Self> {
        let ready = AtomicU8::new((Ready::READ | Ready::WRITE).bits());
        Arc::new(Self { ready, reader: Watcher::default(), writer: Watcher::default() })
    }

    #[inline]
    fn get(&self) -> Ready {
        Ready::from_bits_retain(self.ready.load(Ordering::Relaxed))
    }

    #[inline]
    fn set(&self, ready: Ready) {
        self.ready.store(ready.bits(), Ordering::Relaxed);
    }

    pub(super) fn notice(&self, event: &Event, schedule: &mut impl FnMut(TaskId)) {
        let mut ready = self.get();
        if event.is_read_closed() || event.is_error() {
            ready |= Ready::ENDED;
        }
        if event.is_readable() {
            ready |= Ready::READ;
        }
        if event.is_writable() || event.is_write_closed() || event.is_error() {
            ready |= Ready::WRITE;
        }
        self.set(ready);
        if ready.intersects(Ready::READ | Ready::ENDED) {
            self.reader.take().map(&mut *schedule);
        }
        if ready.contains(Ready::WRITE) {
            self.writer.take().map(schedule);
        }
    }
}

/// The task that waits; 0 is nobody.
#[derive(Debug, Default)]
struct Watcher(AtomicU32);

impl Watcher {
    #[inline]
    fn set(&self, task: TaskId) {
        self.0.store(task.0, Ordering::Relaxed);
    }

    #[inline]
    fn take(&self) -> Option<TaskId> {
        let task = self.0.load(Ordering::Relaxed);
        if task == 0 {
            return None;
        }
        self.0.store(0, Ordering::Relaxed);
        Some(TaskId(task))
    }
}

/// A socket that a reactor watches, edge-triggered.
///
/// It is read and written by tasks of that reactor, one at a time. Who waits for it is the *task* that runs, woken
/// once; wakers that a combinator puts in between are not called.
#[derive(Debug)]
pub struct Source<S: AsRawFd> {
    // Closed before its number is free.
    io: S,
    place: Place,
}

impl<S: AsRawFd> Source<S> {
    /// Watches `io`, which must be non-blocking.
    ///
    /// # Errors
    ///
    /// What the operating system says; `io` is closed then.
    pub fn register(io: S, home: &Arc<Home>) -> io::Result<Self> {
        let readiness = Readiness::new();
        let key = home.register(&mut SourceFd(&io.as_raw_fd()), &readiness)?;
        Ok(Self { io, place: Place { readiness, key, home: Arc::clone(home) } })
    }

    /// Goes over to another reactor, to be called on its thread.
    ///
    /// # Errors
    ///
    /// What the operating system says; the socket is closed then.
    pub fn move_to(self, home: &Arc<Home>) -> io::Result<Self> {
        let Self { io, place } = self;
        place.home.deregister(&mut SourceFd(&io.as_raw_fd()))?;
        drop(place);
        Self::register(io, home)
    }

    /// The socket.
    #[inline]
    pub const fn get(&self) -> &S {
        &self.io
    }

    /// Whether nothing has been seen to arrive since the socket was last read dry.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        !self.place.readiness.get().intersects(Ready::READ | Ready::ENDED)
    }

    /// The socket was read dry: the next read waits for an event.
    #[inline]
    pub fn note_dry(&self) {
        let readiness = &self.place.readiness;
        readiness.set(readiness.get() - Ready::READ);
    }

    /// The task that runs is scheduled when there is something to read.
    #[inline]
    pub fn watch_read(&self) {
        self.place.readiness.reader.set(self.place.home.current());
    }

    /// Reads by `read`, which is not called before there may be something; else the task that runs waits for that.
    #[inline]
    pub fn try_read<R>(&self, read: impl FnOnce(&S) -> io::Result<R>) -> Poll<io::Result<R>> {
        if !self.is_quiet() {
            match read(&self.io) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.note_dry(),
                result => return Poll::Ready(result),
            }
        }
        self.watch_read();
        Poll::Pending
    }

    /// Writes by `write`, which is not called before there may be room; else the task that runs waits for that.
    #[inline]
    pub fn try_write<R>(&self, write: impl FnOnce(&S) -> io::Result<R>) -> Poll<io::Result<R>> {
        let Place { readiness, home, .. } = &self.place;
        if readiness.get().contains(Ready::WRITE) {
            match write(&self.io) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    readiness.set(readiness.get() - Ready::WRITE);
                }
                result => return Poll::Ready(result),
            }
        }
        readiness.writer.set(home.current());
        Poll::Pending
    }
}

/// A place in a reactor's table.
#[derive(Debug)]
struct Place {
    readiness: Arc<Readiness>,
    key: usize,
    home: Arc<Home>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.home.release(self.key);
    }
}
