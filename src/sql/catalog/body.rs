//! What the body of a function in SQL or PL/pgSQL may do, read from its words.
//!
//! Labels are not asked: a function is VOLATILE by default, which says nothing, and STABLE ones may call `nextval`.
//! As in [`mod@crate::sql::query`] it is words that condemn. A command is known by its first word, and text that is
//! put together at run time by EXECUTE, so what holds none of them only reads.

use super::graph::Ref;
use super::names::{Key, strongest};
use crate::sql::cursor::name_of;
use crate::sql::fields::{self, Fields};
use crate::sql::functions;
use crate::sql::lexer::{Kind, Lexer, Token, validate};
use crate::sql::scan::{self, Leaves};
use crate::sql::tables::Tables;
use crate::sql::verdict::Why;

/// What a body may do by itself; what the objects that it refers to do comes on top.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) refs: Vec<Ref>,
    pub(super) why: Option<Why>,
    /// Tables that it may use without naming them.
    pub(super) tables: Tables,
    /// What it leaves in the session that called it.
    pub(super) leaves: Leaves,
}

/// The language of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// SQL.
    Sql,
    /// PL/pgSQL.
    Plpgsql,
}

impl Body {
    /// A body of which nothing is known.
    pub(super) const fn opaque() -> Self {
        Self {
            refs: Vec::new(),
            why: Some(Why::UnknownFunction),
            tables: Tables::ALL,
            leaves: Leaves::Traces,
        }
    }

    /// Reads a body.
    pub(super) fn read(text: &str, language: Language) -> Self {
        if validate(text.as_bytes()).is_err() {
            return Self::opaque();
        }
        let mut body =
            Self { refs: Vec::new(), why: None, tables: Tables::NONE, leaves: Leaves::Nothing };
        let mut tokens = Lexer::new(text.as_bytes()).map_while(Result::ok).peekable();
        let mut before: Option<Token<'_>> = None;
        let mut fields = Fields::default();
        while let Some(token) = tokens.next() {
            // In SQL a name alone may be a parameter, and so a value.
            let is_field = fields.see(&token)
                || language == Language::Sql && before.is_some_and(|before| before.is(b"."));
            match token.kind {
                Kind::Word | Kind::QuotedWord => {
                    let is_call = tokens.peek().is_some_and(|next| next.is(b"("));
                    if is_field && !is_call {
                        body.field(&token);
                    }
                    body.name(&token, (before, is_call), text);
                    if token.kind == Kind::Word {
                        body.word(&token, before, language);
                    }
                }
                Kind::UnicodeWord => return Self::opaque(),
                Kind::Operator => {
                    let symbol = std::str::from_utf8(token.text).unwrap_or_default();
                    body.refs.push(Ref::Symbol(Key::of(symbol)));
                }
                _ if scan::names_state(&token) => body.leave(Leaves::ForGood),
                _ => {}
            }
            before = Some(token);
        }
        body.refs.sort_unstable();
        body.refs.dedup();
        body
    }

    fn condemn(&mut self, why: Why) {
        self.why = strongest(self.why, Some(why));
    }

    fn name(
        &mut self,
        token: &Token<'_>,
        (before, is_call): (Option<Token<'_>>, bool),
        text: &str,
    ) {
        let Some(name) = name_of(token) else { return };
        let key = Key::of(&name);
        self.refs.push(Ref::Word(key));
        if is_call {
            self.refs.push(Ref::Call(key));
            let rest = text.get(token.end()..).unwrap_or_default();
            if name != "current_setting" || !names_own_setting(rest) {
                self.call(&name);
            }
            if name == "set_config" && rest.trim_start_matches(['(', ' ']).starts_with("'seed'") {
                self.leave(Leaves::ForGood);
            }
        } else if name == "information_schema"
            || (name.starts_with("pg_") && name != "pg_catalog" && !is_type_position(before))
        {
            self.condemn(Why::SystemCatalog);
        }
    }

    /// A name behind a value, or behind what may be one: if there is such a function it may be a call.
    fn field(&mut self, token: &Token<'_>) {
        let Some(name) = name_of(token) else { return };
        self.refs.push(Ref::Call(Key::of(&name)));
        if fields::reason(&name).is_some() {
            self.call(&name);
        }
    }

    /// A call of what may be one of PostgreSQL's own functions.
    fn call(&mut self, name: &str) {
        if let Some(why) = functions::reason(name).filter(|why| *why != Why::UnknownFunction) {
            self.condemn(why);
        }
        if functions::runs_text(name) {
            self.anything();
        } else {
            self.leave(scan::leaves(name));
        }
        if name.starts_with("lo_") || name == "lowrite" {
            self.tables = Tables::ALL;
        }
    }

    fn anything(&mut self) {
        self.tables = Tables::ALL;
        self.leave(Leaves::Traces);
    }

    fn leave(&mut self, leaves: Leaves) {
        self.leaves = self.leaves.max(leaves);
    }

    fn word(&mut self, token: &Token<'_>, before: Option<Token<'_>>, language: Language) {
        let word = token.text.to_ascii_lowercase();
        let is_any = |words: &[&[u8]]| words.contains(&word.as_slice());
        if word == b"execute" {
            self.condemn(Why::UnknownFunction);
            self.anything();
        } else if word == b"seed" && follows_set(before) {
            self.leave(Leaves::ForGood);
        } else if is_any(&[b"insert", b"update", b"delete", b"merge", b"truncate"])
            || (word == b"into" && language == Language::Sql)
        {
            self.condemn(Why::VolatileFunction);
        } else if is_statement_start(before) && is_any(COMMANDS) {
            self.condemn(Why::VolatileFunction);
            if !is_any(ABOUT_TABLES) {
                self.anything();
            }
        }
    }
}

/// `('a.b'` in front: the name of a parameter that sessions make up.
fn names_own_setting(rest: &str) -> bool {
    let mut tokens = Lexer::new(rest.as_bytes()).map_while(Result::ok);
    tokens.next().is_some_and(|open| open.is(b"("))
        && tokens.next().is_some_and(|name| name.kind == Kind::String && name.text.contains(&b'.'))
}

/// Whether what stands before a name makes it a parameter that is set.
fn follows_set(before: Option<Token<'_>>) -> bool {
    let words: &[&[u8]] = &[b"set", b"session", b"local"];
    before.is_some_and(|token| words.iter().any(|word| token.text.eq_ignore_ascii_case(word)))
}

/// Whether what stands before a name makes it a type.
fn is_type_position(before: Option<Token<'_>>) -> bool {
    before.is_some_and(|token| token.is(b"::"))
}

fn is_statement_start(before: Option<Token<'_>>) -> bool {
    let openers: &[&[u8]] = &[b"begin", b"then", b"else", b"loop", b"atomic"];
    before.is_none_or(|token| {
        token.is(b";")
            || token.is(b">>")
            || openers.iter().any(|word| token.text.eq_ignore_ascii_case(word))
    })
}

/// The first words of commands that are no query, except those of data.
const COMMANDS: &[&[u8]] = &[
    b"alter",
    b"analyse",
    b"analyze",
    b"call",
    b"checkpoint",
    b"cluster",
    b"comment",
    b"commit",
    b"copy",
    b"create",
    b"deallocate",
    b"discard",
    b"do",
    b"drop",
    b"grant",
    b"import",
    b"listen",
    b"load",
    b"lock",
    b"notify",
    b"prepare",
    b"reassign",
    b"refresh",
    b"reindex",
    b"repack",
    b"reset",
    b"revoke",
    b"rollback",
    b"security",
    b"set",
    b"unlisten",
    b"vacuum",
    b"wait",
];

/// Those that leave nothing in the session, and write no table but those that they name.
const ABOUT_TABLES: &[&[u8]] = &[
    b"analyse",
    b"analyze",
    b"call",
    b"comment",
    b"commit",
    b"copy",
    b"lock",
    b"notify",
    b"rollback",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn plpgsql(text: &str) -> Body {
        Body::read(text, Language::Plpgsql)
    }

    #[test]
    fn what_only_reads_is_acquitted() {
        for text in [
            "begin return a + 1; end",
            "declare r record; begin for r in select * from t loop x := x + r.a; end loop; return x; end",
            "begin if a then select b into c from t where d = current_setting('app.tenant'); end if; return c; end",
            "begin perform lower(a); raise notice 'delete %', a; return query select a::pg_lsn from t; end",
            "<<outer>> declare x int := 1; begin return x; end outer",
        ] {
            let body = plpgsql(text);
            assert_eq!((body.why, body.leaves), (None, Leaves::Nothing), "{text}");
        }
        assert_eq!(Body::read("select a from t; select b", Language::Sql).why, None);
    }

    #[test]
    fn what_writes_or_asks_its_node_is_condemned() {
        for (text, why) in [
            ("begin insert into t values (1); return 1; end", Why::VolatileFunction),
            (
                "begin with x as (delete from t returning 1) select 1 into y; end",
                Why::VolatileFunction,
            ),
            ("begin select a into b from t for update; end", Why::VolatileFunction),
            ("begin if true then notify x; end if; end", Why::VolatileFunction),
            ("begin set local work_mem = '1MB'; end", Why::VolatileFunction),
            ("begin return nextval('s'); end", Why::Sequence),
            ("begin perform pg_advisory_lock(1); end", Why::Locking),
            ("begin perform set_config('a.b', 'c', false); end", Why::SessionState),
            ("begin return current_setting('port'); end", Why::NodeLocal),
            ("begin return (select count(*) from pg_stat_activity); end", Why::SystemCatalog),
            ("begin execute 'sel' || 'ect 1'; end", Why::UnknownFunction),
            ("begin return query_to_xml('select 1', true, true, ''); end", Why::VolatileFunction),
            ("begin 'unterminated", Why::UnknownFunction),
        ] {
            assert_eq!(plpgsql(text).why, Some(why), "{text}");
        }
        assert_eq!(Body::read("select 1 into t", Language::Sql).why, Some(Why::VolatileFunction));
    }

    #[test]
    fn what_is_left_in_the_session_is_told_from_mere_writes() {
        let left = |text| (plpgsql(text).leaves, plpgsql(text).tables);
        let writes = "begin insert into t select * from u; perform pg_notify('a', 'b'); end";
        assert_eq!(left("begin insert into t values (1); end"), (Leaves::Nothing, Tables::NONE));
        assert_eq!(left("begin perform txid_current(); end"), (Leaves::Nothing, Tables::NONE));
        assert_eq!(left("begin perform pg_advisory_xact_lock(1); end").0, Leaves::Nothing);
        assert_eq!(left("begin perform pg_advisory_lock(1); end").0, Leaves::Traces);
        assert_eq!(left("begin return query_to_xml(a); end"), (Leaves::Traces, Tables::ALL));
        assert_eq!(left("begin lock table t; end"), (Leaves::Nothing, Tables::NONE));
        assert_eq!(left("begin set x = 1; end"), (Leaves::Traces, Tables::ALL));
        assert_eq!(left("begin create temp table x (a int); end"), (Leaves::Traces, Tables::ALL));
        assert_eq!(left("begin execute a; end"), (Leaves::Traces, Tables::ALL));
        assert_eq!(left("begin perform set_config(a, b, false); end").0, Leaves::Traces);
        for forever in [
            "begin perform setseed(0.5); end",
            "begin set local Seed to 0.5; end",
            "begin perform set_config('seed', a, false); end",
            "begin execute 'select ' || x || 'DBLINK_connect(''a'')'; end",
        ] {
            assert_eq!(left(forever).0, Leaves::ForGood, "{forever}");
        }
        assert!(plpgsql(writes).refs.contains(&Ref::Word(Key::of("t"))));
        assert!(plpgsql(writes).refs.contains(&Ref::Call(Key::of("pg_notify"))));
    }
}
