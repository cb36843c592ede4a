//! A server that answers at once: it speaks as much of the protocol as a pooler and its clients need to be kept
//! busy, and reads nothing into what it is asked. What a pooler can do shows best in front of it.

use std::io;
use std::net;
use std::rc::Rc;

use pglagoon::protocol::{TransactionStatus, backend, frame};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

/// Whom it plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The primary.
    Primary,
    /// A replica that has everything.
    Replica,
}

/// The value in each row of a [`Role::Primary`] and of a [`Role::Replica`].
pub(crate) const VALUES: [&str; 2] = ["123456", "654321"];

/// Answers whoever comes, for ever, on this thread.
pub(crate) fn serve(listener: net::TcpListener, role: Role) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, async {
        let (listener, answers) = (TcpListener::from_std(listener)?, Rc::new(Answers::new(role)));
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let answers = Rc::clone(&answers);
            // A client that goes in the midst of something is no concern of the others.
            tokio::task::spawn_local(async move { drop(converse(stream, &answers).await) });
        }
    })
}

/// What is answered with a thousand rows.
pub(crate) const THOUSAND_ROWS: &[u8] = b"SELECT abalance FROM pgbench_accounts LIMIT 1000";

/// What is said, written once.
#[derive(Debug)]
struct Answers {
    greeting: Vec<u8>,
    describes: Vec<u8>,
    row: Vec<u8>,
    thousand_rows: Vec<u8>,
    done: Vec<u8>,
    position: Vec<u8>,
    identity: Vec<u8>,
    parameters: Vec<u8>,
    ready: Vec<u8>,
}

impl Answers {
    fn new(role: Role) -> Self {
        let (in_recovery, value) = match role {
            Role::Primary => ("f", VALUES[0]),
            Role::Replica => ("t", VALUES[1]),
        };
        let mut greeting = Vec::new();
        frame::write(&mut greeting, b'R', |body| body.extend_from_slice(&[0; 4]));
        for (name, value) in [
            ("server_version", "15.0"),
            ("server_encoding", "UTF8"),
            ("client_encoding", "UTF8"),
            ("standard_conforming_strings", "on"),
            ("integer_datetimes", "on"),
            ("DateStyle", "ISO, MDY"),
            ("IntervalStyle", "postgres"),
            ("TimeZone", "Etc/UTC"),
        ] {
            frame::write(&mut greeting, b'S', |body| {
                frame::write_cstr(body, name.as_bytes());
                frame::write_cstr(body, value.as_bytes());
            });
        }
        backend::backend_key_data(&mut greeting, 1, &[0; 4]);
        let ready = made(|out| backend::ready_for_query(out, TransactionStatus::Idle));
        greeting.extend_from_slice(&ready);
        Self {
            greeting,
            describes: made(|out| {
                frame::write(out, b'T', |body| {
                    body.extend_from_slice(&[0, 1]);
                    frame::write_cstr(body, b"abalance");
                    // An int4 of no table.
                    body.extend_from_slice(&[
                        0, 0, 0, 0, 0, 0, 0, 0, 0, 23, 0, 4, 255, 255, 255, 255, 0, 0,
                    ]);
                });
            }),
            row: rows(&[value]),
            thousand_rows: made(|out| {
                (0..1000)
                    .for_each(|_| backend::data_row(out, [Some(value.as_bytes())].into_iter()));
                backend::command_complete(out, b"SELECT 1000");
            }),
            done: made(|out| backend::command_complete(out, b"SET")),
            position: rows(&[in_recovery, "0/3E8", "1"]),
            identity: rows(&[in_recovery, "7", "1"]),
            parameters: made(|out| frame::write(out, b't', |body| body.extend_from_slice(&[0, 0]))),
            ready,
        }
    }
}

fn made(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// One row and its CommandComplete.
fn rows(values: &[&str]) -> Vec<u8> {
    made(|out| {
        backend::data_row(out, values.iter().map(|value| Some(value.as_bytes())));
        backend::command_complete(out, b"SELECT 1");
    })
}

/// What a statement is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A row of pgbench's.
    Row,
    /// A thousand of them, in answer to the Query [`THOUSAND_ROWS`].
    ThousandRows,
    /// No row.
    Command,
    /// Where the monitor finds this server.
    Position,
    /// Who the monitor finds.
    Identity,
}

impl Kind {
    fn of(text: &[u8]) -> Self {
        let contains = |what: &[u8]| text.windows(what.len()).any(|window| window == what);
        if !text.get(..6).is_some_and(|verb| verb.eq_ignore_ascii_case(b"select")) {
            Self::Command
        } else if text.strip_suffix(&[0]) == Some(THOUSAND_ROWS) {
            Self::ThousandRows
        } else if text.len() < 100 {
            Self::Row
        } else if contains(b"pg_control_system") {
            Self::Identity
        } else if contains(b"pg_current_wal_flush_lsn") {
            Self::Position
        } else {
            Self::Row
        }
    }
}

/// One connection's statements that are no plain rows, and what it runs now.
#[derive(Debug)]
struct Conversation<'a> {
    answers: &'a Answers,
    special: Vec<(Vec<u8>, Kind)>,
    bound: Kind,
    output: Vec<u8>,
}

async fn converse(mut stream: TcpStream, answers: &Answers) -> io::Result<()> {
    greet(&mut stream, answers).await?;
    let mut talk =
        Conversation { answers, special: Vec::new(), bound: Kind::Row, output: Vec::new() };
    let mut input = Vec::with_capacity(8192);
    while stream.read_buf(&mut input).await? > 0 {
        let mut rest = &input[..];
        while let Some(header) = frame::header(rest).map_err(io::Error::other)? {
            let Some((whole, after)) = rest.split_at_checked(header.size) else { break };
            if header.tag == b'X' {
                return Ok(());
            }
            talk.answer(header.tag, whole.get(frame::HEADER_LEN..).unwrap_or_default());
            rest = after;
        }
        let taken = input.len() - rest.len();
        input.drain(..taken);
        stream.write_all(&talk.output).await?;
        talk.output.clear();
    }
    Ok(())
}

/// Takes the packets without a tag up to the one that a session begins with; refuses TLS.
async fn greet(stream: &mut TcpStream, answers: &Answers) -> io::Result<()> {
    loop {
        let length = stream.read_u32().await?;
        let mut packet = vec![0; length.saturating_sub(4) as usize];
        stream.read_exact(&mut packet).await?;
        if packet.starts_with(&[0, 3]) {
            return stream.write_all(&answers.greeting).await;
        }
        stream.write_all(b"N").await?;
    }
}

impl Conversation<'_> {
    fn answer(&mut self, tag: u8, body: &[u8]) {
        let Answers { describes, parameters, ready, .. } = self.answers;
        match tag {
            b'Q' => {
                let kind = Kind::of(body);
                if matches!(kind, Kind::Row | Kind::ThousandRows) {
                    self.output.extend_from_slice(describes);
                }
                self.result(kind);
                self.output.extend_from_slice(ready);
            }
            b'P' => {
                self.parsed(body);
                self.output.extend_from_slice(b"1\0\0\0\x04");
            }
            b'B' => {
                let name = body.splitn(3, |byte| *byte == 0).nth(1).unwrap_or_default();
                let special = self.special.iter().find(|(known, _)| known == name);
                self.bound = special.map_or(Kind::Row, |(_, kind)| *kind);
                self.output.extend_from_slice(b"2\0\0\0\x04");
            }
            b'D' => {
                if body.first() == Some(&b'S') {
                    self.output.extend_from_slice(parameters);
                }
                self.output.extend_from_slice(describes);
            }
            b'E' => self.result(self.bound),
            b'C' => self.output.extend_from_slice(b"3\0\0\0\x04"),
            b'S' => self.output.extend_from_slice(ready),
            _ => {}
        }
    }

    /// Remembers a statement that is not answered with a row of pgbench's.
    fn parsed(&mut self, body: &[u8]) {
        let mut parts = body.splitn(3, |byte| *byte == 0);
        let (name, text) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        self.special.retain(|(known, _)| known != name);
        let kind = Kind::of(text);
        if kind != Kind::Row {
            self.special.push((name.to_owned(), kind));
        }
    }

    fn result(&mut self, kind: Kind) {
        self.output.extend_from_slice(match kind {
            Kind::Row => &self.answers.row,
            Kind::ThousandRows => &self.answers.thousand_rows,
            Kind::Command => &self.answers.done,
            Kind::Position => &self.answers.position,
            Kind::Identity => &self.answers.identity,
        });
    }
}
