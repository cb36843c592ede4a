//! When a database was last written to, by whom and where: what reads with `consistency = "group"` and `"table"` must
//! see.
//!
//! A group is named by its user, its `application_name`, or what a session says (`SET pglagoon.group`). Sessions hold
//! on to their group's instant, so that a statement costs one load; the map is looked into only when a session joins.
//! Tables are told apart as well as [`Tables`] does: one instant for each of its slots.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Mono;
use crate::sql::Tables;

/// Groups that nobody is in are forgotten from this number on.
const REMEMBERED: usize = 16_384;

/// What names a group, besides its database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// Everybody who logged in as this user.
    User(Box<str>),
    /// Everybody whose startup packet had this `application_name`.
    Application(Box<str>),
    /// Everybody who said so.
    Named(Box<str>),
}

/// The last write of one group.
#[derive(Debug, Default)]
pub(crate) struct Group(AtomicU64);

impl Group {
    /// When the last write of any member had been acknowledged by the primary.
    pub(crate) fn last_write(&self) -> Mono {
        Mono(self.0.load(Ordering::Acquire))
    }

    /// A member's write has been acknowledged. To be called before that member hears of it: another may be told, and
    /// read, at once.
    pub(crate) fn stamp(&self, at: Mono) {
        self.0.fetch_max(at.0, Ordering::AcqRel);
    }
}

/// The last writes to one database.
#[derive(Debug)]
pub(crate) struct Writes {
    known: Mutex<Known>,
    /// Whether anybody asks for tables.
    watch: AtomicU8,
    /// The last write to tables that are not known.
    anywhere: AtomicU64,
    slots: [AtomicU64; Tables::SLOTS],
}

/// [`Writes::watch`]: nobody has asked for tables yet, so nothing is noted of them.
const UNWATCHED: u8 = 0;
const WATCHED: u8 = 1;

/// A write that is being acknowledged while tables begin to be watched may find them unwatched. It has been
/// acknowledged long before this time has passed.
const SETTLING: Duration = Duration::from_secs(1);

impl Default for Writes {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            watch: AtomicU8::new(UNWATCHED),
            anywhere: AtomicU64::new(0),
            slots: [const { AtomicU64::new(0) }; Tables::SLOTS],
        }
    }
}

#[derive(Debug, Default)]
struct Known {
    groups: HashMap<Key, Arc<Group>>,
    /// The latest write of a group that was forgotten: any new one may be it.
    floor: Mono,
}

impl Writes {
    /// The group that `key` names.
    pub(crate) fn join(&self, key: Key) -> Arc<Group> {
        let mut known = self.known.lock();
        if let Some(group) = known.groups.get(&key) {
            return Arc::clone(group);
        }
        if known.groups.len() >= REMEMBERED {
            known.forget();
        }
        let group = Arc::new(Group(AtomicU64::new(known.floor.0)));
        known.groups.insert(key, Arc::clone(&group));
        group
    }

    /// From now on it is noted when tables are written to.
    pub(crate) fn watch_tables(&self, now: Mono) {
        if self.watch.load(Ordering::Acquire) == UNWATCHED {
            self.anywhere.fetch_max(now.plus(SETTLING).0, Ordering::AcqRel);
            self.watch.store(WATCHED, Ordering::Release);
        }
    }

    /// A write that may have touched `tables` has been acknowledged at `at`. To be called before the writer hears of
    /// it.
    #[inline]
    pub(crate) fn stamp(&self, tables: Tables, at: Mono) {
        if self.watch.load(Ordering::Acquire) == UNWATCHED {
            return;
        }
        if tables == Tables::ALL {
            self.anywhere.fetch_max(at.0, Ordering::AcqRel);
            return;
        }
        for slot in tables.slots().filter_map(|slot| self.slots.get(slot)) {
            slot.fetch_max(at.0, Ordering::AcqRel);
        }
    }

    /// When the last write had been acknowledged that may have touched one of `tables`.
    pub(crate) fn last_to(&self, tables: Tables) -> Mono {
        let slots = tables.slots().filter_map(|slot| self.slots.get(slot));
        let latest = slots.map(|slot| slot.load(Ordering::Acquire)).max().unwrap_or(0);
        Mono(latest.max(self.anywhere.load(Ordering::Acquire)))
    }
}

impl Known {
    /// Forgets the groups that nobody is in.
    fn forget(&mut self) {
        let mut floor = self.floor;
        self.groups.retain(|_, group| {
            let is_used = Arc::strong_count(group) > 1;
            if !is_used {
                floor = floor.max(group.last_write());
            }
            is_used
        });
        self.floor = floor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Key {
        Key::Named(name.into())
    }

    #[test]
    fn members_share_the_instant_of_their_last_write() {
        let writes = Writes::default();
        let (one, other) = (writes.join(named("a")), writes.join(named("a")));
        one.stamp(Mono(7));
        other.stamp(Mono(5));
        assert_eq!(other.last_write(), Mono(7));
        for stranger in [named("b"), Key::User("a".into()), Key::Application("a".into())] {
            assert_eq!(writes.join(stranger).last_write(), Mono::ZERO);
        }
    }

    #[test]
    fn a_group_that_was_forgotten_requires_no_less_than_before() {
        let writes = Writes::default();
        writes.join(named("left")).stamp(Mono(9));
        let member = writes.join(named("stays"));
        member.stamp(Mono(3));
        for number in 0..REMEMBERED {
            writes.join(named(&number.to_string()));
        }
        assert!(writes.known.lock().groups.len() < REMEMBERED);
        assert_eq!(writes.join(named("left")).last_write(), Mono(9));
        assert_eq!(writes.join(named("stays")).last_write(), Mono(3));
    }

    #[test]
    fn what_was_written_before_tables_were_watched_counts_for_all_of_them() {
        let writes = Writes::default();
        writes.stamp(Tables::ALL, Mono(5));
        assert_eq!(writes.last_to(Tables::ALL), Mono::ZERO);
        writes.watch_tables(Mono(6));
        assert_eq!(writes.last_to(Tables::NONE), Mono(6).plus(SETTLING));
        let later = Mono(9).plus(SETTLING);
        writes.stamp(Tables::NONE, later);
        assert!(writes.last_to(Tables::ALL) < later);
        writes.stamp(Tables::ALL, later);
        assert_eq!(writes.last_to(Tables::NONE), later);
    }
}
