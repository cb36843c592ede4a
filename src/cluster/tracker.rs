//! What all polls together say about the nodes of a cluster. Pure: readings in, freshness and states out.

use std::time::Duration;

use super::election::Election;
use super::freshness::{History, Recorded, Sample};
use super::health::{Fault, Finding, Health, Limits, Mistake, Returning, State};
use super::leadership::{Office, Term};
use super::lsn::Lineage;
use super::node::{NodeId, Role};
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
    election: Election,
    /// The last primary that there was.
    office: Office,
    /// The history that it writes, as far as it has told.
    lineage: Option<Lineage>,
}

/// What is known about one node.
#[derive(Debug)]
pub(super) struct Tracked {
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
    pub(super) fn new(roles: impl Iterator<Item = Role>, routing: Routing) -> Self {
        let history = History::new(routing.max_lag);
        let nodes: Vec<_> = roles.map(Tracked::new).collect();
        let election = Election::new(nodes.len(), routing.follow_promotion);
        let office = Office { node: NodeId::FIRST, term: Term::default() };
        Self { routing, history, nodes, election, office, lineage: None }
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
        self.election.set_promotions(routing.follow_promotion);
        self.routing = routing;
    }

    /// The primary; it may be down.
    pub(super) fn primary(&self) -> Option<NodeId> {
        self.election.leader()
    }

    /// The last primary that there was, and its term.
    pub(super) fn office(&self) -> Office {
        self.office
    }

    /// The timeline that it writes.
    pub(super) fn timeline(&self) -> Option<u32> {
        self.lineage.map(|lineage| lineage.timeline)
    }

    /// The node that is to be written to. Not one that does not answer: it would keep who writes to it waiting, also
    /// when another takes over. What it cannot be connected to at once tells by itself.
    pub(super) fn writable(&self) -> Option<NodeId> {
        let primary = self.primary().filter(|_| self.election.is_settled())?;
        let state = self.node(primary)?.health.state();
        let hangs = matches!(state, State::Down(Fault::Timeout) | State::Misconfigured(_));
        (!hangs).then_some(primary)
    }

    /// Whether there is a primary, and it is well.
    pub(super) fn is_led(&self) -> bool {
        let primary = self.writable().and_then(|id| self.node(id));
        primary.is_some_and(|node| node.health.state() == State::Up)
    }

    /// Takes note of a poll. Each node must be polled by one poll at a time.
    pub(super) fn on_poll(&mut self, id: NodeId, poll: Poll) -> Option<Transition> {
        self.node(id)?;
        let before = self.primary();
        self.election.hear(id, poll.outcome.as_ref().ok());
        self.change_primary(before);
        let finding = match &poll.outcome {
            Err(error) => Finding::Failed(error.fault),
            Ok(reading) if self.primary() == Some(id) => self.on_primary(*reading, &poll),
            Ok(reading) => self.judge_replica(id, *reading, poll.ended_at),
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
        let usable = self.primary() != Some(id)
            && self.node(id).is_some_and(|node| node.health.state() == State::Up);
        if usable { self.horizon(id).unwrap_or(Mono::ZERO) } else { Mono::ZERO }
    }

    /// The instant that lag is measured from is never later than this one.
    ///
    /// That is no limit while the primary answers. When it is down, or there is none, nothing new is written, so replicas
    /// fall no further behind than they were at its last answer (unless the configuration says not to rely on that).
    pub(super) fn held_at(&self) -> Mono {
        let primary = self.primary().and_then(|id| self.node(id));
        let down = primary.is_none_or(|node| matches!(node.health.state(), State::Down(_)));
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
        if self.lineage.replace(lineage).is_some_and(|before| before != lineage) {
            // Another server in the same place: what is connected to the one before may still be there.
            self.office.term.0 += 1;
        }
        let sample = Sample { started_at: poll.started_at, flush };
        let recorded = self.history.record(lineage, sample);
        let primary = self.office.node.index();
        let replicas = self.nodes.iter_mut().enumerate().filter(|(index, _)| *index != primary);
        for (_, node) in replicas {
            if recorded == Recorded::Restarted {
                // Positions of the old history mean nothing in the new one: ask again.
                node.reading = None;
            }
            node.compare(sample);
        }
        Finding::Good { lag: Duration::ZERO }
    }

    /// What follows from an election, if it has changed anything.
    fn change_primary(&mut self, before: Option<NodeId>) {
        let primary = self.primary();
        if before == primary {
            return;
        }
        if let Some(node) = before.and_then(|id| self.nodes.get_mut(id.index())) {
            node.health.set_policy(Returning::AfterDelay);
        }
        let Some(id) = primary else { return };
        if let Some(node) = self.nodes.get_mut(id.index()) {
            node.health.set_policy(Returning::AtOnce);
            node.ahead = Ahead::No;
        }
        if self.office.node != id {
            self.office = Office { node: id, term: Term(self.office.term.0 + 1) };
            // Positions of one node's log mean nothing in another's until it has been asked for its own.
            self.history = History::new(self.routing.max_lag);
            self.lineage = None;
        }
    }

    fn judge_replica(&self, id: NodeId, reading: Reading, now: Mono) -> Finding {
        let Position::Standby { replay, timeline } = reading.position else {
            return Finding::Wrong(self.election.objection(id));
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
    fn new(role: Role) -> Self {
        let policy = match role {
            Role::Primary => Returning::AtOnce,
            Role::Replica => Returning::AfterDelay,
        };
        Self {
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
