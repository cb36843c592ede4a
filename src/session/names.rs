//! The names that a client has given to prepared statements, by the protocol or by SQL: PostgreSQL has one set of them.
//!
//! Names belong to the client, statements to everybody, and neither to a server. A name counts from ParseComplete
//! on, and until CloseComplete: what is on its way is kept apart, in order, and is committed or dropped when the
//! answer comes. What a text does to names counts when the server has completed that statement of it, whatever becomes
//! of the transaction.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::protocol::frontend::{self, Parse};
use crate::protocol::{FrontendTag, frame};
use crate::server::census::Tally;
use crate::server::settings::Settings;
use crate::server::statements::{Statement, StatementId};
use crate::session::dialect::Dialect;

/// Statements by a client's names for them.
type Named = HashMap<Box<[u8]>, Arc<Statement>, RandomState>;

/// The length at which PostgreSQL cuts names (`NAMEDATALEN - 1`).
const MAX_NAME: usize = 63;

/// A change of names that is on its way.
#[derive(Debug)]
struct Upcoming {
    what: What,
    /// The number of the request whose text makes it; `None` if a message does.
    text: Option<u64>,
}

/// What changes.
#[derive(Debug)]
enum What {
    /// What a name stands for; nothing after a Close.
    One(Box<[u8]>, Option<Arc<Statement>>),
    /// No name stands for anything.
    All,
}

/// What a statement of a text has changed.
#[derive(Debug)]
pub(crate) enum Changed {
    /// This name stands for this now.
    One(Box<[u8]>, Option<StatementId>),
    /// No name stands for anything.
    All,
}

/// One client's names. The empty name is the unnamed statement.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Absent until the client names a statement: most idle clients of a serverless application never do.
    named: Option<Box<Named>>,
    unnamed: Option<Arc<Statement>>,
    pending: VecDeque<Upcoming>,
    /// How many of the named statements are those of SQL.
    of_sql: usize,
    /// Whether a PREPARE was sent whose name could not be read.
    has_unread: bool,
    dialect: Dialect,
    /// Of the names, texts and types that are kept, those on their way included; without the unnamed statement.
    tally: Tally,
}

impl Names {
    /// Bytes that the named statements take, as if nobody else used them.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.tally.bytes
    }

    /// How the texts of the statements are written.
    #[inline]
    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Reads texts as they are written by who has these settings.
    pub(super) fn adopt_dialect(&mut self, settings: &Settings) {
        self.dialect = self.dialect.max(Dialect::of(settings));
    }

    /// How the texts are to be read is not known any more.
    pub(super) fn distrust(&mut self) {
        self.expect_dialect(Dialect::Unusual);
    }

    /// Something is on its way that makes texts mean this.
    pub(super) fn expect_dialect(&mut self, dialect: Dialect) {
        self.dialect = self.dialect.max(dialect);
    }

    /// Nothing is on its way any more: what has become of it the server has reported.
    #[inline]
    pub(super) fn settle_dialect(&mut self) {
        if self.dialect == Dialect::Suspect {
            self.dialect = Dialect::Usual;
        }
    }

    /// How much is kept.
    #[inline]
    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    /// Whether there is a statement of SQL's PREPARE.
    #[inline]
    pub(crate) fn has_sql(&self) -> bool {
        self.of_sql > 0
    }

    /// The statement that `name` will stand for once everything on its way has succeeded.
    #[inline]
    pub(crate) fn get(&self, name: &[u8]) -> Option<&Arc<Statement>> {
        let name = key(name);
        for upcoming in self.pending.iter().rev() {
            match &upcoming.what {
                What::One(pending, statement) if **pending == *name => return statement.as_ref(),
                What::All => return None,
                What::One(..) => {}
            }
        }
        if name.is_empty() { self.unnamed.as_ref() } else { self.named.as_ref()?.get(name) }
    }

    /// Whether a text on its way decides what `name` stands for.
    pub(crate) fn is_decided_by_text(&self, name: &[u8]) -> bool {
        let mut changes = self.pending.iter().rev();
        let last = changes.find(|upcoming| match &upcoming.what {
            What::One(pending, _) => **pending == *key(name),
            What::All => true,
        });
        last.is_some_and(|upcoming| upcoming.text.is_some())
    }

    /// Whether a Parse of `name` has not been answered: its client knows nothing of the statement yet.
    pub(crate) fn is_being_parsed(&self, name: &[u8]) -> bool {
        self.pending.iter().any(|upcoming| match &upcoming.what {
            What::One(pending, statement) => **pending == *key(name) && statement.is_some(),
            What::All => false,
        })
    }

    /// The names of all statements of SQL.
    pub(crate) fn of_sql(&self) -> Vec<Box<[u8]>> {
        let named = self.named.iter().flat_map(|named| named.iter());
        named.filter(|(_, statement)| statement.is_sql()).map(|(name, _)| name.clone()).collect()
    }

    /// Whether any statement of SQL can be on one server only.
    pub(crate) fn are_tied(&self) -> bool {
        let named = self.named.iter().flat_map(|named| named.values());
        let pending = self.pending.iter().filter_map(|upcoming| match &upcoming.what {
            What::One(_, statement) => statement.as_ref(),
            What::All => None,
        });
        self.has_unread
            || named.chain(pending).any(|statement| statement.is_sql() && !statement.can_follow())
    }

    /// `name` stands for the same text as before, as it is understood now.
    pub(crate) fn adopt(&mut self, name: &[u8], statement: &Arc<Statement>) {
        let name = key(name);
        for upcoming in self.pending.iter_mut().rev() {
            match &mut upcoming.what {
                What::One(pending, known) if **pending == *name => {
                    *known = Some(Arc::clone(statement));
                    return;
                }
                _ => {}
            }
        }
        let known = if name.is_empty() {
            self.unnamed.as_mut()
        } else {
            self.named.as_mut().and_then(|named| named.get_mut(name))
        };
        if let Some(known) = known {
            *known = Arc::clone(statement);
        }
    }

    /// A Parse, or (`None`) a Close, of `name` is on its way.
    pub(crate) fn expect(&mut self, name: &[u8], statement: Option<Arc<Statement>>) {
        self.enter(name, statement, None);
    }

    /// A PREPARE, or (`None`) a DEALLOCATE, of `name` is on its way in the text of a request.
    pub(crate) fn expect_text(
        &mut self,
        request: u64,
        name: &[u8],
        statement: Option<Arc<Statement>>,
    ) {
        self.enter(name, statement, Some(request));
    }

    /// A DEALLOCATE ALL or a DISCARD ALL is on its way.
    pub(crate) fn expect_clear(&mut self, request: u64) {
        self.pending.push_back(Upcoming { what: What::All, text: Some(request) });
    }

    /// Whether one is: what is not known behind it may be known again if it fails.
    pub(crate) fn may_be_cleared(&self) -> bool {
        self.pending.iter().any(|upcoming| matches!(upcoming.what, What::All))
    }

    /// A PREPARE is on its way whose name cannot be read.
    pub(crate) fn expect_unread(&mut self) {
        self.has_unread = true;
    }

    fn enter(&mut self, name: &[u8], statement: Option<Arc<Statement>>, text: Option<u64>) {
        let name = key(name);
        self.tally.bytes += statement.as_ref().map_or(0, |statement| weight(name, statement));
        self.pending.push_back(Upcoming { what: What::One(name.into(), statement), text });
    }

    /// The oldest change by a message has succeeded.
    pub(crate) fn commit(&mut self) {
        if let Some(upcoming) = self.take_pending(None) {
            self.carry_out(upcoming.what);
        }
    }

    /// The server has completed a statement of this request's text that changes names.
    pub(crate) fn commit_text(&mut self, request: u64) -> Option<Changed> {
        let upcoming = self.take_pending(Some(request))?;
        let changed = match &upcoming.what {
            What::One(name, statement) => {
                Changed::One(name.clone(), statement.as_ref().map(|statement| statement.id))
            }
            What::All => Changed::All,
        };
        self.carry_out(upcoming.what);
        Some(changed)
    }

    fn take_pending(&mut self, text: Option<u64>) -> Option<Upcoming> {
        let index = self.pending.iter().position(|upcoming| upcoming.text == text)?;
        self.pending.remove(index)
    }

    fn carry_out(&mut self, what: What) {
        match what {
            What::One(name, statement) if name.is_empty() => self.unnamed = statement,
            What::One(name, Some(statement)) => {
                let length = name.len();
                self.of_sql += usize::from(statement.is_sql());
                self.tally.statements += 1;
                if let Some(old) = self.named.get_or_insert_default().insert(name, statement) {
                    self.tally.statements -= 1;
                    self.of_sql -= usize::from(old.is_sql());
                    self.tally.bytes -= length + old.query.len() + old.types.len();
                }
            }
            What::One(name, None) => {
                self.remove(&name);
            }
            What::All => self.clear(),
        }
    }

    /// The oldest change by a message has failed.
    pub(crate) fn roll_back(&mut self) {
        if let Some(upcoming) = self.take_pending(None) {
            self.drop_pending(&upcoming);
        }
    }

    /// What texts of requests before this one have not done they will never do.
    #[inline]
    pub(crate) fn forget_texts(&mut self, oldest: u64) {
        while let Some(index) =
            self.pending.iter().position(|upcoming| upcoming.text.is_some_and(|text| text < oldest))
        {
            if let Some(upcoming) = self.pending.remove(index) {
                self.drop_pending(&upcoming);
            }
        }
    }

    fn drop_pending(&mut self, upcoming: &Upcoming) {
        if let What::One(name, Some(statement)) = &upcoming.what {
            self.tally.bytes -= weight(name, statement);
        }
    }

    /// A simple Query ends the unnamed statement (`exec_simple_query` in `src/backend/tcop/postgres.c`).
    #[inline]
    pub(crate) fn forget_unnamed(&mut self) {
        self.unnamed = None;
        // Those whose ParseComplete is still to come are over by the time that the Query runs.
        for upcoming in &mut self.pending {
            if let What::One(name, statement) = &mut upcoming.what
                && name.is_empty()
            {
                *statement = None;
            }
        }
    }

    /// Puts what `renew` makes of it in the place of every statement.
    pub(crate) fn renew(&mut self, renew: impl Fn(&Statement) -> Arc<Statement>) {
        let named = self.named.iter_mut().flat_map(|named| named.values_mut());
        let pending = self.pending.iter_mut().filter_map(|upcoming| match &mut upcoming.what {
            What::One(_, statement) => statement.as_mut(),
            What::All => None,
        });
        for statement in named.chain(&mut self.unnamed).chain(pending) {
            *statement = renew(statement);
        }
    }

    /// DISCARD ALL or DEALLOCATE ALL: every name is free again.
    pub(crate) fn clear(&mut self) {
        self.named = None;
        self.unnamed = None;
        self.of_sql = 0;
        self.tally.statements = 0;
        self.has_unread = false;
        let coming = self.pending.iter().filter_map(|upcoming| match &upcoming.what {
            What::One(name, statement) => Some(weight(name, statement.as_ref()?)),
            What::All => None,
        });
        self.tally.bytes = coming.sum();
    }

    /// The batch in `frames` is to be sent once more: what it has named so far is not named yet.
    pub(crate) fn forget_parsed(&mut self, frames: &[u8]) {
        let mut rest = frames;
        while let Ok(Some(header)) = frame::header(rest)
            && let Some((whole, others)) = rest.split_at_checked(header.size)
        {
            if FrontendTag(header.tag) == FrontendTag::PARSE
                && let Ok(parse) = Parse::read(frontend::body(whole))
            {
                self.remove(parse.name);
            }
            rest = others;
        }
    }

    /// DEALLOCATE of one name. Returns whether there was such a statement.
    pub(crate) fn remove(&mut self, name: &[u8]) -> bool {
        let name = key(name);
        let removed = self.named.as_mut().and_then(|named| named.remove(name));
        self.of_sql -= usize::from(removed.as_ref().is_some_and(|statement| statement.is_sql()));
        self.tally.statements -= usize::from(removed.is_some());
        self.tally.bytes -= removed.as_ref().map_or(0, |statement| weight(name, statement));
        removed.is_some()
    }
}

/// A name as PostgreSQL keeps it.
#[inline]
fn key(name: &[u8]) -> &[u8] {
    name.get(..MAX_NAME).unwrap_or(name)
}

/// What a statement of this name counts. The unnamed one counts nothing: there is only one.
fn weight(name: &[u8], statement: &Statement) -> usize {
    if name.is_empty() { 0 } else { name.len() + statement.query.len() + statement.types.len() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::interner::Interner;
    use crate::sql::{Class, Effects, LiveCatalog, Tables, Verdict};

    fn statement(text: &[u8]) -> Arc<Statement> {
        let verdict = Verdict {
            class: Class::Read,
            effects: Effects::empty(),
            fingerprint: 0,
            tables: Tables::NONE,
        };
        let catalog = LiveCatalog::default();
        Interner::new(8, Arc::default()).intern((text, &[0, 0]), (&catalog, None), |_| verdict)
    }

    fn id(names: &Names, name: &[u8]) -> Option<StatementId> {
        names.get(name).map(|statement| statement.id)
    }

    #[test]
    fn a_name_counts_at_once_for_the_pipeline_and_for_good_after_parse_complete() {
        let mut names = Names::default();
        names.expect(b"a", Some(statement(b"select 1")));
        assert!(id(&names, b"a").is_some());
        names.roll_back();
        assert!(id(&names, b"a").is_none());
        names.expect(b"a", Some(statement(b"select 1")));
        names.commit();
        names.expect(b"a", None);
        assert!(id(&names, b"a").is_none());
        names.roll_back();
        assert!(id(&names, b"a").is_some(), "a Close that was skipped has closed nothing");
    }

    #[test]
    fn a_batch_that_is_sent_again_names_its_statements_again() {
        let mut names = Names::default();
        for name in [b"kept".as_slice(), b"new", b"other"] {
            names.expect(name, Some(statement(b"select 1")));
            names.commit();
        }
        let mut batch = Vec::new();
        frontend::parse(&mut batch, b"new", b"select 1", &[0, 0]);
        frontend::describe(&mut batch, frontend::Object::Statement, b"other");
        frontend::parse(&mut batch, b"never", b"select 2", &[0, 0]);
        names.forget_parsed(&batch);
        assert!(id(&names, b"new").is_none());
        assert!(id(&names, b"kept").is_some() && id(&names, b"other").is_some());
    }

    #[test]
    fn what_is_kept_is_counted() {
        let mut names = Names::default();
        let one = || Some(statement(b"select 1"));
        names.expect(b"", one());
        names.commit();
        assert_eq!(names.bytes(), 0);
        names.expect(b"a", one());
        names.expect(b"b", one());
        assert_eq!(names.bytes(), 2 * (1 + 8 + 2));
        names.commit();
        names.roll_back();
        assert_eq!(names.bytes(), 1 + 8 + 2);
        names.expect(b"c", one());
        names.clear();
        assert_eq!(names.bytes(), 1 + 8 + 2);
        names.commit();
        names.expect(b"c", None);
        names.commit();
        assert_eq!(names.bytes(), 0);
    }

    #[test]
    fn the_unnamed_statement_is_replaced_and_ends_with_a_query() {
        let mut names = Names::default();
        names.expect(b"", Some(statement(b"select 1")));
        names.commit();
        assert!(id(&names, b"").is_some());
        names.forget_unnamed();
        assert!(id(&names, b"").is_none());
    }
}
