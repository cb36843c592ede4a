use proptest::prelude::*;

use super::*;
use crate::cluster::{Cluster, Usable, testing};
use crate::config::Routing;

const SCALES: Scales = Scales { now: Mono(100), slow_start: Duration::from_micros(16) };

/// What is chosen out of all replicas.
fn choose(cluster: &Cluster, dice: &mut Dice) -> NodeId {
    lighter_of_two(cluster.view().replicas(), SCALES, dice).expect("a node")
}

fn busy(cluster: &Cluster, in_flight: &[u32]) {
    for (&count, index) in in_flight.iter().zip(1..) {
        for _ in 0..count {
            cluster.begin(NodeId(index), 0);
        }
    }
}

#[test]
fn no_node_is_chosen_out_of_none() {
    assert_eq!(lighter_of_two(std::iter::empty(), SCALES, &mut Dice::new(1)), None);
}

#[test]
fn equals_share_alike() {
    let cluster = testing::cluster(&[1, 1, 1, 1], Routing::default());
    let mut dice = Dice::new(1);
    let mut chosen = [0_u32; 5];
    for _ in 0..4_000 {
        chosen[choose(&cluster, &mut dice).index()] += 1;
    }
    assert!(chosen[1..].iter().all(|&count| (900..1_100).contains(&count)), "{chosen:?}");
}

#[test]
fn servers_in_use_settle_in_proportion_to_the_weights() {
    let cluster = testing::cluster(&[1, 5], Routing::default());
    let mut dice = Dice::new(1);
    for _ in 0..60 {
        let id = choose(&cluster, &mut dice);
        cluster.begin(id, 0);
    }
    let in_use: Vec<_> = cluster.nodes().iter().map(Node::in_flight).collect();
    assert_eq!(in_use, [0, 10, 50]);
}

#[test]
fn who_waits_counts_as_much_as_who_is_served() {
    let cluster = testing::cluster(&[1, 1], Routing::default());
    busy(&cluster, &[2, 2]);
    cluster.node(NodeId(2)).unwrap().observe(Duration::from_micros(100));
    let mut dice = Dice::new(1);
    for _ in 0..20 {
        let id = choose(&cluster, &mut dice);
        cluster.begin_waiting(id, 0);
    }
    let demand: Vec<_> = cluster.nodes().iter().map(Node::demand).collect();
    assert_eq!(demand, [0, 12, 12]);
}

#[test]
fn a_node_that_takes_longer_gets_less_until_it_has_recovered() {
    let cluster = testing::cluster(&[1, 1], Routing::default());
    let slow = cluster.node(NodeId(1)).unwrap();
    for _ in 0..100 {
        slow.observe(Duration::from_millis(4));
    }
    let mut dice = Dice::new(1);
    for _ in 0..100 {
        let id = choose(&cluster, &mut dice);
        cluster.begin(id, 0);
    }
    let shares = |cluster: &Cluster| -> Vec<u32> {
        cluster.nodes()[1..].iter().map(Node::in_flight).collect()
    };
    assert!(shares(&cluster)[0] < 20, "{:?}", shares(&cluster));
    for _ in 0..10_000 {
        slow.observe(Duration::ZERO);
    }
    assert_eq!(slow.latency(), 0);
}

#[test]
fn a_node_that_has_returned_gets_its_share_back_by_and_by() {
    let cluster = testing::cluster(&[1, 1], Routing::default());
    testing::publish(&cluster, NodeId(1), Mono(1), Usable::Down);
    testing::publish(&cluster, NodeId(1), Mono(100), Usable::Up);
    let share = |now| returned_share(Mono(100), Scales { now: Mono(now), ..SCALES });
    assert_eq!(cluster.node(NodeId(1)).unwrap().returned(), Mono(100));
    assert_eq!([share(100), share(8_100), share(16_100)], [1, 8, 16]);
    assert_eq!(returned_share(Mono::ZERO, SCALES), WHOLE);
    let mut dice = Dice::new(1);
    for _ in 0..34 {
        let id = choose(&cluster, &mut dice);
        cluster.begin(id, 0);
    }
    let in_use: Vec<_> = cluster.nodes().iter().map(Node::in_flight).collect();
    assert_eq!(in_use, [0, 2, 32]);
}

proptest! {
    /// The direction: of two nodes the one that was passed over had no less to do.
    #[test]
    fn the_chosen_one_of_two_has_the_smaller_load(
        nodes in prop::collection::vec((1..9_u32, 0..20_u32, 0..5_000_u64), 2..3),
        seed in any::<u64>(),
    ) {
        let weights: Vec<_> = nodes.iter().map(|node| node.0).collect();
        let in_flight: Vec<_> = nodes.iter().map(|node| node.1).collect();
        let cluster = testing::cluster(&weights, Routing::default());
        busy(&cluster, &in_flight);
        for (node, index) in nodes.iter().zip(1..) {
            let observed = cluster.node(NodeId(index)).expect("a node");
            (0..50).for_each(|_| observed.observe(Duration::from_micros(node.2)));
        }
        let load = |node: &Node| {
            f64::from(node.in_flight() + 1) * (f64::from(node.latency()) + 500.0)
                / f64::from(node.weight())
        };
        let chosen = choose(&cluster, &mut Dice::new(seed));
        let chosen = load(cluster.node(chosen).expect("a node"));
        prop_assert!(cluster.view().replicas().all(|node| chosen <= load(node) * (1.0 + 1e-9)));
    }

    /// Whatever the loads, the one with most to do of all is never chosen out of more than one, unless it is not alone.
    #[test]
    fn the_busiest_of_all_is_not_chosen(
        in_flight in prop::collection::vec(0..20_u32, 2..6),
        seed in any::<u64>(),
    ) {
        let cluster = testing::cluster(&vec![1; in_flight.len()], Routing::default());
        busy(&cluster, &in_flight);
        let most = in_flight.iter().max().expect("some");
        prop_assume!(in_flight.iter().filter(|count| *count == most).count() == 1);
        let chosen = choose(&cluster, &mut Dice::new(seed));
        prop_assert!(in_flight[chosen.index() - 1] < *most);
    }
}
