//! DEALLOCATE at the SQL level.

use super::cursor::Cursor;
use super::lexer;

/// What a DEALLOCATE drops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deallocate {
    /// Every prepared statement of the session, also those of the protocol.
    All,
    /// One prepared statement, by its folded name.
    Name(String),
}

/// Reads a text that is one DEALLOCATE and nothing else.
pub fn deallocate(sql: &[u8]) -> Option<Deallocate> {
    lexer::validate(sql).ok()?;
    let mut cursor = Cursor::new(sql);
    if !cursor.keyword("deallocate") {
        return None;
    }
    // `prepare` is a word that may also be a name.
    let mut plain = cursor.clone();
    let found = if cursor.keyword("prepare") { target(&mut cursor) } else { None };
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
}
