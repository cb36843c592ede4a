//! The steps of the hot path, one by one, without sockets.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use criterion::{BatchSize, Criterion, Throughput};
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

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    frames(&mut criterion);
    machine(&mut criterion);
    classification(&mut criterion);
    pool(&mut criterion);
    log_in(&mut criterion);
    criterion.final_summary();
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

fn frames(criterion: &mut Criterion) {
    let bytes = reply(&[], 1000);
    let mut group = criterion.benchmark_group("frames");
    group.throughput(Throughput::Elements(1003));
    group.bench_function("scan", |bencher| {
        bencher.iter(|| {
            let mut rest = black_box(&bytes[..]);
            let mut count = 0;
            while let Ok(Some(header)) = frame::header(rest) {
                rest = rest.get(header.size..).unwrap_or_default();
                count += 1;
            }
            count
        });
    });
    group.finish();
}

fn machine(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("machine");
    let simple = reply(&[], 1);
    let extended = reply(b"12", 1);
    let mut rehearsal = Rehearsal::default();
    assert!(rehearsal.simple(&simple) && rehearsal.extended(&extended), "these are legal");
    group.bench_function("simple", |bencher| {
        bencher.iter(|| rehearsal.simple(black_box(&simple)));
    });
    group.bench_function("extended", |bencher| {
        bencher.iter(|| rehearsal.extended(black_box(&extended)));
    });
    group.finish();
}

fn classification(criterion: &mut Criterion) {
    let catalog = LiveCatalog::default();
    let mut classifier = Classifier::new(4096);
    let mut group = criterion.benchmark_group("classify");
    group.bench_function("same text", |bencher| {
        let text = format!("{SELECT}1");
        bencher.iter(|| classifier.classify(black_box(text.as_bytes()), &catalog));
    });
    group.bench_function("new literal", |bencher| {
        let texts: Vec<String> = (0..TEXTS).map(|aid| format!("{SELECT}{aid}")).collect();
        let mut next = texts.iter().cycle();
        bencher.iter(|| {
            let text = next.next().map(String::as_bytes).unwrap_or_default();
            classifier.classify(black_box(text), &catalog)
        });
    });
    group.bench_function("new statement", |bencher| {
        let (mut number, mut text) = (0_u64, String::new());
        bencher.iter(|| {
            number += 1;
            text.clear();
            let _ = write!(text, "SELECT a{number} FROM t WHERE id = 1");
            classifier.classify(black_box(text.as_bytes()), &catalog)
        });
    });
    group.finish();
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

fn pool(criterion: &mut Criterion) {
    let now = Mono(2);
    let pool = Pool::new(Limits::default(), Vec::new(), Box::new(AtOnce));
    if let Ok(Checkout::Wait(ticket)) = pool.checkout(WorkerId(0), now) {
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(Ok(lease)) = Pin::new(&mut { ticket }).poll(&mut cx) {
            lease.put_back(now);
        }
    }
    criterion.bench_function("pool/checkout and put back", |bencher| {
        bencher.iter(|| match pool.checkout(WorkerId(0), now) {
            Ok(Checkout::Ready(lease)) => lease.put_back(now),
            other => drop(black_box(other)),
        });
    });
}

/// A whole SCRAM log-in, our server against our client: what either side pays without deriving keys anew.
fn log_in(criterion: &mut Criterion) {
    let (password, salt, iterations) = (b"secret", b"0123456789abcdef", 4096);
    let verifier = Arc::new(Verifier::with_salt(password, salt, iterations));
    let keys = Keys::derive(password, salt, iterations);
    let prepare = || {
        let client = ClientOpening::new(Mechanism::Plain, Binding::Unavailable);
        let server = Opening::new(Arc::clone(&verifier), Binding::Unavailable);
        (client, server)
    };
    criterion.bench_function("scram/log-in, both sides", |bencher| {
        bencher.iter_batched(
            prepare,
            |(client, server)| {
                let (server, question) = server.first(Mechanism::Plain, &client.message()).ok()?;
                let (client, answer) = client.first(&question).ok()?.prove(&keys);
                client.last(&server.last(&answer).ok()?.message).ok()
            },
            BatchSize::SmallInput,
        );
    });
}
