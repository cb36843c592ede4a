//! A client with a socket that blocks, and nothing else: it costs little, and little can go wrong.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use pglagoon::protocol::{frame, frontend};

/// What is waited for before something counts as broken.
const PATIENCE: Duration = Duration::from_mins(1);

/// One client, as user `app` of the database `app`, who needs no password.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
    input: Vec<u8>,
}

/// A socket, or TLS on one.
pub(crate) trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

impl Client {
    /// Connects and logs in.
    pub(crate) fn log_in(address: SocketAddr) -> Result<Self, Box<dyn Error>> {
        Self::begin(Box::new(connect(address)?))
    }

    /// Logs in by way of a connection.
    pub(crate) fn begin(stream: Box<dyn Stream>) -> Result<Self, Box<dyn Error>> {
        let mut client = Self { stream, input: Vec::new() };
        client.ask(&startup())?;
        Ok(client)
    }

    /// Sends a statement by itself and returns the answer.
    pub(crate) fn query(&mut self, text: &str) -> Result<Vec<u8>, Box<dyn Error>> {
        let mut sent = Vec::new();
        frontend::query(&mut sent, text.as_bytes());
        self.ask(&sent)
    }

    /// Sends messages of which the last asks for ReadyForQuery, and returns all that comes up to it.
    ///
    /// # Errors
    ///
    /// Also what the server says is wrong.
    pub(crate) fn ask(&mut self, sent: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
        self.stream.write_all(sent)?;
        self.input.clear();
        let mut chunk = [0; 8192];
        let mut taken = 0;
        loop {
            while let Some(header) = frame::header(self.input.get(taken..).unwrap_or_default())? {
                let Some(whole) = self.input.get(taken..taken + header.size) else { break };
                match header.tag {
                    b'Z' => return Ok(std::mem::take(&mut self.input)),
                    b'E' => return Err(String::from_utf8_lossy(whole).replace('\0', " ").into()),
                    _ => taken += header.size,
                }
            }
            let count = self.stream.read(&mut chunk)?;
            if count == 0 {
                return Err("the connection was closed".into());
            }
            self.input.extend_from_slice(chunk.get(..count).unwrap_or_default());
        }
    }
}

/// A socket that gives up after too long a silence.
pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The packet that a session begins with.
pub(crate) fn startup() -> Vec<u8> {
    let mut startup = Vec::new();
    frame::write_untagged(&mut startup, |body| {
        // Version 3.0 of the protocol.
        body.extend_from_slice(&[0, 3, 0, 0]);
        for text in ["user", "app", "database", "app", "application_name", "bench", ""] {
            frame::write_cstr(body, text.as_bytes());
        }
    });
    startup
}
