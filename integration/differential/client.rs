//! A client that follows a script and writes down what it is told.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    differential::{
        frames::{Frame, V3_0, bytes, startup, terminate},
        script::Step,
    },
    fixture,
};

/// How long an answer may take. Only one that never comes takes so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came after a step.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) frames: Vec<Frame>,
    pub(super) end: End,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    /// All that had been asked for was there.
    #[default]
    Complete,
    /// The connection was closed.
    Closed,
    /// Nothing more came.
    Silence,
}

/// Logs in, follows `steps`, says goodbye. The answers: to the log-in, to each step, to the goodbye; none behind one
/// that did not come to its end.
pub(super) async fn follow(
    address: SocketAddr,
    login: &[(&str, &str)],
    steps: &[Step],
    other: &str,
) -> Vec<Answer> {
    let mut client = Client::dial(address).await;
    client.stream.write_all(&startup(V3_0, login)).await.unwrap();
    client.pending.push_back(b'Q');
    let mut answers = vec![client.read().await];
    let mut other_client = None;
    for step in steps {
        if answers.last().is_some_and(|answer| answer.end != End::Complete) {
            return answers;
        }
        let answer = match step {
            Step::Send(frames) => client.send(frames).await,
            Step::Await(tag) => client.await_tag(*tag).await,
            Step::Other(text) => {
                if other_client.is_none() {
                    other_client = Some(fixture::client(other).await);
                }
                other_client.as_ref().unwrap().batch_execute(text).await.unwrap();
                Answer::default()
            }
        };
        answers.push(answer);
    }
    if answers.last().is_some_and(|answer| answer.end == End::Complete) {
        answers.push(client.send(&[terminate()]).await);
    }
    answers
}

struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    /// The tags of what has been sent and not been answered.
    pending: VecDeque<u8>,
    mood: Mood,
}

/// What the server makes of what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// It answers.
    Attentive,
    /// It waits for the rest of a COPY.
    Copying,
    /// It ignores everything up to the next Sync.
    Skipping,
}

impl Client {
    async fn dial(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, input: Vec::new(), pending: VecDeque::new(), mood: Mood::Attentive }
    }

    async fn send(&mut self, frames: &[Frame]) -> Answer {
        // Who has closed the connection says so to the reader.
        let _ = self.stream.write_all(&bytes(frames)).await;
        for frame in frames {
            let is_end = b"cf".contains(&frame.tag);
            if is_end && self.mood == Mood::Copying {
                self.mood = Mood::Attentive;
            } else {
                self.pending.push_back(frame.tag);
            }
        }
        self.read().await
    }

    /// Reads until everything that is pending has been answered, or COPY wants data that has not been sent.
    async fn read(&mut self) -> Answer {
        let mut answer = Answer::default();
        while self.next_pending() {
            let frame = match self.next().await {
                Ok(frame) => frame,
                Err(end) => {
                    answer.end = end;
                    break;
                }
            };
            let tag = frame.tag;
            answer.frames.push(frame);
            if self.note(tag) {
                break;
            }
        }
        answer
    }

    /// Whether something is pending that will be answered.
    fn next_pending(&mut self) -> bool {
        while let Some(&tag) = self.pending.front() {
            let is_skipped = self.mood == Mood::Skipping && tag != b'S' && tag != b'X';
            // Nothing answers Flush or data.
            if !is_skipped && !b"Hdcf".contains(&tag) {
                return true;
            }
            self.pending.pop_front();
        }
        false
    }

    /// Notes what a message answers; tells whether the next step is due although something is pending.
    fn note(&mut self, tag: u8) -> bool {
        let Some(&asked) = self.pending.front() else { return false };
        let last: &[u8] = match asked {
            b'P' => b"1",
            b'B' => b"2",
            b'C' => b"3",
            b'D' => b"Tn",
            b'E' => b"CIs",
            _ => b"Z",
        };
        if tag == b'E' && b"PBCDE".contains(&asked) {
            self.mood = Mood::Skipping;
        } else if last.contains(&tag) {
            self.mood = Mood::Attentive;
            self.pending.pop_front();
        } else if tag == b'G' {
            // A Sync in the midst of a COPY is ignored.
            let end = self.pending.iter().position(|tag| b"cf".contains(tag));
            self.pending.drain(1..end.map_or(self.pending.len(), |end| end + 1));
            if end.is_none() {
                self.mood = Mood::Copying;
            }
            return end.is_none();
        }
        false
    }

    async fn await_tag(&mut self, tag: u8) -> Answer {
        let mut answer = Answer::default();
        loop {
            match self.next().await {
                Ok(frame) => {
                    let is_it = frame.tag == tag;
                    answer.frames.push(frame);
                    if is_it {
                        return answer;
                    }
                }
                Err(end) => {
                    answer.end = end;
                    return answer;
                }
            }
        }
    }

    async fn next(&mut self) -> Result<Frame, End> {
        loop {
            if let Some((&tag, rest)) = self.input.split_first()
                && let Some(len) = rest.first_chunk::<4>()
            {
                let size = u32::from_be_bytes(*len) as usize + 1;
                if self.input.len() >= size {
                    let body = self.input[5..size].to_vec();
                    self.input.drain(..size);
                    return Ok(Frame { tag, body });
                }
            }
            match timeout(PATIENCE, self.stream.read_buf(&mut self.input)).await {
                Err(_) => return Err(End::Silence),
                Ok(Ok(0) | Err(_)) => return Err(End::Closed),
                Ok(Ok(_)) => {}
            }
        }
    }
}
