//! Hashes of texts: cache keys, and the fingerprints that are shown.

use std::hash::{BuildHasher, Hasher};

use foldhash::SharedSeed;
use foldhash::quality::{FoldHasher, SeedableRandomState};

/// Makes 128-bit keys of texts: two independent hashes, as a collision would be a wrong verdict.
pub(super) struct Keys {
    /// One seed each: lanes that share one would fail together on a text that meets it.
    lanes: [(u64, SharedSeed); 2],
}

impl Keys {
    /// The seeds are random per process and the same on all workers, so their keys agree.
    pub(super) fn new() -> Self {
        let global = SharedSeed::global_random();
        let lane = |number: u64| {
            let state = SeedableRandomState::with_seed(number, global);
            (state.hash_one(1_u64), SharedSeed::from_u64(state.hash_one(2_u64)))
        };
        Self { lanes: [lane(0x9e37_79b9_7f4a_7c15), lane(0xc2b2_ae3d_27d4_eb4f)] }
    }

    /// The key of a text.
    #[inline]
    pub(super) fn key(&self, text: &[u8]) -> u128 {
        let [low, high] = self.lanes.each_ref().map(|(start, seed)| {
            let mut hasher = FoldHasher::with_seed(*start, seed);
            hasher.write(text);
            hasher.finish()
        });
        u128::from(high) << 64 | u128::from(low)
    }
}

/// The key under which a text's verdict by this edition of a catalog is kept: another one for each
/// edition.
#[inline]
pub(super) const fn in_edition(key: u128, edition: u64) -> u128 {
    key ^ (edition as u128) << 64
}

/// The hash that is shown; zero stands for "none".
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
pub(super) fn fingerprint(key: u128) -> u64 {
    (key as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_agree_and_editions_and_lanes_differ() {
        let key = Keys::new().key(b"select");
        assert_eq!(key, Keys::new().key(b"select"));
        assert_ne!(in_edition(key, 1), in_edition(key, 2));
        assert_eq!(fingerprint(in_edition(key, 1)), fingerprint(key));
        assert_ne!(fingerprint(key), fingerprint(key >> 64));
    }
}
