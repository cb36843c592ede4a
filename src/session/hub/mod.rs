//! The channels that the clients of one database listen on, all of them over one connection.
//!
//! In transaction mode a client's LISTEN cannot stay on a server that others use. So the hub listens, on a connection
//! of its own ([`listener`]), on every channel that any client wants, and puts what it hears into the mailboxes of
//! those clients. A mailbox is emptied by the session, when PostgreSQL would have delivered.

pub mod listener;
mod mailbox;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::sync::Notify;

use mailbox::Heard;
pub(super) use mailbox::{Gap, Home, Mailbox, News};

/// Those who listen on one channel, by number.
type Listeners = BTreeMap<u64, Arc<Mailbox>>;

/// Who listens on what in one database. Shared by its sessions and the task that listens.
#[derive(Debug, Default)]
pub struct Hub {
    state: Mutex<State>,
    /// Tells the task that there is something for it to do.
    todo: Notify,
}

#[derive(Debug, Default)]
struct State {
    channels: HashMap<Box<str>, Listeners, RandomState>,
    /// Those that the server is known to listen on for us.
    live: HashSet<Box<str>, RandomState>,
    /// Everybody, by number.
    members: Listeners,
    next: u64,
    /// How many answers have been asked for, by whomever.
    asked: u64,
    /// Up to which of them the server has answered, or failed to.
    answered: u64,
    failed: u64,
    /// Who waits for an answer.
    waiting: Vec<Arc<Mailbox>>,
    /// The client_encoding of the connection: what notifications are encoded in.
    encoding: Box<str>,
    retired: Retired,
}

/// Whether the hub's database is configured otherwise now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Retired {
    #[default]
    No,
    Yes,
}

/// What has become of something that was asked of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing yet.
    Pending,
    /// It is done.
    Done,
    /// The server could not be reached.
    Failed,
}

impl Hub {
    /// A mailbox for one more client, which holds at most `limit` bytes.
    pub(super) fn join(&self, limit: usize) -> Arc<Mailbox> {
        let mut state = self.state.lock();
        state.next += 1;
        let mailbox = Arc::new(Mailbox::new(state.next, limit));
        if state.retired == Retired::Yes {
            mailbox.retire();
        }
        state.members.insert(mailbox.number, Arc::clone(&mailbox));
        mailbox
    }

    /// The client has no use for its mailbox any more; it listens on `channels`.
    pub(super) fn leave<'a>(
        &self,
        mailbox: &Mailbox,
        channels: impl IntoIterator<Item = &'a Box<str>>,
    ) {
        self.unsubscribe(mailbox, channels);
        self.state.lock().members.remove(&mailbox.number);
    }

    /// The client wants what is said on these channels. Returns what to watch the [`Hub::progress`] of: when it is done
    /// the server listens, and everything that was committed before has been heard.
    pub(super) fn subscribe<'a>(
        &self,
        mailbox: &Arc<Mailbox>,
        channels: impl IntoIterator<Item = &'a Box<str>>,
    ) -> u64 {
        let mut state = self.state.lock();
        for channel in channels {
            let listeners = state.channels.entry(channel.clone()).or_default();
            listeners.insert(mailbox.number, Arc::clone(mailbox));
        }
        self.ask(&mut state, mailbox)
    }

    /// The client does not want them any more.
    pub(super) fn unsubscribe<'a>(
        &self,
        mailbox: &Mailbox,
        channels: impl IntoIterator<Item = &'a Box<str>>,
    ) {
        let mut state = self.state.lock();
        for channel in channels {
            if let Some(listeners) = state.channels.get_mut(channel) {
                listeners.remove(&mailbox.number);
                if listeners.is_empty() {
                    state.channels.remove(channel);
                    self.todo.notify_one();
                }
            }
        }
    }

    fn ask(&self, state: &mut State, mailbox: &Arc<Mailbox>) -> u64 {
        state.asked += 1;
        state.waiting.push(Arc::clone(mailbox));
        self.todo.notify_one();
        state.asked
    }

    /// What has become of what was asked for. The mailbox that it was asked for is told when this changes.
    pub(super) fn progress(&self, ticket: u64) -> Progress {
        let state = self.state.lock();
        if ticket <= state.failed {
            Progress::Failed
        } else if ticket <= state.answered {
            Progress::Done
        } else {
            Progress::Pending
        }
    }

    /// The client_encoding of what is heard; empty before the first connection.
    pub(super) fn encoding(&self) -> Box<str> {
        self.state.lock().encoding.clone()
    }

    /// The database is configured otherwise: those who listen here have to go elsewhere.
    pub(crate) fn retire(&self) {
        let mut state = self.state.lock();
        state.retired = Retired::Yes;
        state.members.values().for_each(|mailbox| mailbox.retire());
    }
}
