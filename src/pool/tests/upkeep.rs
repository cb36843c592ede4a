//! The janitor, and the states of a pool.

use super::*;

#[test]
fn idle_connections_are_reaped_down_to_the_minimum() {
    let limits = Limits { min: 1, idle_timeout: ms(50), ..limits(3) };
    let rig = Rig::with_idle(limits, 3, at(0));
    rig.pool.tick(at(49));
    assert_eq!(rig.closed(), []);
    rig.pool.tick(at(50));
    assert_eq!(rig.closed(), [(1, Closing::Idle), (2, Closing::Idle)]);
    rig.pool.tick(at(500));
    assert_eq!((rig.closed(), rig.permits()), (vec![], 0));
}

#[test]
fn idle_timeout_of_zero_means_never() {
    let rig = Rig::with_idle(Limits { idle_timeout: Duration::ZERO, ..limits(1) }, 1, at(0));
    rig.pool.tick(at(1_000_000_000));
    assert_eq!(rig.closed(), []);
}

#[test]
fn minimum_is_opened_without_a_client() {
    let mut rig = Rig::new(Limits { min: 3, max_connects: 2, ..limits(5) });
    rig.pool.tick(at(0));
    assert_eq!(rig.permits(), 2);
    assert_eq!(rig.desk.0.lock().permits[0].worker(), None);
    rig.open(A, at(1));
    rig.open(A, at(1));
    rig.pool.tick(at(2));
    assert_eq!(rig.permits(), 1);
    rig.open(A, at(3));
    rig.pool.tick(at(4));
    assert_eq!((rig.permits(), rig.pool.snapshot(at(4)).idle), (0, 3));
}

#[test]
fn minimum_is_not_tried_again_right_after_a_failure() {
    let rig = Rig::new(Limits { min: 1, login_retry: ms(50), ..limits(5) });
    rig.pool.tick(at(0));
    rig.permit().expect("a permit").failed(Arc::new(Refused(1)), at(0));
    rig.pool.tick(at(50));
    assert_eq!(rig.permits(), 0);
    rig.pool.tick(at(51));
    assert_eq!(rig.permits(), 1);
}

#[test]
fn old_connection_is_closed_when_it_comes_back_and_replaced_for_a_waiter() {
    let mut rig = Rig::new(limits(1));
    let mut lease = rig.connect_one(A, at(0));
    lease.retire_at = at(10);
    let _ticket = rig.wait(A, at(1));
    lease.put_back(at(10));
    assert_eq!(rig.closed(), [(1, Closing::Expired)]);
    assert_eq!(rig.permits(), 1);
}

#[test]
fn old_idle_connection_is_closed_and_the_minimum_restored() {
    let mut rig = Rig::new(Limits { min: 1, ..limits(1) });
    let mut lease = rig.connect_one(A, at(0));
    lease.retire_at = at(10);
    lease.put_back(at(1));
    rig.pool.tick(at(10));
    assert_eq!(rig.closed(), [(1, Closing::Expired)]);
    assert_eq!(rig.permits(), 1);
}

#[test]
fn connection_whose_lifetime_is_zero_serves_one_client() {
    let mut rig = Rig::new(limits(1));
    let mut ticket = rig.wait(A, at(0));
    let mut conn = rig.conn(A);
    conn.retire_at = Mono::ZERO;
    rig.permit().expect("a permit").opened(conn, at(1));
    granted(&mut ticket).put_back(at(2));
    assert_eq!(rig.closed(), [(1, Closing::Expired)]);
}

#[test]
fn smaller_size_closes_the_surplus_as_it_is_free() {
    let rig = Rig::with_idle(limits(3), 3, at(0));
    let lease = rig.ready(A, at(1));
    rig.pool.reconfigure(limits(1), at(2));
    rig.pool.tick(at(2));
    assert_eq!(rig.closed(), [(1, Closing::Surplus), (2, Closing::Surplus)]);
    lease.put_back(at(3));
    assert_eq!(rig.closed(), []);
    let lease = rig.ready(A, at(4));
    let ticket = rig.wait(A, at(4));
    rig.pool.reconfigure(limits(0), at(5));
    lease.put_back(at(6));
    assert_eq!(rig.closed(), [(3, Closing::Surplus)]);
    drop(ticket);
}

#[test]
fn larger_size_lets_waiters_in_at_once() {
    let mut rig = Rig::new(limits(1));
    let _lease = rig.connect_one(A, at(0));
    let _tickets = [rig.wait(A, at(1)), rig.wait(A, at(1))];
    assert_eq!(rig.permits(), 0);
    rig.pool.reconfigure(limits(3), at(2));
    assert_eq!(rig.permits(), 2);
}

#[test]
fn renewed_pool_uses_nothing_that_is_older() {
    let mut rig = Rig::with_idle(limits(2), 2, at(0));
    let lease = rig.ready(A, at(1));
    let (_busy, mut ticket) = (rig.ready(A, at(1)), rig.wait(A, at(1)));
    rig.pool.renew(at(2));
    lease.put_back(at(3));
    assert_eq!(rig.closed(), [(2, Closing::Stale)]);
    rig.open(A, at(4));
    assert_eq!(rig.closed(), [], "the connect that follows is of the new generation");
    assert!(poll(&mut ticket).is_ready());
}

#[test]
fn connect_begun_before_a_renewal_is_not_used() {
    let mut rig = Rig::with_idle(limits(3), 1, at(0));
    let (_busy, mut ticket) = (rig.ready(A, at(1)), rig.wait(A, at(1)));
    rig.pool.renew(at(2));
    rig.open(A, at(3));
    assert_eq!(rig.closed(), [(2, Closing::Stale)]);
    assert!(poll(&mut ticket).is_pending());
    assert_eq!(rig.permits(), 1);
}

#[test]
fn paused_pool_lets_everybody_wait_and_serves_them_in_order_afterwards() {
    let rig = Rig::with_idle(limits(2), 2, at(0));
    let lease = rig.ready(A, at(1));
    rig.pool.pause();
    let mut tickets = [rig.wait(A, at(2)), rig.wait(A, at(2)), rig.wait(A, at(2))];
    lease.put_back(at(3));
    let paused = rig.pool.snapshot(at(3));
    assert_eq!((paused.status, paused.idle, paused.busy), (Status::Paused, 2, 0));
    let bell = Arc::default();
    assert!(poll_with(&mut tickets[0], &bell).is_pending());
    rig.pool.resume(at(4));
    assert_eq!(bell.rings(), 1);
    let (_first, _second) = (granted(&mut tickets[0]), granted(&mut tickets[1]));
    assert!(poll(&mut tickets[2]).is_pending());
}

#[test]
fn closed_pool_fails_waiters_and_closes_what_comes_back() {
    let mut rig = Rig::with_idle(limits(3), 2, at(0));
    let lease = rig.ready(A, at(1));
    let other = rig.ready(A, at(1));
    let mut ticket = rig.wait(A, at(1));
    other.put_back(at(2));
    assert!(poll(&mut ticket).is_ready());
    let mut late = rig.wait(A, at(2));
    rig.pool.close(at(3));
    assert!(matches!(poll(&mut late), Poll::Ready(Err(WaitError::Closed))));
    assert!(matches!(rig.pool.checkout(A, at(4)), Err(WaitError::Closed)));
    lease.put_back(at(5));
    rig.open(A, at(6));
    rig.pool.resume(at(7));
    rig.pool.tick(at(8));
    assert_eq!((rig.live(), rig.permits()), (0, 0));
    assert_eq!(rig.pool.snapshot(at(8)).status, Status::Closed);
}

#[test]
fn idle_connections_can_be_seen() {
    let rig = Rig::with_idle(limits(2), 2, at(5));
    let mut seen = Vec::new();
    rig.pool.visit_idle(|conn, since| seen.push((conn.id, since)));
    assert_eq!(seen, [(1, at(5)), (2, at(5))]);
}
