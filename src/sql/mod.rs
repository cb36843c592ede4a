//! What a statement is: which server may run it, and what it does to the session.
//!
//! [`Classifier::classify`] answers in five steps, each taken only when the one before has no
//! answer:
//!
//! 1. a comparison with the texts met lately, their plain literals left out (`stencil`);
//! 2. the hash of the exact text, in a small cache, as long as texts repeat (`exact`);
//! 3. the hash of the text in canonical form (`canonical`: literals masked), in a larger cache;
//! 4. for everything but queries, the first words (`utility`) and the words that betray effects
//!    (`scan`);
//! 5. for queries, the tokens and then the tree (`query`, `ast`): a query is a read only if each
//!    of its forms and names is known to be safe on a standby.
//!
//! Steps 3 to 5 see only the canonical form, so equal fingerprints have equal classes by
//! construction. What is not understood goes to the primary. This module knows nothing of servers,
//! sessions or replicas. Rules and their reasons: PostgreSQL's manual, "Hot Standby", and
//! `src/backend/tcop/utility.c`, `ClassifyUtilityCommandAsReadOnly`.

mod anatomy;
mod ast;
mod cache;
mod canonical;
mod catalog;
pub mod channels;
mod classify;
mod cursor;
mod exact;
mod fields;
mod forms;
mod functions;
pub mod hint;
mod keys;
mod lexer;
pub mod prepared;
mod query;
mod reach;
pub mod reuse;
mod scan;
pub mod settings;
mod stencil;
mod tables;
pub mod transactions;
mod translate;
mod utility;
mod verdict;

use std::fmt;

use cache::Cache;
use canonical::{Canonical, Masking};
use classify::{Depth, Finding};
use exact::Exact;
use keys::{Keys, fingerprint, in_edition};
use lexer::Unlexable;
use stencil::Stencils;

pub use anatomy::{Part, PartKind};
pub use catalog::{BadRow, Catalog, Census, Facts, LiveCatalog, Overrides, Snapshot, Trees};
pub use tables::Tables;
pub use verdict::{Access, Begin, Class, Effects, Isolation, Verdict, Why};

/// Entries of the cache by exact text: 256 KiB.
const EXACT_ENTRIES: usize = 4096;
/// Texts longer than this are not cached by exact text: few repeat, and hashing them costs.
const MAX_EXACT: usize = 64 * 1024;
/// Texts longer than this are not even lexed: 4 MiB take some milliseconds.
const MAX_LEXED: usize = 4 * 1024 * 1024;

/// Classifies texts and remembers the verdicts. One per worker thread.
pub struct Classifier {
    stencils: Stencils,
    exact: Exact,
    by_form: Cache,
    canonical: Canonical,
    keys: Keys,
}

impl Classifier {
    /// A classifier that remembers the verdicts of about `entries` canonical forms.
    pub fn new(entries: usize) -> Self {
        Self {
            stencils: Stencils::new(),
            exact: Exact::new(EXACT_ENTRIES),
            by_form: Cache::new(entries),
            canonical: Canonical::default(),
            keys: Keys::new(),
        }
    }

    /// What `sql` is, to a database whose objects `catalog` describes. The description itself is
    /// looked at only if no verdict is remembered.
    ///
    /// Never fails, takes time linear in the length, and does not allocate if the exact text or
    /// its form is remembered.
    pub fn classify(&mut self, sql: &[u8], catalog: &LiveCatalog) -> Verdict {
        if sql.len() > MAX_EXACT {
            let masking = self.lex(sql);
            return self.classify_lexed(sql, masking, catalog);
        }
        let edition = catalog.edition();
        if let Some(verdict) = self.stencils.find(sql, edition) {
            return verdict;
        }
        let asked = self.exact.is_worth_asking().then(|| self.exact_key(sql, catalog));
        if let Some(key) = asked
            && let Some(verdict) = self.exact.find(key)
        {
            return verdict;
        }
        let masking = self.lex(sql);
        if matches!(masking, Ok(Masking::Verbatim | Masking::Overflow)) {
            return self.classify_without_form(sql, masking, asked, catalog);
        }
        let verdict = self.classify_lexed(sql, masking, catalog);
        if masking == Ok(Masking::Full) {
            self.stencils.learn(sql, verdict, edition);
        }
        if let Some(key) = asked {
            self.exact.insert_if_seen(key, verdict);
        }
        verdict
    }

    /// The names in `sql`, each with why it keeps `sql` on the primary: for people, who ask one at a time.
    pub fn parts(&mut self, sql: &[u8], catalog: &LiveCatalog) -> Vec<Part> {
        match self.lex(sql) {
            Ok(Masking::Full | Masking::Verbatim) => {
                anatomy::parts(self.canonical.form(), &catalog.load())
            }
            Ok(Masking::Overflow) | Err(_) => Vec::new(),
        }
    }

    /// `sql` with its literals masked, as its fingerprint stands for it; empty if it has none.
    pub fn form(&mut self, sql: &[u8]) -> &[u8] {
        match self.lex(sql) {
            Ok(Masking::Full) => self.canonical.form(),
            Ok(Masking::Overflow | Masking::Verbatim) | Err(_) => &[],
        }
    }

    fn exact_key(&self, sql: &[u8], catalog: &LiveCatalog) -> u128 {
        in_edition(self.keys.key(sql), catalog.edition())
    }

    /// Checks `sql` and writes its canonical form.
    fn lex(&mut self, sql: &[u8]) -> Result<Masking, Why> {
        if sql.len() > MAX_LEXED {
            return Err(Why::TooLong);
        }
        lexer::encoding(sql)
            .and_then(|()| self.canonical.write(sql))
            .map_err(|_: Unlexable| Why::Unparsed)
    }

    /// Classifies a text that is remembered by its exact text or not at all.
    fn classify_without_form(
        &mut self,
        sql: &[u8],
        masking: Result<Masking, Why>,
        asked: Option<u128>,
        catalog: &LiveCatalog,
    ) -> Verdict {
        let key = asked.unwrap_or_else(|| self.exact_key(sql, catalog));
        if asked.is_none()
            && let Some(verdict) = self.exact.recall(key)
        {
            return verdict;
        }
        let verdict = self.classify_lexed(sql, masking, catalog);
        self.exact.insert(key, verdict);
        verdict
    }

    /// Classifies the text that was just lexed.
    fn classify_lexed(
        &mut self,
        sql: &[u8],
        masking: Result<Masking, Why>,
        catalog: &LiveCatalog,
    ) -> Verdict {
        match masking {
            Err(why) => verdict(Finding::opaque(why), 0),
            Ok(Masking::Overflow) => {
                self.canonical.shrink();
                verdict(classify::text(sql, Depth::Tokens, &catalog.load()), 0)
            }
            Ok(masking) => {
                let (finding, fingerprint) = self.classify_form(masking, catalog);
                verdict(finding.with_hint(hint::leading(sql)), fingerprint)
            }
        }
    }

    /// Classifies the form that was just written.
    fn classify_form(&mut self, masking: Masking, catalog: &LiveCatalog) -> (Finding, u64) {
        let form = self.canonical.form();
        if form.is_empty() {
            return (classify::text(form, Depth::Parse, &catalog.load()), 0);
        }
        let key = self.keys.key(form);
        let fingerprint = fingerprint(key);
        if masking == Masking::Verbatim {
            return (classify::text(form, Depth::Parse, &catalog.load()), fingerprint);
        }
        let key = in_edition(key, catalog.edition());
        if let Some(Verdict { class, effects, tables, .. }) = self.by_form.find(key) {
            return (Finding { class, effects, tables }, fingerprint);
        }
        let finding = classify::text(form, Depth::Parse, &catalog.load());
        self.by_form.insert(key, verdict(finding, fingerprint));
        (finding, fingerprint)
    }
}

impl fmt::Debug for Classifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Classifier").finish_non_exhaustive()
    }
}

const fn verdict(finding: Finding, fingerprint: u64) -> Verdict {
    let Finding { class, effects, tables } = finding;
    Verdict { class, effects, fingerprint, tables }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
