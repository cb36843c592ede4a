//! Which of several nodes that would all do.

use std::cmp::Ordering;
use std::time::Duration;

use crate::clock::Mono;
use crate::cluster::{Node, NodeId};

/// A small fast generator (xorshift64*), good enough to break ties. One per worker.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// A generator; workers should have different seeds.
    pub const fn new(seed: u64) -> Self {
        // Zero would stay zero for ever.
        Self(if seed == 0 { 0x9E37_79B9_7F4A_7C15 } else { seed })
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `chances`.
    fn below(&mut self, chances: u64) -> u64 {
        // The upper bits are the better ones.
        (self.roll() >> 32) % chances.max(1)
    }
}

/// What a choice depends on, besides the nodes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scales {
    /// The present instant.
    pub(super) now: Mono,
    /// For how long a node that has returned gets less than its share.
    pub(super) slow_start: Duration,
}

/// Of two nodes picked at random, the one with less to do. All poolers and workers would agree on the one that has
/// least of all, and bury it before they notice; of two picked at random they agree on none.
pub(super) fn lighter_of_two<'a>(
    nodes: impl Iterator<Item = &'a Node>,
    scales: Scales,
    dice: &mut Dice,
) -> Option<NodeId> {
    let mut picked: [Option<&Node>; 2] = [None; 2];
    for (node, count) in nodes.zip(1_u64..) {
        // Each node is among the two with the same probability (algorithm R).
        let place = if count <= 2 { count - 1 } else { dice.below(count) };
        if let Some(slot) = usize::try_from(place).ok().and_then(|place| picked.get_mut(place)) {
            *slot = Some(node);
        }
    }
    match picked {
        [None, one] | [one, None] => one.map(Node::id),
        [Some(one), Some(other)] => {
            let is_other = match Load::of(one, scales).compare(Load::of(other, scales)) {
                Ordering::Less => false,
                Ordering::Equal => dice.below(2) == 0,
                Ordering::Greater => true,
            };
            Some(if is_other { other.id() } else { one.id() })
        }
    }
}

/// Added to every latency, in microseconds: that one node answers in 50 us and another in 100 says nothing.
const NOISE: u64 = 500;

/// A node's whole share, in the parts in which it is given back to one that returns.
const WHOLE: u64 = 16;

/// What a node has to do, in proportion to what it is meant to.
#[derive(Clone, Copy, Debug)]
struct Load {
    /// Who uses its servers or waits for them, counting the one that is about to come, times how long each takes.
    work: u64,
    share: u64,
}

impl Load {
    fn of(node: &Node, scales: Scales) -> Self {
        let sessions = u64::from(node.demand()) + 1;
        let latency = u64::from(node.latency()) + NOISE;
        let share = u64::from(node.weight()) * returned_share(node.returned(), scales);
        Self { work: sessions.saturating_mul(latency), share }
    }

    /// Compares `work / share` without dividing.
    fn compare(self, other: Self) -> Ordering {
        self.work.saturating_mul(other.share).cmp(&other.work.saturating_mul(self.share))
    }
}

/// How much of its share a node gets, of [`WHOLE`], that came back at `returned`.
fn returned_share(returned: Mono, scales: Scales) -> u64 {
    if returned == Mono::ZERO {
        return WHOLE;
    }
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let (back_for, slow_start) =
        (micros(scales.now.saturating_since(returned)), micros(scales.slow_start));
    if back_for >= slow_start {
        return WHOLE;
    }
    (back_for.saturating_mul(WHOLE) / slow_start.max(1)).clamp(1, WHOLE)
}

#[cfg(test)]
mod tests;
