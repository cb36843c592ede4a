//! Routing hints: `/* pglagoon: primary */` and `/* pglagoon: replica */` in front of a text.
//!
//! Only leading comments count: trailing ones are written by tracing tools, not by people.

/// What a leading comment asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Run on the primary, also if it is a read.
    Primary,
    /// Run on a replica where the doubt is only about names that pgLagoon does not know.
    Replica,
    /// Addressed to pgLagoon but not understood: routing ignores it.
    Unknown,
}

/// The hint in the comments in front of `sql`; the first one addressed to pgLagoon counts.
pub fn leading(sql: &[u8]) -> Option<Hint> {
    let mut rest = sql.trim_ascii_start();
    loop {
        if let Some(comment) = rest.strip_prefix(b"/*") {
            let end = comment.windows(2).position(|pair| pair == b"*/")?;
            let (body, after) = comment.split_at_checked(end)?;
            if let Some(hint) = parse(body) {
                return Some(hint);
            }
            rest = after.get(2..)?.trim_ascii_start();
        } else if rest.starts_with(b"--") {
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
            rest = rest.get(end..)?.trim_ascii_start();
        } else {
            return None;
        }
    }
}

/// The hint in a comment's body; `None` if it is not addressed to pgLagoon.
fn parse(body: &[u8]) -> Option<Hint> {
    const ADDRESS: &[u8] = b"pglagoon";
    let body = body.trim_ascii();
    let (address, rest) = body.split_at_checked(ADDRESS.len())?;
    if !address.eq_ignore_ascii_case(ADDRESS) {
        return None;
    }
    let word = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii();
    Some(if word.eq_ignore_ascii_case(b"primary") {
        Hint::Primary
    } else if word.eq_ignore_ascii_case(b"replica") {
        Hint::Replica
    } else {
        Hint::Unknown
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_leading_comments_only() {
        assert_eq!(leading(b"/* pglagoon: primary */ select 1"), Some(Hint::Primary));
        assert_eq!(leading(b" /*x*/ -- y\n /*PGLAGOON:Replica*/select 1"), Some(Hint::Replica));
        assert_eq!(leading(b"select 1 /* pglagoon: primary */"), None);
        assert_eq!(leading(b"/* pglagoon: max_lag=1s */ select 1"), Some(Hint::Unknown));
        assert_eq!(leading(b"/* pglagoonish: primary */ select 1"), None);
        assert_eq!(leading(b"/* pglagoon: primary"), None);
        assert_eq!(leading(b"/*"), None);
        assert_eq!(leading(b""), None);
    }
}
