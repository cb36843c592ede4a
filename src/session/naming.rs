//! Texts that name prepared statements: PREPARE, EXECUTE and DEALLOCATE of SQL.
//!
//! Such a text passes as it is, so that everything that the server says about it is PostgreSQL's own. Before it, the
//! server is given what the client calls by the names in it, under just those names, and loses what other clients
//! have called so; in the same packet. Names that no text mentions stay where they are.
//!
//! What cannot be prepared anew on another server without a difference pins its client instead.

use std::sync::Arc;

use crate::net::buffer::Gather;
use crate::protocol::frontend::{self, Object};
use crate::protocol::{BackendTag, ErrorFields, SqlState, TransactionStatus, frame};
use crate::server::given::Holds;
use crate::server::shape::Fit;
use crate::server::statements::{Background, Statement};
use crate::session::columns::REFUSAL;
use crate::session::link::Gate;
use crate::session::machine::{Change, OnBackend, Owed, Request};
use crate::session::names::{Changed, Names};
use crate::session::ours::{Fault, not_on_replica, reserved_name};
use crate::session::pins::{Pins, Stains};
use crate::session::replies::Replies;
use crate::session::requests::Requests;
use crate::sql::prepared::{self, Script, Step, Wants};
use crate::sql::{Effects, Verdict};

/// Texts that name prepared statements, or forget all of them.
pub(super) const NAMING: Effects =
    Effects::PREPARES.union(Effects::EXECUTES).union(Effects::DEALLOCATES).union(Effects::DISCARDS);

/// Parameter types of a Parse without any.
pub(super) const NO_TYPES: &[u8] = &[0, 0];

/// Statement names that a client must not use as they are: they might be ours on the server.
pub(super) const OUR_PREFIX: &[u8] = b"pgl_";

/// The portal in which a PREPARE of ours runs. No statement is ever called so either.
const OUR_PORTAL: &[u8] = b"pgl_0";

/// What a text is, given how its client writes and what it calls by the names in it: an EXECUTE is what it executes.
pub(super) fn meant(names: &Names, verdict: Verdict, text: &[u8]) -> Verdict {
    let verdict = names.dialect().trust(verdict, text);
    if !verdict.effects.contains(Effects::EXECUTES) || verdict.effects.contains(Effects::MULTI) {
        return verdict;
    }
    let executed = prepared::executed(text).and_then(|name| names.get(name.as_bytes()));
    match executed.map(|statement| statement.verdict) {
        Some(inner) if !inner.effects.intersects(NAMING) => Verdict {
            effects: inner.effects | Effects::EXECUTES,
            fingerprint: verdict.fingerprint,
            ..inner
        },
        _ => verdict,
    }
}

impl Requests<'_> {
    /// Sees to it that the names in a text that is about to be sent mean on the server what they mean to the client. A
    /// transaction begins with all that the client has prepared by SQL: when it has failed nothing can be prepared.
    /// At the boundary of batches nothing that fails here can harm what follows; within a batch its error is the
    /// client's.
    #[inline]
    pub(super) fn prepare_names(&mut self, verdict: Verdict, text: &[u8], out: &mut Gather<'_>) {
        if verdict.effects.intersects(NAMING) {
            self.give_mentioned(text, out);
        } else if self.names.has_sql() || !self.link.server.statements.given.is_empty() {
            self.give_all(verdict, out);
        }
    }

    fn give_mentioned(&mut self, text: &[u8], out: &mut Gather<'_>) {
        // What cannot be read pins when it is run.
        let Some(script) = Script::read(text) else { return };
        for (name, wants) in script.mentions {
            let name = name.as_bytes();
            self.give(name, wants, out);
            if wants == Wants::Statement
                && let Some(statement) = self.names.get(name).map(Arc::clone)
            {
                // Running it leaves behind what its text leaves behind.
                self.note(statement.verdict, statement.body());
            }
        }
    }

    /// Where a text may use names unseen, gives the server all that the client has prepared by SQL, and nothing else.
    fn give_all(&mut self, verdict: Verdict, out: &mut Gather<'_>) {
        let hides = !Stains::of(verdict).is_empty();
        if !(hides || verdict.effects.contains(Effects::TRANSACTION))
            || !self.link.machine.at_boundary()
            || self.link.machine.status() != TransactionStatus::Idle
        {
            return;
        }
        let given = self.link.server.statements.given.names();
        let strange = given.filter(|name| hides && self.names.get(name).is_none());
        for name in strange.map(Box::from).collect::<Vec<Box<[u8]>>>() {
            self.give_unknown(&name, out);
        }
        for name in self.names.of_sql() {
            self.give(&name, Wants::Statement, out);
        }
    }

    /// Makes one name on the server what it is to the client.
    pub(super) fn give(&mut self, name: &[u8], wants: Wants, out: &mut Gather<'_>) {
        if self.names.is_decided_by_text(name) {
            // It was right before that text, and will be right after it.
            return;
        }
        let Some(statement) = self.names.get(name).map(Arc::clone) else {
            self.take_away(name, out);
            return;
        };
        let is_enough = match self.link.server.statements.given.get(name) {
            Holds::Statement(id) => id == statement.id,
            Holds::Something => wants == Wants::Name,
            Holds::Nothing | Holds::Unsure => false,
        };
        if is_enough || self.link.machine.status() == TransactionStatus::Failed {
            return;
        }
        self.take_away(name, out);
        match wants {
            Wants::Name => self.give_nothing(name, self.change_by_giving(), out),
            Wants::Statement => {
                let statement = self.as_understood_now(name, statement);
                self.give_statement(name, &statement, out);
            }
        }
    }

    /// The statement that the client calls `name`, which this server does not have. If what its text means may have
    /// changed it is another statement from now on: nobody else may take the one for the other.
    pub(super) fn as_understood_now(
        &mut self,
        name: &[u8],
        statement: Arc<Statement>,
    ) -> Arc<Statement> {
        let background = self.background();
        if statement.means_the_same(background.as_ref()) {
            return statement;
        }
        let renewed = self.renewed(&statement, background.as_ref());
        // Who was told what it looks like goes by that until he is told otherwise.
        if !statement.shape.is_known()
            || self.names.is_being_parsed(name)
            || statement.shape.fit(&renewed.shape) == Fit::Fits
        {
            self.names.adopt(name, &renewed);
        }
        renewed
    }

    /// What the text of a statement is now.
    pub(super) fn renewed(
        &self,
        statement: &Statement,
        background: Option<&Background>,
    ) -> Arc<Statement> {
        self.worker.intern((&statement.query, &statement.types), (self.catalog, background))
    }

    /// The client uses a name that stands for nothing: the server must find nothing either.
    pub(super) fn give_unknown(&mut self, name: &[u8], out: &mut Gather<'_>) {
        if !self.names.is_decided_by_text(name) {
            self.take_away(name, out);
        }
    }

    /// Has the server lose what somebody else calls `name`.
    pub(super) fn take_away(&mut self, name: &[u8], out: &mut Gather<'_>) {
        if self.link.server.statements.given.get(name) == Holds::Nothing {
            return;
        }
        self.link.server.statements.given.expect(name, Holds::Nothing);
        self.link.machine.sent(Owed::swallow(Request::Close).with(Change::Given));
        frontend::close(out.insert(), Object::Statement, name);
    }

    /// Has the server take `name` for nothing in particular: who wants it for himself is told that it is taken.
    pub(super) fn give_nothing(&mut self, name: &[u8], change: Change, out: &mut Gather<'_>) {
        self.expect_given(name, Holds::Something);
        self.link.machine.sent(Owed::swallow(Request::Parse).with(change));
        frontend::parse(out.insert(), name, b"", NO_TYPES);
        self.end_own_batch(change, out);
    }

    fn give_statement(&mut self, name: &[u8], statement: &Statement, out: &mut Gather<'_>) {
        self.traffic.server_parses.add(1);
        self.expect_given(name, Holds::Statement(statement.id));
        let change = self.change_by_giving();
        let machine = &mut self.link.machine;
        if !statement.is_sql() {
            machine.sent(Owed::swallow(Request::Parse).with(change));
            frontend::parse(out.insert(), name, &statement.query, &statement.types);
            self.end_own_batch(change, out);
            return;
        }
        self.link.server.statements.lose_unnamed();
        if change == Change::Offered {
            machine.sent(Owed::swallow(Request::Query).with(change));
            frontend::query(out.insert(), &statement.query);
            return;
        }
        machine.sent(Owed::swallow(Request::Parse));
        machine.sent(Owed::swallow(Request::Bind));
        machine.sent(Owed::swallow(Request::Execute).with(change));
        machine.sent(Owed::swallow(Request::Close));
        let out = out.insert();
        frontend::parse(out, b"", &statement.query, NO_TYPES);
        frontend::bind(out, OUR_PORTAL, b"", NOTHING_BOUND);
        frontend::execute(out, OUR_PORTAL, 0);
        frontend::close(out, Object::Portal, OUR_PORTAL);
    }

    fn expect_given(&mut self, name: &[u8], holds: Holds) {
        self.link.server.statements.given.expect(name, holds);
        self.limit_given();
    }

    /// A server with too many of these names forgets all of them when its client has done with it.
    fn limit_given(&mut self) {
        let limit = self.policy.limits.max_prepared_statements;
        if self.link.server.statements.given.len() > limit {
            self.link.stains |= Stains::SESSION;
        }
    }

    /// At the boundary of batches what we prepare is a batch of its own.
    fn change_by_giving(&self) -> Change {
        if self.link.machine.at_boundary() { Change::Offered } else { Change::Given }
    }

    fn end_own_batch(&mut self, change: Change, out: &mut Gather<'_>) {
        if change == Change::Offered {
            self.link.machine.sent(Owed::swallow(Request::Sync));
            frontend::sync(out.insert());
        }
    }

    /// Notes what a text that is about to run does to the client's names, as the request that is entered next.
    pub(super) fn note_names(&mut self, verdict: Verdict, text: &[u8]) {
        let Some(script) = Script::read(text) else {
            if verdict.effects.contains(Effects::PREPARES) {
                self.names.expect_unread();
                self.tie_to_server();
            }
            return;
        };
        let request = self.link.machine.next();
        for step in script.steps {
            match step {
                Step::All => {
                    self.names.expect_clear(request);
                    self.link.server.statements.give_up_all();
                }
                Step::Deallocate(name) => self.names.expect_text(request, name.as_bytes(), None),
                Step::Prepare(name, place) => {
                    let command = text.get(place).unwrap_or_default();
                    let background = self.background();
                    let known = (self.catalog, background.as_ref());
                    let statement = self.worker.intern((command, b""), known);
                    if !statement.can_follow() {
                        self.tie_to_server();
                    }
                    self.names.expect_text(request, name.as_bytes(), Some(statement));
                    self.limit_given();
                }
            }
        }
    }

    /// Whether what names a statement has to wait: DISCARD ALL forgets names only if it succeeds.
    pub(super) fn awaits_clear(&mut self) -> bool {
        self.names.may_be_cleared() && self.wait_at_boundary()
    }

    /// Whether what a server is to parse first has to wait: if the transaction has failed that is not there afterwards.
    pub(super) fn awaits_outcome(&mut self) -> bool {
        self.link.machine.may_be_failed() && self.wait_at_boundary()
    }

    /// Within a batch nothing can be waited for: the server may answer only at its end.
    fn wait_at_boundary(&mut self) -> bool {
        let waits = self.link.machine.at_boundary() && self.link.machine.awaits_ready();
        if waits {
            self.link.gate = Gate::Shut;
        }
        waits
    }

    fn tie_to_server(&mut self) {
        *self.pins |= Pins::PREPARED;
        self.link.stains |= Stains::SESSION;
    }

    /// Why a text with these effects must not be parsed by the client's present server, or by none, if so.
    #[inline]
    pub(super) fn forbidden(&self, verdict: Verdict, text: &[u8]) -> Option<Fault> {
        let fault = self.tied(verdict);
        if fault.is_none() && verdict.effects.intersects(NAMING) {
            return self.forbidden_names(text);
        }
        fault
    }

    fn forbidden_names(&self, text: &[u8]) -> Option<Fault> {
        let is_on_replica = self.given.side.is_replica();
        let Some(script) = Script::read(text) else {
            return is_on_replica.then(not_on_replica);
        };
        if script.mentions.iter().any(|(name, _)| name.as_bytes().starts_with(OUR_PREFIX)) {
            return Some(reserved_name());
        }
        let ties = |step: &Step| match step {
            Step::Prepare(_, place) => {
                let command = text.get(place.clone()).unwrap_or_default();
                !self.worker.intern((command, b""), (self.catalog, None)).can_follow()
            }
            Step::All | Step::Deallocate(_) => false,
        };
        (is_on_replica && script.steps.iter().any(ties)).then(not_on_replica)
    }
}

impl Replies<'_> {
    /// A statement of this request's text has been completed that gives or takes a name.
    pub(super) fn change_name(&mut self, request: u64) {
        if let Some(Changed::One(name, id)) = self.names.commit_text(request) {
            let holds = id.map_or(Holds::Nothing, Holds::Statement);
            self.link.server.statements.given.set(&name, holds);
        }
    }

    /// The client has no prepared statement any more, nor has the server, but what was sent behind this.
    pub(super) fn forget_names(&mut self, request: u64) {
        let statements = &mut self.link.server.statements;
        if let Some(Changed::All) = self.names.commit_text(request) {
            statements.lose_given_up();
        } else {
            self.names.clear();
            statements.clear();
        }
    }

    /// An error that only says that a statement is missing, because we could not prepare it, or did not want to: the client
    /// is told what PostgreSQL said to that, or would have said.
    pub(super) fn put_right(
        &mut self,
        body: &[u8],
        at_hand: Change,
        out: &mut Gather<'_>,
    ) -> OnBackend {
        let code = ErrorFields(body).code();
        let follows =
            matches!(code, Some(SqlState::UNDEFINED_STATEMENT | SqlState::IN_FAILED_TRANSACTION));
        let excuse = self.link.excuse.take();
        let excuse = if at_hand == Change::Refused { Some(REFUSAL) } else { excuse.as_deref() };
        match excuse.filter(|_| follows) {
            None => OnBackend::Forward,
            Some(excuse) => {
                frame::write(out.insert(), BackendTag::ERROR_RESPONSE.0, |frame| {
                    frame.extend_from_slice(excuse);
                });
                OnBackend::Swallow
            }
        }
    }

    /// The client is shown ReadyForQuery: what its texts have not done by now they never will.
    #[inline]
    pub(super) fn settle_names(&mut self) {
        self.link.excuse = None;
        self.names.forget_texts(self.link.machine.oldest());
        if self.link.machine.owes_nothing() {
            self.names.settle_dialect();
        }
        if self.pins.contains(Pins::PREPARED) && !self.names.are_tied() {
            *self.pins -= Pins::PREPARED;
        }
    }
}

/// The rest of a Bind without parameters, and with all columns as text.
const NOTHING_BOUND: &[u8] = &[0, 0, 0, 0, 0, 0];
