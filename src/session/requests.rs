//! Client to server: what a client sends while it has a server.
//!
//! Frames pass as they are, except where a statement's name must become the server's, or where the server need
//! not be asked. Everything that the server will answer is entered into the machine.

use std::sync::Arc;

use crate::net::buffer::Gather;
use crate::protocol::frontend::{self, Bind, Named, Object, Parse};
use crate::protocol::{FrameError, FrontendTag, TransactionStatus, frame};
use crate::server::statements::{ServerName, Statement};
use crate::session::hub::Hub;
use crate::session::link::Link;
use crate::session::listening::{Listening, Readiness};
use crate::session::machine::{Change, Owed, Request};
use crate::session::names::Names;
use crate::session::parameters::Parameters;
use crate::session::pins::{Pins, Stains};
use crate::session::portals::Portals;
use crate::session::survey::{Command, Surveyed, command};
use crate::session::worker::Worker;
use crate::session::{Replay, Wrote};
use crate::sql::{Effects, LiveCatalog, Verdict, settings};
use crate::telemetry::Traffic;

/// Statement names that a client must not use as they are: they might be ours on the server.
const OUR_PREFIX: &[u8] = b"pgl_";

/// Everything that a frame from the client may change.
#[derive(Debug)]
pub(super) struct Requests<'a> {
    /// What is known of the next frame.
    pub(super) surveyed: Surveyed,
    pub(super) worker: &'a Worker,
    pub(super) catalog: &'a LiveCatalog,
    pub(super) traffic: &'a Traffic,
    pub(super) link: &'a mut Link,
    pub(super) names: &'a mut Names,
    pub(super) parameters: &'a mut Parameters,
    pub(super) listening: &'a mut Option<Box<Listening>>,
    pub(super) hub: &'a Arc<Hub>,
    pub(super) portals: &'a mut Portals,
    pub(super) pins: &'a mut Pins,
    pub(super) wrote: &'a mut Wrote,
    pub(super) replay: &'a mut Replay,
    pub(super) inspect_limit: usize,
    pub(super) statement_bytes: usize,
    pub(super) notification_bytes: usize,
}

/// What became of the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// So many bytes were taken: the frame, or the beginning of one that streams.
    Bytes(usize),
    /// The frame must wait until the hub listens.
    Wait,
    /// A frame to be ignored, of so many bytes, not all of which need be there.
    Drop(usize),
    /// The frame is not complete.
    Incomplete,
    /// A statement that must be looked at is too long for that.
    TooLong,
    /// The client's prepared statements are more than one client may have.
    TooMuch,
    /// The client leaves.
    Terminate,
}

impl Requests<'_> {
    /// Takes the frame at `start` of `bytes`.
    ///
    /// # Errors
    ///
    /// It is not a frame that a client may send.
    #[inline]
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        start: usize,
        out: &mut Gather<'_>,
    ) -> Result<Taken, FrameError> {
        let rest = bytes.get(start..).unwrap_or_default();
        if self.link.passing.to_server > 0 {
            return Ok(self.pass_on(start, rest.len(), out));
        }
        let Some(header) = frame::header(rest)? else {
            return Ok(Taken::Incomplete);
        };
        let tag = FrontendTag(header.tag);
        if self.link.machine.is_skipping()
            && !matches!(tag, FrontendTag::SYNC | FrontendTag::TERMINATE)
        {
            // As the server would: what never reaches it changes nothing here either.
            return Ok(Taken::Drop(header.size));
        }
        let Some(frame) = rest.get(..header.size) else {
            return self.take_partly(tag, header.size, (start, rest), out);
        };
        let body = frontend::body(frame);
        let range = (start, start + header.size);
        match tag {
            FrontendTag::QUERY => {
                if self.query(self.known_text(body)?, range, out) == Readiness::Wait {
                    return Ok(Taken::Wait);
                }
            }
            FrontendTag::PARSE => {
                self.parse(Parse::read(body)?, range, out);
                if self.names.bytes() > self.statement_bytes {
                    return Ok(Taken::TooMuch);
                }
            }
            FrontendTag::BIND => {
                if self.bind(Bind::read(body)?, range, out) == Readiness::Wait {
                    return Ok(Taken::Wait);
                }
            }
            FrontendTag::DESCRIBE => self.describe(Named::read(body)?, range, out),
            FrontendTag::EXECUTE => self.execute(body, range, out),
            FrontendTag::CLOSE => self.close(Named::read(body)?, range, out),
            FrontendTag::TERMINATE => return Ok(Taken::Terminate),
            FrontendTag::SYNC => self.forward(Request::Sync, range, out),
            FrontendTag::FLUSH => out.pass(range.0, range.1),
            FrontendTag::FUNCTION_CALL => {
                *self.wrote = Wrote::Maybe;
                self.forward(Request::FunctionCall, range, out);
            }
            FrontendTag::COPY_DATA => {
                if !self.link.machine.takes_copy_data() {
                    return Ok(Taken::Drop(header.size));
                }
                out.pass(range.0, range.1);
            }
            FrontendTag::COPY_DONE | FrontendTag::COPY_FAIL => {
                if !self.link.machine.takes_copy_data() {
                    return Ok(Taken::Drop(header.size));
                }
                self.forward(Request::CopyEnd, range, out);
            }
            _ => return Err(FrameError::Format),
        }
        Ok(Taken::Bytes(header.size))
    }

    #[inline]
    fn forward(&mut self, request: Request, range: (usize, usize), out: &mut Gather<'_>) {
        self.link.machine.sent(Owed::forward(request));
        out.pass(range.0, range.1);
    }

    /// The text of a Query, which the survey may have read already.
    #[inline]
    fn known_text<'b>(&self, body: &'b [u8]) -> Result<&'b [u8], FrameError> {
        match (&self.surveyed, body) {
            (Surveyed::Query(len, _), [text @ .., 0]) if *len == text.len() => Ok(text),
            _ => frontend::query_text(body),
        }
    }

    #[inline]
    fn query(&mut self, text: &[u8], range: (usize, usize), out: &mut Gather<'_>) -> Readiness {
        self.link.server.statements.set_unnamed(None);
        self.names.forget_unnamed();
        let verdict = match std::mem::take(&mut self.surveyed) {
            Surveyed::Query(len, verdict) if len == text.len() => verdict,
            _ => self.worker.classify(text, self.catalog),
        };
        if verdict.effects.contains(Effects::DEALLOCATES) && self.deallocate(verdict, text) {
            return Readiness::Ready;
        }
        if self.prepare_to_listen(verdict.effects, text) == Readiness::Wait {
            return Readiness::Wait;
        }
        self.note(verdict);
        let change = self.note_settings(verdict, text);
        if self.decides_channels(verdict.effects) {
            self.note_channels(text);
        }
        self.link.machine.sent(Owed::forward(Request::Query).with(change));
        out.pass(range.0, range.1);
        Readiness::Ready
    }

    /// DEALLOCATE of a statement that the client has prepared by the protocol: the server does not know it by
    /// that name. In a failed transaction the server refuses it, and statements of SQL's PREPARE are its own.
    fn deallocate(&mut self, verdict: Verdict, text: &[u8]) -> bool {
        if self.link.machine.status() == TransactionStatus::Failed
            || self.pins.contains(Pins::PREPARED)
        {
            return false;
        }
        let Some(Command::Deallocate(name)) = command(verdict.effects, text) else { return false };
        if self.names.get(name.as_bytes()).is_none() {
            return false;
        }
        *self.replay = Replay::Off;
        self.names.expect(name.as_bytes(), None);
        self.link.machine.sent(Owed::synthesize(Request::Deallocate).with(Change::Names));
        true
    }

    fn parse(&mut self, parse: Parse<'_>, range: (usize, usize), out: &mut Gather<'_>) {
        self.traffic.client_parses.add(1);
        let statement = match std::mem::take(&mut self.surveyed) {
            Surveyed::Parse(known) if known.is(parse.query, parse.types) => known,
            _ => self.worker.intern(parse.query, parse.types, self.catalog),
        };
        let id = statement.id;
        if parse.name.is_empty() {
            self.traffic.server_parses.add(1);
            self.names.expect(b"", Some(statement));
            self.link.server.statements.set_unnamed(Some(id));
            self.link.machine.sent(Owed::forward(Request::Parse).with(Change::Unnamed));
            out.pass(range.0, range.1);
            return;
        }
        if self.names.get(parse.name).is_some() {
            *self.replay = Replay::Off;
            self.provoke_duplicate(parse.name, range, out);
            return;
        }
        self.names.expect(parse.name, Some(statement));
        if self.link.server.statements.name(id).is_some() {
            self.link.machine.sent(Owed::synthesize(Request::Parse).with(Change::Names));
            return;
        }
        self.traffic.server_parses.add(1);
        let name = self.link.server.statements.prepare(id);
        let change = Change::PreparesAndNames(id);
        self.link.machine.sent(Owed::forward(Request::Parse).with(change));
        frontend::parse(out.insert(), name.text().as_bytes(), parse.query, parse.types);
    }

    /// The client names two statements alike. The server is made to say so (42P05), at the right place and with
    /// the right effect on the transaction: it is given an empty statement of that name first.
    fn provoke_duplicate(&mut self, name: &[u8], range: (usize, usize), out: &mut Gather<'_>) {
        self.link.stains |= Stains::SESSION;
        self.link.machine.sent(Owed::swallow(Request::Parse));
        frontend::parse(out.insert(), name, b"", &[0, 0]);
        self.forward(Request::Parse, range, out);
    }

    fn bind(&mut self, bind: Bind<'_>, range: (usize, usize), out: &mut Gather<'_>) -> Readiness {
        if let Some(statement) = self.names.get(bind.statement)
            && statement.verdict.effects.contains(Effects::LISTENS)
        {
            let statement = Arc::clone(statement);
            let effects = statement.verdict.effects;
            if self.prepare_to_listen(effects, &statement.query) == Readiness::Wait {
                return Readiness::Wait;
            }
        }
        match self.resolve_bind(&bind, out) {
            None => out.pass(range.0, range.1),
            Some(name) => {
                frontend::bind(out.insert(), bind.portal, name.text().as_bytes(), bind.rest);
            }
        }
        self.link.machine.sent(Owed::forward(Request::Bind));
        Readiness::Ready
    }

    /// What a Bind does, and the name that must stand in it; `None` if it is right as it is.
    pub(super) fn resolve_bind(
        &mut self,
        bind: &Bind<'_>,
        out: &mut Gather<'_>,
    ) -> Option<ServerName> {
        self.traffic.binds.add(1);
        let statement = self.names.get(bind.statement).map(Arc::clone);
        if let Some(statement) = &statement {
            self.note(statement.verdict);
            let effects = statement.verdict.effects;
            if effects.contains(Effects::SETS) || self.decides_channels(effects) {
                self.portals.bind(bind.portal, Arc::clone(statement));
            } else {
                self.portals.unbind(bind.portal);
            }
        }
        self.resolve(bind.statement, statement.as_ref(), out)
    }

    fn describe(&mut self, named: Named<'_>, range: (usize, usize), out: &mut Gather<'_>) {
        if named.object == Object::Portal {
            self.forward(Request::DescribePortal, range, out);
            return;
        }
        let statement = self.names.get(named.name).map(Arc::clone);
        match self.resolve(named.name, statement.as_ref(), out) {
            None => out.pass(range.0, range.1),
            Some(name) => {
                frontend::describe(out.insert(), Object::Statement, name.text().as_bytes());
            }
        }
        self.link.machine.sent(Owed::forward(Request::DescribeStatement));
    }

    /// Sees to it that the server has the statement that the client calls `name`, and returns the name under
    /// which it does; `None` if the client's own name is right, or is to provoke the error that it deserves.
    fn resolve(
        &mut self,
        name: &[u8],
        statement: Option<&Arc<Statement>>,
        out: &mut Gather<'_>,
    ) -> Option<ServerName> {
        let statements = &mut self.link.server.statements;
        let Some(statement) = statement else {
            if name.is_empty() && statements.unnamed().is_some() {
                // The server's unnamed statement is somebody else's.
                statements.set_unnamed(None);
                self.link.machine.sent(Owed::swallow(Request::Close));
                frontend::close(out.insert(), Object::Statement, b"");
            }
            return name.starts_with(OUR_PREFIX).then_some(ServerName::NOBODY);
        };
        if name.is_empty() && statements.unnamed() == Some(statement.id) {
            return None;
        }
        if let Some(known) = statements.name(statement.id) {
            return Some(known);
        }
        self.traffic.server_parses.add(1);
        if name.is_empty() {
            statements.set_unnamed(Some(statement.id));
            self.link.machine.sent(Owed::swallow(Request::Parse));
            frontend::parse(out.insert(), b"", &statement.query, &statement.types);
            return None;
        }
        let prepared = statements.prepare(statement.id);
        let change = Change::Prepares(statement.id);
        self.link.machine.sent(Owed::swallow(Request::Parse).with(change));
        let text = prepared.text();
        frontend::parse(out.insert(), text.as_bytes(), &statement.query, &statement.types);
        Some(prepared)
    }

    fn execute(&mut self, body: &[u8], range: (usize, usize), out: &mut Gather<'_>) {
        let portal = body.split(|&byte| byte == 0).next().unwrap_or_default();
        let change = match self.portals.get(portal).map(Arc::clone) {
            None => Change::None,
            Some(statement) => {
                if self.decides_channels(statement.verdict.effects) {
                    self.note_channels(&statement.query);
                }
                self.note_settings(statement.verdict, &statement.query)
            }
        };
        self.link.machine.sent(Owed::forward(Request::Execute).with(change));
        out.pass(range.0, range.1);
    }

    fn close(&mut self, named: Named<'_>, range: (usize, usize), out: &mut Gather<'_>) {
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

    /// Notes what a statement leaves behind.
    #[inline]
    fn note(&mut self, verdict: Verdict) {
        let effects = verdict.effects;
        if effects.is_empty() {
            return;
        }
        if effects.contains(Effects::WRITES) {
            *self.wrote = Wrote::Maybe;
        }
        if effects.contains(Effects::NOTIFIES)
            && let Some(listening) = self.listening
        {
            listening.speak();
        }
        *self.pins |= Pins::of(effects);
        self.link.stains |= Stains::of(verdict);
    }

    /// Notes that a text that changes parameters is on its way.
    #[inline]
    fn note_settings(&mut self, verdict: Verdict, text: &[u8]) -> Change {
        if !verdict.effects.contains(Effects::SETS) {
            return Change::None;
        }
        if let Some(changes) = settings::changes(text) {
            self.parameters.expect(changes);
            return Change::Session;
        }
        *self.pins |= Pins::PARAMETERS;
        self.link.stains |= Stains::SESSION;
        Change::None
    }
}
