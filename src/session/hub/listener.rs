//! The task that listens for all clients of a database, on the control thread.
//!
//! It has a connection only while somebody wants to hear something, and tells the server in one text what is to be
//! heard from now on and what no more. The server's answer confirms it. While the connection is lost it tries again;
//! clients are told when it is back that they may have missed something.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::{Heard, Hub, State};
use crate::cluster::{Cluster, NodeId};
use crate::net::Stream;
use crate::protocol::{BackendTag, ErrorFields, frame, frontend};
use crate::server::{self, ConnectError, Target};

/// How long the connection is kept when nobody listens any more.
const LINGER: Duration = Duration::from_secs(5);

/// How long the server may take to answer before the connection counts as lost.
const PATIENCE: Duration = Duration::from_secs(15);

/// The pause before the connection is tried again: at first, and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Why the listening connection ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("it could not be opened")]
    Connect(#[from] ConnectError),
    #[error("no user is known to log in with")]
    NoLogin,
    #[error("the socket failed")]
    Io(#[from] io::Error),
    #[error("the server closed it")]
    Closed,
    #[error("the server said: {0}")]
    Refused(String),
    #[error("the server is out of step")]
    OutOfStep,
    #[error("the server did not answer in time")]
    Timeout,
    #[error("another node is the primary now")]
    Replaced,
}

/// Listens for the clients of `hub` on the primary of `cluster`, for ever. `targets` are its nodes; `None` where nobody
/// knows how to log in.
pub async fn listen(hub: Arc<Hub>, cluster: Arc<Cluster>, targets: Vec<Option<Target>>) {
    let (mut pause, longest) = BACK_OFF;
    loop {
        hub.is_wanted().await;
        let term = cluster.term();
        let node = cluster.led_by().unwrap_or(NodeId::FIRST);
        let target = targets.get(node.index()).and_then(Option::as_ref);
        let outcome = tokio::select! {
            outcome = attend(&hub, target, &mut pause) => outcome,
            () = cluster.end_of(term) => Err(Lost::Replaced),
        };
        match outcome {
            Ok(()) => pause = BACK_OFF.0,
            Err(lost) => {
                tracing::warn!(
                    error = %lost,
                    cause = std::error::Error::source(&lost).map(tracing::field::display),
                    "the connection that listens for clients is lost"
                );
                hub.fail();
                sleep(pause).await;
                pause = (pause * 2).min(longest);
            }
        }
    }
}

/// Connects and listens, until nobody wants it any more.
async fn attend(hub: &Hub, target: Option<&Target>, pause: &mut Duration) -> Result<(), Lost> {
    let login = server::connect(target.ok_or(Lost::NoLogin)?).await?;
    if let Some(target) = target {
        let _ = login.stream.socket().tune(target.endpoint.keepalive);
    }
    let encoding = login.parameters.iter().find(|(name, _)| name == "client_encoding");
    hub.set_encoding(encoding.map(|(_, value)| value.as_str()).unwrap_or_default());
    *pause = BACK_OFF.0;
    let mut line = Line { stream: login.stream, buffer: Vec::new(), asked: None };
    let result = line.serve(hub).await;
    line.stream.close();
    result
}

/// The connection.
struct Line {
    stream: Stream,
    buffer: Vec<u8>,
    /// What the server is to answer, and by when.
    asked: Option<(Order, Instant)>,
}

/// What the server is told in one text.
struct Order {
    sql: Vec<u8>,
    listens: Vec<Box<str>>,
    /// The last of those who asked that this answers.
    ticket: u64,
}

impl Line {
    async fn serve(&mut self, hub: &Hub) -> Result<(), Lost> {
        let mut idle_since = None;
        loop {
            if self.asked.is_none()
                && let Some(order) = hub.next_order()
            {
                let mut message = Vec::new();
                frontend::query(&mut message, &order.sql);
                self.asked = Some((order, Instant::now() + PATIENCE));
                self.stream.write_all(&message).await?;
            }
            let is_idle = self.asked.is_none() && hub.hears_nothing();
            idle_since = is_idle.then(|| idle_since.unwrap_or_else(Instant::now));
            let limit = match (&self.asked, idle_since) {
                (Some((_, deadline)), _) => Some(*deadline),
                (None, idle_since) => idle_since.map(|since| since + LINGER),
            };
            tokio::select! {
                count = self.stream.read_some(&mut self.buffer) => {
                    if count? == 0 {
                        return Err(Lost::Closed);
                    }
                    self.take(hub)?;
                }
                () = hub.todo.notified() => {}
                () = at(limit) => match self.asked {
                    Some(_) => return Err(Lost::Timeout),
                    None => return Ok(()),
                },
            }
        }
    }

    /// Goes over what the server has sent.
    fn take(&mut self, hub: &Hub) -> Result<(), Lost> {
        let mut position = 0;
        while let Some(header) = frame::header(self.buffer.get(position..).unwrap_or_default())
            .map_err(|_| Lost::OutOfStep)?
        {
            let Some(message) = self.buffer.get(position..position + header.size) else { break };
            position += header.size;
            let body = frontend::body(message);
            match BackendTag(header.tag) {
                BackendTag::NOTIFICATION_RESPONSE => {
                    let channel = channel(body).ok_or(Lost::OutOfStep)?;
                    hub.deliver(channel, message);
                }
                BackendTag::READY_FOR_QUERY => {
                    let (order, _) = self.asked.take().ok_or(Lost::OutOfStep)?;
                    hub.confirm(order);
                }
                BackendTag::ERROR_RESPONSE => {
                    return Err(Lost::Refused(ErrorFields(body).message()));
                }
                _ => {}
            }
        }
        self.buffer.drain(..position);
        Ok(())
    }
}

/// The channel of a NotificationResponse, if its name is text.
pub(in crate::session) fn channel(body: &[u8]) -> Option<&str> {
    let name = body.get(4..)?.split(|&byte| byte == 0).next()?;
    std::str::from_utf8(name).ok()
}

async fn at(limit: Option<Instant>) {
    match limit {
        Some(limit) => sleep_until(limit).await,
        None => std::future::pending().await,
    }
}

impl Hub {
    /// Waits until somebody wants to hear something.
    async fn is_wanted(&self) {
        loop {
            if self.has_work() {
                return;
            }
            self.todo.notified().await;
        }
    }

    fn has_work(&self) -> bool {
        let state = self.state.lock();
        !state.channels.is_empty() || state.asked > state.answered
    }

    fn hears_nothing(&self) -> bool {
        self.state.lock().channels.is_empty()
    }

    fn set_encoding(&self, encoding: &str) {
        self.state.lock().encoding = encoding.into();
    }

    /// What the server is to be told now, if anything.
    fn next_order(&self) -> Option<Order> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let listens: Vec<Box<str>> =
            state.channels.keys().filter(|name| !state.live.contains(*name)).cloned().collect();
        let unlistens = state.live.extract_if(|name| !state.channels.contains_key(name));
        let mut sql = Vec::new();
        for name in unlistens {
            command(&mut sql, "UNLISTEN ", &name);
        }
        for name in &listens {
            command(&mut sql, "LISTEN ", name);
        }
        let is_due = !sql.is_empty() || state.asked > state.answered;
        is_due.then_some(Order { sql, listens, ticket: state.asked })
    }

    /// The server has done what it was told.
    fn confirm(&self, order: Order) {
        let mut state = self.state.lock();
        state.live.extend(order.listens);
        state.answered = state.answered.max(order.ticket);
        let is_caught_up = state.channels.keys().all(|name| state.live.contains(name));
        if is_caught_up {
            state.members.values().for_each(|mailbox| mailbox.close_gap());
        }
        wake(&mut state);
    }

    /// The connection is lost.
    fn fail(&self) {
        let mut state = self.state.lock();
        state.live.clear();
        (state.answered, state.failed) = (state.asked, state.asked);
        state.members.values().for_each(|mailbox| mailbox.open_gap());
        wake(&mut state);
    }

    fn deliver(&self, channel: &str, message: &[u8]) {
        let state = self.state.lock();
        if let Some(listeners) = state.channels.get(channel) {
            let heard = Arc::new(Heard { channel: channel.into(), frame: message.into() });
            for mailbox in listeners.values() {
                mailbox.put(&heard);
            }
        }
    }
}

/// Wakes all who wait: each looks whether it is its turn, and asks again only if it is not.
fn wake(state: &mut State) {
    let answered = state.answered;
    if state.asked <= answered {
        state.waiting.drain(..).for_each(|mailbox| mailbox.wake());
    } else {
        state.waiting.iter().for_each(|mailbox| mailbox.wake());
    }
}

/// Appends one command with a channel's name in quotes.
fn command(sql: &mut Vec<u8>, verb: &str, name: &str) {
    sql.extend_from_slice(verb.as_bytes());
    sql.push(b'"');
    sql.extend_from_slice(name.replace('"', "\"\"").as_bytes());
    sql.extend_from_slice(b"\";");
}
