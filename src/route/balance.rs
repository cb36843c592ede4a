//! Which of several nodes that would all do.

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

    /// True once in `chances` times.
    fn is_lucky(&mut self, chances: u64) -> bool {
        // The upper bits are the better ones.
        (self.roll() >> 32).is_multiple_of(chances)
    }
}

/// The node with the fewest servers in use for its weight, counting the one that is about to be used. Among
/// equals any with the same probability, so that several poolers or workers do not move in step.
pub(super) fn least_loaded<'a>(
    nodes: impl Iterator<Item = &'a Node>,
    dice: &mut Dice,
) -> Option<NodeId> {
    let mut best: Option<(Load, NodeId)> = None;
    let mut equals = 1;
    for node in nodes {
        let load = Load::of(node);
        let is_better = match best.map(|(least, _)| load.compare(least)) {
            None | Some(std::cmp::Ordering::Less) => {
                equals = 1;
                true
            }
            Some(std::cmp::Ordering::Equal) => {
                equals += 1;
                dice.is_lucky(equals)
            }
            Some(std::cmp::Ordering::Greater) => false,
        };
        if is_better {
            best = Some((load, node.id()));
        }
    }
    best.map(|(_, id)| id)
}

/// Servers in use, in proportion to a weight.
#[derive(Clone, Copy, Debug)]
struct Load {
    servers: u64,
    weight: u64,
}

impl Load {
    fn of(node: &Node) -> Self {
        Self { servers: u64::from(node.in_flight()) + 1, weight: u64::from(node.weight()) }
    }

    /// Compares `servers / weight` without dividing.
    fn compare(self, other: Self) -> std::cmp::Ordering {
        (self.servers * other.weight).cmp(&(other.servers * self.weight))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cluster::{Cluster, testing};
    use crate::config::Routing;

    fn busy(cluster: &Cluster, in_flight: &[u32]) {
        for (&count, index) in in_flight.iter().zip(1..) {
            for _ in 0..count {
                cluster.begin(NodeId(index));
            }
        }
    }

    #[test]
    fn no_node_is_chosen_out_of_none() {
        assert_eq!(least_loaded(std::iter::empty(), &mut Dice::new(1)), None);
    }

    #[test]
    fn equals_share_alike() {
        let cluster = testing::cluster(&[1, 1, 1], Routing::default());
        let mut dice = Dice::new(1);
        let mut chosen = [0_u32; 4];
        for _ in 0..3_000 {
            let id = least_loaded(cluster.view().replicas(), &mut dice).expect("three nodes");
            chosen[id.index()] += 1;
        }
        assert!(chosen[1..].iter().all(|&count| (900..1_100).contains(&count)), "{chosen:?}");
    }

    #[test]
    fn servers_in_use_settle_in_proportion_to_the_weights() {
        let cluster = testing::cluster(&[1, 2, 5], Routing::default());
        let mut dice = Dice::new(1);
        for _ in 0..80 {
            let id = least_loaded(cluster.view().replicas(), &mut dice).expect("three nodes");
            cluster.begin(id);
        }
        let in_use: Vec<_> = cluster.nodes().iter().map(Node::in_flight).collect();
        assert_eq!(in_use, [0, 10, 20, 50]);
    }

    proptest! {
        /// The direction: nobody who was passed over had less to do.
        #[test]
        fn the_chosen_node_has_the_least_load(
            nodes in prop::collection::vec((1..9_u32, 0..20_u32), 1..6),
            seed in any::<u64>(),
        ) {
            let (weights, in_flight): (Vec<_>, Vec<_>) = nodes.iter().copied().unzip();
            let cluster = testing::cluster(&weights, Routing::default());
            busy(&cluster, &in_flight);
            let id = least_loaded(cluster.view().replicas(), &mut Dice::new(seed)).expect("a node");
            let load = |(weight, busy): (u32, u32)| f64::from(busy + 1) / f64::from(weight);
            let chosen = load(nodes[id.index() - 1]);
            prop_assert!(nodes.iter().all(|&node| chosen <= load(node) + 1e-9));
        }
    }
}
