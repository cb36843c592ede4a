//! Splits a text into statements and finds, without parsing, what each may do to its session.
//!
//! It sees words, not grammar, and so finds too much rather than too little: a column named
//! `temp` costs nothing, a function that takes a session lock is found wherever it stands.

use super::cursor::is_keyword;
use super::fields::Fields;
use super::functions;
use super::lexer::{Kind, Lexer, Token};
use super::verdict::Effects;

/// One statement of a text, without its semicolon.
#[derive(Clone, Copy, Debug)]
pub(super) struct Statement<'a> {
    pub(super) text: &'a [u8],
    /// Where that begins.
    pub(super) start: usize,
    /// What its words reveal, whatever its kind is.
    pub(super) effects: Effects,
}

/// The statements of a text that has been lexed without error; empty ones are left out.
pub(super) struct Statements<'a> {
    sql: &'a [u8],
    lexer: Lexer<'a>,
}

impl<'a> Statements<'a> {
    pub(super) const fn new(sql: &'a [u8]) -> Self {
        Self { sql, lexer: Lexer::new(sql) }
    }
}

impl<'a> Iterator for Statements<'a> {
    type Item = Statement<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut watch = Watch::default();
        while let Some(Ok(token)) = self.lexer.next() {
            if !token.is(b";") {
                watch.see(token);
            } else if watch.first.is_some() {
                break;
            }
        }
        let (first, last) = (watch.first?, watch.previous?);
        let text = self.sql.get(first.start..last.end())?;
        Some(Statement { text, start: first.start, effects: watch.effects })
    }
}

/// Collects effects over the tokens of one statement.
#[derive(Default)]
struct Watch<'a> {
    first: Option<Token<'a>>,
    previous: Option<Token<'a>>,
    fields: Fields,
    effects: Effects,
}

impl<'a> Watch<'a> {
    fn see(&mut self, token: Token<'a>) {
        if self.fields.see(&token) {
            self.effects |= call_effects(&token);
        }
        match token.kind {
            Kind::Word => self.see_word(&token),
            Kind::UnicodeWord => self.effects |= Effects::OPAQUE,
            Kind::QuotedWord if unquoted(&token).starts_with(b"pg_temp") => {
                self.effects |= Effects::TEMP;
            }
            // A search_path may name the temporary schema.
            Kind::String | Kind::EscapeString | Kind::DollarString
                if self.sets_parameters()
                    && token.text.windows(7).any(|part| part.eq_ignore_ascii_case(b"pg_temp")) =>
            {
                self.effects |= Effects::TEMP;
            }
            _ if self.first.is_some_and(|first| is_keyword(&first, "do"))
                && names_state(&token) =>
            {
                self.effects |= Effects::KEEPS;
            }
            // The first argument of `set_config`.
            Kind::String
                if token.text.eq_ignore_ascii_case(b"'seed'")
                    && self.effects.contains(Effects::SETS)
                    && self.previous.is_some_and(|open| open.is(b"(")) =>
            {
                self.effects |= Effects::KEEPS;
            }
            Kind::Punctuation if token.is(b"(") => {
                if let Some(name) = self.previous {
                    self.effects |= call_effects(&name);
                }
            }
            _ => {}
        }
        self.first.get_or_insert(token);
        self.previous = Some(token);
    }

    fn sets_parameters(&self) -> bool {
        self.effects.contains(Effects::SETS)
            || self.first.is_some_and(|first| is_keyword(&first, "set"))
    }

    fn see_word(&mut self, token: &Token<'a>) {
        let follows = |words: &[&str]| {
            self.previous.is_some_and(|before| words.iter().any(|word| is_keyword(&before, word)))
        };
        let starts_with = |words: &[&str]| {
            self.first.is_some_and(|first| words.iter().any(|word| is_keyword(&first, word)))
        };
        let found = if is_keyword(token, "temp") || is_keyword(token, "temporary") {
            let is_option = follows(&["create", "replace", "local", "global", "into"]);
            if is_option { Effects::TEMP } else { Effects::empty() }
        } else if is_keyword(token, "hold") && follows(&["with"]) {
            Effects::HOLD_CURSOR
        } else if is_keyword(token, "execute") && (follows(&["as"]) || starts_with(&["explain"])) {
            Effects::EXECUTES
        } else if is_keyword(token, "seed") && follows(&["set", "session", "local"]) {
            Effects::KEEPS
        } else if is_keyword(token, "into") && !follows(&["insert", "merge"]) {
            let is_query = !starts_with(&["insert", "merge", "import"]);
            if is_query { Effects::DDL } else { Effects::empty() }
        } else if is_keyword(token, "pg_settings") && !starts_with(&["explain", "select", "table"])
        {
            // UPDATE of this view sets parameters.
            Effects::OPAQUE
        } else if token.text.get(..7).is_some_and(|part| part.eq_ignore_ascii_case(b"pg_temp")) {
            Effects::TEMP
        } else {
            Effects::empty()
        };
        self.effects |= found;
    }
}

/// What calling this function does to the session.
fn call_effects(name: &Token<'_>) -> Effects {
    match name.kind {
        Kind::Word => effects_of(name.text),
        Kind::QuotedWord => effects_of(unquoted(name)),
        _ => Effects::empty(),
    }
}

/// What calling a function of this name does to the session.
fn effects_of(name: &[u8]) -> Effects {
    let is_any = |names: &[&str]| names.iter().any(|one| name.eq_ignore_ascii_case(one.as_bytes()));
    if is_any(SESSION_LOCKS) {
        Effects::SESSION_LOCK
    } else if is_any(&["currval", "lastval"]) {
        Effects::SEQUENCE_STATE
    } else if is_any(SESSION_UNLOCKS) {
        Effects::RELEASES
    } else if is_any(&["pg_notify"]) {
        Effects::NOTIFIES
    } else if is_any(&["set_config"]) {
        Effects::SETS
    } else if is_any(SESSION_STATE) {
        Effects::OPAQUE | Effects::KEEPS
    } else if functions::acts(name) {
        Effects::ACTS
    } else {
        Effects::empty()
    }
}

/// What calling a function of this name may leave in the session.
pub(super) fn leaves(name: &str) -> Leaves {
    let effects = effects_of(name.as_bytes());
    if effects.contains(Effects::KEEPS) {
        Leaves::ForGood
    } else if effects.intersects(Effects::SESSION_LOCK | Effects::SETS) {
        Leaves::Traces
    } else {
        Leaves::Nothing
    }
}

/// Whether a literal names a function that leaves something for good: SQL that is put together may call it.
pub(super) fn names_state(literal: &Token<'_>) -> bool {
    let is_literal = matches!(
        literal.kind,
        Kind::DollarString | Kind::EscapeString | Kind::NationalString | Kind::String
    );
    let holds = |name: &&str| {
        let mut parts = literal.text.windows(name.len());
        parts.any(|part| part.eq_ignore_ascii_case(name.as_bytes()))
    };
    is_literal && SESSION_STATE.iter().any(holds)
}

/// What may be left in a session by something that no text names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Leaves {
    /// Nothing.
    Nothing,
    /// Settings, locks, temporary objects or the like, which can be undone.
    Traces,
    /// What nothing undoes.
    ForGood,
}

/// Functions whose lock lives as long as the session.
const SESSION_LOCKS: &[&str] = &[
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
];

/// Functions that give such locks back.
const SESSION_UNLOCKS: &[&str] =
    &["pg_advisory_unlock", "pg_advisory_unlock_all", "pg_advisory_unlock_shared"];

/// Functions that leave state in the session that nothing else names, and that even DISCARD ALL leaves there.
const SESSION_STATE: &[&str] = &[
    "dblink_connect",
    "dblink_connect_u",
    "pg_backup_start",
    "pg_copy_logical_replication_slot",
    "pg_copy_physical_replication_slot",
    "pg_create_logical_replication_slot",
    "pg_create_physical_replication_slot",
    "pg_replication_origin_session_setup",
    "pg_start_backup",
    "setseed",
];

fn unquoted<'a>(token: &Token<'a>) -> &'a [u8] {
    token.text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or_default()
}
