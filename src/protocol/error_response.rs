//! ErrorResponse and NoticeResponse: a view of the fields and an encoder.

use super::frame::{write, write_cstr};
use super::{BackendTag, SqlState};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed.
    Error,
    /// The connection ends.
    Fatal,
    /// For information only: goes out as a NoticeResponse.
    Notice,
    /// A warning: goes out as a NoticeResponse.
    Warning,
}

impl Severity {
    /// The word that PostgreSQL uses, never localized.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Notice => "NOTICE",
            Self::Warning => "WARNING",
        }
    }

    const fn tag(self) -> BackendTag {
        match self {
            Self::Error | Self::Fatal => BackendTag::ERROR_RESPONSE,
            Self::Notice | Self::Warning => BackendTag::NOTICE_RESPONSE,
        }
    }
}

/// An error or notice of our own, ready to be encoded.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// How bad it is.
    pub severity: Severity,
    /// What kind of thing it is.
    pub code: SqlState,
    /// One line, lower case, no full stop.
    pub message: &'a str,
    /// More about this case.
    pub detail: Option<&'a str>,
    /// What to do.
    pub hint: Option<&'a str>,
}

impl Report<'_> {
    /// Appends the message to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write(out, self.severity.tag().0, |body| {
            let mut field = |kind: u8, text: &str| {
                body.push(kind);
                write_cstr(body, text.as_bytes());
            };
            field(b'S', self.severity.as_str());
            field(b'V', self.severity.as_str());
            field(b'C', self.code.as_str());
            field(b'M', self.message);
            if let Some(detail) = self.detail {
                field(b'D', detail);
            }
            if let Some(hint) = self.hint {
                field(b'H', hint);
            }
            body.push(0);
        });
    }
}

/// The fields of a server's ErrorResponse or NoticeResponse, read when they are asked for.
#[derive(Clone, Copy, Debug)]
pub struct ErrorFields<'a>(pub &'a [u8]);

impl<'a> ErrorFields<'a> {
    /// The value of the field `kind`, such as `M` for the message.
    pub fn field(self, kind: u8) -> Option<&'a [u8]> {
        let mut rest = self.0;
        loop {
            let (&tag, tail) = rest.split_first()?;
            if tag == 0 {
                return None;
            }
            let end = tail.iter().position(|&byte| byte == 0)?;
            if tag == kind {
                return tail.get(..end);
            }
            rest = tail.get(end + 1..)?;
        }
    }

    /// The SQLSTATE; servers other than PostgreSQL have been seen to leave it out.
    pub fn code(self) -> Option<SqlState> {
        SqlState::from_bytes(self.field(b'C')?)
    }

    /// The function in PostgreSQL's source that raised the error; not localized.
    pub fn routine(self) -> &'a [u8] {
        self.field(b'R').unwrap_or_default()
    }

    /// The message, for logs.
    pub fn message(self) -> String {
        String::from_utf8_lossy(self.field(b'M').unwrap_or_default()).into_owned()
    }

    /// Whether the server ends the connection after this message.
    pub fn is_fatal(self) -> bool {
        // `V` is never localized; servers before 9.6 have only `S`.
        let severity = self.field(b'V').or_else(|| self.field(b'S')).unwrap_or_default();
        matches!(severity, b"FATAL" | b"PANIC")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::frontend::body;

    #[test]
    fn a_report_is_read_back_field_by_field() {
        let report = Report {
            severity: Severity::Fatal,
            code: SqlState::UNDEFINED_DATABASE,
            message: "database \"x\" does not exist",
            detail: None,
            hint: Some("add [databases.x]"),
        };
        let mut out = Vec::new();
        report.encode(&mut out);
        let fields = ErrorFields(body(&out));
        assert_eq!(fields.code(), Some(SqlState::UNDEFINED_DATABASE));
        assert_eq!(fields.field(b'H'), Some(&b"add [databases.x]"[..]));
        assert_eq!(fields.field(b'D'), None);
        assert!(fields.is_fatal());
    }

    #[test]
    fn broken_fields_are_absent_not_a_panic() {
        for broken in [&b""[..], b"C", b"C25006", b"\0", b"S\0\0C"] {
            assert_eq!(ErrorFields(broken).code(), None);
        }
    }
}
