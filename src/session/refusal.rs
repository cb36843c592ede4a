//! Why somebody was not let in, and how they are told.

use thiserror::Error;

use crate::auth::Denial;
use crate::protocol::error_response::{Report, Severity};
use crate::protocol::{BackendTag, SqlState, frame};
use crate::session::directory::Full;
use crate::session::respond::Trouble;
use crate::session::startup::StartupError;

/// Why somebody was not let in.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Startup(#[from] StartupError),
    #[error("{}", .0.message(.1))]
    Denied(Denial, String),
    #[error("{}", .0.0)]
    Full(Full),
    #[error("user \"{0}\" may not use the admin database")]
    NotAdmin(String),
    #[error("database \"{0}\" does not exist")]
    NoDatabase(String),
    #[error("database \"{0}\" does not exist")]
    NoCluster(String),
    #[error("the server refused the startup parameters")]
    Server(Vec<u8>),
    #[error("no server")]
    Trouble(Trouble),
    #[error("log-in timed out")]
    Timeout,
}

impl Refusal {
    /// Appends the ErrorResponse.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let (code, message) = match self {
            Self::Startup(error) => return error.encode(out),
            Self::Trouble(trouble) => return trouble.encode(Severity::Fatal, out),
            Self::Server(fields) => {
                // In the server's own words. They were the answer to a SET, which it would have survived.
                frame::write(out, BackendTag::ERROR_RESPONSE.0, |body| {
                    for field in fields.split(|byte| *byte == 0).filter(|field| !field.is_empty()) {
                        match field.first() {
                            Some(severity @ (b'S' | b'V')) => {
                                body.push(*severity);
                                body.extend_from_slice(b"FATAL");
                            }
                            _ => body.extend_from_slice(field),
                        }
                        body.push(0);
                    }
                    body.push(0);
                });
                return;
            }
            Self::Denied(denial, user) => (denial.sqlstate(), denial.message(user)),
            Self::Full(Full(name, limit)) => {
                (SqlState::TOO_MANY_CONNECTIONS, format!("too many clients: {name} is {limit}"))
            }
            Self::NotAdmin(_) => (SqlState::INSUFFICIENT_PRIVILEGE, self.to_string()),
            Self::NoDatabase(_) => (SqlState::UNDEFINED_DATABASE, self.to_string()),
            Self::NoCluster(_) => {
                let report = Report {
                    severity: Severity::Fatal,
                    code: SqlState::UNDEFINED_DATABASE,
                    message: &self.to_string(),
                    detail: Some(
                        "Which primary to replicate from is not known: the databases have several.",
                    ),
                    hint: Some("Configure a database of this name with that primary."),
                };
                return report.encode(out);
            }
            Self::Timeout => (
                SqlState::INVALID_AUTHORIZATION,
                "log-in took longer than client_login_timeout".into(),
            ),
        };
        let report =
            Report { severity: Severity::Fatal, code, message: &message, detail: None, hint: None };
        report.encode(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_refuses_at_log_in_is_fatal() {
        let mut out = Vec::new();
        Refusal::Server(b"SFEHLER\0VERROR\0C42704\0Mno\0\0".to_vec()).encode(&mut out);
        assert_eq!(out, b"E\0\0\0\x1eSFATAL\0VFATAL\0C42704\0Mno\0\0");
    }
}
