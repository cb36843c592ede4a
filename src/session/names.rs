//! The names that a client has given to prepared statements.
//!
//! Names belong to the client, statements to everybody, and neither to a server. A name counts from ParseComplete
//! on, and until CloseComplete: what is on its way is kept apart, in order, and is committed or dropped when the
//! answer comes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::protocol::frontend::{self, Parse};
use crate::protocol::{FrontendTag, frame};
use crate::server::statements::Statement;

/// Statements by a client's names for them.
type Named = HashMap<Box<[u8]>, Arc<Statement>, RandomState>;

/// A name, and what it will stand for; nothing after a Close.
type Upcoming = (Box<[u8]>, Option<Arc<Statement>>);

/// One client's names. The empty name is the unnamed statement.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Absent until the client names a statement: most idle clients of a serverless application never do.
    named: Option<Box<Named>>,
    unnamed: Option<Arc<Statement>>,
    pending: VecDeque<Upcoming>,
    /// Of the names, texts and types that are kept, those on their way included; without the unnamed statement.
    bytes: usize,
}

impl Names {
    /// Bytes that the named statements take, as if nobody else used them.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The statement that `name` will stand for once everything on its way has succeeded.
    #[inline]
    pub(crate) fn get(&self, name: &[u8]) -> Option<&Arc<Statement>> {
        if !self.pending.is_empty()
            && let Some((_, statement)) =
                self.pending.iter().rev().find(|(pending, _)| **pending == *name)
        {
            return statement.as_ref();
        }
        if name.is_empty() { self.unnamed.as_ref() } else { self.named.as_ref()?.get(name) }
    }

    /// A Parse, or (`None`) a Close, of `name` is on its way.
    pub(crate) fn expect(&mut self, name: &[u8], statement: Option<Arc<Statement>>) {
        self.bytes += statement.as_ref().map_or(0, |statement| weight(name, statement));
        self.pending.push_back((name.into(), statement));
    }

    /// The oldest change has succeeded.
    pub(crate) fn commit(&mut self) {
        match self.pending.pop_front() {
            Some((name, statement)) if name.is_empty() => self.unnamed = statement,
            Some((name, Some(statement))) => {
                let length = name.len();
                let replaced = self.named.get_or_insert_default().insert(name, statement);
                self.bytes -= replaced.map_or(0, |old| length + old.query.len() + old.types.len());
            }
            Some((name, None)) => {
                self.remove(&name);
            }
            None => {}
        }
    }

    /// The oldest change has failed.
    pub(crate) fn roll_back(&mut self) {
        if let Some((name, Some(statement))) = self.pending.pop_front() {
            self.bytes -= weight(&name, &statement);
        }
    }

    /// A simple Query ends the unnamed statement (`exec_simple_query` in `src/backend/tcop/postgres.c`).
    #[inline]
    pub(crate) fn forget_unnamed(&mut self) {
        self.unnamed = None;
        // Those whose ParseComplete is still to come are over by the time that the Query runs.
        for (name, statement) in &mut self.pending {
            if name.is_empty() {
                *statement = None;
            }
        }
    }

    /// Puts what `renew` makes of it in the place of every statement.
    pub(crate) fn renew(&mut self, renew: impl Fn(&Statement) -> Arc<Statement>) {
        let named = self.named.iter_mut().flat_map(|named| named.values_mut());
        let pending = self.pending.iter_mut().filter_map(|(_, statement)| statement.as_mut());
        for statement in named.chain(&mut self.unnamed).chain(pending) {
            *statement = renew(statement);
        }
    }

    /// DISCARD ALL or DEALLOCATE ALL: every name is free again.
    pub(crate) fn clear(&mut self) {
        self.named = None;
        self.unnamed = None;
        let coming = self.pending.iter().filter_map(|(name, statement)| {
            statement.as_ref().map(|statement| weight(name, statement))
        });
        self.bytes = coming.sum();
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
        let removed = self.named.as_mut().and_then(|named| named.remove(name));
        self.bytes -= removed.as_ref().map_or(0, |statement| weight(name, statement));
        removed.is_some()
    }
}

/// What a statement of this name counts. The unnamed one counts nothing: there is only one.
fn weight(name: &[u8], statement: &Statement) -> usize {
    if name.is_empty() { 0 } else { name.len() + statement.query.len() + statement.types.len() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::interner::Interner;
    use crate::server::statements::StatementId;
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
