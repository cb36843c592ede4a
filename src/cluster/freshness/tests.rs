use proptest::prelude::*;

use super::*;

const LINEAGE: Lineage = Lineage { system: 7, timeline: 1 };
const LAG: Duration = Duration::from_secs(1);

fn sample(started_at: u64, flush: u64) -> Sample {
    Sample { started_at: Mono(started_at), flush: Lsn(flush) }
}

fn history(samples: &[(u64, u64)]) -> History {
    let mut history = History::new(LAG);
    for &(at, flush) in samples {
        history.record(LINEAGE, sample(at, flush));
    }
    history
}

#[test]
fn an_empty_history_knows_no_horizon() {
    assert_eq!(History::new(LAG).horizon(Lsn(u64::MAX)), None);
}

#[test]
fn the_horizon_is_the_latest_sample_that_was_replayed() {
    let history = history(&[(10, 100), (20, 200), (30, 300)]);
    assert_eq!(history.horizon(Lsn(99)), None);
    assert_eq!(history.horizon(Lsn(100)), Some(Mono(10)));
    assert_eq!(history.horizon(Lsn(299)), Some(Mono(20)));
    assert_eq!(history.horizon(Lsn(5000)), Some(Mono(30)));
}

#[test]
fn an_idle_primary_moves_the_horizon_without_new_samples() {
    let history = history(&[(10, 100), (20, 100), (30, 100)]);
    assert_eq!(history.samples.len(), 1);
    assert_eq!(history.horizon(Lsn(100)), Some(Mono(30)));
}

#[test]
fn another_timeline_or_system_starts_anew() {
    for other in [Lineage { timeline: 2, ..LINEAGE }, Lineage { system: 8, ..LINEAGE }] {
        let mut history = history(&[(10, 100)]);
        assert_eq!(history.record(other, sample(20, 200)), Recorded::Restarted);
        assert_eq!(history.horizon(Lsn(150)), None);
        assert_eq!(history.horizon(Lsn(200)), Some(Mono(20)));
        assert_eq!(history.lineage(), Some(other));
    }
}

#[test]
fn a_position_that_goes_back_starts_anew() {
    let mut history = history(&[(10, 100), (20, 200)]);
    assert_eq!(history.record(LINEAGE, sample(30, 150)), Recorded::Restarted);
    assert_eq!(history.horizon(Lsn(149)), None);
}

#[test]
fn a_late_sample_is_ignored() {
    let mut history = history(&[(10, 100), (20, 200)]);
    assert_eq!(history.record(LINEAGE, sample(20, 900)), Recorded::Ignored);
    assert_eq!(history.record(LINEAGE, sample(15, 150)), Recorded::Ignored);
    assert_eq!(history.newest(), Some(sample(20, 200)));
}

/// Two minutes of a busy primary that is polled every millisecond.
#[test]
fn a_bounded_number_of_samples_covers_a_minute_within_a_few_percent() {
    let mut history = History::new(LAG);
    let millisecond = 1_000_000;
    let steps = 120_000_u64;
    for step in 1..=steps {
        history.record(LINEAGE, sample(step * millisecond, step));
        assert!(history.samples.len() <= CAPACITY);
    }
    for age in [0, 1, 10, 100, 1_000, 10_000, 59_000] {
        let truth = steps - age;
        let found = history.horizon(Lsn(truth)).expect("covered").0 / millisecond;
        assert!(found <= truth);
        // Thinning happens once in a while, so an old sample may have been thinned at a younger age.
        assert!(truth - found <= age / 16 + 1, "age {age} ms: {} ms too old", truth - found);
    }
}

#[test]
fn a_long_max_lag_is_covered_ten_times() {
    let mut history = History::new(Duration::from_mins(1));
    let second = 1_000_000_000;
    for step in 1..=5_000_u64 {
        history.record(LINEAGE, sample(step * second, step));
    }
    assert!(history.horizon(Lsn(5_000 - 600)).is_some());
}

proptest! {
    /// Whatever is thinned, the horizon never claims more than all samples together would.
    #[test]
    fn thinning_never_makes_a_replica_look_fresher(
        steps in prop::collection::vec((1..3_000_000_u64, 0..3_u64), 1..4000),
        probes in prop::collection::vec(0..10_000_u64, 1..20),
    ) {
        let mut history = History::new(LAG);
        let mut all = Vec::new();
        let (mut at, mut flush) = (0, 0);
        for (later, more) in steps {
            at += later;
            flush += more;
            history.record(LINEAGE, sample(at, flush));
            all.push(sample(at, flush));
        }
        for replay in probes {
            let truth = all.iter().rfind(|s| s.flush <= Lsn(replay)).map(|s| s.started_at);
            prop_assert!(history.horizon(Lsn(replay)) <= truth);
        }
        let newest = history.newest().expect("not empty");
        prop_assert_eq!(history.horizon(newest.flush), Some(newest.started_at));
    }
}
