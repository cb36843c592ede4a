//! Statements of our own on a server that nobody uses: to clean it, or to learn what it makes of parameters.

use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::protocol::{
    BackendTag, ErrorFields, SqlState, TransactionStatus, backend, frame, frontend,
};
use crate::server::Server;

/// The longest answer that a statement of our own may have.
const MAX_ANSWER: usize = 256 * 1024;

/// What came of a statement of our own.
#[derive(Debug, Default)]
pub struct Answer {
    /// Where the transaction stands.
    pub status: TransactionStatus,
    /// The parameters that the server reported.
    pub reported: Vec<(String, String)>,
}

/// A statement of our own failed.
#[derive(Debug, Error)]
pub enum ExchangeError {
    /// The server refused it; the connection is in step. The SQLSTATE, the message, and the message's body as
    /// the server sent it.
    #[error("{1}")]
    Refused(SqlState, String, Vec<u8>),
    /// The socket failed.
    #[error("the connection to the server failed")]
    Io(#[source] io::Error),
    /// The server said something else.
    #[error("the server is out of step")]
    OutOfStep,
    /// It took too long.
    #[error("the server did not answer in time")]
    Timeout,
}

/// Runs `sql` by the simple protocol and throws its rows away. The server must owe nothing.
///
/// # Errors
///
/// [`ExchangeError`]; unless it was refused the server must be closed.
///
/// # Cancel safety
///
/// Not cancel safe: the server must be closed then.
pub async fn run(
    server: &mut Server,
    sql: &[u8],
    within: Duration,
) -> Result<Answer, ExchangeError> {
    tokio::time::timeout(within, converse(server, sql)).await.unwrap_or(Err(ExchangeError::Timeout))
}

async fn converse(server: &mut Server, sql: &[u8]) -> Result<Answer, ExchangeError> {
    let mut buffer = Vec::new();
    frontend::query(&mut buffer, sql);
    server.stream.write_all(&buffer).await.map_err(ExchangeError::Io)?;
    buffer.clear();
    let mut answer = Answer::default();
    let mut refused = None;
    loop {
        let mut position = 0;
        while let Some(header) = frame::header(buffer.get(position..).unwrap_or_default())
            .map_err(|_| ExchangeError::OutOfStep)?
        {
            let Some(message) = buffer.get(position..position + header.size) else { break };
            position += header.size;
            let body = frontend::body(message);
            match BackendTag(header.tag) {
                BackendTag::READY_FOR_QUERY => {
                    answer.status = backend::read_ready_for_query(body)
                        .map_err(|_| ExchangeError::OutOfStep)?;
                    return refused.map_or(Ok(answer), Err);
                }
                BackendTag::ERROR_RESPONSE => refused = Some(refusal(ErrorFields(body))),
                BackendTag::PARAMETER_STATUS => report(&mut answer, body)?,
                _ => {}
            }
        }
        buffer.drain(..position);
        if buffer.len() > MAX_ANSWER {
            return Err(ExchangeError::OutOfStep);
        }
        if server.stream.read_some(&mut buffer).await.map_err(ExchangeError::Io)? == 0 {
            // What it has said was its farewell.
            let last = refused.map_or_else(String::new, |error| error.to_string());
            return Err(ExchangeError::Io(io::Error::new(io::ErrorKind::UnexpectedEof, last)));
        }
    }
}

fn refusal(fields: ErrorFields<'_>) -> ExchangeError {
    let code = fields.code().unwrap_or(SqlState::INTERNAL_ERROR);
    ExchangeError::Refused(code, fields.message(), fields.0.to_vec())
}

fn report(answer: &mut Answer, body: &[u8]) -> Result<(), ExchangeError> {
    let (name, value) =
        backend::read_parameter_status(body).map_err(|_| ExchangeError::OutOfStep)?;
    answer.reported.push((
        String::from_utf8_lossy(name).into_owned(),
        String::from_utf8_lossy(value).into_owned(),
    ));
    Ok(())
}
