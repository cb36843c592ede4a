//! Each rule of the pool by itself.

use super::*;

fn limits(size: usize) -> Limits {
    Limits { size, ..Limits::default() }
}

#[test]
fn ticket_is_small_and_unpin() {
    fn assert_unpin_send<T: Unpin + Send>() {}
    assert_unpin_send::<Ticket<Conn>>();
    assert!(size_of::<Option<Ticket<Conn>>>() <= 24);
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
fn most_recently_used_connection_goes_first() {
    let rig = Rig::with_idle(limits(3), 3, at(0));
    assert_eq!(rig.ready(A, at(1)).id, 3);
}

#[test]
fn dropped_ticket_passes_its_connection_on() {
    let mut rig = Rig::new(limits(1));
    let lease = rig.connect_one(A, at(0));
    let (first, mut second) = (rig.wait(A, at(1)), rig.wait(A, at(1)));
    lease.put_back(at(2));
    assert!(poll(&mut second).is_pending());
    drop(first);
    assert_eq!(granted(&mut second).id, 1);
}

#[test]
fn dropped_lease_frees_its_place() {
    let mut rig = Rig::new(limits(1));
    let lease = rig.connect_one(A, at(0));
    let mut ticket = rig.wait(A, at(1));
    assert_eq!(rig.permits(), 0);
    drop(lease);
    assert_eq!(rig.live(), 0);
    rig.open(A, at(2));
    assert_eq!(granted(&mut ticket).id, 2);
}

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
