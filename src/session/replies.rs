//! Server to client: what a server answers.

use crate::net::buffer::Gather;
use crate::protocol::{
    BackendTag, ErrorFields, SqlState, TransactionStatus, backend, frame, frontend,
};
use crate::server::settings::same;
use crate::session::blame::{Blame, End, ServerError, blame};
use crate::session::books::Books;
use crate::session::fitting::is_overruled;
use crate::session::held::Held;
use crate::session::hub::listener::channel;
use crate::session::inquiry::Inquiry;
use crate::session::link::Link;
use crate::session::listening::Listening;
use crate::session::machine::{Change, Machine, OnBackend, Violation};
use crate::session::names::Names;
use crate::session::parameters::{Outcome, Parameters};
use crate::session::pins::{Pins, Stains};
use crate::session::sequences::Use;
use crate::session::succession::Side;

/// Everything that a server's answer may change.
#[derive(Debug)]
pub(super) struct Replies<'a> {
    pub(super) link: &'a mut Link,
    pub(super) names: &'a mut Names,
    pub(super) parameters: &'a mut Parameters,
    pub(super) listening: &'a mut Option<Box<Listening>>,
    pub(super) pins: &'a mut Pins,
    pub(super) sequences: &'a mut Use,
    pub(super) inquiry: &'a mut Inquiry,
    /// The server's node: of a replica's farewell the client is told nothing, nor of a primary's that has answered
    /// everything.
    pub(super) from: Side,
    /// Of a transaction that is held back its server knows nothing.
    pub(super) held: Held,
    /// What has been seen, for the session to act upon.
    pub(super) seen: Seen,
}

/// What a pass over a server's bytes came across.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// ReadyForQuery messages that the client is shown.
    pub(super) ready: u32,
    /// The first error, if there was one.
    pub(super) error: Option<ServerError>,
    /// How many there were.
    pub(super) errors: u64,
    /// Whether the server has warned that it is about to close the connection.
    pub(super) is_leaving: bool,
    /// What became of the settings that the session brought with it.
    pub(super) settings: Carried,
}

/// Whether a server took the settings that a session brought with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Carried {
    /// It did, or there were none.
    #[default]
    Over,
    /// It did not: nothing more must run there for this session.
    Refused,
}

impl Seen {
    /// Whether what failed was a plan that the server keeps.
    pub(super) fn is_plan_stale(&self) -> bool {
        self.error.is_some_and(|error| error.blame == Blame::Plan)
    }

    /// What might have answered otherwise than the replica that has failed; [`Blame::Statement`] if nothing.
    pub(super) fn blame(&self) -> Blame {
        if self.is_leaving {
            return Blame::Node;
        }
        self.error.map_or(Blame::Statement, |error| error.blame)
    }
}

impl Replies<'_> {
    /// Goes over what has come from the server; what the client is to see goes to `out`. Returns how many bytes
    /// were used: the rest is an incomplete frame that must be complete.
    ///
    /// # Errors
    ///
    /// The server is out of step.
    pub(super) fn take(&mut self, bytes: &[u8], out: &mut Gather<'_>) -> Result<usize, Violation> {
        let mut position = 0;
        while position < bytes.len() {
            if self.link.passing.from_server > 0 {
                position += self.pass_on(position, bytes.len() - position, out);
                continue;
            }
            let rest = bytes.get(position..).unwrap_or_default();
            let header = match frame::header(rest) {
                Ok(Some(header)) => header,
                Ok(None) => break,
                Err(_) => {
                    let tag = BackendTag(rest.first().copied().unwrap_or(0));
                    return Err(Violation::Malformed(tag));
                }
            };
            let tag = BackendTag(header.tag);
            let frame = rest.get(..header.size);
            if frame.is_none()
                && (self.describes(tag)
                    || (must_be_whole(tag) || self.inquiry.is_asked())
                        && header.size <= crate::net::buffer::SCRATCH_LEN)
            {
                break;
            }
            let body = frame.map(frontend::body).unwrap_or_default();
            let available = header.size.min(rest.len());
            if position == 0 {
                // What is due before the first answer. Not sooner: if that is an error, the batch may run again.
                self.drain(out);
            }
            if tag == BackendTag::DATA_ROW && frame.is_some() && self.passes_rows() {
                let end = backend::end_of_rows(bytes, position);
                out.pass(position, end);
                position = end;
                continue;
            }
            let mut shown = self.message(tag, body, out)?;
            if tag == BackendTag::READY_FOR_QUERY
                && shown == OnBackend::Forward
                && self.held.is_open()
            {
                if self.seen.error.is_some() {
                    self.held.fail();
                }
                backend::ready_for_query(out.insert(), self.held.status());
                shown = OnBackend::Swallow;
            }
            if shown == OnBackend::Forward {
                out.pass(position, position + available);
            }
            self.link.passing.from_server = header.size - available;
            self.link.passing.shown = shown;
            position += available;
            self.drain(out);
        }
        Ok(position)
    }

    /// Whether rows go to the client as they are.
    #[inline]
    fn passes_rows(&self) -> bool {
        !self.inquiry.is_asked() && self.link.machine.passes_rows()
    }

    fn pass_on(&mut self, position: usize, available: usize, out: &mut Gather<'_>) -> usize {
        let count = available.min(self.link.passing.from_server);
        if self.link.passing.shown == OnBackend::Forward {
            out.pass(position, position + count);
        }
        self.link.passing.from_server -= count;
        count
    }

    /// Shows one message to the machine, and looks at it where the session has a part in it.
    #[inline]
    fn message(
        &mut self,
        tag: BackendTag,
        body: &[u8],
        out: &mut Gather<'_>,
    ) -> Result<OnBackend, Violation> {
        if tag == BackendTag::DATA_ROW {
            if self.inquiry.is_asked() {
                self.on_answer(body);
            }
            return self.ask_machine(tag, body);
        }
        let at_hand = self.link.machine.change_at_hand();
        if tag == BackendTag::ERROR_RESPONSE && !self.inquiry.is_asked() {
            if at_hand == Change::Custom && is_overruled(body) {
                return self.ask_machine(tag, body);
            }
            self.on_error(body, at_hand);
        }
        if tag == BackendTag::NOTICE_RESPONSE {
            // An immediate shutdown says so by a mere WARNING (`quickdie` in `src/backend/tcop/postgres.c`).
            let code = ErrorFields(body).code();
            self.seen.is_leaving |=
                matches!(code, Some(SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN));
        }
        if tag == BackendTag::ERROR_RESPONSE
            && (self.from.is_replica() || (self.pins.is_empty() && self.link.machine.is_settled()))
            && ErrorFields(body).is_fatal()
        {
            return Ok(OnBackend::Swallow);
        }
        let oldest = self.link.machine.oldest();
        if let Change::Uses(id) | Change::Describes(id) | Change::Checks(id) = at_hand {
            self.on_used(tag, body, (id, at_hand));
        }
        let shown = self.ask_machine(tag, body)?;
        if !self.link.tails.is_empty() && self.is_of_tail(tag, oldest) {
            return Ok(OnBackend::Swallow);
        }
        if let Some(listening) = self.listening {
            let machine = &self.link.machine;
            match tag {
                BackendTag::COMMAND_COMPLETE => {
                    let tag = backend::read_command_complete(body).unwrap_or_default();
                    listening.channels.on_command(oldest, tag);
                }
                BackendTag::ERROR_RESPONSE => listening.channels.on_error(),
                BackendTag::READY_FOR_QUERY => {
                    listening.channels.on_ready(machine.status());
                    if machine.owes_nothing() {
                        listening.channels.forget_skipped();
                    }
                }
                // It comes from the hub as well.
                BackendTag::NOTIFICATION_RESPONSE
                    if channel(body).is_some_and(|channel| listening.hears(channel)) =>
                {
                    return Ok(OnBackend::Swallow);
                }
                _ => {}
            }
        }
        match tag {
            // In a transaction that has failed meanwhile. When that has ended the server gets them once more.
            BackendTag::ERROR_RESPONSE if matches!(at_hand, Change::Offered | Change::Startup) => {}
            BackendTag::ERROR_RESPONSE if shown == OnBackend::Forward => {
                return Ok(self.put_right(body, at_hand, out));
            }
            BackendTag::ERROR_RESPONSE
                if shown == OnBackend::Swallow && !self.inquiry.is_asked() =>
            {
                // Of what we send ourselves only the settings are answered by an error that is not the client's.
                self.seen.settings = Carried::Refused;
            }
            BackendTag::READY_FOR_QUERY => self.on_ready(shown, at_hand),
            BackendTag::COMMAND_COMPLETE
                if shown == OnBackend::Forward && at_hand != Change::Savepoint =>
            {
                self.on_command(body, oldest, at_hand);
            }
            BackendTag::PARAMETER_STATUS if at_hand == Change::Startup => {
                return Ok(self.on_parameter_status(body, OnBackend::Forward));
            }
            BackendTag::PARAMETER_STATUS => return Ok(self.on_parameter_status(body, shown)),
            _ => {}
        }
        Ok(shown)
    }

    #[inline]
    fn ask_machine(&mut self, tag: BackendTag, body: &[u8]) -> Result<OnBackend, Violation> {
        let mut books = Books {
            names: self.names,
            parameters: self.parameters,
            statements: &mut self.link.server.statements,
            // The machine answers in `drain` only.
            answers: &mut Vec::new(),
        };
        self.link.machine.on_backend(tag, body, &mut books)
    }

    /// Answers in the server's stead what has become due after the last message.
    #[inline]
    fn drain(&mut self, out: &mut Gather<'_>) {
        if self.link.machine.is_answer_due() {
            self.answer(out);
        }
    }

    #[inline(never)]
    fn answer(&mut self, out: &mut Gather<'_>) {
        let mut books = Books {
            names: self.names,
            parameters: self.parameters,
            statements: &mut self.link.server.statements,
            answers: out.insert(),
        };
        self.link.machine.drain(&mut books);
    }

    fn on_error(&mut self, body: &[u8], at_hand: Change) {
        let fields = ErrorFields(body);
        if at_hand == Change::Offered {
            self.link.excuse = Some(body.into());
            if self.from.is_primary() {
                return;
            }
        } else {
            self.parameters.on_error();
            self.seen.errors += 1;
        }
        if self.seen.error.is_none() {
            let code = fields.code().unwrap_or(SqlState::INTERNAL_ERROR);
            self.seen.error = Some(ServerError {
                code,
                blame: blame(code, fields.routine()),
                end: if fields.is_fatal() { End::Fatal } else { End::GoesOn },
            });
        }
    }

    #[inline]
    fn on_ready(&mut self, shown: OnBackend, at_hand: Change) {
        if shown == OnBackend::Swallow && at_hand != Change::Startup && self.inquiry.is_asked() {
            self.conclude_inquiry();
        }
        let status = self.link.machine.status();
        if shown == OnBackend::Forward {
            self.seen.ready += 1;
            self.settle_names();
            if self.parameters.on_ready(status) == Outcome::Unknown {
                *self.pins |= Pins::PARAMETERS;
                self.link.stains |= Stains::SESSION;
            }
            // Whatever happened happened on this server: it has what the client has.
            if !same(&self.link.server.settings, self.parameters.wanted()) {
                self.link.server.settings = std::sync::Arc::clone(self.parameters.wanted());
            }
        }
        if status == TransactionStatus::Idle && !self.link.machine.awaits_own_query() {
            // But what was reset to a startup value, which the server never knew as its default.
            self.link.server.forget_settings(self.parameters.take_revoked());
        }
    }

    /// Commands that change what a whole session, or a whole server, has.
    #[inline]
    fn on_command(&mut self, body: &[u8], request: u64, at_hand: Change) {
        // COMMIT, ROLLBACK, DISCARD ALL, DEALLOCATE, DEALLOCATE ALL, PREPARE, PREPARE TRANSACTION
        if !matches!(body.first(), Some(b'C' | b'R' | b'D' | b'P')) && at_hand != Change::Script {
            return;
        }
        let tag = backend::read_command_complete(body).unwrap_or_default();
        if at_hand == Change::Script {
            self.parameters.on_statement(tag);
        }
        match tag {
            b"COMMIT" | b"PREPARE TRANSACTION" | b"ROLLBACK" if at_hand != Change::Script => {
                self.parameters.on_command(tag);
            }
            b"DISCARD ALL" => {
                self.parameters.on_command(tag);
                self.link.server.settings = std::sync::Arc::default();
                self.forget_names(request);
                self.forget_values();
                // What has been sent behind it may have left new ones.
                if self.link.machine.is_at_last() {
                    self.link.stains &= Stains::FOREVER;
                    *self.pins &= Pins::SESSION_MODE;
                    self.link.unseen.clear();
                }
            }
            b"DISCARD SEQUENCES" => self.forget_values(),
            b"DEALLOCATE ALL" => {
                self.forget_names(request);
            }
            b"DEALLOCATE" | b"PREPARE" => self.change_name(request),
            _ => {}
        }
    }
}

/// Messages whose whole body must be there before they are judged.
#[inline]
fn must_be_whole(tag: BackendTag) -> bool {
    Machine::wants_body(tag)
        || matches!(
            tag,
            BackendTag::ERROR_RESPONSE
                | BackendTag::NOTICE_RESPONSE
                | BackendTag::COMMAND_COMPLETE
                | BackendTag::NOTIFICATION_RESPONSE
                | BackendTag::PARAMETER_STATUS
        )
}
