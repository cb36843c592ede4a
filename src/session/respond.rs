//! What a client is told when something goes wrong: the only place that turns our errors into messages.
//!
//! Texts are in PostgreSQL's style: lower case, no full stop, DETAIL and HINT for the rest. They never name hosts
//! or other users.

use std::time::Duration;

use crate::pool::WaitError;
use crate::protocol::SqlState;
use crate::protocol::error_response::{Report, Severity};
use crate::server::ConnectError;

/// Something that a session reports to its client.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The client's bytes are no protocol.
    Protocol(String),
    /// No server came free in time.
    QueryWaitTimeout(Duration),
    /// No server can be had.
    NoServer(WaitError<ConnectError>),
    /// Every replica is too far behind, and reads may not go to the primary.
    NoReplica,
    /// The node that is configured as the primary is not one.
    NoPrimary,
    /// The server has gone in the midst of something.
    ServerLost,
    /// A statement would tie the session to a replica.
    NotOnReplica,
    /// A prepared statement is too long to be looked at.
    StatementTooLong(usize),
    /// A replica has gone in the midst of an answer to a read.
    ReplicaLost,
    /// The server said what it may not say.
    ServerOutOfStep(String),
    /// A server did not take the settings that the session had made on another one.
    SettingsRefused,
    /// A statement that does not exist.
    UnknownStatement(String),
    /// The client cancelled while it waited.
    Cancelled,
    /// A statement took too long.
    QueryTimeout(Duration),
    /// A transaction took too long.
    TransactionTimeout(Duration),
    /// A transaction was idle for too long.
    IdleTransactionTimeout(Duration),
    /// A client was idle for too long.
    ClientIdleTimeout(Duration),
    /// A reload has removed the client's database or user.
    Removed,
    /// pgLagoon stops.
    Shutdown,
}

impl Trouble {
    /// Appends the ErrorResponse.
    pub(crate) fn encode(&self, severity: Severity, out: &mut Vec<u8>) {
        let (code, message, detail, hint) = self.parts();
        Report { severity, code, message: &message, detail: detail.as_deref(), hint }.encode(out);
    }

    /// SQLSTATE, message, detail, hint.
    #[expect(clippy::too_many_lines, reason = "a flat match with the text of each trouble")]
    fn parts(&self) -> (SqlState, String, Option<String>, Option<&'static str>) {
        match self {
            Self::Protocol(what) => (SqlState::PROTOCOL_VIOLATION, what.clone(), None, None),
            Self::QueryWaitTimeout(limit) => (
                SqlState::TOO_MANY_CONNECTIONS,
                format!("no server connection became free within query_wait_timeout ({limit:?})"),
                None,
                Some("Shorten long transactions, or raise pool_size or query_wait_timeout."),
            ),
            Self::NoServer(error) => no_server(error),
            Self::NoReplica => (
                SqlState::CANNOT_CONNECT_NOW,
                "no replica is fresh enough for this read".into(),
                None,
                Some("routing.no_replica = \"primary\" lets such reads run on the primary."),
            ),
            Self::NoPrimary => (
                SqlState::CANNOT_CONNECT_NOW,
                "the server configured as the primary is not a primary".into(),
                None,
                Some("SHOW NODES says what it is; point the configuration at the real primary."),
            ),
            Self::ServerLost => (
                SqlState::CONNECTION_FAILURE,
                "the server closed the connection unexpectedly".into(),
                Some("Whether the last statement took effect is not known.".into()),
                None,
            ),
            Self::NotOnReplica => (
                SqlState::FEATURE_NOT_SUPPORTED,
                "this read-only transaction runs on a replica, where its statement would leave \
                 session state behind"
                    .into(),
                None,
                Some("Begin such a transaction with /* pglagoon: primary */ in front."),
            ),
            Self::StatementTooLong(limit) => (
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!(
                    "prepared statement is longer than limits.max_statement_inspect ({limit} bytes)"
                ),
                None,
                Some("Raise that limit, or pass values as parameters."),
            ),
            Self::ReplicaLost => (
                SqlState::SERIALIZATION_FAILURE,
                "the replica that ran this read has gone".into(),
                Some("The session is as it was; the read can be run again.".into()),
                None,
            ),
            Self::SettingsRefused => (
                SqlState::CONNECTION_FAILURE,
                "a server refused the settings of this session".into(),
                Some("Whether the last statement took effect is not known.".into()),
                Some("A role or schema that the session has set may have been dropped."),
            ),
            Self::ServerOutOfStep(what) => (SqlState::CONNECTION_FAILURE, what.clone(), None, None),
            Self::UnknownStatement(name) => {
                let message = format!("prepared statement \"{name}\" does not exist");
                (SqlState::UNDEFINED_STATEMENT, message, None, None)
            }
            Self::Cancelled => {
                let message = "canceling statement due to user request".into();
                (SqlState::QUERY_CANCELED, message, None, None)
            }
            Self::QueryTimeout(limit) => timeout(SqlState::QUERY_CANCELED, "query_timeout", *limit),
            Self::TransactionTimeout(limit) => {
                timeout(SqlState::TRANSACTION_TIMEOUT, "transaction_timeout", *limit)
            }
            Self::IdleTransactionTimeout(limit) => {
                timeout(SqlState::IDLE_IN_TRANSACTION_TIMEOUT, "idle_transaction_timeout", *limit)
            }
            Self::ClientIdleTimeout(limit) => {
                timeout(SqlState::IDLE_SESSION_TIMEOUT, "client_idle_timeout", *limit)
            }
            Self::Removed => (
                SqlState::ADMIN_SHUTDOWN,
                "this database or user is no longer configured".into(),
                None,
                None,
            ),
            Self::Shutdown => {
                (SqlState::ADMIN_SHUTDOWN, "pgLagoon is shutting down".into(), None, None)
            }
        }
    }
}

fn timeout(
    code: SqlState,
    key: &str,
    limit: Duration,
) -> (SqlState, String, Option<String>, Option<&'static str>) {
    let message = format!("terminating connection due to {key} ({limit:?})");
    (code, message, None, None)
}

/// What a client is told when its pool cannot give it a server.
fn no_server(
    error: &WaitError<ConnectError>,
) -> (SqlState, String, Option<String>, Option<&'static str>) {
    match error {
        WaitError::ConnectFailed(error) => match &**error {
            // The server's own words, as a direct connection would have had them.
            ConnectError::Rejected { code, message } => (*code, message.clone(), None, None),
            _ => (
                SqlState::CANNOT_CONNECT_NOW,
                "could not connect to the server".into(),
                None,
                Some("pgLagoon's log and SHOW NODES say why."),
            ),
        },
        WaitError::QueueFull => (
            SqlState::TOO_MANY_CONNECTIONS,
            "too many clients wait for a server connection".into(),
            None,
            Some("Raise pool_size or lower the number of clients."),
        ),
        WaitError::Closed => (
            SqlState::CANNOT_CONNECT_NOW,
            "the pool of this database is closed".into(),
            None,
            Some("The configuration may just have been reloaded: connect again."),
        ),
    }
}
