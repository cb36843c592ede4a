//! Whether a query may run on a standby: first by its tokens, then by its tree.
//!
//! The tokens alone condemn (a write keyword, an unsafe name before a parenthesis, an unknown
//! operator), the tree alone acquits. So a construct that the parser misreads, or that the walk
//! over the tree does not reach, is still seen.

use super::ast;
use super::catalog::Catalog;
use super::cursor::name_of;
use super::fields::Fields;
use super::lexer::{Kind, Lexer, Token};
use super::verdict::{Reasons, Why};

/// Tokens that can each deepen the tree by one level, in one query. The tree is walked and
/// dropped by recursion, and a stack is finite.
pub(super) const MAX_CHAIN: usize = 3000;

/// JOINs in one query. The parser recurses at each JOIN without a condition, without a guard of its
/// own, and takes up to 40 KiB of stack each time in a debug build.
const MAX_JOINS: usize = 200;

/// Queries with more JOINs than this, or longer than [`LONG`], are parsed on a stack of their own.
const MANY_JOINS: usize = 8;
/// Bytes of a query that is parsed on the thread's own stack.
const LONG: usize = 2048;
/// Bytes of the parser's own stack; only what is touched becomes memory.
const PARSER_STACK: usize = 16 * 1024 * 1024;

/// Why a query in canonical form must run on the primary; nothing if it is a proven read.
pub(super) fn reasons(text: &str, catalog: &Catalog) -> Reasons {
    let reasons = catalog.everywhere().why.map(Reasons::of).unwrap_or_default();
    let mut gate = Gate { catalog, text, reasons, calls: Vec::new(), chain: 0, joins: 0 };
    gate.pass();
    if gate.chain > MAX_CHAIN || gate.joins > MAX_JOINS {
        gate.condemn(Why::TooLong);
    }
    if gate.reasons.may_write && gate.reasons.first.is_some_and(|why| !why.yields_to_hint()) {
        return gate.reasons;
    }
    let tree = if gate.joins > MANY_JOINS || text.len() > LONG {
        stacker::grow(PARSER_STACK, || ast::walk(text, catalog))
    } else {
        ast::walk(text, catalog)
    };
    let unknown = gate.calls.iter().any(|name| !tree.aliases.contains(name));
    if unknown {
        gate.condemn(Why::UnknownFunction);
    }
    gate.reasons.and(tree.reasons)
}

/// The walk over the tokens.
struct Gate<'c> {
    catalog: &'c Catalog,
    text: &'c str,
    reasons: Reasons,
    /// Unknown names before a parenthesis: functions, unless the tree says they are aliases.
    calls: Vec<String>,
    chain: usize,
    joins: usize,
}

/// A token and its neighbours.
#[derive(Clone, Copy, Default)]
struct Window<'a> {
    second_last: Option<Token<'a>>,
    last: Option<Token<'a>>,
    next: Option<Token<'a>>,
}

impl<'a> Window<'a> {
    fn last_is(&self, words: &[&[u8]]) -> bool {
        self.last.is_some_and(|token| token.kind == Kind::Word && words.contains(&token.text))
    }

    fn next_is(&self, words: &[&[u8]]) -> bool {
        self.next.is_some_and(|token| token.kind == Kind::Word && words.contains(&token.text))
    }

    fn is_call(&self) -> bool {
        self.next.is_some_and(|token| token.is(b"("))
    }

    /// The schema in front of a name: `schema . name`.
    fn schema(&self) -> Option<Token<'a>> {
        self.last.filter(|token| token.is(b".")).and(self.second_last)
    }
}

impl Gate<'_> {
    fn condemn(&mut self, why: Why) {
        self.reasons.add(why);
    }

    fn pass(&mut self) {
        let mut tokens = Lexer::new(self.text.as_bytes()).map_while(Result::ok).peekable();
        let mut window = Window::default();
        let mut fields = Fields::default();
        while let Some(token) = tokens.next() {
            window.next = tokens.peek().copied();
            self.named(&token);
            if fields.see(&token) {
                self.field(&token);
            }
            match token.kind {
                Kind::Word => self.word(&token, &window),
                Kind::QuotedWord if window.is_call() => self.call(&token, &window),
                Kind::UnicodeWord => self.condemn(Why::Unparsed),
                Kind::Operator => self.operator(&token),
                Kind::Punctuation if token.is(b"::") || token.is(b"[") => self.chain += 1,
                _ => {}
            }
            window.second_last = window.last;
            window.last = Some(token);
        }
    }

    /// Types and columns may stand for calls of functions.
    fn named(&mut self, token: &Token<'_>) {
        if matches!(token.kind, Kind::Word | Kind::QuotedWord)
            && let Some(known) = name_of(token).and_then(|name| self.catalog.word(&name))
            && let Some(why) = known.why
        {
            self.condemn(why);
        }
    }

    /// A name behind a value may be a function.
    fn field(&mut self, token: &Token<'_>) {
        if let Some(name) = name_of(token)
            && let Some(why) = self.catalog.field(&name)
        {
            self.condemn(why);
        }
    }

    fn operator(&mut self, token: &Token<'_>) {
        self.chain += 1;
        let symbol = std::str::from_utf8(token.text).unwrap_or_default();
        if let Some(why) = self.catalog.operator(symbol) {
            self.condemn(why);
        }
    }

    fn word(&mut self, token: &Token<'_>, window: &Window<'_>) {
        if CHAINING.contains(&token.text) {
            self.chain += 1;
        }
        match token.text {
            b"join" => self.joins += 1,
            b"for" if window.next_is(&[b"update", b"share", b"no", b"key"]) => {
                self.condemn(Why::Locking);
            }
            b"update" if window.last_is(&[b"for", b"key"]) => self.condemn(Why::Locking),
            b"into" => self.condemn(Why::Ddl),
            b"call" | b"delete" | b"insert" | b"merge" | b"truncate" | b"update" => {
                self.condemn(Why::Write);
            }
            // The columns of a sequence.
            b"is_called" | b"last_value" | b"log_cnt" if !window.is_call() => {
                self.condemn(Why::Sequence);
            }
            text if !text.is_ascii() && !is_letters(text) => self.condemn(Why::Unparsed),
            // Its symbol is looked up like any other.
            b"operator" if self.follows(token, " ( pg_catalog . ") => {}
            text if window.is_call() && !NO_CALL.contains(&text) => self.call(token, window),
            _ => {}
        }
    }

    /// Whether this stands behind a token: in canonical form tokens are one space apart.
    fn follows(&self, token: &Token<'_>, words: &str) -> bool {
        self.text.get(token.end()..).is_some_and(|rest| rest.starts_with(words))
    }

    fn call(&mut self, token: &Token<'_>, window: &Window<'_>) {
        // Behind a literal there is no call.
        if window.last.is_some_and(|last| last.kind == Kind::String) {
            return;
        }
        // Sampling methods are functions of another kind.
        if window.last_is(&[b"tablesample"]) {
            if !matches!(token.text, b"bernoulli" | b"system") {
                self.condemn(Why::UnknownFunction);
            }
            return;
        }
        let Some(name) = name_of(token) else { return };
        let schema = window.schema();
        let schema = schema.map(|schema| name_of(&schema).unwrap_or_default());
        match self.catalog.function(schema.as_deref(), &name) {
            Some(Why::UnknownFunction) if schema.is_none() => self.calls.push(name.into_owned()),
            Some(why) => self.condemn(why),
            None => {}
        }
    }
}

/// Whether a word before a parenthesis may be a function, as it is not one of the grammar's.
pub(super) fn may_be_call(token: &Token<'_>) -> bool {
    let before_lists: &[&[u8]] = &[
        b"conflict",
        b"copy",
        b"explain",
        b"insert",
        b"into",
        b"key",
        b"only",
        b"returning",
        b"set",
    ];
    token.kind != Kind::Word
        || !(NO_CALL.contains(&token.text) || before_lists.contains(&token.text))
}

/// Whether every character is one that all parsers take for part of an identifier.
fn is_letters(text: &[u8]) -> bool {
    let text = std::str::from_utf8(text).unwrap_or(" ");
    text.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '$'))
}

/// Words that can each deepen the tree.
const CHAINING: &[&[u8]] = &[
    b"and",
    b"at",
    b"between",
    b"case",
    b"collate",
    b"except",
    b"ilike",
    b"in",
    b"intersect",
    b"is",
    b"isnull",
    b"like",
    b"not",
    b"notnull",
    b"or",
    b"similar",
    b"union",
];

/// Words before a parenthesis that are no function: grammar, and types with a length.
const NO_CALL: &[&[u8]] = &[
    b"all",
    b"analyze",
    b"and",
    b"any",
    b"array",
    b"as",
    b"asymmetric",
    b"between",
    b"both",
    b"by",
    b"case",
    b"character",
    b"cube",
    b"dec",
    b"decimal",
    b"distinct",
    b"else",
    b"escape",
    b"except",
    b"exists",
    b"fetch",
    b"filter",
    b"first",
    b"float",
    b"for",
    b"from",
    b"full",
    b"group",
    b"having",
    b"ilike",
    b"in",
    b"inner",
    b"intersect",
    b"is",
    b"join",
    b"json_table",
    b"lateral",
    b"leading",
    b"left",
    b"like",
    b"limit",
    b"materialized",
    b"nchar",
    b"next",
    b"not",
    b"offset",
    b"on",
    b"only",
    b"or",
    b"order",
    b"over",
    b"partition",
    b"passing",
    b"placing",
    b"repeatable",
    b"right",
    b"rollup",
    b"second",
    b"select",
    b"sets",
    b"similar",
    b"some",
    b"symmetric",
    b"then",
    b"to",
    b"trailing",
    b"union",
    b"using",
    b"values",
    b"variadic",
    b"varying",
    b"when",
    b"where",
    b"with",
    b"within",
    b"xmlattributes",
    b"xmlnamespaces",
    b"xmltable",
    b"zone",
];
