//! A bounded map from a 128-bit hash to a verdict: fixed memory, no allocation after it is built.
//!
//! Sets of four entries with a second chance each. The keys are hashes under a random key of
//! the process, so a client cannot aim at one set, and two texts share a key with a chance of
//! one in 2^128.

use super::verdict::Verdict;

/// Entries per set.
const WAYS: usize = 4;

#[derive(Clone, Copy)]
struct Entry {
    key: u128,
    verdict: Verdict,
    /// Hit since the last search for a victim passed by.
    is_recent: bool,
}

type Set = [Option<Entry>; WAYS];

/// A bounded map of verdicts.
pub(super) struct Cache {
    /// A power of two of sets.
    sets: Vec<Set>,
}

impl Cache {
    /// A cache of at least `entries` entries.
    pub(super) fn new(entries: usize) -> Self {
        let sets = entries.div_ceil(WAYS).next_power_of_two();
        Self { sets: vec![[None; WAYS]; sets] }
    }

    fn set(&mut self, key: u128) -> Option<&mut Set> {
        let index = (key as usize) & (self.sets.len() - 1);
        self.sets.get_mut(index)
    }

    /// The verdict kept under `key`.
    pub(super) fn find(&mut self, key: u128) -> Option<Verdict> {
        let entry = self.set(key)?.iter_mut().flatten().find(|entry| entry.key == key)?;
        entry.is_recent = true;
        Some(entry.verdict)
    }

    /// Keeps `verdict` under a `key` that is not yet in the cache, in the place of a free or
    /// an old entry.
    pub(super) fn insert(&mut self, key: u128, verdict: Verdict) {
        let Some(set) = self.set(key) else { return };
        let slot = set.iter().position(Option::is_none).unwrap_or_else(|| victim(set));
        if let Some(slot) = set.get_mut(slot) {
            *slot = Some(Entry { key, verdict, is_recent: false });
        }
        // The newest entry comes first in the next search only after the others had their turn.
        set.rotate_left(1);
    }
}

/// The first entry without a hit since the last search; all that were passed lose their chance.
fn victim(set: &mut Set) -> usize {
    for (index, entry) in set.iter_mut().enumerate() {
        match entry {
            Some(entry) if entry.is_recent => entry.is_recent = false,
            _ => return index,
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::verdict::{Class, Effects};

    fn verdict(fingerprint: u64) -> Verdict {
        Verdict { class: Class::Read, effects: Effects::empty(), fingerprint }
    }

    #[test]
    fn finds_what_was_inserted_and_nothing_else() {
        let mut cache = Cache::new(64);
        cache.insert(7, verdict(1));
        assert_eq!(cache.find(7), Some(verdict(1)));
        assert_eq!(cache.find(7 + (1 << 64)), None);
    }

    #[test]
    fn an_entry_in_use_outlives_a_flood() {
        let mut cache = Cache::new(4);
        cache.insert(1, verdict(1));
        for key in 2..1000 {
            assert!(cache.find(1).is_some(), "lost before {key}");
            cache.insert(key, verdict(0));
        }
        let kept = (0..1000).filter(|&key| cache.find(key).is_some()).count();
        assert_eq!(kept, 4);
    }
}
