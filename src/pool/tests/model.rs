//! Random operations of many clients on several pools under shared budgets; the invariants hold after each.

use proptest::prelude::*;

use super::*;
use crate::pool::state::queue::LOCAL_WINDOW;

const POOLS: usize = 3;
const WORKERS: u16 = 3;
const RETRY: Duration = ms(40);

#[derive(Clone, Copy, Debug)]
enum Op {
    Checkout { pool: usize, worker: u16 },
    Poll(usize),
    DropTicket(usize),
    PutBack { which: usize, home: u16 },
    CloseLease(usize),
    DropLease(usize),
    Opened { pool: usize, home: u16, life: u64 },
    Failed(usize),
    DropPermit(usize),
    Tick { pool: usize, after: u64 },
    Pause(usize),
    Resume(usize),
    Renew(usize),
    Resize { pool: usize, size: usize },
    Budget { which: usize, limit: usize },
    Close(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let (pool, worker, any) = (0..POOLS, 0..WORKERS, any::<usize>());
    prop_oneof![
        24 => (pool.clone(), worker.clone()).prop_map(|(pool, worker)| Op::Checkout { pool, worker }),
        12 => any.prop_map(Op::Poll),
        8 => any.prop_map(Op::DropTicket),
        16 => (any, worker.clone()).prop_map(|(which, home)| Op::PutBack { which, home }),
        2 => any.prop_map(Op::CloseLease),
        2 => any.prop_map(Op::DropLease),
        14 => (pool.clone(), worker, 1_u64..400)
            .prop_map(|(pool, home, life)| Op::Opened { pool, home, life }),
        3 => pool.clone().prop_map(Op::Failed),
        2 => pool.clone().prop_map(Op::DropPermit),
        8 => (pool.clone(), 0_u64..60).prop_map(|(pool, after)| Op::Tick { pool, after }),
        1 => pool.clone().prop_map(Op::Pause),
        3 => pool.clone().prop_map(Op::Resume),
        1 => pool.clone().prop_map(Op::Renew),
        2 => (pool.clone(), 1_usize..5).prop_map(|(pool, size)| Op::Resize { pool, size }),
        2 => (0_usize..2, 0_usize..7).prop_map(|(which, limit)| Op::Budget { which, limit }),
        1 => (0_usize..40).prop_map(Op::Close),
    ]
}

/// One waiting client.
struct Waiting {
    pool: usize,
    ticket: Ticket<Conn>,
    bell: Arc<Bell>,
    /// Rings heard when it was last polled; `None`: it never was.
    heard: Option<usize>,
}

struct World {
    rigs: Vec<Rig>,
    limits: Vec<Limits>,
    budgets: Vec<Arc<Budget<Conn>>>,
    waiting: Vec<Waiting>,
    leases: Vec<(usize, Lease<Conn>)>,
    /// Pools in which a permit was dropped since their last tick: they may owe a connect.
    owing: Vec<bool>,
    /// When each pool had its last tick: what becomes possible by time alone waits for the next one.
    ticked: Vec<Mono>,
    now: u64,
}

impl World {
    fn new() -> Self {
        let limits = Limits {
            size: 3,
            min: 1,
            reserve: 1,
            reserve_after: ms(50),
            max_connects: 2,
            max_waiting: 8,
            login_retry: RETRY,
            idle_timeout: ms(90),
            order: Order::Newest,
        };
        let budgets = vec![Budget::new(5), Budget::new(4)];
        // The first two pools share a user, all share a database.
        let rigs = (0..POOLS)
            .map(|pool| {
                let shared = if pool < 2 { budgets.clone() } else { budgets[..1].to_vec() };
                Rig::with_budgets(limits, shared)
            })
            .collect();
        Self {
            rigs,
            limits: vec![limits; POOLS],
            budgets,
            waiting: Vec::new(),
            leases: Vec::new(),
            owing: vec![false; POOLS],
            ticked: vec![Mono::ZERO; POOLS],
            now: 0,
        }
    }

    fn apply(&mut self, op: Op) {
        let now = at(self.now);
        match op {
            Op::Checkout { pool, worker } => self.checkout(pool, WorkerId(worker)),
            Op::Poll(which) => {
                if !self.waiting.is_empty() {
                    self.poll(which % self.waiting.len());
                }
            }
            Op::DropTicket(which) => drop(pick(&mut self.waiting, which)),
            Op::PutBack { which, home } => {
                if let Some((_, mut lease)) = pick(&mut self.leases, which) {
                    lease.home = WorkerId(home);
                    lease.put_back(now);
                }
            }
            Op::CloseLease(which) => {
                if let Some((_, lease)) = pick(&mut self.leases, which) {
                    lease.close(now);
                }
            }
            Op::DropLease(which) => drop(pick(&mut self.leases, which)),
            Op::Opened { pool, home, life } => self.open(pool, home, life),
            Op::Failed(pool) => {
                if let Some(permit) = self.rigs[pool].permit() {
                    permit.failed(Arc::new(Refused(pool)), now);
                }
            }
            Op::DropPermit(pool) => {
                if let Some(permit) = self.rigs[pool].permit() {
                    drop(permit);
                    self.owing[pool] = true;
                }
            }
            Op::Tick { pool, after } => self.tick(pool, after),
            Op::Pause(pool) => self.rigs[pool].pool.pause(),
            Op::Resume(pool) => self.rigs[pool].pool.resume(now),
            Op::Renew(pool) => self.rigs[pool].pool.renew(now),
            Op::Resize { pool, size } => {
                self.limits[pool].size = size;
                self.rigs[pool].pool.reconfigure(self.limits[pool], now);
            }
            Op::Budget { which, limit } => self.budgets[which].set_limit(limit, now),
            Op::Close(pool) => {
                if let Some(rig) = self.rigs.get(pool) {
                    rig.pool.close(now);
                }
            }
        }
    }

    fn checkout(&mut self, pool: usize, worker: WorkerId) {
        match self.rigs[pool].pool.checkout(worker, at(self.now)) {
            Ok(Checkout::Ready(lease)) => self.leases.push((pool, lease)),
            Ok(Checkout::Wait(ticket)) => {
                self.waiting.push(Waiting { pool, ticket, bell: Arc::default(), heard: None });
            }
            Err(_) => {}
        }
    }

    fn poll(&mut self, which: usize) {
        let waiting = &mut self.waiting[which];
        let rings = waiting.bell.rings();
        match poll_with(&mut waiting.ticket, &waiting.bell) {
            Poll::Pending => {
                assert_eq!(waiting.heard.unwrap_or(0), rings, "woken for nothing");
                waiting.heard = Some(rings);
            }
            Poll::Ready(outcome) => {
                assert!(waiting.heard.is_none_or(|heard| rings > heard), "a lost wake-up");
                let pool = self.waiting.remove(which).pool;
                self.leases.extend(outcome.ok().map(|lease| (pool, lease)));
            }
        }
    }

    fn open(&mut self, pool: usize, home: u16, life: u64) {
        let retire_at = at(self.now + life);
        let now = at(self.now);
        let rig = &mut self.rigs[pool];
        if let Some(permit) = rig.permit() {
            let mut conn = rig.conn(WorkerId(home));
            conn.retire_at = retire_at;
            permit.opened(conn, now);
        }
    }

    fn tick(&mut self, pool: usize, after: u64) {
        self.now += after;
        self.owing[pool] = false;
        self.ticked[pool] = at(self.now);
        self.rigs[pool].pool.tick(at(self.now));
    }

    fn check(&self, before: &[usize]) {
        for (pool, rig) in self.rigs.iter().enumerate() {
            self.check_pool(pool, rig, before[pool]);
        }
        let totals = self.totals();
        assert_eq!(self.budgets[0].used(), totals.iter().sum::<usize>());
        assert_eq!(self.budgets[1].used(), totals[0] + totals[1]);
    }

    fn check_pool(&self, pool: usize, rig: &Rig, before: usize) {
        let limits = &self.limits[pool];
        let seen = rig.pool.snapshot(Mono::ZERO);
        let total = seen.idle + seen.busy + seen.connecting;
        assert_eq!(rig.live(), seen.idle + seen.busy, "a connection leaked: {seen:?}");
        assert_eq!(rig.permits(), seen.connecting);
        assert!(seen.connecting <= limits.max_connects);
        let leases = self.leases.iter().filter(|lease| lease.0 == pool).count();
        let waiting = self.waiting.iter().filter(|waiting| waiting.pool == pool).count();
        assert!(seen.busy >= leases && seen.busy - leases + seen.waiting <= waiting);
        // A lowered limit is never exceeded further.
        assert!(total <= before.max(limits.size + limits.reserve), "{before} -> {seen:?}");
        if seen.status != Status::Running {
            return;
        }
        assert!(seen.waiting == 0 || seen.idle == 0, "somebody waits beside an idle one: {seen:?}");
        let failed = seen.last_error.as_ref();
        let retrying = failed.is_some_and(|failed| self.ticked[pool] <= failed.0.plus(RETRY));
        let free = self.budgets_of(pool).iter().all(|budget| !budget.is_full());
        let room = total < limits.size && seen.connecting < limits.max_connects;
        let covered = seen.waiting <= seen.connecting;
        assert!(
            covered || !room || !free || retrying || self.owing[pool],
            "nobody opens a connection for the waiters of {pool}: {seen:?}"
        );
    }

    fn budgets_of(&self, pool: usize) -> &[Arc<Budget<Conn>>] {
        if pool < 2 { &self.budgets } else { &self.budgets[..1] }
    }

    fn totals(&self) -> Vec<usize> {
        let total = |rig: &Rig| {
            let seen = rig.pool.snapshot(Mono::ZERO);
            seen.idle + seen.busy + seen.connecting
        };
        self.rigs.iter().map(total).collect()
    }

    /// When connections come back and connects succeed, everybody is served in the end.
    fn drain(&mut self) {
        for budget in &self.budgets {
            budget.set_limit(2, at(self.now));
        }
        for pool in 0..POOLS {
            self.rigs[pool].pool.resume(at(self.now));
        }
        for round in 0.. {
            for pool in 0..POOLS {
                self.tick(pool, 50);
                self.open(pool, 0, 1_000_000);
            }
            for which in (0..self.waiting.len()).rev() {
                self.poll(which);
            }
            for (_, lease) in std::mem::take(&mut self.leases) {
                lease.put_back(at(self.now));
            }
            if self.waiting.is_empty() {
                return;
            }
            assert!(round < 200, "somebody waits for ever");
        }
    }
}

fn pick<T>(items: &mut Vec<T>, which: usize) -> Option<T> {
    (!items.is_empty()).then(|| items.swap_remove(which % items.len()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_after_every_operation(ops in prop::collection::vec(op(), 1..160)) {
        let mut world = World::new();
        for op in ops {
            let before = world.totals();
            let used: Vec<_> = world.budgets.iter().map(|budget| budget.used()).collect();
            world.apply(op);
            world.check(&before);
            for (budget, used) in world.budgets.iter().zip(used) {
                let limit = if budget.limit() == 0 { usize::MAX } else { budget.limit() };
                prop_assert!(budget.used() <= used.max(limit), "budget exceeded by {:?}", op);
            }
        }
        world.drain();
        let now = at(world.now);
        for rig in &world.rigs {
            rig.pool.close(now);
            while let Some(permit) = rig.permit() {
                drop(permit);
            }
            prop_assert_eq!(rig.live(), 0);
        }
        prop_assert_eq!(world.budgets[0].used(), 0);
        prop_assert_eq!(world.budgets[1].used(), 0);
    }

    /// However workers, releases and cancellations mix, nobody is overtaken by more than the window.
    #[test]
    fn order_is_strict_within_the_window(
        steps in prop::collection::vec((0_u8..8, 0..WORKERS), 1..200),
    ) {
        let mut rig = Rig::new(limits(1));
        let mut lease = Some(rig.connect_one(A, at(0)));
        // In order of arrival: the ticket, its bell, and how many overtook it.
        let mut queue: Vec<(Ticket<Conn>, Arc<Bell>, u64)> = Vec::new();
        for (step, worker) in steps {
            if step < 4 {
                let (mut ticket, bell) = (rig.wait(WorkerId(worker), at(1)), Arc::default());
                prop_assert!(poll_with(&mut ticket, &bell).is_pending());
                queue.push((ticket, bell, 0));
            } else if step == 4 && !queue.is_empty() {
                drop(queue.remove(usize::from(worker) % queue.len()));
            } else if !queue.is_empty() {
                let mut conn = lease.take().expect("one connection goes round");
                conn.home = WorkerId(worker);
                conn.put_back(at(2));
                let served = queue.iter().position(|entry| entry.1.rings() > 0);
                let served = served.expect("somebody was served");
                lease = Some(granted(&mut queue.remove(served).0));
                for passed in &mut queue[..served] {
                    passed.2 += 1;
                    prop_assert!(passed.2 <= LOCAL_WINDOW);
                }
            }
        }
    }
}
