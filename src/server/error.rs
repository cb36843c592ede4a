//! Why no connection to a server came about.

use std::io;

use crate::auth::ResponderError;
use crate::protocol::{BackendTag, ErrorFields, FrameError, SqlState};

/// Why pgLagoon could not connect or log in to a server. The text names no host: the caller knows it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server asks for what we do not have, or did not prove what it must.
    #[error("could not authenticate to the server")]
    Authentication(#[from] ResponderError),
    /// The server closed the connection before it let us in.
    #[error("server closed the connection unexpectedly")]
    Closed,
    /// No connection could be made to any of the host's addresses; this is why for the last.
    #[error("could not connect to the server")]
    Connect(#[source] io::Error),
    /// The server sent bytes that are no message.
    #[error("received an invalid message from the server")]
    Frame(#[from] FrameError),
    /// The connection broke.
    #[error("connection to the server was lost")]
    Lost(#[source] io::Error),
    /// The server sent an ErrorResponse: it does not let us in.
    #[error("server refused the connection: {message}")]
    Rejected {
        /// Its SQLSTATE.
        code: SqlState,
        /// Its message.
        message: String,
    },
    /// The host's name could not be resolved.
    #[error("could not translate host name to address")]
    Resolve(#[source] io::Error),
    /// It took too long.
    #[error("timeout expired")]
    Timeout,
    /// The TLS handshake failed.
    #[error("SSL error")]
    Tls(#[source] io::Error),
    /// TLS is demanded and the server does not have it.
    #[error("server does not support SSL, but SSL was required")]
    TlsUnsupported,
    /// A message that has no place in a log-in.
    #[error("unexpected message {0:?} from the server during log-in")]
    Unexpected(BackendTag),
    /// The server wants to speak a protocol that we did not ask for.
    #[error("server negotiated an unsupported protocol version")]
    Version,
}

impl ConnectError {
    /// What the server's ErrorResponse says.
    pub(super) fn rejected(body: &[u8]) -> Self {
        let fields = ErrorFields(body);
        let code = fields.code().unwrap_or(SqlState::INTERNAL_ERROR);
        Self::Rejected { code, message: fields.message() }
    }

    /// What sort of failure this is.
    pub fn kind(&self) -> ConnectErrorKind {
        match self {
            Self::Authentication(_) => ConnectErrorKind::Authentication,
            Self::Closed | Self::Lost(_) => ConnectErrorKind::Lost,
            Self::Connect(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                    ConnectErrorKind::Refused
                }
                io::ErrorKind::TimedOut => ConnectErrorKind::Timeout,
                _ => ConnectErrorKind::Unreachable,
            },
            Self::Frame(_) | Self::Unexpected(_) | Self::Version => ConnectErrorKind::Protocol,
            Self::Rejected { code, .. } => match *code {
                SqlState::INVALID_AUTHORIZATION | SqlState::INVALID_PASSWORD => {
                    ConnectErrorKind::Authentication
                }
                SqlState::TOO_MANY_CONNECTIONS => ConnectErrorKind::TooManyConnections,
                SqlState::ADMIN_SHUTDOWN
                | SqlState::CRASH_SHUTDOWN
                | SqlState::CANNOT_CONNECT_NOW => ConnectErrorKind::NotReady,
                _ => ConnectErrorKind::Rejected,
            },
            Self::Resolve(_) => ConnectErrorKind::Unreachable,
            Self::Timeout => ConnectErrorKind::Timeout,
            Self::Tls(_) | Self::TlsUnsupported => ConnectErrorKind::Tls,
        }
    }

    /// The server's SQLSTATE, where it said one.
    pub fn sqlstate(&self) -> Option<SqlState> {
        match self {
            Self::Rejected { code, .. } => Some(*code),
            Self::Authentication(_)
            | Self::Closed
            | Self::Connect(_)
            | Self::Frame(_)
            | Self::Lost(_)
            | Self::Resolve(_)
            | Self::Timeout
            | Self::Tls(_)
            | Self::TlsUnsupported
            | Self::Unexpected(_)
            | Self::Version => None,
        }
    }

    /// Whether `pg_hba.conf` has no line for us, as it may have for the other kind of transport.
    pub(super) fn is_rule_rejection(&self) -> bool {
        self.sqlstate() == Some(SqlState::INVALID_AUTHORIZATION)
    }
}

/// What sort of failure a [`ConnectError`] is: what a retry may hope for, and the label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectErrorKind {
    /// Password, method or `pg_hba.conf`: will fail again until somebody changes something.
    Authentication,
    /// The connection broke during log-in.
    Lost,
    /// The server is there and starts up, shuts down or recovers (57P03 and its like).
    NotReady,
    /// The peer does not speak the protocol.
    Protocol,
    /// Nobody listens at the address.
    Refused,
    /// Another ErrorResponse, such as a database that does not exist.
    Rejected,
    /// It took too long.
    Timeout,
    /// TLS could not be agreed on, or the certificate is not trusted.
    Tls,
    /// The server, database or role has all connections that it may have (53300).
    TooManyConnections,
    /// No address, or no way to it.
    Unreachable,
}

impl ConnectErrorKind {
    /// Whether the server is not there, or not yet: it may be a matter of time. Anything else somebody has to change.
    pub const fn is_away(self) -> bool {
        match self {
            Self::Lost | Self::NotReady | Self::Refused | Self::Timeout | Self::Unreachable => true,
            Self::Authentication
            | Self::Protocol
            | Self::Rejected
            | Self::Tls
            | Self::TooManyConnections => false,
        }
    }

    /// The name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Lost => "lost",
            Self::NotReady => "not_ready",
            Self::Protocol => "protocol",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::TooManyConnections => "too_many_connections",
            Self::Unreachable => "unreachable",
        }
    }
}
