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
    let is_replica = match code {
        SqlState::READ_ONLY_TRANSACTION
        | SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::CANNOT_CONNECT_NOW
        | SqlState::DEADLOCK_DETECTED
        | SqlState::OBJECT_NOT_IN_STATE
        // Recovery conflicts; a real serialization failure cannot happen to a lone read.
        | SqlState::SERIALIZATION_FAILURE
        // The replica has not replayed the DDL yet.
        | SqlState::UNDEFINED_TABLE
        | SqlState::UNDEFINED_COLUMN
        | SqlState::UNDEFINED_FUNCTION
        | SqlState::UNDEFINED_OBJECT => true,
        SqlState::FEATURE_NOT_SUPPORTED => {
            matches!(routine, b"get_relation_info" | b"call_bool_check_hook" | b"call_enum_check_hook")
        }
        SqlState::INTERNAL_ERROR => matches!(
            routine,
            b"GetNewObjectId" | b"GetNewTransactionId" | b"XLogBeginInsert" | b"AssignTransactionId"
        ),
        SqlState(code) => &code == b"3F000" || &code == b"57P04",
    };
    if is_replica { Blame::Replica } else { Blame::Statement }
}
