//! A steady-state transaction allocates nothing.
//!
//! The allocator counts for the whole process, and its other threads work now and then (the monitor, the janitor).
//! So many short stretches are measured: if transactions allocated, every one of them would show it. All
//! sockets here are blocking ones of threads that allocate nothing themselves.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]
#![allow(dead_code, unreachable_pub, reason = "the scripted tests use all of the frames")]

#[path = "support/frames.rs"]
mod frames;

use std::alloc::System;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use pglagoon::cluster::NodeId;
use pglagoon::config::{
    Config, Database, Host, ListenAddress, NodeUrl, Overrides, ServerTlsMode, User, UserSecret,
    Workers,
};
use pglagoon::proxy::Proxy;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use frames::{
    Frame, V3_0, bind_complete, bind_values, complete, execute, one_row, parse, parse_complete,
    query, row, run_unnamed, startup, sync,
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Transactions that are measured together.
const STRETCH: usize = 20;

/// How many stretches are measured.
const STRETCHES: usize = 100;

/// One kind of transaction.
struct Kind {
    name: &'static str,
    sent: Vec<u8>,
    answer: Vec<u8>,
}

fn kind(name: &'static str, sent: &[Frame], answer: &[Frame]) -> Kind {
    Kind { name, sent: frames::bytes(sent), answer: frames::bytes(answer) }
}

#[test]
fn a_steady_state_transaction_allocates_nothing() {
    let primary = fake_node("primary", "f");
    let replica = fake_node("replica", "t");
    let (address_sender, addresses) = channel();
    thread::spawn(move || pool(primary, replica, &address_sender));
    let mut client = log_in(addresses.recv().unwrap());
    let run = [bind_values("", "s", &["1"]), execute(""), sync()];
    let ran = |node| [bind_complete(), row(node), complete("SELECT 1"), frames::idle()];
    let ran_unnamed = |node| [&[parse_complete()], &ran(node)[..]].concat();
    let write = "update t set a = 1";
    // One named statement for each route.
    for (name, sql) in [("s", "select $1"), ("w", "update t set a = $1")] {
        let prepared = kind("", &[parse(name, sql), sync()], &[parse_complete(), frames::idle()]);
        transact(&mut client, &prepared, &mut Vec::new());
    }
    let run_write = [bind_values("", "w", &["1"]), execute(""), sync()];
    for kind in [
        kind("simple, replica", &[query("select 1")], &one_row("replica")),
        kind("unnamed, replica", &run_unnamed("select 1"), &ran_unnamed("replica")),
        kind("prepared, replica", &run, &ran("replica")),
        kind("simple, primary", &[query(write)], &one_row("primary")),
        kind("unnamed, primary", &run_unnamed(write), &ran_unnamed("primary")),
        kind("prepared, primary", &run_write, &ran("primary")),
    ] {
        measure(&mut client, &kind);
    }
}

fn measure(client: &mut TcpStream, kind: &Kind) {
    let mut buffer = Vec::with_capacity(4096);
    for _ in 0..1000 {
        transact(client, kind, &mut buffer);
    }
    let mut counts = [0; STRETCHES];
    for count in &mut counts {
        let before = ALLOCATOR.stats();
        for _ in 0..STRETCH {
            transact(client, kind, &mut buffer);
        }
        let after = ALLOCATOR.stats();
        *count =
            after.allocations - before.allocations + after.reallocations - before.reallocations;
    }
    counts.sort_unstable();
    let name = kind.name;
    assert_eq!(counts[0], 0, "{name}: {STRETCH} transactions allocate {counts:?} times");
}

/// Sends a transaction and reads its answer, which must be this one.
fn transact(client: &mut TcpStream, kind: &Kind, buffer: &mut Vec<u8>) {
    client.write_all(&kind.sent).unwrap();
    buffer.resize(kind.answer.len(), 0);
    client.read_exact(buffer).unwrap();
    assert!(*buffer == kind.answer, "{}: {}", kind.name, buffer.escape_ascii());
}

fn log_in(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_nodelay(true).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    client.write_all(&startup(V3_0, &[("user", "app"), ("database", "app")])).unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"Z\0\0\0\x05I") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        seen.extend(byte);
    }
    client
}

/// The pooler's control thread.
fn pool(primary: u16, replica: u16, started: &std::sync::mpsc::Sender<SocketAddr>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut config = Config::default();
        config.listen.address = vec![ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))];
        config.listen.workers = Workers::Count(NonZeroUsize::MIN);
        config.http.address = None;
        config.tls_server.mode = ServerTlsMode::Disable;
        config.routing.max_lag = Duration::from_mins(1);
        // A write is seen by the replica only after the next polls: reads do not wait for those here.
        config.routing.poll_interval = Duration::from_millis(50);
        let database = Database {
            primary: node(primary),
            replicas: vec![node(replica)],
            overrides: Overrides::default(),
            routing: config.routing.clone(),
            monitor: None,
        };
        let overrides = Overrides::default();
        let routing = pglagoon::config::UserRouting::default();
        let secret = UserSecret::Trust;
        let user = User { secret, server_password: None, overrides, routing };
        config.databases.insert("app".to_owned(), database);
        config.users.insert("app".to_owned(), user);
        let proxy = Proxy::start(config).unwrap();
        let cluster = proxy.directory().databases()[0].1.cluster.clone();
        let replica = cluster.node(NodeId(1)).unwrap();
        while replica.fresh_as_of() == pglagoon::clock::Mono::ZERO {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        started.send(proxy.addresses()[0]).unwrap();
        std::future::pending::<()>().await;
    });
}

fn node(port: u16) -> NodeUrl {
    NodeUrl {
        name: format!("127.0.0.1:{port}"),
        host: Host::Tcp("127.0.0.1".to_owned()),
        port,
        user: None,
        password: None,
        dbname: "app".to_owned(),
        sslmode: None,
        ca_file: None,
        weight: 1,
        zone: None,
    }
}

/// A PostgreSQL with a thread for each connection, which answers every message by its kind, and every query with
/// its own name.
fn fake_node(name: &'static str, in_recovery: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || serve(stream.unwrap(), name, in_recovery));
        }
    });
    port
}

fn serve(mut stream: TcpStream, name: &str, in_recovery: &str) -> Option<()> {
    stream.set_nodelay(true).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut packet = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap() - 4];
    stream.read_exact(&mut packet).ok()?;
    let mut greeting =
        vec![b'R', 0, 0, 0, 8, 0, 0, 0, 0, b'K', 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 1];
    greeting.extend(b"Z\0\0\0\x05I");
    stream.write_all(&greeting).ok()?;
    let position = values(&[in_recovery, "0/3E8", "1"]);
    let identity = values(&[in_recovery, "7", "1"]);
    let queried = frames::bytes(&one_row(name));
    let ran = frames::bytes(&[row(name), complete("SELECT 1")]);
    let mut input = Vec::with_capacity(64 * 1024);
    let mut output = Vec::with_capacity(64 * 1024);
    // Statements of ours begin with a p, as the monitor's do.
    let is_monitor = packet.windows(7).any(|word| word == b"monitor");
    let mut asked = b'?';
    loop {
        let mut frame = [0; 5];
        stream.read_exact(&mut frame).ok()?;
        let len = u32::from_be_bytes([frame[1], frame[2], frame[3], frame[4]]);
        input.resize(usize::try_from(len).unwrap() - 4, 0);
        stream.read_exact(&mut input).ok()?;
        match frame[0] {
            b'Q' => output.extend(&queried),
            b'P' => output.extend(b"1\0\0\0\x04"),
            b'C' => output.extend(b"3\0\0\0\x04"),
            b'B' => {
                // The first letter of the statement's name.
                asked = input[1];
                output.extend(b"2\0\0\0\x04");
            }
            b'E' => match asked {
                b'p' if is_monitor => output.extend(&position),
                b'i' if is_monitor => output.extend(&identity),
                _ => output.extend(&ran),
            },
            b'S' => output.extend(b"Z\0\0\0\x05I"),
            _ => return None,
        }
        if matches!(frame[0], b'Q' | b'S') {
            stream.write_all(&output).ok()?;
            output.clear();
        }
    }
}

/// A row with its CommandComplete, as the monitor gets it.
fn values(values: &[&str]) -> Vec<u8> {
    frames::bytes(&[frames::values(values), complete("SELECT 1")])
}
