use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use proptest::prelude::*;

use super::{message::*, *};

fn verifier(password: &str) -> Arc<Verifier> {
    Arc::new(Verifier::with_salt(password.as_bytes(), b"0123456789abcdef", 16))
}

fn end_point() -> Binding {
    Binding::EndPoint(Arc::from(&b"hash of a certificate"[..]))
}

/// The example of RFC 7677, section 3.
#[test]
fn server_follows_the_example_of_rfc_7677() {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let verifier = Arc::new(Verifier::with_salt(b"pencil", &salt, 4096));
    let opening = Opening::new(verifier, Binding::Unavailable);
    let first = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    let nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let (challenge, reply) = opening.first_with_nonce(Mechanism::Plain, first, nonce).unwrap();
    let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let expected = format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    assert_eq!(reply, expected.as_bytes());
    let last = format!("c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    let success = challenge.last(last.as_bytes()).unwrap();
    assert_eq!(success.message, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    assert!(success.client_key.matches(&Keys::derive(b"pencil", &salt, 4096).client));
}

/// An exchange of psql with PostgreSQL (it leaves the user empty), as recorded in postgres-protocol.
#[test]
fn client_follows_a_recorded_exchange() {
    let nonce = "9IZ2O01zb9IgiIZ1WJ/zgpJB".to_owned();
    let opening = ClientOpening::with_nonce(Mechanism::Plain, Binding::Unavailable, nonce);
    assert_eq!(opening.message(), b"n,,n=,r=9IZ2O01zb9IgiIZ1WJ/zgpJB");
    let first = b"r=9IZ2O01zb9IgiIZ1WJ/zgpJBjx/oIRLs02gGSHcw1KEty3eY,s=fs3IXBy7U7+IvVjZ,i=4096";
    let challenge = opening.first(first).unwrap();
    let keys = Keys::derive(b"foobar", challenge.salt(), challenge.iterations());
    let (verify, message) = challenge.prove(&keys);
    let expected = "c=biws,r=9IZ2O01zb9IgiIZ1WJ/zgpJBjx/oIRLs02gGSHcw1KEty3eY,\
                    p=AmNKosjJzS31NTlQYNs5BTeQjdHdk7lOflDo5re2an8=";
    assert_eq!(message, expected.as_bytes());
    verify.clone().last(b"v=U+ppxD5XUKtradnv8e2MkeupiA8FU87Sg8CXzXHDAzw=").unwrap();
    let forged = verify.last(b"v=AAAAxD5XUKtradnv8e2MkeupiA8FU87Sg8CXzXHDAzw=");
    assert_eq!(forged, Err(ScramError::WrongServerSignature));
}

/// Plays postgres-protocol's client against our server.
fn play(
    password: &str,
    verifier: Arc<Verifier>,
    ours: Binding,
    mechanism: Mechanism,
    theirs: ChannelBinding,
) -> Result<ClientKey, ScramError> {
    let mut client = ScramSha256::new(password.as_bytes(), theirs);
    let opening = Opening::new(verifier, ours);
    let (challenge, reply) = opening.first(mechanism, client.message())?;
    client.update(&reply).unwrap();
    let success = challenge.last(client.message())?;
    client.finish(&success.message).unwrap();
    Ok(success.client_key)
}

#[test]
fn another_client_is_understood_with_and_without_binding() {
    let plain = [ChannelBinding::unsupported(), ChannelBinding::unrequested()];
    for theirs in plain {
        play("secret", verifier("secret"), Binding::Unavailable, Mechanism::Plain, theirs).unwrap();
    }
    let theirs = ChannelBinding::tls_server_end_point(b"hash of a certificate".to_vec());
    play("secret", verifier("secret"), end_point(), Mechanism::Plus, theirs).unwrap();
    let without = ChannelBinding::unsupported();
    play("secret", verifier("secret"), end_point(), Mechanism::Plain, without).unwrap();
}

#[test]
fn a_client_bound_to_another_channel_is_refused() {
    let theirs = ChannelBinding::tls_server_end_point(b"the one in the middle".to_vec());
    let played = play("secret", verifier("secret"), end_point(), Mechanism::Plus, theirs);
    assert_eq!(played.unwrap_err(), ScramError::BindingMismatch);
}

#[test]
fn a_client_that_was_told_we_cannot_bind_is_refused() {
    let theirs = ChannelBinding::unrequested();
    let played = play("secret", verifier("secret"), end_point(), Mechanism::Plain, theirs);
    assert_eq!(played.unwrap_err(), ScramError::BindingNegotiation);
}

#[test]
fn mechanism_and_binding_must_agree() {
    let cases = [
        (Mechanism::Plus, end_point(), "n,,n=,r=x"),
        (Mechanism::Plus, end_point(), "y,,n=,r=x"),
        (Mechanism::Plain, end_point(), "p=tls-server-end-point,,n=,r=x"),
        (Mechanism::Plain, Binding::Unavailable, "p=tls-server-end-point,,n=,r=x"),
        (Mechanism::Plus, Binding::Unavailable, "p=tls-server-end-point,,n=,r=x"),
    ];
    for (mechanism, binding, first) in cases {
        let opening = Opening::new(verifier("secret"), binding);
        assert!(opening.first(mechanism, first.as_bytes()).is_err(), "{mechanism:?} {first}");
    }
}

#[test]
fn a_wrong_password_is_wrong() {
    let theirs = ChannelBinding::unsupported();
    let wrong = verifier("Secret");
    let played = play("secret", wrong, Binding::Unavailable, Mechanism::Plain, theirs);
    assert_eq!(played.unwrap_err(), ScramError::WrongPassword);
}

#[test]
fn the_mock_verifier_is_stable_and_looks_like_a_real_one() {
    let real = Verifier::derive(b"secret");
    let mock = Verifier::mock(&[7; 32], b"nobody");
    assert_eq!(mock.to_string().len(), real.to_string().len());
    assert_eq!(mock.to_string(), Verifier::mock(&[7; 32], b"nobody").to_string());
    assert_ne!(mock.to_string(), Verifier::mock(&[7; 32], b"somebody").to_string());
    assert_ne!(mock.to_string(), Verifier::mock(&[8; 32], b"nobody").to_string());
}

#[test]
fn passwords_are_prepared_as_postgres_does() {
    let keys = |password: &[u8]| Keys::derive(password, b"salt", 1).client;
    // RFC 4013, section 3: a soft hyphen vanishes, a feminine ordinal becomes an "a".
    assert!(keys("I\u{ad}X".as_bytes()).matches(&keys(b"IX")));
    assert!(keys("\u{aa}".as_bytes()).matches(&keys(b"a")));
    // Prohibited, vanishing and invalid ones are taken as they are.
    for raw in [&b"\x07"[..], "\u{ad}".as_bytes(), b"\xff\xfe", "\u{627}1".as_bytes()] {
        let verifier = Verifier::with_salt(raw, b"salt", 1);
        assert!(verifier.accepts(raw));
        let theirs = ChannelBinding::unsupported();
        let client = ScramSha256::new(raw, theirs);
        assert!(!client.message().is_empty());
    }
    assert!(!keys("\u{ad}".as_bytes()).matches(&keys(b"")));
}

#[test]
fn stored_forms_are_read_exactly() {
    let text = Verifier::with_salt(b"secret", b"salt", 4096).to_string();
    assert!(Verifier::parse(&text).unwrap().accepts(b"secret"));
    let broken = [
        text.replace("4096", "0"),
        text.replace("4096", "+4096"),
        text.replace("4096", "04096"),
        text.replace("4096", "99999999999"),
        text.replace("c2FsdA==", ""),
        text.replace("c2FsdA==", "c2FsdA"),
        text.replace("SHA-256", "SHA-1"),
        format!("{text}A"),
        format!(" {text}"),
    ];
    for text in broken {
        assert!(Verifier::parse(&text).is_none(), "{text}");
    }
}

#[test]
fn client_first_messages_that_break_the_grammar() {
    let table = [
        ("n,a=bob,n=,r=x", ScramError::AuthorizationIdentity),
        ("n,,m=x,n=,r=x", ScramError::Extension),
        ("", malformed("no header")),
        ("n", malformed("no header")),
        ("n,", malformed("no header")),
        ("z,,n=,r=x", malformed("unexpected channel-binding flag")),
        ("p=tls-unique,,n=,r=x", malformed("unexpected channel-binding flag")),
        ("n,x,n=,r=x", malformed("unexpected attribute in the header")),
        ("n,,r=x", malformed("an attribute is missing or out of order")),
        ("n,,n=", malformed("an attribute is missing or out of order")),
        ("n,,n=,r=", malformed("non-printable characters in nonce")),
        ("n,,n=,r=a b", malformed("non-printable characters in nonce")),
        ("n,,n=,r=x,", malformed("an attribute has no name")),
        ("n,,n=,r=x\0", malformed("a NUL inside")),
    ];
    for (message, error) in table {
        assert_eq!(ClientFirst::parse(message.as_bytes()).unwrap_err(), error, "{message:?}");
    }
    assert_eq!(ClientFirst::parse(b"n,,n=\xff,r=x").unwrap_err(), malformed("not UTF-8"));
    let long = format!("n,,n=,r={}", "x".repeat(MAX_MESSAGE));
    assert_eq!(ClientFirst::parse(long.as_bytes()).unwrap_err(), malformed("too long"));
    assert!(ClientFirst::parse(b"n,,n=bob,r=x,e=ignored").is_ok());
}

#[test]
fn a_last_message_must_repeat_nonce_and_binding() {
    let challenge = || {
        let opening = Opening::new(verifier("secret"), Binding::Unavailable);
        opening.first_with_nonce(Mechanism::Plain, b"n,,n=,r=abc", "def").unwrap().0
    };
    let proof = STANDARD.encode([0; 32]);
    let last = |text: String| challenge().last(text.as_bytes()).unwrap_err();
    assert_eq!(last(format!("c=biws,r=abcdef,p={proof}")), ScramError::WrongPassword);
    assert_eq!(last(format!("c=eSws,r=abcdef,p={proof}")), ScramError::BindingMismatch);
    assert_eq!(last(format!("c=biws,r=abc,p={proof}")), malformed("the nonce does not match"));
    assert_eq!(last("c=biws,r=abcdef".to_owned()), malformed("no proof"));
    let short = "c=biws,r=abcdef,p=AAAA".to_owned();
    assert_eq!(last(short), malformed("the proof is not 32 bytes in base64"));
}

#[test]
fn a_server_cannot_make_us_work_or_reuse_our_nonce() {
    let opening =
        || ClientOpening::with_nonce(Mechanism::Plain, Binding::Unavailable, "abc".to_owned());
    let first = |text: &str| opening().first(text.as_bytes()).unwrap_err();
    assert_eq!(first("r=abcd,s=AAAA,i=100001"), ScramError::TooManyIterations(100_001));
    assert_eq!(first("r=abc,s=AAAA,i=1"), malformed("the nonce does not match"));
    assert_eq!(first("r=xbcd,s=AAAA,i=1"), malformed("the nonce does not match"));
    assert_eq!(first("r=abcd,s=AAAA,i=0"), malformed("invalid iteration count"));
    assert_eq!(first("r=abcd,s=A,i=1"), malformed("invalid salt"));
    assert_eq!(first("m=x,r=abcd,s=AAAA,i=1"), ScramError::Extension);
}

#[test]
fn a_client_key_passes_through_to_a_server_with_the_same_verifier_only() {
    let stored = verifier("secret");
    let theirs = ChannelBinding::unsupported();
    let key = play("secret", stored.clone(), Binding::Unavailable, Mechanism::Plain, theirs);
    let key = key.unwrap();
    let pass = |server: Arc<Verifier>| {
        let opening = ClientOpening::new(Mechanism::Plain, Binding::Unavailable);
        let hello = opening.message();
        let (challenge, first) =
            Opening::new(server, Binding::Unavailable).first(Mechanism::Plain, &hello).unwrap();
        let (verify, proof) = opening.first(&first).unwrap().pass_through(&key, &stored)?;
        verify.last(&challenge.last(&proof)?.message)
    };
    assert_eq!(pass(stored.clone()), Ok(()));
    let other = Arc::new(Verifier::with_salt(b"secret", b"another salt", 16));
    assert_eq!(pass(other), Err(ScramError::ForeignVerifier));
}

proptest! {
    #[test]
    fn no_bytes_of_a_peer_panic(message in prop::collection::vec(any::<u8>(), 0..1100)) {
        let _ = ClientFirst::parse(&message);
        let _ = ClientFinal::parse(&message);
        let _ = ServerFirst::parse(&message);
        let _ = parse_server_final(&message);
    }

    #[test]
    fn no_text_of_a_peer_panics(message in "[nyp]?,?,?[a-z]=[ -~]{0,20},[a-z]=[ -~]{0,20},?p?=?.{0,50}") {
        let _ = ClientFirst::parse(message.as_bytes());
        let _ = ClientFinal::parse(message.as_bytes());
        let _ = ServerFirst::parse(message.as_bytes());
        let _ = parse_server_final(message.as_bytes());
        let _ = Verifier::parse(&format!("SCRAM-SHA-256${message}"));
    }
}
