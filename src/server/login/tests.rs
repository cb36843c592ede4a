use std::{future::Future, path::PathBuf, time::Duration};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::auth::{MockKey, Secret, Step, Subject, Transport, begin};
use crate::config::{AuthMethod, Host, ServerTlsMode};
use crate::net::{
    Socket,
    tls::{Acceptor, Connector, Start},
};
use crate::protocol::{Severity, SqlState, Startup, error_response::Report};
use crate::server::ConnectErrorKind;

/// The server's end of a connection, played by a test.
struct Peer {
    stream: Stream,
    buffer: Vec<u8>,
}

impl Peer {
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().await.unwrap();
        Self::new(stream)
    }

    fn new(stream: TcpStream) -> Self {
        Self { stream: Stream::Plain(Socket::Tcp(stream)), buffer: Vec::new() }
    }

    /// Reads until there are `wanted` bytes and takes them.
    async fn take(&mut self, wanted: usize) -> Vec<u8> {
        while self.buffer.len() < wanted {
            assert_ne!(self.stream.read_some(&mut self.buffer).await.unwrap(), 0, "closed");
        }
        self.buffer.drain(..wanted).collect()
    }

    /// A startup packet's body.
    async fn startup(&mut self) -> Vec<u8> {
        let len = self.take(4).await;
        self.take(u32::from_be_bytes(len.try_into().unwrap()) as usize - 4).await
    }

    /// A message's body.
    async fn message(&mut self) -> Vec<u8> {
        let head = self.take(5).await;
        self.take(u32::from_be_bytes(head[1..].try_into().unwrap()) as usize - 4).await
    }

    async fn say(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        write(&mut out);
        self.stream.write_all(&out).await.unwrap();
    }

    async fn answer_ssl(&mut self, acceptor: Option<&Acceptor>) {
        assert_eq!(Startup::read(&self.startup().await), Ok(Startup::SslRequest));
        let answer = if acceptor.is_some() { b'S' } else { b'N' };
        self.say(|out| out.push(answer)).await;
        let Some(acceptor) = acceptor else { return };
        let blank = Stream::Plain(Socket::Lost);
        let Stream::Plain(socket) = std::mem::replace(&mut self.stream, blank) else { panic!() };
        let tls = acceptor.accept(socket, Start::Negotiated).await.unwrap();
        self.stream = Stream::TlsFromClient(Box::new(tls));
    }

    /// Asks for a password as our own clients are asked, and lets the right one in.
    async fn authenticate(&mut self, stored: &str, method: AuthMethod, binding: Binding) {
        let secret = Arc::new(Secret::parse(stored).unwrap());
        let subject = Subject { user: "alice", secret: Some(&secret) };
        let mut out = Vec::new();
        let transport = Transport::Tls(binding);
        let mut step = begin(subject, method, transport, &MockKey::random(), &mut out).unwrap();
        while let Step::Ask(exchange) = step {
            self.say(|to| to.append(&mut out)).await;
            step = match exchange.respond(&self.message().await, &mut out) {
                Ok(step) => step,
                Err(denial) => {
                    self.refuse(denial.sqlstate(), &denial.message("alice")).await;
                    return;
                }
            };
        }
        self.say(|to| to.append(&mut out)).await;
        self.say(|out| {
            backend::authentication_ok(out);
            greeting(out);
        })
        .await;
    }

    async fn refuse(&mut self, code: SqlState, message: &str) {
        let severity = Severity::Fatal;
        let report = Report { severity, code, message, detail: None, hint: None };
        self.say(|out| report.encode(out)).await;
    }
}

/// Writes what a server says.
type Write = fn(&mut Vec<u8>);

fn greeting(out: &mut Vec<u8>) {
    backend::parameter_status(out, b"server_version", b"15.4");
    backend::parameter_status(out, b"TimeZone", b"UTC");
    backend::backend_key_data(out, 77, &[1, 2, 3, 4]);
    backend::ready_for_query(out, TransactionStatus::Idle);
}

struct Setup {
    listener: TcpListener,
    target: Target,
}

async fn setup(mode: ServerTlsMode, ca_file: Option<PathBuf>) -> Setup {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint {
        host: Host::Tcp("localhost".to_owned()),
        port: listener.local_addr().unwrap().port(),
        tls: Connector::new(mode, ca_file.as_deref()).unwrap(),
        timeout: Duration::from_secs(10),
        keepalive: Duration::from_mins(1),
    };
    let target = Target {
        endpoint: Arc::new(endpoint),
        user: "alice".to_owned(),
        credential: Credential::password("secret"),
        parameters: vec![("database".to_owned(), "app".to_owned())],
        version: Version::V3_0,
    };
    Setup { listener, target }
}

impl Setup {
    /// Logs in to a server that a test plays.
    async fn against<F: Future<Output = ()>>(
        &self,
        play: impl FnOnce(Peer) -> F,
    ) -> Result<Login, ConnectError> {
        let play = async { play(Peer::accept(&self.listener).await).await };
        tokio::join!(connect(&self.target), play).0
    }
}

fn identity() -> (Acceptor, TempDir) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("ca.crt"), certificate.pem()).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    (Acceptor::new(vec![certificate.der().clone()], key).unwrap(), files)
}

fn parameters(login: &Login) -> Vec<(&str, &str)> {
    login.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[tokio::test]
async fn a_trusting_server_lets_us_in_and_its_greeting_is_kept() {
    let setup = setup(ServerTlsMode::Disable, None).await;
    let login = setup.against(async |mut peer| {
        let startup = peer.startup().await;
        let Ok(Startup::StartupMessage { version, parameters }) = Startup::read(&startup) else {
            panic!("no StartupMessage");
        };
        assert_eq!(version, Version::V3_0);
        let sent: Vec<_> = parameters.map(Result::unwrap).collect();
        assert_eq!(sent, [(&b"user"[..], &b"alice"[..]), (b"database", b"app")]);
        peer.say(|out| {
            backend::authentication_ok(out);
            greeting(out);
            // A parameter that changes in the same packet is not left for the first client to see.
            backend::parameter_status(out, b"TimeZone", b"CET");
        })
        .await;
    });
    let login = login.await.unwrap();
    assert_eq!(parameters(&login), [("server_version", "15.4"), ("TimeZone", "CET")]);
    assert_eq!((login.process_id, login.version), (77, Version::V3_0));
    assert!(login.canceler.is_some());
}

#[tokio::test]
async fn every_method_of_a_server_is_answered() {
    let setup = setup(ServerTlsMode::Disable, None).await;
    for method in [AuthMethod::Password, AuthMethod::Md5, AuthMethod::ScramSha256] {
        for (stored, is_right) in [("secret", true), ("other", false)] {
            let login = setup.against(async |mut peer| {
                peer.startup().await;
                peer.authenticate(stored, method, Binding::Unavailable).await;
            });
            let login = login.await;
            assert_eq!(login.is_ok(), is_right, "{method:?} {stored}");
            if let Err(error) = login {
                assert_eq!(error.kind(), ConnectErrorKind::Authentication);
                assert_eq!(error.sqlstate(), Some(SqlState::INVALID_PASSWORD));
            }
        }
    }
}

#[tokio::test]
async fn over_tls_the_login_is_bound_to_the_certificate() {
    let (acceptor, files) = identity();
    let ca_file = files.path().join("ca.crt");
    let setup = setup(ServerTlsMode::VerifyFull, Some(ca_file)).await;
    let play = async |mut peer: Peer, data: Arc<[u8]>| {
        peer.answer_ssl(Some(&acceptor)).await;
        peer.startup().await;
        peer.authenticate("secret", AuthMethod::ScramSha256, Binding::EndPoint(data)).await;
    };
    let data = acceptor.end_point().unwrap().clone();
    let login = setup.against(async |peer| play(peer, data).await).await.unwrap();
    assert!(login.stream.is_encrypted());
    let other = Arc::from(&b"another certificate"[..]);
    let refused = setup.against(async |peer| play(peer, other).await).await.unwrap_err();
    assert!(refused.to_string().contains("channel binding check failed"), "{refused}");
}

#[tokio::test]
async fn a_server_without_tls_is_taken_or_refused_as_the_mode_says() {
    for (mode, is_taken) in [(ServerTlsMode::Prefer, true), (ServerTlsMode::Require, false)] {
        let setup = setup(mode, None).await;
        let login = setup.against(async |mut peer| {
            peer.answer_ssl(None).await;
            if is_taken {
                peer.startup().await;
                peer.authenticate("secret", AuthMethod::Md5, Binding::Unavailable).await;
            }
        });
        match login.await {
            Ok(login) => assert!(is_taken && !login.stream.is_encrypted()),
            Err(error) => assert!(!is_taken && error.kind() == ConnectErrorKind::Tls, "{error}"),
        }
    }
}

#[tokio::test]
async fn the_other_transport_is_tried_when_the_rules_refuse_the_first() {
    let (acceptor, _files) = identity();
    for mode in [ServerTlsMode::Allow, ServerTlsMode::Prefer] {
        let setup = setup(mode, None).await;
        let play = async {
            let mut first = Peer::accept(&setup.listener).await;
            let is_tls_first = mode == ServerTlsMode::Prefer;
            if is_tls_first {
                first.answer_ssl(Some(&acceptor)).await;
            }
            first.startup().await;
            first.refuse(SqlState::INVALID_AUTHORIZATION, "no pg_hba.conf entry").await;
            let mut second = Peer::accept(&setup.listener).await;
            if !is_tls_first {
                second.answer_ssl(Some(&acceptor)).await;
            }
            second.startup().await;
            second.say(backend::authentication_ok).await;
            second.say(greeting).await;
        };
        let (login, ()) = tokio::join!(connect(&setup.target), play);
        let is_encrypted = login.unwrap().stream.is_encrypted();
        assert_eq!(is_encrypted, mode == ServerTlsMode::Allow);
    }
}

#[tokio::test]
async fn a_plain_refusal_is_not_repeated_in_plain() {
    let setup = setup(ServerTlsMode::Prefer, None).await;
    let login = setup.against(async |mut peer| {
        peer.answer_ssl(None).await;
        peer.startup().await;
        peer.refuse(SqlState::INVALID_AUTHORIZATION, "no pg_hba.conf entry").await;
    });
    assert_eq!(login.await.unwrap_err().kind(), ConnectErrorKind::Authentication);
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let setup = setup(ServerTlsMode::Disable, None).await;
    let table = [
        (*b"53300", ConnectErrorKind::TooManyConnections),
        (*b"57P03", ConnectErrorKind::NotReady),
        (*b"28P01", ConnectErrorKind::Authentication),
        (*b"3D000", ConnectErrorKind::Rejected),
    ];
    for (code, kind) in table {
        let login = setup.against(async |mut peer| {
            peer.startup().await;
            peer.refuse(SqlState(code), "go away").await;
        });
        let error = login.await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(error.to_string(), "server refused the connection: go away");
    }
}

#[tokio::test]
async fn protocol_3_2_gives_long_keys_and_older_servers_negotiate_down() {
    let mut setup = setup(ServerTlsMode::Disable, None).await;
    setup.target.version = Version::V3_2;
    for negotiated in [Version::V3_2, Version::V3_0] {
        let login = setup.against(async |mut peer| {
            peer.startup().await;
            peer.say(|out| {
                if negotiated != Version::V3_2 {
                    backend::negotiate_protocol_version(out, negotiated, &[]);
                }
                backend::authentication_ok(out);
                backend::backend_key_data(out, 5, &[9; 32]);
                backend::ready_for_query(out, TransactionStatus::Idle);
            })
            .await;
        });
        let login = login.await.unwrap();
        assert_eq!(login.version, negotiated);
        assert!(login.canceler.is_some());
    }
}

#[tokio::test]
async fn a_server_without_a_key_cannot_be_cancelled_but_used() {
    let setup = setup(ServerTlsMode::Disable, None).await;
    let login = setup.against(async |mut peer| {
        peer.startup().await;
        peer.say(|out| {
            backend::authentication_ok(out);
            backend::ready_for_query(out, TransactionStatus::Idle);
        })
        .await;
    });
    assert!(login.await.unwrap().canceler.is_none());
}

#[tokio::test]
async fn what_has_no_place_in_a_login_is_refused() {
    let setup = setup(ServerTlsMode::Disable, None).await;
    let cases: &[(&str, Write)] = &[
        ("ready before authentication", |out| {
            backend::ready_for_query(out, TransactionStatus::Idle);
        }),
        ("a key before authentication", |out| backend::backend_key_data(out, 1, &[1, 2, 3, 4])),
        ("an oversized message", |out| out.extend_from_slice(b"R\0\x01\0\0....")),
        ("no message at all", |out| out.extend_from_slice(b"HTTP/1.1 400")),
        ("a newer protocol", |out| {
            backend::negotiate_protocol_version(out, Version::V3_2, &[]);
        }),
        ("ready in a transaction", |out| {
            backend::authentication_ok(out);
            backend::ready_for_query(out, TransactionStatus::InTransaction);
        }),
        ("a key that is too short", |out| {
            backend::authentication_ok(out);
            backend::backend_key_data(out, 1, &[1, 2, 3]);
        }),
        ("a row", |out| {
            backend::authentication_ok(out);
            greeting(out);
            backend::command_complete(out, b"SELECT 1");
        }),
    ];
    for &(name, write) in cases {
        let login = setup.against(async |mut peer| {
            peer.startup().await;
            peer.say(write).await;
        });
        assert_eq!(login.await.unwrap_err().kind(), ConnectErrorKind::Protocol, "{name}");
    }
}

#[tokio::test]
async fn a_server_that_vanishes_or_is_not_there() {
    let mut setup = setup(ServerTlsMode::Disable, None).await;
    let vanished = setup.against(async |mut peer| {
        peer.startup().await;
    });
    assert_eq!(vanished.await.unwrap_err().kind(), ConnectErrorKind::Lost);
    setup.listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = connect(&setup.target).await.unwrap_err();
    assert_eq!(refused.kind(), ConnectErrorKind::Refused);
}

#[tokio::test]
async fn a_silent_server_costs_no_more_than_the_timeout() {
    let mut setup = setup(ServerTlsMode::Disable, None).await;
    Arc::make_mut(&mut setup.target.endpoint).timeout = Duration::from_millis(50);
    let login = connect(&setup.target).await;
    assert_eq!(login.unwrap_err().kind(), ConnectErrorKind::Timeout);
}

#[tokio::test]
async fn a_cancel_goes_the_same_way_and_waits_until_the_server_has_closed() {
    let (acceptor, _files) = identity();
    for mode in [ServerTlsMode::Disable, ServerTlsMode::Require] {
        let acceptor = (mode == ServerTlsMode::Require).then_some(&acceptor);
        let setup = setup(mode, None).await;
        let login = setup.against(async |mut peer| {
            if acceptor.is_some() {
                peer.answer_ssl(acceptor).await;
            }
            peer.startup().await;
            peer.say(backend::authentication_ok).await;
            peer.say(greeting).await;
        });
        let canceler = login.await.unwrap().canceler.unwrap();
        let play = async {
            let mut peer = Peer::accept(&setup.listener).await;
            if acceptor.is_some() {
                peer.answer_ssl(acceptor).await;
            }
            let request = peer.startup().await;
            let expected = Startup::CancelRequest { process_id: 77, secret: &[1, 2, 3, 4] };
            assert_eq!(Startup::read(&request), Ok(expected));
            peer
        };
        let cancel = canceler.cancel(Duration::from_secs(10));
        let mut cancel = std::pin::pin!(cancel);
        let peer = tokio::select! {
            _ = &mut cancel => panic!("did not wait for the server"),
            peer = play => peer,
        };
        let early = timeout(Duration::from_millis(20), &mut cancel).await;
        assert!(early.is_err(), "did not wait for the server to close");
        drop(peer);
        cancel.await.unwrap();
    }
}
