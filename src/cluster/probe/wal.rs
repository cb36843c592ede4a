//! A node's position in the write-ahead log, asked for on a connection of our own.
//!
//! The statements are parsed once per connection; a poll sends bytes that were built beforehand and reads one
//! row. They work for a role without privileges, and on both kinds of nodes: each function is called only where it
//! does not fail, and a standby that is promoted in between answers as the standby that it was.

use std::future::{Future, pending};
use std::time::Duration;

use super::{PollError, Position, Reading, Source, StandbyTimeline};
use crate::clock::{Clock, Mono};
use crate::cluster::health::Fault;
use crate::cluster::lsn::Lsn;
use crate::net::Stream;
use crate::protocol::{BackendTag, ErrorFields, frame, frontend};

/// Where the node stands: cheap enough for every poll.
///
/// `OFFSET 0` keeps the planner from asking `pg_is_in_recovery()` once per use.
const POSITION: &str = "SELECT r, \
    CASE WHEN r THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END, \
    CASE WHEN r THEN (SELECT received_tli FROM pg_stat_get_wal_receiver()) END \
    FROM (SELECT pg_is_in_recovery() AS r OFFSET 0) AS s";

/// Which history its log belongs to: reads the control file.
///
/// `pg_control_checkpoint()` shows a primary's timeline only after its next checkpoint, so that is taken from the
/// name of the file that it writes. A standby has reached at least what its control file says.
const IDENTITY: &str = "SELECT r, (SELECT system_identifier FROM pg_control_system()), \
    CASE WHEN r THEN greatest((SELECT min_recovery_end_timeline FROM pg_control_recovery()), \
    (SELECT timeline_id FROM pg_control_checkpoint())) \
    ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END \
    FROM (SELECT pg_is_in_recovery() AS r OFFSET 0) AS s";

/// A role or database may have defaults that a standby refuses (serializable) or that would end polls.
const SETTINGS: &str =
    "SET default_transaction_isolation = 'read committed'; SET statement_timeout = 0";

/// How often a standby is asked which history it follows. A primary stays on its timeline for as long as the
/// connection lives.
const IDENTITY_EVERY: Duration = Duration::from_secs(1);

/// No answer of ours is anywhere near as long.
const MAX_INPUT: usize = 64 * 1024;

/// Bind's rest: no formats, no values, results as text.
const NO_VALUES: &[u8] = &[0; 6];

/// Parse's types: none.
const NO_TYPES: &[u8] = &[0; 2];

/// Makes connections to one node, logged in and ready for a query.
pub trait Dial: Send + 'static {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// Why that was not possible: [`Fault::Unreachable`] or [`Fault::LogIn`].
    fn dial(&mut self) -> impl Future<Output = Result<Stream, PollError>> + Send;
}

/// Reads a PostgreSQL node's position in its write-ahead log.
#[derive(Debug)]
pub struct WalSource<D> {
    dial: D,
    clock: Clock,
    link: Option<Link>,
}

impl<D: Dial> WalSource<D> {
    /// A source that connects by `dial` when it is first polled.
    pub fn new(dial: D, clock: Clock) -> Self {
        Self { dial, clock, link: None }
    }
}

impl<D: Dial> Source for WalSource<D> {
    async fn poll(&mut self) -> Result<Reading, PollError> {
        // Taken out: if this poll fails or is dropped, the connection goes with it.
        let mut link = match self.link.take() {
            Some(link) => link,
            None => Link::open(self.dial.dial().await?).await?,
        };
        let reading = link.read(self.clock.now()).await?;
        self.link = Some(link);
        Ok(reading)
    }

    async fn lost(&mut self) -> PollError {
        let Some(link) = &mut self.link else {
            return pending().await;
        };
        let error = link.until_lost().await;
        self.link = None;
        error
    }
}

/// A connection whose statements are prepared.
#[derive(Debug)]
struct Link {
    stream: Stream,
    /// What has arrived and was not looked at yet.
    input: Vec<u8>,
    ask_position: Vec<u8>,
    ask_identity: Vec<u8>,
    identity: Option<Identity>,
}

#[derive(Clone, Copy, Debug)]
struct Identity {
    recovery: Recovery,
    system: u64,
    timeline: u32,
    read_at: Mono,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recovery {
    Running,
    Over,
}

/// A row's columns, as text.
type Row = Vec<Option<String>>;

impl Link {
    async fn open(stream: Stream) -> Result<Self, PollError> {
        let mut link = Self {
            stream,
            input: Vec::new(),
            ask_position: question(b"position"),
            ask_identity: question(b"identity"),
            identity: None,
        };
        let mut hello = Vec::new();
        frontend::query(&mut hello, SETTINGS.as_bytes());
        link.exchange(&hello).await?;
        hello.clear();
        frontend::parse(&mut hello, b"position", POSITION.as_bytes(), NO_TYPES);
        frontend::parse(&mut hello, b"identity", IDENTITY.as_bytes(), NO_TYPES);
        frontend::sync(&mut hello);
        link.exchange(&hello).await?;
        Ok(link)
    }

    async fn read(&mut self, now: Mono) -> Result<Reading, PollError> {
        let ask = std::mem::take(&mut self.ask_position);
        let answer = self.exchange(&ask).await;
        self.ask_position = ask;
        let row = answer?;
        let recovery = recovery(&row)?;
        // A standby that has replayed nothing yet has no position.
        let lsn = column(&row, 1)?.map_or(Lsn::default(), |lsn| lsn);
        let identity = self.identify(recovery, now).await?;
        let position = match recovery {
            Recovery::Over => Position::Primary { flush: lsn, timeline: identity.timeline },
            Recovery::Running => {
                let timeline = match column(&row, 2)? {
                    Some(streamed) => StandbyTimeline::Streaming(streamed),
                    None => StandbyTimeline::Reached(identity.timeline),
                };
                Position::Standby { replay: lsn, timeline }
            }
        };
        Ok(Reading { system: identity.system, position })
    }

    async fn identify(&mut self, recovery: Recovery, now: Mono) -> Result<Identity, PollError> {
        let known = self.identity.filter(|known| known.is_current(recovery, now));
        if let Some(known) = known {
            return Ok(known);
        }
        let ask = std::mem::take(&mut self.ask_identity);
        let answer = self.exchange(&ask).await;
        self.ask_identity = ask;
        let row = answer?;
        let missing = || PollError::new(Fault::Answer, "the identity is null");
        let identity = Identity {
            recovery: self::recovery(&row)?,
            system: column(&row, 1)?.ok_or_else(missing)?,
            timeline: column(&row, 2)?.ok_or_else(missing)?,
            read_at: now,
        };
        if identity.recovery != recovery {
            return Err(PollError::new(Fault::Answer, "promoted while it was asked"));
        }
        self.identity = Some(identity);
        Ok(identity)
    }

    /// Sends `request` and returns the row that it is answered with.
    async fn exchange(&mut self, request: &[u8]) -> Result<Row, PollError> {
        self.stream.write_all(request).await.map_err(lost)?;
        let mut answer = Answer::default();
        loop {
            if let Progress::Complete = answer.take(&mut self.input)? {
                return answer.finish();
            }
            self.receive().await?;
        }
    }

    async fn receive(&mut self) -> Result<(), PollError> {
        match self.stream.read_some(&mut self.input).await.map_err(lost)? {
            0 => Err(PollError::new(Fault::Lost, "the server closed the connection")),
            _ if self.input.len() > MAX_INPUT => {
                Err(PollError::new(Fault::Answer, "the answer is far too long"))
            }
            _ => Ok(()),
        }
    }

    /// Cancel safe: what arrives stays in `input` until it is understood.
    async fn until_lost(&mut self) -> PollError {
        loop {
            if let Err(error) = self.receive().await {
                return error;
            }
            let mut unasked = Answer::default();
            if let Err(error) = unasked.take(&mut self.input) {
                return error;
            }
            // An error that answers no question says why the server is about to close the connection.
            if let Some(error) = unasked.error {
                return error;
            }
        }
    }
}

impl Identity {
    fn is_current(&self, recovery: Recovery, now: Mono) -> bool {
        let young = now.saturating_since(self.read_at) < IDENTITY_EVERY;
        self.recovery == recovery && (recovery == Recovery::Over || young)
    }
}

fn question(statement: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frontend::bind(&mut bytes, b"", statement, NO_VALUES);
    frontend::execute(&mut bytes, b"", 0);
    frontend::sync(&mut bytes);
    bytes
}

fn lost(error: std::io::Error) -> PollError {
    PollError::new(Fault::Lost, error)
}

fn recovery(row: &Row) -> Result<Recovery, PollError> {
    match row.first().and_then(Option::as_deref) {
        Some("t") => Ok(Recovery::Running),
        Some("f") => Ok(Recovery::Over),
        _ => Err(malformed()),
    }
}

/// A column's value; `None` if it is null.
fn column<T: std::str::FromStr>(row: &Row, index: usize) -> Result<Option<T>, PollError> {
    let text = row.get(index).ok_or_else(malformed)?;
    text.as_deref().map(|text| text.parse().map_err(|_| malformed())).transpose()
}

fn malformed() -> PollError {
    PollError::new(Fault::Answer, "the answer is not what was asked for")
}

/// What has been understood of the answer to one request.
#[derive(Debug, Default)]
struct Answer {
    row: Row,
    error: Option<PollError>,
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Complete,
    More,
}

impl Answer {
    /// Takes whole messages from `input`, up to a ReadyForQuery.
    fn take(&mut self, input: &mut Vec<u8>) -> Result<Progress, PollError> {
        let framing = |error| PollError::new(Fault::Answer, error);
        while let Some(header) = frame::header(input).map_err(framing)? {
            let Some((whole, _)) = input.split_at_checked(header.size) else { break };
            let body = whole.get(frame::HEADER_LEN..).unwrap_or_default();
            let tag = BackendTag(header.tag);
            match tag {
                BackendTag::DATA_ROW => self.row = columns(body).ok_or_else(malformed)?,
                BackendTag::ERROR_RESPONSE => self.on_error(ErrorFields(body)),
                _ => {}
            }
            input.drain(..header.size);
            if tag == BackendTag::READY_FOR_QUERY {
                return Ok(Progress::Complete);
            }
        }
        Ok(Progress::More)
    }

    fn on_error(&mut self, fields: ErrorFields<'_>) {
        let text =
            |field| String::from_utf8_lossy(fields.field(field).unwrap_or_default()).into_owned();
        let fault = if text(b'V') == "FATAL" { Fault::Lost } else { Fault::Answer };
        let error = PollError::new(fault, format_args!("{} ({})", text(b'M'), text(b'C')));
        self.error.get_or_insert(error);
    }

    fn finish(self) -> Result<Row, PollError> {
        self.error.map_or(Ok(self.row), Err)
    }
}

/// A DataRow's columns; `None` if the body is malformed.
fn columns(body: &[u8]) -> Option<Row> {
    let (count, mut rest) = body.split_first_chunk()?;
    let mut row = Row::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (len, tail) = rest.split_first_chunk()?;
        let Ok(len) = usize::try_from(i32::from_be_bytes(*len)) else {
            row.push(None);
            rest = tail;
            continue;
        };
        let (value, tail) = tail.split_at_checked(len)?;
        row.push(Some(String::from_utf8(value.to_vec()).ok()?));
        rest = tail;
    }
    rest.is_empty().then_some(row)
}

#[cfg(test)]
#[cfg(test)]
mod tests;
