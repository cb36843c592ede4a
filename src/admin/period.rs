//! What was done in the last period: PgBouncer's averages.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Mono;
use crate::telemetry::Totals;
use crate::telemetry::overview::Overview;

/// What each database had done at one moment.
#[derive(Clone, Debug, Default)]
struct Sample {
    at: Mono,
    totals: BTreeMap<String, Totals>,
}

/// The last two samples.
#[derive(Debug)]
pub struct Periods {
    older: Sample,
    newer: Sample,
}

/// What was done in some time.
#[derive(Clone, Debug, Default)]
pub struct Period {
    /// How long it was.
    pub length: Duration,
    /// What each database did in it.
    pub done: BTreeMap<String, Totals>,
}

impl Periods {
    /// How long a period is, as in PgBouncer.
    pub const LENGTH: Duration = Duration::from_mins(1);

    /// No period has ended; the first begins at `now`.
    pub fn new(now: Mono) -> Self {
        let start = Sample { at: now, totals: BTreeMap::new() };
        Self { older: start.clone(), newer: start }
    }

    /// A period ends.
    pub fn end(&mut self, now: Mono, overview: &Overview) {
        let newest = Sample { at: now, totals: totals(overview) };
        self.older = std::mem::replace(&mut self.newer, newest);
    }

    /// The last period that has ended; before the first has, the time since the start.
    pub fn last(&self, now: Mono, overview: &Overview) -> Period {
        if self.newer.at > self.older.at {
            return between(&self.older, &self.newer);
        }
        between(&self.older, &Sample { at: now, totals: totals(overview) })
    }
}

fn between(older: &Sample, newer: &Sample) -> Period {
    let nothing = Totals::default();
    let done = newer.totals.iter().map(|(database, totals)| {
        let before = older.totals.get(database).unwrap_or(&nothing);
        (database.clone(), totals.since(before))
    });
    Period { length: newer.at.saturating_since(older.at), done: done.collect() }
}

/// What each database has done, over all its users.
pub(super) fn totals(overview: &Overview) -> BTreeMap<String, Totals> {
    let mut all: BTreeMap<String, Totals> =
        overview.databases.iter().map(|one| (one.name.clone(), Totals::default())).collect();
    for backend in &overview.backends {
        let totals = all.entry(backend.database.clone()).or_default();
        *totals = Totals::sum([*totals, backend.totals]);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Traffic;
    use crate::telemetry::overview::BackendOverview;

    fn overview(traffic: &Traffic) -> Overview {
        let backend = |user: &str, totals| BackendOverview {
            database: "app".into(),
            user: user.into(),
            totals,
            ..BackendOverview::default()
        };
        let backends = vec![backend("a", Totals::of(traffic)), backend("b", Totals::default())];
        Overview { backends, ..Overview::default() }
    }

    #[test]
    fn averages_are_of_the_last_full_period_and_before_it_of_the_time_so_far() {
        let second = |count: u64| Mono(1 + count * 1_000_000_000);
        let traffic = Traffic::default();
        let mut periods = Periods::new(second(0));
        traffic.sent.add(10);
        let so_far = periods.last(second(5), &overview(&traffic));
        assert_eq!((so_far.length, so_far.done["app"].sent), (Duration::from_secs(5), 10));
        periods.end(second(60), &overview(&traffic));
        traffic.sent.add(7);
        periods.end(second(120), &overview(&traffic));
        traffic.sent.add(100);
        let last = periods.last(second(150), &overview(&traffic));
        assert_eq!((last.length, last.done["app"].sent), (Duration::from_mins(1), 7));
    }
}
