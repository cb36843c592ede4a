//! A client that was told what a prepared statement's columns are is never given rows of others.
//!
//! PostgreSQL sees to that for its own copy of a statement (0A000, "cached plan must not change result type"), and
//! drivers that remember columns wait for just that error. A copy that we have made on another server, or made anew,
//! PostgreSQL takes for right whatever it looks like. So before a client that may have been told binds it, the server is
//! asked, once per copy, and the client gets PostgreSQL's error if the answer is another than it was.

use std::sync::Arc;

use crate::net::buffer::Gather;
use crate::protocol::frontend::{self, Object};
use crate::protocol::{BackendTag, SqlState, TransactionStatus};
use crate::server::shape::{Fit, Told};
use crate::server::statements::{Looks, Statement, StatementId};
use crate::session::blame::{Blame, End, ServerError};
use crate::session::link::Gate;
use crate::session::machine::{Change, Owed, Request};
use crate::session::naming::NAMING;
use crate::session::replies::Replies;
use crate::session::requests::Requests;
use crate::sql::Effects;

/// What PostgreSQL says (`RevalidateCachedQuery` in `src/backend/utils/cache/plancache.c`).
const REFUSAL: &[u8] = b"SERROR\0VERROR\0C0A000\0Mcached plan must not change result type\0\
    Fplancache.c\0RRevalidateCachedQuery\0\0";

/// What has no columns, or those of a cursor: PostgreSQL must not be asked for those when the cursor may have gone.
const FORMLESS: Effects = NAMING.union(Effects::FETCHES);

impl Requests<'_> {
    /// Whether the copy of a statement that the server has, or would have, is what the client was told. If it is not
    /// known the server has been asked, and the client's Bind must wait. If it is not the client's Bind must fail.
    pub(super) fn fit(
        &mut self,
        name: &[u8],
        statement: &Arc<Statement>,
        out: &mut Gather<'_>,
    ) -> Fit {
        if statement.verdict.effects.intersects(FORMLESS)
            || self.names.is_being_parsed(name)
            || self.link.machine.status() == TransactionStatus::Failed
        {
            return Fit::Fits;
        }
        let statements = &mut self.link.server.statements;
        if statements.take_misfit(statement.id) || statement.shape.is_retired() {
            return self.refuse();
        }
        if statements.name(statement.id).is_some() {
            return self.check(name, statement, out);
        }
        let background = self.background();
        if statement.means_the_same(background.as_ref()) {
            return self.check(name, statement, out);
        }
        let renewed = self.renewed(statement, background.as_ref());
        match statement.shape.fit(&renewed.shape) {
            Fit::Misfits => return self.refuse(),
            Fit::Fits => self.names.adopt(name, &renewed),
            Fit::Unknown if background.is_none() => {
                // It is this client's alone.
                renewed.shape.expect(&statement.shape);
                self.names.adopt(name, &renewed);
            }
            // To be compared when the server has said what it looks like.
            Fit::Unknown => {}
        }
        self.check(name, &renewed, out)
    }

    /// Has the server say what a statement looks like, if it has not.
    fn check(&mut self, name: &[u8], statement: &Statement, out: &mut Gather<'_>) -> Fit {
        let statements = &mut self.link.server.statements;
        let is_unnamed = name.is_empty() && statements.unnamed() == Some(statement.id);
        let known = match statements.name(statement.id) {
            Some((_, Looks::Checked)) => return Fit::Fits,
            _ if is_unnamed => return Fit::Fits,
            Some((known, Looks::Unchecked)) => Some(known),
            None => self.inject(name, statement, out),
        };
        self.link.server.statements.expect_description(name, &statement.shape);
        let asks = Owed::swallow(Request::DescribeStatement);
        self.link.machine.sent(asks.with(Change::Checks(statement.id)));
        let out = out.insert();
        match known {
            Some(known) => frontend::describe(out, Object::Statement, known.text().as_bytes()),
            None => frontend::describe(out, Object::Statement, b""),
        }
        frontend::flush(out);
        self.link.gate = Gate::Shut;
        Fit::Unknown
    }

    /// The Bind will name nothing that the server has; what that is answered with the client is told otherwise.
    fn refuse(&mut self) -> Fit {
        self.link.excuse = Some(REFUSAL.into());
        Fit::Misfits
    }

    /// The client asks what the statement looks like that it calls `name`.
    pub(super) fn expect_description(&mut self, name: &[u8]) -> Option<Change> {
        let statement = self.names.get(name).filter(|statement| !statement.is_sql())?;
        self.link.server.statements.expect_description(name, &statement.shape);
        Some(Change::Describes(statement.id))
    }
}

impl Replies<'_> {
    /// Whether a message says what a prepared statement looks like, to somebody who keeps it in mind.
    pub(super) fn describes(&self, tag: BackendTag) -> bool {
        matches!(tag, BackendTag::PARAMETER_DESCRIPTION | BackendTag::ROW_DESCRIPTION)
            && matches!(
                self.link.machine.change_at_hand(),
                Change::Checks(_) | Change::Describes(_)
            )
    }

    /// An answer to a request that uses a statement of the server's.
    #[inline]
    pub(super) fn on_used(
        &mut self,
        tag: BackendTag,
        body: &[u8],
        (id, at_hand): (StatementId, Change),
    ) {
        if tag == BackendTag::ERROR_RESPONSE && self.seen.is_plan_stale() {
            self.link.server.statements.give_up(id);
        }
        if !matches!(at_hand, Change::Uses(_)) {
            self.on_description(tag, body, (id, at_hand));
        }
    }

    fn on_description(
        &mut self,
        tag: BackendTag,
        body: &[u8],
        (id, at_hand): (StatementId, Change),
    ) {
        let told = match tag {
            BackendTag::PARAMETER_DESCRIPTION => Told::parameters(body),
            BackendTag::NO_DATA | BackendTag::ROW_DESCRIPTION => Told::columns(body),
            _ => return,
        };
        let statements = &mut self.link.server.statements;
        if statements.told(id, told) != Fit::Misfits {
            return;
        }
        if matches!(at_hand, Change::Describes(_)) {
            self.set_apart(told);
            return;
        }
        statements.set_misfit(id);
        if self.from.is_replica() {
            // It may only be late: the primary is asked as after a conflict with changes, if that is possible.
            let code = SqlState::SERIALIZATION_FAILURE;
            let error = ServerError { code, blame: Blame::Replica, end: End::GoesOn };
            self.seen.error.get_or_insert(error);
        } else {
            statements.retire_described();
        }
    }

    /// The client is told something else about a statement than others were: what it has is another one.
    fn set_apart(&mut self, told: Told) {
        let statements = &mut self.link.server.statements;
        statements.retire_described();
        if let Some((name, before, now)) = statements.reshape_described(told)
            && let Some(known) = self.names.get(name)
            && Arc::ptr_eq(&known.shape, &before)
        {
            let statement = Arc::new(known.reshaped(now));
            self.names.adopt(name, &statement);
        }
    }
}
