//! From a text in canonical form to its class and effects.

use super::catalog::Catalog;
use super::cursor::{Cursor, is_keyword};
use super::hint::Hint;
use super::lexer::{Kind, Token};
use super::query;
use super::reach::reach;
use super::scan::Leaves;
use super::scan::{Statement, Statements};
use super::settings;
use super::tables::Tables;
use super::utility;
use super::verdict::{Class, Effects, Reasons, Why};

/// What was found out about one text or one statement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finding {
    pub(super) class: Class,
    pub(super) effects: Effects,
    pub(super) tables: Tables,
}

impl Finding {
    /// What is assumed of a text that cannot be inspected.
    pub(super) const fn opaque(why: Why) -> Self {
        let effects = Effects::OPAQUE.union(Effects::WRITES).union(Effects::DDL);
        Self { class: Class::Primary(why), effects, tables: Tables::ALL }
    }

    /// A finding about tables of which nothing is known.
    const fn new(class: Class, effects: Effects) -> Self {
        Self { class, effects, tables: Tables::ALL }
    }

    fn primary(why: Why) -> Self {
        Self::query(Reasons::of(why))
    }

    /// A finding about a query, against which these speak.
    fn query(reasons: Reasons) -> Self {
        let class = reasons.first.map_or(Class::Read, Class::Primary);
        let writes = if reasons.may_write { Effects::WRITES } else { Effects::empty() };
        Self::new(class, writes)
    }

    /// The finding for both statements in one text.
    fn and(self, other: Self) -> Self {
        let class = match (self.class, other.class) {
            (Class::Read, Class::Read) => Class::Read,
            (left, right) => Class::Primary(reason(left).min(reason(right))),
        };
        let effects = self.effects | other.effects | Effects::MULTI;
        Self { class, effects, tables: self.tables.union(other.tables) }
    }

    /// The finding about a statement whose names reach what the catalog says.
    fn reaching(mut self, text: &[u8], catalog: &Catalog) -> Self {
        let hides = Effects::OPAQUE | Effects::DDL | Effects::EXECUTES;
        let shows = match self.class {
            Class::Read => true,
            Class::Primary(
                Why::UnknownRelation
                | Why::CatalogNotLoaded
                | Why::Unparsed
                | Why::TooLong
                | Why::Utility
                | Why::Ddl,
            ) => false,
            Class::Primary(_) => !self.effects.intersects(hides),
            Class::Empty | Class::Begin(_) | Class::End | Class::Savepoint => {
                self.tables = Tables::NONE;
                false
            }
        };
        if shows || self.runs_what_it_names() {
            let reach = reach(text, self.class, catalog);
            if reach.is_opaque && self.class == Class::Primary(Why::UnloggedTable) {
                // A function or a view may have this reason before all others.
                self.effects |= Effects::WRITES;
            }
            if shows {
                let writes = self.effects.contains(Effects::WRITES);
                self.tables = if writes { reach.writes } else { reach.reads };
            }
            self.effects |= match reach.leaves {
                Leaves::Nothing => Effects::empty(),
                Leaves::Traces => Effects::TRACES,
                Leaves::ForGood => Effects::TRACES | Effects::KEEPS,
            };
        }
        self
    }

    /// Whether functions that the text names may run, although what tables it is about is not known: CALL, DECLARE, CREATE
    /// TABLE AS, an index over an expression.
    fn runs_what_it_names(&self) -> bool {
        let is_read = !matches!(self.class, Class::Primary(Why::Unparsed | Why::TooLong));
        let is_prepared = Effects::EXECUTES | Effects::PREPARES;
        is_read && matches!(self.class, Class::Primary(_)) && !self.effects.intersects(is_prepared)
    }

    /// What remains of the class when the client gave a hint.
    pub(super) fn with_hint(mut self, hint: Option<Hint>) -> Self {
        match (self.class, hint) {
            (Class::Read, Some(Hint::Primary | Hint::Unknown)) => {
                self.class = Class::Primary(Why::Hint);
            }
            (Class::Primary(why), Some(Hint::Replica)) if why.yields_to_hint() => {
                self.class = Class::Read;
            }
            _ => {}
        }
        if hint == Some(Hint::Options) {
            self.effects |= Effects::ASKS;
        }
        self
    }
}

/// The rank of a statement among others. A read has the weakest one, so that it never decides.
const fn reason(class: Class) -> Why {
    match class {
        Class::Empty | Class::Read => Why::Hint,
        Class::Primary(why) => why,
        Class::Begin(_) | Class::End | Class::Savepoint => Why::SessionState,
    }
}

/// How much of a text is inspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Queries are parsed; the text is in canonical form.
    Parse,
    /// Only tokens are looked at: the text is too long for more.
    Tokens,
}

/// Classifies a text that has been lexed without error.
pub(super) fn text(sql: &[u8], depth: Depth, catalog: &Catalog) -> Finding {
    Statements::new(sql)
        .map(|part| match depth {
            Depth::Parse => statement(&part, catalog),
            Depth::Tokens => long(&part),
        })
        .reduce(Finding::and)
        .unwrap_or(Finding { class: Class::Empty, effects: Effects::empty(), tables: Tables::NONE })
}

/// A statement of a text that is too long to parse.
fn long(part: &Statement<'_>) -> Finding {
    let (class, effects) = if is_query(part.text) || Cursor::new(part.text).sees("explain") {
        (Class::Primary(Why::TooLong), Effects::WRITES)
    } else {
        utility::classify(part.text)
    };
    let effects = effects | part.effects;
    // Values are read only from texts in canonical form.
    let guess = if effects.contains(Effects::SETS) { Effects::OPAQUE } else { Effects::empty() };
    Finding::new(class, effects | guess)
}

fn statement(part: &Statement<'_>, catalog: &Catalog) -> Finding {
    let sql = std::str::from_utf8(part.text).unwrap_or_default();
    let mut cursor = Cursor::new(part.text);
    let mut finding = if is_query(part.text) {
        query_finding(sql, catalog)
    } else if cursor.keyword("explain") {
        explain(part.text, &mut cursor, catalog)
    } else if cursor.keyword("copy") {
        copy(part.text, &mut cursor, catalog)
    } else {
        let (class, effects) = utility::classify(part.text);
        Finding::new(class, effects)
    };
    finding.effects |= part.effects;
    if finding.effects.contains(Effects::SETS) {
        if let Some(changes) = settings::changes(part.text) {
            if changes.iter().any(is_ours) {
                finding.effects |= Effects::OURS;
            }
            if changes.iter().all(settings::Change::is_seen) {
                // A lone `set_config` is a setting statement in the clothes of a query.
                finding.effects.remove(Effects::WRITES);
            }
        } else {
            finding.effects |= Effects::OPAQUE;
        }
    }
    finding.reaching(part.text, catalog)
}

/// Whether a change is one of a parameter of pgLagoon's own.
fn is_ours(change: &settings::Change) -> bool {
    match &change.action {
        settings::Action::Bound { name: settings::Operand::Text(name), .. }
        | settings::Action::Config { name, .. }
        | settings::Action::Reset { name }
        | settings::Action::Set { name, .. } => name.starts_with("pglagoon."),
        settings::Action::Bound { .. }
        | settings::Action::Hidden
        | settings::Action::ResetAll
        | settings::Action::Transaction
        | settings::Action::Unseen { .. } => false,
    }
}

/// Whether the first token is one that a query can start with.
fn is_query(text: &[u8]) -> bool {
    Cursor::new(text).peek().is_some_and(|token| {
        token.is(b"(")
            || ["select", "with", "values", "table"].iter().any(|word| is_keyword(&token, word))
    })
}

fn query_finding(sql: &str, catalog: &Catalog) -> Finding {
    Finding::query(query::reasons(sql, catalog))
}

/// EXPLAIN is what it explains, as if that were executed.
fn explain<'a>(text: &'a [u8], cursor: &mut Cursor<'a>, catalog: &Catalog) -> Finding {
    let unparsed = Finding::primary(Why::Unparsed);
    let Some(inner) = explained(text, cursor) else { return unparsed };
    if is_query(inner) {
        return query_finding(std::str::from_utf8(inner).unwrap_or_default(), catalog);
    }
    let (class, effects) = utility::classify(inner);
    Finding::new(Class::Primary(reason(class)), effects | Effects::WRITES)
}

/// The statement behind EXPLAIN and its options, if the options are understood.
fn explained<'a>(text: &'a [u8], cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let mut options = cursor.clone();
    if options.symbol("(") && options.peek().is_some_and(|token| is_option(token.text)) {
        explain_options(&mut options)?;
        *cursor = options;
    } else {
        let _ = cursor.keyword("analyze") || cursor.keyword("analyse");
        cursor.keyword("verbose");
    }
    text.get(cursor.peek()?.start..)
}

fn is_option(word: &[u8]) -> bool {
    let options: &[&[u8]] = &[
        b"analyze",
        b"analyse",
        b"buffers",
        b"costs",
        b"format",
        b"generic_plan",
        b"memory",
        b"serialize",
        b"settings",
        b"summary",
        b"timing",
        b"verbose",
        b"wal",
    ];
    options.contains(&word)
}

/// A list of options, each with at most one plain word or literal as its value, and `)`.
fn explain_options(cursor: &mut Cursor<'_>) -> Option<()> {
    loop {
        cursor.kind(Kind::Word).filter(|token| is_option(token.text))?;
        let ends = |token: Token<'_>| token.is(b",") || token.is(b")");
        if !cursor.peek().is_some_and(ends) {
            let value = cursor.take()?;
            if !matches!(value.kind, Kind::Word | Kind::String | Kind::Integer) {
                return None;
            }
        }
        if cursor.symbol(")") {
            return Some(());
        }
        if !cursor.symbol(",") {
            return None;
        }
    }
}

/// COPY ... TO STDOUT reads what its table or query reads; every other COPY writes or leaves the
/// server's own tracks.
fn copy(text: &[u8], cursor: &mut Cursor<'_>, catalog: &Catalog) -> Finding {
    let write = Finding::primary(Why::Write);
    if let Some(open) = cursor.peek().filter(|token| token.is(b"(")) {
        let Some(close) = cursor.group() else { return write };
        let inner = text.get(open.end()..close).unwrap_or_default().trim_ascii();
        if !cursor.keywords(&["to", "stdout"]) || !is_query(inner) {
            return write;
        }
        return query_finding(std::str::from_utf8(inner).unwrap_or_default(), catalog);
    }
    let Some(first) = cursor.name() else { return write };
    let (schema, name) = if cursor.symbol(".") {
        let Some(name) = cursor.name() else { return write };
        (Some(first), name)
    } else {
        (None, first)
    };
    if cursor.peek().is_some_and(|token| token.is(b"(")) && cursor.group().is_none() {
        return write;
    }
    if !cursor.keywords(&["to", "stdout"]) {
        return write;
    }
    match catalog.relation(schema.as_deref(), &name) {
        None => Finding::new(Class::Read, Effects::empty()),
        Some(why) => Finding::primary(why),
    }
}
