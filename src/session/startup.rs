//! The first packets of a connection: what does this peer want?
//!
//! ```text
//!   SSLRequest -> S + TLS | N      GSSENCRequest -> N      a TLS hello at once -> TLS
//!        \_____________________________/
//!                      v
//!   StartupMessage | CancelRequest
//! ```

use std::io;
use std::sync::Arc;

use thiserror::Error;

use crate::auth::Transport;
use crate::auth::scram::Binding;
use crate::config::ClientTlsMode;
use crate::net::tls::{Acceptor, Start};
use crate::net::{Socket, Stream};
use crate::protocol::error_response::{Report, Severity};
use crate::protocol::{FrameError, SqlState, Startup, Version};
use crate::server::settings::{Settings, Value};
use crate::session::options;
use crate::session::replication::Kind;

/// The first byte of a TLS handshake record: nothing else that begins a connection has it.
const TLS_HANDSHAKE: u8 = 0x16;

/// How clients may connect.
#[derive(Clone, Debug)]
pub struct Doors {
    /// Whether TLS is offered or demanded.
    pub mode: ClientTlsMode,
    /// The certificate, if there is one.
    pub acceptor: Option<Arc<Acceptor>>,
    /// The longest startup packet that is read, in bytes.
    pub max_startup_packet: usize,
}

/// A client before it has logged in.
#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) stream: Stream,
    /// Bytes that came with the packet before.
    pub(super) buffer: Vec<u8>,
    /// Whether passwords can be overheard.
    pub(super) transport: Transport,
}

/// What the peer wants.
#[derive(Debug)]
pub(super) enum Wish {
    /// To cancel something.
    Cancel { process_id: i32, secret: Vec<u8> },
    /// To log in.
    LogIn(Request),
}

/// A StartupMessage.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) user: String,
    pub(super) database: String,
    pub(super) application_name: String,
    /// Whether it is to be no ordinary session.
    pub(super) replication: Option<Kind>,
    /// Everything else that it sets.
    pub(super) settings: Settings,
    pub(super) version: Version,
    /// `_pq_.` options that we do not know.
    pub(super) unknown: Vec<String>,
}

/// Why a connection ends before anybody has logged in.
#[derive(Debug, Error)]
pub(super) enum StartupError {
    /// The socket failed or closed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The bytes are no startup packet.
    #[error("invalid startup packet")]
    Malformed(#[from] FrameError),
    /// We refuse, and say why.
    #[error("{1}")]
    Refused(SqlState, String),
}

impl StartupError {
    /// Appends the ErrorResponse, if one can be understood.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let (code, message) = match self {
            Self::Io(_) => return,
            Self::Malformed(_) => (SqlState::PROTOCOL_VIOLATION, self.to_string()),
            Self::Refused(code, message) => (*code, message.clone()),
        };
        let report =
            Report { severity: Severity::Fatal, code, message: &message, detail: None, hint: None };
        report.encode(out);
    }
}

/// How far encryption has been talked about: each may be asked for once, as in PostgreSQL.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    tls: u8,
    gss: u8,
}

impl Visitor {
    /// A connection from a client.
    pub(super) fn new(socket: Socket) -> Self {
        let is_near = socket.is_unix() || socket.peer().is_some_and(|peer| peer.ip().is_loopback());
        let transport = if is_near { Transport::Local } else { Transport::Open };
        Self { stream: Stream::Plain(socket), buffer: Vec::new(), transport }
    }

    /// Finds out what the peer wants, and encrypts the connection if it wants that first.
    ///
    /// # Errors
    ///
    /// The connection must be closed.
    pub(super) async fn greet(&mut self, doors: &Doors) -> Result<Wish, StartupError> {
        let mut asked = Asked::default();
        loop {
            if self.begins_with_tls(doors).await? {
                self.encrypt(doors, Start::Direct).await?;
            }
            let packet = self.read_packet(doors.max_startup_packet).await?;
            match Startup::read(&packet)? {
                Startup::SslRequest => {
                    asked.tls += 1;
                    self.answer_tls(doors, asked.tls).await?;
                }
                Startup::GssEncRequest => {
                    asked.gss += 1;
                    if asked.gss > 1 {
                        return Err(duplicate("GSSENCRequest"));
                    }
                    self.stream.write_all(b"N").await?;
                }
                Startup::CancelRequest { process_id, secret } => {
                    return Ok(Wish::Cancel { process_id, secret: secret.to_vec() });
                }
                Startup::StartupMessage { version, parameters } => {
                    if doors.mode == ClientTlsMode::Require
                        && !self.stream.is_encrypted()
                        && !self.stream.socket().is_unix()
                    {
                        return Err(StartupError::Refused(
                            SqlState::INVALID_AUTHORIZATION,
                            "SSL is required (tls.client.mode = \"require\")".into(),
                        ));
                    }
                    return Request::read(version, parameters).map(Wish::LogIn);
                }
            }
        }
    }

    async fn answer_tls(&mut self, doors: &Doors, times: u8) -> Result<(), StartupError> {
        if times > 1 || self.stream.is_encrypted() {
            return Err(duplicate("SSLRequest"));
        }
        if doors.mode == ClientTlsMode::Disable || doors.acceptor.is_none() {
            self.stream.write_all(b"N").await?;
            return Ok(());
        }
        // Bytes that follow an SSLRequest at once were put there by somebody else (CVE-2021-23214).
        if !self.buffer.is_empty() {
            return Err(StartupError::Refused(
                SqlState::PROTOCOL_VIOLATION,
                "received unencrypted data after SSL request".into(),
            ));
        }
        self.stream.write_all(b"S").await?;
        self.encrypt(doors, Start::Negotiated).await
    }

    async fn encrypt(&mut self, doors: &Doors, start: Start) -> Result<(), StartupError> {
        let acceptor = match (doors.mode, &doors.acceptor) {
            (ClientTlsMode::Disable, _) | (_, None) => {
                return Err(io::Error::other("TLS is not offered").into());
            }
            (_, Some(acceptor)) => acceptor,
        };
        let Stream::Plain(socket) =
            std::mem::replace(&mut self.stream, Stream::Plain(Socket::Lost))
        else {
            return Err(io::Error::other("already encrypted").into());
        };
        let tls = acceptor.accept(socket, start).await?;
        self.transport = Transport::Tls(
            acceptor.end_point().cloned().map_or(Binding::Unavailable, Binding::EndPoint),
        );
        self.stream = Stream::TlsFromClient(Box::new(tls));
        Ok(())
    }

    /// Whether the client begins a TLS handshake without asking first (`sslnegotiation=direct`). Its bytes are
    /// left in the socket.
    async fn begins_with_tls(&self, doors: &Doors) -> Result<bool, StartupError> {
        if doors.mode == ClientTlsMode::Disable
            || doors.acceptor.is_none()
            || !self.buffer.is_empty()
        {
            return Ok(false);
        }
        let Stream::Plain(socket) = &self.stream else { return Ok(false) };
        if socket.is_unix() {
            return Ok(false);
        }
        let mut first = [0];
        socket.peek(&mut first).await?;
        Ok(first == [TLS_HANDSHAKE])
    }

    /// Reads an untagged packet's body. Nothing is reserved for a length that the peer only claims.
    async fn read_packet(&mut self, limit: usize) -> Result<Vec<u8>, StartupError> {
        loop {
            if let Some(length) = self.buffer.first_chunk::<4>() {
                let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
                if length < 8 || length > limit {
                    return Err(FrameError::Format.into());
                }
                if self.buffer.len() >= length {
                    let packet = self.buffer.drain(..length).skip(4).collect();
                    return Ok(packet);
                }
            }
            self.read_some().await?;
        }
    }

    pub(super) async fn read_some(&mut self) -> Result<(), StartupError> {
        if self.stream.read_some(&mut self.buffer).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(())
    }
}

fn duplicate(what: &str) -> StartupError {
    StartupError::Refused(SqlState::FEATURE_NOT_SUPPORTED, format!("unexpected second {what}"))
}

impl Request {
    /// Reads a StartupMessage.
    fn read(
        version: Version,
        parameters: crate::protocol::startup::Parameters<'_>,
    ) -> Result<Self, StartupError> {
        if version.major != 3 {
            return Err(StartupError::Refused(
                SqlState::FEATURE_NOT_SUPPORTED,
                format!(
                    "unsupported frontend protocol {}.{}: pgLagoon supports 3.0 to 3.2",
                    version.major, version.minor
                ),
            ));
        }
        let mut request = Self {
            user: String::new(),
            database: String::new(),
            application_name: String::new(),
            replication: None,
            settings: Settings::default(),
            version,
            unknown: Vec::new(),
        };
        for pair in parameters {
            let (name, value) = pair?;
            request.set(text(name)?, text(value)?)?;
        }
        if request.user.is_empty() {
            return Err(StartupError::Refused(
                SqlState::INVALID_AUTHORIZATION,
                "no PostgreSQL user name specified in startup packet".into(),
            ));
        }
        if request.database.is_empty() {
            request.database.clone_from(&request.user);
        }
        Ok(request)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), StartupError> {
        match name {
            "user" => value.clone_into(&mut self.user),
            "database" => value.clone_into(&mut self.database),
            "options" => {
                let parameters = options::parse(value).map_err(|word| {
                    StartupError::Refused(
                        SqlState::FEATURE_NOT_SUPPORTED,
                        format!(
                            "unsupported switch \"{word}\" in startup options: only -c and -- are"
                        ),
                    )
                })?;
                for (name, value) in parameters {
                    self.set_parameter(&name, &value);
                }
            }
            "replication" => {
                self.replication = Kind::read(value).map_err(|message| {
                    StartupError::Refused(SqlState::INVALID_PARAMETER_VALUE, message)
                })?;
            }
            name if name.starts_with("_pq_.") => self.unknown.push(name.to_owned()),
            name => self.set_parameter(&name.to_ascii_lowercase(), value),
        }
        Ok(())
    }

    fn set_parameter(&mut self, name: &str, value: &str) {
        if name == "application_name" {
            self.application_name = clean_name(value);
        } else {
            self.settings.set(name, Some(Value::Config(value.into())));
        }
    }
}

/// As `check_application_name` in guc.c: what is not printable ASCII is shown in hexadecimal, and as `NameData`
/// nothing is longer than 63 bytes.
fn clean_name(value: &str) -> String {
    use std::fmt::Write as _;
    let mut name = String::new();
    for byte in value.bytes() {
        if (32..127).contains(&byte) {
            name.push(char::from(byte));
        } else {
            let _ = write!(name, "\\x{byte:02x}");
        }
    }
    name.truncate(63);
    name
}

fn text(bytes: &[u8]) -> Result<&str, StartupError> {
    std::str::from_utf8(bytes).map_err(|_| {
        StartupError::Refused(SqlState::PROTOCOL_VIOLATION, "startup packet is not in UTF-8".into())
    })
}
