//! How much is prepared on each server, for those who want to see it and do not have the server.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::clock::Mono;

/// How much somebody has prepared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many statements.
    pub statements: usize,
    /// Bytes of their texts and types, of a client's also those of their names.
    pub bytes: usize,
}

/// How much is prepared on one server: whoever has that keeps count, anybody may look. Of statements of SQL's PREPARE the
/// bytes are not known.
#[derive(Debug, Default)]
pub struct Census {
    statements: AtomicUsize,
    /// The names that clients have chosen themselves.
    names: AtomicUsize,
    bytes: AtomicUsize,
}

impl Census {
    /// What there is now.
    pub fn tally(&self) -> Tally {
        let [statements, names, bytes] =
            [&self.statements, &self.names, &self.bytes].map(|count| count.load(Ordering::Relaxed));
        Tally { statements: statements + names, bytes }
    }

    /// One more statement, of so many bytes. Nobody else counts at the same time.
    pub(super) fn add(&self, bytes: usize) {
        let tally = (self.statements.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        self.set(tally.0 + 1, tally.1 + bytes);
    }

    /// One less.
    pub(super) fn remove(&self, bytes: usize) {
        let tally = (self.statements.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        self.set(tally.0.saturating_sub(1), tally.1.saturating_sub(bytes));
    }

    /// None any more.
    pub(super) fn clear(&self) {
        self.set(0, 0);
    }

    fn set(&self, statements: usize, bytes: usize) {
        self.statements.store(statements, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn set_names(&self, count: usize) {
        self.names.store(count, Ordering::Relaxed);
    }
}

/// The servers of one pool, by their process id and when they were connected.
#[derive(Debug, Default)]
pub struct Register(Mutex<Vec<Entry>>);

#[derive(Debug)]
struct Entry {
    key: (i32, Mono),
    census: Weak<Census>,
}

impl Register {
    /// Another server. Those that have gone leave the register.
    pub fn enter(&self, key: (i32, Mono), census: &Arc<Census>) {
        let mut entries = self.0.lock();
        entries.retain(|entry| entry.census.strong_count() > 0);
        entries.push(Entry { key, census: Arc::downgrade(census) });
    }

    /// What is prepared on this server, if it is still there.
    pub fn tally(&self, key: (i32, Mono)) -> Option<Tally> {
        let entries = self.0.lock();
        let entry = entries.iter().find(|entry| entry.key == key)?;
        entry.census.upgrade().map(|census| census.tally())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_knows_who_is_there() {
        let (register, census) = (Register::default(), Arc::new(Census::default()));
        let (one, other) = ((7, Mono(1)), (7, Mono(2)));
        register.enter(one, &census);
        census.add(10);
        census.add(5);
        census.remove(10);
        census.set_names(2);
        assert_eq!(register.tally(one), Some(Tally { statements: 3, bytes: 5 }));
        assert_eq!(register.tally(other), None);
        drop(census);
        assert_eq!(register.tally(one), None);
        register.enter(other, &Arc::default());
        assert_eq!(register.0.lock().len(), 1);
    }
}
