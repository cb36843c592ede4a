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
//! Each worker thread has a [`reactor`] of its own, on which its clients live for good; an acceptor on the first of them
//! gives each new socket to the worker with the fewest. Monitors, janitor and HTTP run on the control thread,
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
//! | which statements may run on a replica | `sql::query`, `sql::functions`; their corpus in `src/sql/testdata` |
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
//! # Decisions
//!
//! * **Own pool on the data path.** deadpool-postgres hands out a driver whose socket sits behind a channel, so it
//!   cannot carry relayed frames; and its pool has no preference for a worker's own connections, no reserve, no
//!   budgets across pools and no direct hand-off. [`pool`] is bookkeeping only, tested by model.
//! * **The monitor reads raw frames** ([`cluster::probe`]) on connections of its own: what it must know is the time
//!   *before* a poll was sent and that the connection has lived since, which a pooled driver hides.
//! * **The catalog is read by tokio-postgres, without deadpool-postgres:** one connection per database asks one question
//!   after the other; a pool of one has nothing to give.
//! * **The catalog decides by node trees and words, not by labels:** `pg_depend` leaves out PostgreSQL's own functions
//!   (a view over `nextval` depends on nothing), VOLATILE is a default that says nothing, STABLE functions may call
//!   `nextval`, and an aggregate is immutable whatever it consists of. See `sql::catalog`.
//! * **Snapshots keep hashes, not names,** 32 bytes for each name: with and without its schema.
//! * **What a catalog costs** (80,000 tables, 16,000 views, 8,000 sequences, 10,000 functions; PostgreSQL 15): 1.5 s of the
//!   primary and 106 MB for the first time, 97 MB of them the trees of views; 0.6 to 1.0 s and 10 MB when it is read again, as
//!   trees are read only where `xmin` tells that they have changed; one query of 0.2 ms while nothing changes. Here 0.35 s of
//!   the control thread, and none of a worker's; 7.3 MB for the snapshot, and 30 MB while it is made. Defaults and CHECKs are
//!   found by `pg_depend`, which does tell what is not PostgreSQL's own, and `currval` by `strpos`: regular expressions over
//!   all trees took 0.9 s more.
//! * **Tables are sets of 64 slots:** one word in each verdict, and 64 instants per database are all that `table`
//!   consistency needs. Two tables may share a slot, which only makes a read wait that need not.
//! * **A reactor of our own on the workers, tokio for everything else.** DESIGN has one tokio runtime per core. Of the cycles
//!   of a short read in user space that took a quarter: an event and a task that waits again cost about twenty atomic
//!   read-modify-writes, twice per transaction. With [`reactor`] (a few hundred lines over mio: sockets know the number of the
//!   task that waits for them, nothing leaves the thread), the canceler asked for only by a cancel, and nodes' load
//!   counted by worker: 7.7k to 6.5k instructions in user space, with a profile (below) 6.4k to 5.4k, and 4.0k to 3.7k cycles
//!   (`pgbench -S`, 32 clients, 20 servers, one worker). An epoll within tokio's would cost more in the kernel than it saves.
//! * **`send`, `recv` and the clock go to the kernel directly** (rustix), not through libc: its wrappers are cancellation points,
//!   which cost two locked instructions each in a process with threads, and the differences of `Instant` 100 instructions each.
//!   With it, one turn of a session instead of two where both sockets are known to be dry, and a task for the log-in that is
//!   not the session's: 7.4k to 6.4k instructions in user space (simple, built without a profile).
//! * **Connections are accepted on a worker,** for all of them. DESIGN has an acceptor on the control thread, which was woken for
//!   each, had tokio watch and forget the socket, and woke a worker: a log-in by trust and a read are 22.4 system calls instead
//!   of 29.3 (PgBouncer 24.8), 4.2 switches of threads instead of 5.2, and 31 us of CPU instead of 37 (`pgbench -C`, 8 clients).
//! * **How many servers, not the split, costs throughput where nodes share a processor:** 120 backends on one core did 0.65 of what
//!   40 did, by PgBouncer as well (500 clients). To hold back below that gains nothing here: 4, 8, 16 and 40 servers are on a par.
//! * **`TCP_QUICKACK` has nothing to save:** a transaction is four segments both with it and without (`TcpOutSegs` 4.02 per
//!   transaction, 0.002 of them bare acknowledgements, by `nstat`): every acknowledgement travels with the next message.
//! * **Where CPU time is compared perf does not count:** attached it made a pooler that sleeps and wakes often up to 15 % dearer
//!   (extended, 32 clients: 1.09 to 1.15 times PgBouncer's time with it, 0.97 without, 0.98 of its cycles in both). It counts in runs of
//!   its own (`--sections instant`).
//! * **A release is built with a profile** (`make release`: what a short run in front of PostgreSQL has shown the
//!   compiler): 7.7k to 6.4k instructions and 5.9k to 4.0k cycles in user space for a simple read, 10.6k to 8.4k and 7.3k to
//!   4.5k for the extended protocol, where so much of the time goes into fetching code.
//! * **Texts that differ in plain literals are compared, not lexed** (`sql::stencil`): 170 instructions instead of 1,500
//!   for a `pgbench -S` statement; 9.3k to 7.6k, with strings read to their end by words.
//! * **What a pass needs is put together once per pass, not per frame;** a pool's rare effects are boxed. 10.6k to 9.7k
//!   with the extended protocol.
//! * **Where the rest goes** (cycles in user space): the way back from system calls 22 %, the pool's lock (three times for a
//!   client that has waited) 11 %, the reactor 8 %, the clock 4 %; the session's own code is flat. The kernel takes 28.5k
//!   instructions (PgBouncer 29.7k, and 3.9k in user space): 81 % of it the two sends, as loopback TCP delivers to the
//!   receiver and wakes it on the sender's account, 9 % the two receives, 3 % `epoll_wait`. So the kernel's part alone is
//!   0.85 of all that PgBouncer takes, and no saving in user space gets below. BBR as the system's congestion control is
//!   3 % of the kernel's part: the operator's choice, left alone.
//! * **0.85 times PgBouncer's CPU time is less than a relay can take that does nothing else:** `benches/support/floor.rs` takes
//!   0.83 to 0.95 of it with the simple protocol, 0.93 to 1.01 of it with prepared statements, and 0.87 to 1.07 in front of
//!   servers that answer at once, where pgLagoon takes 0.92 to 0.96. What can be won beyond is won on the server: a Parse that it
//!   need not do, a packet that it need not send. Nor can a relay be ahead in transactions where PostgreSQL's processor sets the
//!   pace: with 32 clients and the simple protocol the bare one does 1.00 of PgBouncer's and pgLagoon 1.02, a direct connection
//!   1.05; by the extended protocol, where there is something to be won, 1.74.
//! * **A second worker** does 1.6 to 1.75 times as many new statements (84k instructions each) at 0.98 of the CPU time for
//!   each, and 1.3 to 1.4 times as many known reads, a hundred in a packet (6.6 million a second with one, 9.3 with two): there
//!   clients and servers take what is left of two processors (`make bench ARGS="--sections instant"`).
//! * **A server on the same machine is best reached by its Unix socket** (`host=/directory` in its URL): 20 to 24 % fewer kernel
//!   instructions per `pgbench -S` transaction (30.8k to 23.8k simple, 30.6k to 24.6k prepared, clients by TCP in both;
//!   `perf stat`, 16 clients), the same in user space. It is the operator's choice, since only the URL can say so.
//! * **The system's allocator stays:** jemalloc 5.3 saves 2.4 % of the instructions in user space with the simple protocol (7.78k
//!   to 7.59k) and none with the extended one (10.5k), 0.13 KiB of 2.15 per idle client, and takes 2.2 MiB more to begin with;
//!   mimalloc 2.0 saves 0.8 % and -0.9 %, and 0.08 KiB. A steady-state transaction allocates nothing.
//! * **io_uring would have to be our own:** what tokio 1.54 does with it (`tokio_unstable`) are files, no socket.
//! * **Long results are copied.** Through a relay that does nothing else, over loopback with 64 KiB at a time, a gigabyte costs 0.11 s
//!   of CPU by `recv` and `send`, 0.08 s by `splice`, 0.13 s with `MSG_ZEROCOPY` (the kernel copies on loopback all the same, and
//!   says so). PostgreSQL takes seconds to make it, of rows whose headers must be seen, so `splice` could only pass the insides of
//!   single values of 64 KiB and more.
//! * **Nobody polls busily:** 50 us of looking before each wait is 4.3 times the CPU time per read and 0.66 of the throughput with
//!   one client, 1.4 times and 0.95 with 32, as who is waited for needs the processor. Under load there is little to save: 0.1 to
//!   0.15 `epoll_wait` per transaction, each with up to 256 events, no `epoll_ctl`, no `futex`, two sends and two receives.
//! * **Writes are not vectored:** both directions have one buffer, and one send per transaction each is what there is.
//! * **The flush LSN, not the insert LSN** decides freshness: the insert LSN may stand behind a page header that replay
//!   never reaches. A session that has set `synchronous_commit` waits three `wal_writer_delay`s instead.
//! * **A promotion is followed, not made:** who is to be promoted HA managers and operators know. A node's own word and the
//!   timelines decide, with no quorum: an old primary is refused as soon as any node has shown a higher timeline. Only where
//!   the pooler itself was started after that, and sees nobody but the old primary, would it believe it.
//!   The first write follows 6 ms after the promoted node takes one (median of two rounds of `make bench ARGS="--sections
//!   outage"`, unoptimized build, busy machine; the bound is 200 ms), and 102 to 108 ms after the same primary is back (up to a
//!   second if log-ins waited for `server_login_retry`).
//! * **A stray standby does not stop a primary that answers:** one that was restored from an archive into which a test had
//!   written follows a higher timeline too. Against one that was away it does count.
//! * **The primary is presumed only when every node has been asked once,** which delays the first write after a start by as
//!   long as the slowest answer takes, 2 s if one hangs. Otherwise a pooler that is started would write to an old primary.
//! * **A primary that hangs gets nothing more, one that refuses is tried:** connections that are refused tell so at once, and
//!   a monitor that cannot log in is no reason to stop traffic that can.
//! * **A replica gets one batch at a time:** what a client pipelines behind a read may be a write, so it waits until the
//!   replica has been given back. On the primary pipelines flow on.
//! * **Reads of a transaction that is held back are statements of their own on their replicas** (`session::held`), not one
//!   transaction on one replica: in READ COMMITTED each has a snapshot of its own anyhow, no server is kept while the client
//!   thinks, and nothing has to be undone when the transaction moves to the primary. `now()` is what differs: it stands for the
//!   moment at which the primary begins, and statements that name it go there; a view that hides it shows its read's moment.
//! * **SET TRANSACTION READ ONLY moves a transaction of which the primary knows nothing but its BEGIN:** that is rolled
//!   back, and begun on a replica. Its beginning, for `now()`, is then a little later than it was.
//! * **A replica that failed a read is closed, not drained:** the rest of its answer is not worth waiting for.
//! * **After a function of which nothing is known the server is washed** (what DISCARD ALL does, prepared statements kept):
//!   a function may set parameters, take locks or make temporary tables unseen. It costs a round trip that no client
//!   waits for. The bodies in the catalog tell most functions harmless, and find triggers that are not. What DISCARD ALL does
//!   not undo (`setseed`, `dblink_connect`, replication slots that are made) they find as well, by its name, also in views,
//!   defaults and literals of a body: that pins, and the server is closed. Functions in other languages, and SQL that is put
//!   together from elsewhere, are washed only: a new connection for each call of every one of them would cost more than
//!   random numbers that somebody else has sown.
//! * **A server that comes back goes to a waiter of its own worker if at most 64 others came before it** (`LOCAL_WINDOW`; 8 at
//!   first): with two workers 0.09 servers moved per transaction instead of 0.35, 4.5 system calls instead of 5.4 and 10 %
//!   fewer instructions; with four 0.18 instead of 0.60. It delays nobody by more than 64 transactions of the whole pool.
//! * **A goodbye is honoured:** statements that a client sent before Terminate are finished, as PostgreSQL does; a client
//!   that just vanishes has them cancelled.
//! * **Startup parameters are tried on a server once per kind of client** (`session::welcome`): only PostgreSQL knows
//!   what it makes of `DateStyle=ISO`, and a bad value must fail the log-in in its own words.
//! * **A batch that is flushed before its Sync goes to the primary:** what follows in it may write.
//! * **Who a session is must be settled first:** a server that has to change role or session user is asked before the
//!   statement is sent; all other settings travel in the same packet.
//! * **The SCRAM client is our own,** because logging in with a client's key instead of a password needs one; it keeps
//!   derived keys, so that a log-in to a server does not cost thousands of hash rounds on a worker.
//! * **Servers are renewed when `pg_db_role_setting` changes,** which is read along with the catalog's counters: all of the
//!   cluster's, as it is rare; those of replicas once more after 30 s, by when they have replayed it. Sessions that run get
//!   the new defaults with their next server, where PostgreSQL's keep the old ones: else each would have to carry all
//!   parameters that it has not set. What ALTER SYSTEM changes PostgreSQL's reload brings to open servers itself.
//! * **Parameters with a dot are set one by one,** in the same packet: an extension that is loaded later, on this server or on
//!   that, may take away what was made up before (PostgreSQL warns then), and a SET or RESET of it fails. That means the
//!   same as success, so the error is shown to nobody; and it must not take the other settings with it.
//! * **Values of parameters are compared in one spelling,** by the types and units in `pg_settings`, read with the catalog,
//!   and only once the server has accepted the client's own: so nothing here decides what is valid. ParameterStatus would tell
//!   only of the ten parameters that are reported, and only when they change.
//! * **Whether a pin still has its reason PostgreSQL is asked** (`session::inquiry`), after transactions that may have
//!   changed it: no counting of ours could know what a `pg_try_advisory_lock` returned. What it denies need not be
//!   washed off either; only temporary objects always cost a DISCARD ALL, because prepared statements may depend on them.
//! * **What a `set_config` has set PostgreSQL is asked where the text does not tell:** the values of the parameters that it
//!   names, when the transaction has ended, however it did, and whether or not the call was reached. `session_authorization`
//!   is left out (to set it ends SET ROLE), and so are calls that do not name their parameter: those pin.
//! * **Sequence state is forgotten before it could be read by another, not after it was made:** any write may call `nextval`,
//!   and hardly anybody asks for `currval`. Where a text or the catalog (functions, defaults, views, triggers) asks for it,
//!   a server that has served another writer is told DISCARD SEQUENCES in the packet of the next first statement; elsewhere
//!   it costs one comparison. Where there are sequences the first 2,000 servers that would be told are told before anybody
//!   has asked: who uses `lastval` at all does so by then. A later first asker can meet what was left, and its transaction
//!   is failed.
//! * **A client keeps its server behind a statement after which another has asked for `lastval`,** until its next one, as PHP's
//!   PDO asks behind an INSERT that has committed, when the server may be somebody else's. Which ones, only experience tells.
//! * **A replication connection is not a session:** in CopyBoth both sides speak at any time and nothing is owed in order, so a
//!   machine that allowed it would prove nothing about the others. It waits for a place in the pool, not for a connection
//!   ([`pool::Wants`]): whom `pg_hba.conf` lets in for replication alone could not open an ordinary one to be replaced. The end
//!   of its server is shown as it is, without an error of ours: after CommandComplete a walsender that stops says no more.
//! * **A LISTEN runs on the client's server although the hub listens:** errors, answers and transactions are then
//!   PostgreSQL's own. The hub listens first, and is asked for a sign of life before a LISTEN or a COMMIT that listens
//!   and after a NOTIFY of a client that listens: PostgreSQL delivers what was committed before it answers. So a client
//!   misses nothing, hears nothing that is older than its LISTEN, and hears itself before ReadyForQuery.
//! * **A client that does not read its notifications is disconnected** (53400) at its next idle moment: drivers handle
//!   that, and no application looks at a notice that it has lost some. After a lost listening connection, which is
//!   nobody's fault, a warning (01000) is all there is.
//! * **A Parse is left out only where nobody can tell:** a text that comes for the second time is given a name on the server
//!   and is only bound from then on, if it is a query or a plain write, if no literal of it may mean the present moment
//!   (`'now'`), and if nothing that decides what it means has changed: settings and role, the catalog as far as any
//!   session of ours has changed it, temporary objects. What others do to the catalog directly goes unnoticed for at most
//!   `pool.plan_reuse` (PostgreSQL itself replans where a table that is used has changed). Each renewal begins with five
//!   custom plans again, so that a generic plan that does not fit does not stay.
//! * **A stale plan is repaired only for clients that learn the columns in the same batch** (Parse or Describe): one that
//!   relies on columns that it was told of earlier would misread its rows. It gets PostgreSQL's error (0A000), which
//!   drivers that cache descriptions wait for; the server's statement is given up in any case.
//! * **Columns that a client was told of are checked before it binds a copy that we have made** (`session::columns`): to
//!   PostgreSQL what another server parses, or parses anew, is right whatever it looks like. Every copy is described once
//!   and compared with what Describe told of the statement, or of a portal of it (parameters, and names and types of
//!   columns); if it differs the client gets that 0A000. Its batch waits meanwhile, a round trip per copy, whether or not we
//!   know of DDL: what others do to the catalog must not be noticed too late, and a write must not run first. A copy that
//!   has been compared costs nothing, nor do statements that nobody has described, nor clients that describe each portal,
//!   as libpq does: they are shown what is there. A portal tells nothing of parameters, and its modifiers are its plan's:
//!   those are not compared, as no value is read by them. Which statement the unnamed portal is of is remembered; before
//!   another portal is bound to a copy that nobody has seen, that is described at once, so that nothing piles up.
//! * **The same text under other circumstances is another prepared statement** (`Background`), for named statements
//!   too: literals and names are resolved when a text is parsed, so two clients with different `search_path`, `TimeZone`
//!   or role must not share one.
//! * **Texts that name prepared statements pass as they are** (`session::naming`): before them, in the same packet, the server
//!   is given what its client calls so, under just that name, and loses what others call so. Rewriting the name would show in
//!   errors, in their positions and in `pg_stat_activity`. The record of a server's names holds identities, not owners, so
//!   clients of one application that prepare the same share one. What a text has done to names follows from its tags,
//!   statement by statement, as PostgreSQL does not roll it back. If the server cannot prepare it any more its error takes
//!   the place of the 26000 that follows. A transaction begins with all that its client has prepared by SQL, because a failed
//!   one takes nothing; what was prepared by the protocol and is executed by name in one string with the ROLLBACK is missed.
//! * **What names a statement behind a DISCARD ALL or DEALLOCATE ALL waits for its answer,** if it comes in a later batch: names
//!   are forgotten only if that succeeds. And what must be parsed first waits where the transaction may have failed.
//! * **A text of several statements that resets something to a startup value ends with SETs of ours,** whose answers are not
//!   shown. So positions in errors stay, and ParameterStatus tells what holds; between the RESET and the end of its text
//!   the server's default does. Lists (`search_path`) are left out: they take a row to set, and are set before what follows.
//! * **Parameters of ours (`pglagoon.*`) are kept among the session's parameters** and answered in their place among the
//!   server's answers: so transactions, RESET and startup options treat them as any. What is wrong within a transaction
//!   is reported by the server, by way of a DO that raises just that error, because the transaction has to fail there.
//! * **A token is the primary's flush position, asked on the session's own connection,** not taken from a poll: exact, no
//!   wait, and an error where there is no primary. It becomes the instant of the first poll that had come as far.
//! * **A hint that is not understood sends its read to the primary:** it may have asked for more than a replica has.
//! * **Of two replicas picked at random the one with less to do,** and not the one with least of all: poolers and workers
//!   that all see the same one least busy bury it. Who waits for a server counts like who has one: where all servers are
//!   busy latency alone would send everybody into one line. Latency is an average of answers without errors, drawn back by the
//!   monitor's polls, so that a node which was slow once is tried again.
//! * **Statements are counted in 256 places per worker, database and user** ([`telemetry::Frequent`]): a batch costs one cache
//!   line. What comes often stays there however much else comes once, so no list of all statements is needed.
//! * **Second tries and reads without a replica share one bound** (`routing.primary_read_share`): a budget that turned
//!   them into errors would show clients what the safety net is there to hide.
//! * **serde is not used for the configuration:** it stops at the first error, and an operator must see all of them.
//! * **The parser is checked, not trusted:** sqlparser takes reserved words for names (`SELECT a OR FROM t`) and stops at
//!   the word END. So the tokens alone condemn, the tree must reach to the end, hold every FROM and JOIN of the text and
//!   no reserved word as a name. PostgreSQL's own grammar judges all of it in the tests, over its regression suite and
//!   over statements made up from it, by way of pglast: its wheel is ready to use, while the pg_query crate would want
//!   libclang and minutes of compiling C in every fresh clone.

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
