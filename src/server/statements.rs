//! Prepared statements: what they are, shared by all who use the same text, and which of them a server has.

mod described;
mod name;
mod named;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Mono;
use crate::protocol::frontend::{self, Object};
use crate::server::census::Census;
use crate::server::given::Given;
use crate::server::settings::Meaning;
use crate::server::shape::Shape;
use crate::sql::{Verdict, prepared, reuse};
pub use described::Looks;
use described::{Described, Unseen};
pub use name::{ServerName, ServerNameText};
use named::{Named, Prepared};

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
    /// Its parameter types as they stand in Parse: OID 0 and an explicit OID are different statements. Empty, without
    /// even a count, for a statement of SQL's PREPARE, whose text is that whole command.
    pub types: Box<[u8]>,
    /// The database that its text is about: the same text is another statement elsewhere.
    pub origin: u64,
    /// The edition of the catalog that the verdict rests on.
    pub edition: u64,
    /// What it does.
    pub verdict: Verdict,
    /// Whether a plan of it may stand in for parsing it again.
    pub reuse: Reuse,
    /// Under which circumstances it was parsed; `None` if that is not known: nobody else shares it then.
    pub(super) background: Option<Background>,
    /// What its clients rely on.
    pub shape: Arc<Shape>,
}

/// Under which circumstances a text is parsed: with the same ones it means the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Background {
    /// The settings that decide what texts mean, if any differs from those of a fresh server.
    pub meaning: Option<Arc<Meaning>>,
    /// Counts the changes of the catalog.
    pub schema: u64,
}

/// Whether a plan of a statement may stand in for parsing it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// It may, as long as the circumstances are the same.
    Allowed,
    /// It may not.
    Never,
}

impl Reuse {
    pub(super) fn of(query: &[u8], verdict: Verdict) -> Self {
        if reuse::is_reusable(query, verdict) { Self::Allowed } else { Self::Never }
    }
}

impl Statement {
    /// Whether it has this text and these parameter types.
    #[inline]
    pub fn is(&self, query: &[u8], types: &[u8]) -> bool {
        *self.query == *query && *self.types == *types
    }

    /// Whether it was prepared by SQL's PREPARE, under a name that the text contains.
    #[inline]
    pub fn is_sql(&self) -> bool {
        self.types.is_empty()
    }

    /// What it runs.
    pub fn body(&self) -> &[u8] {
        body(&self.query, &self.types)
    }

    /// Whether preparing it anew on another server is the same as having prepared it there: its client need not keep
    /// its server for it.
    pub fn can_follow(&self) -> bool {
        reuse::is_reusable(self.body(), self.verdict)
    }

    /// Whether its text means the same under these circumstances.
    #[inline]
    pub fn means_the_same(&self, background: Option<&Background>) -> bool {
        background.is_some() && self.background.as_ref() == background
    }

    /// The same statement after its database's catalog has changed.
    pub(super) fn renewed(&self, edition: u64, verdict: Verdict) -> Self {
        Self {
            id: self.id,
            query: self.query.clone(),
            types: self.types.clone(),
            origin: self.origin,
            edition,
            verdict,
            reuse: self.reuse,
            background: self.background.clone(),
            shape: Arc::clone(&self.shape),
        }
    }
}

/// What a statement with this text and these types runs.
pub(super) fn body<'a>(query: &'a [u8], types: &[u8]) -> &'a [u8] {
    let prepared = if types.is_empty() { prepared::body(query) } else { None };
    prepared.unwrap_or(query)
}

/// What a server can do about a text that a client parses without giving it a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It has it as a statement of this name, parsed not long ago.
    Known,
    /// The text comes again and again: it is worth a name.
    Wanted,
    /// The text is new to it.
    New,
}

/// How many texts are remembered as having been parsed once.
const REMEMBERED: usize = 512;

/// The statements of one server.
#[derive(Debug)]
pub struct Statements {
    named: Named,
    /// What the server's unnamed statement is, if it is known.
    unnamed: Option<StatementId>,
    clock: u64,
    next: u32,
    /// Names that have been given up, and whose Close has not been sent.
    given_up: Vec<ServerName>,
    /// The statements that were parsed without a name, by the last digits of their ids.
    once: Vec<u64>,
    /// The names that clients have chosen themselves.
    pub given: Given,
    /// What the answers to Describe that are owed are about, the oldest first.
    described: VecDeque<Described>,
    unseen: Unseen,
    /// What has turned out to look otherwise here than its client was told.
    misfit: Option<StatementId>,
}

impl Default for Statements {
    fn default() -> Self {
        let census = Arc::default();
        Self {
            given: Given::counted(Arc::clone(&census)),
            named: Named::new(census),
            unnamed: None,
            clock: 0,
            next: 0,
            given_up: Vec::new(),
            once: Vec::new(),
            described: VecDeque::new(),
            unseen: Unseen::default(),
            misfit: None,
        }
    }
}

impl Statements {
    /// How much there is.
    pub const fn census(&self) -> &Arc<Census> {
        self.named.census()
    }

    /// The name under which the server has the statement, or will once the Parse on its way is done.
    #[inline]
    pub fn name(&mut self, id: StatementId) -> Option<(ServerName, Looks)> {
        self.clock += 1;
        let clock = self.clock;
        self.named.get_mut(id).map(|prepared| {
            prepared.used = clock;
            (prepared.name, prepared.looks)
        })
    }

    /// Whether the server has the statement for certain: no Parse of it can fail any more.
    #[inline]
    pub fn is_prepared(&self, id: StatementId) -> bool {
        self.named.get(id).is_some_and(|prepared| prepared.on_the_way == 0)
    }

    /// Gives the statement, of so many bytes, a name for a Parse that is about to be sent. An older one is given up.
    pub fn prepare(&mut self, (id, bytes): (StatementId, usize), now: Mono) -> ServerName {
        self.clock += 1;
        self.next = self.next.wrapping_add(1);
        let name = ServerName(self.next);
        let earlier = self.named.get(id).map_or(0, |prepared| prepared.on_the_way);
        let prepared = Prepared {
            name,
            used: self.clock,
            on_the_way: earlier + 1,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            since: now,
            looks: Looks::Unchecked,
        };
        self.give_up(id);
        self.named.insert(id, prepared);
        name
    }

    /// The statement must be parsed again before it is used again.
    pub fn give_up(&mut self, id: StatementId) {
        if let Some(old) = self.named.remove(id) {
            self.given_up.push(old.name);
        }
    }

    /// What can be done about a statement that is parsed without a name at `now`. One that was parsed longer than
    /// `for_long` ago is parsed again, so that what changes behind our back does not go unnoticed for longer.
    pub fn offer(&mut self, id: StatementId, now: Mono, for_long: Duration) -> Offer {
        if let Some(known) = self.named.get(id) {
            if known.on_the_way > 0 {
                // It may fail yet, and what is sent now may be beyond the next Sync.
                return Offer::New;
            }
            let is_recent = now.saturating_since(known.since) <= for_long;
            return if is_recent { Offer::Known } else { Offer::Wanted };
        }
        if self.once.is_empty() {
            self.once.resize(REMEMBERED, 0);
        }
        let place = usize::try_from(id.0).unwrap_or(0) % REMEMBERED;
        match self.once.get_mut(place) {
            // No id is zero.
            Some(seen) if *seen == id.0 => Offer::Wanted,
            Some(seen) => {
                *seen = id.0;
                Offer::New
            }
            None => Offer::New,
        }
    }

    /// ParseComplete has come back.
    pub fn confirm(&mut self, id: StatementId) {
        if let Some(prepared) = self.named.get_mut(id) {
            prepared.on_the_way = prepared.on_the_way.saturating_sub(1);
        }
    }

    /// The Parse failed or was skipped: the server does not have the statement.
    pub fn forget(&mut self, id: StatementId) {
        let Some(prepared) = self.named.get_mut(id) else { return };
        match prepared.on_the_way {
            0 => {}
            1 => {
                self.named.remove(id);
            }
            _ => prepared.on_the_way -= 1,
        }
    }

    /// What the server's unnamed statement is.
    #[inline]
    pub fn unnamed(&self) -> Option<StatementId> {
        self.unnamed
    }

    /// The server's unnamed statement is this one from now on, or it has none.
    #[inline]
    pub fn set_unnamed(&mut self, id: Option<StatementId>) {
        self.unnamed = id;
    }

    /// The server may have an unnamed statement, and nobody knows which.
    pub fn lose_unnamed(&mut self) {
        // No statement has this id.
        self.unnamed = Some(StatementId(0));
    }

    /// The server has lost all statements.
    pub fn clear(&mut self) {
        self.give_up_all();
        self.lose_given_up();
        self.unnamed = None;
    }

    /// A DISCARD ALL or DEALLOCATE ALL is on its way: what is prepared behind it stays.
    pub fn give_up_all(&mut self) {
        self.given_up.extend(self.named.drain().map(|prepared| prepared.name));
        self.given.doubt_all();
    }

    /// It has been carried out.
    pub fn lose_given_up(&mut self) {
        self.given_up.clear();
        self.given.lose_doubtful();
    }

    /// How many statements the server has.
    pub fn len(&self) -> usize {
        self.named.len()
    }

    /// Whether the server has none.
    pub fn is_empty(&self) -> bool {
        self.named.len() == 0
    }

    /// Whether [`Statements::evict`] has anything to do.
    #[inline]
    pub fn has_too_many(&self, limit: usize) -> bool {
        self.named.len() > limit || !self.given_up.is_empty()
    }

    /// Removes the least recently used statements beyond `limit`, and those that were given up, and writes a Close
    /// for each. To be called only while nothing is on its way to the server, so that no pipeline refers to what
    /// goes. Returns how many Close messages were written.
    ///
    /// An eighth of the limit goes at a time: the search for the oldest is then paid for by the many Parse
    /// messages that came before it.
    pub fn evict(&mut self, limit: usize, out: &mut Vec<u8>) -> usize {
        let given_up = self.given_up.len();
        for name in self.given_up.drain(..) {
            frontend::close(out, Object::Statement, name.text().as_bytes());
        }
        if self.named.len() <= limit {
            return given_up;
        }
        let excess = (self.named.len() - limit + limit / 8).min(self.named.len());
        let mut ages: Vec<(u64, StatementId)> =
            self.named.iter().map(|(id, prepared)| (prepared.used, id)).collect();
        if excess < ages.len() {
            ages.select_nth_unstable_by_key(excess, |(used, _)| *used);
        }
        for (_, id) in ages.iter().take(excess) {
            if let Some(prepared) = self.named.remove(*id) {
                frontend::close(out, Object::Statement, prepared.name.text().as_bytes());
            }
        }
        given_up + excess
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> StatementId {
        StatementId(n)
    }

    #[test]
    fn names_are_never_used_twice() {
        let mut statements = Statements::default();
        let first = statements.prepare((id(1), 0), Mono::ZERO);
        statements.forget(id(1));
        let second = statements.prepare((id(1), 0), Mono::ZERO);
        assert_ne!(first, second);
        assert_eq!(first.text().as_bytes(), b"pgl_1");
        assert_eq!(ServerName(u32::MAX).text().as_bytes(), b"pgl_4294967295");
    }

    #[test]
    fn a_text_is_offered_a_name_when_it_comes_again_and_a_new_one_when_that_is_old() {
        let mut statements = Statements::default();
        let at = |seconds: u64| Mono(1 + seconds * 1_000_000_000);
        let second = Duration::from_secs(1);
        assert_eq!(statements.offer(id(1), at(0), second), Offer::New);
        assert_eq!(statements.offer(id(513), at(0), second), Offer::New);
        assert_eq!(statements.offer(id(1), at(0), second), Offer::New, "it was forgotten");
        assert_eq!(statements.offer(id(1), at(9), second), Offer::Wanted);
        let old = statements.prepare((id(1), 0), at(9));
        statements.confirm(id(1));
        assert_eq!(statements.offer(id(1), at(10), second), Offer::Known);
        assert_eq!(statements.offer(id(1), at(11), second), Offer::Wanted);
        assert_ne!(statements.prepare((id(1), 0), at(11)), old);
        let mut out = Vec::new();
        assert!(statements.has_too_many(8));
        assert_eq!(statements.evict(8, &mut out), 1);
        assert!(out.windows(5).any(|part| part == b"pgl_1"));
        assert!(!statements.has_too_many(8));
    }

    #[test]
    fn a_confirmed_statement_outlives_a_late_failure() {
        let mut statements = Statements::default();
        let name = statements.prepare((id(1), 0), Mono::ZERO);
        statements.confirm(id(1));
        statements.forget(id(1));
        assert_eq!(statements.name(id(1)), Some((name, Looks::Unchecked)));
    }

    #[test]
    fn of_several_on_the_way_the_last_decides() {
        let mut statements = Statements::default();
        statements.prepare((id(1), 0), Mono::ZERO);
        let second = statements.prepare((id(1), 0), Mono::ZERO);
        assert!(!statements.is_prepared(id(1)));
        assert_eq!(statements.offer(id(1), Mono::ZERO, Duration::MAX), Offer::New);
        statements.forget(id(1));
        statements.confirm(id(1));
        assert!(statements.is_prepared(id(1)));
        assert_eq!(statements.name(id(1)), Some((second, Looks::Unchecked)));
        statements.prepare((id(1), 0), Mono::ZERO);
        statements.prepare((id(1), 0), Mono::ZERO);
        statements.confirm(id(1));
        statements.forget(id(1));
        assert_eq!(statements.name(id(1)), None);
    }

    #[test]
    fn eviction_takes_the_least_recently_used() {
        let mut statements = Statements::default();
        for n in 0..10 {
            statements.prepare((id(n), 0), Mono::ZERO);
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
