//! What ties a client to its server, and what must be cleaned off a server before another client gets it.

use bitflags::bitflags;

use crate::route::Reason;
use crate::session::clients::Client;
use crate::sql::{Class, Effects, Verdict, Why};

bitflags! {
    /// Why a client keeps its server between transactions.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Pins: u16 {
        /// The pool is in session mode.
        const SESSION_MODE = 1;
        /// It has set parameters in a way that cannot be repeated elsewhere.
        const PARAMETERS = 1 << 1;
        /// It may have temporary tables.
        const TEMPORARY = 1 << 2;
        /// It may hold session-level advisory locks.
        const ADVISORY_LOCK = 1 << 3;
        /// It has a cursor WITH HOLD.
        const CURSOR = 1 << 4;
        /// It listens, and not by way of the hub.
        const LISTEN = 1 << 5;
        /// It has statements of SQL's PREPARE that would not be the same if they were prepared elsewhere.
        const PREPARED = 1 << 6;
        /// It has loaded a library.
        const LOADED = 1 << 7;
        /// It asks for `currval` or `lastval` outside the transaction that called `nextval`.
        const SEQUENCE = 1 << 8;
        /// It has written what clients have asked about in that way: its next statement may do so.
        const FORESEEN = 1 << 9;
        /// It has something there that nothing can undo: random numbers that are sown, connections of dblink, ...
        const STATE = 1 << 10;
        /// It has set parameters to values that only its server knows, which is going to be asked for them.
        const UNSEEN = 1 << 11;
        /// It replicates.
        const REPLICATION = 1 << 12;
    }
}

bitflags! {
    /// What has been done to a server that outlives the transaction.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Stains: u16 {
        /// Something that DISCARD ALL undoes.
        const SESSION = 1;
        /// Something that nothing undoes: the server must be closed.
        const FOREVER = 1 << 1;
        /// Perhaps something: a function was called whose body is not known.
        const FUNCTION = 1 << 2;
        /// LISTEN.
        const LISTEN = 1 << 3;
        /// Session-level advisory locks.
        const LOCK = 1 << 4;
        /// Cursors WITH HOLD.
        const CURSOR = 1 << 5;
        /// Parameters have values that are not known, until the server has been asked for them.
        const SETTINGS = 1 << 6;
    }
}

/// What pins, and why.
const PINNING: [(Effects, Pins); 5] = [
    (Effects::TEMP, Pins::TEMPORARY),
    (Effects::SESSION_LOCK, Pins::ADVISORY_LOCK),
    (Effects::HOLD_CURSOR, Pins::CURSOR),
    (Effects::LOADS, Pins::LOADED),
    (Effects::KEEPS, Pins::STATE),
];

impl Pins {
    /// What a statement with these effects pins for. To be asked when it is sent: whether it succeeds is not
    /// waited for, because a pin too many is harmless.
    #[inline]
    pub(crate) fn of(effects: Effects) -> Self {
        let mut pins = Self::empty();
        if effects.intersects(Effects::all() - HARMLESS) {
            for (effect, pin) in PINNING {
                if effects.contains(effect) {
                    pins |= pin;
                }
            }
        }
        pins
    }

    /// Whether it is for more than until the server has answered.
    #[inline]
    pub(crate) fn last(self) -> bool {
        !self.difference(Self::UNSEEN).is_empty()
    }

    /// The reason that is shown, of several the first.
    pub(crate) fn reason(self) -> &'static str {
        REASONS.iter().find(|(pin, ..)| self.contains(*pin)).map_or("", |(_, reason, _)| reason)
    }

    /// The same as the reason of a route.
    #[inline]
    pub(crate) fn route(self) -> Option<Reason> {
        if self.is_empty() {
            return None;
        }
        REASONS.iter().find(|(pin, ..)| self.contains(*pin)).map(|(.., reason)| *reason)
    }
}

impl Client {
    /// Notes why the client keeps its server, for whoever wants to see it.
    pub(super) fn show_pin(&self, reason: &'static str) {
        let before = self.pinned.replace(reason);
        if reason == before {
            return;
        }
        let process_id = self.process_id;
        if reason.is_empty() {
            tracing::debug!(process_id, before, "a client is not pinned any more");
            return;
        }
        tracing::debug!(process_id, reason, "a client is pinned to its server");
        if before.is_empty()
            && let Some(traffic) = self.traffic()
        {
            traffic.pins.add(1);
        }
    }
}

/// Each pin with its name and with the reason of the routes that follow from it.
const REASONS: [(Pins, &str, Reason); 13] = [
    (Pins::SESSION_MODE, "session_mode", Reason::PinnedSessionMode),
    (Pins::PARAMETERS, "parameters", Reason::PinnedSetting),
    (Pins::TEMPORARY, "temporary_table", Reason::PinnedTemp),
    (Pins::ADVISORY_LOCK, "advisory_lock", Reason::PinnedSessionLock),
    (Pins::CURSOR, "cursor_with_hold", Reason::PinnedHoldCursor),
    (Pins::LISTEN, "listen", Reason::PinnedListen),
    (Pins::PREPARED, "sql_prepare", Reason::PinnedPrepared),
    (Pins::LOADED, "load", Reason::PinnedLoad),
    (Pins::STATE, "session_state", Reason::PinnedState),
    (Pins::SEQUENCE, "sequence", Reason::PinnedSequence),
    (Pins::FORESEEN, "sequence", Reason::PinnedSequence),
    (Pins::UNSEEN, "parameters", Reason::PinnedSetting),
    (Pins::REPLICATION, "replication", Reason::PinnedReplication),
];

/// Effects that leave nothing behind on a server that the session does not follow itself.
const HARMLESS: Effects = Effects::MULTI
    .union(Effects::ACTS)
    .union(Effects::WRITES)
    .union(Effects::DDL)
    .union(Effects::TRANSACTION)
    .union(Effects::UNLISTENS)
    .union(Effects::RELEASES)
    .union(Effects::NOTIFIES);

impl Stains {
    /// What a statement with these effects leaves behind.
    #[inline]
    pub(crate) fn of(verdict: Verdict) -> Self {
        let effects = verdict.effects;
        if !effects.intersects(Effects::all() - HARMLESS) && verdict.class != UNKNOWN {
            return Self::empty();
        }
        let told = STAINING.iter().filter(|(effect, _)| effects.contains(*effect));
        let stains = told.fold(Self::empty(), |all, (_, stain)| all | *stain);
        let more = if effects.intersects(Effects::LOADS | Effects::KEEPS) {
            Self::FOREVER
        } else if effects.intersects(UNTOLD) {
            Self::SESSION
        } else if effects.contains(Effects::TRACES) || verdict.class == UNKNOWN {
            Self::FUNCTION
        } else {
            Self::empty()
        };
        stains | more
    }

    /// What a FunctionCall of this function leaves behind, of which no more is known than its oid.
    pub(crate) fn of_call(function: u32) -> Self {
        if LARGE_OBJECTS.contains(&function) {
            Self::empty()
        } else if function >= FIRST_OF_USERS || KEEPING.contains(&function) {
            Self::FOREVER
        } else {
            Self::FUNCTION
        }
    }

    /// What undoes these, one statement each; nothing undoes the others.
    pub(crate) fn remedies(self) -> Vec<u8> {
        let remedies = REMEDIES.iter().filter(|(stain, _)| self.contains(*stain));
        remedies.flat_map(|(_, sql)| sql.iter().copied()).collect()
    }
}

/// The functions about large objects in `pg_proc`, for which clients use FunctionCall.
const LARGE_OBJECTS: [u32; 20] = [
    715, 764, 765, 767, 952, 953, 954, 955, 956, 957, 958, 964, 1004, 3170, 3171, 3172, 3457, 3458,
    3459, 3460,
];

/// `setseed`, `pg_backup_start`, and those that make replication slots or begin with an origin.
const KEEPING: [u32; 10] = [1599, 2172, 3779, 3786, 4220, 4221, 4222, 4223, 4224, 6006];

/// `FirstNormalObjectId`, in `src/include/access/transam.h`.
const FIRST_OF_USERS: u32 = 16384;

/// The class of a statement that calls a function of which nothing is known.
const UNKNOWN: Class = Class::Primary(Why::UnknownFunction);

/// What leaves a stain that has a remedy of its own.
const STAINING: [(Effects, Stains); 3] = [
    (Effects::LISTENS, Stains::LISTEN),
    (Effects::SESSION_LOCK, Stains::LOCK),
    (Effects::HOLD_CURSOR, Stains::CURSOR),
];

/// Those remedies.
const REMEDIES: [(Stains, &[u8]); 3] = [
    (Stains::LISTEN, b"UNLISTEN *;"),
    (Stains::LOCK, b"SELECT pg_catalog.pg_advisory_unlock_all();"),
    (Stains::CURSOR, b"CLOSE ALL;"),
];

/// What only DISCARD ALL undoes. Prepared statements may depend on temporary tables.
const UNTOLD: Effects = Effects::OPAQUE.union(Effects::TEMP);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Tables;

    #[test]
    fn effects_pin_with_a_reason() {
        assert_eq!(Pins::of(Effects::TEMP | Effects::DDL).reason(), "temporary_table");
        assert_eq!(Pins::of(Effects::WRITES | Effects::MULTI), Pins::empty());
        let of = |effects, why| {
            Stains::of(Verdict {
                class: Class::Primary(why),
                effects,
                fingerprint: 0,
                tables: Tables::ALL,
            })
        };
        assert_eq!(of(Effects::OPAQUE, Why::Utility), Stains::SESSION);
        assert_eq!(of(Effects::LOADS, Why::Utility), Stains::FOREVER);
        assert_eq!(of(Effects::WRITES, Why::UnknownFunction), Stains::FUNCTION);
        assert_eq!(of(Effects::WRITES, Why::Write), Stains::empty());
        assert_eq!(of(Effects::WRITES | Effects::TRACES, Why::Write), Stains::FUNCTION);
        assert_eq!(of(Effects::TEMP, Why::Ddl), Stains::SESSION);
        let calls = [952, 2880, 1599, 16400].map(Stains::of_call);
        let expected = [Stains::empty(), Stains::FUNCTION, Stains::FOREVER, Stains::FOREVER];
        assert_eq!(calls, expected);
        let both = of(Effects::SESSION_LOCK | Effects::LISTENS, Why::Locking);
        assert_eq!(both, Stains::LOCK | Stains::LISTEN);
        let sql = b"UNLISTEN *;SELECT pg_catalog.pg_advisory_unlock_all();";
        assert_eq!(both.remedies(), sql);
    }
}
