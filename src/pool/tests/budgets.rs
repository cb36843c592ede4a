//! Limits that several pools share.

use super::*;

fn pair(limit: usize) -> (Arc<Budget<Conn>>, Rig, Rig) {
    let budget = Budget::new(limit);
    let rig = || Rig::with_budgets(limits(5), vec![Arc::clone(&budget)]);
    let (one, two) = (rig(), rig());
    (budget, one, two)
}

#[test]
fn budget_counts_connections_and_connects_of_all_its_pools() {
    let (budget, mut one, two) = pair(0);
    let lease = one.connect_one(A, at(0));
    let ticket = two.wait(A, at(0));
    assert_eq!(budget.used(), 2);
    drop((lease, ticket));
    assert_eq!(budget.used(), 1);
    two.permit().expect("a permit").failed(Arc::new(Refused(1)), at(1));
    assert_eq!(budget.used(), 0);
}

#[test]
fn pool_without_connections_takes_the_place_of_an_idle_one_at_once() {
    let (budget, mut one, two) = pair(1);
    one.connect_one(A, at(0)).put_back(at(1));
    let _ticket = two.wait(A, at(1));
    assert_eq!(one.closed(), [(1, Closing::Evicted)]);
    assert_eq!((two.permits(), budget.used()), (1, 1));
}

#[test]
fn pool_with_connections_takes_only_what_has_been_idle_for_a_while() {
    let (_budget, mut one, mut two) = pair(2);
    one.connect_one(A, at(0)).put_back(at(1));
    let _lease = two.connect_one(A, at(1));
    let _ticket = two.wait(A, at(2));
    assert_eq!(one.closed(), []);
    two.pool.tick(at(100));
    assert_eq!(one.closed(), []);
    two.pool.tick(at(101));
    assert_eq!(one.closed(), [(1, Closing::Evicted)]);
    assert_eq!(two.permits(), 1);
}

#[test]
fn place_given_back_goes_to_the_pool_that_waits_for_it() {
    let (budget, mut one, two) = pair(1);
    let lease = one.connect_one(A, at(0));
    let _ticket = two.wait(A, at(1));
    assert_eq!(two.permits(), 0);
    lease.close(at(2));
    assert_eq!((two.permits(), budget.used()), (1, 1));
}

#[test]
fn connection_that_would_become_idle_makes_room_for_a_pool_without_any() {
    let (_budget, mut one, two) = pair(1);
    let lease = one.connect_one(A, at(0));
    let _ticket = two.wait(A, at(1));
    lease.put_back(at(2));
    assert_eq!(one.closed(), [(1, Closing::Evicted)]);
    assert_eq!(two.permits(), 1);
}

#[test]
fn busy_pool_does_not_starve_a_pool_without_connections() {
    let (_budget, mut one, two) = pair(1);
    let lease = one.connect_one(A, at(0));
    let _starving = two.wait(A, at(1));
    let mut own = one.wait(A, at(50));
    lease.put_back(at(51));
    let lease = granted(&mut own);
    let _own = one.wait(A, at(102));
    lease.put_back(at(103));
    assert_eq!(one.closed(), [(1, Closing::Evicted)]);
    assert_eq!(two.permits(), 1);
}

#[test]
fn pool_that_lost_its_last_connection_becomes_urgent() {
    let budget = Budget::new(2);
    let rig = || Rig::with_budgets(limits(5), vec![Arc::clone(&budget)]);
    let (mut one, mut two, third) = (rig(), rig(), rig());
    let lease = one.connect_one(A, at(0));
    let other = two.connect_one(A, at(0));
    let _third = third.wait(A, at(1));
    let _waits = one.wait(A, at(2));
    lease.close(at(3));
    assert_eq!((one.permits(), third.permits()), (0, 1), "the third came first");
    other.put_back(at(4));
    assert_eq!(two.closed(), [(1, Closing::Evicted)]);
    assert_eq!(one.permits(), 1);
}

#[test]
fn every_budget_of_a_pool_must_have_room() {
    let (database, user) = (Budget::new(2), Budget::new(1));
    let both = || vec![Arc::clone(&database), Arc::clone(&user)];
    let mut one = Rig::with_budgets(limits(5), both());
    let two = Rig::with_budgets(limits(5), both());
    let lease = one.connect_one(A, at(0));
    let _ticket = two.wait(A, at(1));
    assert_eq!((database.used(), user.used(), two.permits()), (1, 1, 0));
    drop(lease);
    assert_eq!((database.used(), user.used(), two.permits()), (1, 1, 1));
}

#[test]
fn larger_limit_lets_waiters_in_at_once_and_a_smaller_one_closes_what_is_idle() {
    let (budget, mut one, two) = pair(1);
    let lease = one.connect_one(A, at(0));
    let _ticket = two.wait(A, at(1));
    budget.set_limit(2, at(2));
    assert_eq!(two.permits(), 1);
    budget.set_limit(1, at(3));
    lease.put_back(at(4));
    assert_eq!(one.closed(), [(1, Closing::Evicted)]);
    assert_eq!(budget.used(), 1);
}

#[test]
fn idle_connections_above_a_lowered_limit_are_closed_by_the_janitor() {
    let (budget, mut one, _two) = pair(3);
    let leases = [one.connect_one(A, at(0)), one.connect_one(A, at(0))];
    for lease in leases {
        lease.put_back(at(1));
    }
    budget.set_limit(1, at(2));
    one.pool.tick(at(3));
    assert_eq!((one.closed(), budget.used()), (vec![(1, Closing::Evicted)], 1));
}

#[test]
fn minimum_does_not_take_what_others_wait_for() {
    let budget = Budget::new(1);
    let mut one = Rig::with_budgets(limits(5), vec![Arc::clone(&budget)]);
    let two = Rig::with_budgets(Limits { min: 1, ..limits(5) }, vec![Arc::clone(&budget)]);
    one.connect_one(A, at(0)).put_back(at(1));
    two.pool.tick(at(500));
    assert_eq!((two.permits(), one.closed()), (0, vec![]));
}

#[test]
fn dropped_pool_gives_its_places_back() {
    let (budget, mut one, two) = pair(1);
    let lease = one.connect_one(A, at(0));
    let _ticket = two.wait(A, at(1));
    drop(lease);
    assert_eq!(two.permits(), 1);
    let (budget_two, mut idle, _none) = pair(2);
    idle.connect_one(A, at(0)).put_back(at(1));
    drop(idle);
    assert_eq!((budget.used(), budget_two.used()), (1, 0));
}
