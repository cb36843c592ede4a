//! What all polls together say about the nodes of a cluster. Pure: readings in, freshness and states out.

use std::time::Duration;

use super::freshness::{History, Recorded, Sample};
use super::health::{Finding, Health, Limits, Mistake, Returning, State};
use super::lsn::Lineage;
use super::node::{ConfiguredRole, NodeId};
use super::probe::{PollError, Position, Reading, StandbyTimeline};
use super::token::{Reach, Token};
use crate::clock::Mono;
use crate::config::{Routing, StaleReads};

/// One finished poll of a node.
#[derive(Debug)]
pub struct Poll {
    /// Read on our clock before the node was asked.
    pub started_at: Mono,
    /// Read on our clock after its answer, or its failure.
    pub ended_at: Mono,
    /// What it answered.
    pub outcome: Result<Reading, PollError>,
}

/// A node's change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The state since.
    pub to: State,
}

/// All that is known about a cluster's nodes, in the order of their ids.
#[derive(Debug)]
pub(super) struct Tracker {
    routing: Routing,
    history: History,
    nodes: Vec<Tracked>,
}

/// What is known about one node.
#[derive(Debug)]
pub(super) struct Tracked {
    role: ConfiguredRole,
    health: Health,
    /// What it last answered; `None` while the connection that answered is gone.
    ///
    /// A standby that crashed may come back with less replayed than before, so that what it answered holds only
    /// for as long as the connection lives.
    reading: Option<Seen>,
    /// Whether a replica had replayed more than the primary had written.
    ahead: Ahead,
    polls_ok: u64,
    polls_failed: u64,
    last_error: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    reading: Reading,
    ended_at: Mono,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ahead {
    No,
    Yes,
}

impl Tracker {
    /// A tracker of nodes with these roles, of which nothing is known yet.
    pub(super) fn new(roles: impl Iterator<Item = ConfiguredRole>, routing: Routing) -> Self {
        let history = History::new(routing.max_lag);
        Self { routing, history, nodes: roles.map(Tracked::new).collect() }
    }

    /// The settings in force.
    pub(super) fn routing(&self) -> &Routing {
        &self.routing
    }

    /// Applies other settings from the next poll on.
    pub(super) fn set_routing(&mut self, routing: Routing) {
        if routing.max_lag != self.routing.max_lag {
            // Nothing but a moment is lost: the next sample of the primary starts the new history.
            self.history = History::new(routing.max_lag);
        }
        self.routing = routing;
    }

    /// Takes note of a poll. Each node must be polled by one poll at a time.
    pub(super) fn on_poll(&mut self, id: NodeId, poll: Poll) -> Option<Transition> {
        let finding = match (&poll.outcome, self.node(id)?.role) {
            (Err(error), _) => Finding::Failed(error.fault),
            (Ok(reading), ConfiguredRole::Primary) => self.on_primary(*reading, &poll),
            (Ok(reading), ConfiguredRole::Replica) => {
                self.judge_replica(id, *reading, poll.ended_at)
            }
        };
        let limits = self.limits();
        let node = self.nodes.get_mut(id.index())?;
        node.count(&poll.outcome);
        node.reading = poll.outcome.ok().map(|reading| Seen { reading, ended_at: poll.ended_at });
        let from = node.health.on_finding(finding, limits, poll.ended_at)?;
        Some(Transition { from, to: node.health.state() })
    }

    /// A node.
    pub(super) fn node(&self, id: NodeId) -> Option<&Tracked> {
        self.nodes.get(id.index())
    }

    /// The primary's latest sample.
    pub(super) fn newest(&self) -> Option<Sample> {
        self.history.newest()
    }

    /// Up to which instant everything acknowledged is visible on replica `id`, whether it may be used or not.
    pub(super) fn horizon(&self, id: NodeId) -> Option<Mono> {
        let node = self.node(id)?;
        let foreign = matches!(node.health.state(), State::Misconfigured(_));
        match node.reading?.reading.position {
            Position::Standby { replay, .. } if !foreign && node.ahead == Ahead::No => {
                self.history.horizon(replay)
            }
            Position::Standby { .. } | Position::Primary { .. } => None,
        }
    }

    /// Which instant `token` stands for. Whoever made it had it from a primary, so one that is asked from `now` on has
    /// come as far, unless it follows an older timeline. One that follows a newer timeline has all that is left of the
    /// token's.
    pub(super) fn reach(&self, token: Token, now: Mono) -> Reach {
        match self.history.lineage() {
            None => Reach::Unknown,
            Some(lineage) if lineage.system != token.lineage.system => Reach::Foreign,
            Some(lineage) if lineage.timeline < token.lineage.timeline => Reach::Unknown,
            Some(lineage) if lineage.timeline > token.lineage.timeline => Reach::After(now),
            Some(_) => Reach::After(self.history.before(token.flush).unwrap_or(now)),
        }
    }

    /// The same as an instant to publish: [`Mono::ZERO`] unless reads may go to this replica.
    pub(super) fn fresh_as_of(&self, id: NodeId) -> Mono {
        let usable = self.node(id).is_some_and(|node| {
            node.role == ConfiguredRole::Replica && node.health.state() == State::Up
        });
        if usable { self.horizon(id).unwrap_or(Mono::ZERO) } else { Mono::ZERO }
    }

    /// The instant that lag is measured from is never later than this one.
    ///
    /// That is no limit while the primary answers. When it is down nothing new is written, so replicas fall no
    /// further behind than they were at its last answer (unless the configuration says not to rely on that).
    pub(super) fn held_at(&self) -> Mono {
        let down = self.nodes.iter().any(|node| {
            node.role == ConfiguredRole::Primary && matches!(node.health.state(), State::Down(_))
        });
        match (down, self.routing.stale_reads_without_primary, self.history.newest()) {
            (true, StaleReads::On, Some(newest)) => newest.started_at,
            _ => Mono::MAX,
        }
    }

    /// How many bytes of the primary's log the replica has not replayed, as of the latest polls.
    pub(super) fn lag_bytes(&self, id: NodeId) -> Option<u64> {
        match self.node(id)?.reading?.reading.position {
            Position::Standby { replay, .. } => Some(self.newest()?.flush.bytes_since(replay)),
            Position::Primary { .. } => None,
        }
    }

    /// How far the replica was behind at the primary's last answer.
    pub(super) fn lag(&self, id: NodeId) -> Option<Duration> {
        Some(self.newest()?.started_at.saturating_since(self.horizon(id)?))
    }

    fn limits(&self) -> Limits {
        Limits { max_lag: self.routing.max_lag, return_delay: self.routing.return_delay }
    }

    fn on_primary(&mut self, reading: Reading, poll: &Poll) -> Finding {
        let Position::Primary { flush, timeline } = reading.position else {
            return Finding::Wrong(Mistake::PrimaryInRecovery);
        };
        let lineage = Lineage { system: reading.system, timeline };
        let sample = Sample { started_at: poll.started_at, flush };
        let recorded = self.history.record(lineage, sample);
        for node in self.nodes.iter_mut().filter(|node| node.role == ConfiguredRole::Replica) {
            if recorded == Recorded::Restarted {
                // Positions of the old history mean nothing in the new one: ask again.
                node.reading = None;
            }
            node.compare(sample);
        }
        Finding::Good { lag: Duration::ZERO }
    }

    fn judge_replica(&self, id: NodeId, reading: Reading, now: Mono) -> Finding {
        let Position::Standby { replay, timeline } = reading.position else {
            return Finding::Wrong(Mistake::ReplicaNotInRecovery);
        };
        let (Some(lineage), Some(oldest)) = (self.history.lineage(), self.history.oldest()) else {
            return Finding::Incomparable;
        };
        if let Some(mistake) = mistake(reading.system, timeline, lineage) {
            return Finding::Wrong(mistake);
        }
        if self.node(id).is_some_and(|node| node.ahead == Ahead::Yes) {
            return Finding::Wrong(Mistake::AheadOfPrimary);
        }
        let now = now.min(self.held_at());
        if let Some(horizon) = self.history.horizon(replay) {
            return Finding::Good { lag: now.saturating_since(horizon) };
        }
        // Behind everything that is remembered: by at least this much.
        match now.saturating_since(oldest.started_at) {
            lag if lag > self.routing.max_lag => Finding::Good { lag },
            _ => Finding::Incomparable,
        }
    }
}

/// Whether a standby follows another history than the primary's.
fn mistake(system: u64, timeline: StandbyTimeline, primary: Lineage) -> Option<Mistake> {
    if system != primary.system {
        return Some(Mistake::OtherSystem);
    }
    match timeline {
        StandbyTimeline::Streaming(streamed) if streamed == primary.timeline => None,
        StandbyTimeline::Streaming(_) => Some(Mistake::OtherTimeline),
        // A standby never returns to a lower timeline, so one that has reached the primary's is on it.
        StandbyTimeline::Reached(reached) if reached == primary.timeline => None,
        StandbyTimeline::Reached(reached) if reached > primary.timeline => {
            Some(Mistake::OtherTimeline)
        }
        StandbyTimeline::Reached(_) => Some(Mistake::UnprovenTimeline),
    }
}

impl Tracked {
    fn new(role: ConfiguredRole) -> Self {
        let policy = match role {
            ConfiguredRole::Primary => Returning::AtOnce,
            ConfiguredRole::Replica => Returning::AfterDelay,
        };
        Self {
            role,
            health: Health::new(policy),
            reading: None,
            ahead: Ahead::No,
            polls_ok: 0,
            polls_failed: 0,
            last_error: None,
        }
    }

    /// The node's health.
    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// What the node last answered, while the connection that answered lives.
    pub(super) fn reading(&self) -> Option<Reading> {
        self.reading.map(|seen| seen.reading)
    }

    /// How many polls were answered.
    pub(super) fn polls_ok(&self) -> u64 {
        self.polls_ok
    }

    /// How many polls failed.
    pub(super) fn polls_failed(&self) -> u64 {
        self.polls_failed
    }

    /// What the last failure was; it stays after the node has recovered.
    pub(super) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// Finds out whether the node holds log that the primary did not have when it was asked later. A standby
    /// is only ever sent what the primary has flushed, so such a node has followed another server.
    fn compare(&mut self, sample: Sample) {
        let Some(seen) = self.reading.filter(|seen| seen.ended_at < sample.started_at) else {
            return;
        };
        self.ahead = match seen.reading.position {
            Position::Standby { replay, .. } if replay > sample.flush => Ahead::Yes,
            Position::Standby { .. } | Position::Primary { .. } => Ahead::No,
        };
    }

    fn count(&mut self, outcome: &Result<Reading, PollError>) {
        match outcome {
            Ok(_) => self.polls_ok += 1,
            Err(error) => {
                self.polls_failed += 1;
                self.ahead = Ahead::No;
                self.last_error = Some(error.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests;
