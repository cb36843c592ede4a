use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::cluster::{Cluster, testing};
use crate::config::Routing;
use crate::sql::Why;

const SECOND: u64 = 1_000_000_000;

/// A read of a session that has written nothing, ten seconds after the start.
fn facts() -> Facts {
    Facts {
        class: Class::Read,
        isolation: Isolation::Default,
        access: Access::Unspecified,
        split: Split::On,
        required: Mono::ZERO,
        because: Reason::ReadAfterOwnWrite,
        seen: None,
        now: Mono(10 * SECOND),
        max_lag: Duration::from_secs(1),
        no_replica: NoReplica::Primary,
        patience: Patience::Left,
        full_at: 20,
        slow_start: Duration::ZERO,
        avoid: None,
    }
}

/// One replica that was fresh half a second before the present.
fn one_replica() -> Arc<Cluster> {
    let cluster = testing::cluster(&[1], Routing::default());
    testing::publish(&cluster, NodeId(1), Mono(10 * SECOND - SECOND / 2), Usable::Up);
    cluster
}

fn route(facts: &Facts, cluster: &Cluster) -> (Target, Reason) {
    let Route { target, reason } = decide(facts, cluster.view(), &mut Dice::new(1));
    (target, reason)
}

fn begin(access: Access, isolation: Isolation) -> Class {
    Class::Begin(Begin { access, isolation })
}

#[test]
fn a_read_goes_to_a_replica_and_a_write_to_the_primary() {
    let cluster = one_replica();
    assert_eq!(route(&facts(), &cluster), (Target::Node(NodeId(1)), Reason::Read));
    let write = Facts { class: Class::Primary(Why::Write), ..facts() };
    assert_eq!(route(&write, &cluster), (Target::Primary, Reason::Write));
}

#[test]
fn what_a_replica_has_failed_goes_to_another_or_to_the_primary_at_once() {
    let cluster = testing::cluster(&[1, 1], Routing::default());
    for node in [1, 2] {
        testing::publish(&cluster, NodeId(node), Mono(10 * SECOND - 1), Usable::Up);
    }
    for (failed, other) in [(1, 2), (2, 1)] {
        let again = Facts { avoid: Some(NodeId(failed)), ..facts() };
        assert_eq!(route(&again, &cluster), (Target::Node(NodeId(other)), Reason::ReplicaFailed));
    }
    let again = Facts { avoid: Some(NodeId(1)), no_replica: NoReplica::Error, ..facts() };
    assert_eq!(route(&again, &one_replica()), (Target::Primary, Reason::ReplicaFailed));
    let late = Facts { avoid: Some(NodeId(1)), required: Mono(10 * SECOND), ..facts() };
    assert_eq!(route(&late, &cluster), (Target::Primary, Reason::ReplicaFailed));
}

#[test]
fn with_the_split_off_everything_goes_to_the_primary() {
    let off = Facts { split: Split::Off, ..facts() };
    assert_eq!(route(&off, &one_replica()), (Target::Primary, Reason::SplitOff));
}

#[test]
fn a_transaction_goes_to_a_replica_only_if_it_is_read_only_and_not_serializable() {
    let cases = [
        (Access::ReadOnly, Isolation::Default, Ok(Reason::ReadOnlyTransaction)),
        (Access::ReadOnly, Isolation::ReadCommitted, Ok(Reason::ReadOnlyTransaction)),
        (Access::ReadOnly, Isolation::RepeatableRead, Ok(Reason::ReadOnlyTransaction)),
        (Access::ReadOnly, Isolation::Serializable, Err(Reason::Serializable)),
        (Access::ReadWrite, Isolation::Default, Err(Reason::Transaction)),
        (Access::Unspecified, Isolation::Default, Err(Reason::Transaction)),
    ];
    let cluster = one_replica();
    for (access, isolation, expected) in cases {
        let found = route(&Facts { class: begin(access, isolation), ..facts() }, &cluster);
        let expected = match expected {
            Ok(reason) => (Target::Node(NodeId(1)), reason),
            Err(reason) => (Target::Primary, reason),
        };
        assert_eq!(found, expected, "{access:?} {isolation:?}");
    }
}

#[test]
fn a_session_that_is_read_only_by_default_has_its_transactions_on_replicas() {
    let cluster = one_replica();
    let reports = Facts { access: Access::ReadOnly, ..facts() };
    for (access, expected) in [
        (Access::Unspecified, Target::Node(NodeId(1))),
        (Access::ReadOnly, Target::Node(NodeId(1))),
        (Access::ReadWrite, Target::Primary),
    ] {
        let class = begin(access, Isolation::Default);
        assert_eq!(route(&Facts { class, ..reports }, &cluster).0, expected, "{access:?}");
    }
}

#[test]
fn reads_stay_in_the_zone_until_it_is_short() {
    let routing = Routing { zone: "a".to_owned(), ..Routing::default() };
    let cluster = testing::cluster_in_zones(&["b", "a", "b"], routing);
    for id in [NodeId(1), NodeId(2), NodeId(3)] {
        testing::publish(&cluster, id, Mono(10 * SECOND), Usable::Up);
    }
    let near = NodeId(2);
    for busy in 0..20 {
        assert_eq!(route(&facts(), &cluster).0, Target::Node(near), "{busy}");
        cluster.begin(near, 0);
    }
    // All connections are in use there: others are better however slow they are.
    for slow in [NodeId(1), NodeId(3)] {
        cluster.node(slow).unwrap().observe(Duration::from_mins(1));
    }
    for _ in 0..20 {
        assert_ne!(route(&facts(), &cluster).0, Target::Node(near));
    }
    (0..20).for_each(|_| cluster.end(near, 0));
    assert_eq!(route(&facts(), &cluster).0, Target::Node(near));
    testing::publish(&cluster, near, Mono::ZERO, Usable::Down);
    assert!(matches!(route(&facts(), &cluster).0, Target::Node(_)));
}

#[test]
fn a_session_that_is_serializable_by_default_reads_from_the_primary() {
    let cluster = one_replica();
    let serializable = Facts { isolation: Isolation::Serializable, ..facts() };
    assert_eq!(route(&serializable, &cluster), (Target::Primary, Reason::Serializable));
    let class = begin(Access::ReadOnly, Isolation::ReadCommitted);
    let named = Facts { class, ..serializable };
    assert_eq!(route(&named, &cluster).0, Target::Node(NodeId(1)));
}

#[test]
fn a_read_after_an_own_write_waits_and_then_goes_to_the_primary() {
    let cluster = one_replica();
    let required = Mono(10 * SECOND - SECOND / 4);
    let fresh = Facts { required, ..facts() };
    let wait = (Target::WaitFresh { required }, Reason::ReadAfterOwnWrite);
    assert_eq!(route(&fresh, &cluster), wait);
    let spent = Facts { patience: Patience::Spent, ..fresh };
    assert_eq!(route(&spent, &cluster), (Target::Primary, Reason::ReadAfterOwnWrite));
    let refuse = Facts { no_replica: NoReplica::Error, ..spent };
    assert_eq!(route(&refuse, &cluster), (Target::Refuse, Reason::ReadAfterOwnWrite));
    let strong = Facts { because: Reason::StrongRead, ..spent };
    assert_eq!(route(&strong, &cluster), (Target::Primary, Reason::StrongRead));
}

#[test]
fn an_instant_that_was_just_reached_is_not_passed() {
    let cluster = one_replica();
    let required = cluster.view().freshest();
    let equal = Facts { required, ..facts() };
    assert_eq!(route(&equal, &cluster).0, Target::WaitFresh { required });
    let before = Facts { required: Mono(required.0 - 1), ..facts() };
    assert_eq!(route(&before, &cluster).0, Target::Node(NodeId(1)));
}

#[test]
fn a_read_does_not_wait_for_a_replica_that_lags() {
    let cluster = one_replica();
    testing::publish(&cluster, NodeId(1), Mono(9 * SECOND - 1), Usable::Up);
    let fresh = Facts { required: Mono(10 * SECOND - 1), ..facts() };
    assert_eq!(route(&fresh, &cluster), (Target::Primary, Reason::ReadLagging));
    testing::publish(&cluster, NodeId(1), Mono::ZERO, Usable::Lagging);
    assert_eq!(route(&facts(), &cluster), (Target::Primary, Reason::ReadLagging));
    let refuse = Facts { no_replica: NoReplica::Error, ..facts() };
    assert_eq!(route(&refuse, &cluster), (Target::Refuse, Reason::ReadLagging));
}

#[test]
fn without_any_replica_reads_go_to_the_primary_whatever_the_setting() {
    let cluster = testing::cluster(&[], Routing::default());
    let strict = Facts { no_replica: NoReplica::Error, ..facts() };
    assert_eq!(route(&strict, &cluster), (Target::Primary, Reason::NoReplica));
}

#[test]
fn a_replica_that_is_down_or_has_no_weight_is_no_replica() {
    for usable in [Usable::Unknown, Usable::Down, Usable::Misconfigured] {
        let cluster = one_replica();
        testing::publish(&cluster, NodeId(1), Mono::ZERO, usable);
        assert_eq!(route(&facts(), &cluster), (Target::Primary, Reason::NoReplica));
    }
    let cluster = testing::cluster(&[0], Routing::default());
    testing::publish(&cluster, NodeId(1), Mono(10 * SECOND), Usable::Up);
    assert_eq!(route(&facts(), &cluster), (Target::Primary, Reason::NoReplica));
}

#[test]
fn while_the_primary_is_down_lag_is_measured_from_its_last_answer() {
    let cluster = one_replica();
    testing::hold(&cluster, Mono(10 * SECOND));
    let later = Facts { now: Mono(900 * SECOND), ..facts() };
    assert_eq!(route(&later, &cluster).0, Target::Node(NodeId(1)));
    let after_write = Facts { required: Mono(11 * SECOND), ..later };
    assert_eq!(route(&after_write, &cluster), (Target::Primary, Reason::ReadAfterOwnWrite));
}

#[test]
fn what_was_read_last_is_shown_by_the_node_that_showed_it_and_by_fresher_ones() {
    let cluster = testing::cluster(&[1, 1], Routing::default());
    for id in [NodeId(1), NodeId(2)] {
        testing::publish(&cluster, id, Mono(10 * SECOND - SECOND / 2), Usable::Up);
    }
    let seen = Seen { at: Mono(10 * SECOND - SECOND / 4), node: NodeId(2), epoch: 0 };
    let epoch = cluster.node(NodeId(2)).unwrap().epoch();
    let again = Facts { seen: Some(Seen { epoch, ..seen }), ..facts() };
    (0..50).for_each(|_| cluster.begin(NodeId(2), 0));
    assert_eq!(route(&again, &cluster).0, Target::Node(NodeId(2)));
    // It crashed, and may have come back with less.
    testing::publish(&cluster, NodeId(2), Mono::ZERO, Usable::Down);
    testing::publish(&cluster, NodeId(2), Mono(10 * SECOND - SECOND / 2), Usable::Up);
    let wait = (Target::WaitFresh { required: seen.at }, Reason::MonotonicRead);
    assert_eq!(route(&again, &cluster), wait);
    testing::publish(&cluster, NodeId(1), Mono(10 * SECOND), Usable::Up);
    assert_eq!(route(&again, &cluster).0, Target::Node(NodeId(1)));
}

fn any_class() -> impl Strategy<Value = Class> {
    prop_oneof![
        4 => Just(Class::Read),
        1 => Just(Class::Primary(Why::Write)),
        1 => Just(Class::Empty),
        1 => Just(Class::End),
        1 => Just(begin(Access::ReadOnly, Isolation::Default)),
        1 => Just(begin(Access::ReadOnly, Isolation::Serializable)),
        1 => Just(begin(Access::Unspecified, Isolation::Default)),
    ]
}

/// A replica as the monitor may publish it: its instant, state, weight and servers in use.
fn any_replica() -> impl Strategy<Value = (u64, Usable, u32, u32)> {
    let state = prop_oneof![
        6 => Just(Usable::Up),
        1 => Just(Usable::Unknown),
        1 => Just(Usable::Lagging),
        1 => Just(Usable::Down),
        1 => Just(Usable::Misconfigured),
    ];
    (80..110_u64, state, 0..4_u32, 0..5_u32)
}

fn any_facts() -> impl Strategy<Value = Facts> {
    let settings = (any::<bool>(), any::<bool>(), any::<bool>());
    let seen = prop::option::of((80..110_u64, 0..4_u16, 0..2_u32));
    (any_class(), settings, 0..110_u64, 1..20_u64, seen).prop_map(
        |(class, (split, error, patient), required, max_lag, seen)| Facts {
            class,
            isolation: Isolation::Default,
            access: Access::Unspecified,
            split: if split { Split::On } else { Split::Off },
            required: Mono(required),
            because: Reason::ReadAfterOwnWrite,
            seen: seen.map(|(at, node, epoch)| Seen { at: Mono(at), node: NodeId(node), epoch }),
            now: Mono(100),
            max_lag: Duration::from_nanos(max_lag),
            no_replica: if error { NoReplica::Error } else { NoReplica::Primary },
            patience: if patient { Patience::Left } else { Patience::Spent },
            full_at: 3,
            slow_start: Duration::ZERO,
            avoid: None,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// The directions, all at once: what is chosen meets every requirement, and something is chosen if anything
    /// does.
    #[test]
    fn a_replica_is_chosen_exactly_if_one_meets_every_requirement(
        facts in any_facts(),
        replicas in prop::collection::vec(any_replica(), 0..4),
        seed in any::<u64>(),
    ) {
        let weights: Vec<_> = replicas.iter().map(|replica| replica.2).collect();
        let cluster = testing::cluster(&weights, Routing::default());
        for (&(fresh, usable, _, busy), index) in replicas.iter().zip(1..) {
            let fresh = if usable == Usable::Up { Mono(fresh) } else { Mono::ZERO };
            testing::publish(&cluster, NodeId(index), fresh, usable);
            (0..busy).for_each(|_| cluster.begin(NodeId(index), 0));
        }
        let max_lag = u64::try_from(facts.max_lag.as_nanos()).expect("small");
        let near = |&(fresh, usable, weight, _): &(u64, Usable, u32, u32)| {
            usable == Usable::Up && weight > 0 && fresh + max_lag >= 100
        };
        let anywhere = facts.seen.map_or(facts.required, |seen| facts.required.max(seen.at));
        let required = |index: usize| match facts.seen {
            Some(seen) if seen.node.index() == index + 1
                && cluster.nodes()[index + 1].epoch() == seen.epoch => facts.required,
            _ => anywhere,
        };
        let meets = |&(index, replica): &(usize, &(u64, Usable, u32, u32))| {
            near(replica) && replica.0 > required(index).0
        };
        let all = || replicas.iter().enumerate();
        let may_read = facts.split == Split::On
            && (facts.class == Class::Read || facts.class == begin(Access::ReadOnly, Isolation::Default));

        let Route { target, reason } = decide(&facts, cluster.view(), &mut Dice::new(seed));
        match target {
            Target::Node(id) => {
                prop_assert!(may_read);
                prop_assert!(id != NodeId::FIRST);
                let chosen = replicas[id.index() - 1];
                prop_assert!(meets(&(id.index() - 1, &chosen)));
            }
            Target::WaitFresh { required: awaited } => {
                prop_assert!(may_read && facts.patience == Patience::Left);
                prop_assert!(replicas.iter().any(near) && !all().any(|one| meets(&one)));
                prop_assert_eq!(awaited, anywhere);
                prop_assert_eq!(reason == Reason::MonotonicRead, anywhere > facts.required);
            }
            Target::Refuse => {
                prop_assert!(may_read && facts.no_replica == NoReplica::Error);
                prop_assert!(!replicas.is_empty() && !all().any(|one| meets(&one)));
            }
            Target::Primary => {
                prop_assert!(!may_read || !all().any(|one| meets(&one)));
            }
        }
    }
}
