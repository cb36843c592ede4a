//! What sockets, wakers and other threads see of a reactor.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use mio::{Events, Interest, Poll, Registry, Token, Waker as Alarm, event};
use parking_lot::Mutex;
use slab::Slab;

use super::source::Readiness;
use super::tasks::TaskId;

/// The token of the alarm: no socket has it.
const ALARM: Token = Token(usize::MAX);

/// The shared side of a reactor: where sockets are registered and wakers ring.
pub struct Home {
    registry: Registry,
    alarm: Alarm,
    /// The task that runs, or has run last. Written by the reactor's thread only.
    current: AtomicU32,
    /// Locked once per batch of events, else only when sockets come and go.
    sources: Mutex<Slab<Arc<Readiness>>>,
    woken: Mutex<Vec<TaskId>>,
    /// Whether the reactor may be waiting, so that the alarm must be rung.
    is_asleep: AtomicBool,
}

impl Home {
    pub(super) fn new(poll: &Poll) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            registry: poll.registry().try_clone()?,
            alarm: Alarm::new(poll.registry(), ALARM)?,
            current: AtomicU32::new(0),
            sources: Mutex::default(),
            woken: Mutex::default(),
            is_asleep: AtomicBool::new(false),
        }))
    }

    /// Begins to watch `io`.
    pub(super) fn register(
        &self,
        io: &mut impl event::Source,
        readiness: &Arc<Readiness>,
    ) -> io::Result<usize> {
        let key = self.sources.lock().insert(Arc::clone(readiness));
        let registered =
            self.registry.register(io, Token(key), Interest::READABLE | Interest::WRITABLE);
        if registered.is_err() {
            self.release(key);
        }
        registered.map(|()| key)
    }

    /// Stops watching `io`.
    pub(super) fn deregister(&self, io: &mut impl event::Source) -> io::Result<()> {
        self.registry.deregister(io)
    }

    /// The number of a socket is free again.
    pub(super) fn release(&self, key: usize) {
        // Dropped after the lock.
        let _readiness = self.sources.lock().try_remove(key);
    }

    /// The task that runs. Only of use to what it polls.
    #[inline]
    pub(super) fn current(&self) -> TaskId {
        TaskId(self.current.load(Ordering::Relaxed))
    }

    #[inline]
    pub(super) fn enter(&self, task: TaskId) {
        self.current.store(task.0, Ordering::Relaxed);
    }

    /// Tells sockets what has happened to them, and `schedule`s the tasks that wait for that.
    pub(super) fn notice(&self, events: &Events, mut schedule: impl FnMut(TaskId)) {
        if events.is_empty() {
            return;
        }
        let sources = self.sources.lock();
        for event in events {
            if let Some(readiness) = sources.get(event.token().0) {
                readiness.notice(event, &mut schedule);
            }
        }
    }

    /// A waker was called, on whatever thread.
    pub(super) fn wake(&self, task: TaskId) {
        self.woken.lock().push(task);
        // The reactor says that it sleeps before it looks at the list for the last time: with the lock between, either it
        // sees the task or this sees it asleep.
        if self.is_asleep.load(Ordering::Relaxed) && self.is_asleep.swap(false, Ordering::Relaxed) {
            // It fails if the reactor has gone, and its tasks with it.
            let _ = self.alarm.wake();
        }
    }

    pub(super) fn take_woken(&self, schedule: impl FnMut(TaskId)) {
        let mut woken = self.woken.lock();
        woken.drain(..).for_each(schedule);
    }

    /// The reactor is going to wait. Not if somebody has called a waker meanwhile.
    pub(super) fn fall_asleep(&self) -> bool {
        self.is_asleep.store(true, Ordering::Relaxed);
        self.woken.lock().is_empty()
    }

    pub(super) fn wake_up(&self) {
        self.is_asleep.store(false, Ordering::Relaxed);
    }
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Home").finish_non_exhaustive()
    }
}
