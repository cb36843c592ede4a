//! What a statement is: which server may run it, and what it does to the session.
//!
//! [`Classifier::classify`] answers in four steps, each taken only when the one before has no
//! answer:
//!
//! 1. the hash of the exact text, in a small cache;
//! 2. the hash of the text in canonical form (`canonical`: literals masked), in a larger cache;
//! 3. for everything but queries, the first words (`utility`) and the words that betray effects
//!    (`scan`);
//! 4. for queries, the tokens and then the tree (`query`, `ast`): a query is a read only if each
//!    of its forms and names is known to be safe on a standby.
//!
//! Steps 2 to 4 see only the canonical form, so equal fingerprints have equal classes by
//! construction. What is not understood goes to the primary. This module knows nothing of servers,
//! sessions or replicas. Rules and their reasons: PostgreSQL's manual, "Hot Standby", and
//! `src/backend/tcop/utility.c`, `ClassifyUtilityCommandAsReadOnly`.

mod ast;
mod cache;
mod canonical;
mod catalog;
mod classify;
mod cursor;
mod functions;
pub mod hint;
mod lexer;
pub mod prepared;
mod query;
mod scan;
pub mod settings;
mod utility;
mod verdict;

use std::fmt;
use std::hash::{BuildHasher, Hasher};

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;

use cache::Cache;
use canonical::{Canonical, Masking};
use classify::{Depth, Finding};

pub use catalog::Catalog;
pub use verdict::{Access, Begin, Class, Effects, Isolation, Verdict, Why};

/// Entries of the cache by exact text: 256 KiB.
const EXACT_ENTRIES: usize = 4096;
/// Texts longer than this are not cached by exact text: few repeat, and hashing them costs.
const MAX_EXACT: usize = 64 * 1024;
/// Texts longer than this are not even lexed: 4 MiB take some milliseconds.
const MAX_LEXED: usize = 4 * 1024 * 1024;

/// Classifies texts and remembers the verdicts. One per worker thread.
pub struct Classifier {
    exact: Cache,
    by_form: Cache,
    canonical: Canonical,
    hashers: [SeedableRandomState; 2],
}

impl Classifier {
    /// A classifier that remembers the verdicts of about `entries` canonical forms.
    pub fn new(entries: usize) -> Self {
        // The seed is random per process and the same on all workers, so their fingerprints agree.
        let seed = SharedSeed::global_random();
        let hasher = |lane| SeedableRandomState::with_seed(lane, seed);
        Self {
            exact: Cache::new(EXACT_ENTRIES),
            by_form: Cache::new(entries),
            canonical: Canonical::default(),
            hashers: [hasher(0x9e37_79b9_7f4a_7c15), hasher(0xc2b2_ae3d_27d4_eb4f)],
        }
    }

    /// What `sql` is, to a database whose objects `catalog` describes.
    ///
    /// Never fails, takes time linear in the length, and does not allocate if the exact text or
    /// its form is remembered.
    pub fn classify(&mut self, sql: &[u8], catalog: &Catalog) -> Verdict {
        if sql.len() > MAX_EXACT {
            return self.classify_anew(sql, catalog);
        }
        let key = self.key(sql, catalog.generation());
        if let Some(verdict) = self.exact.find(key) {
            return verdict;
        }
        let verdict = self.classify_anew(sql, catalog);
        self.exact.insert(key, verdict);
        verdict
    }

    fn classify_anew(&mut self, sql: &[u8], catalog: &Catalog) -> Verdict {
        let opaque = |why| verdict(Finding::opaque(why), 0);
        if sql.len() > MAX_LEXED {
            return opaque(Why::TooLong);
        }
        if lexer::check(sql).is_err() {
            return opaque(Why::Unparsed);
        }
        let hint = hint::leading(sql);
        match self.canonical.write(sql) {
            Err(_) => opaque(Why::Unparsed),
            Ok(Masking::Overflow) => {
                self.canonical.shrink();
                verdict(classify::text(sql, Depth::Tokens, catalog), 0)
            }
            Ok(masking) => {
                let (finding, fingerprint) = self.classify_form(masking, catalog);
                verdict(finding.with_hint(hint), fingerprint)
            }
        }
    }

    /// Classifies the form that was just written.
    fn classify_form(&mut self, masking: Masking, catalog: &Catalog) -> (Finding, u64) {
        let form = self.canonical.form();
        if form.is_empty() {
            return (classify::text(form, Depth::Parse, catalog), 0);
        }
        let key = self.key(form, catalog.generation());
        let fingerprint = self.fingerprint(form);
        if masking == Masking::Verbatim {
            return (classify::text(form, Depth::Parse, catalog), fingerprint);
        }
        if let Some(Verdict { class, effects, fingerprint }) = self.by_form.find(key) {
            return (Finding { class, effects }, fingerprint);
        }
        let finding = classify::text(form, Depth::Parse, catalog);
        self.by_form.insert(key, verdict(finding, fingerprint));
        (finding, fingerprint)
    }

    /// The cache key of a text: two independent hashes, as a collision would be a wrong verdict.
    fn key(&self, text: &[u8], generation: u64) -> u128 {
        let [low, high] = self.hashers.each_ref().map(|state| {
            let mut hasher = state.build_hasher();
            hasher.write_u64(generation);
            hasher.write(text);
            hasher.finish()
        });
        u128::from(high) << 64 | u128::from(low)
    }

    fn fingerprint(&self, form: &[u8]) -> u64 {
        let [state, _] = &self.hashers;
        let mut hasher = state.build_hasher();
        hasher.write(form);
        // Zero stands for "none".
        hasher.finish().max(1)
    }
}

impl fmt::Debug for Classifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Classifier").finish_non_exhaustive()
    }
}

const fn verdict(finding: Finding, fingerprint: u64) -> Verdict {
    Verdict { class: finding.class, effects: finding.effects, fingerprint }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
