use std::collections::VecDeque;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;
use crate::net::Socket;
use crate::protocol::TransactionStatus;
use crate::protocol::backend::ready_for_query;

/// Hands out connections that the test made beforehand.
struct Ready(VecDeque<UnixStream>);

impl Dial for Ready {
    async fn dial(&mut self) -> Result<Stream, PollError> {
        let stream = self.0.pop_front().map(|stream| Stream::Plain(Socket::Unix(stream)));
        stream.ok_or_else(|| PollError::new(Fault::Unreachable, "refused"))
    }
}

/// The server's end of a connection, played by the test.
struct Server(UnixStream);

impl Server {
    /// Reads requests until one ends in Sync or is a Query; returns all its bytes.
    async fn request(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let mut header = [0; frame::HEADER_LEN];
            self.0.read_exact(&mut header).await.unwrap();
            let size = frame::header(&header).unwrap().unwrap().size;
            let mut body = vec![0; size - frame::HEADER_LEN];
            self.0.read_exact(&mut body).await.unwrap();
            bytes.extend_from_slice(&header);
            bytes.extend_from_slice(&body);
            if matches!(header[0], b'S' | b'Q') {
                return bytes;
            }
        }
    }

    async fn reply(&mut self, messages: &[u8]) {
        let mut bytes = messages.to_vec();
        ready_for_query(&mut bytes, TransactionStatus::Idle);
        self.0.write_all(&bytes).await.unwrap();
    }

    /// Answers the two requests that open a connection.
    async fn open(&mut self) {
        assert!(self.request().await.starts_with(b"Q"));
        self.reply(b"").await;
        assert!(self.request().await.starts_with(b"P"));
        self.reply(b"").await;
    }

    async fn answer(&mut self, statement: &str, row: &[Option<&str>]) {
        let asked = String::from_utf8_lossy(&self.request().await).into_owned();
        assert!(asked.contains(statement), "{asked:?}");
        self.reply(&data_row(row)).await;
    }
}

fn data_row(values: &[Option<&str>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::write(&mut bytes, BackendTag::DATA_ROW.0, |body| {
        body.extend_from_slice(&u16::try_from(values.len()).unwrap().to_be_bytes());
        for value in values {
            let len = value.map_or(-1, |value| i32::try_from(value.len()).unwrap());
            body.extend_from_slice(&len.to_be_bytes());
            body.extend_from_slice(value.unwrap_or_default().as_bytes());
        }
    });
    bytes
}

fn error_response(severity: &str, message: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::write(&mut bytes, BackendTag::ERROR_RESPONSE.0, |body| {
        body.extend_from_slice(format!("V{severity}\0C42501\0M{message}\0\0").as_bytes());
    });
    bytes
}

fn source() -> (WalSource<Ready>, Server) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (WalSource::new(Ready(VecDeque::from([ours])), Clock::of_tokio()), Server(theirs))
}

#[tokio::test]
async fn a_primary_is_asked_for_its_history_once() {
    let (mut source, mut server) = source();
    let play = async {
        server.open().await;
        server.answer("position", &[Some("f"), Some("16/B374D848"), None]).await;
        server.answer("identity", &[Some("f"), Some("7710777909115463991"), Some("3")]).await;
        server.answer("position", &[Some("f"), Some("16/B374D850"), None]).await;
    };
    let ask = async { [source.poll().await, source.poll().await] };
    let ([first, second], ()) = tokio::join!(ask, play);
    let reading = |flush| Reading {
        system: 7_710_777_909_115_463_991,
        position: Position::Primary { flush: Lsn(flush), timeline: 3 },
    };
    assert_eq!(first, Ok(reading(0x16_B374_D848)));
    assert_eq!(second, Ok(reading(0x16_B374_D850)));
}

#[tokio::test(start_paused = true)]
async fn a_standby_is_asked_for_its_history_now_and_then() {
    let (mut source, mut server) = source();
    let play = async {
        server.open().await;
        server.answer("position", &[Some("t"), Some("0/10"), None]).await;
        server.answer("identity", &[Some("t"), Some("7"), Some("1")]).await;
        server.answer("position", &[Some("t"), Some("0/20"), Some("2")]).await;
        server.answer("position", &[Some("t"), None, None]).await;
        server.answer("identity", &[Some("t"), Some("7"), Some("2")]).await;
    };
    let ask = async {
        let first = [source.poll().await, source.poll().await];
        tokio::time::advance(IDENTITY_EVERY).await;
        (first, source.poll().await)
    };
    let (([first, second], third), ()) = tokio::join!(ask, play);
    let reading = |replay, timeline| {
        Ok(Reading { system: 7, position: Position::Standby { replay: Lsn(replay), timeline } })
    };
    assert_eq!(first, reading(0x10, StandbyTimeline::Reached(1)));
    assert_eq!(second, reading(0x20, StandbyTimeline::Streaming(2)));
    assert_eq!(third, reading(0, StandbyTimeline::Reached(2)));
}

#[tokio::test]
async fn a_promoted_standby_is_asked_for_its_history_again() {
    let (mut source, mut server) = source();
    let play = async {
        server.open().await;
        server.answer("position", &[Some("t"), Some("0/10"), Some("1")]).await;
        server.answer("identity", &[Some("t"), Some("7"), Some("1")]).await;
        server.answer("position", &[Some("f"), Some("0/20"), None]).await;
        server.answer("identity", &[Some("f"), Some("7"), Some("2")]).await;
    };
    let ask = async { [source.poll().await, source.poll().await] };
    let ([_, second], ()) = tokio::join!(ask, play);
    let position = Position::Primary { flush: Lsn(0x20), timeline: 2 };
    assert_eq!(second, Ok(Reading { system: 7, position }));
}

#[tokio::test]
async fn an_error_is_reported_and_the_connection_given_up() {
    let (mut source, mut server) = source();
    let play = async {
        server.open().await;
        server.request().await;
        server.reply(&error_response("ERROR", "permission denied")).await;
    };
    let (answer, ()) = tokio::join!(source.poll(), play);
    assert_eq!(answer, Err(PollError::new(Fault::Answer, "permission denied (42501)")));
    assert_eq!(source.poll().await.map_err(|error| error.fault), Err(Fault::Unreachable));
}

#[tokio::test]
async fn an_answer_of_another_shape_is_an_error() {
    for row in [&[][..], &[Some("x"), Some("0/1"), None], &[Some("f"), Some("0-1"), None]] {
        let (mut source, mut server) = source();
        let play = async {
            server.open().await;
            server.answer("position", row).await;
        };
        let (answer, ()) = tokio::join!(source.poll(), play);
        assert_eq!(answer.map_err(|error| error.fault), Err(Fault::Answer), "{row:?}");
    }
}

/// A source whose connection is open and idle.
async fn idle() -> (WalSource<Ready>, Server) {
    let (mut source, mut server) = source();
    let play = async {
        server.open().await;
        server.answer("position", &[Some("f"), Some("0/1"), None]).await;
        server.answer("identity", &[Some("f"), Some("7"), Some("1")]).await;
    };
    let (answer, ()) = tokio::join!(source.poll(), play);
    answer.unwrap();
    (source, server)
}

#[tokio::test]
async fn a_server_that_leaves_is_noticed_while_idle() {
    let (mut source, server) = idle().await;
    drop(server);
    assert_eq!(source.lost().await.fault, Fault::Lost);
}

#[tokio::test]
async fn a_server_that_says_why_it_leaves_is_quoted() {
    let (mut source, mut server) = idle().await;
    server.0.write_all(&error_response("FATAL", "shutting down")).await.unwrap();
    let expected = PollError::new(Fault::Lost, "shutting down (42501)");
    assert_eq!(source.lost().await, expected);
}

#[tokio::test]
async fn what_the_server_tells_unasked_does_not_end_the_connection() {
    let (mut source, mut server) = idle().await;
    let mut bytes = Vec::new();
    crate::protocol::backend::parameter_status(&mut bytes, b"in_hot_standby", b"off");
    let (head, tail) = bytes.split_at(7);
    server.0.write_all(head).await.unwrap();
    assert!(futures_util::FutureExt::now_or_never(source.lost()).is_none());
    server.0.write_all(tail).await.unwrap();
    assert!(futures_util::FutureExt::now_or_never(source.lost()).is_none());
    let play = server.answer("position", &[Some("f"), Some("0/2"), None]);
    let (answer, ()) = tokio::join!(source.poll(), play);
    assert_eq!(answer.unwrap().position, Position::Primary { flush: Lsn(2), timeline: 1 });
}

#[tokio::test]
async fn a_poll_that_is_dropped_closes_its_connection() {
    let (mut source, mut server) = idle().await;
    assert!(futures_util::FutureExt::now_or_never(source.poll()).is_none());
    server.request().await;
    assert_eq!(server.0.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn without_a_connection_none_is_lost() {
    let (mut source, _server) = source();
    assert!(futures_util::FutureExt::now_or_never(source.lost()).is_none());
}

#[test]
fn malformed_rows_are_refused() {
    for body in
        [&b""[..], b"\0\x01", b"\0\x01\0\0\0\x02a", b"\0\x01\0\0\0\x01ab", b"\0\x01\0\0\0\x01\xff"]
    {
        assert_eq!(columns(body), None, "{body:?}");
    }
}
