//! Messages about our parameters from a client that has a server.

use std::sync::Arc;

use crate::net::buffer::Gather;
use crate::protocol::frontend::{self, Bind, Object, Parse};
use crate::protocol::{SqlState, TransactionStatus};
use crate::server::statements::Statement;
use crate::session::bound;
use crate::session::machine::{Change, Owed, Request};
use crate::session::ours::{
    Answer, Ask, Circumstances, Fault, ask, checked, meant_for_primary, names_ours, not_on_replica,
};
use crate::session::pins::Pins;
use crate::session::requests::Requests;
use crate::session::sequences::not_own;
use crate::sql::settings;
use crate::sql::{Effects, Verdict};

/// Formats and values of a Bind without any.
pub(in crate::session) const NO_VALUES: &[u8] = &[0; 6];

/// Parameter types of a Parse without any.
pub(in crate::session) const NO_TYPES: &[u8] = &[0, 0];

impl Requests<'_> {
    fn ask(&self, text: &[u8]) -> Ask {
        let commits = self.parameters.commits(self.given.cluster.flushing());
        let given = Circumstances { commits, ..self.given };
        ask(text, &given)
    }

    /// Why a statement would tie its client to the replica that it has, if so: that may be somebody else's the next moment.
    #[inline]
    pub(in crate::session) fn tied(&self, verdict: Verdict) -> Option<Fault> {
        let ties = self.given.side.is_replica() && !Pins::of(verdict.effects).is_empty();
        ties.then(not_on_replica)
    }

    /// Why a statement must not be run on the replica that the client has, if so: it would tie its client to that, or do
    /// there what was meant for the primary.
    #[inline]
    pub(in crate::session) fn not_here(&self, verdict: Verdict) -> Option<Fault> {
        let acts = self.given.side.is_replica() && verdict.effects.contains(Effects::ACTS);
        self.tied(verdict).or_else(|| acts.then(meant_for_primary))
    }

    /// Has the server run `sql` in the place of a Query.
    pub(in crate::session) fn query_instead(&mut self, sql: &[u8], out: &mut Gather<'_>) {
        self.note(self.worker.classify(sql, self.catalog), sql);
        self.link.machine.sent(Owed::forward(Request::Query));
        frontend::query(out.insert(), sql);
    }

    /// Has the server parse `sql` in the place of what the client calls `name`.
    pub(in crate::session) fn parse_instead(
        &mut self,
        name: &[u8],
        sql: &[u8],
        out: &mut Gather<'_>,
    ) {
        let statement = self.worker.intern((sql, NO_TYPES), (self.catalog, None));
        let id = statement.id;
        self.names.expect(name, Some(statement));
        if name.is_empty() {
            self.traffic.server_parses.add(1);
            self.link.server.statements.set_unnamed(Some(id));
            self.link.machine.sent(Owed::forward(Request::Parse).with(Change::Unnamed));
            frontend::parse(out.insert(), b"", sql, NO_TYPES);
        } else {
            let parse = Parse { name, query: sql, types: NO_TYPES };
            self.prepare(&parse, Change::PreparesAndNames(id), id, out);
        }
    }

    /// A Bind of a statement that may not run here: what is bound in its place fails when it is executed. Returns
    /// whether it was one.
    pub(in crate::session) fn bind_instead(
        &mut self,
        bind: &Bind<'_>,
        out: &mut Gather<'_>,
    ) -> bool {
        let Some(statement) = self.names.get(bind.statement) else { return false };
        let fault = if let Some(fault) = self.not_here(statement.verdict) {
            fault
        } else if self.asks_others(statement.verdict, &statement.query) {
            not_own()
        } else if bound::changes(statement, bind).is_some_and(|changes| names_ours(&changes)) {
            Fault {
                code: SqlState::FEATURE_NOT_SUPPORTED,
                message: "a parameter of pgLagoon cannot be named by a bound value".to_owned(),
                hint: "Write its name into the statement: set_config('pglagoon.consistency', $1, false).",
            }
        } else {
            return false;
        };
        self.bind_fault(&fault, bind.portal, out);
        true
    }

    /// Binds a portal to what fails when it is executed.
    fn bind_fault(&mut self, fault: &Fault, portal: &[u8], out: &mut Gather<'_>) {
        self.link.server.statements.set_unnamed(None);
        self.link.machine.sent(Owed::swallow(Request::Parse));
        frontend::parse(out.insert(), b"", &fault.sql(), NO_TYPES);
        self.portals.unbind(portal);
        self.link.machine.sent(Owed::forward(Request::Bind));
        frontend::bind(out.insert(), portal, b"", NO_VALUES);
    }

    /// A Query.
    pub(in crate::session) fn query_ours(&mut self, text: &[u8], out: &mut Gather<'_>) {
        match self.ask(text).of_query(text).into_server(self.link.machine.status()) {
            Ok(sql) => self.query_instead(&sql, out),
            Err((changes, answer)) => {
                self.parameters.owe(changes, answer);
                self.link.machine.sent(Owed::synthesize(Request::Ours));
            }
        }
    }

    /// A Parse under a name that is free.
    pub(in crate::session) fn parse_ours(
        &mut self,
        parse: &Parse<'_>,
        statement: Arc<Statement>,
        out: &mut Gather<'_>,
    ) {
        if let Ok(sql) = self.ask(parse.query).into_server(self.link.machine.status()) {
            self.parse_instead(parse.name, &sql, out);
        } else {
            self.names.expect(parse.name, Some(statement));
            self.link.machine.sent(Owed::synthesize(Request::Parse).with(Change::Names));
        }
    }

    /// A Bind of a statement of ours. Returns whether it was one.
    pub(in crate::session) fn bind_ours(&mut self, bind: &Bind<'_>, out: &mut Gather<'_>) -> bool {
        let known = self.names.get(bind.statement).filter(|statement| is_ours(statement));
        let Some(statement) = known.map(Arc::clone) else { return false };
        let changes = match self.bound_ours(&statement, bind) {
            Ok(changes) => changes,
            Err(fault) => {
                self.bind_fault(&fault, bind.portal, out);
                return true;
            }
        };
        if self.link.machine.status() == TransactionStatus::Failed {
            // The server is to refuse it, as it refuses every command now.
            self.link.server.statements.set_unnamed(None);
            self.link.machine.sent(Owed::swallow(Request::Parse));
            frontend::parse(out.insert(), b"", b"SELECT 1", NO_TYPES);
        }
        self.portals.bind(bind.portal, statement, changes);
        self.link.machine.sent(Owed::synthesize(Request::Bind));
        true
    }

    /// What a statement of ours changes with the values of a Bind, checked; nothing if it takes no values.
    fn bound_ours(
        &self,
        statement: &Statement,
        bind: &Bind<'_>,
    ) -> Result<Option<Vec<settings::Change>>, Fault> {
        let changes = match self.ask(&statement.query) {
            Ask::Ours(changes, _) if settings::parameters(&changes) > 0 => changes,
            _ => return Ok(None),
        };
        let bound = bound::bind_all(changes, &statement.types, bind.rest);
        let is_known =
            |changes: &Vec<settings::Change>| changes.iter().all(settings::Change::is_seen);
        let Some(bound) = bound.filter(is_known) else {
            return Err(Fault {
                code: SqlState::PROTOCOL_VIOLATION,
                message: "the values of pgLagoon's parameters must be bound as text".to_owned(),
                hint: "",
            });
        };
        checked(bound, self.given.cluster).map(Some)
    }

    /// A Describe of a statement or portal of ours. Returns whether it was one.
    pub(in crate::session) fn describe_ours(&mut self, object: Object, name: &[u8]) -> bool {
        let (known, request) = match object {
            Object::Statement => (self.names.get(name), Request::DescribeStatement),
            Object::Portal => {
                (self.portals.get(name).map(|portal| &portal.statement), Request::DescribePortal)
            }
        };
        let Some(statement) = known.filter(|known| is_ours(known)) else { return false };
        let (count, answer) = match self.ask(&statement.query) {
            Ask::Ours(changes, answer) => (settings::parameters(&changes), answer),
            Ask::Fault(_) | Ask::Server(_) => (0, Answer::Command(b"SET")),
        };
        let count = (object == Object::Statement).then_some(count);
        self.parameters.owe(Vec::new(), Answer::Description(count, Box::new(answer)));
        self.link.machine.sent(Owed::synthesize(request));
        true
    }

    /// An Execute of a portal of ours. Returns whether it was one.
    pub(in crate::session) fn execute_ours(&mut self, portal: &[u8]) -> bool {
        let known = self.portals.get(portal).filter(|known| is_ours(&known.statement));
        let Some(known) = known else { return false };
        let query = &known.statement.query;
        match (known.changes.clone(), self.ask(query)) {
            (Some(changes), _) => {
                let answer = Answer::to(query, &changes);
                self.parameters.owe(changes, answer);
            }
            (None, Ask::Ours(changes, answer)) => self.parameters.owe(changes, answer),
            // It was well when it was parsed.
            (None, Ask::Fault(_) | Ask::Server(_)) => {
                self.parameters.owe(Vec::new(), Answer::Command(b"SET"));
            }
        }
        self.link.machine.sent(Owed::synthesize(Request::Execute));
        true
    }
}

fn is_ours(statement: &Statement) -> bool {
    statement.verdict.effects.contains(Effects::OURS)
}
