//! One end of a connection, and in what pieces bytes leave from it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::timeout;

use super::frames::{Frame, bytes};

/// How long a test waits for what must come. Only a failing test ever waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// In what pieces bytes travel.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pieces: Pieces,
    /// The longest write that there was.
    longest: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, Debug)]
enum Pieces {
    Whole,
    Bytes,
    SplitAt(usize),
}

impl Delivery {
    /// As they are written.
    pub(crate) fn whole() -> Self {
        Self::of(Pieces::Whole)
    }

    /// Each byte on its own.
    pub(crate) fn byte_by_byte() -> Self {
        Self::of(Pieces::Bytes)
    }

    fn of(pieces: Pieces) -> Self {
        Self { pieces, longest: Arc::default() }
    }

    fn longest(&self) -> usize {
        self.longest.load(Ordering::Relaxed)
    }
}

/// Runs `scenario` with every write split after its first byte, after its second, and so on.
pub(crate) async fn split_everywhere<F: Future<Output = ()>>(scenario: impl Fn(Delivery) -> F) {
    const AT_ONCE: usize = 8;
    for first in (1..).step_by(AT_ONCE) {
        let deliveries: Vec<_> =
            (first..first + AT_ONCE).map(|at| Delivery::of(Pieces::SplitAt(at))).collect();
        join_all(deliveries.iter().cloned().map(&scenario)).await;
        if deliveries.iter().all(|delivery| delivery.longest() < first + AT_ONCE) {
            return;
        }
    }
}

/// A connection, as seen by one of its ends.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    pub(crate) input: Vec<u8>,
    delivery: Delivery,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, delivery: Delivery) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, input: Vec::new(), delivery }
    }

    pub(crate) async fn send(&mut self, frames: &[Frame]) {
        self.send_bytes(&bytes(frames)).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.try_send(bytes).await.expect("the pooler has closed the connection");
    }

    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.delivery.longest.fetch_max(bytes.len(), Ordering::Relaxed);
        match self.delivery.pieces {
            Pieces::Whole => self.stream.write_all(bytes).await,
            Pieces::Bytes => {
                for byte in bytes.chunks(1) {
                    self.stream.write_all(byte).await?;
                    pause(8).await;
                }
                Ok(())
            }
            Pieces::SplitAt(at) => {
                let (first, second) = bytes.split_at(at.min(bytes.len()));
                self.stream.write_all(first).await?;
                pause(200).await;
                self.stream.write_all(second).await
            }
        }
    }

    /// Makes this end's buffers small. The smallest that there are would have TCP wait for its timers.
    pub(crate) fn narrow(&self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_recv_buffer_size(32 * 1024).unwrap();
        socket.set_send_buffer_size(1).unwrap();
    }

    /// This end as two, to read and write at once.
    pub(crate) fn halves(&mut self) -> (Reader<'_>, Writer<'_>) {
        let (reader, writer) = self.stream.split();
        (Reader(reader), Writer(writer))
    }

    /// Sends much, in whatever pieces the other side takes.
    pub(crate) async fn stream_out(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("nobody reads").unwrap();
    }

    /// Reads the next frame; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(header) = self.input.first_chunk::<5>() {
                let len = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
                let size = usize::try_from(len).unwrap() + 1;
                if self.input.len() >= size {
                    let frame: Vec<u8> = self.input.drain(..size).collect();
                    return Some(Frame::new(frame[0], &frame[5..]));
                }
            }
            if self.read_some().await == 0 {
                // A server is told goodbye as far as that works without waiting: its tag is what always works.
                let goodbye = self.input == b"X"[..];
                assert!(
                    goodbye || self.input.is_empty(),
                    "half a frame: {}",
                    self.input.escape_ascii()
                );
                return None;
            }
        }
    }

    /// Reads more bytes; 0 at the end.
    pub(crate) async fn read_some(&mut self) -> usize {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.input)).await;
        match read.expect("nothing came, and the connection is open") {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("{error}"),
        }
    }

    /// Reads to the end, frames or not.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.read_some().await > 0 {}
        std::mem::take(&mut self.input)
    }

    /// Reads as many frames as are expected; they must be those.
    pub(crate) async fn expect(&mut self, who: &str, expected: &[Frame]) {
        let mut seen = Vec::new();
        for frame in expected {
            let Ok(next) = timeout(PATIENCE, self.next()).await else {
                panic!("{who}: nothing more comes\nexpected {expected:#?}\ngot {seen:#?}");
            };
            let Some(next) = next else {
                panic!("{who}: closed\nexpected {expected:#?}\ngot {seen:#?}");
            };
            let is_met = frame.is_met_by(&next);
            seen.push(next);
            assert!(is_met, "{who}\nexpected {expected:#?}\ngot {seen:#?}");
        }
    }

    /// The connection must end here.
    pub(crate) async fn expect_end(&mut self, who: &str) {
        let next = self.next().await;
        assert!(next.is_none(), "{who}: got {next:?} instead of the end");
    }
}

/// The half of a connection that is read from.
#[derive(Debug)]
pub(crate) struct Reader<'a>(ReadHalf<'a>);

impl Reader<'_> {
    /// Reads this frame.
    pub(crate) async fn expect(&mut self, frame: &Frame) {
        let expected = frame.bytes();
        let mut seen = vec![0; expected.len()];
        let read = timeout(PATIENCE, self.0.read_exact(&mut seen)).await;
        read.expect("nothing more comes").expect("closed");
        assert!(seen == expected, "expected {frame:?}, got {}", seen.escape_ascii());
    }
}

/// The half of a connection that is written to.
#[derive(Debug)]
pub(crate) struct Writer<'a>(WriteHalf<'a>);

impl Writer<'_> {
    /// Writes all of `bytes`, as fast as they are taken.
    pub(crate) async fn send_all(&mut self, bytes: Vec<u8>) {
        timeout(PATIENCE, self.0.write_all(&bytes)).await.expect("nobody reads").unwrap();
    }
}

/// Gives the pooler the chance to read what it has been sent.
async fn pause(turns: usize) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}
