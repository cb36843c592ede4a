//! When the sessions of a group last wrote: what a read with `consistency = "group"` must see.
//!
//! A group is named by its user or its `application_name`. Sessions hold
//! on to their group's instant, so that a statement costs one load; the table is looked into only when a session joins.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::clock::Mono;

/// Groups that nobody is in are forgotten from this number on.
const REMEMBERED: usize = 16_384;

/// What names a group, besides its database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// Everybody who logged in as this user.
    User(Box<str>),
    /// Everybody whose startup packet had this `application_name`.
    Application(Box<str>),
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

/// The groups of all databases.
#[derive(Debug, Default)]
pub(crate) struct Groups(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    groups: HashMap<(Box<str>, Key), Arc<Group>>,
    /// The latest write of a group that was forgotten: any new one may be it.
    floor: Mono,
}

impl Groups {
    /// The group of `database` that `key` names.
    pub(crate) fn join(&self, database: &str, key: Key) -> Arc<Group> {
        let mut known = self.0.lock();
        let key = (Box::from(database), key);
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
        Key::Application(name.into())
    }

    #[test]
    fn members_share_the_instant_of_their_last_write() {
        let groups = Groups::default();
        let (one, other) = (groups.join("app", named("a")), groups.join("app", named("a")));
        one.stamp(Mono(7));
        other.stamp(Mono(5));
        assert_eq!(other.last_write(), Mono(7));
        for stranger in [
            groups.join("app", named("b")),
            groups.join("app", Key::User("a".into())),
            groups.join("other", named("a")),
        ] {
            assert_eq!(stranger.last_write(), Mono::ZERO);
        }
    }

    #[test]
    fn a_group_that_was_forgotten_requires_no_less_than_before() {
        let groups = Groups::default();
        groups.join("app", named("left")).stamp(Mono(9));
        let member = groups.join("app", named("stays"));
        member.stamp(Mono(3));
        for number in 0..REMEMBERED {
            groups.join("app", named(&number.to_string()));
        }
        assert!(groups.0.lock().groups.len() < REMEMBERED);
        assert_eq!(groups.join("app", named("left")).last_write(), Mono(9));
        assert_eq!(groups.join("app", named("stays")).last_write(), Mono(3));
    }
}
