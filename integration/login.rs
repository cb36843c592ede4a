//! pgLagoon logs in to real servers, by every method and kind of transport, and cancels there.

use std::{path::Path, sync::Arc, time::Duration};

use pglagoon::{
    auth::Credential,
    config::{Host, ServerTlsMode},
    demo::{Authentication, Cluster, ClusterBuilder, Node},
    net::{Stream, tls::Connector},
    protocol::{Version, frontend},
    server::{self, ConnectError, ConnectErrorKind, Endpoint, Target},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::fixture::{await_running, installation, on_each_version};

on_each_version!(
    every_method_lets_us_in_over_every_transport,
    a_wrong_password_and_a_missing_database_are_told_apart,
    a_certificate_is_checked_as_strictly_as_asked,
    a_running_statement_is_cancelled_with_short_and_long_keys,
);

/// An authority of this test, and a server's certificate that it has signed for `localhost`.
pub(crate) struct Certificates {
    directory: TempDir,
    certificate: String,
    key: String,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        // OpenSSL takes a certificate whose issuer bears its own name for a self-signed one.
        authority.distinguished_name.push(DnType::CommonName, "authority of a test");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let signed = authority.self_signed(&authority_key).unwrap();
        std::fs::write(directory.path().join("ca.crt"), signed.pem()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
        Self { directory, certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// Holds the authority's certificate, `ca.crt`.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The server's certificate, as PEM.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Its key, as PEM.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    async fn cluster(&self, major: u16, authentication: Authentication) -> Cluster {
        let builder = ClusterBuilder::new(installation(major)).authentication(authentication);
        builder.tls(&self.certificate, &self.key).start().await.unwrap()
    }

    fn connector(&self, mode: ServerTlsMode) -> Connector {
        Connector::new(mode, Some(&self.directory.path().join("ca.crt"))).unwrap()
    }
}

fn tcp(name: &str) -> Host {
    Host::Tcp(name.to_owned())
}

fn target(cluster: &Cluster, node: &Node, host: Host, tls: Connector) -> Target {
    Target {
        endpoint: Arc::new(Endpoint {
            host,
            port: node.port(),
            tls,
            timeout: Duration::from_secs(20),
            keepalive: Duration::from_mins(1),
        }),
        user: "app".to_owned(),
        credential: Credential::password(cluster.app_password()),
        parameters: vec![("database".to_owned(), "app".to_owned())],
        version: Version::V3_0,
    }
}

async fn every_method_lets_us_in_over_every_transport(major: u16) {
    let certificates = Certificates::new();
    for method in [
        Authentication::Scram,
        Authentication::Md5,
        Authentication::Password,
        Authentication::Trust,
    ] {
        let cluster = certificates.cluster(major, method).await;
        let node = cluster.primary();
        for (host, mode, is_encrypted) in [
            (tcp("127.0.0.1"), ServerTlsMode::Disable, false),
            (tcp("127.0.0.1"), ServerTlsMode::Allow, false),
            (tcp("127.0.0.1"), ServerTlsMode::Prefer, true),
            (tcp("localhost"), ServerTlsMode::VerifyFull, true),
            (Host::Unix(node.socket_directory().to_owned()), ServerTlsMode::Prefer, false),
        ] {
            let target = target(&cluster, node, host, certificates.connector(mode));
            let login = server::connect(&target).await;
            let login = login.unwrap_or_else(|error| panic!("{method:?} {mode:?}: {error:?}"));
            assert_eq!(login.stream.is_encrypted(), is_encrypted, "{method:?} {mode:?}");
            let version = login.parameters.iter().find(|(name, _)| name == "server_version");
            assert!(version.unwrap().1.starts_with(&major.to_string()), "{version:?}");
        }
    }
}

async fn a_wrong_password_and_a_missing_database_are_told_apart(major: u16) {
    let cluster = ClusterBuilder::new(installation(major)).start().await.unwrap();
    let plain = || Connector::new(ServerTlsMode::Disable, None).unwrap();
    let right = || target(&cluster, cluster.primary(), tcp("127.0.0.1"), plain());
    let wrong = Target { credential: Credential::password("wrong"), ..right() };
    assert_eq!(kind(&wrong).await, ConnectErrorKind::Authentication);
    let parameters = vec![("database".to_owned(), "nowhere".to_owned())];
    assert_eq!(kind(&Target { parameters, ..right() }).await, ConnectErrorKind::Rejected);
    let encrypted = Connector::new(ServerTlsMode::Require, None).unwrap();
    let demanding = target(&cluster, cluster.primary(), tcp("127.0.0.1"), encrypted);
    assert_eq!(kind(&demanding).await, ConnectErrorKind::Tls);
    let gone = right();
    cluster.primary().kill().await.unwrap();
    assert_eq!(kind(&gone).await, ConnectErrorKind::Refused);
}

async fn kind(target: &Target) -> ConnectErrorKind {
    server::connect(target).await.unwrap_err().kind()
}

async fn a_certificate_is_checked_as_strictly_as_asked(major: u16) {
    let certificates = Certificates::new();
    let cluster = certificates.cluster(major, Authentication::Scram).await;
    let attempt = async |host: &str, tls: Connector| -> Result<(), ConnectError> {
        server::connect(&target(&cluster, cluster.primary(), tcp(host), tls)).await.map(drop)
    };
    // Another name than the certificate's is no matter, but to verify-full.
    attempt("127.0.0.1", certificates.connector(ServerTlsMode::VerifyCa)).await.unwrap();
    let error = attempt("127.0.0.1", certificates.connector(ServerTlsMode::VerifyFull)).await;
    assert_eq!(error.unwrap_err().kind(), ConnectErrorKind::Tls);
    // Another authority matters to all that verify, not to those that only encrypt.
    let others = Certificates::new();
    let error = attempt("localhost", others.connector(ServerTlsMode::VerifyCa)).await;
    assert_eq!(error.unwrap_err().kind(), ConnectErrorKind::Tls);
    let only_encrypted = Connector::new(ServerTlsMode::Require, None::<&Path>).unwrap();
    attempt("localhost", only_encrypted).await.unwrap();
}

async fn a_running_statement_is_cancelled_with_short_and_long_keys(major: u16) {
    let certificates = Certificates::new();
    let cluster = certificates.cluster(major, Authentication::Scram).await;
    for (version, mode) in [
        (Version::V3_0, ServerTlsMode::Disable),
        (Version::V3_0, ServerTlsMode::Require),
        (Version::V3_2, ServerTlsMode::Disable),
        (Version::V3_2, ServerTlsMode::VerifyCa),
    ] {
        let tls = certificates.connector(mode);
        let target =
            Target { version, ..target(&cluster, cluster.primary(), tcp("127.0.0.1"), tls) };
        let mut login = server::connect(&target).await.unwrap();
        // Only 18 knows 3.2; older servers negotiate it down.
        let spoken = if major >= 18 { version } else { Version::V3_0 };
        assert_eq!(login.version, spoken);
        let mut query = Vec::new();
        let sql = "SELECT pg_sleep(600)";
        frontend::query(&mut query, sql.as_bytes());
        login.stream.write_all(&query).await.unwrap();
        await_running(&cluster, sql, 1).await;
        let limit = Duration::from_mins(1);
        login.canceler.as_ref().unwrap().cancel(limit).await.unwrap();
        let answer = timeout(limit, answer(&mut login.stream)).await.unwrap();
        assert!(answer.contains("57014"), "{version:?} {mode:?}: {answer}");
    }
}

/// Everything up to the next ReadyForQuery, as text.
async fn answer(stream: &mut Stream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"Z\0\0\0\x05I") {
        assert_ne!(stream.read_some(&mut bytes).await.unwrap(), 0, "the server has gone");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
