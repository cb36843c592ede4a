use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::config::ServerTlsMode;

/// An authority and what it signs, as files.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    files: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let files = tempfile::tempdir().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(files.path().join("ca.crt"), certificate.pem()).unwrap();
        Self { issuer: Issuer::new(params, key), files }
    }

    fn ca_file(&self) -> PathBuf {
        self.files.path().join("ca.crt")
    }

    fn acceptor(&self, host: &str) -> (Acceptor, CertificateDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let [crt, pem] = ["server.crt", "server.key"].map(|name| self.files.path().join(name));
        std::fs::write(&crt, certificate.pem()).unwrap();
        std::fs::write(&pem, key.serialize_pem()).unwrap();
        (Acceptor::from_files(&crt, &pem).unwrap(), certificate.der().clone())
    }
}

type Shaken = (
    io::Result<tokio_rustls::client::TlsStream<DuplexStream>>,
    io::Result<tokio_rustls::server::TlsStream<DuplexStream>>,
);

async fn shake(connector: &Connector, host: &str, acceptor: &Acceptor, start: Start) -> Shaken {
    let (near, far) = duplex(1000);
    tokio::join!(connector.connect(host, near), acceptor.accept(far, start))
}

#[tokio::test]
async fn bytes_pass_and_both_sides_know_the_certificate() {
    let authority = Authority::new();
    let (acceptor, certificate) = authority.acceptor("db.example");
    let connector = Connector::new(ServerTlsMode::VerifyFull, Some(&authority.ca_file())).unwrap();
    for start in [Start::Negotiated, Start::Direct] {
        let (near, far) = shake(&connector, "db.example", &acceptor, start).await;
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        near.write_all(b"hello").await.unwrap();
        near.flush().await.unwrap();
        let mut read = [0; 5];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"hello");
        // rcgen signs with ECDSA and SHA-256.
        let expected = Sha256::digest(&certificate);
        assert_eq!(peer_end_point(&near).as_deref(), Some(expected.as_slice()));
        assert_eq!(acceptor.end_point().map(|hash| &**hash), Some(expected.as_slice()));
    }
}

#[tokio::test]
async fn each_mode_checks_what_it_says() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (good, _) = ours.acceptor("db.example");
    let (foreign, _) = theirs.acceptor("db.example");
    let table = [
        // mode, with our authority, the server's own name, another name, a foreign server
        (ServerTlsMode::Prefer, false, [true, true, true]),
        (ServerTlsMode::Require, false, [true, true, true]),
        (ServerTlsMode::Require, true, [true, true, false]),
        (ServerTlsMode::VerifyCa, true, [true, true, false]),
        (ServerTlsMode::VerifyFull, true, [true, false, false]),
    ];
    for (mode, has_file, expected) in table {
        let file = has_file.then(|| ours.ca_file());
        let connector = Connector::new(mode, file.as_deref()).unwrap();
        let cases = [("db.example", &good), ("10.0.0.1", &good), ("db.example", &foreign)];
        for ((host, acceptor), expected) in cases.into_iter().zip(expected) {
            let (near, _) = shake(&connector, host, acceptor, Start::Negotiated).await;
            assert_eq!(near.is_ok(), expected, "{mode:?} {host}");
        }
    }
}

#[tokio::test]
async fn a_self_signed_certificate_is_trusted_by_name() {
    let files = tempfile::tempdir().unwrap();
    let mut params = CertificateParams::new(vec!["db.example".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let path = files.path().join("server.crt");
    std::fs::write(&path, certificate.pem()).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let acceptor = Acceptor::new(vec![certificate.der().clone()], key).unwrap();
    let connector = Connector::new(ServerTlsMode::VerifyFull, Some(&path)).unwrap();
    let (near, _) = shake(&connector, "db.example", &acceptor, Start::Negotiated).await;
    near.unwrap();
    let (near, _) = shake(&connector, "other.example", &acceptor, Start::Negotiated).await;
    near.unwrap_err();
}

#[tokio::test]
async fn a_name_that_dns_does_not_know_is_no_obstacle_unless_it_is_checked() {
    let authority = Authority::new();
    let (acceptor, _) = authority.acceptor("db.example");
    for (mode, expected) in [(ServerTlsMode::VerifyCa, true), (ServerTlsMode::VerifyFull, false)] {
        let connector = Connector::new(mode, Some(&authority.ca_file())).unwrap();
        let (near, far) = duplex(1000);
        let shaken = tokio::join!(connector.connect("no name", near), async {
            drop(acceptor.accept(far, Start::Negotiated).await);
        });
        assert_eq!(shaken.0.is_ok(), expected, "{mode:?}");
    }
}

#[tokio::test]
async fn direct_tls_demands_the_protocol_by_name() {
    let authority = Authority::new();
    let (acceptor, _) = authority.acceptor("db.example");
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(files::certificates(&authority.ca_file()).unwrap());
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let browser = tokio_rustls::TlsConnector::from(Arc::new(config));
    for (start, expected) in [(Start::Direct, false), (Start::Negotiated, true)] {
        let (near, far) = duplex(1000);
        let name = "db.example".try_into().unwrap();
        let (_near, far) = tokio::join!(browser.connect(name, near), acceptor.accept(far, start));
        assert_eq!(far.is_ok(), expected, "{start:?}");
    }
}

#[test]
fn files_that_do_not_do_say_why() {
    let authority = Authority::new();
    authority.acceptor("db.example");
    let file = |name: &str| authority.files.path().join(name);
    std::fs::write(file("empty"), "").unwrap();
    std::fs::write(file("broken"), "-----BEGIN CERTIFICATE-----\n!\n").unwrap();
    let (crt, key) = (file("server.crt"), file("server.key"));
    let error =
        |crt: &std::path::Path, key: &std::path::Path| Acceptor::from_files(crt, key).unwrap_err();
    assert!(matches!(error(&file("absent"), &key), TlsError::File { .. }));
    assert!(matches!(error(&file("empty"), &key), TlsError::NoCertificate { .. }));
    assert!(matches!(error(&file("broken"), &key), TlsError::NotPem { .. }));
    assert!(matches!(error(&crt, &crt), TlsError::NoKey { .. }));
    assert!(matches!(error(&authority.ca_file(), &key), TlsError::Identity(_)));
    let no_authority = Connector::new(ServerTlsMode::VerifyCa, Some(&file("empty"))).unwrap_err();
    assert!(no_authority.to_string().starts_with("no certificate found in"));
}

/// libpq's asynchronous calls have left the rest of longer records unnoticed.
#[tokio::test]
async fn records_to_clients_are_as_short_as_those_of_postgresql() {
    let authority = Authority::new();
    let (acceptor, _) = authority.acceptor("db.example");
    let connector = Connector::new(ServerTlsMode::Require, None).unwrap();
    let (near, far) = shake(&connector, "db.example", &acceptor, Start::Negotiated).await;
    let (near, mut far) = (near.unwrap(), far.unwrap());
    let (mut wire, _client) = near.into_inner();
    let sending = async {
        far.write_all(&vec![7; 100_000]).await.unwrap();
        far.shutdown().await.unwrap();
    };
    let mut bytes = Vec::new();
    let _ = tokio::join!(sending, wire.read_to_end(&mut bytes));
    let (mut rest, mut count) = (&bytes[..], 0);
    while let Some((header, others)) = rest.split_first_chunk::<5>() {
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        // A tag and what else the cipher adds come on top.
        assert!(length <= 8192 + 256, "{length}");
        rest = &others[length..];
        count += 1;
    }
    assert!(count >= 100_000 / 8192, "{count}");
}
