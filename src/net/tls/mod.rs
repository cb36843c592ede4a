//! TLS on both legs, by rustls with the ring provider.
//!
//! The provider is always named, never the process's default one, so that nothing depends on who installed what.
//! Sessions are not resumed, as in PostgreSQL: server connections are long-lived, and tickets for thousands of
//! clients would cost more memory than they save.

mod acceptor;
mod connector;
mod end_point;
mod files;
#[cfg(test)]
mod tests;
mod trust;

use std::{io, path::PathBuf, sync::Arc};

use rustls::crypto::CryptoProvider;

pub use acceptor::{Acceptor, Start};
pub use connector::{Connector, peer_end_point};
pub use end_point::end_point;

/// The protocol's name in ALPN. Demanding it keeps a browser from being talked into speaking to us (ALPACA).
const ALPN: &[u8] = b"postgresql";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file could not be read.
    #[error("could not read \"{}\"", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The certificate and the key do not fit, or are of a kind that is not supported.
    #[error("certificate or private key cannot be used")]
    Identity(#[source] rustls::Error),
    /// A file is no PEM, or broken.
    #[error("\"{}\" is not valid PEM", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// Where it breaks.
        source: rustls::pki_types::pem::Error,
    },
    /// There is no authority to trust: the file holds none, or the system has none.
    #[error("no certificate authority found{}", in_file(path.as_ref()))]
    NoAuthority {
        /// The file; `None` for the system's.
        path: Option<PathBuf>,
    },
    /// The file holds no certificate.
    #[error("no certificate found in \"{}\"", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The file holds no private key.
    #[error("no private key found in \"{}\"", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The cryptography that was built in cannot do this.
    #[error("TLS cannot be configured")]
    Setup(#[source] rustls::Error),
}

fn in_file(path: Option<&PathBuf>) -> String {
    path.map_or_else(|| " in the system".to_owned(), |path| format!(" in \"{}\"", path.display()))
}
