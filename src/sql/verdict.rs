//! The answer of the classifier: a class, effects on the server session, and a fingerprint.

use bitflags::bitflags;

use super::classify::Finding;
use super::tables::Tables;

/// What one Query or Parse text is, and what it does to the session that runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which server may run it.
    pub class: Class,
    /// What it leaves behind in a server session: the union over all its statements.
    pub effects: Effects,
    /// Hash of the text with its literals masked; the same on every worker of one process, zero
    /// when the text has no fingerprint (empty, not lexable, or too long).
    pub fingerprint: u64,
    /// What it reads if it is a read, else what it may write: views, partitions, triggers and cascades followed.
    pub tables: Tables,
}

impl Verdict {
    /// What is assumed of a text that cannot be read.
    pub const UNREAD: Self = {
        let Finding { class, effects, tables } = Finding::opaque(Why::Unparsed);
        Self { class, effects, fingerprint: 0, tables }
    };
}

/// Which server may run a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Only space, comments and semicolons.
    Empty,
    /// Proven: a fresh hot standby gives the same answer.
    Read,
    /// Everything that is not proven, with the reason.
    Primary(Why),
    /// BEGIN or START TRANSACTION as the only statement.
    Begin(Begin),
    /// COMMIT, END, ROLLBACK, ABORT or PREPARE TRANSACTION as the only statement.
    End,
    /// SAVEPOINT, RELEASE or ROLLBACK TO as the only statement.
    Savepoint,
}

/// The modes that a BEGIN asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Begin {
    /// READ ONLY or READ WRITE.
    pub access: Access,
    /// ISOLATION LEVEL.
    pub isolation: Isolation,
}

/// The access mode of a transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Access {
    /// Not named: `default_transaction_read_only` decides.
    #[default]
    Unspecified,
    /// READ ONLY.
    ReadOnly,
    /// READ WRITE.
    ReadWrite,
}

/// The isolation level of a transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// Not named: `default_transaction_isolation` decides.
    #[default]
    Default,
    /// READ COMMITTED, and READ UNCOMMITTED, which PostgreSQL treats alike.
    ReadCommitted,
    /// REPEATABLE READ.
    RepeatableRead,
    /// SERIALIZABLE, and any DEFERRABLE transaction: a standby refuses them.
    Serializable,
}

/// Why a text must run on the primary.
///
/// The order is the rank: of several reasons the least one is reported, so a reason that a client
/// may overrule by a hint never hides one that it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// INSERT, UPDATE, DELETE, MERGE, TRUNCATE, COPY FROM, at any depth.
    Write,
    /// Changes the catalog, or stores a result as a table.
    Ddl,
    /// A locking clause, LOCK, or an advisory lock: locks of a standby exclude nobody.
    Locking,
    /// Uses a sequence: its state is not what a standby shows.
    Sequence,
    /// Changes or depends on the state of the server session.
    SessionState,
    /// A command that is no query: VACUUM, DO, CALL, NOTIFY, and the like.
    Utility,
    /// Could not be lexed or parsed, or uses a form that is not known to be safe.
    Unparsed,
    /// Longer or more deeply chained than what is worth parsing.
    TooLong,
    /// A built-in function that writes or acts on its server.
    VolatileFunction,
    /// A function or table that the configuration keeps on the primary.
    Configured,
    /// A table that is not logged: standbys have none of it.
    UnloggedTable,
    /// A function or operator of which nothing is known.
    UnknownFunction,
    /// A relation that is not known to be an ordinary table.
    UnknownRelation,
    /// A foreign table: what a standby would see of it nobody knows.
    ForeignTable,
    /// A relation, while the catalog of its database is not known yet.
    CatalogNotLoaded,
    /// Asks about the server itself: each node would answer differently.
    NodeLocal,
    /// Reads system catalogs.
    SystemCatalog,
    /// A read that a hint sends to the primary.
    Hint,
}

impl Why {
    /// The name used in metrics, logs and the admin database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Ddl => "ddl",
            Self::Locking => "locking",
            Self::Sequence => "sequence",
            Self::SessionState => "session_state",
            Self::Utility => "utility",
            Self::Unparsed => "unparsed",
            Self::TooLong => "too_long",
            Self::VolatileFunction => "volatile_function",
            Self::Configured => "configured",
            Self::UnloggedTable => "unlogged_table",
            Self::UnknownFunction => "unknown_function",
            Self::UnknownRelation => "unknown_relation",
            Self::ForeignTable => "foreign_table",
            Self::CatalogNotLoaded => "catalog_not_loaded",
            Self::NodeLocal => "node_local",
            Self::SystemCatalog => "system_catalog",
            Self::Hint => "hint",
        }
    }

    /// Whether a query that is on the primary for this reason alone may have written.
    pub(super) const fn may_write(self) -> bool {
        !matches!(self, Self::NodeLocal | Self::SystemCatalog | Self::Hint | Self::UnloggedTable)
    }

    /// Whether a `replica` hint may overrule it: the client vouches for what is only unknown here.
    pub(crate) const fn yields_to_hint(self) -> bool {
        matches!(
            self,
            Self::UnknownFunction
                | Self::UnknownRelation
                | Self::ForeignTable
                | Self::CatalogNotLoaded
                | Self::NodeLocal
                | Self::SystemCatalog
        )
    }
}

/// All that speaks against a standby.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reasons {
    /// The one that is reported.
    pub(super) first: Option<Why>,
    /// Whether a query of which any of them holds may have written.
    pub(super) may_write: bool,
}

impl Reasons {
    pub(super) const fn of(why: Why) -> Self {
        Self { first: Some(why), may_write: why.may_write() }
    }

    pub(super) fn add(&mut self, why: Why) {
        *self = self.and(Self::of(why));
    }

    pub(super) fn and(self, other: Self) -> Self {
        let first = [self.first, other.first].into_iter().flatten().min();
        Self { first, may_write: self.may_write || other.may_write }
    }
}

bitflags! {
    /// What a text does to the server session, over all its statements.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Effects: u32 {
        /// SET, RESET, SET LOCAL, SET ROLE, SET TRANSACTION, `set_config`: see `settings::changes`.
        const SETS = 1;
        /// DISCARD ALL.
        const DISCARDS = 1 << 1;
        /// DISCARD PLANS, SEQUENCES or TEMP.
        const DISCARDS_PART = 1 << 2;
        /// DEALLOCATE: see `prepared::deallocate`.
        const DEALLOCATES = 1 << 3;
        /// PREPARE at the SQL level.
        const PREPARES = 1 << 4;
        /// EXECUTE at the SQL level, also inside EXPLAIN and CREATE TABLE AS.
        const EXECUTES = 1 << 5;
        /// FETCH or MOVE.
        const FETCHES = 1 << 24;
        /// LISTEN.
        const LISTENS = 1 << 6;
        /// UNLISTEN.
        const UNLISTENS = 1 << 7;
        /// May create a temporary object.
        const TEMP = 1 << 8;
        /// May take an advisory lock that outlives the transaction.
        const SESSION_LOCK = 1 << 9;
        /// DECLARE ... WITH HOLD.
        const HOLD_CURSOR = 1 << 10;
        /// LOAD.
        const LOADS = 1 << 11;
        /// Reads the sequence state of its session: currval, lastval.
        const SEQUENCE_STATE = 1 << 12;
        /// Its text does not reveal what it does: DO, CALL, not lexable, too long to inspect.
        const OPAQUE = 1 << 13;
        /// May change the catalog.
        const DDL = 1 << 14;
        /// May end what the session holds: `pg_advisory_unlock` and its like, CLOSE.
        const RELEASES = 1 << 15;
        /// Contains a transaction-control statement.
        const TRANSACTION = 1 << 16;
        /// More than one statement.
        const MULTI = 1 << 17;
        /// May write: everything that is not proven read-only. SHOW, SET, BEGIN and COMMIT are not.
        const WRITES = 1 << 18;
        /// NOTIFY or `pg_notify`.
        const NOTIFIES = 1 << 19;
        /// Leaves in its session what nothing can undo or carry elsewhere: `setseed`, connections of dblink, ...
        const KEEPS = 1 << 20;
        /// Names a parameter of pgLagoon's own (`pglagoon.*`) in SET, RESET, SHOW or `set_config`.
        const OURS = 1 << 21;
        /// A comment in front of it asks pgLagoon for something: see `hint::options`.
        const ASKS = 1 << 22;
        /// Calls, or fires as a trigger, a function that may leave in its session what nothing names.
        const TRACES = 1 << 23;
        /// Calls a built-in function that acts on its server, or locks there, also in a read-only transaction: see
        /// `functions::acts`.
        const ACTS = 1 << 25;
    }
}
