//! Long streams: a result, COPY to the client and COPY from the client.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use pglagoon::protocol::{frame, frontend};

use crate::client::{Client, startup};
use crate::front::{Front, Kind};
use crate::options::Plan;
use crate::process::{resident, used};
use crate::setup::Setup;
use crate::table::{Better, Column, Round, Table};

const KINDS: [Kind; 5] =
    [Kind::Direct, Kind::Floor, Kind::SplitOff, Kind::SplitOn, Kind::PgBouncer];

const fn column(name: &'static str, head: &'static str, digits: usize, better: Better) -> Column {
    Column { name, head, digits, better }
}

const COLUMNS: [Column; 4] = [
    column("rate of the stream", "MiB/s", 0, Better::Higher),
    column("CPU per MiB", "CPU us/MiB", 0, Better::Lower),
    column("CPU of the servers per MiB", "servers us/MiB", 0, Better::Neither),
    column("memory that it took", "grown by KiB", 0, Better::Lower),
];

/// Bytes of a row.
const ROW: usize = 8000;

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Result,
    CopyOut,
    CopyIn,
}

impl Stream {
    const ALL: [Self; 3] = [Self::Result, Self::CopyOut, Self::CopyIn];

    fn statement(self, rows: usize) -> String {
        match self {
            Self::Result => {
                format!("SELECT repeat('x', {ROW}) FROM generate_series(1, {rows})")
            }
            Self::CopyOut => format!(
                "COPY (SELECT repeat('x', {ROW}) FROM generate_series(1, {rows})) TO STDOUT"
            ),
            Self::CopyIn => "COPY bench_bulk FROM STDIN".to_owned(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::CopyOut => "COPY to the client",
            Self::CopyIn => "COPY from the client",
        }
    }
}

/// All three, in turn.
pub(crate) fn measure(setup: &Setup, plan: &Plan) -> Vec<Table> {
    let size = plan.by_length(256, 1024, 1024) << 20_u32;
    let fronts = Front::start_all(setup, &KINDS, &setup.config(20));
    let measure = |stream: Stream| {
        // What is copied in is kept: less of it will do.
        let size = if stream == Stream::CopyIn { size / 4 } else { size };
        let title = format!("{} of {} MiB, one client", stream.name(), size >> 20_u32);
        println!("{title} ...");
        let mut table = Table::new(title, &COLUMNS);
        for _ in 0..plan.rounds {
            for front in &fronts {
                let round = run(front, stream, size).map_err(|error| error.to_string());
                table.add(front.kind, round.and_then(|round| round));
            }
        }
        table
    };
    Stream::ALL.into_iter().map(measure).collect()
}

fn run(front: &Front, stream: Stream, size: usize) -> Result<Round, Box<dyn Error>> {
    if stream == Stream::CopyIn {
        let text = "DROP TABLE IF EXISTS bench_bulk; CREATE UNLOGGED TABLE bench_bulk (x text)";
        Client::log_in(front.address())?.query(text)?;
    }
    let mut client = TcpStream::connect(front.address())?;
    let mut skim = Skim::default();
    client.write_all(&startup())?;
    while !skim.read(&mut client)? {}
    let servers = || front.config.nodes.pids.iter().map(|&pid| used(pid).total).sum::<f64>();
    let pooler = || front.pid().map_or(0.0, |pid| used(pid).total);
    let memory = || front.pid().and_then(resident).unwrap_or_default();
    let (servers_before, pooler_before, memory_before) = (servers(), pooler(), memory());
    let started = Instant::now();
    let mut sent = Vec::new();
    frontend::query(&mut sent, stream.statement(size / ROW).as_bytes());
    client.write_all(&sent)?;
    if stream == Stream::CopyIn {
        copy_in(&mut client, size / ROW)?;
    }
    while !skim.read(&mut client)? {}
    let seconds = started.elapsed().as_secs_f64();
    let mib = (size >> 20_u32) as f64;
    let has_pooler = |figure: f64| front.pid().map(|_| figure);
    Ok(Ok(vec![
        Some(mib / seconds),
        has_pooler((pooler() - pooler_before) / mib),
        Some((servers() - servers_before) / mib),
        has_pooler((memory() - memory_before).max(0.0) / 1024.0),
    ]))
}

/// The rows, a few of them in each message, as libpq's clients send them.
fn copy_in(client: &mut TcpStream, rows: usize) -> std::io::Result<()> {
    const AT_ONCE: usize = 8;

    let mut message = Vec::new();
    frame::write(&mut message, b'd', |body| {
        for _ in 0..AT_ONCE {
            body.extend_from_slice(&[b'x'; ROW]);
            body.push(b'\n');
        }
    });
    for _ in 0..rows / AT_ONCE {
        client.write_all(&message)?;
    }
    let mut end = Vec::new();
    frame::write(&mut end, b'c', |_| ());
    client.write_all(&end)
}

/// Looks for ReadyForQuery in a stream of which nothing else is of interest.
#[derive(Debug, Default)]
struct Skim {
    input: Vec<u8>,
    /// Bytes of the present message that have not come.
    left: usize,
    room: Vec<u8>,
}

impl Skim {
    /// Reads once; whether that ended with ReadyForQuery.
    fn read(&mut self, client: &mut TcpStream) -> Result<bool, Box<dyn Error>> {
        self.room.resize(256 * 1024, 0);
        let count = client.read(&mut self.room)?;
        let mut bytes = self.room.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            return Err("the connection was closed".into());
        }
        while !bytes.is_empty() {
            let skipped = self.left.min(bytes.len());
            self.left -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            // A header may come in parts.
            let wanted = (frame::HEADER_LEN - self.input.len()).min(bytes.len());
            let (head, rest) = bytes.split_at_checked(wanted).unwrap_or_default();
            self.input.extend_from_slice(head);
            bytes = rest;
            let Some(header) = frame::header(&self.input)? else { continue };
            self.input.clear();
            match header.tag {
                b'E' => return Err(String::from_utf8_lossy(bytes).replace('\0', " ").into()),
                b'Z' => return Ok(true),
                _ => self.left = header.size - frame::HEADER_LEN,
            }
        }
        Ok(false)
    }
}
