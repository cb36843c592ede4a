//! What a fake node tells the monitor: its role, and where its log stands.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use super::frames::{Frame, bind_complete, complete, idle, parse_complete};
use super::wire::Wire;

/// A node's role and position.
#[derive(Debug)]
pub(crate) struct Position {
    role: Role,
    lsn: AtomicU64,
    restarts: watch::Sender<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Primary,
    Standby,
}

impl Position {
    pub(crate) fn primary() -> Self {
        Self::of(Role::Primary)
    }

    /// A standby that has replayed all that [`Position::primary`] begins with.
    pub(crate) fn standby() -> Self {
        Self::of(Role::Standby)
    }

    fn of(role: Role) -> Self {
        Self { role, lsn: AtomicU64::new(1000), restarts: watch::Sender::new(()) }
    }

    /// The node is restarted, and comes back with as much as this: the monitor's connection is lost.
    pub(crate) fn restart(&self, lsn: u64) {
        self.set(lsn);
        self.restarts.send_replace(());
    }

    /// From now on the node has flushed, or replayed, up to here.
    pub(crate) fn set(&self, lsn: u64) {
        self.lsn.store(lsn, Ordering::Relaxed);
    }

    fn row(&self, statement: &[u8]) -> Frame {
        let lsn = self.lsn.load(Ordering::Relaxed);
        let lsn = format!("{:X}/{:X}", lsn >> 32, lsn & 0xffff_ffff);
        match (self.role, statement) {
            (Role::Primary, b"position") => values(&[Some("f"), Some(&lsn), None]),
            (Role::Standby, b"position") => values(&[Some("t"), Some(&lsn), Some("1")]),
            (Role::Primary, _) => values(&[Some("f"), Some("7"), Some("1")]),
            (Role::Standby, _) => values(&[Some("t"), Some("7"), Some("1")]),
        }
    }
}

/// Answers a monitor for as long as it asks.
pub(super) async fn answer(mut wire: Wire, position: &Position) -> Option<()> {
    let mut statement = Vec::new();
    let mut answers = Vec::new();
    let mut restarted = position.restarts.subscribe();
    loop {
        let frame = tokio::select! {
            frame = next(&mut wire) => frame?,
            _ = restarted.changed() => return Some(()),
        };
        match frame.tag {
            b'Q' => answers.extend([complete("SET"), idle()]),
            b'P' => answers.push(parse_complete()),
            b'B' => {
                // An unnamed portal's empty name, then the statement's.
                statement = frame.body[1..].split(|byte| *byte == 0).next().unwrap().to_vec();
                answers.push(bind_complete());
            }
            b'E' => answers.extend([position.row(&statement), complete("SELECT 1")]),
            b'S' => answers.push(idle()),
            other => panic!("the monitor sends {:?}", char::from(other)),
        }
        if matches!(frame.tag, b'Q' | b'S') {
            wire.try_send(&super::frames::bytes(&answers)).await.ok()?;
            answers.clear();
        }
    }
}

/// The monitor rests between its questions, for as long as it likes.
pub(super) async fn next(wire: &mut Wire) -> Option<Frame> {
    if wire.input.is_empty() {
        wire.stream.readable().await.ok()?;
    }
    wire.next().await
}

pub(super) fn values(values: &[Option<&str>]) -> Frame {
    let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    for value in values {
        match value {
            None => body.extend((-1_i32).to_be_bytes()),
            Some(text) => {
                body.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
                body.extend(text.as_bytes());
            }
        }
    }
    Frame::new(b'D', body)
}
