//! What ties a client to its server, and what must be cleaned off a server before another client gets it.

use bitflags::bitflags;

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
        /// It has statements of SQL's PREPARE.
        const PREPARED = 1 << 6;
        /// It has loaded a library.
        const LOADED = 1 << 7;
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
    }
}

/// What pins, and why.
const PINNING: [(Effects, Pins); 5] = [
    (Effects::TEMP, Pins::TEMPORARY),
    (Effects::SESSION_LOCK, Pins::ADVISORY_LOCK),
    (Effects::HOLD_CURSOR, Pins::CURSOR),
    (Effects::PREPARES, Pins::PREPARED),
    (Effects::LOADS, Pins::LOADED),
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

    /// The reason that is shown: the first.
    pub(crate) fn reason(self) -> &'static str {
        const REASONS: [(Pins, &str); 8] = [
            (Pins::SESSION_MODE, "session_mode"),
            (Pins::PARAMETERS, "parameters"),
            (Pins::TEMPORARY, "temporary_table"),
            (Pins::ADVISORY_LOCK, "advisory_lock"),
            (Pins::CURSOR, "cursor_with_hold"),
            (Pins::LISTEN, "listen"),
            (Pins::PREPARED, "sql_prepare"),
            (Pins::LOADED, "load"),
        ];
        REASONS.iter().find(|(pin, _)| self.contains(*pin)).map_or("", |(_, reason)| reason)
    }
}

/// Effects that leave nothing behind on a server that the session does not follow itself.
const HARMLESS: Effects = Effects::MULTI
    .union(Effects::WRITES)
    .union(Effects::DDL)
    .union(Effects::TRANSACTION)
    .union(Effects::LISTENS)
    .union(Effects::UNLISTENS)
    .union(Effects::NOTIFIES);

impl Stains {
    /// What a statement with these effects leaves behind.
    #[inline]
    pub(crate) fn of(verdict: Verdict) -> Self {
        let listens =
            if verdict.effects.contains(Effects::LISTENS) { Self::LISTEN } else { Self::empty() };
        listens | Self::of_others(verdict)
    }

    #[inline]
    fn of_others(verdict: Verdict) -> Self {
        let effects = verdict.effects;
        if effects.contains(Effects::LOADS) {
            Self::FOREVER
        } else if effects.intersects(Effects::OPAQUE) || !Pins::of(effects).is_empty() {
            Self::SESSION
        } else if verdict.class == Class::Primary(Why::UnknownFunction) {
            Self::FUNCTION
        } else {
            Self::empty()
        }
    }
}

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
    }
}
