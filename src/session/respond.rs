//! What a client is told when something goes wrong: the only place that turns our errors into messages.
//!
//! Texts are in PostgreSQL's style: lower case, no full stop, DETAIL and HINT for the rest. They never name hosts
//! or other users.

use std::time::Duration;

use crate::pool::WaitError;
use crate::protocol::SqlState;
use crate::protocol::error_response::{Report, Severity};
use crate::server::ConnectError;
use crate::session::ours::Fault;

/// How long a client that must go is given to take its last message: one that does not read is not worth more.
pub(crate) const FAREWELL: Duration = Duration::from_secs(5);

/// Something that a session reports to its client.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// A command about a parameter of ours cannot be carried out.
    Ours(Fault),
    /// The client's bytes are no protocol.
    Protocol(String),
    /// No server came free in time.
    QueryWaitTimeout(Duration),
    /// No server can be had.
    NoServer(WaitError<ConnectError>),
    /// Too many reads wait for the primary that belong on replicas.
    ShareTaken(Duration),
    /// Every replica is too far behind, and reads may not go to the primary.
    NoReplica,
    /// There was no primary for as long as a statement may wait.
    NoPrimary(Duration),
    /// Another node is the primary now, and the session was in the midst of something on the one before.
    PrimaryReplaced,
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
    /// The client's prepared statements take more than this.
    StatementsTooMany(usize),
    /// Nobody listened for the client for a while.
    NotificationsMissed,
    /// The client does not take its notifications, and they are more than this.
    NotificationsTooMany,
    /// A reload has removed the client's database or user.
    Removed,
    /// pgLagoon stops.
    Shutdown,
}

impl Trouble {
    /// Appends the ErrorResponse.
    pub(crate) fn encode(&self, severity: Severity, out: &mut Vec<u8>) {
        let Parts { code, message, detail, hint } = self.parts();
        Report { severity, code, message: &message, detail, hint }.encode(out);
    }

    /// SQLSTATE, message, detail, hint.
    fn parts(&self) -> Parts {
        match self {
            Self::Ours(Fault { code, message, hint }) => {
                Parts { hint: Some(*hint).filter(|hint| !hint.is_empty()), ..plain(*code, message) }
            }
            Self::Protocol(what) => plain(SqlState::PROTOCOL_VIOLATION, what),
            Self::QueryWaitTimeout(limit) => hinted(
                SqlState::TOO_MANY_CONNECTIONS,
                &format!("no server connection became free within query_wait_timeout ({limit:?})"),
                "Shorten long transactions, or raise pool_size or query_wait_timeout.",
            ),
            Self::NoServer(error) => no_server(error),
            Self::ShareTaken(limit) => share_taken(*limit),
            Self::NoReplica => hinted(
                SqlState::CANNOT_CONNECT_NOW,
                "no replica is fresh enough for this read",
                "routing.no_replica = \"primary\" lets such reads run on the primary.",
            ),
            Self::NoPrimary(limit) => hinted(
                SqlState::CANNOT_CONNECT_NOW,
                &format!("no primary could be reached within query_wait_timeout ({limit:?})"),
                "pgLagoon's log and SHOW NODES say what each node is.",
            ),
            Self::NotOnReplica => hinted(
                SqlState::FEATURE_NOT_SUPPORTED,
                "this read-only transaction runs on a replica, where its statement would leave session state behind",
                "Begin such a transaction with /* pglagoon: primary */ in front.",
            ),
            Self::StatementTooLong(limit) => statement_too_long(*limit),
            Self::Cancelled => {
                plain(SqlState::QUERY_CANCELED, "canceling statement due to user request")
            }
            Self::StatementsTooMany(limit) => statements_too_many(*limit),
            Self::NotificationsMissed => detailed(
                SqlState::WARNING,
                "notifications may have been missed",
                "The connection that listens for all clients was lost and is back.",
            ),
            Self::NotificationsTooMany => hinted(
                SqlState::CONFIGURATION_LIMIT_EXCEEDED,
                "too many notifications for limits.notification_bytes wait for this client",
                "Read notifications faster, keep transactions short, or raise the limit.",
            ),
            Self::Removed => {
                plain(SqlState::ADMIN_SHUTDOWN, "this database or user is no longer configured")
            }
            Self::Shutdown => plain(SqlState::ADMIN_SHUTDOWN, "pgLagoon is shutting down"),
            Self::ReplicaLost => detailed(
                SqlState::SERIALIZATION_FAILURE,
                "the replica that ran this read has gone",
                "The session is as it was; the read can be run again.",
            ),
            Self::ServerLost => lost("the server closed the connection unexpectedly"),
            Self::PrimaryReplaced => {
                lost("another node has become the primary in the midst of this session's work")
            }
            Self::SettingsRefused => settings_refused(),
            Self::ServerOutOfStep(what) => plain(SqlState::CONNECTION_FAILURE, what),
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
        }
    }
}

/// What an ErrorResponse consists of.
struct Parts {
    code: SqlState,
    message: String,
    detail: Option<&'static str>,
    hint: Option<&'static str>,
}

fn plain(code: SqlState, message: &str) -> Parts {
    Parts { code, message: message.to_owned(), detail: None, hint: None }
}

fn hinted(code: SqlState, message: &str, hint: &'static str) -> Parts {
    Parts { hint: Some(hint), ..plain(code, message) }
}

fn detailed(code: SqlState, message: &str, detail: &'static str) -> Parts {
    Parts { detail: Some(detail), ..plain(code, message) }
}

/// A server was lost with a statement.
fn lost(message: &str) -> Parts {
    let detail = "Whether the last statement took effect is not known.";
    detailed(SqlState::CONNECTION_FAILURE, message, detail)
}

fn settings_refused() -> Parts {
    let hint = "A role or schema that the session has set may have been dropped.";
    Parts { hint: Some(hint), ..lost("a server refused the settings of this session") }
}

/// Something took too long, and its client must go.
fn timeout(code: SqlState, key: &str, limit: Duration) -> Parts {
    plain(code, &format!("terminating connection due to {key} ({limit:?})"))
}

fn statement_too_long(limit: usize) -> Parts {
    hinted(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        &format!("prepared statement is longer than limits.max_statement_inspect ({limit} bytes)"),
        "Raise that limit, or pass values as parameters.",
    )
}

fn statements_too_many(limit: usize) -> Parts {
    hinted(
        SqlState::CONFIGURATION_LIMIT_EXCEEDED,
        &format!("too many prepared statements for limits.prepared_statement_bytes ({limit})"),
        "DEALLOCATE those that are not used any more, or raise the limit.",
    )
}

fn share_taken(limit: Duration) -> Parts {
    hinted(
        SqlState::TOO_MANY_CONNECTIONS,
        &format!(
            "no replica could answer this read, nor the primary within query_wait_timeout ({limit:?})"
        ),
        "Reads that belong on replicas may use routing.primary_read_share percent of the primary's connections.",
    )
}

/// What a client is told when its pool cannot give it a server.
fn no_server(error: &WaitError<ConnectError>) -> Parts {
    match error {
        WaitError::ConnectFailed(error) => match &**error {
            // The server's own words, as a direct connection would have had them.
            ConnectError::Rejected { code, message } => plain(*code, message),
            _ => hinted(
                SqlState::CANNOT_CONNECT_NOW,
                "could not connect to the server",
                "pgLagoon's log and SHOW NODES say why.",
            ),
        },
        WaitError::QueueFull => hinted(
            SqlState::TOO_MANY_CONNECTIONS,
            "more clients than pool.max_waiting wait for a server connection",
            "Shorten long transactions, or raise pool_size or max_waiting.",
        ),
        WaitError::Closed => hinted(
            SqlState::CANNOT_CONNECT_NOW,
            "the pool of this database is closed",
            "The configuration may just have been reloaded: connect again.",
        ),
    }
}
