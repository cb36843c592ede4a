//! A bounded map from a 128-bit hash to a verdict: fixed memory, no allocation after it is built.
//!
//! Sets of four entries with a second chance each. The keys are hashes under a random key of
//! the process, so a client cannot aim at one set, and two texts share a key with a chance of
//! one in 2^128.

use super::classify::Finding;
use super::tables::Tables;
use super::verdict::{Class, Effects, Verdict, Why};

/// Entries per set.
const WAYS: usize = 4;

/// What is kept under one key: a verdict, packed.
#[derive(Clone, Copy)]
struct Kept {
    fingerprint: u64,
    tables: Tables,
    effects: Effects,
    class: Class,
    /// Hit since the last search for a victim passed by.
    is_recent: bool,
}

/// The keys fill one cache line, what is kept under them the next two.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Set {
    low: [u64; WAYS],
    high: [u64; WAYS],
    kept: [Kept; WAYS],
}

impl Set {
    /// Nothing marks a way as free. Its key is zero, which no text has but by a chance of one in
    /// 2^128, and what it holds is the verdict on a text that cannot be inspected.
    const FREE: Self = {
        let Finding { class, effects, tables } = Finding::opaque(Why::Unparsed);
        let kept = Kept { fingerprint: 0, tables, effects, class, is_recent: false };
        Self { low: [0; WAYS], high: [0; WAYS], kept: [kept; WAYS] }
    };

    fn find(&mut self, low: u64, high: u64) -> Option<&mut Kept> {
        let keys = self.low.iter().zip(&self.high);
        let mut ways = keys.zip(&mut self.kept);
        ways.find(|((a, b), _)| **a == low && **b == high).map(|(_, kept)| kept)
    }

    /// Puts an entry in the place of the first one without a hit since the last search; all that
    /// were passed lose their chance. Free ways come first, as they have no hits and entries
    /// are put behind them.
    fn insert(&mut self, low: u64, high: u64, new: Kept) {
        let slot = self.kept.iter_mut().position(|kept| !std::mem::take(&mut kept.is_recent));
        let slot = slot.unwrap_or(0);
        // The newest entry comes first in the next search only after the others had their turn.
        put_last(&mut self.low, slot, low);
        put_last(&mut self.high, slot, high);
        put_last(&mut self.kept, slot, new);
    }
}

/// Puts `new` in the place of the item at `slot`, then turns the ways by one.
fn put_last<T>(ways: &mut [T; WAYS], slot: usize, new: T) {
    if let Some(place) = ways.get_mut(slot) {
        *place = new;
    }
    ways.rotate_left(1);
}

/// A bounded map of verdicts.
pub(super) struct Cache {
    /// A power of two of sets.
    sets: Vec<Set>,
}

impl Cache {
    /// A cache of at least `entries` entries.
    pub(super) fn new(entries: usize) -> Self {
        let sets = entries.div_ceil(WAYS).next_power_of_two();
        Self { sets: vec![Set::FREE; sets] }
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash do")]
    fn set(&mut self, low: u64) -> Option<&mut Set> {
        let index = (low as usize) & (self.sets.len() - 1);
        self.sets.get_mut(index)
    }

    /// The verdict kept under `key`.
    #[inline]
    pub(super) fn find(&mut self, key: u128) -> Option<Verdict> {
        let (low, high) = halves(key);
        let kept = self.set(low)?.find(low, high)?;
        kept.is_recent = true;
        let Kept { fingerprint, tables, effects, class, .. } = *kept;
        Some(Verdict { class, effects, fingerprint, tables })
    }

    /// Keeps `verdict` under a `key` that is not yet in the cache, in the place of a free or
    /// an old entry.
    pub(super) fn insert(&mut self, key: u128, verdict: Verdict) {
        let (low, high) = halves(key);
        let Verdict { class, effects, fingerprint, tables } = verdict;
        if let Some(set) = self.set(low) {
            set.insert(low, high, Kept { fingerprint, tables, effects, class, is_recent: false });
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the other half is kept as well")]
const fn halves(key: u128) -> (u64, u64) {
    (key as u64, (key >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::verdict::{Class, Effects};

    fn verdict(fingerprint: u64) -> Verdict {
        Verdict { class: Class::Read, effects: Effects::empty(), fingerprint, tables: Tables::NONE }
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

    #[test]
    fn a_set_is_three_cache_lines() {
        assert_eq!((size_of::<Set>(), align_of::<Set>()), (192, 64));
    }

    #[test]
    fn a_free_way_never_says_read() {
        let found = Cache::new(4).find(0).unwrap();
        assert_eq!(found.class, Class::Primary(Why::Unparsed));
        assert!(found.effects.contains(Effects::OPAQUE | Effects::WRITES));
    }

    #[test]
    fn free_ways_are_taken_before_any_entry() {
        let mut cache = Cache::new(4);
        for key in 1..=4 {
            cache.insert(key, verdict(0));
            let kept = (1..=key).filter(|&key| cache.find(key).is_some()).count();
            assert_eq!(kept as u128, key);
        }
    }
}
