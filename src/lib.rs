//! pgLagoon: a PostgreSQL connection pooler that sends writes to the primary and reads to replicas that are
//! provably fresh enough, and lets thousands of short-lived clients share a few dozen server connections.
//!
//! This page is the architecture. What pgLagoon does for its users stands in the README.
//!
//! # Tenets, in order: when two conflict the earlier one wins
//!
//! 1. **Correct.** No client ever sees another client's bytes, state or locks. A statement never changes meaning
//!    because of where it ran. What cannot be proven safe goes to the primary; a server that is not provably clean
//!    is closed, not reused.
//! 2. **Fast.** Bytes leave from where they arrived; a steady-state transaction allocates nothing.
//! 3. **Small when idle.** An idle client owns no buffer.
//! 4. **Invisible.** Drivers work with no flag.
//! 5. **Explains itself.** Every routing decision, wait and pin has a reason that can be seen.
//!
//! # The way of the data
//!
//! ```text
//! client socket -> net (worker's scratch buffer) -> protocol (frame headers) -> session (survey, requests)
//!     -> sql (class of the statement, cached) -> route (pure decision) -> pool -> server socket
//! server socket -> net (scratch) -> protocol (headers) -> session (machine: what is still owed?) -> client socket
//! ```
//!
//! One task per client owns both sockets while a server is attached: no channel and no second task on that way,
//! and no lock but the pool's, held for a push or a pop. The session's parts:
//!
//! * [`session`]: `survey` looks at a batch (up to Sync, Flush or one Query) before a server is chosen; `acquire`
//!   routes it, checks a server out and makes it have what the session wants (parameters, in the same packet);
//!   `requests` passes frames to the server and rewrites the names of prepared statements; `replies` passes answers
//!   back and asks the `machine`; `relay` is the poll function that drives the two.
//! * `session::machine` is pure: a queue of replies that the server still owes, each `Forward | Swallow | Synthesize`.
//!   A server is given back when the machine concludes that it is settled; nobody sets a flag.
//! * `session::names` and `session::parameters` are what a client believes; [`server::statements`] and
//!   [`server::settings`] are what a server has. Names of statements and parameters are the client's, and follow it.
//! * What a client listens on follows it too (`session::listening`): one connection per database listens for all of its
//!   clients ([`session::hub`]), on the control thread, and the sessions deliver where PostgreSQL may.
//! * A client that replicates is no session at all: it has a server of its own, and bytes pass both ways ([`session::replication`]).
//! * What cannot follow (temporary tables, session-level advisory locks, ...) pins the client to its server
//!   (`session::pins`), and stains the server, which is washed (`session::cleaning`) before anybody else gets it.
//!
//! # Threads
//!
//! Each worker thread has a [`reactor`] of its own, on which its clients live for good; an acceptor for each address, on the
//! workers by turns, gives each new socket to the worker with the fewest. Monitors, janitor and HTTP run on the control thread,
//! in tokio, so that they never delay a statement; it also keeps the workers' timers and connects their servers. A pool is
//! shared by all workers; an idle server remembers the worker whose reactor watches its socket, and is moved (two
//! system calls) only if a client of another worker needs it.
//!
//! # Scale
//!
//! What a transaction costs as something grows: user and kernel instructions of one read in front of servers that answer at
//! once, split off, at saturation (`make bench ARGS="--sections scale"`; counts hardly depend on the machine's load):
//!
//! | what grows | term | counted |
//! |---|---|---|
//! | clients | none per transaction; 1.5k as soon as clients wait for servers; O(log n) for a timer, of which a transaction sets none | 20: 8.2k + 31k; 500: 9.7k + 33k; 5,000: 9.7k + 29k; 9,000: 9.6k + 30k |
//! | servers | none: idle ones lie on a stack per worker | 20: 9.7k + 33k; 200: 9.5k + 30k. With one alone nothing happens at the same time: 1.4 `epoll_wait` per transaction instead of 0.1, 11.9k + 45k |
//! | workers | two `epoll_ctl` and a wake-up across threads when a server moves to a client of another worker | 2 workers: 0.09 moves, 10.1k + 31k; 4 workers: 0.18 moves, 10.5k + 34k |
//! | different statements | none while they are at most `limits.statement_cache`; beyond, each is parsed | 1: 9.7k + 33k; 1,000: 10.8k + 33k; 100,000: 80k + 34k; ever new: 84k + 33k |
//! | nodes, databases | nothing per transaction; a monitor's poll per node and `poll_interval` | |
//!
//! Memory: a struct and a socket per client, no buffer; a bounded number of statements per worker and per server
//! (`--sections idle,unique`: flat under ever new statements).
//!
//! The pool's lock is the only thing that all workers share on the way of a transaction. It is taken to check out and to put
//! back, 405 instructions together, and at the highest rate that two processors produce no thread ever waited for it
//! (0.000 `futex` calls per transaction with two and with four workers). At 64 cores, some three million transactions a second
//! through *one* pool, its cache line would be the limit. Then each worker would own a share of the pool's places and the line
//! of its own clients, without a lock, and workers would lend each other places when the oldest of another line has waited
//! longer. Pools are per database, user and node, so many installations never have that one hot pool.
//!
//! # Freshness
//!
//! For each replica one number, `fresh_as_of`: everything that the primary acknowledged before this instant is
//! visible there. It follows from polling (see [`cluster`]): the latest poll of the primary, by the time *before* it
//! was asked, whose flush LSN is not beyond what the replica has replayed. A read may go to a replica if that instant
//! is later than the session's last write (whose time is read *after* ReadyForQuery) and not older than `max_lag`.
//! All instants are read from one monotonic clock of this process ([`clock`]): no other machine's clock matters.
//!
//! A replica that restarts may show less than before. What was known of it goes with the monitor's connection, which ends
//! before anybody can be connected anew; and a read that has got its server is routed again if any node was lost since it
//! was routed ([`cluster::Cluster::setbacks`]), however long it has waited.
//!
//! Whatever the level of consistency, a read has one required instant (`session::terms`): the last write of its session,
//! of its group or to its tables (`session::writes`), the moment it came (`strong`: the poll that answers it starts
//! later), what a token stands for, or, unless the same replica serves it, what the session has read before.
//!
//! Stale reads are hunted by `integration/hunt.rs`, at every level, through two poolers, while replicas are delayed, paused,
//! restarted and unevenly behind; in transactions that read before they write (`routing.read_only_until_write`), and around
//! promotions. `PGLAGOON_PAIRS=500000 cargo test --test integration hunt::` makes 1,041,000 pairs of a write and what reads it
//! on PostgreSQL 15 and 18, and found no stale read (9 minutes on two busy cores); nor did a million on each of the two before.
//!
//! # The primary
//!
//! Of the nodes that accept writes the one on the highest timeline is the primary ([`cluster`], `election`); what a node has
//! shown is remembered while it is away. A change is a new *term*: first everything that is connected to the old primary is
//! marked stale, then the new one is published, then whoever waits or holds a server is woken. A session that was given
//! a server in an older term is ended before it sends anything more; whoever needs a primary while there is none waits
//! (`session::succession`). LISTEN and the catalog move along.
//!
//! Positions of the log are never compared across a promotion: the history of samples begins anew, so that a replica is
//! fresh again only once it has replayed what the *new* primary had when it was first asked. Every instant that a session
//! requires lies before that, and what the new primary does not have nobody can show. A token of an older timeline stands
//! for the moment at which it is brought.
//!
//! # The safety net
//!
//! An autocommit read on a replica that fails with what a replica alone may say (SQLSTATE and the routine field, never the
//! text; the list is `session::blame`) is run again, if the client has seen nothing of the answer:
//!
//! * what is about the node (recovery conflicts, 57P01, a lost connection) on another replica that will do, and on the
//!   primary if there is none or that fails it as well;
//! * what is no read after all (25006 and its like) on the primary;
//! * what names something that the replica may not have heard of (42P01, 42703, 42883, ...) on the primary, if the catalog is
//!   known to have changed within `max_lag`: a name that nobody knows does not run twice.
//!
//! # Layers
//!
//! Imports go strictly downwards (`tests/architecture.rs` keeps it so):
//!
//! | layer | modules |
//! |---|---|
//! | 5 | `main`, [`proxy`] (wiring: workers, acceptor, reload, shutdown), [`demo`] |
//! | 4 | [`session`], [`admin`], [`http`] |
//! | 3 | [`pool`] (who gets which server), [`route`] (facts in, target out) |
//! | 2 | [`server`] (one connection), [`cluster`] (nodes: role, freshness) |
//! | 1 | [`net`] (sockets, TLS, buffers), [`auth`] (password methods, both sides) |
//! | 0 | [`protocol`] (the wire), [`sql`] (what a statement is), [`config`], [`telemetry`], [`reactor`] (a worker's loop), [`clock`] |
//!
//! # Where do I change ...
//!
//! | what | where |
//! |---|---|
//! | **what a statement is** | |
//! | which statements may run on a replica | `sql::query`, `sql::functions`, `sql::fields`; their corpus in `src/sql/testdata` |
//! | what a name in a statement stands for | `sql::catalog`; when it is read again: [`cluster::catalog`] |
//! | which texts need not be classified anew | `sql::exact`, `sql::stencil`, `sql::canonical` |
//! | which texts are parsed once and only bound from then on | `sql::reuse`, `session::preparing` |
//! | **where it runs** | |
//! | when a replica counts as fresh, or as usable | [`cluster::freshness`], [`cluster::health`] |
//! | which node is the primary, and what a change does to sessions | `cluster::election`; `cluster::leadership`, `proxy::herald`, `session::succession` |
//! | what runs on the primary, and which replica gets a read | `route::decide`, `route::balance`; the facts: `session::routing` |
//! | what a read must see | `session::terms`, `session::writes`; what replicas have refused: `session::learned` |
//! | how much of the primary reads may take up | `session::share` |
//! | where a transaction runs whose BEGIN can wait | `session::held` |
//! | what is run again elsewhere when it fails | `session::blame`, `session::outcome` |
//! | who gets which server, and how many there are | [`pool`] |
//! | **what follows its client** | |
//! | parameters; what RESET and DISCARD ALL go back to | `session::parameters`, [`server::settings`]; `session::resets` |
//! | which sessions write in another way than `sql` reads | `session::dialect` |
//! | what `set_config` changes, also with bound values | `sql::settings` (`config`), `session::bound`; what only the server knows of it: `session::inquiry` |
//! | which spellings of a value are the same | `sql::settings::canonical` |
//! | parameters of ours, `SET pglagoon.*` | `session::ours`; what they ask for: `session::terms` |
//! | prepared statements | `session::names`, `session::preparing`, [`server::statements`] |
//! | what PREPARE, EXECUTE and DEALLOCATE of SQL do | `sql::prepared`, `session::naming`; what a server has of it: [`server::given`] |
//! | whether a copy of a statement has the columns that its client knows | `session::columns`, [`server::shape`] |
//! | who hears a NOTIFY | [`session::hub`], `session::channels` |
//! | whose `currval` a server has | `session::sequences` |
//! | what keeps a client on its server, and until when | `session::pins`, `session::inquiry` |
//! | what a replication connection gets, and what ends it | [`session::replication`] |
//! | how a server is made clean, and what a cancel may hit | `session::cleaning`; `session::cancel`, [`server::cancel`] |
//! | **what is told of it** | |
//! | what a client is told when something fails | `session::respond` |
//! | what SHOW ROUTE says; which statements SHOW ROUTES names | `session::forecast`, `sql::anatomy`; `telemetry::frequent` |
//! | a column of SHOW, a metric | [`admin`]; [`telemetry`]; what both are made of: `proxy::overview` |
//! | a key of the configuration | `config::model`: struct, default, file, documentation and SHOW CONFIG follow from it |
//! | **what all of it runs on** | |
//! | how sockets wake sessions | [`reactor`] |
//! | what a reload changes | `proxy::reload` |
//!
#![doc = include_str!("decisions.md")]

pub mod clock;
pub mod reactor;

pub mod config;
pub mod protocol;
pub mod sql;
pub mod telemetry;

pub mod auth;
pub mod net;

pub mod cluster;
pub mod server;

pub mod pool;
pub mod route;

pub mod admin;
pub mod http;
pub mod session;

pub mod demo;
pub mod proxy;
