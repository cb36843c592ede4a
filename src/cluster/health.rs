//! Whether a node may be used, as a state machine without clock or I/O.
//!
//! ```text
//!             first good poll                      lag > max_lag
//!   Unknown ------------------> Up -------------------------------> Lagging
//!      ^                        ^ |  failed poll                       |
//!      | freshness unknown      | +-----------> Down -----------+      |
//!      |                        |                               |      |
//!      |                        | well for `return_delay`       v      v
//!      +------ (any) -----------+<-------------------------- (not Up)
//!                 any --- wrong role, system or timeline ---> Misconfigured
//! ```
//!
//! A node leaves at once. It returns only after it has been well for a while, so that one that fails or
//! lags on and off does not take requests each time it recovers for a moment.

use std::time::Duration;

use crate::clock::Mono;

/// Whether a node may be used, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not polled yet, or a replica whose distance to the primary is not known.
    Unknown,
    /// It may be used.
    Up,
    /// A replica that is further behind than `max_lag`, or was so a moment ago.
    Lagging,
    /// It does not answer.
    Down(Fault),
    /// It is not what it should be.
    Misconfigured(Mistake),
}

impl State {
    /// One lower-case word, as a metric label and in `SHOW NODES`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Lagging => "lagging",
            Self::Down(_) => "down",
            Self::Misconfigured(_) => "misconfigured",
        }
    }
}

/// Why a poll failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No connection could be made.
    Unreachable,
    /// The server is there, and starts up or shuts down.
    NotReady,
    /// The server did not let the monitor in.
    LogIn,
    /// The connection was lost.
    Lost,
    /// No answer came in time.
    Timeout,
    /// The answer was an error, or not what was asked for.
    Answer,
}

impl Fault {
    /// A few words for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "cannot be reached",
            Self::NotReady => "is starting up or shutting down",
            Self::LogIn => "does not let the monitor log in",
            Self::Lost => "closed the monitor's connection",
            Self::Timeout => "does not answer in time",
            Self::Answer => "answers the monitor's query with an error",
        }
    }
}

/// How a node differs from what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// Configured as primary, but it is a standby.
    PrimaryInRecovery,
    /// Configured as replica, but it accepts writes of its own.
    ReplicaNotInRecovery,
    /// It accepts writes, but another node was promoted after it.
    Superseded,
    /// It accepts writes on the same timeline as the primary, so one is a copy of the other.
    Rival,
    /// Not a copy of the primary at all.
    OtherSystem,
    /// It follows another line of history than the primary.
    OtherTimeline,
    /// It may follow an older line of history, and the monitor's role may not see which.
    UnprovenTimeline,
    /// It holds log that the primary does not have.
    AheadOfPrimary,
}

impl Mistake {
    /// What is wrong and what to do about it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::PrimaryInRecovery => {
                "configured as primary but is in recovery (a standby): nothing is written to it; promote it, or \
                 configure the node that is the primary now"
            }
            Self::ReplicaNotInRecovery => {
                "configured as replica but is not in recovery (it accepts writes): nothing is read from it; rebuild \
                 it as a standby of the primary, or configure it as primary if it was promoted"
            }
            Self::Superseded => {
                "accepts writes, but on an older timeline than another node, which was promoted since: nothing is \
                 written to it or read from it; stop it, and make it a standby of the primary (pg_rewind or a new \
                 base backup)"
            }
            Self::Rival => {
                "accepts writes on the same timeline as another node, so one of them is a copy: nothing is written \
                 to it or read from it; stop the one that should not run, or take it out of the configuration"
            }
            Self::OtherSystem => {
                "has another system identifier than the primary: it is no copy of it, and nothing is read from it; \
                 check its address, or rebuild it with pg_basebackup"
            }
            Self::OtherTimeline => {
                "follows another timeline than the primary: nothing is read from it until it follows the primary \
                 (recovery_target_timeline = 'latest', pg_rewind or a new base backup)"
            }
            Self::UnprovenTimeline => {
                "may still follow an older timeline than the primary: nothing is read from it until its next \
                 restartpoint shows otherwise; grant pg_read_all_stats to the monitor's role to see it at once"
            }
            Self::AheadOfPrimary => {
                "has replayed more than the primary has written: it followed another server, and nothing is read \
                 from it; rebuild it with pg_rewind or pg_basebackup"
            }
        }
    }
}

/// What one poll said about a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It answered and is what it should be; a replica is this far behind.
    Good {
        /// How far it is behind; zero for a primary.
        lag: Duration,
    },
    /// A replica that answered, but nothing is known to compare it with.
    Incomparable,
    /// It is not what it should be.
    Wrong(Mistake),
    /// It did not answer.
    Failed(Fault),
}

/// When a node leaves and returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A replica further behind leaves.
    pub max_lag: Duration,
    /// How long a node that left must be well before it returns.
    pub return_delay: Duration,
}

impl Limits {
    /// Below this a replica that lagged counts as well again: seven tenths of `max_lag`.
    fn well_below(&self) -> Duration {
        self.max_lag.saturating_mul(7) / 10
    }
}

/// The health of one node.
#[derive(Clone, Debug)]
pub struct Health {
    state: State,
    since: Mono,
    /// When the present run of good polls began, while the node is not up.
    well_since: Option<Mono>,
    /// How it returns from its present state; a node that never failed comes up at once.
    returning: Returning,
    /// How it returns whenever it has left.
    policy: Returning,
    failures: u32,
}

/// How a node returns once it is well again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returning {
    /// With the first good poll: a primary, which nothing can stand in for.
    AtOnce,
    /// After it has been well for `return_delay`: a replica.
    AfterDelay,
}

impl Health {
    /// A node of which nothing is known.
    pub const fn new(policy: Returning) -> Self {
        Self {
            state: State::Unknown,
            since: Mono::ZERO,
            well_since: None,
            returning: Returning::AtOnce,
            policy,
            failures: 0,
        }
    }

    /// How the node returns from now on: it serves as something else.
    pub fn set_policy(&mut self, policy: Returning) {
        self.policy = policy;
        if self.state != State::Up {
            self.returning = policy;
        }
    }

    /// The present state.
    pub const fn state(&self) -> State {
        self.state
    }

    /// When the present state began.
    pub const fn since(&self) -> Mono {
        self.since
    }

    /// How many polls have failed in a row.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Takes note of a poll that ended at `now`. Returns the previous state if the state changed.
    pub fn on_finding(&mut self, finding: Finding, limits: Limits, now: Mono) -> Option<State> {
        self.failures = match finding {
            Finding::Failed(_) => self.failures.saturating_add(1),
            Finding::Good { .. } | Finding::Incomparable | Finding::Wrong(_) => 0,
        };
        let next = match finding {
            Finding::Failed(fault) => self.leave(State::Down(fault)),
            Finding::Wrong(mistake) => self.leave(State::Misconfigured(mistake)),
            Finding::Incomparable => {
                self.well_since = None;
                State::Unknown
            }
            Finding::Good { lag } if lag > limits.max_lag => self.leave(State::Lagging),
            Finding::Good { lag } => self.on_good(lag, limits, now),
        };
        let previous = std::mem::replace(&mut self.state, next);
        if previous == next {
            return None;
        }
        self.since = now;
        Some(previous)
    }

    fn leave(&mut self, state: State) -> State {
        self.well_since = None;
        self.returning = self.policy;
        state
    }

    fn on_good(&mut self, lag: Duration, limits: Limits, now: Mono) -> State {
        if self.state == State::Up || self.returning == Returning::AtOnce {
            self.returning = Returning::AtOnce;
            return State::Up;
        }
        if lag > limits.well_below() {
            self.well_since = None;
            return State::Lagging;
        }
        let Some(since) = self.well_since else {
            self.well_since = Some(now);
            return self.recovering();
        };
        if now.saturating_since(since) < limits.return_delay {
            return self.recovering();
        }
        self.well_since = None;
        self.returning = Returning::AtOnce;
        State::Up
    }

    /// The state of a node that is well but has not been so for long enough.
    fn recovering(&self) -> State {
        match self.state {
            // It is no longer what its last state says, and not yet trusted.
            State::Misconfigured(_) => State::Unknown,
            State::Unknown | State::Up | State::Lagging | State::Down(_) => self.state,
        }
    }
}

/// How long to wait before the next attempt at a node that failed `failures` times in a row: doubled each time
/// up to `longest`, and between half of it and all of it by `dice`, so that many monitors do not knock in step.
pub fn back_off(failures: u32, longest: Duration, dice: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(50);
    let doublings = failures.saturating_sub(1).min(16);
    let full = FIRST.saturating_mul(1 << doublings).min(longest);
    let jitter = f64::from(dice) / f64::from(u32::MAX) / 2.0;
    full.mul_f64(0.5 + jitter)
}

#[cfg(test)]
mod tests;
