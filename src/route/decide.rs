//! The decision.

use std::time::Duration;

use super::balance::{Dice, Scales, lighter_of_two};
use super::reason::Reason;
use crate::clock::Mono;
use crate::cluster::{Node, NodeId, Usable, View};
use crate::config::{NoReplica, Split};
use crate::sql::{Access, Begin, Class, Isolation};

/// All that a decision depends on, besides the nodes.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// What the statement is; of a batch, its strongest.
    pub class: Class,
    /// The isolation level that the session's transactions have unless they say otherwise, if it is known to
    /// differ from the server's default.
    pub isolation: Isolation,
    /// The access mode that the session's transactions have unless they say otherwise, if it has set one.
    pub access: Access,
    /// Whether reads go to replicas at all.
    pub split: Split,
    /// A read must see everything acknowledged up to this instant; [`Mono::ZERO`] if nothing in particular.
    pub required: Mono,
    /// Why it must: the reason if no replica shows that.
    pub because: Reason,
    /// What the session has read last, if it must not see less now.
    pub seen: Option<Seen>,
    /// The present instant.
    pub now: Mono,
    /// How far behind a replica may be.
    pub max_lag: Duration,
    /// What becomes of a read that no replica can answer.
    pub no_replica: NoReplica,
    /// Whether the read may wait for a replica to catch up.
    pub patience: Patience,
    /// With so many sessions that use or want its servers a replica of the same zone is no better than those of others.
    pub full_at: u32,
    /// For how long a replica that has returned gets less than its share.
    pub slow_start: Duration,
    /// The replica that has failed the read, which goes to another one at once or to the primary.
    pub avoid: Option<NodeId>,
}

/// What a session has read last. The node that showed it shows it still, unless it has been away; any other node has
/// to be fresh as of the instant at which the answer was complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When the answer was complete.
    pub at: Mono,
    /// Who gave it.
    pub node: NodeId,
    /// The node's [`Node::epoch`] then.
    pub epoch: u32,
}

/// Whether a read may wait for a replica to catch up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It may.
    Left,
    /// It has waited for as long as it may, or must not wait at all.
    Spent,
}

/// Where a statement runs, and why there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where.
    pub target: Target,
    /// Why.
    pub reason: Reason,
}

/// Where a statement runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// On the primary.
    Primary,
    /// On this replica.
    Node(NodeId),
    /// To be decided again once a replica is fresh as of an instant after `required`, or the wait has ended
    /// (with [`Patience::Spent`]).
    WaitFresh {
        /// The instant.
        required: Mono,
    },
    /// Nowhere: it is a read, and reads are not to run on the primary.
    Refuse,
}

/// Decides where a statement runs. Costs no lock and no allocation.
pub fn decide(facts: &Facts, view: View<'_>, dice: &mut Dice) -> Route {
    match reason_to_read(facts) {
        Ok(reason) => read(facts, view, reason, dice),
        Err(reason) => Route { target: Target::Primary, reason },
    }
}

/// Why the statement may run on a replica, or (as error) why it must run on the primary.
fn reason_to_read(facts: &Facts) -> Result<Reason, Reason> {
    let (isolation, reason) = match facts.class {
        Class::Primary(why) => return Err(why.into()),
        Class::Empty | Class::End | Class::Savepoint => return Err(Reason::Trivial),
        Class::Begin(Begin { access, .. }) if !is_read_only(access, facts.access) => {
            return Err(Reason::Transaction);
        }
        Class::Begin(Begin { isolation, .. }) => (isolation, Reason::ReadOnlyTransaction),
        Class::Read => (Isolation::Default, Reason::Read),
    };
    let effective = if isolation == Isolation::Default { facts.isolation } else { isolation };
    match (facts.split, effective) {
        (Split::Off, _) => Err(Reason::SplitOff),
        // "cannot use serializable mode in a hot standby"
        (Split::On, Isolation::Serializable) => Err(Reason::Serializable),
        (Split::On, _) => Ok(reason),
    }
}

/// Whether a transaction is read-only that asks for `access` in a session whose transactions have `default`.
fn is_read_only(access: Access, default: Access) -> bool {
    let access = if access == Access::Unspecified { default } else { access };
    access == Access::ReadOnly
}

fn read(facts: &Facts, view: View<'_>, reason: Reason, dice: &mut Dice) -> Route {
    let need = Need::new(facts, view);
    let eligible = view.replicas().filter(|node| need.judge(node) == Standing::Eligible);
    let scales = Scales { now: facts.now, slow_start: facts.slow_start };
    let has_room = |node: &&Node| node.demand() < facts.full_at;
    let roomy = eligible.clone().filter(has_room);
    let near = lighter_of_two(roomy.clone().filter(|node| node.is_near()), scales, dice);
    let found = near
        .or_else(|| lighter_of_two(roomy, scales, dice))
        .or_else(|| lighter_of_two(eligible, scales, dice));
    let reason = if facts.avoid.is_some() { Reason::ReplicaFailed } else { reason };
    if let Some(id) = found {
        return Route { target: Target::Node(id), reason };
    }
    if facts.avoid.is_some() {
        return Route { target: Target::Primary, reason };
    }
    let nearest = view.replicas().map(|node| need.judge(node)).max();
    let reason = match nearest {
        Some(Standing::Eligible | Standing::Catching) if need.anywhere() > facts.required => {
            Reason::MonotonicRead
        }
        Some(Standing::Eligible | Standing::Catching) => facts.because,
        Some(Standing::Lagging) => Reason::ReadLagging,
        Some(Standing::Unusable) | None => Reason::NoReplica,
    };
    // What a primary that is down acknowledged last cannot be found out, so waiting would be in vain.
    let is_worth_waiting = nearest >= Some(Standing::Catching) && view.held_at() == Mono::MAX;
    let target = match (facts.patience, facts.no_replica) {
        (Patience::Left, _) if is_worth_waiting => Target::WaitFresh { required: need.anywhere() },
        (_, NoReplica::Error) if nearest.is_some() => Target::Refuse,
        (_, NoReplica::Primary | NoReplica::Error) => Target::Primary,
    };
    Route { target, reason }
}

/// What a replica must be to answer a read.
#[derive(Clone, Copy, Debug)]
struct Need {
    required: Mono,
    seen: Option<Seen>,
    avoid: Option<NodeId>,
    /// Lag is measured from here.
    from: Mono,
    max_lag: Duration,
}

/// How near a replica is to answering a read; the nearer the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It is down, not what it should be, unknown, or takes no reads.
    Unusable,
    /// It is too far behind for any read.
    Lagging,
    /// It is near the primary, but does not show all that this read must see.
    Catching,
    /// It will do.
    Eligible,
}

impl Standing {
    /// The word in `SHOW ROUTE`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unusable => "unusable",
            Self::Lagging => "lagging",
            Self::Catching => "catching up",
            Self::Eligible => "eligible",
        }
    }
}

/// How near each replica is to answering a read of these facts: for people.
pub fn standings<'a>(
    facts: &Facts,
    view: View<'a>,
) -> impl Iterator<Item = (NodeId, Standing)> + use<'a> {
    let need = Need::new(facts, view);
    view.replicas().map(move |node| (node.id(), need.judge(node)))
}

impl Need {
    fn new(facts: &Facts, view: View<'_>) -> Self {
        Self {
            required: facts.required,
            seen: facts.seen,
            avoid: facts.avoid,
            from: facts.now.min(view.held_at()),
            max_lag: facts.max_lag,
        }
    }

    /// What any replica has to be fresh as of, whichever it is.
    fn anywhere(&self) -> Mono {
        self.seen.map_or(self.required, |seen| self.required.max(seen.at))
    }

    /// What this one has to be fresh as of.
    fn of(&self, node: &Node) -> Mono {
        match self.seen {
            Some(seen) if seen.node == node.id() && seen.epoch == node.epoch() => self.required,
            _ => self.anywhere(),
        }
    }

    fn judge(&self, node: &Node) -> Standing {
        // One load decides: it is zero unless reads may go there.
        let fresh = node.fresh_as_of();
        if node.weight() == 0 || self.avoid == Some(node.id()) {
            return Standing::Unusable;
        }
        if fresh == Mono::ZERO {
            return match node.usable() {
                Usable::Lagging => Standing::Lagging,
                Usable::Unknown | Usable::Up | Usable::Down | Usable::Misconfigured => {
                    Standing::Unusable
                }
            };
        }
        if self.from.saturating_since(fresh) > self.max_lag {
            Standing::Lagging
        } else if fresh <= self.of(node) {
            Standing::Catching
        } else {
            Standing::Eligible
        }
    }
}

#[cfg(test)]
mod tests;
