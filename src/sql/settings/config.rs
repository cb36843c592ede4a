//! `SELECT set_config('name', 'value', is_local)`, the one query that is a setting statement.

use super::super::cursor::{Cursor, string_of};
use super::super::lexer::Kind;
use super::{Action, Change, Scope};

/// The changes of a query whose target list holds nothing but `set_config` calls.
pub(super) fn changes(text: &[u8]) -> Option<Vec<Change>> {
    let mut cursor = Cursor::new(text);
    cursor.keyword("select").then_some(())?;
    let mut changes = vec![call(&mut cursor)?];
    while cursor.symbol(",") {
        changes.push(call(&mut cursor)?);
    }
    cursor.at_end().then_some(changes)
}

/// One call with an optional alias.
fn call(cursor: &mut Cursor<'_>) -> Option<Change> {
    if cursor.keyword("pg_catalog") {
        cursor.symbol(".").then_some(())?;
    }
    (cursor.keyword("set_config") && cursor.symbol("(")).then_some(())?;
    let name = argument(cursor)?;
    cursor.symbol(",").then_some(())?;
    let value = argument(cursor)?;
    cursor.symbol(",").then_some(())?;
    let scope = scope(cursor)?;
    cursor.symbol(")").then_some(())?;
    if cursor.keyword("as") {
        cursor.name()?;
    }
    let action = match (name, value) {
        (Argument::Literal(name), Argument::Literal(value)) => {
            Action::Config { name: name.to_ascii_lowercase(), value }
        }
        // The value comes by Bind. It need not be known when it ends with the transaction.
        _ if scope == Scope::Local => Action::Hidden,
        _ => return None,
    };
    Some(Change { scope, action })
}

enum Argument {
    Literal(String),
    Parameter,
}

fn argument(cursor: &mut Cursor<'_>) -> Option<Argument> {
    let token = cursor.take()?;
    match token.kind {
        Kind::Parameter => Some(Argument::Parameter),
        _ => string_of(&token).map(Argument::Literal),
    }
}

fn scope(cursor: &mut Cursor<'_>) -> Option<Scope> {
    if cursor.keyword("true") {
        Some(Scope::Local)
    } else if cursor.keyword("false") {
        Some(Scope::Session)
    } else {
        None
    }
}
