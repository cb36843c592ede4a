//! Asking a node where it stands.

mod wal;

use std::fmt;
use std::future::{Future, pending};

pub use self::wal::{Dial, WalSource};

use super::health::Fault;
use super::lsn::Lsn;

/// Where the readings of one node come from.
///
/// [`WalSource`] asks PostgreSQL for its position in the write-ahead log. Nodes that have none to show (shared
/// storage, as Aurora) need another source of comparable numbers.
pub trait Source: Send + 'static {
    /// Asks the node once, connecting first if there is no connection.
    ///
    /// # Errors
    ///
    /// Why there is no answer. The next poll starts with a new connection.
    ///
    /// # Cancel safety
    ///
    /// A poll that is dropped closes the connection.
    fn poll(&mut self) -> impl Future<Output = Result<Reading, PollError>> + Send;

    /// Resolves when the connection of the last poll is lost, which may be at once the first sign that a node is
    /// gone. Never resolves while there is none.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    fn lost(&mut self) -> impl Future<Output = PollError> + Send {
        pending()
    }
}

/// What a node answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The identifier that `initdb` gave the system.
    pub system: u64,
    /// What it is and where its log stands.
    pub position: Position,
}

/// What a node is and where its log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Not in recovery.
    Primary {
        /// Up to where the log is flushed.
        flush: Lsn,
        /// The timeline that it writes.
        timeline: u32,
    },
    /// In recovery.
    Standby {
        /// Up to where the log has been replayed.
        replay: Lsn,
        /// The timeline that it follows, as far as it can be seen.
        timeline: StandbyTimeline,
    },
}

/// The timeline that a standby follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandbyTimeline {
    /// It streams this one.
    Streaming(u32),
    /// It has reached this one, and may be on a later one: the role that asks may not see, or nothing is
    /// streamed at present.
    Reached(u32),
}

/// Why a poll failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollError {
    /// The kind of failure.
    pub fault: Fault,
    /// What exactly was said, for people.
    pub detail: String,
}

impl PollError {
    /// A failure of this kind.
    pub fn new(fault: Fault, detail: impl fmt::Display) -> Self {
        Self { fault, detail: detail.to_string() }
    }
}

impl fmt::Display for PollError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for PollError {}
