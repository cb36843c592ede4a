//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, both sides (RFC 5802, RFC 7677, RFC 5929).
//!
//! ```text
//!   client                                     server
//!     | client-first   n,,n=,r=CNONCE            |   ClientFirst -> Opening::first
//!     | ---------------------------------------> |
//!     | server-first   r=CNONCE SNONCE,s=SALT,i=N |
//!     | <--------------------------------------- |
//!     | client-final   c=..,r=..,p=PROOF          |   Challenge::last
//!     | ---------------------------------------> |
//!     | server-final   v=SIGNATURE               |
//!     | <--------------------------------------- |
//! ```
//!
//! The side that knows only a verifier never derives anything: one log-in costs it four hashes. The 4096
//! iterations of PBKDF2 are paid where a password is turned into a [`Verifier`] (configuration is loaded) or
//! into [`Keys`] (the first log-in to a server, then remembered).

mod client;
mod error;
mod keys;
mod message;
mod server;
#[cfg(test)]
mod tests;

pub use client::{ClientChallenge, ClientOpening, ClientVerify};
pub use error::ScramError;
pub use keys::{ClientKey, DEFAULT_ITERATIONS, Keys, ServerKey, StoredKey, Verifier};
pub use server::{Challenge, Opening, Success};

/// The mechanism without channel binding.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";
/// The mechanism that binds the exchange to the TLS channel it runs over.
pub const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// The longest SASL message that is read, in bytes (`PG_MAX_SASL_MESSAGE_LENGTH` in PostgreSQL).
pub const MAX_MESSAGE: usize = 1024;

/// What a peer knows of the TLS channel underneath.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// No TLS, or a certificate for which RFC 5929 defines no hash: nothing to bind to.
    Unavailable,
    /// The `tls-server-end-point` data: the hash of the server's certificate.
    EndPoint(std::sync::Arc<[u8]>),
}

/// A SASL mechanism that was chosen out of those offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// `SCRAM-SHA-256`.
    Plain,
    /// `SCRAM-SHA-256-PLUS`.
    Plus,
}

impl Mechanism {
    /// The mechanism of this name, if it is one of the two.
    pub fn parse(name: &[u8]) -> Option<Self> {
        if name == SCRAM_SHA_256.as_bytes() {
            Some(Self::Plain)
        } else if name == SCRAM_SHA_256_PLUS.as_bytes() {
            Some(Self::Plus)
        } else {
            None
        }
    }

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => SCRAM_SHA_256,
            Self::Plus => SCRAM_SHA_256_PLUS,
        }
    }
}
