//! The untagged packets that begin a connection (`src/backend/tcop/backend_startup.c`).

use super::frame::{write_cstr, write_untagged};
use super::reader::Reader;
use super::{FrameError, Version};

/// `CANCEL_REQUEST_CODE` in `src/include/libpq/pqcomm.h`.
const CANCEL_REQUEST: u32 = request_code(5678);
/// `NEGOTIATE_SSL_CODE`.
const SSL_REQUEST: u32 = request_code(5679);
/// `NEGOTIATE_GSS_CODE`.
const GSSENC_REQUEST: u32 = request_code(5680);

/// `PG_PROTOCOL(1234, minor)`: a version that no protocol has stands for a request.
const fn request_code(minor: u16) -> u32 {
    Version { major: 1234, minor }.code()
}

/// The longest startup packet that PostgreSQL takes (`MAX_STARTUP_PACKET_LENGTH`), the length word included.
pub const MAX_STARTUP_PACKET: usize = 10_000;

/// The longest cancel key that protocol 3.2 allows.
pub const MAX_CANCEL_KEY: usize = 256;

/// A packet that may begin a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Startup<'a> {
    /// Stop a running statement.
    CancelRequest {
        /// The process id of the BackendKeyData.
        process_id: i32,
        /// Its secret.
        secret: &'a [u8],
    },
    /// GSSAPI encryption, which we never have.
    GssEncRequest,
    /// The connection's parameters.
    StartupMessage {
        /// The protocol that the client would like to speak.
        version: Version,
        /// Names and values.
        parameters: Parameters<'a>,
    },
    /// TLS.
    SslRequest,
}

impl<'a> Startup<'a> {
    /// Reads a startup packet's body: what follows the length word.
    ///
    /// # Errors
    ///
    /// [`FrameError::Format`] if it is none of the four.
    pub fn read(body: &'a [u8]) -> Result<Self, FrameError> {
        let mut reader = Reader(body);
        let code = u32::try_from(reader.i32()?).map_err(|_| FrameError::Format)?;
        match code {
            CANCEL_REQUEST => {
                let process_id = reader.i32()?;
                let secret = reader.0;
                if secret.is_empty() || secret.len() > MAX_CANCEL_KEY {
                    return Err(FrameError::Format);
                }
                Ok(Self::CancelRequest { process_id, secret })
            }
            SSL_REQUEST => reader.end().map(|()| Self::SslRequest),
            GSSENC_REQUEST => reader.end().map(|()| Self::GssEncRequest),
            code => Ok(Self::StartupMessage {
                version: Version::from_code(code),
                parameters: Parameters(reader.0),
            }),
        }
    }
}

/// The parameters of a StartupMessage, checked as they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters<'a>(&'a [u8]);

impl<'a> Iterator for Parameters<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        // The list ends with an empty name; anything after it, or no end at all, is an error.
        if self.0 == [0] {
            self.0 = &[];
            return None;
        }
        let mut reader = Reader(self.0);
        let pair = (|| {
            let name = reader.cstr()?;
            if name.is_empty() {
                return Err(FrameError::Format);
            }
            Ok((name, reader.cstr()?))
        })();
        match pair {
            Ok(_) => self.0 = reader.0,
            // Stop after an error: `[0]` is the regular end.
            Err(_) => self.0 = &[0],
        }
        Some(pair)
    }
}

/// A StartupMessage for a server.
pub fn startup_message<'a>(
    out: &mut Vec<u8>,
    version: Version,
    parameters: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) {
    write_untagged(out, |body| {
        body.extend_from_slice(&version.code().to_be_bytes());
        for (name, value) in parameters {
            write_cstr(body, name);
            write_cstr(body, value);
        }
        body.push(0);
    });
}

/// An SSLRequest.
pub fn ssl_request(out: &mut Vec<u8>) {
    write_untagged(out, |body| body.extend_from_slice(&SSL_REQUEST.to_be_bytes()));
}

/// A CancelRequest.
pub fn cancel_request(out: &mut Vec<u8>, process_id: i32, secret: &[u8]) {
    write_untagged(out, |body| {
        body.extend_from_slice(&CANCEL_REQUEST.to_be_bytes());
        body.extend_from_slice(&process_id.to_be_bytes());
        body.extend_from_slice(secret);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn startup_message_round_trips() {
        let mut out = Vec::new();
        let sent = [(&b"user"[..], &b"a"[..]), (b"database", b"b")];
        startup_message(&mut out, Version::V3_0, sent.into_iter());
        let Startup::StartupMessage { version, parameters } = Startup::read(&out[4..]).unwrap()
        else {
            panic!("not a startup message");
        };
        assert_eq!(version, Version::V3_0);
        let read: Vec<_> = parameters.map(Result::unwrap).collect();
        assert_eq!(read, sent);
    }

    #[test]
    fn requests_are_told_apart() {
        let mut out = Vec::new();
        ssl_request(&mut out);
        assert_eq!(Startup::read(&out[4..]), Ok(Startup::SslRequest));
        out.clear();
        cancel_request(&mut out, 7, &[1, 2, 3, 4]);
        assert_eq!(
            Startup::read(&out[4..]),
            Ok(Startup::CancelRequest { process_id: 7, secret: &[1, 2, 3, 4] })
        );
    }

    #[test]
    fn broken_parameters_end_with_one_error() {
        for body in
            [&b"\0\x03\0\0user"[..], b"\0\x03\0\0user\0a", b"\0\x03\0\0user\0a\0", b"\0\x03\0\0\0x"]
        {
            let Ok(Startup::StartupMessage { parameters, .. }) = Startup::read(body) else {
                panic!("not a startup message");
            };
            let all: Vec<_> = parameters.collect();
            assert_eq!(all.iter().filter(|pair| pair.is_err()).count(), 1, "{body:?}");
        }
    }
}
