//! TLS towards servers.

use std::{io, net::Ipv4Addr, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    pki_types::{CertificateDer, ServerName},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    ALPN, TlsError,
    end_point::end_point,
    files, provider,
    trust::{NameCheck, Trust, TrustVerifier},
};
use crate::config::ServerTlsMode;

/// Connects with TLS as strictly as its mode demands. Cheap to clone.
#[derive(Clone)]
pub struct Connector {
    mode: ServerTlsMode,
    tls: TlsConnector,
}

impl Connector {
    /// Makes a connector; `ca_file` is the authorities to trust, the system's if there is none.
    ///
    /// As in libpq, `require` with a file of authorities checks the certificate as `verify-ca` does.
    /// Reads the file or the system's store: a matter of start-up and reload, not of a connection.
    ///
    /// # Errors
    ///
    /// When the authorities are needed and cannot be read, or there are none.
    pub fn new(mode: ServerTlsMode, ca_file: Option<&Path>) -> Result<Self, TlsError> {
        let trust = match mode {
            ServerTlsMode::Disable | ServerTlsMode::Allow | ServerTlsMode::Prefer => Trust::Anyone,
            ServerTlsMode::Require if ca_file.is_none() => Trust::Anyone,
            ServerTlsMode::Require | ServerTlsMode::VerifyCa => {
                authorities(ca_file, NameCheck::Skip)?
            }
            ServerTlsMode::VerifyFull => authorities(ca_file, NameCheck::Demand)?,
        };
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let verifier = TrustVerifier::new(trust, algorithms);
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self { mode, tls: TlsConnector::from(Arc::new(config)) })
    }

    /// When TLS is to be used, and how strictly.
    pub fn mode(&self) -> ServerTlsMode {
        self.mode
    }

    /// Performs the handshake with the server that is known as `host`.
    ///
    /// The caller must not have read anything that the server sent after its `S` (CVE-2021-23222).
    ///
    /// # Errors
    ///
    /// When the server breaks off, or its certificate is not one that the mode accepts.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: the socket is lost.
    pub async fn connect<IO>(&self, host: &str, io: IO) -> io::Result<TlsStream<IO>>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let name = match (ServerName::try_from(host.to_owned()), self.mode) {
            (Ok(name), _) => name,
            (Err(error), ServerTlsMode::VerifyFull) => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
            }
            // The name is not checked; an address in its place sends none.
            (Err(_), _) => ServerName::from(std::net::IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        };
        self.tls.connect(name, io).await
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// What a log-in over `stream` can be bound to: the hash of the certificate that the server has shown.
pub fn peer_end_point<IO>(stream: &TlsStream<IO>) -> Option<Arc<[u8]>> {
    end_point(stream.get_ref().1.peer_certificates()?.first()?)
}

fn authorities(file: Option<&Path>, name: NameCheck) -> Result<Trust, TlsError> {
    let given = file.map_or_else(|| Ok(system_certificates()), files::certificates)?;
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(given.iter().cloned());
    if added == 0 {
        return Err(TlsError::NoAuthority { path: file.map(Path::to_owned) });
    }
    // Out of a file that the operator names, a server's own certificate is trusted as such.
    let pinned = if file.is_some() { given } else { Vec::new() };
    Ok(Trust::Authorities { roots, pinned, name })
}

/// What the system holds for trustworthy; certificates that cannot be read are left out, as everywhere.
fn system_certificates() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}
