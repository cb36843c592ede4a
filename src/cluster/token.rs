//! A position in a cluster's log that applications may carry from one connection, or one pgLagoon, to another.

use std::fmt;
use std::str::FromStr;

use super::lsn::{Lineage, Lsn};

/// "Everything up to here": what a read has to see if it brings this along.
///
/// Its text is `1-SYSTEM-TIMELINE-POSITION`, as in `1-7436521907712345678-00000001-16/B374D848`: the version of the
/// format, the system identifier, the timeline in hexadecimal, and the position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The history that the position belongs to.
    pub lineage: Lineage,
    /// The position up to which the primary's log was flushed.
    pub flush: Lsn,
}

/// The query that makes a primary tell its token, as a column of this name. To a server that is no primary it is an
/// error.
pub const QUERY: &str = "SELECT pg_catalog.concat('1-', (pg_catalog.pg_control_system()).system_identifier, '-', \
     pg_catalog.substr(pg_catalog.pg_walfile_name(position), 1, 8), '-', position) AS \"pglagoon.token\" \
     FROM pg_catalog.pg_current_wal_flush_lsn() AS position";

/// The same for a session whose commits are acknowledged before they are flushed: up to what is inserted.
pub const QUERY_UNFLUSHED: &str = "SELECT pg_catalog.concat('1-', \
     (pg_catalog.pg_control_system()).system_identifier, '-', \
     pg_catalog.substr(pg_catalog.pg_walfile_name(position), 1, 8), '-', position) AS \"pglagoon.token\" \
     FROM pg_catalog.pg_current_wal_insert_lsn() AS position";

/// The text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a token")]
pub struct NotAToken;

impl FromStr for Token {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let rest = text.strip_prefix("1-").ok_or(NotAToken)?;
        let mut parts = rest.splitn(3, '-');
        let mut next = || parts.next().ok_or(NotAToken);
        let (system, timeline, flush) = (next()?, next()?, next()?);
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !digits(system) || !digits(timeline) {
            return Err(NotAToken);
        }
        Ok(Self {
            lineage: Lineage {
                system: system.parse().map_err(|_| NotAToken)?,
                timeline: u32::from_str_radix(timeline, 16).map_err(|_| NotAToken)?,
            },
            flush: flush.parse().map_err(|_| NotAToken)?,
        })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lineage { system, timeline } = self.lineage;
        write!(f, "1-{system}-{timeline:08X}-{}", self.flush)
    }
}

/// Which instant a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A replica that is fresh as of a later instant shows all that the token stands for.
    After(crate::clock::Mono),
    /// The cluster is not known to have come that far: its primary has not been asked yet, or it follows an older
    /// timeline than the token's.
    Unknown,
    /// It is a token of another database system.
    Foreign,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_is_shown() {
        let text = "1-7436521907712345678-0000000A-16/B374D848";
        let token: Token = text.parse().unwrap();
        assert_eq!(token.lineage, Lineage { system: 7_436_521_907_712_345_678, timeline: 10 });
        assert_eq!(token.flush, Lsn(0x16_B374_D848));
        assert_eq!(token.to_string(), text);
        for wrong in [
            "",
            "1",
            "1-",
            "1-1-1",
            "2-1-1-0/0",
            "1-x-1-0/0",
            "1-1-1-0",
            "1-1-1-0/0-",
            "1-+1-1-0/0",
        ] {
            assert_eq!(wrong.parse::<Token>(), Err(NotAToken), "{wrong}");
        }
    }
}
