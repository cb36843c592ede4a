//! What must be known of a transaction that begins on one server and goes on on another.

use super::cursor::{Cursor, name_of};
use super::lexer::{self, Kind, Lexer};
use super::reuse::may_be_a_moment;
use super::utility::transaction_modes;
use super::verdict::{Access, Begin, Isolation};

impl Begin {
    /// The statement that begins such a transaction.
    pub fn sql(self) -> Vec<u8> {
        let isolation = match self.isolation {
            Isolation::Default => "",
            Isolation::ReadCommitted => " ISOLATION LEVEL READ COMMITTED",
            Isolation::RepeatableRead => " ISOLATION LEVEL REPEATABLE READ",
            Isolation::Serializable => " ISOLATION LEVEL SERIALIZABLE",
        };
        let access = match self.access {
            Access::Unspecified => "",
            Access::ReadOnly => " READ ONLY",
            Access::ReadWrite => " READ WRITE",
        };
        format!("BEGIN{isolation}{access}").into_bytes()
    }
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// COMMIT, END.
    Commit,
    /// ROLLBACK, ABORT.
    Rollback,
}

/// How `text` ends its transaction, if that is all it does: no other begins with it, and it is no savepoint's.
pub fn end(text: &[u8]) -> Option<End> {
    lexer::validate(text).ok()?;
    let mut cursor = Cursor::new(text);
    let end = if cursor.keyword("commit") || cursor.keyword("end") {
        End::Commit
    } else if cursor.keyword("rollback") || cursor.keyword("abort") {
        End::Rollback
    } else {
        return None;
    };
    let _ = cursor.keyword("work") || cursor.keyword("transaction");
    finishes(cursor).then_some(end)
}

/// The modes of a SET TRANSACTION that makes its transaction read-only, if that is all that `text` does.
pub fn set_read_only(text: &[u8]) -> Option<Begin> {
    let trimmed = text.trim_ascii_end();
    let trimmed = trimmed.strip_suffix(b";").unwrap_or(trimmed);
    let mut cursor = Cursor::new(trimmed);
    cursor.keywords(&["set", "transaction"]).then_some(())?;
    lexer::validate(text).ok()?;
    let begin = transaction_modes(&mut cursor)?;
    (begin.access == Access::ReadOnly).then_some(begin)
}

fn finishes(mut cursor: Cursor<'_>) -> bool {
    while cursor.symbol(";") {}
    cursor.at_end()
}

/// Whether a text that begins a transaction does so in the words START TRANSACTION.
pub fn says_start(text: &[u8]) -> bool {
    Cursor::new(text).sees("start")
}

/// Whether `text` may ask for the moment at which its transaction began.
pub fn asks_for_start(text: &[u8]) -> bool {
    Lexer::new(text).map_while(Result::ok).any(|token| match token.kind {
        Kind::Word | Kind::QuotedWord => {
            name_of(&token).is_some_and(|name| STARTS.contains(&&*name))
        }
        Kind::UnicodeWord => true,
        _ => may_be_a_moment(&token),
    })
}

/// What stands for the beginning of the transaction, or is computed from it.
const STARTS: &[&str] = &[
    "age",
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "now",
    "transaction_timestamp",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ends_a_transaction_and_nothing_else_is_an_end() {
        for (text, expected) in [
            ("COMMIT", Some(End::Commit)),
            ("end work ;", Some(End::Commit)),
            ("/* x */ Rollback Transaction", Some(End::Rollback)),
            ("abort", Some(End::Rollback)),
            ("COMMIT AND CHAIN", None),
            ("COMMIT AND NO CHAIN", None),
            ("COMMIT PREPARED 'x'", None),
            ("ROLLBACK TO a", None),
            ("COMMIT; SELECT 1", None),
            ("COMMIT 'open", None),
            ("select 1", None),
        ] {
            assert_eq!(end(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn only_a_set_transaction_that_reads_only_is_taken_for_one() {
        let of = |text: &str| set_read_only(text.as_bytes());
        let read_only = Begin { access: Access::ReadOnly, ..Begin::default() };
        assert_eq!(of("SET TRANSACTION READ ONLY"), Some(read_only));
        assert_eq!(
            of("set transaction isolation level repeatable read, read only;"),
            Some(Begin { isolation: Isolation::RepeatableRead, ..read_only })
        );
        for text in [
            "SET TRANSACTION READ WRITE",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SET TRANSACTION READ ONLY, READ WRITE",
            "SET TRANSACTION SNAPSHOT '1'",
            "SET TRANSACTION READ ONLY; SELECT 1",
            "SET LOCAL transaction_read_only = on",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn what_depends_on_the_beginning_is_found() {
        for text in [
            "select now()",
            "select pg_catalog.NOW ( )",
            "select \"now\"()",
            "select current_date",
            "select 'today'::date",
            "select age(x) from t",
        ] {
            assert!(asks_for_start(text.as_bytes()), "{text}");
        }
        for text in ["select clock_timestamp()", "select known from t", "select 'no' || 'w'"] {
            assert!(!asks_for_start(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_was_begun_can_be_begun_again() {
        let begin = |access, isolation| String::from_utf8(Begin { access, isolation }.sql());
        assert_eq!(begin(Access::Unspecified, Isolation::Default).unwrap(), "BEGIN");
        assert_eq!(
            begin(Access::ReadWrite, Isolation::ReadCommitted).unwrap(),
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
        );
    }
}
