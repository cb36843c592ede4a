use super::*;
use crate::auth::{
    exchange::{Exchange, Step, Subject, begin},
    method::Transport,
    verifier::MockKey,
};
use crate::config::AuthMethod;
use crate::protocol::backend;

fn read(frame: &[u8]) -> Authentication<'_> {
    Authentication::read(frontend::body(frame)).unwrap()
}

/// Plays our responder against our own exchange, as between two poolers.
fn play(
    credential: &Credential,
    stored: &str,
    method: AuthMethod,
    binding: &Binding,
) -> Result<(), ResponderError> {
    let secret = Arc::new(Secret::parse(stored).unwrap());
    let subject = Subject { user: "alice", secret: Some(&secret) };
    let mut responder = Responder::new("alice", credential, binding.clone());
    let mut question = Vec::new();
    let transport = Transport::Tls(binding.clone());
    let mut step = begin(subject, method, transport, &MockKey::random(), &mut question).unwrap();
    loop {
        let exchange: Exchange = match step {
            Step::Ask(exchange) => exchange,
            Step::Granted(_) => {
                if !question.is_empty() {
                    responder.on_request(read(&question), &mut Vec::new())?;
                }
                let end = responder.on_request(Authentication::Ok, &mut Vec::new())?;
                assert_eq!(end, Reply::Authenticated);
                return Ok(());
            }
        };
        let mut answer = Vec::new();
        responder.on_request(read(&question), &mut answer)?;
        question.clear();
        step = exchange.respond(frontend::body(&answer), &mut question).unwrap();
    }
}

#[test]
fn a_password_answers_every_method() {
    let credential = Credential::password("secret");
    let bound = Binding::EndPoint(Arc::from(&b"hash"[..]));
    for method in [AuthMethod::Password, AuthMethod::Md5, AuthMethod::ScramSha256] {
        for binding in [&Binding::Unavailable, &bound] {
            play(&credential, "secret", method, binding).unwrap();
        }
    }
}

#[test]
fn an_md5_hash_answers_md5_alone() {
    let hash = postgres_protocol::password::md5(b"secret", "alice");
    let credential = Credential::Md5(Md5Hash::parse(&hash).unwrap());
    let unbound = Binding::Unavailable;
    play(&credential, "secret", AuthMethod::Md5, &unbound).unwrap();
    for method in [AuthMethod::Password, AuthMethod::ScramSha256] {
        let refused = play(&credential, "secret", method, &unbound);
        assert!(matches!(refused, Err(ResponderError::NoCredential(_))), "{method:?}");
    }
}

#[test]
fn what_a_client_proved_logs_in_to_its_servers() {
    let verifier = Verifier::derive(b"secret").to_string();
    let md5 = postgres_protocol::password::md5(b"secret", "alice");
    let scram = AuthMethod::ScramSha256;
    let cases = [
        ("secret", scram, [true, true, true]),
        (&verifier, scram, [false, false, true]),
        (&verifier, AuthMethod::Password, [true, true, true]),
        (&md5, AuthMethod::Md5, [false, true, false]),
    ];
    let asked = [AuthMethod::Password, AuthMethod::Md5, scram];
    for (stored, method, expected) in cases {
        let proof = prove(stored, method);
        let credential = Credential::of_login(&Secret::parse(stored).unwrap(), &proof);
        for (asked, expected) in asked.into_iter().zip(expected) {
            // A server that stores a verifier has the very one that the client was checked against.
            let server = if stored == verifier && asked == scram { stored } else { "secret" };
            let login = play(&credential, server, asked, &Binding::Unavailable);
            assert_eq!(login.is_ok(), expected, "{stored} {method:?} {asked:?} {login:?}");
        }
    }
}

/// What a client that knows the password proves.
fn prove(stored: &str, method: AuthMethod) -> Proof {
    let secret = Arc::new(Secret::parse(stored).unwrap());
    let subject = Subject { user: "alice", secret: Some(&secret) };
    let credential = Credential::password("secret");
    let mut client = Responder::new("alice", &credential, Binding::Unavailable);
    let (mut question, mut answer) = (Vec::new(), Vec::new());
    let key = MockKey::random();
    let mut step = begin(subject, method, Transport::Local, &key, &mut question).unwrap();
    loop {
        match step {
            Step::Granted(proof) => return proof,
            Step::Ask(exchange) => {
                answer.clear();
                client.on_request(read(&question), &mut answer).unwrap();
                question.clear();
                step = exchange.respond(frontend::body(&answer), &mut question).unwrap();
            }
        }
    }
}

#[test]
fn a_server_that_skips_its_own_proof_is_not_believed() {
    let credential = Credential::password("secret");
    let mut responder = Responder::new("alice", &credential, Binding::Unavailable);
    let mut out = Vec::new();
    let names = b"SCRAM-SHA-256\0\0";
    responder.on_request(Authentication::Sasl { mechanisms: names }, &mut out).unwrap();
    let skipped = responder.on_request(Authentication::Ok, &mut out);
    assert_eq!(skipped, Err(ResponderError::OutOfOrder));
    let later = responder.on_request(Authentication::Ok, &mut out);
    assert_eq!(later, Err(ResponderError::OutOfOrder));
}

#[test]
fn a_trusting_server_needs_nothing_and_others_say_what_is_missing() {
    let credential = Credential::password("");
    let fresh = || Responder::new("alice", &credential, Binding::Unavailable);
    let mut out = Vec::new();
    assert_eq!(fresh().on_request(Authentication::Ok, &mut out), Ok(Reply::Authenticated));
    let asked = fresh().on_request(Authentication::CleartextPassword, &mut out);
    assert_eq!(asked, Err(ResponderError::NoCredential("password")));
}

#[test]
fn methods_we_do_not_have_are_named() {
    let credential = Credential::password("secret");
    let fresh = || Responder::new("alice", &credential, Binding::Unavailable);
    let mut out = Vec::new();
    let gss = fresh().on_request(Authentication::Other(7), &mut out).unwrap_err();
    assert_eq!(gss.to_string(), "authentication method 7 is not supported");
    let oauth = Authentication::Sasl { mechanisms: b"OAUTHBEARER\0\0" };
    assert_eq!(fresh().on_request(oauth, &mut out), Err(ResponderError::UnknownMechanism));
}

#[test]
fn an_md5_answer_is_what_the_encoder_frames() {
    let credential = Credential::password("password");
    let mut responder = Responder::new("md5_user", &credential, Binding::Unavailable);
    let (mut asked, mut out) = (Vec::new(), Vec::new());
    backend::authentication_md5(&mut asked, [0x2a, 0x3d, 0x8f, 0xe0]);
    responder.on_request(read(&asked), &mut out).unwrap();
    assert_eq!(frontend::body(&out), b"md562af4dd09bbb41884907a838a3233294\0");
}
