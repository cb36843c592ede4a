//! Routing hints in front of a text: `/* pglagoon: primary */`, `/* pglagoon: replica */`, or what the text asks for
//! itself, as in `/* pglagoon: consistency=strong, max_lag=200ms */`.
//!
//! Only leading comments count: trailing ones are written by tracing tools, not by people.

/// What a leading comment asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Run on the primary, also if it is a read.
    Primary,
    /// Run on a replica where the doubt is only about names that pgLagoon does not know.
    Replica,
    /// Options: what they say is for who routes to understand.
    Options,
    /// Addressed to pgLagoon but not understood. It may ask for more than is known, so reads go to the primary.
    Unknown,
}

/// The hint in the comments in front of `sql`; the first one addressed to pgLagoon counts.
pub fn leading(sql: &[u8]) -> Option<Hint> {
    addressed(sql).map(parse)
}

/// The options of the hint in front of `sql`, in order: `key=value`, separated by commas.
pub fn options(sql: &[u8]) -> Option<impl Iterator<Item = (&str, &str)>> {
    let text = std::str::from_utf8(addressed(sql)?).ok()?;
    let option = |part| -> (&str, &str) { str::split_once(part, '=').unwrap_or((part, "")) };
    Some(text.split(',').map(option).map(|(key, value)| (key.trim(), unquoted(value.trim()))))
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(value)
}

/// What follows the address in the first comment in front of `sql` that is addressed to pgLagoon.
fn addressed(sql: &[u8]) -> Option<&[u8]> {
    let mut rest = sql.trim_ascii_start();
    loop {
        if let Some(comment) = rest.strip_prefix(b"/*") {
            let end = comment.windows(2).position(|pair| pair == b"*/")?;
            let (body, after) = comment.split_at_checked(end)?;
            if let Some(text) = behind_address(body) {
                return Some(text);
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

fn behind_address(body: &[u8]) -> Option<&[u8]> {
    const ADDRESS: &[u8] = b"pglagoon";
    let (address, rest) = body.trim_ascii().split_at_checked(ADDRESS.len())?;
    address.eq_ignore_ascii_case(ADDRESS).then_some(())?;
    rest.trim_ascii_start().strip_prefix(b":").map(<[u8]>::trim_ascii)
}

fn parse(text: &[u8]) -> Hint {
    let is_option = |part: &[u8]| part.contains(&b'=');
    if text.eq_ignore_ascii_case(b"primary") {
        Hint::Primary
    } else if text.eq_ignore_ascii_case(b"replica") {
        Hint::Replica
    } else if text.split(|&byte| byte == b',').all(is_option) {
        Hint::Options
    } else {
        Hint::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_leading_comments_only() {
        assert_eq!(leading(b"/* pglagoon: primary */ select 1"), Some(Hint::Primary));
        assert_eq!(leading(b" /*x*/ -- y\n /*PGLAGOON:Replica*/select 1"), Some(Hint::Replica));
        assert_eq!(leading(b"select 1 /* pglagoon: primary */"), None);
        assert_eq!(leading(b"/* pglagoon: max_lag=1s */ select 1"), Some(Hint::Options));
        assert_eq!(leading(b"/* pglagoon: max_lag=1s, x */ select 1"), Some(Hint::Unknown));
        assert_eq!(leading(b"/* pglagoon: */ select 1"), Some(Hint::Unknown));
        assert_eq!(leading(b"/* pglagoonish: primary */ select 1"), None);
        assert_eq!(leading(b"/* pglagoon: primary"), None);
        assert_eq!(leading(b"/*"), None);
        assert_eq!(leading(b""), None);
    }

    #[test]
    fn options_are_read_in_order() {
        let sql = b"/*x*/ /* pglagoon: consistency = strong,max_lag='200ms' , x= */ select 1";
        let expected = [("consistency", "strong"), ("max_lag", "200ms"), ("x", "")];
        assert!(options(sql).unwrap().eq(expected));
        assert!(options(b"select 1").is_none());
    }
}
