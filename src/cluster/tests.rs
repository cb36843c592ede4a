use std::sync::atomic::AtomicUsize;
use std::task::{Context, Wake};

use super::probe::{PollError, Position, Reading, StandbyTimeline};
use super::*;

const MS: u64 = 1_000_000;

fn two_replicas() -> Arc<Cluster> {
    testing::cluster(&[1, 1], Routing::default())
}

/// A finished poll that began `millisecond` ms after the start.
fn at(millisecond: u64, reading: Reading) -> Poll {
    let started_at = Mono(millisecond * MS);
    Poll { started_at, ended_at: Mono(millisecond * MS + 1), outcome: Ok(reading) }
}

fn primary(flush: u64) -> Reading {
    Reading { system: 7, position: Position::Primary { flush: Lsn(flush), timeline: 1 } }
}

fn replica(replay: u64) -> Reading {
    let timeline = StandbyTimeline::Streaming(1);
    Reading { system: 7, position: Position::Standby { replay: Lsn(replay), timeline } }
}

/// Counts how often it is woken.
#[derive(Default)]
struct Alarm(AtomicUsize);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Alarm {
    fn rings(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn poll(key: &WaitKey, alarm: &Arc<Alarm>) -> TaskPoll<Waited> {
    key.poll_fresh(&Context::from_waker(&Waker::from(Arc::clone(alarm))))
}

#[test]
fn a_poll_is_published_to_every_view() {
    let cluster = two_replicas();
    cluster.record(NodeId(0), at(1, primary(100)));
    cluster.record(NodeId(1), at(2, replica(100)));
    let view = cluster.view();
    assert_eq!(view.freshest(), Mono(MS));
    let states: Vec<_> = view.replicas().map(Node::usable).collect();
    assert_eq!(states, [Usable::Up, Usable::Unknown]);
}

#[test]
fn the_end_of_a_use_follows_its_beginning() {
    let cluster = two_replicas();
    cluster.begin(NodeId(2), 0);
    cluster.begin(NodeId(2), 0);
    cluster.end(NodeId(2), 0);
    let busy: Vec<_> = cluster.nodes().iter().map(Node::in_flight).collect();
    assert_eq!(busy, [0, 0, 1]);
    cluster.begin_waiting(NodeId(2), 0);
    cluster.begin_waiting(NodeId(2), 0);
    cluster.end_waiting(NodeId(2), 0);
    let wanted: Vec<_> = cluster.nodes().iter().map(Node::demand).collect();
    assert_eq!(wanted, [0, 0, 2]);
    cluster.begin(NodeId(9), 0);
    cluster.end_waiting(NodeId(9), 0);
}

#[test]
fn a_wait_that_is_satisfied_already_ends_at_once() {
    let cluster = two_replicas();
    testing::publish(&cluster, NodeId(1), Mono(6), Usable::Up);
    let key = cluster.wait_fresh(Mono(5), Mono::MAX);
    assert_eq!(poll(&key, &Arc::default()), TaskPoll::Ready(Waited::Fresh));
}

#[test]
fn a_replica_as_fresh_as_required_is_not_fresh_enough() {
    let cluster = two_replicas();
    testing::publish(&cluster, NodeId(1), Mono(5), Usable::Up);
    let key = cluster.wait_fresh(Mono(5), Mono::MAX);
    assert_eq!(poll(&key, &Arc::default()), TaskPoll::Pending);
}

#[test]
fn only_waits_that_a_poll_satisfies_are_woken() {
    let cluster = two_replicas();
    cluster.record(NodeId(0), at(1, primary(100)));
    cluster.record(NodeId(1), at(2, replica(100)));
    let (early, late) = (Arc::new(Alarm::default()), Arc::new(Alarm::default()));
    let early_key = cluster.wait_fresh(Mono(3 * MS), Mono::MAX);
    let late_key = cluster.wait_fresh(Mono(30 * MS), Mono::MAX);
    assert_eq!(poll(&early_key, &early), TaskPoll::Pending);
    assert_eq!(poll(&late_key, &late), TaskPoll::Pending);
    cluster.record(NodeId(0), at(4, primary(200)));
    assert_eq!((early.rings(), late.rings()), (0, 0));
    cluster.record(NodeId(1), at(5, replica(200)));
    assert_eq!((early.rings(), late.rings()), (1, 0));
    assert_eq!(poll(&early_key, &early), TaskPoll::Ready(Waited::Fresh));
    assert_eq!(poll(&late_key, &late), TaskPoll::Pending);
}

#[test]
fn a_dropped_wait_is_forgotten() {
    let cluster = two_replicas();
    let key = cluster.wait_fresh(Mono(5), Mono::MAX);
    let alarm = Arc::new(Alarm::default());
    assert_eq!(poll(&key, &alarm), TaskPoll::Pending);
    assert!(cluster.has_waiters());
    drop(key);
    assert!(!cluster.has_waiters());
    assert_eq!(Arc::strong_count(&alarm), 1, "the waker is gone too");
}

#[test]
fn the_earliest_deadline_comes_first() {
    let cluster = two_replicas();
    let _later = cluster.wait_fresh(Mono(5), Mono(900));
    let sooner = cluster.wait_fresh(Mono(5), Mono(800));
    assert_eq!(cluster.next_deadline(), Some(Mono(800)));
    drop(sooner);
    assert_eq!(cluster.next_deadline(), Some(Mono(900)));
}

#[tokio::test(start_paused = true)]
async fn polls_are_as_frequent_as_they_are_wanted() {
    let cluster = two_replicas();
    let pause = || cluster.pause(cluster.clock.now());
    assert_eq!(pause(), Duration::from_millis(5), "nobody knows the primary yet");
    cluster.record(NodeId(0), at(1, primary(100)));
    cluster.record(NodeId(1), at(1, replica(100)));
    cluster.record(NodeId(2), at(1, replica(100)));
    assert_eq!(pause(), Duration::from_millis(250));
    cluster.note_read(cluster.clock.now());
    assert_eq!(pause(), Duration::from_millis(5));
    tokio::time::advance(HOT_FOR).await;
    assert_eq!(pause(), Duration::from_millis(5));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(pause(), Duration::from_millis(250));
    let key = cluster.wait_fresh(Mono(5 * MS), Mono::MAX);
    assert_eq!(pause(), WAITING_PAUSE);
    drop(key);
    cluster.set_routing(&Routing { max_lag: Duration::from_millis(100), ..Routing::default() });
    assert_eq!(pause(), Duration::from_millis(25));
}

#[test]
fn the_report_says_what_is_wrong_and_what_to_do() {
    let cluster = two_replicas();
    cluster.record(NodeId(0), at(1, primary(300)));
    cluster.record(NodeId(1), at(2, primary(300)));
    let error = PollError::new(Fault::Unreachable, "connection refused");
    let failed = Poll { outcome: Err(error), ..at(3, replica(0)) };
    cluster.record(NodeId(2), failed);
    let report = cluster.report();
    assert_eq!(report[0].state, State::Up);
    assert_eq!((report[0].lsn, report[0].timeline), (Some(Lsn(300)), Some(1)));
    assert!(report[0].reason.is_empty());
    assert!(report[1].reason.contains("one of them is a copy"), "{}", report[1].reason);
    assert!(report[1].reason.contains("stop the one"), "{}", report[1].reason);
    assert_eq!(report[2].reason, "cannot be reached: connection refused");
    assert_eq!((report[2].lag, report[2].lag_bytes, report[2].age), (None, None, None));
}

/// Notes what a cluster tells.
#[derive(Debug, Default)]
struct Notes(Mutex<Vec<String>>);

#[derive(Debug)]
struct Scribe(Arc<Notes>);

impl Herald for Scribe {
    fn fence(&self, node: NodeId) {
        self.0.0.lock().push(format!("fence {}", node.0));
    }

    fn rally(&self, node: Option<NodeId>) {
        let who = node.map_or_else(|| "nobody".to_owned(), |node| node.0.to_string());
        self.0.0.lock().push(format!("rally {who}"));
    }
}

impl Notes {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// A cluster whose nodes have all answered, and what it tells.
fn settled() -> (Arc<Cluster>, Arc<Notes>) {
    let (cluster, notes) = (two_replicas(), Arc::new(Notes::default()));
    cluster.set_herald(Box::new(Scribe(Arc::clone(&notes))));
    assert_eq!(cluster.primary(), None, "others have not been asked");
    cluster.record(NodeId(0), at(1, primary(100)));
    cluster.record(NodeId(1), at(2, replica(100)));
    cluster.record(NodeId(2), at(2, replica(100)));
    assert_eq!(notes.take(), ["rally nobody", "rally 0"]);
    (cluster, notes)
}

fn failed(millisecond: u64, fault: Fault) -> Poll {
    Poll { outcome: Err(PollError::new(fault, "gone")), ..at(millisecond, replica(0)) }
}

fn on_second(flush: u64) -> Reading {
    Reading { system: 7, position: Position::Primary { flush: Lsn(flush), timeline: 2 } }
}

#[test]
fn a_promotion_fences_the_old_primary_before_the_new_one_is_known() {
    let (cluster, notes) = settled();
    let before = cluster.version();
    cluster.record(NodeId(0), failed(10, Fault::Unreachable));
    assert_eq!(cluster.primary(), Some(Office { node: NodeId(0), term: Term(0) }));
    assert_eq!(notes.take(), ["rally nobody"]);
    cluster.record(NodeId(1), at(20, on_second(90)));
    assert_eq!(cluster.primary(), Some(Office { node: NodeId(1), term: Term(1) }));
    assert_eq!(notes.take(), ["fence 0", "rally 1"]);
    assert!(cluster.version() > before);
    let roles: Vec<_> = cluster.nodes().iter().map(Node::role).collect();
    assert_eq!(roles, [Role::Replica, Role::Primary, Role::Replica]);
    // What a replica had replayed of the old timeline says nothing about the new one.
    assert_eq!(cluster.view().freshest(), Mono::ZERO);
    let timeline = StandbyTimeline::Streaming(2);
    let follows = Reading { system: 7, position: Position::Standby { replay: Lsn(90), timeline } };
    cluster.record(NodeId(2), at(21, follows));
    assert_eq!(cluster.view().freshest(), Mono(20 * MS));
    cluster.record(NodeId(0), at(30, primary(500)));
    let report = cluster.report();
    assert_eq!(report[0].state, State::Misconfigured(Mistake::Superseded));
    assert!(report[1].reason.contains("promoted"), "{}", report[1].reason);
    assert_eq!(cluster.primary().map(|office| office.node), Some(NodeId(1)));
}

#[test]
fn nobody_is_sent_to_a_primary_that_hangs() {
    let (cluster, notes) = settled();
    cluster.record(NodeId(0), failed(10, Fault::Timeout));
    assert_eq!(cluster.primary(), None);
    cluster.record(NodeId(0), at(20, primary(100)));
    assert_eq!(cluster.primary(), Some(Office { node: NodeId(0), term: Term(0) }));
    assert_eq!(notes.take(), ["rally nobody", "rally 0"]);
}

#[test]
fn another_server_in_the_primarys_place_begins_another_term() {
    let (cluster, notes) = settled();
    cluster.record(NodeId(0), failed(10, Fault::Lost));
    cluster.record(NodeId(0), at(20, on_second(90)));
    assert_eq!(cluster.primary(), Some(Office { node: NodeId(0), term: Term(1) }));
    assert_eq!(notes.take(), ["rally nobody", "fence 0", "rally 0"]);
}

#[test]
fn who_cannot_connect_waits_only_if_the_monitor_will_tell() {
    let (cluster, _) = settled();
    assert!(cluster.doubt(NodeId(0)));
    cluster.record(NodeId(0), failed(10, Fault::Unreachable));
    assert!(cluster.doubt(NodeId(0)));
    cluster.record(NodeId(0), failed(20, Fault::LogIn));
    assert!(!cluster.doubt(NodeId(0)));
}
