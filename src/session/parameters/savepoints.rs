//! What the parameters were at each savepoint of a transaction.

use std::sync::Arc;

use crate::server::settings::Settings;
use crate::sql::channels;

/// What a statement does to the savepoints.
#[derive(Debug)]
pub(crate) enum Savepoint {
    /// SAVEPOINT.
    Set(Box<str>),
    /// RELEASE.
    Release(Box<str>),
    /// ROLLBACK TO.
    RollBackTo(Box<str>),
}

impl Savepoint {
    /// What a text of one statement about a savepoint does.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        channels::steps(text)?.pop().and_then(Self::of)
    }

    /// What a statement does.
    pub(super) fn of(step: channels::Step) -> Option<Self> {
        match step {
            channels::Step::Savepoint(name) => Some(Self::Set(name)),
            channels::Step::Release(name) => Some(Self::Release(name)),
            channels::Step::RollbackTo(name) => Some(Self::RollBackTo(name)),
            _ => None,
        }
    }
}

/// A savepoint: its name, and what would have lasted and what was in force then.
#[derive(Debug)]
struct Level {
    name: Box<str>,
    lasting: Arc<Settings>,
    current: Arc<Settings>,
}

/// The savepoints of the present transaction, the oldest first. Nearly always none.
#[derive(Debug, Default)]
pub(super) struct Savepoints(Vec<Level>);

impl Savepoints {
    /// SAVEPOINT.
    pub(super) fn set(&mut self, name: Box<str>, now: (&Arc<Settings>, &Arc<Settings>)) {
        let (lasting, current) = (Arc::clone(now.0), Arc::clone(now.1));
        self.0.push(Level { name, lasting, current });
    }

    /// RELEASE: what was set since stays.
    pub(super) fn release(&mut self, name: &str) {
        if let Some(index) = self.find(name) {
            self.0.truncate(index);
        }
    }

    /// ROLLBACK TO: what lasted and what was in force at the savepoint, which stays; `None` if it is not known.
    pub(super) fn roll_back_to(&mut self, name: &str) -> Option<(Arc<Settings>, Arc<Settings>)> {
        let index = self.find(name)?;
        self.0.truncate(index + 1);
        let level = self.0.get(index)?;
        Some((Arc::clone(&level.lasting), Arc::clone(&level.current)))
    }

    /// Something else may have been done to them: nothing is known of those so far.
    pub(super) fn lose(&mut self) {
        self.0.clear();
    }

    /// The transaction has ended.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().rposition(|level| *level.name == *name)
    }
}
