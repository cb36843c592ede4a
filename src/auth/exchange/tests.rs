use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use proptest::prelude::*;

use super::*;
use crate::protocol::backend::Authentication;

fn start(
    secret: Option<&str>,
    method: AuthMethod,
    transport: Transport,
) -> Result<(Step, Vec<u8>), Denial> {
    let secret = secret.map(|text| Arc::new(Secret::parse(text).unwrap()));
    let subject = Subject { user: "alice", secret: secret.as_ref() };
    let mut out = Vec::new();
    let step = begin(subject, method, transport, &MockKey::random(), &mut out)?;
    Ok((step, out))
}

fn ask(secret: Option<&str>, method: AuthMethod) -> (Exchange, Vec<u8>) {
    match start(secret, method, Transport::Local).unwrap() {
        (Step::Ask(exchange), out) => (exchange, out),
        (Step::Granted(_), _) => panic!("let in without a question"),
    }
}

fn question(frame: &[u8]) -> Authentication<'_> {
    Authentication::read(frontend::body(frame)).unwrap()
}

/// The body of a frame that `write` encodes.
fn encoded(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    frontend::body(&out).to_vec()
}

/// Plays a whole SCRAM log-in and gives how it ended.
fn scram(secret: Option<&str>, password: &str) -> Result<Proof, Denial> {
    let (exchange, out) = ask(secret, AuthMethod::ScramSha256);
    assert_eq!(question(&out), Authentication::Sasl { mechanisms: b"SCRAM-SHA-256\0\0" });
    let mut client = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
    let hello = |out: &mut Vec<u8>| {
        frontend::sasl_initial_response(out, b"SCRAM-SHA-256", client.message());
    };
    let mut out = Vec::new();
    let Step::Ask(exchange) = exchange.respond(&encoded(hello), &mut out)? else {
        panic!("let in after the first message");
    };
    let Authentication::SaslContinue(data) = question(&out) else { panic!("not SASLContinue") };
    client.update(data).unwrap();
    let mut out = Vec::new();
    let Step::Granted(proof) = exchange.respond(client.message(), &mut out)? else {
        panic!("a third question");
    };
    let Authentication::SaslFinal(data) = question(&out) else { panic!("not SASLFinal") };
    client.finish(data).unwrap();
    Ok(proof)
}

#[test]
fn scram_against_a_password_and_against_its_verifier() {
    let verifier = postgres_protocol::password::scram_sha_256(b"secret");
    for stored in ["secret", &verifier] {
        assert!(matches!(scram(Some(stored), "secret"), Ok(Proof::ClientKey(_))), "{stored}");
        assert_eq!(scram(Some(stored), "wrong").unwrap_err(), Denial::WrongPassword, "{stored}");
    }
}

#[test]
fn an_unknown_user_goes_through_the_same_messages_and_fails_the_same_way() {
    let unknown = scram(None, "secret").unwrap_err();
    let known = scram(Some("other"), "secret").unwrap_err();
    assert_eq!(unknown, known);
    assert_eq!(unknown.sqlstate().as_str(), "28P01");
    assert_eq!(unknown.message("alice"), "password authentication failed for user \"alice\"");
}

#[test]
fn md5_and_cleartext() {
    let answer = |password: &[u8], frame: &[u8]| {
        let Authentication::Md5Password { salt } = question(frame) else { panic!("not MD5") };
        let hash = postgres_protocol::authentication::md5_hash(b"alice", password, salt);
        encoded(|out| frontend::password(out, hash.as_bytes()))
    };
    let md5 = postgres_protocol::password::md5(b"secret", "alice");
    for stored in [Some("secret"), Some(md5.as_str()), None] {
        for password in ["secret", "wrong"] {
            let is_right = stored.is_some() && password == "secret";
            let (exchange, out) = ask(stored, AuthMethod::Md5);
            let body = answer(password.as_bytes(), &out);
            let ended = exchange.respond(&body, &mut Vec::new());
            assert_eq!(ended.is_ok(), is_right, "md5 {stored:?} {password}");

            let (exchange, out) = ask(stored, AuthMethod::Password);
            assert_eq!(question(&out), Authentication::CleartextPassword);
            let body = encoded(|out| frontend::password(out, password.as_bytes()));
            let ended = exchange.respond(&body, &mut Vec::new());
            assert_eq!(ended.is_ok(), is_right, "cleartext {stored:?} {password}");
        }
    }
}

#[test]
fn cleartext_is_refused_on_an_open_line() {
    let denied = start(Some("secret"), AuthMethod::Password, Transport::Open).unwrap_err();
    assert_eq!(denied, Denial::ExposedCleartext);
    assert_eq!(denied.sqlstate().as_str(), "28000");
}

#[test]
fn trust_asks_nothing() {
    let secret = Arc::new(Secret::Trust);
    let subject = Subject { user: "alice", secret: Some(&secret) };
    let mut out = Vec::new();
    let key = MockKey::random();
    let step = begin(subject, AuthMethod::ScramSha256, Transport::Local, &key, &mut out);
    assert!(matches!(step, Ok(Step::Granted(Proof::Nothing))));
    assert!(out.is_empty());
}

#[test]
fn binding_is_offered_over_tls() {
    let binding = Binding::EndPoint(Arc::from(&b"hash"[..]));
    let (_, out) = start(Some("secret"), AuthMethod::ScramSha256, Transport::Tls(binding)).unwrap();
    let mechanisms = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";
    assert_eq!(question(&out), Authentication::Sasl { mechanisms });
}

#[test]
fn an_unknown_mechanism_is_refused() {
    let (exchange, _) = ask(Some("secret"), AuthMethod::ScramSha256);
    let body = encoded(|out| frontend::sasl_initial_response(out, b"SCRAM-SHA-1", b"n,,n=,r=x"));
    let denied = exchange.respond(&body, &mut Vec::new()).unwrap_err();
    assert_eq!(denied, Denial::UnknownMechanism);
    assert_eq!(denied.sqlstate().as_str(), "08P01");
}

proptest! {
    #[test]
    fn no_answer_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for method in [AuthMethod::Password, AuthMethod::Md5, AuthMethod::ScramSha256] {
            let (exchange, _) = ask(None, method);
            prop_assert!(exchange.respond(&body, &mut Vec::new()).is_err());
        }
    }
}
