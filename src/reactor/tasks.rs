//! The tasks of a reactor, and the queue of those that are to run.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use slab::Slab;

use super::Home;

/// The number of a task of a reactor, from 1. It is used again when the task has ended: who keeps it may wake a stranger,
/// which is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TaskId(pub(super) u32);

impl TaskId {
    fn of(key: usize) -> Self {
        Self(u32::try_from(key + 1).unwrap_or(0))
    }

    const fn key(self) -> usize {
        (self.0 as usize).wrapping_sub(1)
    }
}

type BoxedFuture = Pin<Box<dyn Future<Output = ()>>>;

/// A task.
pub(super) struct Task {
    /// `None` once it has ended.
    future: RefCell<Option<BoxedFuture>>,
    /// Whether it stands in the queue.
    is_queued: Cell<bool>,
    bell: Arc<Bell>,
    /// The same bell.
    waker: Waker,
}

impl Task {
    pub(super) fn id(&self) -> TaskId {
        self.bell.task
    }
}

/// What a task's waker rings.
struct Bell {
    home: Arc<Home>,
    task: TaskId,
    /// Whether it has rung since the task was last told.
    has_rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.has_rung.swap(true, Ordering::AcqRel) {
            self.home.wake(self.task);
        }
    }
}

/// All tasks of a reactor.
#[derive(Default)]
pub(super) struct Tasks {
    all: RefCell<Slab<Rc<Task>>>,
    queue: RefCell<VecDeque<Rc<Task>>>,
}

impl Tasks {
    pub(super) fn spawn(&self, home: &Arc<Home>, future: BoxedFuture) {
        let mut all = self.all.borrow_mut();
        let entry = all.vacant_entry();
        let has_rung = AtomicBool::new(false);
        let bell =
            Arc::new(Bell { home: Arc::clone(home), task: TaskId::of(entry.key()), has_rung });
        let waker = Waker::from(Arc::clone(&bell));
        let future = RefCell::new(Some(future));
        let task = Rc::new(Task { future, is_queued: Cell::new(true), bell, waker });
        entry.insert(Rc::clone(&task));
        self.queue.borrow_mut().push_back(task);
    }

    /// Puts a task into the queue, unless it stands there.
    #[inline]
    pub(super) fn schedule(&self, task: TaskId) {
        if let Some(task) = self.all.borrow().get(task.key())
            && !task.is_queued.replace(true)
        {
            self.queue.borrow_mut().push_back(Rc::clone(task));
        }
    }

    /// The same for a task whose bell has rung. From here on it may ring again: the task has yet to run.
    pub(super) fn schedule_woken(&self, task: TaskId) {
        if let Some(found) = self.all.borrow().get(task.key()) {
            // Read, too: what was done before any ring that this one stands for is seen.
            found.bell.has_rung.swap(false, Ordering::AcqRel);
        }
        self.schedule(task);
    }

    /// Whether none is to run.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    /// The next that is to run.
    #[inline]
    pub(super) fn next(&self) -> Option<Rc<Task>> {
        self.queue.borrow_mut().pop_front()
    }

    /// Runs a task once. If it ends, or panics, it is dropped.
    #[inline]
    pub(super) fn run(&self, task: &Task) {
        task.is_queued.set(false);
        let mut slot = task.future.borrow_mut();
        let Some(future) = &mut *slot else { return };
        let mut cx = Context::from_waker(&task.waker);
        // What a panic may leave half done belongs to that task.
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut cx)));
        if !matches!(polled, Ok(Poll::Pending)) {
            let ended = slot.take();
            drop(slot);
            self.remove(task.id(), ended);
        }
    }

    #[cold]
    fn remove(&self, task: TaskId, ended: Option<BoxedFuture>) {
        // The message has been printed by the panic's hook.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(ended)));
        let _ended = self.all.borrow_mut().try_remove(task.key());
    }

    /// Drops every task, and those that are started by that.
    pub(super) fn clear(&self) {
        while !self.all.borrow().is_empty() {
            self.queue.borrow_mut().clear();
            let all = std::mem::take(&mut *self.all.borrow_mut());
            for (_, task) in all {
                drop(task.future.borrow_mut().take());
            }
        }
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("count", &self.all.borrow().len()).finish_non_exhaustive()
    }
}
