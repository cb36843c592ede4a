//! Transactions whose BEGIN is held back, because what follows decides where they run.
//!
//! ```text
//!                 BEGIN, answered here (routing.read_only_until_write)
//!                   |
//!                   v     a read: on a replica, a statement of its own; more may follow
//!   Fresh ------> Back <--------------------------------------------------.
//!    ^  SET TRANS- | | `--------------------------------------------------'
//!    |  ACTION     | |
//!    |  READ ONLY  | | an error there
//!    |             | `------------------> Failed
//!   BEGIN on the   |                        | BEGIN and an error on the primary, which refuses what comes then
//!   primary        | anything else          v
//!                  `-------> Due -------> Passed: a server has begun it, and from then on all is as usual
//!                            (COMMIT and ROLLBACK of what no server knows of are answered here)
//! ```
//!
//! In a READ COMMITTED transaction each statement sees what was committed before it, so a read within one is what it
//! would be alone. It must not see less than the one before: reads of such a transaction are monotonic. Whatever else
//! makes a statement within a transaction different (the moment of its beginning, portals that live on, savepoints,
//! settings) goes to the primary, and the rest of the transaction with it.

use crate::clock::Mono;
use crate::config::{PoolMode, Split, UntilWrite};
use crate::protocol::frontend::{self, Bind};
use crate::protocol::{FrontendTag, SqlState, TransactionStatus, frame};
use crate::route::Reason;
use crate::session::clients::Cancelling;
use crate::session::link::{Gate, Link};
use crate::session::lone::Lone;
use crate::session::machine::{Change, Owed, Request};
use crate::session::ours::Fault;
use crate::session::succession::Side;
use crate::session::survey::{Batch, Local, Survey, Surveyed};
use crate::session::worker::Worker;
use crate::session::{Attached, Batches, Hold, Phase, Session, cleaning};
use crate::sql::transactions::{self, End};
use crate::sql::{Access, Begin, Class, Isolation, hint};

/// What a transaction that is held back begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    begin: Begin,
    so_far: SoFar,
}

/// What has been done in a transaction that is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SoFar {
    Nothing,
    /// Replicas have been read. What must come before the first query comes too late.
    Read,
}

impl Start {
    fn sql(self) -> Vec<u8> {
        let mut sql = self.begin.sql();
        if self.so_far == SoFar::Read {
            sql.extend_from_slice(b"; SELECT");
        }
        sql
    }
}

/// Where the session's transaction stands, if its BEGIN has been, or can still be, held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Held {
    /// There is no such transaction.
    #[default]
    None,
    /// The primary begins it, and had been sent so many requests before. Nothing else may have been said in it.
    Fresh(Begin, u64),
    /// No server knows of it.
    Back(Start),
    /// No server knows of it; the next that the session gets will.
    Due(Start),
    /// No server knows of it, and it has failed.
    Failed(Start),
    /// A server has begun it.
    Passed(Start),
}

impl Held {
    /// What a client believes that has no server.
    #[inline]
    pub(super) fn status(self) -> TransactionStatus {
        match self {
            Self::None | Self::Fresh(..) | Self::Passed(_) => TransactionStatus::Idle,
            Self::Back(_) | Self::Due(_) => TransactionStatus::InTransaction,
            Self::Failed(_) => TransactionStatus::Failed,
        }
    }

    /// Whether the client is in a transaction of which no server knows.
    #[inline]
    pub(super) fn is_open(self) -> bool {
        self.status() != TransactionStatus::Idle
    }

    /// Something in it has failed.
    #[inline]
    pub(super) fn fail(&mut self) {
        if let Self::Back(start) | Self::Due(start) = *self {
            *self = Self::Failed(start);
        }
    }

    /// The session has let its server go.
    #[inline]
    pub(super) fn let_go(&mut self) {
        if let Self::Back(start) | Self::Failed(start) = self {
            start.so_far = SoFar::Read;
        }
        if let Self::Fresh(..) | Self::Passed(_) = *self {
            *self = Self::None;
        }
    }

    /// The server that has just begun it has done nothing that was seen.
    pub(super) fn take_back(&mut self) {
        if let Self::Passed(start) = *self {
            *self = Self::Due(start);
        }
    }

    /// Has a server that the session gets begin it, before anything else runs there.
    #[inline]
    pub(super) fn pass_to(&mut self, link: &mut Link, side: Side, worker: &Worker) {
        match *self {
            Self::None | Self::Passed(_) => {}
            Self::Fresh(begin, _) => *self = Self::Fresh(begin, link.machine.next()),
            Self::Back(_) if side.is_replica() => {}
            Self::Back(start) | Self::Due(start) => {
                let mut begins = start;
                if side.is_replica() {
                    // A standby refuses what says that it writes, also if it is set read-only next.
                    begins.begin.access = Access::Unspecified;
                }
                link.run_first(&begins.sql(), Change::None, worker);
                *self = Self::Passed(start);
            }
            Self::Failed(start) => {
                link.run_first(&start.sql(), Change::None, worker);
                // It fails, and is to.
                link.run_first(&failure(), Change::Startup, worker);
                *self = Self::Passed(start);
            }
        }
    }
}

/// The SQL that fails a transaction on the primary that has failed on a replica.
fn failure() -> Vec<u8> {
    let message = "this transaction has failed on a replica".to_owned();
    Fault { code: SqlState(*b"25P02"), message, hint: "" }.sql()
}

impl Link {
    /// Has the server run `sql`; what the client sends waits until it has.
    fn run_first(&mut self, sql: &[u8], change: Change, worker: &Worker) {
        frontend::query(self.to_server.queue(&mut worker.recycler.borrow_mut()), sql);
        self.machine.sent(Owed::swallow(Request::Query).with(change));
        self.server.statements.set_unnamed(None);
        self.gate = Gate::Shut;
    }
}

impl Session {
    /// What a batch is to a session whose transaction may be held back.
    pub(super) fn hold_back(&mut self, survey: Survey, bytes: &[u8]) -> Survey {
        match survey {
            survey if self.held.is_open() => self.within_held(survey, bytes),
            Survey::Batch(batch, surveyed) => match batch.class {
                Class::Begin(begin)
                    if query(bytes).is_some_and(|text| self.may_hold(begin, text)) =>
                {
                    Survey::Local(Local::Begin(Lone::query(bytes), begin))
                }
                _ => Survey::Batch(batch, surveyed),
            },
            survey => survey,
        }
    }

    /// Whether a BEGIN may wait until it is known what follows: the transaction is READ COMMITTED and may write. A server
    /// must have what was prepared by SQL before the transaction can fail.
    pub(super) fn may_hold(&self, begin: Begin, text: &[u8]) -> bool {
        let routing = &self.policy.routing;
        let isolation = self.wanted("default_transaction_isolation");
        let is_read_committed = match (begin.isolation, isolation.as_deref()) {
            (Isolation::ReadCommitted, _)
            | (Isolation::Default, None | Some("read committed" | "read uncommitted")) => true,
            (Isolation::Default | Isolation::RepeatableRead | Isolation::Serializable, _) => false,
        };
        let access = match begin.access {
            Access::Unspecified => self.access(),
            access => access,
        };
        routing.read_only_until_write == UntilWrite::On
            && is_read_committed
            && access != Access::ReadOnly
            && self.can_split(begin)
            && self.listening.is_none()
            && !self.names.has_sql()
            && is_plain(text)
            && TIMEOUTS.iter().all(|name| self.wanted(name).is_none())
    }

    /// Answers a BEGIN that no server hears of.
    pub(super) fn begin_held(&mut self, lone: &Lone, begin: Begin, bytes: &[u8], now: Mono) {
        let is_start = lone.text(bytes).is_some_and(transactions::says_start);
        let tag: &[u8] = if is_start { b"START TRANSACTION" } else { b"BEGIN" };
        self.held = Held::Back(Start { begin, so_far: SoFar::Nothing });
        self.count_route(Reason::HeldBack, 0);
        self.answer_lone(lone, bytes, tag, now);
    }

    /// Answers the end of a transaction that no server has heard of.
    pub(super) fn end_held(&mut self, lone: &Lone, end: End, bytes: &[u8], now: Mono) {
        self.held = Held::None;
        let tag: &[u8] = if end == End::Commit { b"COMMIT" } else { b"ROLLBACK" };
        self.answer_lone(lone, bytes, tag, now);
    }

    /// Whether such a transaction may run anywhere but on the primary.
    fn can_split(&self, begin: Begin) -> bool {
        self.policy.mode == PoolMode::Transaction
            && self.policy.routing.read_write_split == Split::On
            && self.client.backend.pools.len() > 1
            && matches!(self.terms.class_of(Class::Begin(begin)), Class::Begin(_))
    }

    /// What a batch is within a transaction of which no server knows.
    fn within_held(&mut self, survey: Survey, bytes: &[u8]) -> Survey {
        let (start, is_failed) = match self.held {
            Held::Back(start) | Held::Due(start) => (start, false),
            Held::Failed(start) => (start, true),
            Held::None | Held::Fresh(..) | Held::Passed(_) => return survey,
        };
        let on_primary = Class::Begin(Begin { access: Access::ReadWrite, ..start.begin });
        let (mut batch, surveyed) = match survey {
            Survey::Batch(batch, surveyed) => (batch, surveyed),
            // It has to do with no transaction.
            Survey::Local(Local::Closes(_)) => return survey,
            Survey::Local(_) => {
                (Batch { class: on_primary, ..Batch::ON_PRIMARY }, Surveyed::Nothing)
            }
            survey @ (Survey::Drop(_)
            | Survey::Incomplete
            | Survey::Apart(..)
            | Survey::Terminate) => {
                return survey;
            }
        };
        let text = query(bytes);
        if let Some(end) = text.and_then(transactions::end) {
            let end = if is_failed { End::Rollback } else { end };
            return Survey::Local(Local::End(Lone::query(bytes), end));
        }
        batch.class = self.terms.class_of(batch.class);
        if is_failed {
            batch.class = on_primary;
            return Survey::Batch(batch, surveyed);
        }
        self.held = Held::Due(start);
        if let Some(modes) = text.and_then(transactions::set_read_only) {
            batch.class = Class::Begin(with_modes(start.begin, modes));
        } else if batch.class == Class::Read && self.runs_alone(bytes) {
            self.held = Held::Back(start);
        } else if matches!(batch.class, Class::Begin(_) | Class::Empty | Class::Read) {
            batch.class = on_primary;
        }
        Survey::Batch(batch, surveyed)
    }

    /// Whether a batch of reads leaves nothing behind in its transaction, and does not depend on when that began.
    fn runs_alone(&self, mut bytes: &[u8]) -> bool {
        while let Ok(Some(header)) = frame::header(bytes)
            && let Some((whole, rest)) = bytes.split_at_checked(header.size)
        {
            let body = frontend::body(whole);
            let asks = |text: &[u8]| transactions::asks_for_start(text);
            let is_plain = match FrontendTag(header.tag) {
                FrontendTag::QUERY => return !query(bytes).is_none_or(asks),
                FrontendTag::SYNC => return true,
                FrontendTag::PARSE => {
                    frontend::Parse::read(body).is_ok_and(|parse| !asks(parse.query))
                }
                FrontendTag::BIND => Bind::read(body).is_ok_and(|bind| {
                    let known = self.names.get(bind.statement);
                    bind.portal.is_empty() && !known.is_some_and(|one| asks(&one.query))
                }),
                // The unnamed portal, all rows.
                FrontendTag::EXECUTE => body == [0; 5],
                FrontendTag::DESCRIBE => true,
                _ => false,
            };
            if !is_plain {
                return false;
            }
            bytes = rest;
        }
        false
    }

    /// Gives back the primary's server, on which a transaction has only just begun, if the client goes on by making that
    /// read-only: another server may begin it. Returns whether it has.
    #[cold]
    pub(super) fn begins_anew(&mut self, bytes: &[u8]) -> bool {
        let (Phase::Attached(attached), Held::Fresh(begin, before)) = (&self.phase, self.held)
        else {
            return false;
        };
        if attached.batches == Batches::None {
            return false;
        }
        self.held = Held::None;
        let modes = query(bytes).and_then(transactions::set_read_only);
        let is_serializable = |begin: Begin| begin.isolation == Isolation::Serializable;
        if modes.is_none_or(|modes| is_serializable(with_modes(begin, modes)))
            || !attached.is_untouched_since(before)
            // It may have been READ UNCOMMITTED, which is the same but for its name.
            || begin.isolation == Isolation::ReadCommitted
            || self.hold != Hold::Nothing
            || self.client.cancelling.get() != Cancelling::No
            || !self.can_split(begin)
        {
            return false;
        }
        let Phase::Attached(attached) = std::mem::replace(&mut self.phase, Phase::Detached) else {
            return false;
        };
        self.client.backend.cluster.end(attached.node, self.worker.lane());
        let within = self.policy.timeouts.server_reset_timeout;
        cleaning::roll_back(&self.worker, attached.lease, within);
        self.client.clear_server();
        self.held = Held::Due(Start { begin, so_far: SoFar::Nothing });
        true
    }
}

impl Attached {
    /// Whether its server is at rest on the primary, in a transaction, and has been sent one request after so many
    /// `before`: its BEGIN.
    fn is_untouched_since(&self, before: u64) -> bool {
        let machine = &self.lease.machine;
        self.side.is_primary()
            && machine.status() == TransactionStatus::InTransaction
            && machine.next() == before + 1
            && machine.owes_nothing()
            && machine.at_boundary()
            && !machine.is_in_doubt()
            && self.lease.is_still()
            && self.lease.stains.is_empty()
            && self.pins.is_empty()
    }
}

/// A transaction that begins with one statement's modes and is then set to another's.
fn with_modes(begin: Begin, modes: Begin) -> Begin {
    let is_set = modes.isolation != Isolation::Default;
    let isolation = if is_set { modes.isolation } else { begin.isolation };
    Begin { access: modes.access, isolation }
}

/// Parameters by which a server ends transactions. One that it does not know of it cannot end.
const TIMEOUTS: [&str; 2] = ["idle_in_transaction_session_timeout", "transaction_timeout"];

/// Whether a BEGIN asks for nothing that is not in its [`Begin`].
fn is_plain(text: &[u8]) -> bool {
    let is_uncommitted = |word: &[u8]| word.eq_ignore_ascii_case(b"uncommitted");
    hint::leading(text).is_none() && !text.windows(11).any(is_uncommitted)
}

/// The text of the Query that `bytes` begin with, if they do.
fn query(bytes: &[u8]) -> Option<&[u8]> {
    let header = frame::header(bytes).ok()??;
    if FrontendTag(header.tag) != FrontendTag::QUERY {
        return None;
    }
    frontend::query_text(frontend::body(bytes.get(..header.size)?)).ok()
}
