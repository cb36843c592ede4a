//! One node as the hot path sees it: a handful of atomics.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use tokio::sync::Notify;

use super::health::State;
use crate::clock::Mono;

/// A node of one cluster; the primary is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u16);

impl NodeId {
    /// The primary of every cluster.
    pub const PRIMARY: Self = Self(0);

    /// The node's place in [`Cluster::nodes`](super::Cluster::nodes).
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a node is configured to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConfiguredRole {
    /// The one that takes writes.
    Primary,
    /// One that answers reads.
    Replica,
}

impl ConfiguredRole {
    /// The word in `SHOW NODES`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
        }
    }
}

/// Whether a node can be used, without the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Usable {
    /// Not polled yet.
    Unknown = 0,
    /// It can.
    Up = 1,
    /// A replica that is too far behind.
    Lagging = 2,
    /// It does not answer.
    Down = 3,
    /// It is not what it is configured to be, and must not be used as such.
    Misconfigured = 4,
}

impl Usable {
    const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Up,
            2 => Self::Lagging,
            3 => Self::Down,
            4 => Self::Misconfigured,
            _ => Self::Unknown,
        }
    }
}

impl From<State> for Usable {
    fn from(state: State) -> Self {
        match state {
            State::Unknown => Self::Unknown,
            State::Up => Self::Up,
            State::Lagging => Self::Lagging,
            State::Down(_) => Self::Down,
            State::Misconfigured(_) => Self::Misconfigured,
        }
    }
}

/// One PostgreSQL of a cluster.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    name: Box<str>,
    role: ConfiguredRole,
    weight: u32,
    fresh_as_of: AtomicU64,
    usable: AtomicU8,
    in_flight: AtomicU32,
    epoch: AtomicU32,
    /// Asks the node's monitor for a poll now.
    pub(super) poll_now: Notify,
}

impl Node {
    pub(super) fn new(id: NodeId, name: &str, role: ConfiguredRole, weight: u32) -> Self {
        Self {
            id,
            name: name.into(),
            role,
            weight,
            fresh_as_of: AtomicU64::new(0),
            usable: AtomicU8::new(Usable::Unknown as u8),
            in_flight: AtomicU32::new(0),
            epoch: AtomicU32::new(0),
            poll_now: Notify::new(),
        }
    }

    /// The node's number in its cluster.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// What operators call it: "host:port".
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is configured to be.
    pub fn role(&self) -> ConfiguredRole {
        self.role
    }

    /// Its share of the reads in proportion to other replicas; 0 takes none.
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// Whether it can be used.
    pub fn usable(&self) -> Usable {
        Usable::from_byte(self.usable.load(Ordering::Relaxed))
    }

    /// Everything that the primary acknowledged before this instant is visible on this replica.
    /// [`Mono::ZERO`] if it must not be read from, for whatever reason.
    pub fn fresh_as_of(&self) -> Mono {
        Mono(self.fresh_as_of.load(Ordering::Acquire))
    }

    /// How many sessions use one of its servers now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Changes whenever the node may have gone back in time: a standby that crashed may show less than before.
    pub fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    pub(super) fn publish(&self, fresh_as_of: Mono, usable: Usable) {
        let before = self.usable.swap(usable as u8, Ordering::Relaxed);
        if before != usable as u8 && !matches!(usable, Usable::Up | Usable::Lagging) {
            self.epoch.fetch_add(1, Ordering::Release);
        }
        self.fresh_as_of.store(fresh_as_of.0, Ordering::Release);
    }

    pub(super) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        // Saturating, so that one `end` too many cannot make the node look busy for ever.
        let less = |busy: u32| busy.checked_sub(1);
        let before = self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        debug_assert!(before.is_ok(), "every end follows a begin");
    }
}
