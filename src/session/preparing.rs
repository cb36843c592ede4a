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
use crate::session::bound;
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
enum Purpose<'a> {
    /// To be run in this portal. What the client sends next follows this position.
    Bind(&'a [u8], usize),
    /// For its parameters and columns.
    Describe,
}

/// What a message that names a prepared statement becomes.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// The name that must stand in it; `None` if it is right as it is.
    pub(super) name: Option<ServerName>,
    pub(super) change: Change,
    /// What it is to the server, if nobody has looked at its copy.
    unseen: Option<Arc<Statement>>,
}

impl Resolved {
    /// The server's unnamed statement.
    fn as_it_is(statement: &Arc<Statement>) -> Self {
        Self { unseen: Some(Arc::clone(statement)), ..Self::default() }
    }

    /// A copy that has a name of ours. What a statement's Describe tells is always worth knowing.
    fn by_name(
        (name, looks): (ServerName, Looks),
        purpose: Purpose<'_>,
        statement: &Arc<Statement>,
    ) -> Self {
        let is_seen = looks != Looks::Unchecked && purpose != Purpose::Describe;
        Self {
            name: Some(name),
            change: Change::Uses(statement.id),
            unseen: (!is_seen).then(|| Arc::clone(statement)),
        }
    }
}

impl Requests<'_> {
    pub(super) fn parse(&mut self, parse: &Parse<'_>, range: (usize, usize), out: &mut Gather<'_>) {
        self.traffic.client_parses.add(1);
        let statement = self.statement(parse);
        let id = statement.id;
        if statement.verdict.effects.contains(Effects::OURS)
            && self.names.get(parse.name).is_none_or(|_| parse.name.is_empty())
        {
            self.parse_ours(parse, statement, out);
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
            self.parse_unnamed(statement, parse, range, out);
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
        self.prepare(parse, Change::PreparesAndNames(id), id, out);
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
        let bytes = parse.query.len() + parse.types.len();
        let name = self.link.server.statements.prepare((id, bytes), self.now);
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
        self.link.server.statements.bind_seen();
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
        let Some(resolved) = self.resolve_bind(&bind, range.1, out) else { return Readiness::Wait };
        match resolved.name {
            None => out.pass(range.0, range.1),
            Some(name) => {
                frontend::bind(out.insert(), bind.portal, name.text().as_bytes(), bind.rest);
            }
        }
        self.link.machine.sent(Owed::forward(Request::Bind).with(resolved.change));
        Readiness::Ready
    }

    /// What a Bind that ends at `end` becomes. Nothing if it has to wait until the server has said what the statement's
    /// columns are.
    pub(super) fn resolve_bind(
        &mut self,
        bind: &Bind<'_>,
        end: usize,
        out: &mut Gather<'_>,
    ) -> Option<Resolved> {
        let statement = self.names.get(bind.statement).map(Arc::clone);
        if let Some(statement) = &statement {
            let verdict = meant(self.names, statement.verdict, &statement.query);
            self.prepare_names(verdict, &statement.query, out);
            self.note(verdict, &statement.query);
            let effects = verdict.effects;
            if effects.intersects(NAMING | Effects::SETS | Effects::TRANSACTION | Effects::DISCARDS)
                || self.decides_channels(effects)
            {
                let changes = bound::changes(statement, bind);
                self.portals.bind(bind.portal, Arc::clone(statement), changes);
            } else {
                self.portals.unbind(bind.portal);
            }
        }
        let wanted = (bind.statement, Purpose::Bind(bind.portal, end));
        let mut resolved = self.resolve(wanted, statement.as_ref(), out)?;
        self.traffic.binds.add(1);
        if let Some(unseen) = resolved.unseen.take() {
            self.look_at(bind, (resolved.name, unseen), out);
        }
        Some(resolved)
    }

    pub(super) fn describe(
        &mut self,
        named: Named<'_>,
        range: (usize, usize),
        out: &mut Gather<'_>,
    ) -> Readiness {
        if self.describe_ours(named.object, named.name) {
            return Readiness::Ready;
        }
        if named.object == Object::Portal {
            let statements = &mut self.link.server.statements;
            let unseen = if named.name.is_empty() { statements.describe_unseen() } else { None };
            let change = unseen.map_or(Change::None, Change::Describes);
            let asks = Owed::forward(Request::DescribePortal).with(change);
            self.link.machine.sent(asks);
            out.pass(range.0, range.1);
            return Readiness::Ready;
        }
        let statement = self.names.get(named.name).map(Arc::clone);
        let wanted = (named.name, Purpose::Describe);
        let Some(resolved) = self.resolve(wanted, statement.as_ref(), out) else {
            return Readiness::Wait;
        };
        let mut change = resolved.change;
        if let Some(statement) = resolved.unseen {
            change = Change::Describes(statement.id);
            let statements = &mut self.link.server.statements;
            statements.expect_description(Object::Statement, named.name, statement);
        }
        match resolved.name {
            None => out.pass(range.0, range.1),
            Some(name) => {
                frontend::describe(out.insert(), Object::Statement, name.text().as_bytes());
            }
        }
        self.link.machine.sent(Owed::forward(Request::DescribeStatement).with(change));
        Readiness::Ready
    }

    /// Sees to it that the server has the statement that the client calls `name`. The name that it has there is none if
    /// the client's own is right, or is to provoke the error that it deserves. Nothing if the message has to wait until the
    /// server has said what the columns are, or whether it has forgotten all names.
    fn resolve(
        &mut self,
        (name, purpose): (&[u8], Purpose<'_>),
        statement: Option<&Arc<Statement>>,
        out: &mut Gather<'_>,
    ) -> Option<Resolved> {
        let Some(statement) = statement else {
            if name.is_empty() && self.link.server.statements.unnamed().is_some() {
                // The server's unnamed statement is somebody else's.
                self.close_unnamed(out);
            }
            if self.awaits_clear() {
                return None;
            }
            self.give_unknown(name, out);
            let known = name.starts_with(OUR_PREFIX).then_some(ServerName::NOBODY);
            return Some(Resolved { name: known, ..Resolved::default() });
        };
        if statement.is_sql() {
            self.give(name, Wants::Statement, out);
            return Some(Resolved::default());
        }
        let statements = &mut self.link.server.statements;
        if name.is_empty() && statements.unnamed() == Some(statement.id) {
            return Some(Resolved::as_it_is(statement));
        }
        let known = statements.name(statement.id);
        if let Purpose::Bind(portal, end) = purpose
            && !known.map_or(Looks::Unchecked, |(_, looks)| looks).suffice(&statement.shape)
            && !Self::learns((portal, end), statement, out)
        {
            match self.fit(name, statement, out) {
                Fit::Fits => {}
                Fit::Misfits => {
                    let (name, change) = (Some(ServerName::NOBODY), Change::Refused);
                    return Some(Resolved { name, change, unseen: None });
                }
                Fit::Unknown => return None,
            }
        }
        if let Some(known) = known {
            return Some(Resolved::by_name(known, purpose, statement));
        }
        let statement = &self.as_understood_now(name, Arc::clone(statement));
        if statement.verdict.effects.intersects(NAMING) {
            self.prepare_names(statement.verdict, &statement.query, out);
        }
        let statements = &mut self.link.server.statements;
        if let Some(known) = statements.name(statement.id) {
            return Some(Resolved::by_name(known, purpose, statement));
        }
        if name.is_empty() && statements.unnamed() == Some(statement.id) {
            return Some(Resolved::as_it_is(statement));
        }
        if self.awaits_outcome() {
            return None;
        }
        Some(match self.inject(name, statement, out) {
            None => Resolved::as_it_is(statement),
            Some(known) => Resolved::by_name((known, Looks::Unchecked), purpose, statement),
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
        let bytes = statement.query.len() + statement.types.len();
        let prepared = statements.prepare((statement.id, bytes), self.now);
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
