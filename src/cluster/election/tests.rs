use proptest::prelude::*;

use super::*;
use crate::cluster::Lsn;

const A: NodeId = NodeId::FIRST;
const B: NodeId = NodeId(1);
const C: NodeId = NodeId(2);

fn three() -> Election {
    Election::new(3, Promotions::Followed)
}

fn primary(timeline: u32) -> Reading {
    Reading { system: 7, position: Position::Primary { flush: Lsn(100), timeline } }
}

fn standby(timeline: u32) -> Reading {
    let timeline = StandbyTimeline::Streaming(timeline);
    Reading { system: 7, position: Position::Standby { replay: Lsn(100), timeline } }
}

/// The primary on timeline 1 and two standbys, all of which answer.
fn ordinary() -> Election {
    let mut election = three();
    election.hear(A, Some(&primary(1)));
    election.hear(B, Some(&standby(1)));
    election.hear(C, Some(&standby(1)));
    assert_eq!(election.leader(), Some(A));
    election
}

#[test]
fn the_configured_primary_is_presumed_until_all_have_been_asked() {
    let mut election = three();
    assert_eq!((election.leader(), election.is_settled()), (Some(A), false));
    election.hear(B, Some(&primary(2)));
    election.hear(C, None);
    assert_eq!((election.leader(), election.is_settled()), (Some(A), false));
    election.hear(A, None);
    assert_eq!((election.leader(), election.is_settled()), (Some(B), true));
    assert!(Election::new(1, Promotions::Followed).is_settled());
}

#[test]
fn without_any_answer_the_configured_primary_is_presumed() {
    let mut election = three();
    for node in [A, B, C] {
        election.hear(node, None);
    }
    assert_eq!((election.leader(), election.is_settled()), (Some(A), true));
}

#[test]
fn a_promoted_node_is_the_primary_whether_the_old_one_is_there_or_not() {
    let mut alive = ordinary();
    alive.hear(B, Some(&primary(2)));
    assert_eq!(alive.leader(), Some(B));
    assert_eq!(alive.objection(A), Mistake::Superseded);
    let mut away = ordinary();
    away.hear(A, None);
    assert_eq!(away.leader(), Some(A), "it is down, and nobody has taken over");
    away.hear(B, Some(&primary(2)));
    assert_eq!(away.leader(), Some(B));
}

#[test]
fn an_old_primary_that_returns_is_refused_also_while_the_new_one_is_away() {
    let mut election = ordinary();
    election.hear(A, None);
    election.hear(B, Some(&primary(2)));
    election.hear(B, None);
    election.hear(A, Some(&primary(1)));
    assert_eq!(election.leader(), Some(B));
    assert_eq!(election.objection(A), Mistake::Superseded);
    election.hear(A, Some(&standby(2)));
    election.hear(B, Some(&primary(2)));
    assert_eq!(election.leader(), Some(B));
    // And back again.
    election.hear(B, None);
    election.hear(A, Some(&primary(3)));
    assert_eq!(election.leader(), Some(A));
}

#[test]
fn a_pooler_that_starts_late_does_not_take_the_old_primary_for_the_present_one() {
    let orders = [[A, B, C], [A, C, B], [B, A, C], [B, C, A], [C, A, B], [C, B, A]];
    for order in orders {
        let mut election = three();
        for node in order {
            let answer = match node {
                A => Some(primary(1)),
                C => Some(standby(2)),
                _ => None,
            };
            election.hear(node, answer.as_ref());
        }
        assert_eq!(election.leader(), None, "{order:?}");
        assert_eq!(election.objection(A), Mistake::Superseded);
        election.hear(B, Some(&primary(2)));
        assert_eq!(election.leader(), Some(B), "{order:?}");
    }
}

#[test]
fn a_stray_standby_does_not_depose_a_primary_that_answers() {
    let mut election = ordinary();
    election.hear(C, Some(&standby(2)));
    election.hear(A, Some(&primary(1)));
    assert_eq!(election.leader(), Some(A));
    // Nor one that was away, if the stray was one before that.
    election.hear(A, None);
    election.hear(C, Some(&standby(2)));
    assert_eq!(election.leader(), Some(A));
    election.hear(A, Some(&primary(1)));
    assert_eq!(election.leader(), Some(A));
    // But what shows up while it is away may be the news of its successor.
    election.hear(A, None);
    election.hear(C, Some(&standby(3)));
    election.hear(A, Some(&primary(1)));
    assert_eq!(election.leader(), None);
    election.hear(C, Some(&standby(1)));
    assert_eq!(election.leader(), Some(A));
}

#[test]
fn a_copy_never_takes_over() {
    let mut election = ordinary();
    election.hear(B, Some(&primary(1)));
    election.hear(A, None);
    election.hear(B, Some(&primary(1)));
    assert_eq!(election.leader(), Some(A));
    assert_eq!(election.objection(B), Mistake::Rival);
    let mut promoted = ordinary();
    promoted.hear(A, None);
    promoted.hear(B, Some(&primary(2)));
    promoted.hear(C, Some(&primary(2)));
    assert_eq!(promoted.leader(), Some(B));
    // A pooler that comes to this cannot tell them apart.
    let mut late = three();
    late.hear(A, None);
    late.hear(B, Some(&primary(2)));
    late.hear(C, Some(&primary(2)));
    assert_eq!(late.leader(), None);
}

#[test]
fn another_system_is_no_candidate_but_in_the_primarys_own_place() {
    let other = Reading { system: 8, ..primary(9) };
    let mut election = ordinary();
    election.hear(B, Some(&other));
    election.hear(A, None);
    assert_eq!(election.leader(), Some(A));
    assert_eq!(election.objection(B), Mistake::OtherSystem);
    election.hear(A, Some(&Reading { system: 9, ..primary(1) }));
    assert_eq!(election.leader(), Some(A));
}

#[test]
fn a_primary_that_has_become_a_standby_leaves_the_place_empty() {
    let mut election = ordinary();
    election.hear(A, Some(&standby(1)));
    assert_eq!(election.leader(), None);
    election.hear(A, None);
    assert_eq!(election.leader(), None);
    election.hear(A, Some(&primary(2)));
    assert_eq!(election.leader(), Some(A));
}

#[test]
fn promotions_can_be_ignored() {
    let mut election = Election::new(3, Promotions::Ignored);
    election.hear(B, Some(&primary(2)));
    election.hear(A, Some(&standby(2)));
    assert_eq!((election.leader(), election.is_settled()), (Some(A), true));
    assert_eq!(election.objection(B), Mistake::ReplicaNotInRecovery);
}

/// What may be heard of a node: nothing, or its kind and timeline.
fn any_answer() -> impl Strategy<Value = Option<Reading>> {
    prop_oneof![
        1 => Just(None),
        2 => (1..4_u32).prop_map(|timeline| Some(primary(timeline))),
        2 => (1..4_u32).prop_map(|timeline| Some(standby(timeline))),
    ]
}

proptest! {
    /// Whatever is heard in whatever order: nobody is chosen but one that accepts writes, on the highest timeline on which
    /// anybody was seen to; and nobody stays who was left behind by one that does.
    #[test]
    fn the_chosen_one_is_never_behind(
        heard in prop::collection::vec((0..3_u16, any_answer()), 1..60)
    ) {
        let mut election = three();
        let mut last: [Option<Reading>; 3] = [None; 3];
        let mut speaks = [false; 3];
        for (id, answer) in heard {
            let before = election.leader();
            election.hear(NodeId(id), answer.as_ref());
            let index = usize::from(id);
            speaks[index] = answer.is_some();
            last[index] = answer.or(last[index]);
            let timeline = |reading: &Reading| Sighting::of(reading).lineage.timeline;
            let is_primary = |one: &&Reading| Sighting::of(one).kind == Kind::Primary;
            let top = last.iter().flatten().filter(is_primary).map(timeline).max().unwrap_or(0);
            let claims = |index: usize| {
                last[index].as_ref().is_some_and(|one| Sighting::of(one).kind == Kind::Primary)
                    && speaks[index]
            };
            let Some(leader) = election.leader() else { continue };
            let chosen = leader.index();
            if before != Some(leader) {
                prop_assert!(claims(chosen), "{election:?}");
                prop_assert_eq!(timeline(last[chosen].as_ref().unwrap()), top);
            }
            if election.is_settled() {
                let own = last[chosen].as_ref().map_or(u32::MAX, timeline);
                let ahead = (0..3).any(|other| {
                    claims(other) && timeline(last[other].as_ref().unwrap()) > own
                });
                prop_assert!(!ahead, "{election:?}");
            }
        }
    }
}
