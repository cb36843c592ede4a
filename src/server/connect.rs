//! From an address to a stream: resolution, connect, TLS.

use std::{io, net::SocketAddr, path::Path, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream, lookup_host},
    time::timeout,
};

use super::error::ConnectError;
use crate::config::{Host, ServerTlsMode};
use crate::net::{Socket, Stream, tls::Connector};
use crate::protocol::startup;

/// Where a server is and how to reach it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its host.
    pub host: Host,
    /// Its port, also part of a Unix socket's file name.
    pub port: u16,
    /// When TLS is used, and how strictly.
    pub tls: Connector,
    /// Time that connecting and logging in may take, all attempts together.
    pub timeout: Duration,
    /// Idle time after which TCP asks whether the server is still there.
    pub keepalive: Duration,
}

/// What one attempt does about TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Security {
    /// Nothing.
    Plain,
    /// Uses it if the server has it.
    TlsIfOffered,
    /// Demands it.
    Tls,
}

impl Security {
    /// How the first attempt is made. Nobody listens in on a Unix socket, so it never has TLS, as in libpq.
    pub(super) const fn first(host: &Host, mode: ServerTlsMode) -> Self {
        match (host, mode) {
            (Host::Unix(_), _) | (_, ServerTlsMode::Disable | ServerTlsMode::Allow) => Self::Plain,
            (_, ServerTlsMode::Prefer) => Self::TlsIfOffered,
            (_, ServerTlsMode::Require | ServerTlsMode::VerifyCa | ServerTlsMode::VerifyFull) => {
                Self::Tls
            }
        }
    }

    /// How a second attempt is made, if the mode has one: `allow` falls back to TLS and `prefer` to none.
    pub(super) const fn second(host: &Host, mode: ServerTlsMode) -> Option<Self> {
        match (host, mode) {
            (Host::Tcp(_), ServerTlsMode::Allow) => Some(Self::Tls),
            (Host::Tcp(_), ServerTlsMode::Prefer) => Some(Self::Plain),
            _ => None,
        }
    }
}

impl Endpoint {
    /// Connects for a driver that logs in by itself, so that a second attempt can only follow a failed handshake.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub async fn open_for_driver(&self) -> Result<Stream, ConnectError> {
        let mode = self.tls.mode();
        let first = match Security::first(&self.host, mode) {
            Security::Plain if mode == ServerTlsMode::Allow => Security::TlsIfOffered,
            first => first,
        };
        let opening = async {
            match self.open(first).await {
                Err(ConnectError::Tls(_)) if first == Security::TlsIfOffered => {
                    self.open(Security::Plain).await
                }
                opened => opened,
            }
        };
        timeout(self.timeout, opening).await.unwrap_or(Err(ConnectError::Timeout))
    }

    /// Connects and agrees on TLS.
    pub(super) async fn open(&self, security: Security) -> Result<Stream, ConnectError> {
        let socket = match &self.host {
            Host::Unix(directory) => self.connect_unix(directory).await?,
            Host::Tcp(name) => self.connect_tcp(name).await?,
        };
        self.secure(socket, security).await
    }

    /// The same, to the very address that another connection went to: a name may stand for several servers.
    pub(super) async fn open_at(
        &self,
        address: SocketAddr,
        security: Security,
    ) -> Result<Stream, ConnectError> {
        let stream = TcpStream::connect(address).await.map_err(ConnectError::Connect)?;
        self.secure(Socket::Tcp(stream), security).await
    }

    async fn connect_unix(&self, directory: &Path) -> Result<Socket, ConnectError> {
        let path = directory.join(format!(".s.PGSQL.{}", self.port));
        let stream = UnixStream::connect(path).await.map_err(ConnectError::Connect)?;
        Ok(Socket::Unix(stream))
    }

    /// Tries every address of `name`, each with its share of the time, so that a dead one cannot take it all.
    async fn connect_tcp(&self, name: &str) -> Result<Socket, ConnectError> {
        let found = lookup_host((name, self.port)).await.map_err(ConnectError::Resolve)?;
        let addresses: Vec<SocketAddr> = found.collect();
        let share = self.timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let mut failure = ConnectError::Resolve(io::ErrorKind::NotFound.into());
        for address in addresses {
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(Socket::Tcp(stream)),
                Ok(Err(error)) => failure = ConnectError::Connect(error),
                Err(_) => failure = ConnectError::Connect(io::ErrorKind::TimedOut.into()),
            }
        }
        Err(failure)
    }

    async fn secure(&self, mut socket: Socket, security: Security) -> Result<Stream, ConnectError> {
        socket.tune(self.keepalive).map_err(ConnectError::Lost)?;
        match (security, &self.host) {
            (Security::Plain, _) | (_, Host::Unix(_)) => Ok(Stream::Plain(socket)),
            (Security::Tls | Security::TlsIfOffered, Host::Tcp(name)) => {
                if ask_for_tls(&mut socket).await? {
                    let stream = self.tls.connect(name, socket).await;
                    Ok(Stream::TlsToServer(Box::new(stream.map_err(ConnectError::Tls)?)))
                } else if security == Security::TlsIfOffered {
                    Ok(Stream::Plain(socket))
                } else {
                    Err(ConnectError::TlsUnsupported)
                }
            }
        }
    }
}

/// Sends an SSLRequest; whether the server has TLS.
///
/// Reads exactly one byte: whatever follows it stays in the socket, where it is part of the handshake or
/// spoils it, and can never pass for something that TLS protected (CVE-2021-23222).
async fn ask_for_tls(socket: &mut Socket) -> Result<bool, ConnectError> {
    let mut request = Vec::new();
    startup::ssl_request(&mut request);
    socket.write_all(&request).await.map_err(ConnectError::Lost)?;
    match socket.read_u8().await {
        Ok(b'S') => Ok(true),
        // An error is not shown: nobody has vouched for it yet (CVE-2024-10977).
        Ok(b'N' | b'E') => Ok(false),
        Ok(_) => Err(crate::protocol::FrameError::Format.into()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ConnectError::Closed),
        Err(error) => Err(ConnectError::Lost(error)),
    }
}
