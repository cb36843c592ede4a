//! One node as the hot path sees it: a handful of atomics.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::health::State;
use crate::clock::Mono;
use crate::telemetry::counter::Gauge;

/// A node of one cluster; the one that is configured as primary is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u16);

impl NodeId {
    /// The node that is configured as primary. Another may be the primary: [`Cluster::primary`](super::Cluster::primary).
    pub const FIRST: Self = Self(0);

    /// The node's place in [`Cluster::nodes`](super::Cluster::nodes).
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a node serves as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// The one that takes writes.
    Primary = 0,
    /// One that answers reads.
    Replica = 1,
}

impl Role {
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
    /// It is not what it should be, and must not be used.
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

/// A statement that takes longer says no more about its node than one that takes as long as this: ten seconds.
const LONGEST_MICROS: u32 = 10_000_000;

/// One worker's sessions on a node.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// Those that have a server of it.
    pub(super) in_flight: Gauge,
    /// Those that wait for one.
    pub(super) waiting: Gauge,
}

/// One PostgreSQL of a cluster.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    name: Box<str>,
    role: AtomicU8,
    weight: u32,
    fresh_as_of: AtomicU64,
    usable: AtomicU8,
    /// By worker.
    sessions: Box<[Sessions]>,
    epoch: AtomicU32,
    /// Its zone, empty if it has none.
    zone: Box<str>,
    /// Whether it is in the pooler's zone, or zones do not matter.
    near: AtomicBool,
    /// How long it has taken to answer of late, in microseconds.
    latency: AtomicU32,
    /// When it came back after it had been away; zero if it never was.
    returned: AtomicU64,
    /// Asks the node's monitor for a poll now.
    pub(super) poll_now: Notify,
    /// Tells the node's monitor that a client could not be connected.
    pub(super) doubted: Notify,
}

impl Node {
    pub(super) fn new(id: NodeId, name: &str, role: Role, weight: u32) -> Self {
        Self {
            id,
            name: name.into(),
            role: AtomicU8::new(role as u8),
            weight,
            fresh_as_of: AtomicU64::new(0),
            usable: AtomicU8::new(Usable::Unknown as u8),
            sessions: Box::new([Sessions::default()]),
            epoch: AtomicU32::new(0),
            zone: Box::default(),
            near: AtomicBool::new(true),
            latency: AtomicU32::new(0),
            returned: AtomicU64::new(0),
            poll_now: Notify::new(),
            doubted: Notify::new(),
        }
    }

    /// The same node, used by so many workers.
    #[must_use]
    pub(super) fn with_workers(self, count: usize) -> Self {
        let sessions = (0..count.max(1)).map(|_| Sessions::default()).collect();
        Self { sessions, ..self }
    }

    /// The same node in a zone.
    #[must_use]
    pub(super) fn in_zone(self, zone: &str) -> Self {
        Self { zone: zone.into(), ..self }
    }

    /// The node's number in its cluster.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// What operators call it: "host:port".
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it serves as.
    #[inline]
    pub fn role(&self) -> Role {
        if self.role.load(Ordering::Relaxed) == Role::Primary as u8 {
            Role::Primary
        } else {
            Role::Replica
        }
    }

    pub(super) fn set_role(&self, role: Role) {
        self.role.store(role as u8, Ordering::Relaxed);
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
        self.count(|lane| lane.in_flight.get())
    }

    /// How many sessions use one of its servers now, or wait for one.
    pub fn demand(&self) -> u32 {
        self.count(|lane| lane.in_flight.get().wrapping_add(lane.waiting.get()))
    }

    fn count(&self, of: impl Fn(&Sessions) -> u64) -> u32 {
        let sum = self.sessions.iter().fold(0, |sum: u64, lane| sum.wrapping_add(of(lane)));
        u32::try_from(sum).unwrap_or(0)
    }

    /// Changes whenever the node may have gone back in time: a standby that crashed may show less than before.
    pub fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Whether it is in the pooler's zone, or zones do not matter.
    #[inline]
    pub fn is_near(&self) -> bool {
        self.near.load(Ordering::Relaxed)
    }

    /// How long it has taken to answer of late, in microseconds.
    #[inline]
    pub fn latency(&self) -> u32 {
        self.latency.load(Ordering::Relaxed)
    }

    /// When it came back after it had been away; [`Mono::ZERO`] if it never was.
    #[inline]
    pub fn returned(&self) -> Mono {
        Mono(self.returned.load(Ordering::Relaxed))
    }

    /// A statement was answered in this time. Errors do not count: they are quick.
    #[inline]
    pub fn observe(&self, took: Duration) {
        self.approach(took, 8);
    }

    /// The monitor was answered in this time. It draws the node's latency back while no statements come, slowly, so
    /// that a node which was slow once is tried again.
    pub(super) fn settle(&self, took: Duration) {
        self.approach(took, 64);
    }

    /// A racing update may be lost: it is an average.
    fn approach(&self, took: Duration, parts: i64) {
        let took = took.as_micros().min(LONGEST_MICROS.into());
        let (old, new) = (i64::from(self.latency()), i64::try_from(took).unwrap_or(0));
        let step = (new - old) / parts;
        // What is nearer than one part is reached in steps of one.
        let step = if step == 0 { (new - old).signum() } else { step };
        self.latency.store(u32::try_from(old + step).unwrap_or(0), Ordering::Relaxed);
    }

    /// Applies the pooler's zone; empty if zones do not matter.
    pub(super) fn compare_zone(&self, zone: &str) {
        self.near.store(zone.is_empty() || *self.zone == *zone, Ordering::Relaxed);
    }

    /// Returns whether the node may have gone back in time.
    pub(super) fn publish(&self, fresh_as_of: Mono, usable: Usable, now: Mono) -> bool {
        let before = self.usable.swap(usable as u8, Ordering::Relaxed);
        let was_away = before != Usable::Unknown as u8 && before != Usable::Up as u8;
        if usable == Usable::Up && was_away {
            self.returned.store(now.0, Ordering::Relaxed);
        }
        let is_away = before != usable as u8 && !matches!(usable, Usable::Up | Usable::Lagging);
        if is_away {
            self.epoch.fetch_add(1, Ordering::Release);
        }
        self.fresh_as_of.store(fresh_as_of.0, Ordering::Release);
        is_away
    }

    /// Those of one worker.
    pub(super) fn sessions(&self, worker: usize) -> Option<&Sessions> {
        self.sessions.get(worker)
    }
}
