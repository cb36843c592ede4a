//! TLS that clients ask for.

use std::{io, path::Path, sync::Arc};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::NoServerSessionStorage,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{ALPN, TlsError, end_point::end_point, files, provider};

/// The longest plaintext of a record that is sent to a client, in bytes.
///
/// PostgreSQL never sends more at once, and libpq's asynchronous calls have left the rest of longer records
/// unnoticed inside TLS while the program waited on the socket.
const MAX_RECORD: usize = 8192;

/// How a client began TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With an SSLRequest, which was answered `S`.
    Negotiated,
    /// With the handshake itself; it must then name the protocol by ALPN.
    Direct,
}

/// Accepts TLS with one certificate. Cheap to clone; make a new one to reload the files.
#[derive(Clone)]
pub struct Acceptor {
    tls: TlsAcceptor,
    end_point: Option<Arc<[u8]>>,
}

impl Acceptor {
    /// Reads the certificate chain (the server's own first) and its private key.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or used, or the two do not fit.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Self::new(files::certificates(certificate)?, files::private_key(key)?)
    }

    /// Makes an acceptor of a chain and a key.
    ///
    /// # Errors
    ///
    /// When they cannot be used or do not fit.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, TlsError> {
        let end_point = chain.first().and_then(|certificate| end_point(certificate));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(TlsError::Identity)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.max_fragment_size = Some(MAX_RECORD);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { tls: TlsAcceptor::from(Arc::new(config)), end_point })
    }

    /// What a client may bind its log-in to; `None` where RFC 5929 defines no hash for the certificate.
    pub fn end_point(&self) -> Option<&Arc<[u8]>> {
        self.end_point.as_ref()
    }

    /// Performs the handshake.
    ///
    /// The caller must not have read anything that the client sent after its SSLRequest: what comes before the
    /// handshake is not protected by it (CVE-2021-23214). For [`Start::Direct`] nothing at all.
    ///
    /// # Errors
    ///
    /// When the client breaks off, cannot agree on a cipher or, having begun directly, did not name the protocol.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: the socket is lost.
    pub async fn accept<IO>(&self, io: IO, start: Start) -> io::Result<TlsStream<IO>>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = self.tls.accept(io).await?;
        let has_alpn = stream.get_ref().1.alpn_protocol() == Some(ALPN);
        match start {
            Start::Direct if !has_alpn => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "direct SSL connection without ALPN protocol \"postgresql\"",
            )),
            Start::Direct | Start::Negotiated => Ok(stream),
        }
    }
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor(..)")
    }
}
