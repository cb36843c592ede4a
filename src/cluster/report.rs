//! What operators see of a node.

use std::time::Duration;

use super::health::State;
use super::lsn::Lsn;
use super::node::{Node, NodeId, Role};
use super::probe::{Position, StandbyTimeline};
use super::tracker::{Tracked, Tracker};
use crate::clock::Mono;

/// One node at one moment, for `SHOW NODES` and the metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeReport {
    /// The node.
    pub id: NodeId,
    /// Its name, "host:port".
    pub name: String,
    /// What it serves as.
    pub role: Role,
    /// Whether it may be used, and why not.
    pub state: State,
    /// How long it has been in this state.
    pub in_state_for: Duration,
    /// Why it is in this state and what to do about it; empty for a node that is up as what it is configured to be.
    pub reason: String,
    /// How far it was behind the primary at the primary's last answer; `None` if unknown, and for a primary.
    pub lag: Option<Duration>,
    /// The same in bytes of log.
    pub lag_bytes: Option<u64>,
    /// How long ago its state was that of the primary: what `max_lag` is compared with.
    pub age: Option<Duration>,
    /// Its position: flushed by a primary, replayed by a replica.
    pub lsn: Option<Lsn>,
    /// The timeline that it is on, as far as it can be seen.
    pub timeline: Option<u32>,
    /// Sessions that use one of its servers now.
    pub in_flight: u32,
    /// Its share of the reads in proportion to other replicas.
    pub weight: u32,
    /// Polls answered since the start.
    pub polls_ok: u64,
    /// Polls failed since the start.
    pub polls_failed: u64,
    /// The last failure, also after the node has recovered.
    pub last_error: Option<String>,
}

/// Said of a primary that is not the configured one.
const PROMOTED: &str = "configured as replica, and the primary since it was promoted";

impl NodeReport {
    pub(super) fn new(node: &Node, tracker: &Tracker, now: Mono) -> Self {
        let id = node.id();
        let known = tracker.node(id);
        let (lsn, timeline) = position(known);
        let state = known.map_or(State::Unknown, |known| known.health().state());
        let since = known.map_or(Mono::ZERO, |known| known.health().since());
        Self {
            id,
            name: node.name().to_owned(),
            role: node.role(),
            state,
            in_state_for: now.saturating_since(since),
            reason: match (state, node.role()) {
                (State::Up, Role::Primary) if id != NodeId::FIRST => PROMOTED.to_owned(),
                _ => reason(state, known.and_then(Tracked::last_error)),
            },
            lag: tracker.lag(id),
            lag_bytes: tracker.lag_bytes(id),
            age: tracker.horizon(id).map(|horizon| now.saturating_since(horizon)),
            lsn,
            timeline,
            in_flight: node.in_flight(),
            weight: node.weight(),
            polls_ok: known.map_or(0, Tracked::polls_ok),
            polls_failed: known.map_or(0, Tracked::polls_failed),
            last_error: known.and_then(Tracked::last_error).map(str::to_owned),
        }
    }
}

fn position(node: Option<&Tracked>) -> (Option<Lsn>, Option<u32>) {
    match node.and_then(Tracked::reading).map(|reading| reading.position) {
        None => (None, None),
        Some(Position::Primary { flush, timeline }) => (Some(flush), Some(timeline)),
        Some(Position::Standby { replay, timeline }) => {
            let (StandbyTimeline::Streaming(timeline) | StandbyTimeline::Reached(timeline)) =
                timeline;
            (Some(replay), Some(timeline))
        }
    }
}

/// Why a node is in `state`, in a sentence without a full stop.
pub(super) fn reason(state: State, last_error: Option<&str>) -> String {
    match state {
        State::Up => String::new(),
        State::Unknown => "its distance to the primary is not known yet".to_owned(),
        State::Lagging => {
            "further behind the primary than max_lag, or was so a moment ago".to_owned()
        }
        State::Down(fault) => match last_error {
            Some(error) => format!("{}: {error}", fault.as_str()),
            None => fault.as_str().to_owned(),
        },
        State::Misconfigured(mistake) => mistake.advice().to_owned(),
    }
}
