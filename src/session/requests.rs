//! Client to server: what a client sends while it has a server.
//!
//! Frames pass as they are, except where a statement's name must become the server's, or where the server need
//! not be asked. Everything that the server will answer is entered into the machine.

use std::sync::Arc;

use crate::clock::Mono;
use crate::net::buffer::Gather;
use crate::protocol::frontend::{self, Bind, Named, Parse};
use crate::protocol::{FrameError, FrontendTag, frame};
use crate::session::backend::Policy;
use crate::session::hub::Hub;
use crate::session::inquiry::Inquiry;
use crate::session::learned::Learned;
use crate::session::link::Link;
use crate::session::listening::{Listening, Readiness};
use crate::session::machine::{Owed, Request};
use crate::session::names::Names;
use crate::session::naming::{NAMING, meant};
use crate::session::ours::Circumstances;
use crate::session::parameters::Parameters;
use crate::session::pins::Pins;
use crate::session::portals::Portals;
use crate::session::sequences::{Use, not_own};
use crate::session::survey::Surveyed;
use crate::session::worker::Worker;
use crate::session::{Replay, Wrote};
use crate::sql::{Effects, LiveCatalog, Tables};
use crate::telemetry::Traffic;

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
    pub(super) sequences: &'a mut Use,
    pub(super) written: &'a mut u64,
    pub(super) asked_about: &'a Learned,
    pub(super) inquiry: &'a mut Inquiry,
    pub(super) wrote: &'a mut Wrote,
    pub(super) tables: &'a mut Tables,
    pub(super) replay: &'a mut Replay,
    pub(super) policy: &'a Policy,
    /// See [`crate::cluster::Cluster::schema`].
    pub(super) schema: u64,
    /// What answers about our parameters depend on.
    pub(super) given: Circumstances<'a>,
    pub(super) now: Mono,
}

/// What became of the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// So many bytes were taken: the frame, or the beginning of one that streams.
    Bytes(usize),
    /// The frame must wait until the hub listens, or, if the gate is shut, the server agrees.
    Wait,
    /// A frame to be ignored, of so many bytes, not all of which need be there.
    Drop(usize),
    /// The frame is not complete.
    Incomplete,
    /// A statement that must be looked at is too long for that.
    TooLong,
    /// The client's prepared statements are more than one client may have.
    TooMuch,
    /// A FunctionCall of `currval` or `lastval` might be told another client's.
    NotOwn,
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
                let parse = Parse::read(body)?;
                if !parse.name.is_empty() && self.awaits_clear() {
                    return Ok(Taken::Wait);
                }
                self.parse(&parse, range, out);
            }
            FrontendTag::BIND => {
                if self.bind(Bind::read(body)?, range, out) == Readiness::Wait {
                    return Ok(Taken::Wait);
                }
            }
            FrontendTag::DESCRIBE => {
                if self.describe(Named::read(body)?, range, out) == Readiness::Wait {
                    return Ok(Taken::Wait);
                }
            }
            FrontendTag::EXECUTE => self.execute(body, range, out),
            FrontendTag::CLOSE => self.close(Named::read(body)?, range, out),
            FrontendTag::TERMINATE => return Ok(Taken::Terminate),
            FrontendTag::SYNC => self.forward(Request::Sync, range, out),
            FrontendTag::FLUSH => out.pass(range.0, range.1),
            FrontendTag::FUNCTION_CALL => {
                if let Some(refused) = self.note_call(body) {
                    return Ok(refused);
                }
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
        if self.names.bytes() > self.policy.limits.prepared_statement_bytes {
            return Ok(Taken::TooMuch);
        }
        Ok(Taken::Bytes(header.size))
    }

    #[inline]
    pub(super) fn forward(
        &mut self,
        request: Request,
        range: (usize, usize),
        out: &mut Gather<'_>,
    ) {
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
            _ => meant(self.names, self.worker.classify(text, self.catalog), text),
        };
        if self.prepare_to_listen(verdict.effects, text) == Readiness::Wait {
            return Readiness::Wait;
        }
        if let Some(fault) = self.forbidden(verdict, text).or_else(|| self.not_here(verdict)) {
            self.query_instead(&fault.sql(), out);
            return Readiness::Ready;
        }
        if self.asks_others(verdict, text) {
            self.query_instead(&not_own().sql(), out);
            return Readiness::Ready;
        }
        if verdict.effects.contains(Effects::OURS) {
            self.query_ours(text, out);
            return Readiness::Ready;
        }
        self.prepare_names(verdict, text, out);
        self.note(verdict, text);
        let change = self.note_settings(verdict, text, None);
        if self.decides_channels(verdict.effects) {
            self.note_channels(text);
        }
        if verdict.effects.intersects(NAMING) {
            self.note_names(verdict, text);
        }
        if !self.reset_by_query((verdict.effects, text), change, out)
            && !self.append_startup((verdict.effects, text), change, out)
        {
            self.link.machine.sent(Owed::forward(Request::Query).with(change));
            out.pass(range.0, range.1);
        }
        Readiness::Ready
    }

    fn execute(&mut self, body: &[u8], range: (usize, usize), out: &mut Gather<'_>) {
        let portal = body.split(|&byte| byte == 0).next().unwrap_or_default();
        if self.execute_ours(portal) {
            return;
        }
        let Some(known) = self.portals.get(portal) else {
            self.forward(Request::Execute, range, out);
            return;
        };
        let (statement, bound) = (Arc::clone(&known.statement), known.changes.clone());
        let verdict = meant(self.names, statement.verdict, &statement.query);
        self.prepare_names(verdict, &statement.query, out);
        if verdict.effects.intersects(NAMING) {
            self.note_names(verdict, &statement.query);
        }
        let effects = statement.verdict.effects;
        if self.decides_channels(effects) {
            self.note_channels(&statement.query);
        }
        let change = self.note_settings(statement.verdict, &statement.query, bound);
        self.link.machine.sent(Owed::forward(Request::Execute).with(change));
        out.pass(range.0, range.1);
        self.restore_in_batch(effects, change, out);
    }
}
