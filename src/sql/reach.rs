//! Which tables a statement reads or writes, and whether it may leave something in its session: what its names
//! reach by the catalog.
//!
//! It goes by names alone, whatever they stand for in the statement, and so finds too much rather than too little.

use std::borrow::Cow;

use super::catalog::{Catalog, Known, Traces};
use super::cursor::{Cursor, is_keyword, name_of};
use super::fields::Fields;
use super::functions;
use super::lexer::{Kind, Lexer, Token};
use super::query::may_be_call;
use super::scan::Leaves;
use super::tables::Tables;
use super::verdict::{Class, Why};

/// What a statement reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) reads: Tables,
    pub(super) writes: Tables,
    /// What may be left in the session that no text names.
    pub(super) leaves: Leaves,
    /// Whether something that it names may do anything.
    pub(super) is_opaque: bool,
}

impl Reach {
    /// What a text of which nothing is known reaches.
    const ALL: Self =
        Self { reads: Tables::ALL, writes: Tables::ALL, leaves: Leaves::Nothing, is_opaque: true };

    const NOTHING: Self = Self {
        reads: Tables::NONE,
        writes: Tables::NONE,
        leaves: Leaves::Nothing,
        is_opaque: false,
    };

    fn add(&mut self, known: Known, traces: Traces) {
        self.reads = self.reads.union(known.reads);
        self.writes = self.writes.union(known.writes);
        self.leaves = self.leaves.max(known.traces.on(traces));
        self.is_opaque |= known.writes == Tables::ALL;
    }

    /// A function that may do anything.
    fn add_anything(&mut self) {
        *self = Self { leaves: self.leaves.max(Leaves::Traces), ..Self::ALL };
    }
}

/// What a statement reaches. In a proven read every function is known, so other names before a parenthesis are aliases;
/// in DDL they are mostly what is made.
pub(super) fn reach(text: &[u8], class: Class, catalog: &Catalog) -> Reach {
    if catalog.snapshot().is_none() {
        return Reach::ALL;
    }
    let mut reach = Reach::NOTHING;
    match target(text) {
        Target::None => {}
        Target::One(schema, name) => match catalog.stored(schema.as_deref(), &name) {
            Some(known) => reach.add(known, Traces::WRITTEN),
            None => reach.writes = Tables::ALL,
        },
        Target::Several => reach.writes = Tables::ALL,
    }
    let mut tokens = Lexer::new(text).map_while(Result::ok).peekable();
    let mut schema = None;
    let mut last: Option<Token<'_>> = None;
    let mut is_target = false;
    let mut fields = Fields::default();
    let may_name_others = matches!(class, Class::Read | Class::Primary(Why::Ddl));
    while let Some(token) = tokens.next() {
        let is_field = fields.see(&token);
        let is_qualified = !is_field && last.is_some_and(|last| last.is(b"."));
        match token.kind {
            Kind::Word | Kind::QuotedWord => {
                // Behind this name its columns may stand in parentheses.
                is_target = match last {
                    Some(_) if is_qualified => is_target,
                    last => last
                        .is_some_and(|last| is_keyword(&last, "into") || is_keyword(&last, "copy")),
                };
                if let Some(name) = name_of(&token) {
                    let is_call = !is_target && tokens.peek().is_some_and(|next| next.is(b"("));
                    let may_be_other = may_name_others || is_field;
                    let schema = schema.as_deref().filter(|_| is_qualified);
                    add_name(&mut reach, catalog, &name);
                    let is_no_call = may_be_other && !catalog.knows(schema, &name);
                    if (is_call || is_field) && !is_no_call {
                        add_call(&mut reach, catalog, (&token, schema, &name));
                    }
                }
                schema = name_of(&token);
            }
            Kind::Operator => {
                let symbol = std::str::from_utf8(token.text).unwrap_or_default();
                if let Some(known) = catalog.operated(symbol) {
                    reach.add(known, Traces::READ);
                }
            }
            _ => {}
        }
        last = Some(token);
    }
    reach.add(catalog.everywhere(), Traces::READ);
    reach
}

/// A name that may be that of a table, of a type, or of a function that is called like a column.
fn add_name(reach: &mut Reach, catalog: &Catalog, name: &str) {
    if let Some(known) = catalog.stored(None, name) {
        reach.add(Known { writes: Tables::NONE, ..known }, Traces::READ);
        // A view may call a function that writes.
        reach.is_opaque |= known.writes == Tables::ALL;
    }
    if let Some(known) = catalog.word(name) {
        reach.add(known, Traces::READ);
    }
}

/// A name before a parenthesis.
fn add_call(
    reach: &mut Reach,
    catalog: &Catalog,
    (token, schema, name): (&Token<'_>, Option<&str>, &str),
) {
    match catalog.called(schema, name) {
        Some(known) => reach.add(known, Traces::READ),
        // The columns of a table may stand in parentheses, too.
        None if catalog.stored(schema, name).is_some() => {}
        None if functions::is_unknown(name) && may_be_call(token) => reach.add_anything(),
        None if functions::runs_text(name) || name.starts_with("lo_") || name == "lowrite" => {
            reach.reads = Tables::ALL;
            reach.writes = Tables::ALL;
        }
        None => {}
    }
}

/// What a statement writes, apart from what its functions do.
#[derive(Debug)]
enum Target<'a> {
    /// Nothing.
    None,
    /// This table: its schema, if it is named, and its name.
    One(Option<Cow<'a, str>>, Cow<'a, str>),
    /// More than one, or who knows what.
    Several,
}

/// What a statement writes, by its words.
fn target(text: &[u8]) -> Target<'_> {
    let writes = ["insert", "update", "delete", "merge", "truncate", "copy"];
    let mut cursor = Cursor::new(text);
    let first = cursor.take();
    let is_first = |word: &str| first.is_some_and(|first| is_keyword(&first, word));
    let mut last = first;
    let hides_more = Lexer::new(text).map_while(Result::ok).skip(1).any(|token| {
        let follows = |word: &str| last.is_some_and(|last| is_keyword(&last, word));
        let is = |word: &str| is_keyword(&token, word);
        let is_write = writes.iter().any(|word| is(word));
        // FOR UPDATE, FOR NO KEY UPDATE, ON CONFLICT DO UPDATE, and what MERGE does.
        let is_part = is("update") && (follows("for") || follows("key") || follows("do"));
        last = Some(token);
        is_write && !is_part && !is_first("merge")
    });
    if hides_more || is_first("truncate") {
        return Target::Several;
    }
    if !writes.iter().any(|word| is_first(word)) {
        return Target::None;
    }
    let _ = cursor.keyword("into") || cursor.keyword("from");
    if is_first("copy") && cursor.peek().is_some_and(|token| token.is(b"(")) {
        return Target::None;
    }
    cursor.keyword("only");
    match (cursor.name(), cursor.symbol(".")) {
        (Some(schema), true) => {
            cursor.name().map_or(Target::Several, |name| Target::One(Some(schema), name))
        }
        (Some(name), false) => Target::One(None, name),
        (None, _) => Target::Several,
    }
}
