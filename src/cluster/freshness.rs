//! Which instant a replica's state corresponds to.
//!
//! A sample says: when the primary was asked at `started_at`, its log was flushed up to `flush`. All that
//! was acknowledged before `started_at` lies at or before `flush`, because a commit is acknowledged only once its
//! record is flushed. So a replica that has replayed up to `flush` shows everything acknowledged before
//! `started_at`: it is fresh as of that instant.
//!
//! The flush position is used and not the insert position: the latter may stand just past a page header that
//! replay never reaches, and runs ahead of what is shipped to replicas.

use std::collections::VecDeque;
use std::time::Duration;

use super::lsn::{Lineage, Lsn};
use crate::clock::Mono;

/// Where the primary's log stood at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Read on our clock before the primary was asked.
    pub started_at: Mono,
    /// The position up to which its log was flushed.
    pub flush: Lsn,
}

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It continues the history.
    Continued,
    /// It belongs to another history: all older samples are forgotten.
    Restarted,
    /// It is older than the newest one and says nothing new.
    Ignored,
}

/// The primary's samples, oldest first, strictly increasing in both instant and position.
///
/// The number of samples is bounded. What is `age` old is kept with a resolution of `age / RESOLUTION`, so that
/// a horizon is never more than a few percent older than it would be with all samples.
#[derive(Debug)]
pub struct History {
    lineage: Option<Lineage>,
    samples: VecDeque<Sample>,
    cover: Duration,
}

/// Samples of age `a` lie at least about `a / RESOLUTION` apart once the history has been thinned.
const RESOLUTION: u64 = 32;

/// The history is thinned when it has grown to this many samples. Sixty seconds of samples one millisecond apart
/// thin to about `RESOLUTION * ln(60_000)` = 350, so there is room to grow before the next pass.
const CAPACITY: usize = 1024;

/// However small `max_lag` is, this much is covered.
const MIN_COVER: Duration = Duration::from_mins(1);

impl History {
    /// An empty history that is going to cover at least ten times `max_lag`.
    pub fn new(max_lag: Duration) -> Self {
        let cover = MIN_COVER.max(max_lag.saturating_mul(10));
        Self { lineage: None, samples: VecDeque::with_capacity(CAPACITY), cover }
    }

    /// The history that the samples belong to, once there are any.
    pub fn lineage(&self) -> Option<Lineage> {
        self.lineage
    }

    /// The latest sample.
    pub fn newest(&self) -> Option<Sample> {
        self.samples.back().copied()
    }

    /// The earliest sample that is still kept.
    pub fn oldest(&self) -> Option<Sample> {
        self.samples.front().copied()
    }

    /// Adds a sample. The primary must have been asked by one poll at a time.
    ///
    /// A flush position never goes back while a system lives. If it does, then the log was rewritten (restored
    /// from a backup, say) without a new timeline, and nothing that was known about it holds.
    pub fn record(&mut self, lineage: Lineage, sample: Sample) -> Recorded {
        let newest = self.newest().filter(|_| self.lineage == Some(lineage));
        let Some(newest) = newest else {
            return self.restart(lineage, sample);
        };
        if sample.started_at <= newest.started_at {
            return Recorded::Ignored;
        }
        if sample.flush < newest.flush {
            return self.restart(lineage, sample);
        }
        if sample.flush == newest.flush {
            // The same position at a later instant says all that the older sample said.
            self.samples.pop_back();
        } else if self.samples.len() >= CAPACITY {
            self.thin(sample.started_at);
        }
        self.samples.push_back(sample);
        Recorded::Continued
    }

    /// The latest instant whose acknowledged work is all contained in `replay`; `None` if the samples do not
    /// reach back that far.
    pub fn horizon(&self, replay: Lsn) -> Option<Mono> {
        let reached = self.samples.partition_point(|sample| sample.flush <= replay);
        let last = reached.checked_sub(1)?;
        self.samples.get(last).map(|sample| sample.started_at)
    }

    /// An instant such that whoever is fresh as of a later one has replayed `position`, if a sample says so.
    pub fn before(&self, position: Lsn) -> Option<Mono> {
        let first = self.samples.partition_point(|sample| sample.flush < position);
        self.samples.get(first).map(|sample| Mono(sample.started_at.0.saturating_sub(1)))
    }

    fn restart(&mut self, lineage: Lineage, sample: Sample) -> Recorded {
        self.lineage = Some(lineage);
        self.samples.clear();
        self.samples.push_back(sample);
        Recorded::Restarted
    }

    /// Forgets samples that lie close to their neighbours, and those beyond the time to be covered.
    ///
    /// Forgetting a sample is always safe: a horizon falls back to the sample before it.
    fn thin(&mut self, now: Mono) {
        // The oldest sample that is kept must not be younger than `cover`.
        while self.samples.get(1).is_some_and(|next| self.is_beyond_cover(*next, now)) {
            self.samples.pop_front();
        }
        let mut kept: Option<Mono> = None;
        self.samples.retain(|sample| {
            let age = now.0.saturating_sub(sample.started_at.0);
            let near = kept.is_some_and(|at| sample.started_at.0 - at.0 < age / RESOLUTION);
            if !near {
                kept = Some(sample.started_at);
            }
            !near
        });
        // Only a clock that stands still could leave it full; the bound holds all the same.
        while self.samples.len() >= CAPACITY {
            self.samples.pop_front();
        }
    }

    fn is_beyond_cover(&self, sample: Sample, now: Mono) -> bool {
        now.saturating_since(sample.started_at) >= self.cover
    }
}

#[cfg(test)]
mod tests;
