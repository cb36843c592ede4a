//! Why a statement ran where it did: a metric's label, a field of the log, a column of `SHOW`.

use crate::sql::Why;

macro_rules! reasons {
    ($( $(#[doc = $doc:literal])+ $name:ident = $word:literal, )+) => {
        /// Why a statement runs where it does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $( $(#[doc = $doc])+ $name, )+
        }

        impl Reason {
            /// All reasons, each at its [`Reason::index`].
            pub const ALL: &'static [Self] = &[$( Self::$name, )+];

            /// The word for metrics, logs and the admin database.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$name => $word, )+ }
            }
        }
    };
}

reasons! {
    /// A read on a replica.
    Read = "read",
    /// A transaction that was begun read-only, on a replica.
    ReadOnlyTransaction = "read_only_transaction",
    /// No replica shows the session's own last write yet.
    ReadAfterOwnWrite = "read_after_own_write",
    /// No replica shows the last write of the session's group yet.
    ReadAfterGroupWrite = "read_after_group_write",
    /// No replica shows the last write to one of its tables yet.
    ReadAfterTableWrite = "read_after_table_write",
    /// No replica shows yet what the token that the client brought stands for.
    ReadAfterToken = "read_after_token",
    /// No replica shows yet everything that had been acknowledged when the read came.
    StrongRead = "strong_read",
    /// No replica shows yet what the session has read before.
    MonotonicRead = "monotonic_read",
    /// No replica is known to be as fresh as the session or the statement wants it.
    ReadTooFresh = "read_too_fresh",
    /// Every replica is further behind than `max_lag`.
    ReadLagging = "read_lagging",
    /// No replica is configured, or none is up.
    NoReplica = "no_replica",
    /// A replica has failed it: it runs on another one, or on the primary.
    ReplicaFailed = "replica_failed",
    /// A replica has refused such a read as a write.
    Learned = "learned",
    /// `read_write_split` is off.
    SplitOff = "split_off",
    /// A BEGIN that is held back until it is known what follows.
    HeldBack = "held_back",
    /// A transaction that was not begun read-only.
    Transaction = "transaction",
    /// Serializable transactions do not run on a standby.
    Serializable = "serializable",
    /// A statement within a transaction stays on its server.
    InTransaction = "in_transaction",
    /// Nothing to run: an empty text, or the end of a transaction that is none.
    Trivial = "trivial",
    /// It writes.
    Write = "write",
    /// It changes the catalog.
    Ddl = "ddl",
    /// It takes locks.
    Locking = "locking",
    /// It uses a sequence.
    Sequence = "sequence",
    /// It changes or depends on the state of the server session.
    SessionState = "session_state",
    /// A command that is no query.
    Utility = "utility",
    /// It was not understood.
    Unparsed = "unparsed",
    /// It is longer than what is worth parsing.
    TooLong = "too_long",
    /// It calls a function that writes or acts on its server.
    VolatileFunction = "volatile_function",
    /// The configuration keeps a function or table of it on the primary.
    Configured = "configured",
    /// It reads a table that is not logged, which standbys do not have.
    UnloggedTable = "unlogged_table",
    /// It calls a function of which nothing is known.
    UnknownFunction = "unknown_function",
    /// It reads a relation of which nothing is known.
    UnknownRelation = "unknown_relation",
    /// It reads a foreign table.
    ForeignTable = "foreign_table",
    /// It reads a relation, and the database's catalog is not known yet.
    CatalogNotLoaded = "catalog_not_loaded",
    /// It asks about the server itself.
    NodeLocal = "node_local",
    /// It reads system catalogs.
    SystemCatalog = "system_catalog",
    /// A hint says so.
    Hint = "hint",
    /// The session keeps its server: session pooling.
    PinnedSessionMode = "pinned_session_mode",
    /// The session keeps its server: it listens.
    PinnedListen = "pinned_listen",
    /// The session keeps its server: it has temporary objects.
    PinnedTemp = "pinned_temp",
    /// The session keeps its server: it holds an advisory lock.
    PinnedSessionLock = "pinned_session_lock",
    /// The session keeps its server: it has a cursor that outlives its transaction.
    PinnedHoldCursor = "pinned_hold_cursor",
    /// The session keeps its server: it has loaded a library.
    PinnedLoad = "pinned_load",
    /// The session keeps its server: it has used a sequence's state.
    PinnedSequence = "pinned_sequence",
    /// The session keeps its server: it has statements prepared by SQL.
    PinnedPrepared = "pinned_prepared",
    /// The session keeps its server: it has a setting that cannot be carried over.
    PinnedSetting = "pinned_setting",
    /// The session keeps its server: it has left there what nothing can undo.
    PinnedState = "pinned_session_state",
    /// The session has a server of its own: it replicates.
    PinnedReplication = "pinned_replication",
}

impl Reason {
    /// The reason's place in [`Reason::ALL`], for handles that were registered beforehand.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl From<Why> for Reason {
    fn from(why: Why) -> Self {
        match why {
            Why::Write => Self::Write,
            Why::Ddl => Self::Ddl,
            Why::Locking => Self::Locking,
            Why::Sequence => Self::Sequence,
            Why::SessionState => Self::SessionState,
            Why::Utility => Self::Utility,
            Why::Unparsed => Self::Unparsed,
            Why::TooLong => Self::TooLong,
            Why::VolatileFunction => Self::VolatileFunction,
            Why::Configured => Self::Configured,
            Why::UnloggedTable => Self::UnloggedTable,
            Why::UnknownFunction => Self::UnknownFunction,
            Why::UnknownRelation => Self::UnknownRelation,
            Why::ForeignTable => Self::ForeignTable,
            Why::CatalogNotLoaded => Self::CatalogNotLoaded,
            Why::NodeLocal => Self::NodeLocal,
            Why::SystemCatalog => Self::SystemCatalog,
            Why::Hint => Self::Hint,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_reason_stands_at_its_index_under_a_word_of_its_own() {
        let mut words = HashSet::new();
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
            assert!(words.insert(reason.as_str()), "{reason:?}");
        }
    }
}
