//! Prepared statements: what they are, shared by all who use the same text, and which of them a server has.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::protocol::frontend::{self, Object};
use crate::sql::{LiveCatalog, Verdict};

/// Tells statements apart: equal ids mean equal text and parameter types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StatementId(pub u64);

/// A prepared statement, independent of the names that clients and servers give it.
#[derive(Debug)]
pub struct Statement {
    /// Its identity.
    pub id: StatementId,
    /// Its text.
    pub query: Box<[u8]>,
    /// Its parameter types as they stand in Parse: OID 0 and an explicit OID are different statements.
    pub types: Box<[u8]>,
    /// The database that its text is about: the same text is another statement elsewhere.
    pub origin: u64,
    /// The edition of the catalog that the verdict rests on.
    pub edition: u64,
    /// What it does.
    pub verdict: Verdict,
}

impl Statement {
    /// Whether it has this text and these parameter types.
    #[inline]
    pub fn is(&self, query: &[u8], types: &[u8]) -> bool {
        *self.query == *query && *self.types == *types
    }

    /// The same statement after its database's catalog has changed.
    fn renewed(&self, edition: u64, verdict: Verdict) -> Self {
        let Self { id, origin, ref query, ref types, .. } = *self;
        Self { id, query: query.clone(), types: types.clone(), origin, edition, verdict }
    }
}

/// A statement's name on one server. Numbers are never used twice on a connection, so a Parse can never
/// collide with a statement whose Close has not been carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerName(u32);

impl ServerName {
    /// A name that no statement ever has.
    pub const NOBODY: Self = Self(0);

    /// The name's longest form in bytes.
    const MAX_LEN: usize = 14;

    /// Writes the name, without allocating.
    pub fn text(self) -> ServerNameText {
        let mut text = ServerNameText { bytes: [0; Self::MAX_LEN], len: 0 };
        let mut digits = [0; 10];
        let mut rest = self.0;
        let mut count = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            count += 1;
            if rest == 0 {
                break;
            }
        }
        let digits = digits.get(10 - count..).unwrap_or_default();
        for byte in b"pgl_".iter().chain(digits) {
            if let Some(place) = text.bytes.get_mut(text.len) {
                *place = *byte;
                text.len += 1;
            }
        }
        text
    }
}

/// A [`ServerName`] as text.
#[derive(Clone, Copy, Debug)]
pub struct ServerNameText {
    bytes: [u8; ServerName::MAX_LEN],
    len: usize,
}

impl ServerNameText {
    /// The name's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug)]
struct Prepared {
    name: ServerName,
    used: u64,
    state: State,
}

/// Where a statement stands on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Parse is on its way.
    Preparing,
    /// ParseComplete has come back.
    Prepared,
}

/// The statements of one server.
#[derive(Debug, Default)]
pub struct Statements {
    named: HashMap<StatementId, Prepared, FixedState>,
    /// What the server's unnamed statement is, if it is known.
    unnamed: Option<StatementId>,
    clock: u64,
    next: u32,
}

impl Statements {
    /// The name under which the server has the statement, or will once the Parse on its way is done.
    #[inline]
    pub fn name(&mut self, id: StatementId) -> Option<ServerName> {
        self.clock += 1;
        let clock = self.clock;
        self.named.get_mut(&id).map(|prepared| {
            prepared.used = clock;
            prepared.name
        })
    }

    /// Gives the statement a name for a Parse that is about to be sent.
    pub fn prepare(&mut self, id: StatementId) -> ServerName {
        self.clock += 1;
        self.next = self.next.wrapping_add(1);
        let name = ServerName(self.next);
        let prepared = Prepared { name, used: self.clock, state: State::Preparing };
        self.named.insert(id, prepared);
        name
    }

    /// ParseComplete has come back.
    pub fn confirm(&mut self, id: StatementId) {
        if let Some(prepared) = self.named.get_mut(&id) {
            prepared.state = State::Prepared;
        }
    }

    /// The Parse failed or was skipped: the server does not have the statement.
    pub fn forget(&mut self, id: StatementId) {
        if self.named.get(&id).is_some_and(|prepared| prepared.state == State::Preparing) {
            self.named.remove(&id);
        }
    }

    /// What the server's unnamed statement is.
    #[inline]
    pub fn unnamed(&self) -> Option<StatementId> {
        self.unnamed
    }

    /// The server's unnamed statement has changed, or is unknown from now on.
    #[inline]
    pub fn set_unnamed(&mut self, id: Option<StatementId>) {
        self.unnamed = id;
    }

    /// The server has lost all statements: DISCARD ALL or DEALLOCATE ALL.
    pub fn clear(&mut self) {
        self.named.clear();
        self.unnamed = None;
    }

    /// How many statements the server has.
    pub fn len(&self) -> usize {
        self.named.len()
    }

    /// Whether the server has none.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// Removes the least recently used statements beyond `limit` and writes a Close for each. To be called
    /// only while nothing is on its way to the server, so that no pipeline refers to what goes. Returns how
    /// many Close messages were written.
    ///
    /// An eighth of the limit goes at a time: the search for the oldest is then paid for by the many Parse
    /// messages that came before it.
    pub fn evict(&mut self, limit: usize, out: &mut Vec<u8>) -> usize {
        if self.named.len() <= limit {
            return 0;
        }
        let excess = (self.named.len() - limit + limit / 8).min(self.named.len());
        let mut ages: Vec<(u64, StatementId)> =
            self.named.iter().map(|(id, prepared)| (prepared.used, *id)).collect();
        if excess < ages.len() {
            ages.select_nth_unstable_by_key(excess, |(used, _)| *used);
        }
        for (_, id) in ages.iter().take(excess) {
            if let Some(prepared) = self.named.remove(id) {
                frontend::close(out, Object::Statement, prepared.name.text().as_bytes());
            }
        }
        excess
    }
}

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

    /// The statement with this text and these parameter types; `classify` is asked about one that is new, or new to
    /// this edition of its database's catalog.
    pub fn intern(
        &mut self,
        (query, types): (&[u8], &[u8]),
        catalog: &LiveCatalog,
        classify: impl FnOnce(&[u8]) -> Verdict,
    ) -> Arc<Statement> {
        use std::hash::{BuildHasher, Hasher};
        let mut hasher = self.hasher.build_hasher();
        hasher.write(query);
        hasher.write(types);
        let (origin, edition) = (catalog.origin(), catalog.edition());
        hasher.write_u64(origin);
        let hash = hasher.finish();
        let is_same = |known: &&Arc<Statement>| known.origin == origin && known.is(query, types);
        let young = self.young.get(&hash).filter(is_same);
        if let Some(known) = young.filter(|known| known.edition == edition) {
            return Arc::clone(known);
        }
        let statement = match young.or_else(|| self.old.get(&hash).filter(is_same)) {
            Some(known) if known.edition == edition => Arc::clone(known),
            Some(known) => Arc::new(known.renewed(edition, classify(query))),
            None => {
                let id = self.ids.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Arc::new(Statement {
                    id: StatementId(id),
                    query: query.into(),
                    types: types.into(),
                    origin,
                    edition,
                    verdict: classify(query),
                })
            }
        };
        if self.young.len() >= self.limit {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, Arc::clone(&statement));
        statement
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Catalog, Class, Effects, Tables};

    fn id(n: u64) -> StatementId {
        StatementId(n)
    }

    #[test]
    fn names_are_never_used_twice() {
        let mut statements = Statements::default();
        let first = statements.prepare(id(1));
        statements.forget(id(1));
        let second = statements.prepare(id(1));
        assert_ne!(first, second);
        assert_eq!(first.text().as_bytes(), b"pgl_1");
        assert_eq!(ServerName(u32::MAX).text().as_bytes(), b"pgl_4294967295");
    }

    #[test]
    fn a_confirmed_statement_outlives_a_late_failure() {
        let mut statements = Statements::default();
        let name = statements.prepare(id(1));
        statements.confirm(id(1));
        statements.forget(id(1));
        assert_eq!(statements.name(id(1)), Some(name));
    }

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
        let first = interner.intern(text, &catalog, |_| verdict(1));
        let same = interner.intern(text, &catalog, |_| verdict(2));
        assert!(Arc::ptr_eq(&first, &same));
        catalog.publish(Catalog::builtin());
        let renewed = interner.intern(text, &catalog, |_| verdict(3));
        assert_eq!((renewed.id, renewed.verdict.fingerprint), (first.id, 3));
        let elsewhere = LiveCatalog::new(Catalog::builtin(), 9);
        assert_ne!(interner.intern(text, &elsewhere, |_| verdict(4)).id, first.id);
    }

    #[test]
    fn eviction_takes_the_least_recently_used() {
        let mut statements = Statements::default();
        for n in 0..10 {
            statements.prepare(id(n));
            statements.confirm(id(n));
        }
        statements.name(id(0));
        let mut out = Vec::new();
        assert_eq!(statements.evict(8, &mut out), 3);
        assert!(statements.name(id(0)).is_some());
        assert!(statements.name(id(1)).is_none() && statements.name(id(3)).is_none());
        assert_eq!(statements.len(), 7);
        assert_eq!(statements.evict(8, &mut out), 0);
    }
}
