//! Equal prepared statements are kept once.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::server::statements::{Background, Reuse, Statement, StatementId, body};
use crate::sql::{Effects, LiveCatalog, Verdict};

/// All statements that clients of one worker use, so that equal ones are kept once.
///
/// Two generations: what has not been used since the last but one turn-over is forgotten here, and lives on only
/// where a client holds it by name.
#[derive(Debug)]
pub struct Interner {
    young: HashMap<u64, Arc<Statement>, FixedState>,
    old: HashMap<u64, Arc<Statement>, FixedState>,
    limit: usize,
    hasher: foldhash::quality::RandomState,
    ids: Arc<std::sync::atomic::AtomicU64>,
}

/// What depends on a cursor or a statement that the session has: it is never another client's, nor its own twice.
///
/// PostgreSQL remembers the columns that a FETCH had when it was parsed. To describe it when its cursor has gone brings
/// the whole server down: `FetchStatementTargetList` in `src/backend/tcop/pquery.c` follows a null pointer.
const TIED: Effects = Effects::EXECUTES.union(Effects::FETCHES);

impl Interner {
    /// Room for `limit` statements in each generation; `ids` is shared by all workers.
    pub fn new(limit: usize, ids: Arc<std::sync::atomic::AtomicU64>) -> Self {
        Self {
            young: HashMap::default(),
            old: HashMap::default(),
            limit,
            hasher: foldhash::quality::RandomState::default(),
            ids,
        }
    }

    /// The statement with this text and these parameter types, parsed under these circumstances; `classify` is
    /// asked about one that is new, or new to this edition of its database's catalog. Under circumstances of which
    /// nothing is known each is a new one.
    pub fn intern(
        &mut self,
        (query, types): (&[u8], &[u8]),
        (catalog, background): (&LiveCatalog, Option<&Background>),
        classify: impl FnOnce(&[u8]) -> Verdict,
    ) -> Arc<Statement> {
        use std::hash::{BuildHasher, Hash, Hasher};
        let (origin, edition) = (catalog.origin(), catalog.edition());
        let new = |background: Option<&Background>, verdict, reuse| {
            let id = self.ids.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            Arc::new(Statement {
                id: StatementId(id),
                query: query.into(),
                types: types.into(),
                origin,
                edition,
                verdict,
                reuse,
                background: background.cloned(),
                shape: Arc::default(),
            })
        };
        let body = body(query, types);
        let Some(background) = background else {
            return new(None, classify(body), Reuse::Never);
        };
        let mut hasher = self.hasher.build_hasher();
        hasher.write(query);
        hasher.write(types);
        hasher.write_u64(origin);
        background.hash(&mut hasher);
        let hash = hasher.finish();
        let is_same = |known: &&Arc<Statement>| {
            known.origin == origin
                && known.is(query, types)
                && known.background.as_ref() == Some(background)
                && !known.shape.is_retired()
        };
        let young = self.young.get(&hash).filter(is_same);
        if let Some(known) = young.filter(|known| known.edition == edition) {
            return Arc::clone(known);
        }
        let statement = match young.or_else(|| self.old.get(&hash).filter(is_same)) {
            Some(known) if known.edition == edition => Arc::clone(known),
            Some(known) => Arc::new(known.renewed(edition, classify(body))),
            None => {
                let verdict = classify(body);
                if verdict.effects.intersects(TIED) {
                    return new(None, verdict, Reuse::Never);
                }
                new(Some(background), verdict, Reuse::of(body, verdict))
            }
        };
        if self.young.len() >= self.limit {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, Arc::clone(&statement));
        statement
    }

    /// The same statement in the present edition of its database's catalog.
    pub fn renew(
        &mut self,
        old: &Statement,
        catalog: &LiveCatalog,
        classify: impl FnOnce(&[u8]) -> Verdict,
    ) -> Arc<Statement> {
        match &old.background {
            None => Arc::new(old.renewed(catalog.edition(), classify(old.body()))),
            known => {
                let text = (&*old.query, &*old.types);
                let renewed = self.intern(text, (catalog, known.as_ref()), classify);
                // What its clients were told of it stays true of it alone.
                let is_same = renewed.id == old.id;
                if is_same {
                    renewed
                } else {
                    Arc::new(old.renewed(catalog.edition(), renewed.verdict))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Catalog, Class, Tables};

    #[test]
    fn a_statement_keeps_its_identity_when_its_verdict_may_change() {
        let verdict = |fingerprint| Verdict {
            class: Class::Read,
            effects: Effects::empty(),
            fingerprint,
            tables: Tables::NONE,
        };
        let mut interner = Interner::new(8, Arc::default());
        let catalog = LiveCatalog::new(Catalog::builtin(), 7);
        let text = (b"select 1".as_slice(), b"".as_slice());
        let background = Background::default();
        let here = Some(&background);
        let first = interner.intern(text, (&catalog, here), |_| verdict(1));
        let same = interner.intern(text, (&catalog, here), |_| verdict(2));
        assert!(Arc::ptr_eq(&first, &same));
        catalog.publish(Catalog::builtin());
        let renewed = interner.intern(text, (&catalog, here), |_| verdict(3));
        assert_eq!((renewed.id, renewed.verdict.fingerprint), (first.id, 3));
        let elsewhere = LiveCatalog::new(Catalog::builtin(), 9);
        assert_ne!(interner.intern(text, (&elsewhere, here), |_| verdict(4)).id, first.id);
    }

    #[test]
    fn what_depends_on_a_cursor_or_a_statement_is_nobody_elses() {
        let mut interner = Interner::new(8, Arc::default());
        let (catalog, background) = (LiveCatalog::default(), Background::default());
        for effects in [Effects::FETCHES, Effects::EXECUTES, Effects::empty()] {
            let tables = Tables::NONE;
            let verdict = Verdict { class: Class::Read, effects, fingerprint: 0, tables };
            let mut intern =
                || interner.intern((b"a", b""), (&catalog, Some(&background)), |_| verdict).id;
            assert_eq!(intern() == intern(), effects.is_empty());
        }
    }

    #[test]
    fn the_same_text_is_another_statement_under_other_circumstances() {
        let mut interner = Interner::new(8, Arc::default());
        let catalog = LiveCatalog::default();
        let mut intern = |background: Option<&Background>| {
            let verdict = Verdict {
                class: Class::Read,
                effects: Effects::empty(),
                fingerprint: 0,
                tables: Tables::NONE,
            };
            interner.intern((b"select 1", &[0, 0]), (&catalog, background), |_| verdict)
        };
        let plain = Background::default();
        let path = (Box::from("search_path"), crate::server::settings::Value::Config("a".into()));
        let elsewhere = Background { meaning: Some([path].into()), schema: 0 };
        let later = Background { meaning: None, schema: 1 };
        let ids = [Some(&plain), Some(&elsewhere), Some(&later), None, None]
            .map(|background| intern(background).id);
        assert!((1..ids.len()).all(|n| !ids[..n].contains(&ids[n])));
        assert_eq!(intern(Some(&elsewhere)).id, ids[1]);
        assert_eq!(intern(None).reuse, Reuse::Never);
    }
}
