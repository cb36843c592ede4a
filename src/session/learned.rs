//! What statements have turned out to be that their texts do not tell; until the catalog changes or an hour has passed.
//!
//! Reads that a replica has refused as writes ran again on the primary, and go there at once from then on. Writes whose
//! client has asked for `currval` or `lastval` when they were over keep their server for that.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::clock::Mono;
use crate::protocol::SqlState;

/// How many are remembered.
const REMEMBERED: usize = 256;

/// For how long.
const VALID: Duration = Duration::from_hours(1);

/// The fingerprints of such statements.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    /// Whether there are any.
    any: AtomicBool,
    lessons: ArcSwap<HashMap<u64, Arc<Lesson>>>,
}

#[derive(Debug)]
struct Lesson {
    /// The edition of the catalog by which it was taken for a read.
    edition: u64,
    learned: Mono,
    /// How often it has gone to the primary because of this.
    uses: AtomicU64,
}

impl Lesson {
    fn is_valid(&self, edition: u64, now: Mono) -> bool {
        self.edition == edition && now.saturating_since(self.learned) < VALID
    }
}

/// Whether an error of this code says that a statement is no read, rather than that its replica is not well.
pub(super) fn teaches(code: SqlState) -> bool {
    matches!(
        code,
        SqlState::READ_ONLY_TRANSACTION
            | SqlState::FEATURE_NOT_SUPPORTED
            | SqlState::INTERNAL_ERROR
            | SqlState::OBJECT_NOT_IN_STATE
    )
}

impl Learned {
    /// Whether a read of this fingerprint has to go to the primary.
    #[inline]
    pub(crate) fn denies(&self, fingerprint: u64, edition: u64, now: Mono) -> bool {
        self.any.load(Ordering::Relaxed) && self.look_up(fingerprint, edition, now)
    }

    fn look_up(&self, fingerprint: u64, edition: u64, now: Mono) -> bool {
        let lessons = self.lessons.load();
        let lesson = lessons.get(&fingerprint).filter(|lesson| lesson.is_valid(edition, now));
        if let Some(lesson) = lesson {
            lesson.uses.fetch_add(1, Ordering::Relaxed);
        }
        lesson.is_some()
    }

    /// Whether this fingerprint has been learned.
    #[inline]
    pub(crate) fn has(&self, fingerprint: u64, edition: u64, now: Mono) -> bool {
        self.any.load(Ordering::Relaxed) && self.knows(fingerprint, edition, now)
    }

    /// The same without counting it as a use.
    pub(crate) fn knows(&self, fingerprint: u64, edition: u64, now: Mono) -> bool {
        let lessons = self.lessons.load();
        lessons.get(&fingerprint).is_some_and(|lesson| lesson.is_valid(edition, now))
    }

    /// Remembers a fingerprint; 0 stands for none.
    pub(crate) fn learn(&self, fingerprint: u64, edition: u64, now: Mono) {
        if fingerprint == 0 {
            return;
        }
        let lesson = Arc::new(Lesson { edition, learned: now, uses: AtomicU64::new(0) });
        self.lessons.rcu(|known| {
            let mut lessons = HashMap::clone(known);
            lessons.retain(|_, lesson| lesson.is_valid(edition, now));
            let oldest = lessons.iter().min_by_key(|(_, lesson)| lesson.learned);
            if lessons.len() >= REMEMBERED
                && let Some(oldest) = oldest.map(|(fingerprint, _)| *fingerprint)
            {
                lessons.remove(&oldest);
            }
            lessons.insert(fingerprint, Arc::clone(&lesson));
            lessons
        });
        self.any.store(true, Ordering::Relaxed);
    }

    /// What has been learned, and how often it was of use.
    pub(crate) fn list(&self) -> Vec<(u64, u64)> {
        let lessons = self.lessons.load();
        let uses = |lesson: &Lesson| lesson.uses.load(Ordering::Relaxed);
        lessons.iter().map(|(fingerprint, lesson)| (*fingerprint, uses(lesson))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_holds_for_an_hour_and_one_catalog() {
        let learned = Learned::default();
        let now = Mono(1);
        assert!(!learned.denies(7, 1, now));
        learned.learn(7, 1, now);
        learned.learn(0, 1, now);
        assert!(learned.denies(7, 1, now) && learned.has(7, 1, now));
        assert!(!learned.denies(8, 1, now) && !learned.denies(0, 1, now));
        assert!(!learned.denies(7, 2, now));
        assert!(!learned.denies(7, 1, now.plus(VALID)));
        assert_eq!(learned.list(), [(7, 1)]);
    }

    #[test]
    fn the_oldest_lesson_is_forgotten_first() {
        let learned = Learned::default();
        for number in 1..=u64::try_from(REMEMBERED).unwrap() + 1 {
            learned.learn(number, 1, Mono(number));
        }
        let now = Mono(1_000);
        assert!(!learned.denies(1, 1, now) && learned.denies(2, 1, now));
        assert_eq!(learned.list().len(), REMEMBERED);
    }
}
