//! What a server's error means for what could be done about it.

use crate::protocol::SqlState;

/// What `RevalidateCachedQuery` says in `src/backend/utils/cache/plancache.c`: "cached plan must not change result
/// type".
const STALE_PLAN: (SqlState, &[u8]) = (SqlState::FEATURE_NOT_SUPPORTED, b"RevalidateCachedQuery");

/// An ErrorResponse, as far as we judge it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServerError {
    /// Its SQLSTATE.
    pub(super) code: SqlState,
    /// What it means for a replica's answer.
    pub(super) blame: Blame,
    /// Whether the server leaves.
    pub(super) end: End,
}

/// Whether only a replica answers so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// Any other node might have answered otherwise: this one is busy with the primary's changes, or leaves.
    Node,
    /// The primary might have answered otherwise, if its catalog has changed lately: the replica may not know that yet.
    Lateness,
    /// The primary might have answered otherwise.
    Replica,
    /// A server on which the statement has just been parsed might have answered otherwise.
    Plan,
    /// Any server would have answered so.
    Statement,
}

/// Whether the connection survives an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It goes on.
    GoesOn,
    /// FATAL: the server closes it.
    Fatal,
}

/// Whether an error may be the replica's fault. Matched by SQLSTATE and the routine that raised it, never by
/// text (see the list in the crate docs, "The safety net").
pub(super) fn blame(code: SqlState, routine: &[u8]) -> Blame {
    if (code, routine) == STALE_PLAN {
        return Blame::Plan;
    }
    match code {
        SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::CANNOT_CONNECT_NOW
        | SqlState::DEADLOCK_DETECTED
        // Recovery conflicts; a real serialization failure cannot happen to a lone read.
        | SqlState::SERIALIZATION_FAILURE => Blame::Node,
        SqlState::UNDEFINED_TABLE
        | SqlState::UNDEFINED_COLUMN
        | SqlState::UNDEFINED_FUNCTION
        | SqlState::UNDEFINED_OBJECT => Blame::Lateness,
        SqlState::READ_ONLY_TRANSACTION | SqlState::OBJECT_NOT_IN_STATE => Blame::Replica,
        SqlState::FEATURE_NOT_SUPPORTED if HOOKS.contains(&routine) => Blame::Replica,
        SqlState::INTERNAL_ERROR if WRITERS.contains(&routine) => Blame::Replica,
        // Its schema, or its database, has gone or has not come yet.
        SqlState(code) if &code == b"3F000" => Blame::Lateness,
        SqlState(code) if &code == b"57P04" => Blame::Node,
        SqlState(_) => Blame::Statement,
    }
}

/// What refuses a relation or a setting on a standby (`src/backend/optimizer/util/plancat.c`,
/// `src/backend/utils/misc/guc.c`).
const HOOKS: [&[u8]; 3] = [b"get_relation_info", b"call_bool_check_hook", b"call_enum_check_hook"];

/// What refuses a write on a standby that nothing has refused before.
const WRITERS: [&[u8]; 4] =
    [b"GetNewObjectId", b"GetNewTransactionId", b"XLogBeginInsert", b"AssignTransactionId"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_blamed_on_what_raised_them() {
        for (code, routine, expected) in [
            (*b"25006", "PreventCommandIfReadOnly", Blame::Replica),
            (*b"40001", "ProcessInterrupts", Blame::Node),
            (*b"40P01", "CheckRecoveryConflictDeadlock", Blame::Node),
            (*b"57P03", "", Blame::Node),
            (*b"42P01", "parserOpenTable", Blame::Lateness),
            (*b"42703", "errorMissingColumn", Blame::Lateness),
            (*b"42883", "ParseFuncOrColumn", Blame::Lateness),
            (*b"3F000", "get_namespace_oid", Blame::Lateness),
            (*b"0A000", "get_relation_info", Blame::Replica),
            (*b"0A000", "RevalidateCachedQuery", Blame::Plan),
            (*b"0A000", "another", Blame::Statement),
            (*b"XX000", "XLogBeginInsert", Blame::Replica),
            (*b"XX000", "another", Blame::Statement),
            (*b"22012", "int4div", Blame::Statement),
        ] {
            assert_eq!(blame(SqlState(code), routine.as_bytes()), expected, "{routine}");
        }
    }
}
