//! Sizes, times and limits.

use std::time::Duration;

use crate::config::codec::{
    Count, CountAboveZero, CountOrUnlimited, Keyword, Size, Time, TimeAboveZero, TimeOrOff,
};
use crate::config::section::{keywords, section};

section! {
    /// `[pool]`: how many server connections there are, and for how long. A pool belongs to one
    /// (database, user, node).
    Pool {
        /// When a server goes back to the pool: "transaction" or "session" (when its client leaves).
        mode: PoolMode, Keyword, PoolMode::Transaction, Reload;
        /// Server connections that one pool may hold, those of replication connections included.
        default_pool_size: usize, CountAboveZero, 20, Reload;
        /// Server connections that one pool keeps open even when idle.
        min_pool_size: usize, Count, 0, Reload;
        /// Server connections on top of the pool size for clients that have waited for `reserve_pool_timeout`.
        reserve_pool_size: usize, Count, 0, Reload;
        /// How long a client waits before the reserve is opened for it.
        reserve_pool_timeout: Duration, Time, Duration::from_secs(5), Reload;
        /// How long a client may wait for a server before its statement fails; 0 means for ever.
        query_wait_timeout: Option<Duration>, TimeOrOff, Some(Duration::from_mins(2)), Reload;
        /// Clients that may wait for a server of one pool; one more fails with SQLSTATE 53300. 0 means any number.
        max_waiting: usize, Count, 0, Reload;
        /// Age at which an idle server connection is closed (spread by some percent); 0 means never.
        server_lifetime: Option<Duration>, TimeOrOff, Some(Duration::from_hours(1)), Reload;
        /// Time unused after which a server connection is closed; 0 means never.
        server_idle_timeout: Option<Duration>, TimeOrOff, Some(Duration::from_mins(10)), Reload;
        /// Time unused after which a server connection is checked before a client gets it; 0 means always.
        server_check_delay: Duration, Time, Duration::from_secs(30), Reload;
        /// How long the plan of a statement that clients parse again and again without a name may stand in for
        /// parsing it anew; 0 means not at all.
        plan_reuse: Option<Duration>, TimeOrOff, Some(Duration::from_secs(1)), Reload;
        /// Server connections of one database, over all its users and nodes; 0 means no limit.
        max_db_connections: Option<usize>, CountOrUnlimited, None, Reload;
        /// Server connections of one user, over all databases and nodes; 0 means no limit.
        max_user_connections: Option<usize>, CountOrUnlimited, None, Reload;
        /// Log-ins of one pool that may be under way at once, so that a storm of clients is not a storm of log-ins.
        max_concurrent_connects: usize, CountAboveZero, 4, Reload;
        /// Which idle server connection a client gets: "newest" (the one used last, so that few stay busy and the others
        /// can close) or "oldest" (each in turn, so that all are used alike).
        server_order: ServerOrder, Keyword, ServerOrder::Newest, Reload;
        /// Pause before a node that could not be logged in to is tried again.
        server_login_retry: Duration, Time, Duration::from_secs(1), Reload;
    }
}

section! {
    /// `[timeouts]`: how long things may take.
    Timeouts {
        /// Time that a client has to log in.
        client_login_timeout: Duration, TimeAboveZero, Duration::from_mins(1), Reload;
        /// Time that connecting and logging in to a server may take.
        server_connect_timeout: Duration, TimeAboveZero, Duration::from_secs(15), Reload;
        /// Time after which a client outside a transaction that says nothing is disconnected; 0 means never.
        client_idle_timeout: Option<Duration>, TimeOrOff, None, Reload;
        /// Time after which a client that says nothing inside a transaction is disconnected; 0 means never.
        idle_transaction_timeout: Option<Duration>, TimeOrOff, None, Reload;
        /// Time that a transaction may take before its client is disconnected; 0 means for ever.
        transaction_timeout: Option<Duration>, TimeOrOff, None, Reload;
        /// Time that a statement may take before it is cancelled and its client is disconnected (57014); 0 means for
        /// ever. PostgreSQL's statement_timeout ends the statement alone.
        query_timeout: Option<Duration>, TimeOrOff, None, Reload;
        /// Time that transactions have to finish after SIGTERM.
        shutdown_grace: Duration, Time, Duration::from_secs(30), Reload;
        /// Time that a forwarded cancel request may take.
        cancel_timeout: Duration, TimeAboveZero, Duration::from_secs(10), Reload;
        /// Time that cleaning a server (ROLLBACK, RESET) may take before it is closed instead.
        server_reset_timeout: Duration, TimeAboveZero, Duration::from_secs(5), Reload;
    }
}

section! {
    /// `[limits]`: how much a client may cost.
    Limits {
        /// Clients of one database that may be connected at once; 0 means no limit of its own.
        max_db_client_connections: Option<usize>, CountOrUnlimited, None, Reload;
        /// Clients of one user that may be connected at once; 0 means no limit of its own.
        max_user_client_connections: Option<usize>, CountOrUnlimited, None, Reload;
        /// Largest startup packet; PostgreSQL's own limit is about the same.
        max_startup_packet: usize, Size, 10 * KIB, Reload;
        /// Longest statement that is looked into; a longer one runs on the primary, its text unread.
        max_statement_inspect: usize, Size, 1024 * KIB, Reload;
        /// Bytes of an answer that a slow client may leave with pgLagoon before its server has to wait for it.
        client_write_buffer: usize, Size, 64 * KIB, Reload;
        /// Prepared statements that are kept on one server connection; the least recently used one goes first.
        max_prepared_statements: usize, CountAboveZero, 200, Reload;
        /// Bytes of prepared statements (texts and names) that one client may hold.
        prepared_statement_bytes: usize, Size, 16 * 1024 * KIB, Reload;
        /// Bytes of notifications that may wait for one client that listens; one with more is disconnected.
        notification_bytes: usize, Size, 1024 * KIB, Reload;
        /// Distinct statements whose class one worker remembers.
        statement_cache: usize, CountAboveZero, 4096, Restart;
    }
}

keywords! {
    /// When a server goes back to the pool.
    PoolMode {
        /// At the end of each transaction.
        Transaction = "transaction",
        /// When the client leaves.
        Session = "session",
    }
}

keywords! {
    /// Which idle server connection a client gets.
    ServerOrder {
        /// The one that was used last.
        Newest = "newest",
        /// The one that has been idle for the longest time.
        Oldest = "oldest",
    }
}

const KIB: usize = 1024;
