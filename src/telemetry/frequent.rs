//! Which statements come most often, and why they ran where they ran: a bounded table that one worker counts in, and
//! others read.
//!
//! A statement that is not in the table takes the place of one that was counted once, or else takes one from the rarest
//! of the four that it might replace. So what comes often stays, however much else comes once; the count of what has
//! rivals is a lower bound.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Sets of four, a power of two: 4 KiB.
const SETS: usize = 64;
/// A statement that has been counted so often is worth a name.
const NAMED_AT: u64 = 8;
/// The longest name that is kept, in bytes.
const MAX_NAME: usize = 200;
/// Where the reason stands in a tally; the count is below it.
const REASON_SHIFT: u32 = 56;
const COUNT: u64 = (1 << REASON_SHIFT) - 1;

/// What one worker has counted for one (database, user).
#[derive(Debug, Default)]
pub struct Frequent {
    /// Made when the first statement comes.
    sets: OnceLock<Box<[Set]>>,
    /// The texts of the fingerprints in the table, literals masked.
    names: Mutex<HashMap<u64, Box<str>>>,
}

/// One cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([Way; 4]);

#[derive(Debug, Default)]
struct Way {
    fingerprint: AtomicU64,
    /// The reason and how often.
    tally: AtomicU64,
}

/// Whether anything is known of a statement but its fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// As much as need be.
    Known,
    /// It has become frequent: [`Frequent::name`] it.
    Unnamed,
}

/// A statement and how often it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Often {
    /// Its fingerprint.
    pub fingerprint: u64,
    /// The index of the reason why it ran where it ran.
    pub reason: usize,
    /// How often.
    pub count: u64,
    /// Its text, literals masked; empty if it is not known.
    pub text: String,
}

impl Frequent {
    /// A statement has been routed for the reason of this index. Only ever called by the thread that owns the table; 0
    /// stands for no fingerprint.
    #[inline]
    pub fn count(&self, fingerprint: u64, reason: usize) -> Sight {
        if fingerprint == 0 {
            return Sight::Known;
        }
        let Some(set) = self.set(fingerprint) else { return Sight::Known };
        for way in &set.0 {
            let tally = way.tally.load(Ordering::Relaxed);
            if way.fingerprint.load(Ordering::Relaxed) == fingerprint
                && tally >> REASON_SHIFT == reason as u64
            {
                way.tally.store(tally + 1, Ordering::Relaxed);
                let is_due = tally & COUNT == NAMED_AT - 1;
                return if is_due { Sight::Unnamed } else { Sight::Known };
            }
        }
        set.admit(fingerprint, reason);
        Sight::Known
    }

    #[inline]
    fn set(&self, fingerprint: u64) -> Option<&Set> {
        let sets = self.sets.get_or_init(|| (0..SETS).map(|_| Set::default()).collect());
        sets.get(usize::try_from(fingerprint % SETS as u64).ok()?)
    }

    /// What a statement is: its text, literals masked.
    pub fn name(&self, fingerprint: u64, text: &str) {
        let mut names = self.names.lock();
        if names.len() >= SETS * 4 {
            names.retain(|known, _| self.ways().any(|(fingerprint, _)| fingerprint == *known));
        }
        let end = (0..=MAX_NAME.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        names.insert(fingerprint, text.get(..end.unwrap_or(0)).unwrap_or_default().into());
    }

    /// The text of a statement, if it has been named.
    pub fn text(&self, fingerprint: u64) -> Option<Box<str>> {
        self.names.lock().get(&fingerprint).cloned()
    }

    fn ways(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let sets = self.sets.get().into_iter().flatten();
        let ways = sets.flat_map(|set| &set.0);
        let load = |way: &Way| {
            (way.fingerprint.load(Ordering::Relaxed), way.tally.load(Ordering::Relaxed))
        };
        ways.map(load).filter(|(fingerprint, _)| *fingerprint != 0)
    }

    /// The `most` statements that came most often over all workers, the most frequent first.
    pub fn top<'a>(workers: impl Iterator<Item = &'a Self>, most: usize) -> Vec<Often> {
        let mut counts: HashMap<(u64, usize), u64> = HashMap::new();
        let mut names: HashMap<u64, String> = HashMap::new();
        for worker in workers {
            for (fingerprint, tally) in worker.ways() {
                let reason = usize::try_from(tally >> REASON_SHIFT).unwrap_or(usize::MAX);
                *counts.entry((fingerprint, reason)).or_default() += tally & COUNT;
            }
            let known = worker.names.lock();
            names.extend(known.iter().map(|(key, text)| (*key, text.to_string())));
        }
        let often = |((fingerprint, reason), count)| {
            let text = names.get(&fingerprint).cloned().unwrap_or_default();
            Often { fingerprint, reason, count, text }
        };
        let mut all: Vec<Often> = counts.into_iter().map(often).collect();
        all.sort_by_key(|one| (std::cmp::Reverse(one.count), one.fingerprint, one.reason));
        all.truncate(most);
        all
    }
}

impl Set {
    #[cold]
    fn admit(&self, fingerprint: u64, reason: usize) {
        let count = |way: &&Way| way.tally.load(Ordering::Relaxed) & COUNT;
        let Some(rarest) = self.0.iter().min_by_key(count) else { return };
        let tally = rarest.tally.load(Ordering::Relaxed);
        if tally & COUNT > 1 {
            rarest.tally.store(tally - 1, Ordering::Relaxed);
        } else {
            rarest.fingerprint.store(fingerprint, Ordering::Relaxed);
            rarest.tally.store((reason as u64) << REASON_SHIFT | 1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_often_is_counted_whatever_else_comes() {
        let one = Frequent::default();
        for round in 1..=1_000_u64 {
            one.count(7, 1);
            one.count(7, 2);
            one.count(7, 1);
            // Rivals for the same four places, each once.
            one.count(7 + 64 * round, 1);
        }
        let top = Frequent::top([&one, &Frequent::default()].into_iter(), 2);
        let told: Vec<_> = top.iter().map(|one| (one.fingerprint, one.reason)).collect();
        assert_eq!(told, [(7, 1), (7, 2)]);
        assert_eq!((top[0].count, top[1].count), (2_000, 1_000));
        assert_eq!(one.count(0, 1), Sight::Known);
    }

    #[test]
    fn a_frequent_statement_is_named_once() {
        let one = Frequent::default();
        let seen: Vec<_> = (0..10).map(|_| one.count(5, 3)).collect();
        assert_eq!(seen.iter().filter(|sight| **sight == Sight::Unnamed).count(), 1);
        one.name(5, &"ä".repeat(150));
        let top = Frequent::top(std::iter::once(&one), 1);
        assert_eq!((top[0].count, top[0].text.len()), (10, MAX_NAME));
        assert_eq!(one.text(5).as_deref(), Some(&*top[0].text));
    }

    #[test]
    fn a_set_is_one_cache_line() {
        assert_eq!(size_of::<Set>(), 64);
    }
}
