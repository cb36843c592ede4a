//! From a stream to a server that is ready: startup, authentication, greeting.
//!
//! ```text
//!   StartupMessage -> [NegotiateProtocolVersion] -> Authentication.. -> AuthenticationOk
//!                  -> ParameterStatus.., BackendKeyData -> ReadyForQuery
//!   anywhere: NoticeResponse (ignored), ErrorResponse (the end)
//! ```
//!
//! Messages are bounded, each part has its order, and the whole stands under one deadline: the peer is not
//! known to be a server of ours before it has authenticated itself, and with most methods it never does.

use std::sync::Arc;

use tokio::time::timeout;

use super::{
    cancel::Canceler,
    connect::{Endpoint, Security},
    error::ConnectError,
};
use crate::auth::{Credential, Reply, Responder, scram::Binding};
use crate::net::{Stream, tls::peer_end_point};
use crate::protocol::{
    BackendTag, FrameError, TransactionStatus, Version,
    backend::{self, Authentication},
    frame, startup,
};

/// The longest message that a log-in takes, in bytes. PostgreSQL itself stops error texts at 30,000.
const MAX_MESSAGE: usize = 65_536;
/// The most parameters that a server may report; PostgreSQL 18 reports 16.
const MAX_PARAMETERS: usize = 256;

/// Where to log in, and as whom.
#[derive(Clone, Debug)]
pub struct Target {
    /// The server.
    pub endpoint: Arc<Endpoint>,
    /// The role.
    pub user: String,
    /// What proves that we may be it.
    pub credential: Credential,
    /// The other parameters of the StartupMessage: `database`, `application_name` and whatever else.
    pub parameters: Vec<(String, String)>,
    /// The protocol to ask for.
    pub version: Version,
}

/// A connection that is logged in and idle.
#[derive(Debug)]
pub struct Login {
    /// The connection. No byte has been read that is not accounted for here.
    pub stream: Stream,
    /// What the server reported by ParameterStatus, in its order, each name once.
    pub parameters: Vec<(String, String)>,
    /// The protocol that the server agreed to.
    pub version: Version,
    /// The server process's id, 0 if the server did not tell.
    pub process_id: i32,
    /// Cancels what the connection runs; `None` for a server that gave no key, as some proxies do.
    pub canceler: Option<Canceler>,
}

/// Connects and logs in, within the endpoint's timeout.
///
/// # Errors
///
/// Why it failed; see [`ConnectError::kind`].
///
/// # Cancel safety
///
/// Dropping the future closes the connection; the server notices by itself.
pub async fn connect(target: &Target) -> Result<Login, ConnectError> {
    let attempts = timeout(target.endpoint.timeout, attempt_twice(target)).await;
    attempts.unwrap_or(Err(ConnectError::Timeout))
}

/// As libpq: `allow` and `prefer` try the other kind of transport when the server's rules refuse the first one
/// or the handshake fails.
async fn attempt_twice(target: &Target) -> Result<Login, ConnectError> {
    let endpoint = &target.endpoint;
    let mode = endpoint.tls.mode();
    let first = endpoint.open(Security::first(&endpoint.host, mode)).await;
    let (failure, was_encrypted) = match first {
        Ok(stream) => {
            let is_encrypted = stream.is_encrypted();
            match log_in(stream, target).await {
                Ok(login) => return Ok(login),
                Err(error) if error.is_rule_rejection() => (error, is_encrypted),
                Err(error) => return Err(error),
            }
        }
        Err(error @ ConnectError::Tls(_)) => (error, true),
        Err(error) => return Err(error),
    };
    match Security::second(&endpoint.host, mode) {
        Some(second) if was_encrypted != (second == Security::Tls) => {
            log_in(endpoint.open(second).await?, target).await
        }
        _ => Err(failure),
    }
}

async fn log_in(stream: Stream, target: &Target) -> Result<Login, ConnectError> {
    let binding = match &stream {
        Stream::TlsToServer(tls) => {
            peer_end_point(tls).map_or(Binding::Unavailable, Binding::EndPoint)
        }
        Stream::Plain(_) | Stream::TlsFromClient(_) => Binding::Unavailable,
    };
    let mut wire = Wire { stream, buffer: Vec::new() };
    wire.send(&startup_message(target)).await?;
    let responder = Responder::new(&target.user, &target.credential, binding);
    let version = authenticate(&mut wire, responder, target.version).await?;
    let greeting = greet(&mut wire).await?;
    let canceler = greeting.key.map(|key| {
        Canceler::new(Arc::clone(&target.endpoint), &wire.stream, greeting.process_id, key)
    });
    Ok(Login {
        stream: wire.stream,
        parameters: greeting.parameters,
        version,
        process_id: greeting.process_id,
        canceler,
    })
}

fn startup_message(target: &Target) -> Vec<u8> {
    let user = [("user", target.user.as_str())].into_iter();
    let others = target.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let pairs = user.chain(others).map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let mut message = Vec::new();
    startup::startup_message(&mut message, target.version, pairs);
    message
}

/// Up to `AuthenticationOk`; gives the protocol that the server agreed to.
async fn authenticate(
    wire: &mut Wire,
    mut responder: Responder<'_>,
    asked: Version,
) -> Result<Version, ConnectError> {
    let mut version = asked;
    let mut answer = Vec::new();
    loop {
        let message = wire.read().await?;
        match message.tag {
            BackendTag::AUTHENTICATION => {
                let request = Authentication::read(&message.body)?;
                match responder.on_request(request, &mut answer)? {
                    Reply::Authenticated => return Ok(version),
                    Reply::Continue => wire.send(&answer).await?,
                }
                answer.clear();
            }
            BackendTag::NEGOTIATE_PROTOCOL_VERSION => {
                version = backend::read_negotiate_protocol_version(&message.body)?;
                if version > asked || version.major != asked.major {
                    return Err(ConnectError::Version);
                }
            }
            BackendTag::NOTICE_RESPONSE => {}
            BackendTag::ERROR_RESPONSE => return Err(ConnectError::rejected(&message.body)),
            other => return Err(ConnectError::Unexpected(other)),
        }
    }
}

/// What a server tells between AuthenticationOk and ReadyForQuery.
#[derive(Default)]
struct Greeting {
    parameters: Vec<(String, String)>,
    process_id: i32,
    key: Option<Box<[u8]>>,
}

/// Up to ReadyForQuery, and on to the end of what has been read with it: a parameter may change just then.
async fn greet(wire: &mut Wire) -> Result<Greeting, ConnectError> {
    let mut greeting = Greeting::default();
    let mut is_ready = false;
    while !(is_ready && wire.buffer.is_empty()) {
        let message = wire.read().await?;
        match message.tag {
            BackendTag::PARAMETER_STATUS => greeting.set_parameter(&message.body)?,
            BackendTag::BACKEND_KEY_DATA if !is_ready => greeting.set_key(&message.body)?,
            BackendTag::READY_FOR_QUERY if !is_ready => {
                if backend::read_ready_for_query(&message.body)? != TransactionStatus::Idle {
                    return Err(ConnectError::Unexpected(message.tag));
                }
                is_ready = true;
            }
            BackendTag::NOTICE_RESPONSE | BackendTag::NOTIFICATION_RESPONSE => {}
            BackendTag::ERROR_RESPONSE => return Err(ConnectError::rejected(&message.body)),
            other => return Err(ConnectError::Unexpected(other)),
        }
    }
    Ok(greeting)
}

impl Greeting {
    fn set_parameter(&mut self, body: &[u8]) -> Result<(), ConnectError> {
        let (name, value) = backend::read_parameter_status(body)?;
        let [name, value] = [name, value].map(|text| String::from_utf8_lossy(text).into_owned());
        if let Some((_, known)) = self.parameters.iter_mut().find(|(known, _)| *known == name) {
            *known = value;
        } else if self.parameters.len() < MAX_PARAMETERS {
            self.parameters.push((name, value));
        } else {
            return Err(ConnectError::Unexpected(BackendTag::PARAMETER_STATUS));
        }
        Ok(())
    }

    fn set_key(&mut self, body: &[u8]) -> Result<(), ConnectError> {
        let (process_id, key) = backend::read_backend_key_data(body)?;
        if !(4..=startup::MAX_CANCEL_KEY).contains(&key.len()) {
            return Err(FrameError::Format.into());
        }
        self.process_id = process_id;
        self.key = Some(key.into());
        Ok(())
    }
}

/// A stream and what has been read of it beyond the last message.
struct Wire {
    stream: Stream,
    buffer: Vec<u8>,
}

struct Message {
    tag: BackendTag,
    body: Vec<u8>,
}

impl Wire {
    async fn send(&mut self, bytes: &[u8]) -> Result<(), ConnectError> {
        self.stream.write_all(bytes).await.map_err(ConnectError::Lost)
    }

    async fn read(&mut self) -> Result<Message, ConnectError> {
        loop {
            if let Some(header) = frame::header(&self.buffer)? {
                if header.size > MAX_MESSAGE {
                    return Err(FrameError::Format.into());
                }
                if header.size <= self.buffer.len() {
                    let mut body: Vec<u8> = self.buffer.drain(..header.size).collect();
                    body.drain(..frame::HEADER_LEN);
                    return Ok(Message { tag: BackendTag(header.tag), body });
                }
            }
            let count =
                self.stream.read_some(&mut self.buffer).await.map_err(ConnectError::Lost)?;
            if count == 0 {
                return Err(ConnectError::Closed);
            }
        }
    }
}

#[cfg(test)]
mod tests;
