//! The cache by exact text, and whether it is worth asking.
//!
//! Where every text has another literal no text repeats: then hashing and looking up each one is
//! lost work, and keeping them would push out those that do repeat. So a text is kept at its
//! second sight, and while the cache finds nothing only a sample of the texts asks it.

use super::cache::Cache;
use super::verdict::Verdict;

/// What a hit adds to the credit. A probe costs about a quarter of what a hit saves.
const REWARD: u8 = 4;
/// How many probes in a row may find nothing before only a sample asks.
const CREDIT: u8 = 128;
/// One text in this many asks while there is no credit; a power of two.
const SAMPLE: u32 = 16;
/// Keys of which one sight is remembered, by four bytes of each: 4 KiB. A power of two.
const SIGHTS: usize = 1024;

/// The verdicts on texts that repeat.
pub(super) struct Exact {
    cache: Cache,
    seen_once: Vec<u32>,
    credit: u8,
    dice: u32,
}

impl Exact {
    /// Room for `entries` verdicts.
    pub(super) fn new(entries: usize) -> Self {
        Self { cache: Cache::new(entries), seen_once: vec![0; SIGHTS], credit: CREDIT, dice: 1 }
    }

    /// Whether to look for the next text.
    #[inline]
    pub(super) fn is_worth_asking(&mut self) -> bool {
        if self.credit > 0 {
            return true;
        }
        // Dice, so that no client's loop of statements keeps in step with the samples.
        self.dice = self.dice.wrapping_mul(0x915f_77f5).wrapping_add(1);
        self.dice >> (u32::BITS - SAMPLE.ilog2()) == 0
    }

    /// The verdict kept under `key`.
    #[inline]
    pub(super) fn find(&mut self, key: u128) -> Option<Verdict> {
        let found = self.cache.find(key);
        self.credit = if found.is_some() {
            self.credit.saturating_add(REWARD).min(CREDIT)
        } else {
            self.credit.saturating_sub(1)
        };
        found
    }

    /// The verdict kept under `key`, asked for because the text is not remembered elsewhere.
    pub(super) fn recall(&mut self, key: u128) -> Option<Verdict> {
        self.cache.find(key)
    }

    /// Keeps `verdict` under a `key` that was just looked for in vain.
    pub(super) fn insert(&mut self, key: u128, verdict: Verdict) {
        self.cache.insert(key, verdict);
    }

    /// As [`Self::insert`], unless this is the first sight of the key for a while.
    pub(super) fn insert_if_seen(&mut self, key: u128, verdict: Verdict) {
        // The cache chooses its set by the lower half.
        let high = (key >> 64) as u64;
        let tag = (high >> 32) as u32;
        if let Some(seen) = self.seen_once.get_mut((high as usize) & (SIGHTS - 1)) {
            if *seen == tag {
                self.cache.insert(key, verdict);
            } else {
                *seen = tag;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::tables::Tables;
    use crate::sql::verdict::{Class, Effects};

    const VERDICT: Verdict = Verdict {
        class: Class::Read,
        effects: Effects::empty(),
        fingerprint: 1,
        tables: Tables::NONE,
    };

    /// A key that spreads over sets and sights as hashes do.
    fn key(n: u64) -> u128 {
        let lane = |salt: u64| (n + 1).wrapping_mul(salt).rotate_left(29).wrapping_mul(salt);
        u128::from(lane(0x9e37_79b9_7f4a_7c15)) << 64 | u128::from(lane(0xc2b2_ae3d_27d4_eb4f))
    }

    /// What the classifier does with a text whose form is remembered.
    fn meet(exact: &mut Exact, key: u128) -> bool {
        if !exact.is_worth_asking() {
            return false;
        }
        let found = exact.find(key).is_some();
        if !found {
            exact.insert_if_seen(key, VERDICT);
        }
        found
    }

    #[test]
    fn a_text_is_kept_at_its_second_sight() {
        let mut exact = Exact::new(64);
        assert_eq!([(); 4].map(|()| meet(&mut exact, key(7))), [false, false, true, true]);
    }

    #[test]
    fn texts_seen_once_are_never_kept_and_soon_not_looked_for() {
        let mut exact = Exact::new(4096);
        (0..10_000).for_each(|n| assert!(!meet(&mut exact, key(n))));
        assert!((0..10_000).all(|n| exact.recall(key(n)).is_none()));
        let asked = (0..16_000).filter(|_| exact.is_worth_asking()).count();
        assert!((800..1200).contains(&asked), "{asked}");
    }

    #[test]
    fn texts_that_begin_to_repeat_are_found_again() {
        let mut exact = Exact::new(64);
        (100..10_000).for_each(|n| assert!(!meet(&mut exact, key(n))));
        for n in 0..10_000 {
            meet(&mut exact, key(n % 10));
        }
        assert!((0..10).all(|n| meet(&mut exact, key(n))));
    }

    #[test]
    fn hits_pay_for_misses_from_one_in_five() {
        let mut exact = Exact::new(64);
        exact.insert(key(0), VERDICT);
        for n in 1..10_000 {
            assert!(exact.is_worth_asking(), "no credit at {n}");
            meet(&mut exact, key(if n % 5 == 0 { 0 } else { n }));
        }
    }
}
