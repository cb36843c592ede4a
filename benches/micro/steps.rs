//! The steps of the hot path, one by one, without sockets.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use pglagoon::auth::scram::{Binding, ClientOpening, Keys, Mechanism, Opening, Verifier};
use pglagoon::clock::Mono;
use pglagoon::pool::{Checkout, Connector, Limits, Permit, Pool, Pooled, WorkerId};
use pglagoon::protocol::{TransactionStatus, backend, frame};
use pglagoon::session::Rehearsal;
use pglagoon::sql::{Classifier, LiveCatalog};

/// What `pgbench -S` sends, up to the literal.
const SELECT: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = ";

/// Statements with different literals, so many that no cache of texts holds them.
const TEXTS: u32 = 65_536;

/// Rows of the answer whose frames are counted.
const ROWS: usize = 1000;

/// One step.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    /// Also the key of a count that is kept.
    pub(crate) name: &'static str,
    /// Makes it ready to be run again and again.
    pub(crate) prepare: fn() -> Run,
}

/// Runs a step once.
pub(crate) type Run = Box<dyn FnMut()>;

/// All of them.
pub(crate) const ALL: [Step; 8] = [
    Step { name: "frames/scan of 1003", prepare: frame_scan },
    Step { name: "machine/simple", prepare: simple_query },
    Step { name: "machine/extended", prepare: extended_query },
    Step { name: "classify/same text", prepare: same_text },
    Step { name: "classify/new literal", prepare: new_literal },
    Step { name: "classify/new statement", prepare: new_statement },
    Step { name: "pool/checkout and put back", prepare: checkout },
    Step { name: "scram/log-in, both sides", prepare: scram },
];

/// A step whose outcome the compiler must not find out beforehand.
fn step<T>(mut run: impl FnMut() -> T + 'static) -> Run {
    Box::new(move || drop(black_box(run())))
}

/// The answer to a query of one row, from its first message on.
fn reply(prelude: &[u8], rows: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for &tag in prelude {
        frame::write(&mut out, tag, |_| ());
    }
    frame::write(&mut out, b'T', |body| body.extend_from_slice(&[0; 30]));
    for _ in 0..rows {
        backend::data_row(&mut out, [Some(&b"123456"[..])].into_iter());
    }
    backend::command_complete(&mut out, b"SELECT 1");
    backend::ready_for_query(&mut out, TransactionStatus::Idle);
    out
}

fn frame_scan() -> Run {
    let bytes = reply(&[], ROWS);
    step(move || {
        let mut rest = black_box(&bytes[..]);
        let mut count = 0;
        while let Ok(Some(header)) = frame::header(rest) {
            rest = rest.get(header.size..).unwrap_or_default();
            count += 1;
        }
        count
    })
}

fn simple_query() -> Run {
    let (mut rehearsal, reply) = (Rehearsal::default(), reply(&[], 1));
    assert!(rehearsal.simple(&reply), "this is legal");
    step(move || rehearsal.simple(black_box(&reply)))
}

fn extended_query() -> Run {
    let (mut rehearsal, reply) = (Rehearsal::default(), reply(b"12", 1));
    assert!(rehearsal.extended(&reply), "this is legal");
    step(move || rehearsal.extended(black_box(&reply)))
}

fn classifier() -> (LiveCatalog, Classifier) {
    (LiveCatalog::default(), Classifier::new(4096))
}

fn same_text() -> Run {
    let (catalog, mut classifier) = classifier();
    let text = format!("{SELECT}1");
    step(move || classifier.classify(black_box(text.as_bytes()), &catalog))
}

fn new_literal() -> Run {
    let (catalog, mut classifier) = classifier();
    // Written before it is measured: eight digits, always.
    let texts: Vec<String> =
        (0..TEXTS).map(|aid| format!("{SELECT}{}", aid + 10_000_000)).collect();
    let mut next = 0;
    step(move || {
        next = (next + 1) % texts.len();
        let text = texts.get(next).map(String::as_bytes).unwrap_or_default();
        classifier.classify(black_box(text), &catalog)
    })
}

fn new_statement() -> Run {
    let (catalog, mut classifier) = classifier();
    let (mut number, mut text) = (10_000_000_u64, String::new());
    step(move || {
        number += 1;
        text.clear();
        let _ = write!(text, "SELECT a{number} FROM t WHERE id = 1");
        classifier.classify(black_box(text.as_bytes()), &catalog)
    })
}

/// A connection that is none.
#[derive(Debug)]
struct Conn;

impl Pooled for Conn {
    type Error = io::Error;

    fn home(&self) -> WorkerId {
        WorkerId(0)
    }

    fn retire_at(&self) -> Mono {
        Mono::MAX
    }
}

/// Opens connections at once.
struct AtOnce;

impl Connector<Conn> for AtOnce {
    fn connect(&self, permit: Permit<Conn>) {
        permit.opened(Conn, Mono(1));
    }
}

fn checkout() -> Run {
    let now = Mono(2);
    let pool = Pool::new(Limits::default(), Vec::new(), Box::new(AtOnce));
    if let Ok(Checkout::Wait(ticket)) = pool.checkout(WorkerId(0), now) {
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(Ok(lease)) = Pin::new(&mut { ticket }).poll(&mut cx) {
            lease.put_back(now);
        }
    }
    step(move || match pool.checkout(WorkerId(0), now) {
        Ok(Checkout::Ready(lease)) => lease.put_back(now),
        other => drop(black_box(other)),
    })
}

/// A whole SCRAM log-in, our server against our client: what either side pays without deriving keys anew.
fn scram() -> Run {
    let (password, salt, iterations) = (b"secret", b"0123456789abcdef", 4096);
    let verifier = Arc::new(Verifier::with_salt(password, salt, iterations));
    let keys = Keys::derive(password, salt, iterations);
    step(move || {
        let client = ClientOpening::new(Mechanism::Plain, Binding::Unavailable);
        let server = Opening::new(Arc::clone(&verifier), Binding::Unavailable);
        let (server, question) = server.first(Mechanism::Plain, &client.message()).ok()?;
        let (client, answer) = client.first(&question).ok()?.prove(&keys);
        client.last(&server.last(&answer).ok()?.message).ok()
    })
}
