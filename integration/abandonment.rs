//! A client may vanish at any byte of what it says, and leaves nothing behind: no server stays busy, no transaction open,
//! no statement half said, and whoever comes next is told what he has asked.

use std::{net::SocketAddr, time::Duration};

use futures_util::{StreamExt as _, stream};
use pglagoon::demo::{Authentication, Cluster};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_postgres::Client;

use crate::{
    differential::frames::{
        Frame, V3_0, bind, bytes, cancel_request, copy_data, copy_done, execute, flush, parse,
        query, run_unnamed, ssl_request, startup, sync,
    },
    fixture::{client, eventually, on_each_version, one, own_cluster, rows},
    pooler::Pooler,
};

on_each_version!(a_client_may_vanish_at_any_byte, a_client_may_vanish_while_it_is_cancelled);

/// How many vanish at a time.
const AT_ONCE: usize = 8;

/// How long the pooler may take to let go of a connection; only a failing test takes as long.
const PATIENCE: Duration = Duration::from_mins(1);

const LOGIN: [(&str, &str); 2] = [("user", "app"), ("database", "app")];

/// How a connection ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The client says that nothing more comes (FIN).
    Fin,
    /// The connection is torn down (RST).
    Reset,
}

/// How far a client gets before it vanishes.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// It has said nothing before.
    Connected,
    /// It has logged in.
    LoggedIn,
}

/// Something that a client says.
#[derive(Debug)]
struct Conversation {
    stage: Stage,
    bytes: Vec<u8>,
}

fn conversations() -> Vec<Conversation> {
    let say = |frames: &[Frame]| Conversation { stage: Stage::LoggedIn, bytes: bytes(frames) };
    let failing = [parse("", "SELECT 1 / 0"), bind("", ""), execute("")];
    let named = [parse("s", "SELECT 5"), flush(), bind("", "s"), execute("")];
    vec![
        say(&[query("SELECT 1"), query("INSERT INTO left_behind VALUES (1)")]),
        say(&[
            &run_unnamed("SELECT 2")[..],
            &failing,
            &run_unnamed("SELECT 3"),
            &run_unnamed("SELECT 4"),
        ]
        .concat()),
        say(&[&named[..], &[sync()]].concat()),
        say(&[query("PREPARE p AS SELECT 6"), query("EXECUTE p"), query("DEALLOCATE p")]),
        say(&[
            query("COPY left_behind FROM STDIN"),
            copy_data("2\n"),
            copy_data("3\n"),
            copy_done(),
        ]),
        say(&[query("COPY (SELECT generate_series(1, 20000)) TO STDOUT"), query("SELECT 7")]),
        say(&[
            query("BEGIN"),
            query("LOCK TABLE left_behind"),
            query("SAVEPOINT a"),
            query("SELECT nothing"),
            query("ROLLBACK"),
        ]),
        say(&[query("BEGIN; SELECT pg_sleep(600)")]),
        Conversation { stage: Stage::Connected, bytes: ssl_request() },
        Conversation { stage: Stage::Connected, bytes: startup(V3_0, &LOGIN) },
        Conversation { stage: Stage::Connected, bytes: cancel_request(1, &[1, 2, 3, 4]) },
    ]
}

/// A client that has logged in, and what it was told.
async fn log_in(address: SocketAddr) -> (TcpStream, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(&startup(V3_0, &LOGIN)).await.unwrap();
    let mut greeting = Vec::new();
    while !greeting.ends_with(b"Z\0\0\0\x05I") {
        let count = timeout(PATIENCE, stream.read_buf(&mut greeting)).await.unwrap().unwrap();
        assert_ne!(count, 0, "refused: {}", greeting.escape_ascii());
    }
    (stream, greeting)
}

/// Connects, says the first `len` bytes of what it has to say, and vanishes.
async fn vanish(address: SocketAddr, conversation: &Conversation, (len, end): (usize, End)) {
    let mut stream = match conversation.stage {
        Stage::Connected => TcpStream::connect(address).await.unwrap(),
        Stage::LoggedIn => log_in(address).await.0,
    };
    stream.set_nodelay(true).unwrap();
    stream.write_all(&conversation.bytes[..len]).await.unwrap();
    match end {
        End::Reset => socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
        End::Fin => {
            stream.shutdown().await.unwrap();
            // The pooler lets go, too. It may do so by RST: not all that was said has been read.
            let mut rest = Vec::new();
            let read = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
            assert!(read.is_ok(), "it holds on to {len} bytes of {conversation:?}");
        }
    }
}

/// A cluster without passwords, and a pooler in front of it whose counters can be seen.
async fn bench(major: u16) -> (Cluster, Pooler) {
    let builder = own_cluster(major).replicas(0).authentication(Authentication::Trust);
    let cluster = builder.start().await.unwrap();
    let keys = [
        ("users.app.password", ""),
        ("users.app.trust", "true"),
        ("admin.admin_users", "[\"app\"]"),
        ("pool.default_pool_size", "3"),
        ("listen.workers", "2"),
    ];
    let pooler = Pooler::start(&cluster, &keys).await;
    let stays = client(&pooler.url()).await;
    stays.batch_execute("CREATE TABLE left_behind (x int)").await.unwrap();
    (cluster, pooler)
}

async fn a_client_may_vanish_at_any_byte(major: u16) {
    let (cluster, pooler) = bench(major).await;
    everywhere(&pooler, &conversations()).await;
    let waiting = [Conversation { stage: Stage::LoggedIn, bytes: query("SELECT 8").bytes() }];
    let holders = hold_all(&pooler).await;
    vanish_everywhere(&pooler, &waiting).await;
    for holder in &holders {
        holder.batch_execute("COMMIT").await.unwrap();
    }
    drop(holders);
    nothing_is_left(&cluster, &pooler).await;
    pooler.check();
}

/// Has clients vanish at every byte, while another asks by turns.
async fn everywhere(pooler: &Pooler, conversations: &[Conversation]) {
    tokio::select! {
        () = vanish_everywhere(pooler, conversations) => {}
        () = ask_on(pooler) => unreachable!(),
    }
}

/// Asks question after question, and gets its own answers.
async fn ask_on(pooler: &Pooler) {
    let next = client(&pooler.url()).await;
    for number in 0_u64.. {
        let answer = one(&next, &format!("SELECT 'question {number}'")).await;
        assert_eq!(answer, format!("question {number}"));
    }
}

/// What a client does that is cancelled while it goes: there are more of them than servers.
const CANCELLED: [&str; 4] = [
    "SELECT pg_sleep(600)",
    "BEGIN; LOCK TABLE left_behind; SELECT pg_sleep(600)",
    "SELECT 1; SELECT pg_sleep(600)",
    "SELECT 2",
];

async fn a_client_may_vanish_while_it_is_cancelled(major: u16) {
    let (cluster, pooler) = bench(major).await;
    let all = (0..400).map(|_| cancel_and_vanish(pooler.address()));
    tokio::select! {
        () = stream::iter(all).for_each_concurrent(AT_ONCE, |one| one) => {}
        () = ask_on(&pooler) => unreachable!(),
    }
    nothing_is_left(&cluster, &pooler).await;
    pooler.check();
}

/// Says something, has it cancelled, and vanishes, the two at once or nearly so.
async fn cancel_and_vanish(address: SocketAddr) {
    let (mut stream, greeting) = log_in(address).await;
    // BackendKeyData stands right before ReadyForQuery.
    let key = greeting.len() - 6 - 8;
    let (process_id, secret) = greeting[key..key + 8].split_at(4);
    let process_id = i32::from_be_bytes(process_id.try_into().unwrap());
    let request = cancel_request(process_id, secret);
    let sql = CANCELLED[rand::random_range(0..CANCELLED.len())];
    stream.write_all(&query(sql).bytes()).await.unwrap();
    pause().await;
    let cancels = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&request).await.unwrap();
        pause().await;
        if rand::random() {
            // It ends when the server can no longer be hit.
            let ended = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
            assert!(ended.is_ok(), "the request for {sql} does not end");
        }
    };
    let vanishes = async {
        pause().await;
        if rand::random() {
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop(stream);
    };
    tokio::join!(cancels, vanishes);
}

/// Up to some milliseconds: what is to meet meets by chance.
async fn pause() {
    tokio::time::sleep(Duration::from_micros(rand::random_range(0..4000))).await;
}

async fn vanish_everywhere(pooler: &Pooler, conversations: &[Conversation]) {
    let address = pooler.address();
    let all = conversations.iter().flat_map(|conversation| {
        let lengths = 0..=conversation.bytes.len();
        lengths.flat_map(move |len| {
            [(len, End::Fin), (len, End::Reset)].map(|way| (conversation, way))
        })
    });
    stream::iter(all)
        .for_each_concurrent(AT_ONCE, |(conversation, way)| vanish(address, conversation, way))
        .await;
}

/// As many clients as there are servers, each in a transaction.
async fn hold_all(pooler: &Pooler) -> Vec<Client> {
    let mut holders = Vec::new();
    for _ in 0..3 {
        let holder = client(&pooler.url()).await;
        holder.batch_execute("BEGIN; SELECT 1").await.unwrap();
        holders.push(holder);
    }
    holders
}

async fn nothing_is_left(cluster: &Cluster, pooler: &Pooler) {
    let watcher = client(&cluster.primary().superuser_url()).await;
    let busy = "SELECT count(*) FROM pg_stat_activity \
                WHERE usename = 'app' AND state IS DISTINCT FROM 'idle'";
    let locks = "SELECT count(*) FROM pg_locks WHERE relation = 'left_behind'::regclass";
    eventually("servers to be idle, and locks to go", async || {
        let none = one(&watcher, busy).await == "0" && one(&watcher, locks).await == "0";
        none.then_some(())
    })
    .await;
    let operator = pooler.operator().await;
    eventually("counters to return to zero", async || {
        let is_at_rest = rows(&operator, "SHOW POOLS").await.iter().all(|row| {
            ["cl_waiting", "sv_active", "sv_being_canceled", "sv_login"]
                .iter()
                .all(|column| row.get(*column) == Some("0"))
        });
        is_at_rest.then_some(())
    })
    .await;
    // All servers can be used at once.
    for holder in hold_all(pooler).await {
        let strange =
            one(&holder, "SELECT count(*) FROM left_behind WHERE x NOT IN (1, 2, 3)").await;
        assert_eq!(strange, "0");
    }
}
