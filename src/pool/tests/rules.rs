//! Who is served, in which order, and when the pool grows.

use super::*;
use crate::pool::state::queue::LOCAL_WINDOW;

#[test]
fn ticket_is_small_and_unpin() {
    fn assert_unpin_send<T: Unpin + Send>() {}
    assert_unpin_send::<Ticket<Conn>>();
    assert!(size_of::<Ticket<Conn>>() <= 24);
}

#[test]
fn first_client_waits_for_the_connect_it_caused() {
    let mut rig = Rig::new(limits(1));
    let mut ticket = rig.wait(B, at(0));
    assert_eq!(rig.permits(), 1);
    assert_eq!(rig.desk.0.lock().permits[0].worker(), Some(B));
    let bell = Arc::default();
    assert!(poll_with(&mut ticket, &bell).is_pending());
    rig.open(B, at(1));
    assert_eq!(bell.rings(), 1);
    granted(&mut ticket).put_back(at(2));
    assert_eq!(rig.pool.snapshot(at(2)).idle, 1);
    assert_eq!(rig.ready(B, at(3)).id, 1);
}

#[test]
fn idle_connection_of_the_callers_worker_is_preferred() {
    let mut rig = Rig::new(limits(3));
    let a = rig.connect_one(A, at(0));
    let b = rig.connect_one(B, at(0));
    a.put_back(at(1));
    b.put_back(at(2));
    let first = rig.ready(A, at(3));
    assert_eq!((first.id, rig.pool.snapshot(at(3)).totals.moved), (1, 0));
    let second = rig.ready(A, at(3));
    assert_eq!((second.id, rig.pool.snapshot(at(3)).totals.moved), (2, 1));
}

#[test]
fn re_homed_connection_is_found_by_its_new_worker() {
    let mut rig = Rig::new(limits(2));
    let (mut first, second) = (rig.connect_one(A, at(0)), rig.connect_one(A, at(0)));
    first.home = B;
    first.put_back(at(1));
    second.put_back(at(2));
    assert_eq!(rig.ready(B, at(3)).id, 1);
}

#[test]
fn most_recently_used_connection_goes_first() {
    let rig = Rig::with_idle(limits(3), 3, at(0));
    assert_eq!(rig.ready(A, at(1)).id, 3);
}

#[test]
fn nobody_gets_the_same_connection_twice_in_a_row_in_the_order_of_the_oldest() {
    let oldest = Limits { order: Order::Oldest, ..limits(3) };
    let rig = Rig::with_idle(oldest, 3, at(0));
    for expected in [1, 2, 3, 1, 2, 3, 1] {
        let lease = rig.ready(A, at(1));
        assert_eq!(lease.id, expected);
        lease.put_back(at(1));
    }
}

#[test]
fn waiters_are_served_in_order_of_arrival() {
    let mut rig = Rig::new(limits(1));
    let mut lease = rig.connect_one(A, at(0));
    let mut tickets: Vec<_> = (0..5).map(|_| rig.wait(A, at(1))).collect();
    for served in 0..tickets.len() {
        lease.put_back(at(2));
        for later in &mut tickets[served + 1..] {
            assert!(poll(later).is_pending());
        }
        lease = granted(&mut tickets[served]);
    }
}

#[test]
fn newcomer_does_not_overtake_a_waiter_that_was_not_polled_yet() {
    let mut rig = Rig::new(limits(1));
    let lease = rig.connect_one(A, at(0));
    let mut first = rig.wait(A, at(1));
    lease.put_back(at(2));
    let mut newcomer = rig.wait(A, at(3));
    assert!(poll(&mut newcomer).is_pending());
    assert_eq!(granted(&mut first).id, 1);
}

#[test]
fn waiter_of_the_releasing_worker_goes_first_if_it_came_shortly_after() {
    let mut rig = Rig::new(limits(1));
    let lease = rig.connect_one(B, at(0));
    let mut first = rig.wait(A, at(1));
    let mut local = rig.wait(B, at(1));
    lease.put_back(at(2));
    assert!(poll(&mut first).is_pending());
    granted(&mut local).put_back(at(3));
    assert_eq!(granted(&mut first).home, B);
}

#[test]
fn nobody_is_overtaken_by_more_than_the_window() {
    let mut rig = Rig::new(limits(1));
    let mut lease = rig.connect_one(B, at(0));
    let mut first = rig.wait(A, at(1));
    let mut others: Vec<_> = (0..2 * LOCAL_WINDOW).map(|_| rig.wait(B, at(1))).collect();
    for (overtaken, other) in (0..).zip(&mut others) {
        lease.put_back(at(2));
        if let Poll::Ready(Ok(own)) = poll(&mut first) {
            assert_eq!(own.home, B);
            assert_eq!(overtaken, LOCAL_WINDOW);
            return;
        }
        lease = granted(other);
    }
    panic!("the first was never served");
}

#[test]
fn dropped_ticket_passes_its_connection_on() {
    let mut rig = Rig::new(limits(1));
    let lease = rig.connect_one(A, at(0));
    let (first, mut second) = (rig.wait(A, at(1)), rig.wait(A, at(1)));
    lease.put_back(at(2));
    let bell = Arc::default();
    assert!(poll_with(&mut second, &bell).is_pending());
    drop(first);
    assert_eq!(bell.rings(), 1);
    assert_eq!(granted(&mut second).id, 1);
    assert_eq!(rig.pool.snapshot(at(2)).totals.abandoned, 1);
}

#[test]
fn dropped_ticket_of_the_last_waiter_makes_its_connection_idle() {
    let mut rig = Rig::new(limits(1));
    let lease = rig.connect_one(A, at(0));
    let ticket = rig.wait(A, at(1));
    lease.put_back(at(2));
    drop(ticket);
    let now = rig.pool.snapshot(at(3));
    assert_eq!((now.idle, now.busy, now.waiting), (1, 0, 0));
}

#[test]
fn ticket_dropped_in_the_middle_leaves_the_order_of_the_others() {
    let mut rig = Rig::new(limits(1));
    let lease = rig.connect_one(A, at(0));
    let (mut first, middle, mut last) =
        (rig.wait(A, at(1)), rig.wait(A, at(1)), rig.wait(A, at(1)));
    drop(middle);
    assert_eq!(rig.pool.snapshot(at(1)).waiting, 2);
    lease.put_back(at(2));
    granted(&mut first).put_back(at(3));
    assert_eq!(granted(&mut last).id, 1);
}

#[test]
fn latest_waker_is_the_one_that_is_woken() {
    let mut rig = Rig::new(limits(1));
    let lease = rig.connect_one(A, at(0));
    let mut ticket = rig.wait(A, at(1));
    let (old, new) = (Arc::default(), Arc::default());
    assert!(poll_with(&mut ticket, &old).is_pending());
    assert!(poll_with(&mut ticket, &new).is_pending());
    lease.put_back(at(2));
    assert_eq!((old.rings(), new.rings()), (0, 1));
}

#[test]
fn finished_ticket_answers_closed_and_holds_nothing() {
    let mut rig = Rig::new(limits(1));
    let mut ticket = rig.wait(A, at(0));
    rig.open(A, at(0));
    let lease = granted(&mut ticket);
    assert!(matches!(poll(&mut ticket), Poll::Ready(Err(WaitError::Closed))));
    lease.put_back(at(1));
    drop(ticket);
    assert_eq!(rig.pool.snapshot(at(1)).idle, 1);
}

#[test]
fn finished_ticket_does_not_touch_the_next_user_of_its_slot() {
    let mut rig = Rig::new(limits(1));
    let mut finished = rig.wait(A, at(0));
    rig.open(A, at(0));
    let lease = granted(&mut finished);
    let mut next = rig.wait(A, at(1));
    assert!(matches!(poll(&mut finished), Poll::Ready(Err(WaitError::Closed))));
    drop(finished);
    lease.put_back(at(2));
    assert_eq!(granted(&mut next).id, 1);
}

#[test]
fn dropped_or_closed_lease_frees_its_place() {
    let mut rig = Rig::new(limits(1));
    let lease = rig.connect_one(A, at(0));
    let mut ticket = rig.wait(A, at(1));
    assert_eq!(rig.permits(), 0);
    drop(lease);
    assert_eq!(rig.live(), 0);
    rig.open(A, at(2));
    let lease = granted(&mut ticket);
    assert_eq!(lease.id, 2);
    lease.close(at(3));
    assert_eq!((rig.live(), rig.pool.snapshot(at(3)).totals.closed), (0, 2));
}

#[test]
fn full_queue_refuses() {
    let rig = Rig::new(Limits { max_waiting: 1, ..limits(1) });
    let _first = rig.wait(A, at(0));
    assert!(matches!(rig.pool.checkout(A, at(0)), Err(WaitError::QueueFull)));
}

#[test]
fn connects_in_flight_are_bounded_and_go_on_as_they_finish() {
    let mut rig = Rig::new(Limits { max_connects: 2, ..limits(10) });
    let _tickets: Vec<_> = (0..5).map(|_| rig.wait(A, at(0))).collect();
    assert_eq!(rig.permits(), 2);
    rig.open(A, at(1));
    assert_eq!(rig.permits(), 2);
}

#[test]
fn no_connect_starts_for_a_waiter_that_one_in_flight_will_serve() {
    let rig = Rig::new(limits(10));
    let first = rig.wait(A, at(0));
    drop(first);
    let _second = rig.wait(A, at(0));
    assert_eq!(rig.permits(), 1);
}

#[test]
fn size_is_never_exceeded_without_a_reserve() {
    let rig = Rig::new(Limits { max_connects: 9, ..limits(2) });
    let _tickets: Vec<_> = (0..5).map(|_| rig.wait(A, at(0))).collect();
    rig.pool.tick(at(60_000));
    assert_eq!(rig.permits(), 2);
}

#[test]
fn reserve_opens_once_the_oldest_has_waited_and_closes_when_the_queue_is_empty() {
    let mut rig = Rig::new(Limits { reserve: 1, reserve_after: ms(100), ..limits(1) });
    let lease = rig.connect_one(A, at(0));
    let mut ticket = rig.wait(A, at(10));
    let _other = rig.wait(A, at(10));
    rig.pool.tick(at(109));
    assert_eq!(rig.permits(), 0);
    rig.pool.tick(at(110));
    assert_eq!(rig.permits(), 1);
    rig.open(A, at(111));
    let extra = granted(&mut ticket);
    extra.put_back(at(112));
    assert_eq!(rig.closed(), []);
    lease.put_back(at(113));
    assert_eq!(rig.closed(), [(1, Closing::Surplus)]);
}

#[test]
fn last_failed_connect_fails_everybody_with_the_original_error() {
    let rig = Rig::new(Limits { login_retry: ms(50), ..limits(2) });
    let (mut first, mut second) = (rig.wait(A, at(0)), rig.wait(A, at(0)));
    let bell = Arc::default();
    assert!(poll_with(&mut first, &bell).is_pending());
    rig.permit().expect("a permit").failed(Arc::new(Refused(1)), at(1));
    assert!(poll(&mut second).is_pending(), "another connect is in flight");
    rig.permit().expect("a permit").failed(Arc::new(Refused(2)), at(2));
    assert_eq!(bell.rings(), 1);
    for ticket in [&mut first, &mut second] {
        let Poll::Ready(Err(WaitError::ConnectFailed(error))) = poll(ticket) else {
            panic!("not failed");
        };
        assert_eq!(*error, Refused(2));
    }
    let newcomer = rig.pool.checkout(A, at(52));
    assert!(matches!(newcomer, Err(WaitError::ConnectFailed(error)) if *error == Refused(2)));
    assert_eq!(rig.permits(), 0);
    let _later = rig.wait(A, at(53));
    assert_eq!(rig.permits(), 1);
}

#[test]
fn waiters_keep_waiting_after_a_failed_connect_while_a_connection_is_busy() {
    let mut rig = Rig::new(Limits { login_retry: ms(50), ..limits(2) });
    let lease = rig.connect_one(A, at(0));
    let mut ticket = rig.wait(A, at(1));
    rig.permit().expect("a permit").failed(Arc::new(Refused(1)), at(1));
    assert!(poll(&mut ticket).is_pending());
    rig.pool.tick(at(51));
    assert_eq!(rig.permits(), 0);
    rig.pool.tick(at(52));
    assert_eq!(rig.permits(), 1);
    lease.put_back(at(53));
    assert_eq!(granted(&mut ticket).id, 1);
}

#[test]
fn closing_the_last_connection_after_a_failed_connect_fails_the_waiters() {
    let mut rig = Rig::new(limits(2));
    let lease = rig.connect_one(A, at(0));
    let mut ticket = rig.wait(A, at(1));
    rig.permit().expect("a permit").failed(Arc::new(Refused(1)), at(1));
    lease.close(at(2));
    assert!(matches!(poll(&mut ticket), Poll::Ready(Err(WaitError::ConnectFailed(_)))));
}

#[test]
fn success_forgets_the_failure() {
    let mut rig = Rig::new(limits(2));
    let mut tickets = [rig.wait(A, at(0)), rig.wait(A, at(0))];
    rig.permit().expect("a permit").failed(Arc::new(Refused(1)), at(1));
    rig.open(A, at(2));
    assert!(rig.pool.snapshot(at(2)).last_error.is_none());
    assert_eq!(rig.permits(), 1, "the second waiter gets a new try");
    assert!(poll(&mut tickets[0]).is_ready());
}

#[test]
fn dropped_permit_is_replaced_by_the_next_tick() {
    let rig = Rig::new(limits(1));
    let _ticket = rig.wait(A, at(0));
    drop(rig.permit());
    assert_eq!((rig.permits(), rig.pool.snapshot(at(0)).connecting), (0, 0));
    rig.pool.tick(at(1));
    assert_eq!(rig.permits(), 1);
}

#[test]
fn connector_that_drops_every_permit_at_once_does_not_go_round_for_ever() {
    struct Careless;
    impl Connector<Conn> for Careless {
        fn connect(&self, permit: Permit<Conn>) {
            drop(permit);
        }
    }
    let budget = Budget::new(1);
    let pool = Pool::new(limits(5), vec![budget], Box::new(Careless));
    let Ok(Checkout::Wait(mut ticket)) = pool.checkout(A, at(0)) else { panic!("not waiting") };
    pool.tick(at(1));
    assert!(poll(&mut ticket).is_pending());
}

#[test]
fn connector_may_answer_at_once() {
    struct Hasty;
    impl Connector<Conn> for Hasty {
        fn connect(&self, permit: Permit<Conn>) {
            permit.failed(Arc::new(Refused(7)), at(0));
        }
    }
    let pool = Pool::new(limits(5), Vec::new(), Box::new(Hasty));
    let Ok(Checkout::Wait(mut ticket)) = pool.checkout(A, at(0)) else { panic!("not waiting") };
    assert!(matches!(poll(&mut ticket), Poll::Ready(Err(WaitError::ConnectFailed(_)))));
}

#[test]
fn counts_tell_what_happened() {
    let mut rig = Rig::new(limits(1));
    let lease = rig.connect_one(A, at(0));
    let mut ticket = rig.wait(A, at(10));
    let waiting = rig.pool.snapshot(at(14));
    assert_eq!((waiting.busy, waiting.waiting, waiting.oldest_wait), (1, 1, ms(4)));
    assert_eq!(ticket.since(), at(10));
    lease.put_back(at(15));
    granted(&mut ticket).put_back(at(16));
    rig.ready(B, at(17)).put_back(at(18));
    let totals = rig.pool.snapshot(at(18)).totals;
    let expected = Totals {
        checkouts: 3,
        moved: 1,
        handoffs: 2,
        waits: 2,
        wait_nanos: 5_000_000,
        connects: 1,
        ..Totals::default()
    };
    assert_eq!(totals, expected);
}

#[test]
fn whoever_wants_a_place_waits_in_the_same_line() {
    let mut rig = Rig::new(limits(1));
    let place = |rig: &Rig| match rig.pool.checkout_wanted((A, Wants::Place), at(1)) {
        Ok(Checkout::Wait(ticket)) => ticket,
        other => panic!("expected a ticket, got {other:?}"),
    };
    let lease = rig.connect_one(A, at(0));
    let (mut first, mut second) = (place(&rig), rig.wait(A, at(1)));
    lease.put_back(at(2));
    // It is given what there is, and nobody else gets that as long as it has it.
    let held = granted(&mut first);
    assert!(poll(&mut second).is_pending());
    let mut third = place(&rig);
    drop(held);
    // The connector learns what the one is waiting for whose turn it is.
    let permit = rig.permit().expect("a permit");
    assert_eq!(permit.wants(), Wants::Connection);
    permit.opened(rig.conn(A), at(3));
    drop(granted(&mut second));
    let permit = rig.permit().expect("a permit");
    assert_eq!(permit.wants(), Wants::Place);
    permit.opened(rig.conn(A), at(4));
    assert_eq!(rig.pool.snapshot(at(4)).busy, 1);
    drop(granted(&mut third));
    assert_eq!(rig.pool.snapshot(at(4)).busy, 0);
}
