//! Prepared statements on their way to a server: names and texts are the client's, and become the server's.

use std::sync::Arc;

use crate::net::buffer::Gather;
use crate::protocol::TransactionStatus;
use crate::protocol::frontend::{self, Bind, Named, Object, Parse};
use crate::server::given::Holds;
use crate::server::shape::Fit;
use crate::server::statements::{
    Background, Looks, Offer, Reuse, ServerName, Statement, StatementId,
};
use crate::session::listening::Readiness;
use crate::session::machine::{Change, Owed, Request};
use crate::session::naming::{NAMING, OUR_PREFIX, meant};
use crate::session::pins::Stains;
use crate::session::requests::Requests;
use crate::session::survey::Surveyed;
use crate::session::{Replay, Wrote};
use crate::sql::Effects;
use crate::sql::prepared::Wants;

/// What a prepared statement is named for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To be run.
    Bind,
    /// For its parameters and columns.
    Describe,
}

impl Requests<'_> {
    pub(super) fn parse(&mut self, parse: Parse<'_>, range: (usize, usize), out: &mut Gather<'_>) {
        self.traffic.client_parses.add(1);
        let statement = self.statement(&parse);
        let id = statement.id;
        if statement.verdict.effects.contains(Effects::OURS)
            && self.names.get(parse.name).is_none_or(|_| parse.name.is_empty())
        {
            self.parse_ours(&parse, statement, out);
            return;
        }
        if let Some(fault) = self.forbidden(statement.verdict, parse.query)
            && (parse.name.is_empty() || self.names.get(parse.name).is_none())
        {
            self.parse_instead(parse.name, &fault.sql(), out);
            return;
        }
        self.prepare_names(statement.verdict, parse.query, out);
        if parse.name.is_empty() {
            self.parse_unnamed(statement, &parse, range, out);
            return;
        }
        if self.names.get(parse.name).is_some() {
            *self.replay = Replay::Off;
            self.provoke_duplicate(parse.name, range, out);
            return;
        }
        self.names.expect(parse.name, Some(statement));
        if self.link.server.statements.is_prepared(id) && !self.link.machine.may_be_failed() {
            self.link.machine.sent(Owed::synthesize(Request::Parse).with(Change::Names));
            return;
        }
        self.prepare(&parse, Change::PreparesAndNames(id), id, out);
    }

    /// Under which circumstances the server parses a text now, if that is known. What has been done to the server or
    /// the catalog since the client has this server may have changed the meaning of texts, for this client at least.
    pub(super) fn background(&self) -> Option<Background> {
        let is_known = self.link.stains.is_empty() && *self.wrote != Wrote::Schema;
        self.parameters.background(self.schema).filter(|_| is_known)
    }

    /// The statement of a Parse.
    fn statement(&mut self, parse: &Parse<'_>) -> Arc<Statement> {
        let is_known = self.link.stains.is_empty() && *self.wrote != Wrote::Schema;
        match std::mem::take(&mut self.surveyed) {
            Surveyed::Parse(known) if is_known && known.is(parse.query, parse.types) => known,
            _ => {
                let background = self.background();
                let known = (self.catalog, background.as_ref());
                self.worker.intern((parse.query, parse.types), known)
            }
        }
    }

    /// A Parse without a name is not passed on if the server has the very statement under a name of ours. If it
    /// comes again and again it is given one.
    fn parse_unnamed(
        &mut self,
        statement: Arc<Statement>,
        parse: &Parse<'_>,
        range: (usize, usize),
        out: &mut Gather<'_>,
    ) {
        let id = statement.id;
        let offer = match (statement.reuse, self.policy.plan_reuse) {
            (Reuse::Allowed, Some(for_long)) if !self.link.machine.may_be_failed() => {
                self.link.server.statements.offer(id, self.now, for_long)
            }
            _ => Offer::New,
        };
        self.names.expect(b"", Some(statement));
        if offer != Offer::New && self.link.server.statements.unnamed() == Some(id) {
            self.close_unnamed(out);
        }
        match offer {
            Offer::Known => {
                self.link.machine.sent(Owed::synthesize(Request::Parse).with(Change::Names));
            }
            Offer::Wanted => self.prepare(parse, Change::PreparesUnnamed(id), id, out),
            Offer::New => {
                self.traffic.server_parses.add(1);
                self.link.server.statements.set_unnamed(Some(id));
                self.link.machine.sent(Owed::forward(Request::Parse).with(Change::Unnamed));
                out.pass(range.0, range.1);
            }
        }
    }

    /// Has the server forget its unnamed statement: it is not what the client is going to mean by that.
    fn close_unnamed(&mut self, out: &mut Gather<'_>) {
        self.link.server.statements.set_unnamed(None);
        self.link.machine.sent(Owed::swallow(Request::Close));
        frontend::close(out.insert(), Object::Statement, b"");
    }

    /// Passes a Parse on under a name of ours.
    pub(super) fn prepare(
        &mut self,
        parse: &Parse<'_>,
        change: Change,
        id: StatementId,
        out: &mut Gather<'_>,
    ) {
        self.traffic.server_parses.add(1);
        let name = self.link.server.statements.prepare(id, self.now);
        self.link.machine.sent(Owed::forward(Request::Parse).with(change));
        frontend::parse(out.insert(), name.text().as_bytes(), parse.query, parse.types);
    }

    /// The client names two statements alike. The server is made to say so (42P05), at the right place and with
    /// the right effect on the transaction: it is given an empty statement of that name first.
    fn provoke_duplicate(&mut self, name: &[u8], range: (usize, usize), out: &mut Gather<'_>) {
        let holds = self.link.server.statements.given.get(name);
        let is_taken = matches!(holds, Holds::Statement(_) | Holds::Something);
        // A failed transaction is what such a Parse meets first.
        if !is_taken && self.link.machine.status() != TransactionStatus::Failed {
            if name.starts_with(OUR_PREFIX) {
                // It may collide with a name of ours.
                self.link.stains |= Stains::SESSION;
            }
            self.take_away(name, out);
            self.give_nothing(name, Change::Given, out);
        }
        self.forward(Request::Parse, range, out);
    }

    pub(super) fn bind(
        &mut self,
        bind: Bind<'_>,
        range: (usize, usize),
        out: &mut Gather<'_>,
    ) -> Readiness {
        if self.bind_ours(&bind, out) || self.bind_instead(&bind, out) {
            return Readiness::Ready;
        }
        if let Some(statement) = self.names.get(bind.statement)
            && statement.verdict.effects.contains(Effects::LISTENS)
        {
            let statement = Arc::clone(statement);
            let effects = statement.verdict.effects;
            if self.prepare_to_listen(effects, &statement.query) == Readiness::Wait {
                return Readiness::Wait;
            }
        }
        let Some((name, change)) = self.resolve_bind(&bind, out) else { return Readiness::Wait };
        match name {
            None => out.pass(range.0, range.1),
            Some(name) => {
                frontend::bind(out.insert(), bind.portal, name.text().as_bytes(), bind.rest);
            }
        }
        self.link.machine.sent(Owed::forward(Request::Bind).with(change));
        Readiness::Ready
    }

    /// What a Bind does, the name that must stand in it (`None` if it is right as it is), and what it changes. Nothing
    /// if it has to wait until the server has said what the statement's columns are.
    pub(super) fn resolve_bind(
        &mut self,
        bind: &Bind<'_>,
        out: &mut Gather<'_>,
    ) -> Option<(Option<ServerName>, Change)> {
        let statement = self.names.get(bind.statement).map(Arc::clone);
        if let Some(statement) = &statement {
            let verdict = meant(self.names, statement.verdict, &statement.query);
            self.prepare_names(verdict, &statement.query, out);
            self.note(verdict, &statement.query);
            let effects = verdict.effects;
            if effects.intersects(NAMING | Effects::SETS | Effects::TRANSACTION | Effects::DISCARDS)
                || self.decides_channels(effects)
            {
                self.portals.bind(bind.portal, Arc::clone(statement));
            } else {
                self.portals.unbind(bind.portal);
            }
        }
        let resolved = self.resolve((bind.statement, Purpose::Bind), statement.as_ref(), out)?;
        self.traffic.binds.add(1);
        Some(resolved)
    }

    pub(super) fn describe(
        &mut self,
        named: Named<'_>,
        range: (usize, usize),
        out: &mut Gather<'_>,
    ) {
        if self.describe_ours(named.object, named.name) {
            return;
        }
        if named.object == Object::Portal {
            self.forward(Request::DescribePortal, range, out);
            return;
        }
        let statement = self.names.get(named.name).map(Arc::clone);
        let wanted = (named.name, Purpose::Describe);
        let Some((name, change)) = self.resolve(wanted, statement.as_ref(), out) else { return };
        let change = self.expect_description(named.name).unwrap_or(change);
        match name {
            None => out.pass(range.0, range.1),
            Some(name) => {
                frontend::describe(out.insert(), Object::Statement, name.text().as_bytes());
            }
        }
        self.link.machine.sent(Owed::forward(Request::DescribeStatement).with(change));
    }

    /// Sees to it that the server has the statement that the client calls `name`, and returns the name under
    /// which it does; `None` if the client's own name is right, or is to provoke the error that it deserves. With it what
    /// a request that names it changes. Nothing if a Bind has to wait until the server has said what the columns are.
    fn resolve(
        &mut self,
        (name, purpose): (&[u8], Purpose),
        statement: Option<&Arc<Statement>>,
        out: &mut Gather<'_>,
    ) -> Option<(Option<ServerName>, Change)> {
        let Some(statement) = statement else {
            if name.is_empty() && self.link.server.statements.unnamed().is_some() {
                // The server's unnamed statement is somebody else's.
                self.close_unnamed(out);
            }
            self.give_unknown(name, out);
            let known = name.starts_with(OUR_PREFIX).then_some(ServerName::NOBODY);
            return Some((known, Change::None));
        };
        if statement.is_sql() {
            self.give(name, Wants::Statement, out);
            return Some((None, Change::None));
        }
        let statements = &mut self.link.server.statements;
        if name.is_empty() && statements.unnamed() == Some(statement.id) {
            return Some((None, Change::None));
        }
        let known = statements.name(statement.id);
        if !matches!(known, Some((_, Looks::Checked)))
            && purpose == Purpose::Bind
            && statement.shape.is_known()
        {
            match self.fit(name, statement, out) {
                Fit::Fits => {}
                Fit::Misfits => return Some((Some(ServerName::NOBODY), Change::None)),
                Fit::Unknown => return None,
            }
        }
        if let Some((known, _)) = known {
            return Some((Some(known), Change::Uses(statement.id)));
        }
        let statement = &self.as_understood_now(name, Arc::clone(statement));
        if statement.verdict.effects.intersects(NAMING) {
            self.prepare_names(statement.verdict, &statement.query, out);
        }
        let statements = &mut self.link.server.statements;
        if let Some((known, _)) = statements.name(statement.id) {
            return Some((Some(known), Change::Uses(statement.id)));
        }
        if name.is_empty() && statements.unnamed() == Some(statement.id) {
            return Some((None, Change::None));
        }
        Some(match self.inject(name, statement, out) {
            None => (None, Change::None),
            prepared => (prepared, Change::Uses(statement.id)),
        })
    }

    /// Has the server parse what the client calls `name`. Returns its name there, if it has one.
    pub(super) fn inject(
        &mut self,
        name: &[u8],
        statement: &Statement,
        out: &mut Gather<'_>,
    ) -> Option<ServerName> {
        self.traffic.server_parses.add(1);
        let statements = &mut self.link.server.statements;
        if name.is_empty() {
            statements.set_unnamed(Some(statement.id));
            self.link.machine.sent(Owed::swallow(Request::Parse));
            frontend::parse(out.insert(), b"", &statement.query, &statement.types);
            return None;
        }
        let prepared = statements.prepare(statement.id, self.now);
        let change = Change::Prepares(statement.id);
        self.link.machine.sent(Owed::swallow(Request::Parse).with(change));
        let text = prepared.text();
        frontend::parse(out.insert(), text.as_bytes(), &statement.query, &statement.types);
        Some(prepared)
    }

    pub(super) fn close(&mut self, named: Named<'_>, range: (usize, usize), out: &mut Gather<'_>) {
        if named.object == Object::Portal {
            self.portals.unbind(named.name);
            self.forward(Request::Close, range, out);
            return;
        }
        // The client may see this answer before the server has said anything.
        *self.replay = Replay::Off;
        // The statement itself stays on the server: another client may use it.
        self.names.expect(named.name, None);
        self.link.machine.sent(Owed::synthesize(Request::Close).with(Change::Names));
    }
}
