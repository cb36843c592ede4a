//! What values our parameters take, in a SET as in a comment.

use std::time::Duration;

use crate::cluster::{Cluster, Reach, Token};
use crate::config::{Consistency, Way};
use crate::protocol::SqlState;
use crate::session::ours::{Fault, Parameter};
use crate::sql::hint;

/// The way that a word stands for.
pub(in crate::session) fn way(word: &str) -> Option<Way> {
    Way::ALL.iter().copied().find(|one| one.as_str().eq_ignore_ascii_case(word))
}

/// The consistency that a word stands for.
pub(in crate::session) fn consistency(word: &str) -> Option<Consistency> {
    Consistency::ALL.iter().copied().find(|one| one.as_str().eq_ignore_ascii_case(word))
}

impl Parameter {
    /// The form in which `value` is kept and shown.
    ///
    /// # Errors
    ///
    /// It is none that the parameter takes.
    pub(super) fn check(self, value: &str, cluster: &Cluster) -> Result<String, Fault> {
        self.check_settable()?;
        match self {
            Self::After if value.is_empty() => Ok(String::new()),
            Self::After => {
                let token: Token = value.parse().map_err(|_| {
                    self.invalid(value, "It takes what SHOW pglagoon.token shows after a write.")
                })?;
                if cluster.reach(token, crate::clock::Mono::ZERO) == Reach::Foreign {
                    return Err(self.invalid(value, "It is the token of another database system."));
                }
                Ok(token.to_string())
            }
            Self::Consistency => {
                let hint = "Available values: eventual, session, group, table, strong.";
                let found = consistency(value).ok_or_else(|| self.invalid(value, hint))?;
                Ok(found.as_str().to_owned())
            }
            Self::Explain | Self::Monotonic => {
                let word = switch(value).ok_or_else(|| Fault {
                    code: SqlState::INVALID_PARAMETER_VALUE,
                    message: format!("parameter \"{}\" requires a Boolean value", self.name()),
                    hint: "",
                })?;
                Ok(word.to_owned())
            }
            Self::Group => Ok(value.to_owned()),
            Self::MaxLag => {
                let hint = "Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".";
                let found = parse_time(value).ok_or_else(|| self.invalid(value, hint))?;
                if found < Duration::from_millis(1) {
                    return Err(self.invalid(value, "It must be at least 1 ms."));
                }
                Ok(show_time(found))
            }
            Self::Route => {
                let hint = "Available values: auto, primary, replica.";
                let found = way(value).ok_or_else(|| self.invalid(value, hint))?;
                Ok(found.as_str().to_owned())
            }
            Self::Token => Ok(String::new()),
        }
    }

    /// Whether it may be set at all.
    ///
    /// # Errors
    ///
    /// It may not.
    pub(super) fn check_settable(self) -> Result<(), Fault> {
        if self != Self::Token {
            return Ok(());
        }
        Err(Fault {
            code: SqlState::CANNOT_CHANGE_PARAMETER,
            message: format!("parameter \"{}\" cannot be changed", self.name()),
            hint: "A token is set as pglagoon.after.",
        })
    }

    fn invalid(self, value: &str, hint: &'static str) -> Fault {
        Fault {
            code: SqlState::INVALID_PARAMETER_VALUE,
            message: format!("invalid value for parameter \"{}\": \"{value}\"", self.name()),
            hint,
        }
    }
}

/// The value of what stands behind TO in a SET: a string's contents, a word or number as it is.
pub(in crate::session) fn plain(sql: &str) -> String {
    crate::sql::settings::plain(sql).unwrap_or_else(|| sql.to_ascii_lowercase())
}

/// The word for a switch. As `parse_bool` in `src/backend/utils/adt/bool.c`: unique prefixes will do.
pub(in crate::session) fn switch(text: &str) -> Option<&'static str> {
    let text = text.to_ascii_lowercase();
    let is = |word: &str, least: usize| text.len() >= least && word.starts_with(&text);
    if is("true", 1) || is("yes", 1) || is("on", 2) || text == "1" {
        Some("on")
    } else if is("false", 1) || is("no", 1) || is("off", 2) || text == "0" {
        Some("off")
    } else {
        None
    }
}

/// Units of time in parameters, in microseconds, the largest first.
const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("min", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// A number with a unit; without one of milliseconds, as all such parameters of PostgreSQL.
pub(in crate::session) fn parse_time(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = match unit.trim_start() {
        "" => "ms",
        unit => unit,
    };
    let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*size).map(Duration::from_micros)
}

/// In the largest unit of which it is a whole number.
pub(in crate::session) fn show_time(time: Duration) -> String {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let fits = |(_, size): &&(&str, u64)| micros.is_multiple_of(*size);
    UNITS
        .iter()
        .find(fits)
        .map_or_else(String::new, |(unit, size)| format!("{}{unit}", micros / size))
}

/// What one statement asks for itself, in a comment in front of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::session) struct Asks {
    pub(in crate::session) after: Option<Token>,
    pub(in crate::session) consistency: Option<Consistency>,
    pub(in crate::session) max_lag: Option<Duration>,
}

impl Asks {
    /// All that both ask for.
    pub(in crate::session) fn join(&mut self, other: &Self) {
        self.after = other.after.or(self.after);
        self.consistency = self.consistency.max(other.consistency);
        self.max_lag = match (self.max_lag, other.max_lag) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
}

/// What the comment in front of `sql` asks for; `None` if it is not understood.
pub(in crate::session) fn asks(sql: &[u8]) -> Option<Asks> {
    let mut asks = Asks::default();
    for (key, value) in hint::options(sql)? {
        match key {
            "after" => asks.after = Some(value.parse().ok()?),
            "consistency" => asks.consistency = Some(consistency(value)?),
            "max_lag" => asks.max_lag = Some(parse_time(value).filter(|time| !time.is_zero())?),
            _ => return None,
        }
    }
    Some(asks)
}
