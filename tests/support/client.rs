//! A fake client.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::frames::{Frame, V3_0, cancel_request, startup};
use super::wire::{Delivery, Wire};

/// Whom clients log in as, unless they say otherwise.
pub(crate) const APP: [(&str, &str); 2] = [("user", "app"), ("database", "app")];

/// A client that the test plays.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) wire: Wire,
    address: SocketAddr,
    /// Of its BackendKeyData.
    pub(crate) process_id: i32,
    pub(crate) secret: Vec<u8>,
    /// What ParameterStatus has told it at log-in.
    pub(crate) parameters: Vec<(String, String)>,
}

impl Client {
    /// A connection on which nothing has been said.
    pub(crate) async fn dial(address: SocketAddr, delivery: Delivery) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self {
            wire: Wire::new(stream, delivery),
            address,
            process_id: 0,
            secret: Vec::new(),
            parameters: Vec::new(),
        }
    }

    /// Sends a StartupMessage and reads up to ReadyForQuery. Returns the messages before AuthenticationOk.
    pub(crate) async fn log_in(&mut self, version: u32, parameters: &[(&str, &str)]) -> Vec<Frame> {
        self.wire.send_bytes(&startup(version, parameters)).await;
        self.read_greeting().await
    }

    /// Reads up to ReadyForQuery.
    pub(crate) async fn read_greeting(&mut self) -> Vec<Frame> {
        let mut before = Vec::new();
        loop {
            let frame = self.next().await;
            match frame.tag {
                b'Z' => return before,
                b'K' => {
                    self.process_id = i32::from_be_bytes(frame.body[..4].try_into().unwrap());
                    self.secret = frame.body[4..].to_vec();
                }
                b'S' => {
                    let mut strings = frame.body.split(|byte| *byte == 0);
                    let mut text = || String::from_utf8_lossy(strings.next().unwrap()).into_owned();
                    self.parameters.push((text(), text()));
                }
                b'R' => assert_eq!(frame.body, [0; 4], "only trust is played here"),
                b'E' => panic!("log-in refused: {frame:?}"),
                _ => before.push(frame),
            }
        }
    }

    pub(crate) async fn send(&mut self, frames: impl AsRef<[Frame]>) {
        self.wire.send(frames.as_ref()).await;
    }

    /// Receives exactly these frames.
    pub(crate) async fn expect(&mut self, frames: impl AsRef<[Frame]>) {
        self.wire.expect("client", frames.as_ref()).await;
    }

    /// Sends, and receives exactly these frames.
    pub(crate) async fn ask(&mut self, sent: impl AsRef<[Frame]>, answer: impl AsRef<[Frame]>) {
        self.send(sent).await;
        self.expect(answer).await;
    }

    /// The next frame, whatever it is.
    pub(crate) async fn next(&mut self) -> Frame {
        self.wire.next().await.expect("the pooler has closed the connection")
    }

    /// All that is still to come, which must not be whole frames.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        self.wire.rest().await
    }

    pub(crate) async fn expect_closed(&mut self) {
        self.wire.expect_end("client").await;
    }

    /// Sends a CancelRequest with the client's own key and waits until the pooler has closed its connection.
    pub(crate) async fn cancel(&self) {
        self.cancel_with(self.process_id, &self.secret).await;
    }

    /// Sends the same and does not wait; the connection is closed when nothing later can be hit.
    pub(crate) async fn ask_to_cancel(&self) -> Self {
        self.ask_to_cancel_with(self.process_id, &self.secret).await
    }

    /// The same with any key.
    pub(crate) async fn ask_to_cancel_with(&self, process_id: i32, secret: &[u8]) -> Self {
        let mut other = Self::dial(self.address, Delivery::whole()).await;
        other.wire.send_bytes(&cancel_request(process_id, secret)).await;
        other
    }

    /// Sends a cancel request with any key, and waits until that is over.
    pub(crate) async fn cancel_with(&self, process_id: i32, secret: &[u8]) {
        self.ask_to_cancel_with(process_id, secret).await.expect_closed().await;
    }

    /// A ParameterStatus that the client was told at log-in.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) async fn log_in_as_app(&mut self) {
        self.log_in(V3_0, &APP).await;
    }
}
