//! A fake PostgreSQL: it listens, lets everybody in, and then says what the test says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::catalog;
use super::frames::{Frame, bytes, fatal, parameter};
use super::monitor::{self, Position};
use super::wire::{Delivery, PATIENCE, Wire};

/// A node that the test plays.
#[derive(Debug)]
pub(crate) struct Postgres {
    address: SocketAddr,
    /// What it tells the monitor.
    pub(crate) position: Arc<Position>,
    /// Whether it lets nobody in but the monitor: it starts up.
    pub(crate) is_starting: Arc<AtomicBool>,
    logins: mpsc::Receiver<Server>,
    cancels: mpsc::Receiver<Cancel>,
}

/// A connection that the pooler has opened and logged in on.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) wire: Wire,
    pub(crate) process_id: i32,
    pub(crate) secret: Vec<u8>,
    /// The StartupMessage's parameters.
    pub(crate) parameters: Vec<(String, String)>,
}

/// A cancel request. Its connection is open until it is dropped.
#[derive(Debug)]
pub(crate) struct Cancel {
    pub(crate) process_id: i32,
    pub(crate) secret: Vec<u8>,
    _stream: TcpStream,
}

/// What the accepting task needs.
struct Doors {
    position: Arc<Position>,
    is_starting: Arc<AtomicBool>,
    logins: mpsc::Sender<Server>,
    cancels: mpsc::Sender<Cancel>,
    process_ids: AtomicI32,
    delivery: Delivery,
}

impl Postgres {
    /// Listens on a port of its own.
    pub(crate) async fn start(position: Position, delivery: Delivery) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (login_sender, logins) = mpsc::channel(64);
        let (cancel_sender, cancels) = mpsc::channel(64);
        let (position, is_starting) = (Arc::new(position), Arc::default());
        let doors = Arc::new(Doors {
            position: Arc::clone(&position),
            is_starting: Arc::clone(&is_starting),
            logins: login_sender,
            cancels: cancel_sender,
            process_ids: AtomicI32::new(1000),
            delivery,
        });
        tokio::task::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::task::spawn(receive(stream, Arc::clone(&doors)));
            }
        });
        Self { address, position, is_starting, logins, cancels }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The next connection that the pooler has logged in on.
    pub(crate) async fn accept(&mut self) -> Server {
        let server = timeout(PATIENCE, self.logins.recv()).await;
        server.expect("the pooler does not connect").unwrap()
    }

    /// The next connection, if there is ever one.
    pub(crate) async fn accept_whenever(&mut self) -> Server {
        self.logins.recv().await.unwrap()
    }

    /// The next cancel request.
    pub(crate) async fn cancel(&mut self) -> Cancel {
        let cancel = timeout(PATIENCE, self.cancels.recv()).await;
        cancel.expect("no cancel request comes").unwrap()
    }

    /// Nobody has connected or cancelled who has not been accepted.
    pub(crate) fn expect_nobody(&mut self) {
        assert!(self.logins.try_recv().is_err(), "a connection that nobody asked for");
        assert!(self.cancels.try_recv().is_err(), "a cancel request that nobody asked for");
    }
}

impl Server {
    /// Receives exactly these frames.
    pub(crate) async fn expect(&mut self, frames: impl AsRef<[Frame]>) {
        self.wire.expect("server", frames.as_ref()).await;
    }

    /// Answers.
    pub(crate) async fn reply(&mut self, frames: impl AsRef<[Frame]>) {
        self.wire.send(frames.as_ref()).await;
    }

    /// Answers something after which the pooler may close the connection at any byte.
    pub(crate) async fn reply_last(&mut self, frames: impl AsRef<[Frame]>) {
        let _ = self.wire.try_send(&bytes(frames.as_ref())).await;
    }

    /// Answers with so many bytes of a frame.
    pub(crate) async fn reply_partly(&mut self, frame: &Frame, len: usize) {
        self.wire.send_bytes(&frame.bytes()[..len]).await;
    }

    /// Receives these frames and answers them.
    pub(crate) async fn answer(
        &mut self,
        expected: impl AsRef<[Frame]>,
        reply: impl AsRef<[Frame]>,
    ) {
        self.expect(expected).await;
        self.reply(reply).await;
    }

    /// The pooler must close the connection, with or without Terminate.
    pub(crate) async fn expect_closed(&mut self) {
        match self.wire.next().await {
            None => {}
            Some(frame) if frame.tag == b'X' => self.wire.expect_end("server").await,
            Some(frame) => panic!("server: got {frame:?} instead of the end"),
        }
    }

    /// Closes the connection. All that was sent, and its end, have arrived when this returns: TCP may hold back what
    /// has been written.
    pub(crate) async fn vanish(self) {
        let stream = self.wire.stream.into_std().unwrap();
        socket2::SockRef::from(&stream).set_linger(Some(PATIENCE)).unwrap();
        tokio::task::spawn_blocking(move || drop(stream)).await.unwrap();
    }

    /// The next frame, whatever it is.
    pub(crate) async fn next(&mut self) -> Frame {
        self.wire.next().await.expect("the pooler has closed the connection")
    }
}

/// Reads startup packets until it is clear what the peer wants.
async fn receive(stream: TcpStream, doors: Arc<Doors>) -> Option<()> {
    // The log-in itself is not what is tested here.
    let mut wire = Wire::new(stream, Delivery::whole());
    let packet = read_startup(&mut wire).await?;
    let word = |at: usize| packet[at..at + 4].try_into().map(i32::from_be_bytes).unwrap();
    if word(0) == 80_877_102 {
        let (process_id, secret) = (word(4), packet[8..].to_vec());
        let cancel = Cancel { process_id, secret, _stream: wire.stream };
        return doors.cancels.send(cancel).await.ok();
    }
    let strings: Vec<String> = packet[4..]
        .split(|byte| *byte == 0)
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect();
    let parameters: Vec<(String, String)> = strings
        .chunks_exact(2)
        .filter(|pair| !pair[0].is_empty())
        .map(|pair| (pair[0].clone(), pair[1].clone()))
        .collect();
    let is_monitor = ("application_name".to_owned(), "pglagoon monitor".to_owned());
    let is_monitor = parameters.contains(&is_monitor);
    if !is_monitor && doors.is_starting.load(Ordering::Relaxed) {
        return wire.try_send(&fatal("57P03").bytes()).await.ok();
    }
    let process_id = doors.process_ids.fetch_add(1, Ordering::Relaxed);
    let secret = process_id.wrapping_mul(77_777).to_be_bytes().to_vec();
    wire.try_send(&greeting(process_id, &secret)).await.ok()?;
    if is_monitor {
        return monitor::answer(wire, &doors.position).await;
    }
    if parameters.contains(&("application_name".to_owned(), "pglagoon catalog".to_owned())) {
        return catalog::answer(wire).await;
    }
    let wire = Wire::new(wire.stream, doors.delivery.clone());
    doors.logins.send(Server { wire, process_id, secret, parameters }).await.ok()
}

async fn read_startup(wire: &mut Wire) -> Option<Vec<u8>> {
    loop {
        if let Some(len) = wire.input.first_chunk::<4>() {
            let len = usize::try_from(u32::from_be_bytes(*len)).unwrap();
            if wire.input.len() >= len {
                return Some(wire.input.drain(..len).skip(4).collect());
            }
        }
        if wire.read_some().await == 0 {
            return None;
        }
    }
}

/// What a server says to whom it lets in.
fn greeting(process_id: i32, secret: &[u8]) -> Vec<u8> {
    let mut frames = vec![Frame::new(b'R', [0; 4])];
    frames.extend(REPORTED.iter().map(|(name, value)| parameter(name, value)));
    frames.push(Frame::new(b'K', [&process_id.to_be_bytes()[..], secret].concat()));
    frames.push(Frame::new(b'Z', *b"I"));
    bytes(&frames)
}

/// The parameters that it reports.
const REPORTED: [(&str, &str); 5] = [
    ("server_version", "18.0"),
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, MDY"),
    ("TimeZone", "UTC"),
    ("standard_conforming_strings", "on"),
];
