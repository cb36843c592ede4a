//! Frames from the client of which only the beginning is there: those that must be looked at are waited for, the
//! others stream.

use crate::net::buffer::Gather;
use crate::protocol::frontend::{self, Bind};
use crate::protocol::{FrameError, FrontendTag, frame};
use crate::session::machine::{Owed, Request};
use crate::session::pins::Stains;
use crate::session::requests::{Requests, Taken};
use crate::session::{Replay, Wrote};

impl Requests<'_> {
    /// Passes more of a frame that streams.
    pub(super) fn pass_on(
        &mut self,
        start: usize,
        available: usize,
        out: &mut Gather<'_>,
    ) -> Taken {
        let count = available.min(self.link.passing.to_server);
        out.pass(start, start + count);
        self.link.passing.to_server -= count;
        if count == 0 { Taken::Incomplete } else { Taken::Bytes(count) }
    }

    /// A frame of which only the beginning is there: it is waited for if it must be looked at, else it streams.
    pub(super) fn take_partly(
        &mut self,
        tag: FrontendTag,
        size: usize,
        (start, rest): (usize, &[u8]),
        out: &mut Gather<'_>,
    ) -> Result<Taken, FrameError> {
        let is_small = size <= self.policy.limits.max_statement_inspect;
        match tag {
            FrontendTag::COPY_DATA => {
                if !self.link.machine.takes_copy_data() {
                    return Ok(Taken::Drop(size));
                }
            }
            // Which function it calls stands at its beginning.
            FrontendTag::FUNCTION_CALL if rest.len() < frame::HEADER_LEN + size_of::<u32>() => {
                return Ok(Taken::Incomplete);
            }
            FrontendTag::FUNCTION_CALL => {
                if let Some(refused) = self.note_call(frontend::body(rest)) {
                    return Ok(refused);
                }
                self.link.machine.sent(Owed::forward(Request::FunctionCall));
            }
            FrontendTag::QUERY if !is_small => {
                // What a text does that is too long to be looked at is cleaned up after.
                *self.wrote = Wrote::Schema;
                self.link.stains |= Stains::SESSION;
                self.link.server.statements.set_unnamed(None);
                self.names.forget_unnamed();
                self.link.machine.sent(Owed::forward(Request::Query));
            }
            FrontendTag::BIND if size > frame::SMALL_LIMIT => {
                return self.bind_partly(size, (start, rest), out);
            }
            FrontendTag::QUERY | FrontendTag::PARSE if is_small => {
                return Ok(Taken::Incomplete);
            }
            _ if size <= frame::SMALL_LIMIT + frame::HEADER_LEN => {
                return Ok(Taken::Incomplete);
            }
            FrontendTag::PARSE => return Ok(Taken::TooLong),
            _ => return Err(FrameError::Format),
        }
        *self.replay = Replay::Off;
        out.pass(start, start + rest.len());
        self.link.passing.to_server = size - rest.len();
        Ok(Taken::Bytes(rest.len()))
    }

    /// A large Bind: its names are at the beginning, its values stream.
    fn bind_partly(
        &mut self,
        size: usize,
        (start, rest): (usize, &[u8]),
        out: &mut Gather<'_>,
    ) -> Result<Taken, FrameError> {
        let body = frontend::body(rest);
        let Ok(bind) = Bind::read(body) else {
            return if rest.len() > frame::SMALL_LIMIT {
                Err(FrameError::Format)
            } else {
                Ok(Taken::Incomplete)
            };
        };
        *self.replay = Replay::Off;
        self.link.server.statements.bind_seen();
        if self.bind_instead(&bind, out) {
            return Ok(Taken::Drop(size));
        }
        let values_at = start + rest.len() - bind.rest.len();
        let missing = size - rest.len();
        let end = start + size;
        let Some(resolved) = self.resolve_bind(&bind, end, out) else { return Ok(Taken::Wait) };
        match resolved.name {
            None => out.pass(start, start + rest.len()),
            Some(name) => {
                let name = name.text();
                let names = bind.portal.len() + name.as_bytes().len() + 2;
                let len = u32::try_from(4 + names + bind.rest.len() + missing)
                    .map_err(|_| FrameError::Format)?;
                let head = out.insert();
                head.push(FrontendTag::BIND.0);
                head.extend_from_slice(&len.to_be_bytes());
                frame::write_cstr(head, bind.portal);
                frame::write_cstr(head, name.as_bytes());
                out.pass(values_at, values_at + bind.rest.len());
            }
        }
        self.link.machine.sent(Owed::forward(Request::Bind).with(resolved.change));
        self.link.passing.to_server = missing;
        Ok(Taken::Bytes(rest.len()))
    }
}
