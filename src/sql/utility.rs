//! Statements that are no query: their kind shows in their first words.

use super::cursor::Cursor;
use super::lexer::Kind;
use super::verdict::{Access, Begin, Class, Effects, Isolation, Why};

/// The class of a statement that is neither a query, EXPLAIN nor COPY, with the effects that
/// belong to its kind.
pub(super) fn classify(text: &[u8]) -> (Class, Effects) {
    let mut cursor = Cursor::new(text);
    let Some(first) = cursor.take().filter(|token| token.kind == Kind::Word) else {
        return (Class::Primary(Why::Unparsed), Effects::OPAQUE | Effects::WRITES);
    };
    let keyword = first.text.to_ascii_lowercase();
    transaction(&keyword, &mut cursor)
        .or_else(|| session(&keyword, &mut cursor))
        .unwrap_or_else(|| command(&keyword))
}

/// Transaction control.
fn transaction(keyword: &[u8], cursor: &mut Cursor<'_>) -> Option<(Class, Effects)> {
    let class = match keyword {
        b"begin" => begin(cursor),
        b"start" if cursor.sees("transaction") => begin(cursor),
        b"commit" | b"rollback" if cursor.sees("prepared") => {
            return Some((Class::Primary(Why::Utility), Effects::WRITES));
        }
        b"commit" | b"end" => end(cursor),
        b"rollback" | b"abort" => rollback(cursor),
        b"savepoint" | b"release" => Some(Class::Savepoint),
        b"prepare" if cursor.sees("transaction") => {
            let mut ahead = cursor.clone();
            ahead.take();
            // `transaction` may also be the name of a prepared statement.
            ahead.kind(Kind::String)?;
            Some(Class::End)
        }
        _ => return None,
    };
    Some((class.unwrap_or(Class::Primary(Why::Unparsed)), Effects::TRANSACTION))
}

fn begin(cursor: &mut Cursor<'_>) -> Option<Class> {
    let _ = cursor.keyword("work") || cursor.keyword("transaction");
    transaction_modes(cursor).map(Class::Begin)
}

/// A list of transaction modes up to the end; of contradicting ones the stronger counts.
pub(super) fn transaction_modes(cursor: &mut Cursor<'_>) -> Option<Begin> {
    let mut begin = Begin::default();
    while !cursor.at_end() {
        if cursor.keywords(&["read", "write"]) {
            begin.access = Access::ReadWrite;
        } else if cursor.keywords(&["read", "only"]) {
            if begin.access == Access::Unspecified {
                begin.access = Access::ReadOnly;
            }
        } else if cursor.keyword("deferrable") {
            begin.isolation = Isolation::Serializable;
        } else if cursor.keywords(&["isolation", "level"]) {
            let level = isolation_level(cursor)?;
            if begin.isolation != Isolation::Serializable {
                begin.isolation = level;
            }
        } else if !cursor.keywords(&["not", "deferrable"]) {
            return None;
        }
        cursor.symbol(",");
    }
    Some(begin)
}

pub(super) fn isolation_level(cursor: &mut Cursor<'_>) -> Option<Isolation> {
    if cursor.keyword("serializable") {
        Some(Isolation::Serializable)
    } else if cursor.keywords(&["repeatable", "read"]) {
        Some(Isolation::RepeatableRead)
    } else if cursor.keywords(&["read", "committed"]) || cursor.keywords(&["read", "uncommitted"]) {
        Some(Isolation::ReadCommitted)
    } else {
        None
    }
}

fn end(cursor: &mut Cursor<'_>) -> Option<Class> {
    let _ = cursor.keyword("work") || cursor.keyword("transaction");
    let _ = cursor.keywords(&["and", "chain"]) || cursor.keywords(&["and", "no", "chain"]);
    cursor.at_end().then_some(Class::End)
}

fn rollback(cursor: &mut Cursor<'_>) -> Option<Class> {
    let mut ahead = cursor.clone();
    let _ = ahead.keyword("work") || ahead.keyword("transaction");
    if ahead.keyword("to") { Some(Class::Savepoint) } else { end(cursor) }
}

/// Commands that act on the session rather than on data.
fn session(keyword: &[u8], cursor: &mut Cursor<'_>) -> Option<(Class, Effects)> {
    let all = cursor.sees("all");
    let effects = match keyword {
        b"show" => {
            let names_ours =
                cursor.name().is_some_and(|name| name.eq_ignore_ascii_case("pglagoon"));
            let ours =
                if names_ours && cursor.symbol(".") { Effects::OURS } else { Effects::empty() };
            return Some((Class::Primary(Why::NodeLocal), ours));
        }
        b"set" if cursor.sees("constraints") => Effects::WRITES,
        b"set" | b"reset" => Effects::SETS,
        b"discard" if all => Effects::DISCARDS,
        b"discard" => Effects::DISCARDS_PART,
        b"deallocate" => Effects::DEALLOCATES,
        b"prepare" => Effects::PREPARES,
        b"execute" => Effects::EXECUTES | Effects::WRITES,
        b"listen" => Effects::LISTENS,
        b"unlisten" => Effects::UNLISTENS,
        b"load" => Effects::LOADS,
        b"close" => Effects::RELEASES,
        b"declare" => Effects::WRITES,
        b"fetch" | b"move" => Effects::FETCHES | Effects::WRITES,
        _ => return None,
    };
    Some((Class::Primary(Why::SessionState), effects))
}

/// Commands that need the primary and leave nothing in the session.
fn command(keyword: &[u8]) -> (Class, Effects) {
    let (why, effects) = match keyword {
        b"insert" | b"update" | b"delete" | b"merge" | b"truncate" | b"copy" => {
            (Why::Write, Effects::empty())
        }
        b"alter" | b"cluster" | b"comment" | b"create" | b"drop" | b"grant" | b"import"
        | b"reassign" | b"refresh" | b"reindex" | b"revoke" | b"security" => {
            (Why::Ddl, Effects::DDL)
        }
        b"lock" => (Why::Locking, Effects::empty()),
        b"analyse" | b"analyze" | b"checkpoint" | b"repack" | b"vacuum" | b"wait" => {
            (Why::Utility, Effects::empty())
        }
        b"notify" => (Why::Utility, Effects::NOTIFIES),
        b"call" | b"do" => (Why::Utility, Effects::OPAQUE.union(Effects::DDL)),
        _ => (Why::Unparsed, Effects::OPAQUE),
    };
    (Class::Primary(why), effects | Effects::WRITES)
}
