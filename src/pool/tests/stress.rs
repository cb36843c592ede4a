//! Real threads on one pool: nothing leaks, nothing hangs, nothing is exceeded.

use std::sync::atomic::AtomicBool;
use std::thread;

use super::*;

const THREADS: u16 = 4;
const ROUNDS: usize = 40_000;
const SIZE: usize = 3;

/// Opens at once, on the thread that finds the need; every 64th connect fails.
struct Instantly {
    made: AtomicUsize,
    live: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Connector<Conn> for Instantly {
    fn connect(&self, permit: Permit<Conn>) {
        let id = self.made.fetch_add(1, Ordering::SeqCst);
        if id % 64 == 63 {
            permit.failed(Arc::new(Refused(id)), at(0));
            return;
        }
        let live = self.live.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(live, Ordering::SeqCst);
        let home = permit.worker().unwrap_or_default();
        let live = Arc::clone(&self.live);
        permit.opened(Conn { id, home, retire_at: Mono::MAX, live }, at(0));
    }
}

/// Wakes a parked thread.
struct Unpark(thread::Thread, AtomicBool);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.1.store(true, Ordering::SeqCst);
        self.0.unpark();
    }
}

/// Waits like a task does: polls only when woken.
fn block_on(mut ticket: Ticket<Conn>) -> Result<Lease<Conn>, WaitError<Refused>> {
    let bell = Arc::new(Unpark(thread::current(), AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&bell));
    loop {
        if let Poll::Ready(outcome) = Pin::new(&mut ticket).poll(&mut Context::from_waker(&waker)) {
            return outcome;
        }
        while !bell.1.swap(false, Ordering::SeqCst) {
            thread::park();
        }
    }
}

fn client(pool: &Arc<Pool<Conn>>, worker: WorkerId, now: &AtomicUsize) {
    for round in 0..ROUNDS {
        let now = at(now.fetch_add(1, Ordering::SeqCst) as u64);
        let outcome = match pool.checkout(worker, now) {
            Ok(Checkout::Ready(lease)) => Ok(lease),
            // Some give up, before or after they were served.
            Ok(Checkout::Wait(mut ticket)) if round % 7 == 0 => {
                let _ = poll(&mut ticket);
                continue;
            }
            Ok(Checkout::Wait(ticket)) => block_on(ticket),
            Err(error) => Err(error),
        };
        let Ok(mut lease) = outcome else { continue };
        lease.home = worker;
        match round % 50 {
            0 => drop(lease),
            1 => lease.close(now),
            _ => {
                if round % 5 == 0 {
                    thread::yield_now();
                }
                lease.put_back(now);
            }
        }
    }
}

#[test]
fn threads_share_pools_and_a_budget() {
    let budget = Budget::new(SIZE + 1);
    let (live, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let pools: Vec<_> = (0..2)
        .map(|_| {
            let connector =
                Instantly { made: AtomicUsize::new(0), live: live.clone(), most: most.clone() };
            let limits = Limits { login_retry: ms(1), ..limits(SIZE) };
            Pool::new(limits, vec![Arc::clone(&budget)], Box::new(connector))
        })
        .collect();
    let now = AtomicUsize::new(0);
    let running = AtomicUsize::new(usize::from(THREADS));
    thread::scope(|scope| {
        for worker in 0..THREADS {
            let (pools, now, running) = (&pools, &now, &running);
            scope.spawn(move || {
                client(&pools[usize::from(worker) % pools.len()], WorkerId(worker), now);
                running.fetch_sub(1, Ordering::SeqCst);
            });
        }
        while running.load(Ordering::SeqCst) > 0 {
            let now = at(now.fetch_add(1, Ordering::SeqCst) as u64);
            for pool in &pools {
                pool.tick(now);
            }
            // How fast the pools' time passes. Nothing is waited for.
            thread::sleep(Duration::from_micros(200));
        }
    });
    let idle: usize = pools.iter().map(|pool| pool.snapshot(Mono::MAX).idle).sum();
    assert_eq!((live.load(Ordering::SeqCst), budget.used()), (idle, idle));
    assert!(most.load(Ordering::SeqCst) <= SIZE + 1);
    drop(pools);
    assert_eq!((live.load(Ordering::SeqCst), budget.used()), (0, 0));
}
