use std::collections::VecDeque;
use std::future::{pending, poll_fn};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, advance};

use super::*;
use crate::cluster::probe::{Position, StandbyTimeline};
use crate::cluster::{Lsn, Role, Waited, testing};
use crate::config::Routing;

/// What a scripted node does when it is asked.
#[derive(Clone, Copy)]
enum Act {
    At(u64),
    Refuse,
    Hang,
}

/// A node that the test plays. It answers at once.
struct Play {
    role: Role,
    act: Mutex<Act>,
    asked: Mutex<VecDeque<Instant>>,
    cut: Notify,
}

impl Play {
    fn new(role: Role) -> Arc<Self> {
        let (act, asked, cut) = (Mutex::new(Act::At(100)), Mutex::default(), Notify::new());
        Arc::new(Self { role, act, asked, cut })
    }

    fn set(&self, act: Act) {
        *self.act.lock() = act;
    }

    /// How often it was asked since this was last called.
    fn asked(&self) -> usize {
        std::mem::take(&mut *self.asked.lock()).len()
    }
}

struct Script(Arc<Play>);

impl Source for Script {
    async fn poll(&mut self) -> Result<Reading, PollError> {
        self.0.asked.lock().push_back(Instant::now());
        let act = *self.0.act.lock();
        let lsn = match act {
            Act::At(lsn) => Lsn(lsn),
            Act::Refuse => return Err(PollError::new(Fault::Unreachable, "refused")),
            Act::Hang => pending().await,
        };
        let position = match self.0.role {
            Role::Primary => Position::Primary { flush: lsn, timeline: 1 },
            Role::Replica => {
                Position::Standby { replay: lsn, timeline: StandbyTimeline::Streaming(1) }
            }
        };
        Ok(Reading { system: 7, position })
    }

    async fn lost(&mut self) -> PollError {
        self.0.cut.notified().await;
        PollError::new(Fault::Lost, "closed")
    }
}

struct Stage {
    cluster: Arc<Cluster>,
    primary: Arc<Play>,
    replica: Arc<Play>,
    _tasks: JoinSet<()>,
}

impl Stage {
    /// A primary and a replica that have both settled.
    async fn new(routing: Routing) -> Self {
        let cluster = testing::cluster(&[1], routing);
        let primary = Play::new(Role::Primary);
        let replica = Play::new(Role::Replica);
        let plays = [&primary, &replica].map(|play| Script(Arc::clone(play)));
        let tasks = spawn(&cluster, plays);
        let stage = Self { cluster, primary, replica, _tasks: tasks };
        stage.run(1_000).await;
        assert_eq!(stage.state(), State::Up);
        stage.primary.asked();
        stage.replica.asked();
        stage
    }

    /// Lets so many milliseconds pass.
    async fn run(&self, milliseconds: u32) {
        for _ in 0..milliseconds {
            advance(Duration::from_millis(1)).await;
            // The tasks wake one another.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
    }

    fn state(&self) -> State {
        self.cluster.report()[1].state
    }

    fn fresh(&self) -> Mono {
        self.cluster.view().freshest()
    }
}

#[tokio::test(start_paused = true)]
async fn idle_nodes_are_asked_four_times_a_second() {
    let stage = Stage::new(Routing::default()).await;
    stage.run(10_000).await;
    assert!((38..=41).contains(&stage.primary.asked()));
    assert!((38..=41).contains(&stage.replica.asked()));
    let age = stage.cluster.clock.now().saturating_since(stage.fresh());
    assert!(age <= Duration::from_millis(260), "{age:?}");
}

#[tokio::test(start_paused = true)]
async fn the_first_read_after_a_while_has_the_nodes_asked_at_once() {
    let stage = Stage::new(Routing::default()).await;
    stage.run(1).await;
    stage.primary.asked();
    stage.cluster.note_read(stage.cluster.clock.now());
    stage.run(2).await;
    assert!(stage.primary.asked() >= 1);
    stage.run(100).await;
    assert!((15..=22).contains(&stage.replica.asked()));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_soon_after_the_replica_has_caught_up() {
    let stage = Stage::new(Routing::default()).await;
    stage.primary.set(Act::At(200));
    let now = stage.cluster.clock.now();
    let key = stage.cluster.wait_fresh(now, now.plus(Duration::from_millis(50)));
    let waiting = tokio::spawn(poll_fn(move |cx| key.poll_fresh(cx)));
    stage.run(20).await;
    assert!(!waiting.is_finished());
    assert!((15..=25).contains(&stage.primary.asked()), "asked every millisecond");
    stage.replica.set(Act::At(200));
    stage.run(3).await;
    assert!(waiting.is_finished());
    assert_eq!(waiting.await.unwrap(), Waited::Fresh);
    assert!(stage.fresh() > now);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_deadline_even_if_no_node_answers() {
    let stage = Stage::new(Routing::default()).await;
    stage.primary.set(Act::Hang);
    stage.replica.set(Act::Hang);
    let now = stage.cluster.clock.now();
    let key = stage.cluster.wait_fresh(now, now.plus(Duration::from_millis(10)));
    let waiting = tokio::spawn(poll_fn(move |cx| key.poll_fresh(cx)));
    stage.run(9).await;
    assert!(!waiting.is_finished());
    stage.run(3).await;
    assert_eq!(waiting.await.unwrap(), Waited::Expired);
}

#[tokio::test(start_paused = true)]
async fn many_waits_share_the_same_polls() {
    let stage = Stage::new(Routing::default()).await;
    stage.primary.set(Act::At(200));
    let mut keys = Vec::new();
    for _ in 0..100 {
        let now = stage.cluster.clock.now();
        keys.push(stage.cluster.wait_fresh(now, Mono::MAX));
        stage.run(1).await;
    }
    assert!(stage.primary.asked() <= 105);
    assert!(stage.replica.asked() <= 210);
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_noticed_without_a_poll() {
    let stage = Stage::new(Routing::default()).await;
    stage.replica.set(Act::Refuse);
    stage.replica.cut.notify_one();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(stage.state(), State::Down(Fault::Lost));
    assert_eq!(stage.fresh(), Mono::ZERO);
    assert_eq!(stage.replica.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stays_down_is_tried_ever_more_rarely_and_returns() {
    let stage = Stage::new(Routing::default()).await;
    stage.replica.set(Act::Refuse);
    stage.replica.cut.notify_one();
    stage.run(20_000).await;
    let early = stage.replica.asked();
    assert!((8..=16).contains(&early), "{early}");
    stage.run(20_000).await;
    let late = stage.replica.asked();
    assert!((4..=8).contains(&late), "{late}");
    stage.replica.set(Act::At(100));
    stage.run(6_500).await;
    assert_eq!(stage.state(), State::Up);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_hangs_is_down_after_the_timeout() {
    let stage = Stage::new(Routing::default()).await;
    stage.replica.set(Act::Hang);
    stage.run(1_900).await;
    assert_eq!(stage.state(), State::Up);
    stage.run(500).await;
    assert_eq!(stage.state(), State::Down(Fault::Timeout));
    let report = stage.cluster.report();
    assert!(report[1].reason.contains("no answer within 2s"), "{}", report[1].reason);
}

#[tokio::test(start_paused = true)]
async fn the_age_of_replicas_grows_while_the_primary_hangs() {
    let stage = Stage::new(Routing::default()).await;
    stage.primary.set(Act::Hang);
    let fresh = stage.fresh();
    stage.run(900).await;
    assert!(stage.fresh().saturating_since(fresh) <= Duration::from_millis(260));
    stage.run(600).await;
    assert_eq!(stage.state(), State::Lagging);
}

#[tokio::test(start_paused = true)]
async fn a_replica_is_up_within_moments_of_the_start() {
    let cluster = testing::cluster(&[1], Routing::default());
    let roles = [Role::Primary, Role::Replica];
    let plays = roles.map(Play::new);
    let tasks = spawn(&cluster, plays.iter().map(|play| Script(Arc::clone(play))));
    let stage = Stage {
        primary: Arc::clone(&plays[0]),
        replica: Arc::clone(&plays[1]),
        cluster,
        _tasks: tasks,
    };
    stage.run(3).await;
    assert_eq!(stage.state(), State::Up);
}
