//! A load of our own, on one thread: for more clients than pgbench can poll, for transactions that come when they come,
//! and for clients that cost less than pgbench's.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::try_join_all;
use pglagoon::protocol::frame;
use pglagoon::protocol::frontend::{self, Object};
use rand::RngExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::PATIENCE;
use crate::client::startup;
use crate::process::now;
use crate::run::Transaction;

/// Bytes that a client reads at once.
const INPUT: usize = 16 * 1024;

/// Clients that log in at the same time.
const AT_ONCE: usize = 64;

/// Clients that ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) clients: usize,
    pub(crate) pace: Pace,
    pub(crate) statement: Statement,
    /// Transactions that a client sends in one packet.
    pub(crate) pipelined: usize,
    pub(crate) length: Duration,
}

/// When a client asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// When it has its answer.
    Closed,
    /// By chance, so many times a second all together: as clients do who do not know of each other. One that is late
    /// asks at once, and counts from when it should have.
    Open(f64),
}

/// What they ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    /// What `pgbench -S` does, by the simple protocol.
    NewLiteral,
    /// The same with Parse and without a literal, by the extended protocol.
    Parsed,
    /// The same without Parse.
    Prepared,
    /// One of so many, each with a text of its own.
    OneOf(u32),
    /// What nobody has ever sent.
    New,
    /// The same, by the extended protocol.
    NewParsed,
}

impl Load {
    /// Logs everybody in, lets them ask, and waits for the last answer.
    pub(crate) fn run(self, address: SocketAddr) -> io::Result<Vec<Transaction>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, self.run_all(address))
    }

    async fn run_all(self, address: SocketAddr) -> io::Result<Vec<Transaction>> {
        let mut streams = Vec::with_capacity(self.clients);
        while streams.len() < self.clients {
            let more = AT_ONCE.min(self.clients - streams.len());
            streams.extend(try_join_all((0..more).map(|_| log_in(address, self.statement))).await?);
        }
        let done = Rc::new(RefCell::new(Vec::new()));
        let end = Instant::now() + self.length;
        let clients: Vec<_> = streams
            .into_iter()
            .map(|stream| {
                let client = Client {
                    stream,
                    input: Vec::with_capacity(INPUT),
                    sent: Vec::new(),
                    done: Rc::clone(&done),
                };
                tokio::task::spawn_local(client.ask_until(self, end))
            })
            .collect();
        for client in clients {
            timeout(self.length + PATIENCE, client).await???;
        }
        Ok(done.take())
    }
}

async fn log_in(address: SocketAddr, statement: Statement) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&startup()).await?;
    let mut input = Vec::new();
    await_ready(&mut stream, &mut input, 1).await?;
    if statement == Statement::Prepared {
        let mut sent = Vec::new();
        frontend::parse(&mut sent, NAME, PARSED, &[0, 0]);
        frontend::sync(&mut sent);
        stream.write_all(&sent).await?;
        await_ready(&mut stream, &mut input, 1).await?;
    }
    Ok(stream)
}

/// One client.
#[derive(Debug)]
struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    sent: Vec<u8>,
    /// Everybody's transactions.
    done: Rc<RefCell<Vec<Transaction>>>,
}

impl Client {
    async fn ask_until(mut self, load: Load, end: Instant) -> io::Result<()> {
        // Not all at once.
        let mut due = Instant::now();
        loop {
            if let Pace::Open(rate) = load.pace {
                due += pause(load.clients as f64 / rate);
                sleep_until(due.min(end)).await;
            }
            let at = Instant::now();
            if at >= end {
                return Ok(());
            }
            let late = match load.pace {
                Pace::Closed => Duration::ZERO,
                Pace::Open(_) => at.saturating_duration_since(due),
            };
            let begun = now().saturating_sub(u64::try_from(late.as_micros()).unwrap_or_default());
            self.write(load);
            self.stream.write_all(&self.sent).await?;
            await_ready(&mut self.stream, &mut self.input, load.pipelined).await?;
            let ended = now();
            let all = std::iter::repeat_n(Transaction { begun, ended }, load.pipelined);
            self.done.borrow_mut().extend(all);
        }
    }

    /// Packets of many statements that are known are sent again as they are: who sends them is not to be measured.
    fn write(&mut self, load: Load) {
        let is_known = !matches!(load.statement, Statement::New | Statement::NewParsed);
        if self.sent.is_empty() || load.pipelined == 1 || !is_known {
            self.sent.clear();
            (0..load.pipelined).for_each(|_| write(&mut self.sent, load.statement));
        }
    }
}

/// The time to the next of events that come by chance.
fn pause(mean: f64) -> Duration {
    let chance: f64 = rand::rng().random();
    Duration::from_secs_f64(-mean * (1.0 - chance).ln())
}

const PARSED: &[u8] = b"SELECT abalance FROM pgbench_accounts WHERE aid = $1";

/// The name of the same when it is prepared.
const NAME: &[u8] = b"P0_1";

fn write(out: &mut Vec<u8>, statement: Statement) {
    let number: u32 = rand::rng().random_range(1..=200_000);
    let new = || -> u64 { rand::rng().random() };
    let text = match statement {
        Statement::NewLiteral => {
            format!("SELECT abalance FROM pgbench_accounts WHERE aid = {number};")
        }
        Statement::OneOf(count) => {
            format!("SELECT abalance AS a{} FROM pgbench_accounts WHERE aid = 1;", number % count)
        }
        Statement::New | Statement::NewParsed => {
            format!("SELECT abalance AS a{:x} FROM pgbench_accounts WHERE aid = 1;", new())
        }
        Statement::Parsed | Statement::Prepared => number.to_string(),
    };
    match statement {
        Statement::NewLiteral | Statement::OneOf(_) | Statement::New => {
            frontend::query(out, text.as_bytes());
        }
        Statement::NewParsed => {
            frontend::parse(out, b"", text.as_bytes(), &[0, 0]);
            run_statement(out, b"", None);
        }
        Statement::Parsed => {
            frontend::parse(out, b"", PARSED, &[0, 0]);
            run_statement(out, b"", Some(&text));
        }
        Statement::Prepared => run_statement(out, NAME, Some(&text)),
    }
}

/// Bind, Describe, Execute and Sync.
fn run_statement(out: &mut Vec<u8>, name: &[u8], value: Option<&str>) {
    // No formats; values and their lengths; no formats of results.
    let mut values = vec![0, 0, 0, u8::from(value.is_some())];
    if let Some(value) = value {
        values.extend_from_slice(&u32::try_from(value.len()).unwrap_or_default().to_be_bytes());
        values.extend_from_slice(value.as_bytes());
    }
    values.extend_from_slice(&[0, 0]);
    frontend::bind(out, b"", name, &values);
    frontend::describe(out, Object::Portal, b"");
    frontend::execute(out, b"", 0);
    frontend::sync(out);
}

/// Reads so many ReadyForQuery and what comes before them.
async fn await_ready(stream: &mut TcpStream, input: &mut Vec<u8>, count: usize) -> io::Result<()> {
    let mut left = count;
    loop {
        let mut rest = &input[..];
        while let Some(header) = frame::header(rest).map_err(io::Error::other)? {
            let Some((whole, after)) = rest.split_at_checked(header.size) else { break };
            match header.tag {
                b'Z' => left = left.saturating_sub(1),
                b'E' => {
                    let text = String::from_utf8_lossy(whole).replace('\0', " ");
                    return Err(io::Error::other(text));
                }
                _ => {}
            }
            rest = after;
        }
        let taken = input.len() - rest.len();
        input.drain(..taken);
        if left == 0 {
            return Ok(());
        }
        if stream.read_buf(input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
