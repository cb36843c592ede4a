//! PostgreSQL's own functions and operators, and which of them a standby may run.
//!
//! The lists were drawn from `pg_proc` of PostgreSQL 15 and reviewed by hand, because the label
//! `provolatile` is neither sufficient (`txid_current` is stable) nor necessary (`random` is
//! volatile). A name is safe only if all its overloads are. Names that only newer servers have
//! were added from the manuals of 16 to 18. A name in no list is treated as unknown.

use super::verdict::Why;

/// Names that give the same answer on a standby, and the grammar's own functions.
const SAFE: &str = include_str!("functions/safe.txt");
/// Names that write, lock, act on the server, or run what the text does not show.
const VOLATILE: &str = include_str!("functions/volatile.txt");
/// Names that only read, but what they read belongs to one node.
const NODE_LOCAL: &str = include_str!("functions/node_local.txt");

/// PostgreSQL's own operator symbols, all of them immutable or stable; and `!=`, read as `<>`.
const OPERATORS: &[&str] = &[
    "!!", "!=", "!~", "!~*", "!~~", "!~~*", "#", "##", "#-", "#>", "#>>", "%", "&", "&&", "&<",
    "&<|", "&>", "*", "*<", "*<=", "*<>", "*=", "*>", "*>=", "+", "-", "->", "->>", "-|-", "/",
    "<", "<->", "<<", "<<=", "<<|", "<=", "<>", "<@", "<^", "=", "=>", ">", ">=", ">>", ">>=",
    ">^", "?", "?#", "?&", "?-", "?-|", "?|", "?||", "@", "@-@", "@>", "@?", "@@", "@@@", "^",
    "^@", "|", "|&>", "|/", "|>>", "||", "||/", "~", "~*", "~<=~", "~<~", "~=", "~>=~", "~>~",
    "~~", "~~*",
];

/// Why a built-in function keeps a query on the primary; `None` if it is safe on a standby.
pub(super) fn reason(name: &str) -> Option<Why> {
    if contains_line(SAFE, name) {
        return None;
    }
    Some(match name {
        "nextval"
        | "setval"
        | "currval"
        | "lastval"
        | "pg_sequence_last_value"
        | "pg_get_sequence_data" => Why::Sequence,
        "set_config" | "setseed" => Why::SessionState,
        name if name.starts_with("pg_advisory_") || name.starts_with("pg_try_advisory_") => {
            Why::Locking
        }
        name if contains_line(NODE_LOCAL, name) => Why::NodeLocal,
        name if contains_line(VOLATILE, name) => Why::VolatileFunction,
        _ => Why::UnknownFunction,
    })
}

/// Whether this is none of PostgreSQL's own functions.
pub(super) fn is_unknown(name: &str) -> bool {
    reason(name) == Some(Why::UnknownFunction)
}

/// Whether this built-in function locks on its server, or does something to it, also in a read-only transaction on a standby.
pub(super) fn acts(name: &[u8]) -> bool {
    let Some((b"pg_" | b"PG_" | b"Pg_" | b"pG_", rest)) = name.split_first_chunk() else {
        return false;
    };
    let begins =
        |with: &&[u8]| rest.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    ACTING.iter().any(|one| rest.eq_ignore_ascii_case(one)) || ACTING_KINDS.iter().any(begins)
}

/// What follows `pg_` in their names.
const ACTING: [&[u8]; 8] = [
    b"cancel_backend",
    b"promote",
    b"reload_conf",
    b"rotate_logfile",
    b"switch_wal",
    b"terminate_backend",
    b"wal_replay_pause",
    b"wal_replay_resume",
];

/// How it begins in several.
const ACTING_KINDS: [&[u8]; 3] = [b"advisory_xact_", b"stat_reset", b"try_advisory_xact_"];

/// Whether this built-in function runs SQL that it is given as text, or reads tables that it is given by name.
pub(super) fn runs_text(name: &str) -> bool {
    let is_xml = name.contains("_to_xml") || name.contains("_to_xmlschema");
    is_xml || name.starts_with("ts_stat") || name.starts_with("ts_rewrite")
}

/// Whether `symbol` is one of PostgreSQL's own operators.
pub(super) fn is_operator(symbol: &str) -> bool {
    OPERATORS.contains(&symbol)
}

/// Whether one of the sorted `lines` is `wanted`.
fn contains_line(lines: &str, wanted: &str) -> bool {
    let mut lines = lines.as_bytes();
    while !lines.is_empty() {
        let (left, right) = lines.split_at(lines.len() / 2);
        let start = left.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let length = left.len() - start + right.iter().position(|&byte| byte == b'\n').unwrap_or(0);
        let (before, rest) = lines.split_at(start);
        let (line, after) = rest.split_at(length);
        match wanted.as_bytes().cmp(line) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => lines = before,
            std::cmp::Ordering::Greater => lines = after.get(1..).unwrap_or_default(),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_name_is_found_in_its_list_alone() {
        for (list, others) in [
            (SAFE, [VOLATILE, NODE_LOCAL]),
            (VOLATILE, [SAFE, NODE_LOCAL]),
            (NODE_LOCAL, [SAFE, VOLATILE]),
        ] {
            assert!(list.ends_with('\n') && list.lines().is_sorted());
            for name in list.lines() {
                assert!(contains_line(list, name), "{name}");
                assert!(!others.iter().any(|other| contains_line(other, name)), "{name}");
            }
        }
        for absent in ["", "a", "zzz", "abs\nacos", "lower_", "~"] {
            assert!(!contains_line(SAFE, absent), "{absent}");
        }
        assert!(!contains_line("", "a"));
    }

    #[test]
    fn names_have_the_reason_that_an_operator_expects() {
        for acting in ["pg_cancel_backend", "PG_promote", "pg_try_advisory_xact_lock_shared"] {
            assert!(acts(acting.as_bytes()), "{acting}");
        }
        for other in
            ["", "pg_", "nextval", "pg_export_snapshot", "pg_get_sequence_data", "pg_sleep"]
        {
            assert!(!acts(other.as_bytes()), "{other}");
        }
        for safe in ["now", "random", "lower", "count", "pg_sleep", "coalesce", "generate_series"] {
            assert_eq!(reason(safe), None, "{safe}");
        }
        for (name, why) in [
            ("nextval", Why::Sequence),
            ("set_config", Why::SessionState),
            ("pg_try_advisory_xact_lock", Why::Locking),
            ("txid_current", Why::VolatileFunction),
            ("query_to_xml", Why::VolatileFunction),
            ("pg_backend_pid", Why::NodeLocal),
            ("pg_is_in_recovery", Why::NodeLocal),
            ("version", Why::NodeLocal),
            ("my_function", Why::UnknownFunction),
        ] {
            assert_eq!(reason(name), Some(why), "{name}");
        }
    }
}
