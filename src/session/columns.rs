//! A client that was told what a prepared statement's columns are is never given rows of others.
//!
//! PostgreSQL sees to that for its own copy of a statement (0A000, "cached plan must not change result type"), and
//! drivers that remember columns wait for just that error. A copy that we have made on another server, or made anew,
//! PostgreSQL takes for right whatever it looks like. So before a client that may have been told binds it, the server is
//! asked, once per copy, and the client gets PostgreSQL's error if the answer is another than it was.

use std::sync::Arc;

use crate::net::buffer::Gather;
use crate::protocol::frontend::{self, Bind, Named, Object};
use crate::protocol::{BackendTag, FrontendTag, SqlState, TransactionStatus, frame};
use crate::server::shape::{Fit, Shape, Told};
use crate::server::statements::{Looks, ServerName, Statement, StatementId};
use crate::session::blame::{Blame, End, ServerError};
use crate::session::link::Gate;
use crate::session::machine::{Change, Owed, Request};
use crate::session::naming::NAMING;
use crate::session::replies::Replies;
use crate::session::requests::Requests;
use crate::sql::Effects;

/// What PostgreSQL says (`RevalidateCachedQuery` in `src/backend/utils/cache/plancache.c`).
pub(super) const REFUSAL: &[u8] =
    b"SERROR\0VERROR\0C0A000\0Mcached plan must not change result type\0\
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
        if statements.take_misfit(statement.id) {
            return Fit::Misfits;
        }
        if statements.name(statement.id).is_some() {
            return self.check(name, (statement, &statement.shape), out);
        }
        let background = self.background();
        if statement.means_the_same(background.as_ref()) {
            return self.check(name, (statement, &statement.shape), out);
        }
        let renewed = self.renewed(statement, background.as_ref());
        match statement.shape.fit(&renewed.shape) {
            Fit::Misfits => return Fit::Misfits,
            Fit::Fits => self.names.adopt(name, &renewed),
            Fit::Unknown if background.is_none() => {
                // It is this client's alone.
                renewed.shape.expect(&statement.shape);
                self.names.adopt(name, &renewed);
            }
            // To be compared when the server has said what it looks like.
            Fit::Unknown => {}
        }
        self.check(name, (&renewed, &statement.shape), out)
    }

    /// Has the server say what a statement looks like, if it has not. Parameters are asked for where they are relied on.
    fn check(
        &mut self,
        name: &[u8],
        (statement, relied): (&Arc<Statement>, &Shape),
        out: &mut Gather<'_>,
    ) -> Fit {
        let statements = &mut self.link.server.statements;
        let is_unnamed = name.is_empty() && statements.unnamed() == Some(statement.id);
        let known = match statements.name(statement.id) {
            Some((_, looks)) if looks.suffice(&statement.shape) && looks != Looks::Unchecked => {
                return Fit::Fits;
            }
            _ if is_unnamed => return Fit::Fits,
            Some((known, _)) => Some(known),
            None => self.inject(name, statement, out),
        };
        let tells = relied.tells_parameters() || statement.shape.tells_parameters();
        let object = if tells { Object::Statement } else { Object::Portal };
        let statements = &mut self.link.server.statements;
        statements.expect_description(object, name, Arc::clone(statement));
        self.have_described(known, Change::Checks(statement.id), out);
        frontend::flush(out.insert());
        self.link.gate = Gate::Shut;
        Fit::Unknown
    }

    /// Has the server describe its copy of a statement, `None` for its unnamed one.
    fn have_described(&mut self, copy: Option<ServerName>, change: Change, out: &mut Gather<'_>) {
        self.link.machine.sent(Owed::swallow(Request::DescribeStatement).with(change));
        match copy {
            Some(name) => {
                frontend::describe(out.insert(), Object::Statement, name.text().as_bytes());
            }
            None => frontend::describe(out.insert(), Object::Statement, b""),
        }
    }

    /// Whether the client asks in its next message, which follows `position`, what the columns of this portal are, and
    /// relies on nothing else.
    pub(super) fn learns(
        (portal, position): (&[u8], usize),
        statement: &Statement,
        out: &Gather<'_>,
    ) -> bool {
        let next = out.behind(position);
        if statement.shape.tells_parameters() || next.first() != Some(&FrontendTag::DESCRIBE.0) {
            return false;
        }
        let Ok(Some(header)) = frame::header(next) else { return false };
        let body = next.get(..header.size).map(frontend::body).unwrap_or_default();
        Named::read(body).is_ok_and(|it| it.object == Object::Portal && it.name == portal)
    }

    /// A portal is bound to a copy of a statement that nobody has looked at: if the client asks what its columns are, that
    /// is what it relies on. The unnamed portal is remembered until then, for others the server is asked at once.
    pub(super) fn look_at(
        &mut self,
        bind: &Bind<'_>,
        (copy, statement): (Option<ServerName>, Arc<Statement>),
        out: &mut Gather<'_>,
    ) {
        if statement.verdict.effects.intersects(FORMLESS) {
            return;
        }
        if bind.portal.is_empty() {
            self.link.server.statements.bind_unseen(bind.statement, statement);
        } else {
            let change = Change::Describes(statement.id);
            let statements = &mut self.link.server.statements;
            statements.expect_description(Object::Portal, bind.statement, statement);
            self.have_described(copy, change, out);
        }
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
        let fit = self.link.server.statements.told(id, told);
        match (at_hand, fit) {
            (Change::Checks(_), Fit::Misfits) => self.refuse_described(id),
            (Change::Checks(_), _) => {}
            (_, Fit::Misfits) => {
                self.link.server.statements.reshape_described(told);
                self.adopt_described(told);
            }
            _ => self.adopt_described(told),
        }
    }

    /// When the client has been told all of what the oldest Describe is about, that is what it calls so from now on.
    fn adopt_described(&mut self, told: Told) {
        if matches!(told, Told::Columns(_))
            && let Some((name, statement)) = self.link.server.statements.described()
            && let Some(known) = self.names.get(name)
            && !Arc::ptr_eq(&known.shape, &statement.shape)
            && known.is(&statement.query, &statement.types)
        {
            self.names.adopt(name, statement);
        }
    }

    /// What waits to be bound is not what the client knows.
    fn refuse_described(&mut self, id: StatementId) {
        let statements = &mut self.link.server.statements;
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
}
