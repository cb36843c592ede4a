use proptest::prelude::*;

use super::*;
use crate::cluster::{Fault, Lsn};
use crate::config::Promotions;

const PRIMARY: NodeId = NodeId::FIRST;
const REPLICA: NodeId = NodeId(1);
const MS: u64 = 1_000_000;

fn tracker(routing: Routing) -> Tracker {
    let roles = [Role::Primary, Role::Replica];
    Tracker::new(roles.into_iter(), routing)
}

fn primary(flush: u64) -> Reading {
    Reading { system: 7, position: Position::Primary { flush: Lsn(flush), timeline: 1 } }
}

fn standby(replay: u64, timeline: StandbyTimeline) -> Reading {
    Reading { system: 7, position: Position::Standby { replay: Lsn(replay), timeline } }
}

fn replica(replay: u64) -> Reading {
    standby(replay, StandbyTimeline::Streaming(1))
}

/// A poll that took a tenth of a millisecond.
fn at(millisecond: u64, outcome: Result<Reading, PollError>) -> Poll {
    let started_at = Mono(millisecond * MS);
    Poll { started_at, ended_at: Mono(millisecond * MS + MS / 10), outcome }
}

fn lost() -> Result<Reading, PollError> {
    Err(PollError::new(Fault::Lost, "reset"))
}

fn state(tracker: &Tracker, id: NodeId) -> State {
    tracker.node(id).expect("a node").health().state()
}

/// A tracker whose replica is up and has replayed everything that the primary had at millisecond 10.
fn settled(routing: Routing) -> Tracker {
    let mut tracker = tracker(routing);
    tracker.on_poll(PRIMARY, at(10, Ok(primary(100))));
    tracker.on_poll(REPLICA, at(11, Ok(replica(100))));
    assert_eq!(state(&tracker, REPLICA), State::Up);
    assert_eq!(tracker.fresh_as_of(REPLICA), Mono(10 * MS));
    tracker
}

#[test]
fn nothing_is_fresh_before_both_have_answered() {
    let mut tracker = tracker(Routing::default());
    tracker.on_poll(REPLICA, at(1, Ok(replica(100))));
    assert_eq!(
        (state(&tracker, REPLICA), tracker.fresh_as_of(REPLICA)),
        (State::Unknown, Mono::ZERO)
    );
    tracker.on_poll(PRIMARY, at(10, Ok(primary(100))));
    assert_eq!(tracker.fresh_as_of(REPLICA), Mono::ZERO);
}

#[test]
fn an_idle_primary_keeps_its_replica_fresh_without_polls_of_the_replica() {
    let mut tracker = settled(Routing::default());
    tracker.on_poll(PRIMARY, at(500, Ok(primary(100))));
    assert_eq!(tracker.fresh_as_of(REPLICA), Mono(500 * MS));
    assert_eq!(tracker.lag(REPLICA), Some(Duration::ZERO));
}

#[test]
fn a_write_makes_the_replica_older_until_it_is_replayed() {
    let mut tracker = settled(Routing::default());
    tracker.on_poll(PRIMARY, at(20, Ok(primary(150))));
    assert_eq!(tracker.fresh_as_of(REPLICA), Mono(10 * MS));
    assert_eq!(tracker.lag_bytes(REPLICA), Some(50));
    assert_eq!(tracker.lag(REPLICA), Some(Duration::from_millis(10)));
    tracker.on_poll(REPLICA, at(21, Ok(replica(149))));
    assert_eq!(tracker.fresh_as_of(REPLICA), Mono(10 * MS));
    tracker.on_poll(REPLICA, at(22, Ok(replica(150))));
    assert_eq!(tracker.fresh_as_of(REPLICA), Mono(20 * MS));
}

#[test]
fn a_replica_that_lags_leaves_and_returns() {
    let mut tracker = settled(Routing::default());
    tracker.on_poll(PRIMARY, at(20, Ok(primary(150))));
    tracker.on_poll(REPLICA, at(1009, Ok(replica(100))));
    assert_eq!(state(&tracker, REPLICA), State::Up);
    tracker.on_poll(REPLICA, at(1010, Ok(replica(100))));
    assert_eq!(
        (state(&tracker, REPLICA), tracker.fresh_as_of(REPLICA)),
        (State::Lagging, Mono::ZERO)
    );
    tracker.on_poll(PRIMARY, at(1020, Ok(primary(150))));
    tracker.on_poll(REPLICA, at(1030, Ok(replica(150))));
    tracker.on_poll(PRIMARY, at(2000, Ok(primary(150))));
    tracker.on_poll(REPLICA, at(2010, Ok(replica(150))));
    assert_eq!(state(&tracker, REPLICA), State::Lagging);
    tracker.on_poll(REPLICA, at(2030, Ok(replica(150))));
    assert_eq!(
        (state(&tracker, REPLICA), tracker.fresh_as_of(REPLICA)),
        (State::Up, Mono(2000 * MS))
    );
}

/// A standby that crashed may open with less replayed than it had shown before.
#[test]
fn a_lost_connection_takes_the_freshness_with_it() {
    let mut tracker = settled(Routing { return_delay: Duration::ZERO, ..Routing::default() });
    tracker.on_poll(REPLICA, at(20, lost()));
    assert_eq!(tracker.fresh_as_of(REPLICA), Mono::ZERO);
    assert_eq!(tracker.lag(REPLICA), None);
    tracker.on_poll(PRIMARY, at(30, Ok(primary(100))));
    tracker.on_poll(REPLICA, at(31, Ok(replica(90))));
    tracker.on_poll(REPLICA, at(32, Ok(replica(95))));
    assert_eq!(tracker.fresh_as_of(REPLICA), Mono::ZERO);
}

#[test]
fn a_primary_in_recovery_is_misconfigured_and_says_nothing_about_freshness() {
    let routing = Routing { follow_promotion: Promotions::Ignored, ..Routing::default() };
    let mut tracker = settled(routing);
    tracker.on_poll(PRIMARY, at(50, Ok(replica(100))));
    assert_eq!(state(&tracker, PRIMARY), State::Misconfigured(Mistake::PrimaryInRecovery));
    assert_eq!(tracker.newest().expect("a sample").started_at, Mono(10 * MS));
    assert_eq!((tracker.held_at(), tracker.writable()), (Mono::MAX, None));
}

/// An old primary that comes back as a standby of the new one must have been well for a while, as any replica.
#[test]
fn after_a_promotion_the_old_primary_is_a_replica_like_any_other() {
    let mut tracker = settled(Routing::default());
    let on_second = |flush| Reading {
        system: 7,
        position: Position::Primary { flush: Lsn(flush), timeline: 2 },
    };
    let follows = standby(200, StandbyTimeline::Streaming(2));
    tracker.on_poll(PRIMARY, at(20, lost()));
    tracker.on_poll(REPLICA, at(30, Ok(on_second(120))));
    assert_eq!((tracker.primary(), state(&tracker, REPLICA)), (Some(REPLICA), State::Up));
    assert_eq!(tracker.held_at(), Mono::MAX);
    tracker.on_poll(PRIMARY, at(40, Ok(primary(999))));
    assert_eq!(state(&tracker, PRIMARY), State::Misconfigured(Mistake::Superseded));
    tracker.on_poll(PRIMARY, at(50, lost()));
    for (millisecond, expected) in [(1000, Mono::ZERO), (1500, Mono::ZERO), (2001, Mono(2000 * MS))]
    {
        tracker.on_poll(REPLICA, at(millisecond / 10 * 10, Ok(on_second(200))));
        tracker.on_poll(PRIMARY, at(millisecond, Ok(follows)));
        assert_eq!(tracker.fresh_as_of(PRIMARY), expected, "{millisecond}");
    }
}

#[test]
fn a_replica_that_is_something_else_is_not_read_from() {
    let other = Reading { system: 8, ..replica(100) };
    let cases = [
        (primary(100), Mistake::Rival),
        (other, Mistake::OtherSystem),
        (standby(100, StandbyTimeline::Streaming(2)), Mistake::OtherTimeline),
        (standby(100, StandbyTimeline::Reached(2)), Mistake::OtherTimeline),
    ];
    for (reading, mistake) in cases {
        let mut tracker = settled(Routing::default());
        tracker.on_poll(REPLICA, at(20, Ok(reading)));
        assert_eq!(state(&tracker, REPLICA), State::Misconfigured(mistake));
        assert_eq!(tracker.fresh_as_of(REPLICA), Mono::ZERO);
        assert_eq!(tracker.horizon(REPLICA), None);
    }
}

#[test]
fn a_timeline_must_be_seen_or_proven() {
    let on_second =
        Reading { system: 7, position: Position::Primary { flush: Lsn(100), timeline: 2 } };
    let cases = [
        (StandbyTimeline::Streaming(2), State::Up),
        (StandbyTimeline::Reached(2), State::Up),
        (StandbyTimeline::Reached(1), State::Misconfigured(Mistake::UnprovenTimeline)),
        (StandbyTimeline::Streaming(1), State::Misconfigured(Mistake::OtherTimeline)),
    ];
    for (timeline, expected) in cases {
        let mut tracker = tracker(Routing::default());
        tracker.on_poll(PRIMARY, at(10, Ok(on_second)));
        tracker.on_poll(REPLICA, at(11, Ok(standby(100, timeline))));
        assert_eq!(state(&tracker, REPLICA), expected, "{timeline:?}");
    }
}

#[test]
fn a_promotion_makes_nothing_fresh_until_replicas_follow() {
    let mut tracker = settled(Routing::default());
    let promoted =
        Reading { system: 7, position: Position::Primary { flush: Lsn(90), timeline: 2 } };
    tracker.on_poll(PRIMARY, at(20, Ok(promoted)));
    assert_eq!(tracker.fresh_as_of(REPLICA), Mono::ZERO);
    tracker.on_poll(REPLICA, at(21, Ok(standby(100, StandbyTimeline::Streaming(1)))));
    assert_eq!(state(&tracker, REPLICA), State::Misconfigured(Mistake::OtherTimeline));
}

#[test]
fn a_replica_that_holds_more_than_the_primary_is_not_read_from() {
    let mut tracker = settled(Routing::default());
    tracker.on_poll(REPLICA, at(20, Ok(replica(200))));
    // Replayed after the primary was asked, so it may well have more.
    assert_eq!(tracker.fresh_as_of(REPLICA), Mono(10 * MS));
    tracker.on_poll(PRIMARY, at(30, Ok(primary(150))));
    assert_eq!(tracker.fresh_as_of(REPLICA), Mono::ZERO);
    tracker.on_poll(REPLICA, at(40, Ok(replica(200))));
    assert_eq!(state(&tracker, REPLICA), State::Misconfigured(Mistake::AheadOfPrimary));
    tracker.on_poll(PRIMARY, at(50, Ok(primary(500))));
    tracker.on_poll(REPLICA, at(60, Ok(replica(500))));
    assert_eq!(state(&tracker, REPLICA), State::Unknown);
}

#[test]
fn replicas_hold_their_age_while_the_primary_is_down() {
    let mut tracker = settled(Routing::default());
    tracker.on_poll(PRIMARY, at(20, lost()));
    assert_eq!(tracker.held_at(), Mono(10 * MS));
    tracker.on_poll(REPLICA, at(60_000, Ok(replica(100))));
    assert_eq!(
        (state(&tracker, REPLICA), tracker.fresh_as_of(REPLICA)),
        (State::Up, Mono(10 * MS))
    );
    tracker.on_poll(PRIMARY, at(60_010, Ok(primary(100))));
    assert_eq!(tracker.held_at(), Mono::MAX);
    assert_eq!(tracker.fresh_as_of(REPLICA), Mono(60_010 * MS));
}

#[test]
fn replicas_age_while_the_primary_is_down_if_so_configured() {
    let routing = Routing { stale_reads_without_primary: StaleReads::Off, ..Routing::default() };
    let mut tracker = settled(routing);
    tracker.on_poll(PRIMARY, at(20, lost()));
    assert_eq!(tracker.held_at(), Mono::MAX);
    tracker.on_poll(REPLICA, at(1_100, Ok(replica(100))));
    assert_eq!(state(&tracker, REPLICA), State::Lagging);
}

#[test]
fn failures_are_counted_and_remembered() {
    let mut tracker = settled(Routing::default());
    let changed = tracker.on_poll(REPLICA, at(20, lost()));
    assert_eq!(changed, Some(Transition { from: State::Up, to: State::Down(Fault::Lost) }));
    let node = tracker.node(REPLICA).expect("a node");
    assert_eq!((node.polls_ok(), node.polls_failed(), node.last_error()), (1, 1, Some("reset")));
    assert_eq!(tracker.on_poll(NodeId(9), at(30, lost())), None);
}

/// A primary with one replica, and polls of both whose steps happen in any order.
#[derive(Debug, Default)]
struct World {
    now: u64,
    written: u64,
    /// The instant at which each write was acknowledged, with its end in the log.
    acknowledged: Vec<(Mono, u64)>,
    replayed: u64,
    primary_poll: PollStep,
    replica_poll: PollStep,
}

/// How far a poll has come: asked, answered by the node, not delivered yet.
#[derive(Clone, Copy, Debug, Default)]
enum PollStep {
    #[default]
    None,
    Asked(Mono),
    Answered(Mono, u64),
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Write,
    /// The replica replays some of what it lacks, in thirds.
    Replay(u64),
    /// The replica crashes and opens with less replayed; its connection is lost.
    Crash,
    PrimaryPoll,
    ReplicaPoll,
    PrimaryLost,
}

impl World {
    fn step(&mut self, step: Step, tracker: &mut Tracker) {
        self.now += 1;
        match step {
            Step::Write => {
                self.written += 10;
                self.acknowledged.push((Mono(self.now), self.written));
            }
            Step::Replay(thirds) => self.replayed += (self.written - self.replayed) * thirds / 3,
            Step::Crash => {
                self.replayed -= self.replayed / 4;
                self.replica_poll = PollStep::None;
                tracker.on_poll(REPLICA, self.done(Mono(self.now), lost()));
            }
            Step::PrimaryLost => {
                self.primary_poll = PollStep::None;
                tracker.on_poll(PRIMARY, self.done(Mono(self.now), lost()));
            }
            Step::PrimaryPoll => {
                self.primary_poll = match self.primary_poll {
                    PollStep::None => PollStep::Asked(Mono(self.now)),
                    PollStep::Asked(at) => PollStep::Answered(at, self.written),
                    PollStep::Answered(at, flush) => {
                        tracker.on_poll(PRIMARY, self.done(at, Ok(primary(flush))));
                        PollStep::None
                    }
                };
            }
            Step::ReplicaPoll => {
                self.replica_poll = match self.replica_poll {
                    PollStep::None => PollStep::Asked(Mono(self.now)),
                    PollStep::Asked(at) => PollStep::Answered(at, self.replayed),
                    PollStep::Answered(at, replay) => {
                        tracker.on_poll(REPLICA, self.done(at, Ok(replica(replay))));
                        PollStep::None
                    }
                };
            }
        }
    }

    fn done(&self, started_at: Mono, outcome: Result<Reading, PollError>) -> Poll {
        Poll { started_at, ended_at: Mono(self.now), outcome }
    }

    /// What a replica that is fresh as of `fresh` must show at least.
    fn owed(&self, fresh: Mono) -> u64 {
        let before = self.acknowledged.iter().filter(|(at, _)| *at < fresh);
        before.map(|&(_, end)| end).max().unwrap_or(0)
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Write),
        3 => (1..=3_u64).prop_map(Step::Replay),
        6 => Just(Step::PrimaryPoll),
        6 => Just(Step::ReplicaPoll),
        1 => Just(Step::Crash),
        1 => Just(Step::PrimaryLost),
    ]
}

proptest! {
    /// The promise that everything rests on: a read that requires an instant before `fresh_as_of` sees every
    /// write acknowledged up to that instant, whenever polls were asked, answered and delivered.
    #[test]
    fn a_replica_shows_all_that_was_acknowledged_before_it_is_fresh(
        steps in prop::collection::vec(any_step(), 1..300)
    ) {
        let routing = Routing { return_delay: Duration::ZERO, ..Routing::default() };
        let mut tracker = tracker(routing);
        let mut world = World::default();
        for step in steps {
            world.step(step, &mut tracker);
            let fresh = tracker.fresh_as_of(REPLICA);
            prop_assert!(world.replayed >= world.owed(fresh), "{step:?}: {world:?}");
            prop_assert!(fresh <= Mono(world.now));
        }
    }

    /// And it is not an empty promise: once a replica has everything and both were asked, it is fresh.
    #[test]
    fn a_replica_that_has_everything_becomes_fresh(
        steps in prop::collection::vec(any_step(), 1..100)
    ) {
        let routing = Routing { return_delay: Duration::ZERO, ..Routing::default() };
        let mut tracker = tracker(routing);
        let mut world = World::default();
        for step in steps {
            world.step(step, &mut tracker);
        }
        world.step(Step::Replay(3), &mut tracker);
        let before = Mono(world.now);
        for _ in 0..12 {
            world.step(Step::PrimaryPoll, &mut tracker);
        }
        for _ in 0..12 {
            world.step(Step::ReplicaPoll, &mut tracker);
        }
        prop_assert!(tracker.fresh_as_of(REPLICA) > before, "{:?}", tracker);
    }
}
