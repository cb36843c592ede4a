//! PREPARE, EXECUTE and DEALLOCATE at the SQL level: which names of prepared statements a text uses, and how.

use std::ops::Range;

use super::cursor::{Cursor, is_keyword};
use super::lexer::{self, Kind};
use super::scan::Statements;

/// What a DEALLOCATE drops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deallocate {
    /// Every prepared statement of the session, also those of the protocol.
    All,
    /// One prepared statement, by its folded name.
    Name(String),
}

/// What a statement does to the names of its session, once the server has completed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// PREPARE, with the place of the whole command in the text.
    Prepare(Box<str>, Range<usize>),
    /// DEALLOCATE of one name.
    Deallocate(Box<str>),
    /// DEALLOCATE ALL or DISCARD ALL.
    All,
}

/// What a text that mentions a name wants of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// That it is taken if it is taken: DEALLOCATE.
    Name,
    /// The statement: EXECUTE, and PREPARE, after whose failure the old one is still there.
    Statement,
}

/// A text as far as it concerns prepared statements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// In the order of the text, one for each CommandComplete with one of these tags.
    pub steps: Vec<Step>,
    /// Each name once, with what its first mention wants.
    pub mentions: Vec<(Box<str>, Wants)>,
}

impl Script {
    /// Reads a text; `None` if a name in it is not understood.
    pub fn read(sql: &[u8]) -> Option<Self> {
        lexer::validate(sql).ok()?;
        let mut script = Self::default();
        for statement in Statements::new(sql) {
            script.add(statement.text, statement.start)?;
        }
        Some(script)
    }

    fn add(&mut self, text: &[u8], start: usize) -> Option<()> {
        let mut cursor = Cursor::new(text);
        if cursor.keyword("prepare") {
            if is_two_phase(&cursor) {
                return Some(());
            }
            let name: Box<str> = cursor.name()?.into();
            self.mention(&name, Wants::Statement);
            self.steps.push(Step::Prepare(name, start..start + text.len()));
        } else if cursor.sees("deallocate") {
            match deallocated(&mut cursor)? {
                Deallocate::All => self.steps.push(Step::All),
                Deallocate::Name(name) => {
                    self.mention(&name, Wants::Name);
                    self.steps.push(Step::Deallocate(name.into()));
                }
            }
        } else if cursor.keywords(&["discard", "all"]) {
            self.steps.push(Step::All);
        } else {
            // EXECUTE itself, EXPLAIN EXECUTE and CREATE TABLE AS EXECUTE. The word is nowhere else a name's neighbour
            // that matters: a name too many does no harm.
            while let Some(token) = cursor.take() {
                if is_keyword(&token, "execute") {
                    match cursor.peek().map(|next| next.kind) {
                        Some(Kind::UnicodeWord) => return None,
                        Some(Kind::Word | Kind::QuotedWord) => {
                            self.mention(&cursor.name()?, Wants::Statement);
                        }
                        _ => {}
                    }
                }
            }
        }
        Some(())
    }

    fn mention(&mut self, name: &str, wants: Wants) {
        if !self.mentions.iter().any(|(known, _)| **known == *name) {
            self.mentions.push((name.into(), wants));
        }
    }
}

/// Whether what follows PREPARE makes it the first half of a two-phase commit. `transaction` may also be a name.
fn is_two_phase(cursor: &Cursor<'_>) -> bool {
    let mut ahead = cursor.clone();
    ahead.keyword("transaction") && ahead.kind(Kind::String).is_some()
}

/// What a text that is one PREPARE prepares: all behind AS, comments included.
pub fn body(sql: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(sql);
    if !cursor.keyword("prepare") {
        return None;
    }
    cursor.name()?;
    // The types of its parameters.
    if cursor.peek().is_some_and(|token| token.is(b"(")) {
        cursor.group()?;
    }
    let found = cursor.take().filter(|token| is_keyword(token, "as"))?;
    sql.get(found.end()..)
}

/// The name in a text that is one EXECUTE, if nothing but constants are handed over, and no comment asks for anything.
pub fn executed(sql: &[u8]) -> Option<String> {
    let mut cursor = Cursor::new(sql);
    let first = cursor.peek()?;
    let is_bare = sql.get(..first.start).is_some_and(|before| before.trim_ascii().is_empty());
    if !is_bare || !cursor.keyword("execute") {
        return None;
    }
    let name = cursor.name()?.into_owned();
    while let Some(token) = cursor.take() {
        let is_word = ["true", "false", "null"].iter().any(|word| is_keyword(&token, word));
        let is_mark =
            [b"(", b",", b")", b"-", b"+", b";"].iter().any(|mark| token.is(mark.as_slice()));
        let is_literal = matches!(
            token.kind,
            Kind::String | Kind::EscapeString | Kind::DollarString | Kind::Integer | Kind::Number
        );
        if !is_word && !is_mark && !is_literal {
            return None;
        }
    }
    Some(name)
}

/// Reads a text that is one DEALLOCATE and nothing else.
pub fn deallocate(sql: &[u8]) -> Option<Deallocate> {
    lexer::validate(sql).ok()?;
    deallocated(&mut Cursor::new(sql))
}

fn deallocated(cursor: &mut Cursor<'_>) -> Option<Deallocate> {
    if !cursor.keyword("deallocate") {
        return None;
    }
    // `prepare` is a word that may also be a name.
    let mut plain = cursor.clone();
    let found = if cursor.keyword("prepare") { target(cursor) } else { None };
    found.or_else(|| target(&mut plain))
}

/// ALL or a name, then the end.
fn target(cursor: &mut Cursor<'_>) -> Option<Deallocate> {
    let found = if cursor.keyword("all") {
        Deallocate::All
    } else {
        Deallocate::Name(cursor.name()?.into_owned())
    };
    while cursor.symbol(";") {}
    cursor.at_end().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_deallocate() {
        let name = |name: &str| Some(Deallocate::Name(name.to_owned()));
        assert_eq!(deallocate(b"DEALLOCATE ALL"), Some(Deallocate::All));
        assert_eq!(deallocate(b"deallocate prepare all;"), Some(Deallocate::All));
        assert_eq!(deallocate(b"DEALLOCATE Foo"), name("foo"));
        assert_eq!(deallocate(b"DEALLOCATE PREPARE \"A\"\"b\" ; "), name("A\"b"));
        assert_eq!(deallocate(b"DEALLOCATE prepare"), name("prepare"));
        assert_eq!(deallocate(b"DEALLOCATE \"all\""), name("all"));
        assert_eq!(deallocate(b"DEALLOCATE a; select 1"), None);
        assert_eq!(deallocate(b"DEALLOCATE 'a'"), None);
        assert_eq!(deallocate(b"DEALLOCATE a 'unterminated"), None);
        assert_eq!(deallocate(b"select 1"), None);
    }

    #[test]
    fn a_script_has_a_step_for_each_tag_and_mentions_each_name_once() {
        let sql = b"begin; PREPARE A (int) AS select $1; /* x */ execute a(1); prepare transaction 'x'; \
            EXPLAIN (costs off) execute \"B\"; create table t as execute c; deallocate b; deallocate all; discard all";
        let script = Script::read(sql).unwrap();
        let (place, text) = (7..7 + 28, b"PREPARE A (int) AS select $1");
        assert_eq!(sql.get(place.clone()), Some(text.as_slice()));
        let steps =
            [Step::Prepare("a".into(), place), Step::Deallocate("b".into()), Step::All, Step::All];
        assert_eq!(script.steps, steps);
        let mentions = [
            ("a", Wants::Statement),
            ("B", Wants::Statement),
            ("c", Wants::Statement),
            ("b", Wants::Name),
        ];
        assert_eq!(script.mentions, mentions.map(|(name, wants)| (name.into(), wants)));
        assert_eq!(Script::read(b"prepare U&\"a\" as select 1"), None);
        assert_eq!(Script::read(b"execute U&\"a\""), None);
        assert_eq!(Script::read(b"grant execute on function f() to x").unwrap().steps, []);
    }

    #[test]
    fn the_body_is_what_follows_as() {
        let body = |sql: &str| body(sql.as_bytes()).map(<[u8]>::to_vec);
        assert_eq!(body("prepare a as select 1").unwrap(), b" select 1");
        let typed = "PREPARE \"as\" (numeric(3, 2), text[]) AS /* as */ select $1 as x";
        assert_eq!(body(typed).unwrap(), b" /* as */ select $1 as x");
        assert_eq!(body("prepare a"), None);
        assert_eq!(body("select 1 as x"), None);
    }

    #[test]
    fn only_an_execute_of_constants_is_as_harmless_as_its_statement() {
        assert_eq!(executed(b" EXECUTE A").as_deref(), Some("a"));
        assert_eq!(executed(b"execute a (1, -2.5, 'x', null);").as_deref(), Some("a"));
        assert_eq!(executed(b"execute a (nextval('s'))"), None);
        assert_eq!(executed(b"execute a ((select 1))"), None);
        assert_eq!(executed(b"/* pglagoon: primary */ execute a"), None);
        assert_eq!(executed(b"explain execute a"), None);
    }
}
