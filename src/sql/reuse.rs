//! Whether a text may be parsed once and run many times without anybody noticing, and which changes of the catalog
//! nobody else can notice.

use super::cursor::{Cursor, is_keyword};
use super::lexer::{Kind, Lexer, Token};
use super::verdict::{Effects, Verdict};

/// Texts longer than this are not worth their place on a server.
const MAX_LEN: usize = 16 * 1024;

/// What a date or time may be written as that is taken for the moment at which it is *parsed*
/// (<https://www.postgresql.org/docs/current/datatype-datetime.html#DATATYPE-DATETIME-SPECIAL-VALUES>).
const MOMENTS: [&[u8]; 4] = [b"now", b"today", b"tomorrow", b"yesterday"];

/// Whether running a plan of `text` that exists is the same as parsing it again, as long as neither the catalog nor
/// the settings that decide its meaning have changed.
///
/// Only queries and INSERT, UPDATE, DELETE and MERGE have plans. A literal is converted when it is parsed, so one that
/// may mean the present moment must be parsed each time.
pub fn is_reusable(text: &[u8], verdict: Verdict) -> bool {
    let harmless =
        Effects::WRITES | Effects::ACTS | Effects::SEQUENCE_STATE | Effects::SESSION_LOCK;
    text.len() <= MAX_LEN
        && harmless.contains(verdict.effects)
        && Cursor::new(text).peek().is_some_and(|first| begins_plannable(&first))
        && Lexer::new(text).all(|token| token.is_ok_and(|token| !may_be_a_moment(&token)))
}

fn begins_plannable(first: &Token<'_>) -> bool {
    ["select", "insert", "update", "delete", "with", "merge", "values", "table"]
        .iter()
        .any(|word| is_keyword(first, word))
        || first.is(b"(")
}

/// Whether a literal may stand for the present moment.
pub(super) fn may_be_a_moment(token: &Token<'_>) -> bool {
    match token.kind {
        Kind::String | Kind::NationalString | Kind::DollarString => holds_moment(token.text),
        // What an escape may spell is not worth finding out.
        Kind::EscapeString | Kind::UnicodeString => {
            token.text.contains(&b'\\') || holds_moment(token.text)
        }
        _ => false,
    }
}

fn holds_moment(text: &[u8]) -> bool {
    MOMENTS
        .iter()
        .any(|moment| text.windows(moment.len()).any(|part| part.eq_ignore_ascii_case(moment)))
}

/// Whether a text that changes the catalog is one CREATE TEMPORARY, whose object only its own session can see.
pub fn creates_temporary(text: &[u8], effects: Effects) -> bool {
    let mut cursor = Cursor::new(text);
    let creates = cursor.keyword("create") && {
        let _ = cursor.keyword("local") || cursor.keyword("global");
        cursor.keyword("temp") || cursor.keyword("temporary")
    };
    creates && !effects.contains(Effects::MULTI)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Classifier, LiveCatalog};

    fn verdict(sql: &str) -> Verdict {
        Classifier::new(16).classify(sql.as_bytes(), &LiveCatalog::default())
    }

    #[test]
    fn queries_and_writes_are_reusable() {
        for sql in [
            "select abalance from pgbench_accounts where aid = $1",
            "(select 1) union select 2",
            "with a as (select 1) select * from a",
            "values (1)",
            "insert into t values ($1, now())",
            "update t set a = 'new' where b = 'it''s'",
            "delete from t where a = $$x$$",
            "select nextval('s')",
            "select pg_advisory_xact_lock($1)",
        ] {
            assert!(is_reusable(sql.as_bytes(), verdict(sql)), "{sql}");
        }
    }

    #[test]
    fn what_has_no_plan_or_means_the_moment_is_not() {
        for sql in [
            "begin",
            "commit",
            "set a = 1",
            "copy t to stdout",
            "truncate t",
            "vacuum",
            "create table t (a int)",
            "select * into t from u",
            "select set_config('a', 'b', false)",
            "select 'now'::timestamptz",
            "select date ' Tomorrow '",
            "select timestamp E'n\\x6fw'",
            "select * from t where a > 'YESTERDAY'",
            "insert into t values ($$today$$)",
            "show work_mem",
            "select 1; select 2",
            "execute p",
            "declare c cursor for select 1",
            "",
        ] {
            assert!(!is_reusable(sql.as_bytes(), verdict(sql)), "{sql}");
        }
    }

    #[test]
    fn only_a_lone_create_temporary_concerns_nobody_else() {
        let is = |sql: &str| creates_temporary(sql.as_bytes(), verdict(sql).effects);
        assert!(is("CREATE TEMP TABLE t (a int)"));
        assert!(is("create local temporary view v as select 1"));
        assert!(!is("create temp table t (a int); create table u (a int)"));
        assert!(!is("create table temp (a int)"));
        assert!(!is("drop table t"));
    }
}
