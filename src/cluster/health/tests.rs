use proptest::prelude::*;

use super::*;

const LIMITS: Limits =
    Limits { max_lag: Duration::from_secs(1), return_delay: Duration::from_millis(500) };

fn good(lag: u64) -> Finding {
    Finding::Good { lag: Duration::from_millis(lag) }
}

/// Feeds findings, each with the millisecond at which its poll ended, and returns the states that follow.
fn states(findings: &[(u64, Finding)]) -> Vec<State> {
    let mut health = Health::new(Returning::AfterDelay);
    findings
        .iter()
        .map(|&(at, finding)| {
            health.on_finding(finding, LIMITS, Mono(at * 1_000_000));
            health.state()
        })
        .collect()
}

#[test]
fn the_first_good_poll_brings_a_node_up() {
    assert_eq!(states(&[(1, good(900))]), [State::Up]);
}

#[test]
fn a_node_that_fails_leaves_at_once_and_returns_after_the_delay() {
    let down = State::Down(Fault::Lost);
    let found = states(&[
        (0, good(0)),
        (10, Finding::Failed(Fault::Lost)),
        (20, good(0)),
        (300, good(0)),
        (519, good(0)),
        (520, good(0)),
    ]);
    assert_eq!(found, [State::Up, down, down, down, down, State::Up]);
}

#[test]
fn a_replica_near_the_limit_stays_but_does_not_return() {
    let found = states(&[
        (0, good(0)),
        (10, good(1000)),
        (20, good(1001)),
        (30, good(1000)),
        (900, good(701)),
        (1000, good(700)),
        (1400, good(800)),
        (1500, good(700)),
        (2000, good(700)),
    ]);
    let lagging = State::Lagging;
    let expected =
        [State::Up, State::Up, lagging, lagging, lagging, lagging, lagging, lagging, State::Up];
    assert_eq!(found, expected);
}

#[test]
fn one_good_poll_is_never_enough_to_return() {
    let limits = Limits { return_delay: Duration::ZERO, ..LIMITS };
    let mut health = Health::new(Returning::AfterDelay);
    health.on_finding(Finding::Failed(Fault::Timeout), limits, Mono(1));
    health.on_finding(good(0), limits, Mono(2));
    assert_eq!(health.state(), State::Down(Fault::Timeout));
    assert_eq!(health.on_finding(good(0), limits, Mono(3)), Some(State::Down(Fault::Timeout)));
    assert_eq!(health.state(), State::Up);
}

#[test]
fn a_primary_returns_with_its_first_good_poll() {
    let mut health = Health::new(Returning::AtOnce);
    health.on_finding(Finding::Failed(Fault::Lost), LIMITS, Mono(1));
    health.on_finding(good(0), LIMITS, Mono(2));
    assert_eq!(health.state(), State::Up);
}

#[test]
fn a_mistake_that_was_mended_is_no_longer_reported() {
    let wrong = Mistake::ReplicaNotInRecovery;
    let found = states(&[(0, Finding::Wrong(wrong)), (10, good(0)), (510, good(0))]);
    assert_eq!(found, [State::Misconfigured(wrong), State::Unknown, State::Up]);
}

#[test]
fn failures_are_counted_until_an_answer() {
    let mut health = Health::new(Returning::AfterDelay);
    for _ in 0..3 {
        health.on_finding(Finding::Failed(Fault::Unreachable), LIMITS, Mono(1));
    }
    assert_eq!(health.failures(), 3);
    health.on_finding(Finding::Incomparable, LIMITS, Mono(2));
    assert_eq!(health.failures(), 0);
}

#[test]
fn every_message_says_what_to_do() {
    for mistake in [
        Mistake::PrimaryInRecovery,
        Mistake::ReplicaNotInRecovery,
        Mistake::OtherSystem,
        Mistake::OtherTimeline,
        Mistake::UnprovenTimeline,
        Mistake::AheadOfPrimary,
    ] {
        assert!(
            mistake.advice().contains(';') || mistake.advice().contains("until"),
            "{mistake:?}"
        );
    }
}

fn any_finding() -> impl Strategy<Value = Finding> {
    prop_oneof![
        4 => (0..2000_u64).prop_map(good),
        1 => Just(Finding::Incomparable),
        1 => Just(Finding::Failed(Fault::Lost)),
        1 => Just(Finding::Wrong(Mistake::OtherSystem)),
    ]
}

proptest! {
    #[test]
    fn a_node_is_up_only_after_a_good_poll_within_the_limit(
        findings in prop::collection::vec((0..400_u64, any_finding()), 1..60)
    ) {
        let mut health = Health::new(Returning::AfterDelay);
        let mut now = 0;
        let mut last_bad = None;
        for (later, finding) in findings {
            now += later;
            let before = health.state();
            health.on_finding(finding, LIMITS, Mono(now * 1_000_000));
            let within = matches!(finding, Finding::Good { lag } if lag <= LIMITS.max_lag);
            prop_assert!(within || health.state() != State::Up);
            if health.state() == State::Up && before != State::Up {
                prop_assert!(last_bad.is_none_or(|bad| now - bad >= 500));
            }
            if !within && finding != Finding::Incomparable {
                last_bad = Some(now);
            }
        }
    }

    #[test]
    fn back_off_grows_within_its_bounds(failures in 1..100_u32, dice in any::<u32>()) {
        let longest = Duration::from_secs(5);
        let wait = back_off(failures, longest, dice);
        prop_assert!(wait >= Duration::from_millis(25));
        prop_assert!(wait <= longest);
        prop_assert!(back_off(failures, longest, 0) <= back_off(failures + 1, longest, 0));
    }
}
