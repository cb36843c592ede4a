//! The loop of a worker thread: sockets that are ready schedule tasks, and tasks run.
//!
//! A session is one task with two sockets, and all of a worker's live and die on its thread. So readiness, the queue of
//! tasks and the tasks themselves need no lock and no atomic read-modify-write: a socket remembers the number of the
//! task that waits for it, and an event puts that number into the queue. Only [`std::task::Waker`]s, which anybody may
//! call from anywhere, go through a lock. In tokio's own loop a short read costs about forty such operations, a
//! quarter of its time in user space.
//!
//! ```text
//!   epoll_wait -> Home::notice -> queue of tasks -> poll -> recv, send
//!   Waker::wake (any thread) -> Home::woken ----^
//! ```
//!
//! tokio does the rest for a worker too: timers, names, connecting, channels. The thread *enters* the control thread's
//! runtime for that, and is woken by it like by any other thread.

mod home;
mod source;
mod tasks;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

pub use home::Home;
pub use source::Source;

use tasks::{Task, Tasks};

/// Events that one look at the operating system may bring.
const EVENTS: usize = 256;

/// Tasks that run before sockets are looked at again.
const BATCH: usize = 64;

/// The loop of one thread.
#[derive(Debug)]
pub struct Reactor {
    home: Arc<Home>,
    poll: RefCell<Poll>,
    tasks: Tasks,
}

impl Reactor {
    /// A loop for the calling thread.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn new() -> io::Result<Rc<Self>> {
        let poll = Poll::new()?;
        let home = Home::new(&poll)?;
        Ok(Rc::new(Self { home, poll: RefCell::new(poll), tasks: Tasks::default() }))
    }

    /// What sockets are registered with.
    pub fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// Starts a task. One that panics is dropped; the others go on.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.tasks.spawn(&self.home, Box::pin(future));
    }

    /// Runs tasks until `main` has ended and one `period` more, and calls `tick` about every `period`. Tasks that are
    /// left then are dropped.
    pub fn run(
        &self,
        main: impl Future<Output = ()> + 'static,
        period: Duration,
        mut tick: impl FnMut(),
    ) {
        let is_running = Rc::new(());
        let end = Rc::downgrade(&is_running);
        // Dropped when it ends, in whatever way.
        self.spawn(async move {
            main.await;
            drop(is_running);
        });
        let mut events = Events::with_capacity(EVENTS);
        let mut next_tick = Instant::now() + period;
        let mut ticks_left = 1;
        while ticks_left > 0 {
            self.run_tasks();
            let until_tick = next_tick.saturating_duration_since(Instant::now());
            self.look(&mut events, until_tick);
            if until_tick.is_zero() {
                tick();
                next_tick = Instant::now() + period;
                ticks_left -= usize::from(end.strong_count() == 0);
            }
        }
        self.tasks.clear();
    }

    /// Runs what is scheduled, and what that schedules, within bounds.
    fn run_tasks(&self) {
        for _ in 0..BATCH {
            let Some(task) = self.next_task() else { return };
            self.home.enter(task.id());
            self.tasks.run(&task);
        }
        self.home.take_woken(|task| self.tasks.schedule_woken(task));
    }

    fn next_task(&self) -> Option<Rc<Task>> {
        self.tasks.next().or_else(|| {
            self.home.take_woken(|task| self.tasks.schedule_woken(task));
            self.tasks.next()
        })
    }

    /// Asks the operating system which sockets are ready, and waits up to `longest` if there is nothing else to do.
    fn look(&self, events: &mut Events, longest: Duration) {
        let may_wait = self.tasks.is_idle() && !longest.is_zero() && self.home.fall_asleep();
        let timeout = if may_wait { longest } else { Duration::ZERO };
        // An interrupted wait is one that has brought nothing.
        let looked = self.poll.borrow_mut().poll(events, Some(timeout));
        self.home.wake_up();
        if looked.is_ok() {
            self.home.notice(events, |task| self.tasks.schedule(task));
        }
    }
}
