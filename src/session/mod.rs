//! One client, from log-in to close.
//!
//! ```text
//!   login        reads the startup packet, authenticates, answers            -> Session
//!   Session      owns the client's socket and, while it has one, a server
//!     survey     looks at a batch before a server is chosen
//!     acquire    routes it, gets a server from the pool, gives it back
//!     requests   client -> server: rewrites names, notes what is owed
//!     replies    server -> client: asks the machine, releases the server
//!     relay      the poll function that drives the two
//! ```
//!
//! One task per client owns both sockets while a server is attached: no channel, no second task, no lock on the
//! way of a statement but the pool's. Bytes are written from where they were read; a session owns bytes only while
//! a frame is incomplete, its peer is slow, or it waits for a server.

mod acquire;
pub mod backend;
mod blame;
mod books;
mod bound;
pub mod cancel;
mod catalog;
mod channels;
mod cleaning;
pub mod clients;
mod columns;
pub mod connect;
mod dialect;
pub mod directory;
mod fitting;
pub mod forecast;
mod held;
pub mod hub;
mod inquiry;
mod intake;
mod learned;
mod leavings;
mod link;
mod listening;
mod local;
pub mod login;
mod lone;
mod machine;
mod names;
mod naming;
mod options;
mod orders;
mod ours;
mod outcome;
mod parameters;
mod pins;
mod portals;
mod preparing;
mod queued;
mod refusal;
mod relay;
mod repair;
pub mod replication;
mod replies;
mod reports;
mod requests;
mod resets;
pub mod respond;
mod routing;
mod sequences;
mod share;
mod slow;
mod startup;
mod streaming;
mod succession;
mod survey;
mod terms;
mod welcome;
pub mod worker;
mod writes;

use std::rc::Rc;
use std::sync::Arc;

use crate::clock::Mono;
use crate::cluster::{NodeId, WaitKey};
use crate::net::Stream;
use crate::net::buffer::Backlog;
use crate::pool::Lease;
use crate::protocol::TransactionStatus;
use crate::protocol::backend::{backend_key_data, ready_for_query};
use crate::route::{Patience, Seen};
use crate::server::settings::Settings;
use crate::sql::Tables;
use backend::Policy;
use clients::Client;
use held::Held;
use inquiry::Inquiry;
use link::{Gate, Link};
use listening::Listening;
#[doc(hidden)]
pub use machine::Rehearsal;
use names::Names;
use parameters::Parameters;
use pins::Pins;
use portals::Portals;
use queued::Queued;
use sequences::Use;
use succession::Side;
use survey::Surveyed;
use terms::Terms;
use worker::Worker;

/// One client that has logged in.
#[derive(Debug)]
pub(crate) struct Session {
    worker: Rc<Worker>,
    client: Rc<Client>,
    stream: Stream,
    /// What the client has sent and no server has been given.
    input: Vec<u8>,
    pending: Pending,
    skip: Skip,
    presence: Presence,
    to_client: Backlog,
    names: Names,
    parameters: Parameters,
    /// Absent unless the client listens.
    listening: Option<Box<Listening>>,
    /// When the last write of this client had been acknowledged; [`Mono::ZERO`] if it has not written.
    last_write: Mono,
    /// What this client has read last, if that matters.
    seen: Option<Seen>,
    terms: Terms,
    /// What its `currval` and `lastval` come from.
    sequences: Use,
    /// The fingerprint of what it has written last.
    written: u64,
    /// Its place among the reads that are on the primary for want of a replica.
    place: Option<share::Place>,
    /// The fingerprint of the read that was routed last; 0 if it was no read.
    fingerprint: u64,
    /// When the batch came that waits for a fresh replica; [`Mono::ZERO`] if none does.
    arrived: Mono,
    /// Whether the batch that comes next may still wait for a fresh replica.
    patience: Patience,
    detour: Detour,
    hold: Hold,
    held: Held,
    /// What is known of the first message that the next server will get.
    surveyed: Surveyed,
    phase: Phase,
    policy: Arc<Policy>,
    /// The [`crate::cluster::Cluster::version`] that the policy and the choice of the primary belong to.
    version: u32,
    /// The edition of the catalog that the verdicts on prepared statements rest on.
    edition: u64,
}

/// Whether `input` is worth another look without more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    /// It is incomplete, or empty.
    More,
    /// Something has changed since it was looked at.
    Look,
}

/// Whether somebody is there to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    /// The client is there.
    Here,
    /// It has said goodbye (Terminate) behind statements that a server still runs. They are finished, as PostgreSQL
    /// does; what they answer nobody reads.
    Leaving,
}

/// What the client sends that must be ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skip {
    /// Nothing.
    Nothing,
    /// The rest of a frame.
    Bytes(usize),
    /// The rest of a frame, and then everything up to the next Sync.
    BytesToSync(usize),
    /// A batch that was refused: a Query, or everything up to the next Sync.
    Batch,
    /// Everything up to the next Sync, a Query included.
    ToSync,
}

/// Whether the session has a server.
#[derive(Debug)]
enum Phase {
    /// It has none and wants none.
    Detached,
    /// It waits for one of this node.
    Waiting(Queued),
    /// It waits until there is a primary.
    WaitingPrimary,
    /// It waits until a replica is fresh enough.
    WaitingFresh(WaitKey),
    /// It waits for a place among the reads that are on the primary for want of a replica.
    WaitingShare(share::Turn),
    /// It has one.
    Attached(Attached),
}

/// What is known while a server is attached, and means nothing otherwise.
#[derive(Debug)]
struct Attached {
    lease: Lease<Box<Link>>,
    node: NodeId,
    side: Side,
    pins: Pins,
    inquiry: Inquiry,
    /// Whether anything sent may have written.
    wrote: Wrote,
    /// What that may have written to.
    tables: Tables,
    replay: Replay,
    portals: Portals,
    batches: Batches,
    /// When the transaction began, or the server was attached.
    began: Mono,
    /// When the oldest request that is not answered was sent.
    asked: Mono,
    /// The number of the first of the requests that were sent then.
    first: u64,
}

/// Whether the batch that the server was chosen for has been sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Batches {
    /// Not yet: what comes next is that batch.
    None,
    /// It has: what comes next is another.
    Sent,
}

/// Whether a server was sent anything that may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrote {
    /// Only what is proven read-only.
    No,
    /// Something else.
    Maybe,
    /// Something that may change the catalog.
    Schema,
}

/// Whether what was sent can be sent again to another server.
#[derive(Debug)]
enum Replay {
    /// It cannot: it went to the primary, it is part of a transaction, or the client has seen an answer.
    Off,
    /// It can: this is it.
    Recorded(Vec<u8>),
}

/// Whether a batch is held back although the session has a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// None is.
    Nothing,
    /// One is: it may not run on this server.
    Batch,
    /// One is, until the hub listens on what it is about to listen on.
    Hub,
    /// Everything is, ReadyForQuery too, until the client has heard what it has said itself.
    Ready,
}

impl Hold {
    /// What a frame waits for that may not go to a server with this gate.
    const fn at(gate: Gate) -> Self {
        match gate {
            Gate::Open => Self::Hub,
            Gate::Shut => Self::Batch,
        }
    }
}

/// Where the next batch goes because it has failed elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detour {
    /// Anywhere it may.
    None,
    /// This replica has failed it: to another one if one will do, else to the primary.
    Other(NodeId),
    /// A replica has failed it: to the primary.
    Primary,
}

/// How a session ends.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The client said goodbye, or just left.
    Client,
    /// The client's socket failed.
    ClientSocket(std::io::Error),
    /// It was told why and must go.
    Dismissed,
}

impl Session {
    /// A session of a client that has logged in. `greeting` is the end of what it is told; `buffer` is what it
    /// has sent already.
    fn new(
        worker: &Rc<Worker>,
        client: Rc<Client>,
        stream: Stream,
        (buffer, mut greeting): (Vec<u8>, Vec<u8>),
        settings: Arc<Settings>,
    ) -> Self {
        backend_key_data(&mut greeting, client.process_id, &client.secret);
        ready_for_query(&mut greeting, TransactionStatus::Idle);
        let mut to_client = Backlog::default();
        to_client.queue(&mut worker.recycler.borrow_mut()).extend_from_slice(&greeting);
        let version = client.backend.cluster.version();
        let policy = client.backend.policy();
        let terms = Terms::new(&policy, &client, &settings);
        let mut names = Names::default();
        names.adopt_dialect(&settings);
        Self {
            worker: Rc::clone(worker),
            edition: client.backend.cluster.catalog().edition(),
            policy,
            version,
            client,
            stream,
            pending: if buffer.is_empty() { Pending::More } else { Pending::Look },
            input: buffer,
            skip: Skip::Nothing,
            presence: Presence::Here,
            to_client,
            names,
            parameters: Parameters::new(settings),
            listening: None,
            last_write: Mono::ZERO,
            seen: None,
            terms,
            sequences: Use::NONE,
            written: 0,
            place: None,
            fingerprint: 0,
            arrived: Mono::ZERO,
            patience: Patience::Left,
            detour: Detour::None,
            hold: Hold::Nothing,
            held: Held::None,
            surveyed: Surveyed::Nothing,
            phase: Phase::Detached,
        }
    }

    /// Notes the client's bytes as unprocessed.
    fn keep(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.input.capacity() == 0 {
            self.input = self.worker.recycler.borrow_mut().take();
        }
        self.input.extend_from_slice(bytes);
    }
}
