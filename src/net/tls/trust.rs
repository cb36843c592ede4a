//! Whether a server's certificate is one to trust.

use rustls::{
    DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

/// Whose certificates are accepted.
#[derive(Debug)]
pub(super) enum Trust {
    /// Anyone's: encrypts, but does not tell who is at the other end.
    Anyone,
    /// Those that an authority has signed, or that are named themselves.
    Authorities {
        /// The authorities.
        roots: RootCertStore,
        /// Certificates that are trusted as they are: many a PostgreSQL has a self-signed one, which clients
        /// list as their authority. OpenSSL takes that; webpki insists that an authority is not a server.
        pinned: Vec<CertificateDer<'static>>,
        /// Whether the certificate must be for the host's name.
        name: NameCheck,
    },
}

/// Whether the certificate must be for the host's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameCheck {
    /// It must: `verify-full`. The name must stand among the certificate's alternative names.
    Demand,
    /// It need not: `verify-ca`.
    Skip,
}

/// rustls' question, answered by [`Trust`].
#[derive(Debug)]
pub(super) struct TrustVerifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
}

impl TrustVerifier {
    pub(super) fn new(trust: Trust, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { trust, algorithms }
    }
}

impl ServerCertVerifier for TrustVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Trust::Authorities { roots, pinned, name } = &self.trust else {
            return Ok(ServerCertVerified::assertion());
        };
        let parsed = ParsedCertificate::try_from(certificate)?;
        if !pinned.iter().any(|pin| pin == certificate) {
            let algorithms = self.algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                roots,
                intermediates,
                now,
                algorithms,
            )?;
        }
        if *name == NameCheck::Demand {
            verify_server_name(&parsed, host)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
