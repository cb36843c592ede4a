//! What a text of LISTEN, UNLISTEN and savepoint commands does, statement by statement.

use super::cursor::Cursor;
use super::lexer;
use super::scan::Statements;

/// One statement of a text, as far as it matters to the channels that a session listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// LISTEN.
    Listen(Box<str>),
    /// UNLISTEN of one channel.
    Unlisten(Box<str>),
    /// UNLISTEN *.
    UnlistenAll,
    /// SAVEPOINT.
    Savepoint(Box<str>),
    /// RELEASE.
    Release(Box<str>),
    /// ROLLBACK TO.
    RollbackTo(Box<str>),
    /// Anything else.
    Other,
}

/// The steps of a text, one for each of its statements, which is one for each CommandComplete.
///
/// `None` if a name is not understood.
pub fn steps(sql: &[u8]) -> Option<Vec<Step>> {
    lexer::validate(sql).ok()?;
    Statements::new(sql).map(|statement| step(&mut Cursor::new(statement.text))).collect()
}

fn step(cursor: &mut Cursor<'_>) -> Option<Step> {
    if cursor.keyword("listen") {
        return name(cursor).map(Step::Listen);
    }
    if cursor.keyword("unlisten") {
        if cursor.symbol("*") {
            return Some(Step::UnlistenAll);
        }
        return name(cursor).map(Step::Unlisten);
    }
    if cursor.keyword("savepoint") {
        return name(cursor).map(Step::Savepoint);
    }
    if cursor.keyword("release") {
        return savepoint(cursor).map(Step::Release);
    }
    if cursor.keyword("rollback") {
        let _ = cursor.keyword("work") || cursor.keyword("transaction");
        if cursor.keyword("to") {
            return savepoint(cursor).map(Step::RollbackTo);
        }
    }
    Some(Step::Other)
}

/// `[SAVEPOINT] name`: the word may itself be the name.
fn savepoint(cursor: &mut Cursor<'_>) -> Option<Box<str>> {
    let mut plain = cursor.clone();
    if cursor.keyword("savepoint") && !cursor.at_end() { name(cursor) } else { name(&mut plain) }
}

fn name(cursor: &mut Cursor<'_>) -> Option<Box<str>> {
    cursor.name().map(|name| name.as_ref().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_statement_is_a_step() {
        let text = b"begin; LISTEN Foo; listen \"Foo\" ;; unlisten a; UNLISTEN *; savepoint s;\
            release s; release savepoint s; release savepoint; rollback to s;\
            rollback work to savepoint s; rollback; select 'listen x'";
        let expected = [
            Step::Other,
            Step::Listen("foo".into()),
            Step::Listen("Foo".into()),
            Step::Unlisten("a".into()),
            Step::UnlistenAll,
            Step::Savepoint("s".into()),
            Step::Release("s".into()),
            Step::Release("s".into()),
            Step::Release("savepoint".into()),
            Step::RollbackTo("s".into()),
            Step::RollbackTo("s".into()),
            Step::Other,
            Step::Other,
        ];
        assert_eq!(steps(text), Some(expected.to_vec()));
    }

    #[test]
    fn names_are_cut_as_postgresql_cuts_them_or_not_understood() {
        let long = "x".repeat(70);
        let cut = Step::Listen("x".repeat(63).into());
        assert_eq!(steps(format!("listen {long}").as_bytes()), Some(vec![cut]));
        assert_eq!(steps(b"listen U&\"d\\0061t\""), None);
        assert_eq!(steps(b"listen \"\xff\""), None);
    }
}
