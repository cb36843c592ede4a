//! Where the hub leaves what a client is to hear.

use std::sync::Arc;
use std::task::Waker;

use parking_lot::Mutex;

/// One notification, as the server sent it.
#[derive(Debug)]
pub(in crate::session) struct Heard {
    /// The channel.
    pub(in crate::session) channel: Box<str>,
    /// The whole NotificationResponse.
    pub(in crate::session) frame: Box<[u8]>,
}

/// One client's mailbox.
#[derive(Debug)]
pub(in crate::session) struct Mailbox {
    pub(super) number: u64,
    /// How many bytes it may hold.
    limit: usize,
    contents: Mutex<Contents>,
}

#[derive(Debug, Default)]
struct Contents {
    news: News,
    bytes: usize,
    waker: Option<Waker>,
}

/// What a client finds in its mailbox.
#[derive(Debug, Default)]
pub(in crate::session) struct News {
    /// Notifications, in the order of their commits.
    pub(in crate::session) heard: Vec<Arc<Heard>>,
    /// Notifications that were thrown away because there were too many.
    pub(in crate::session) lost: u64,
    pub(in crate::session) gap: Gap,
    pub(in crate::session) home: Home,
}

/// Whether there was a time in which nobody listened for the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::session) enum Gap {
    /// There was none.
    #[default]
    None,
    /// It goes on.
    Open,
    /// It is over.
    Over,
}

/// Whether the hub goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::session) enum Home {
    /// It does.
    #[default]
    Stays,
    /// Its database is configured otherwise now.
    Gone,
}

impl News {
    /// Whether there is nothing to be done about it.
    pub(in crate::session) fn is_empty(&self) -> bool {
        self.heard.is_empty() && self.lost == 0 && self.gap != Gap::Over && self.home == Home::Stays
    }
}

impl Mailbox {
    pub(super) fn new(number: u64, limit: usize) -> Self {
        Self { number, limit, contents: Mutex::default() }
    }

    /// Whether there is anything; `waker` is woken when there is more.
    pub(in crate::session) fn has_news(&self, waker: &Waker) -> bool {
        let mut contents = self.contents.lock();
        match &mut contents.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        !contents.news.is_empty()
    }

    /// Whether more has come than it may hold.
    pub(in crate::session) fn has_lost(&self) -> bool {
        self.contents.lock().news.lost > 0
    }

    /// Empties it.
    pub(in crate::session) fn take(&self) -> News {
        let mut contents = self.contents.lock();
        contents.bytes = 0;
        let home = contents.news.home;
        let gap = if contents.news.gap == Gap::Open { Gap::Open } else { Gap::None };
        std::mem::replace(&mut contents.news, News { gap, home, ..News::default() })
    }

    /// Throws away what is not wanted.
    pub(in crate::session) fn retain(&self, wanted: impl Fn(&str) -> bool) {
        let mut contents = self.contents.lock();
        contents.news.heard.retain(|heard| wanted(&heard.channel));
        contents.bytes = contents.news.heard.iter().map(|heard| heard.frame.len()).sum();
    }

    /// Wakes the client.
    pub(super) fn wake(&self) {
        let waker = self.contents.lock().waker.clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// One more notification. What does not fit costs all of them: the client is going to be told.
    pub(super) fn put(&self, heard: &Arc<Heard>) {
        let mut contents = self.contents.lock();
        let bytes = contents.bytes + heard.frame.len();
        if contents.news.lost > 0 {
            contents.news.lost += 1;
            return;
        }
        if bytes > self.limit {
            let before = std::mem::take(&mut contents.news.heard);
            contents.news.lost = u64::try_from(before.len() + 1).unwrap_or(u64::MAX);
            contents.bytes = 0;
        } else {
            contents.bytes = bytes;
            contents.news.heard.push(Arc::clone(heard));
        }
        let waker = contents.waker.clone();
        drop(contents);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Nobody listens for the client.
    pub(in crate::session) fn open_gap(&self) {
        self.contents.lock().news.gap = Gap::Open;
    }

    /// Somebody does again.
    pub(in crate::session) fn close_gap(&self) {
        let mut contents = self.contents.lock();
        if contents.news.gap == Gap::Open {
            contents.news.gap = Gap::Over;
            drop(contents);
            self.wake();
        }
    }

    /// The hub goes.
    pub(super) fn retire(&self) {
        self.contents.lock().news.home = Home::Gone;
        self.wake();
    }
}
