//! All changes of a whole text.

use super::super::cursor::Cursor;
use super::super::lexer;
use super::super::scan::{Statement, Statements};
use super::super::verdict::Effects;
use super::{Change, Reader, config};

/// The changes that a text makes, in order.
///
/// A text of one statement whose effects hold `SETS` but not `OPAQUE` always has some.
///
/// `None` unless the whole text is made of setting statements, each of them understood exactly.
pub fn changes(sql: &[u8]) -> Option<Vec<Change>> {
    read(sql, Others::Refused)
}

/// The same for a text that holds other statements too, which must have none of the effects [`UNCLEAR`].
pub fn changes_among(sql: &[u8]) -> Option<Vec<Change>> {
    read(sql, Others::Ignored)
}

/// What makes it uncertain which changes of a text last, or whether there are more: parts of it may be committed
/// alone, or hide others.
pub const UNCLEAR: Effects =
    Effects::TRANSACTION.union(Effects::OPAQUE).union(Effects::EXECUTES).union(Effects::DISCARDS);

/// What is done about statements that set nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Others {
    Ignored,
    Refused,
}

/// The changes of each statement of a text, which is one for each CommandComplete; most make none.
///
/// `None` unless all changes are understood exactly.
pub fn changes_by_statement(sql: &[u8]) -> Option<Vec<Vec<Change>>> {
    lexer::validate(sql).ok()?;
    let changes = |statement: Statement<'_>| {
        let mut changes = Vec::new();
        if sets(&statement) {
            one(&statement, &mut changes)?;
        }
        Some(changes)
    };
    Statements::new(sql).map(changes).collect()
}

fn read(sql: &[u8], others: Others) -> Option<Vec<Change>> {
    lexer::validate(sql).ok()?;
    let mut changes = Vec::new();
    for statement in Statements::new(sql) {
        if others == Others::Refused || sets(&statement) {
            one(&statement, &mut changes)?;
        }
    }
    (!changes.is_empty()).then_some(changes)
}

/// The changes of one statement that is to make some.
fn one(statement: &Statement<'_>, changes: &mut Vec<Change>) -> Option<()> {
    let mut reader = Reader { text: statement.text, cursor: Cursor::new(statement.text) };
    if reader.cursor.keyword("set") {
        reader.set(changes)?;
    } else if reader.cursor.keyword("reset") {
        changes.push(reader.reset()?);
    } else {
        changes.extend(config::changes(statement.text)?);
        return Some(());
    }
    reader.cursor.at_end().then_some(())
}

fn sets(statement: &Statement<'_>) -> bool {
    let mut cursor = Cursor::new(statement.text);
    statement.effects.contains(Effects::SETS)
        || cursor.keyword("reset")
        || cursor.keyword("set") && !cursor.sees("constraints")
}

/// The changes of a text of one statement only.
pub fn lone_changes(sql: &[u8]) -> Option<Vec<Change>> {
    (Statements::new(sql).count() == 1).then(|| changes(sql)).flatten()
}
