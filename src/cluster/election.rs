//! Which node is the primary. Pure: what every node says of itself in, one node or none out.
//!
//! * A node that accepts writes on the highest timeline that any node has shown is the primary: a promotion begins a new
//!   timeline, so whoever accepts writes on an older one has been left behind and is refused.
//! * What a node has shown is remembered while it is away, so that an old primary which returns first is refused too.
//! * Of two that accept writes on the same timeline the one that was the primary stays: the other is a copy.
//! * A primary that has never been away is deposed only by one that accepts writes: a stray standby on a later timeline
//!   (restored from an archive that a test has written to) proves less than the primary's own connection.
//! * One that was away and returns must be on the highest timeline, whoever has shown that meanwhile.

use super::health::Mistake;
use super::lsn::Lineage;
use super::node::NodeId;
use super::probe::{Position, Reading, StandbyTimeline};
use crate::config::Promotions;

/// What one node says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// It has not been asked.
    Unasked,
    /// It does not answer. This is what it said before.
    Silent(Option<Sighting>),
    /// It answers.
    Speaks(Sighting),
}

/// What a node showed itself to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sighting {
    lineage: Lineage,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Primary,
    Standby,
}

/// How a leader that answers came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// It has answered all the time.
    Stayed,
    /// It was away, or has never been asked before.
    Returned,
}

impl Word {
    const fn sighting(self) -> Option<Sighting> {
        match self {
            Self::Unasked => None,
            Self::Silent(sighting) => sighting,
            Self::Speaks(sighting) => Some(sighting),
        }
    }

    fn claims(self) -> bool {
        matches!(self, Self::Speaks(Sighting { kind: Kind::Primary, .. }))
    }
}

impl Sighting {
    fn of(reading: &Reading) -> Self {
        let (kind, timeline) = match reading.position {
            Position::Primary { timeline, .. } => (Kind::Primary, timeline),
            Position::Standby {
                timeline: StandbyTimeline::Streaming(timeline) | StandbyTimeline::Reached(timeline),
                ..
            } => (Kind::Standby, timeline),
        };
        Self { lineage: Lineage { system: reading.system, timeline }, kind }
    }
}

/// Who is the primary of a cluster, and what all nodes say.
#[derive(Debug)]
pub(super) struct Election {
    promotions: Promotions,
    words: Vec<Word>,
    leader: Option<NodeId>,
    /// The system that the cluster is, as far as its primaries have told.
    system: Option<u64>,
    /// Standbys on timelines up to this one prove nothing against the leader: it answered when they showed that.
    tolerated: u32,
}

impl Election {
    /// The first of `nodes` nodes is taken for the primary until something else is known.
    pub(super) fn new(nodes: usize, promotions: Promotions) -> Self {
        let words = vec![Word::Unasked; nodes];
        Self { promotions, words, leader: Some(NodeId::FIRST), system: None, tolerated: 0 }
    }

    /// Follows promotions from now on, or does not.
    pub(super) fn set_promotions(&mut self, promotions: Promotions) {
        self.promotions = promotions;
    }

    /// The primary; it may be down.
    pub(super) const fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// Whether every node has been asked, or none of them could stand in for the primary. Before that an old primary
    /// might be taken for the present one.
    pub(super) fn is_settled(&self) -> bool {
        self.promotions == Promotions::Ignored
            || self.words.len() == 1
            || !self.words.contains(&Word::Unasked)
    }

    /// Takes note of a node's answer, or that it gave none.
    pub(super) fn hear(&mut self, id: NodeId, answer: Option<&Reading>) {
        let settled_before = self.is_settled();
        let Some(word) = self.words.get_mut(id.index()) else { return };
        let before = *word;
        *word = match answer {
            Some(reading) => Word::Speaks(Sighting::of(reading)),
            None => Word::Silent(before.sighting()),
        };
        if self.promotions == Promotions::Ignored {
            self.leader = Some(NodeId::FIRST);
            return;
        }
        if let (true, Some(reading)) = (self.leader == Some(id), answer) {
            // Its successor in the same place, say after pg_upgrade, has another identifier.
            self.system = Some(reading.system);
        }
        let spoke = settled_before && (self.leader != Some(id) || before.claims());
        let leader = self.decide(if spoke { Course::Stayed } else { Course::Returned });
        if leader.is_some_and(|leader| self.word(leader).claims()) {
            self.tolerated = self.top(0);
        } else if leader != self.leader {
            self.tolerated = 0;
        }
        self.leader = leader;
    }

    /// Why a node that accepts writes is not the primary.
    pub(super) fn objection(&self, id: NodeId) -> Mistake {
        let sighting = self.word(id).sighting();
        match (self.promotions, sighting) {
            (Promotions::Followed, Some(seen)) if self.system() != Some(seen.lineage.system) => {
                Mistake::OtherSystem
            }
            (Promotions::Followed, Some(seen))
                if seen.lineage.timeline < self.top(self.tolerated) =>
            {
                Mistake::Superseded
            }
            (Promotions::Followed, _) => Mistake::Rival,
            (Promotions::Ignored, _) => Mistake::ReplicaNotInRecovery,
        }
    }

    fn word(&self, id: NodeId) -> Word {
        self.words.get(id.index()).copied().unwrap_or(Word::Unasked)
    }

    /// The system that the cluster is: as its primary says, or else all nodes.
    fn system(&self) -> Option<u64> {
        let mut systems = self.sightings().map(|seen| seen.lineage.system);
        self.system.or_else(|| {
            let first = systems.next()?;
            systems.all(|system| system == first).then_some(first)
        })
    }

    fn sightings(&self) -> impl Iterator<Item = Sighting> {
        self.words.iter().filter_map(|word| word.sighting())
    }

    /// The highest timeline that any node of the system has shown, except for standbys up to `tolerated`.
    fn top(&self, tolerated: u32) -> u32 {
        let system = self.system();
        let counts = |seen: &Sighting| {
            Some(seen.lineage.system) == system
                && (seen.kind == Kind::Primary || seen.lineage.timeline > tolerated)
        };
        self.sightings().filter(counts).map(|seen| seen.lineage.timeline).max().unwrap_or(0)
    }

    /// Who is the primary after what was heard.
    fn decide(&self, course: Course) -> Option<NodeId> {
        let Some(system) = self.system() else { return self.leader };
        let top = self.top(self.tolerated);
        let is_newest = |seen: &Sighting| seen.lineage == Lineage { system, timeline: top };
        let mut claimants = (0..).map(NodeId).take(self.words.len()).filter(|id| {
            let word = self.word(*id);
            word.claims() && word.sighting().as_ref().is_some_and(is_newest)
        });
        let (claimant, another) = (claimants.next(), claimants.next());
        let Some(leader) = self.leader else { return claimant.filter(|_| another.is_none()) };
        let stays = match self.word(leader) {
            Word::Unasked | Word::Silent(None) => claimant.is_none() || !self.is_settled(),
            Word::Silent(Some(seen)) | Word::Speaks(seen) if seen.kind == Kind::Standby => false,
            Word::Silent(Some(seen)) => is_newest(&seen),
            Word::Speaks(seen) => {
                is_newest(&seen)
                    || (course == Course::Stayed && seen.lineage.timeline == self.top(u32::MAX))
            }
        };
        // Of two copies, neither of which was the primary, nobody can tell which is to be.
        if stays { Some(leader) } else { claimant.filter(|_| another.is_none()) }
    }
}

#[cfg(test)]
mod tests;
