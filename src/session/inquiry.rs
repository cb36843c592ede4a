//! Whether a pinned client still has what it is pinned for: PostgreSQL is asked.
//!
//! How often a lock was taken, whether `pg_try_advisory_lock` got it, what ON COMMIT DROP or a rollback has undone:
//! only the server knows. So when a transaction of a pinned client has done something that may have changed the answer,
//! the server is asked, and if nothing is left the client is free again, and its server needs no cleaning for it.
//!
//! In the same way it is asked for the values of parameters that were set where the text tells no more than their names
//! (`set_config` of an expression, in a subquery, ...): whatever has become of that, these are the session's from then on.

use std::borrow::Cow;
use std::sync::Arc;
use std::task::Context;

use crate::protocol::frontend;
use crate::server::settings::literal;
use crate::session::dialect::is_decisive;
use crate::session::link::Gate;
use crate::session::machine::{Owed, Request};
use crate::session::pins::{Pins, Stains};
use crate::session::replies::Replies;
use crate::session::requests::Requests;
use crate::session::{Batches, Phase, Session};
use crate::sql::settings::{Action, Change};
use crate::sql::{Class, Effects, Verdict, Why};

/// What a server is asked: each answer with the pin that it is about, and what it proves the server free of.
///
/// `pg_depend` is what PostgreSQL itself goes by when it removes a session's temporary objects. Names and operators are
/// qualified: the session's `search_path` must not decide what they mean.
const QUESTION: &[u8] = b"SELECT \
    EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype OPERATOR(pg_catalog.=) 'advisory' \
        AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()), \
    EXISTS (SELECT FROM pg_catalog.pg_depend \
        WHERE refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass \
        AND refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()), \
    EXISTS (SELECT FROM pg_catalog.pg_cursors), \
    EXISTS (SELECT FROM pg_catalog.pg_listening_channels())";

/// The question, and behind it these parameters.
fn question(parameters: &[Box<str>]) -> Cow<'static, [u8]> {
    let mut question = Cow::Borrowed(QUESTION);
    for name in parameters {
        let sql = question.to_mut();
        sql.extend_from_slice(b", pg_catalog.current_setting(");
        literal(sql, name);
        sql.extend_from_slice(b", true)");
    }
    question
}

/// The pins in the order of the answers.
///
/// Temporary tables leave something even when they have gone: statements that were prepared with them.
const ANSWERS: [(Pins, Stains); 4] = [
    (Pins::ADVISORY_LOCK, Stains::LOCK),
    (Pins::TEMPORARY, Stains::empty()),
    (Pins::CURSOR, Stains::CURSOR),
    (Pins::LISTEN, Stains::LISTEN),
];

/// What the server can be asked about.
const ASKABLE: Pins =
    Pins::ADVISORY_LOCK.union(Pins::TEMPORARY).union(Pins::CURSOR).union(Pins::LISTEN);

/// Effects after which the answer may be another one.
const DOUBTFUL: Effects = Effects::RELEASES
    .union(Effects::SESSION_LOCK)
    .union(Effects::TEMP)
    .union(Effects::HOLD_CURSOR)
    .union(Effects::LISTENS)
    .union(Effects::UNLISTENS)
    .union(Effects::DDL)
    .union(Effects::DISCARDS_PART)
    .union(Effects::OPAQUE);

/// Whether a client's pins are in doubt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Inquiry {
    /// They are not.
    #[default]
    None,
    /// They are: the server is to be asked as soon as the transaction has ended.
    Due,
    /// It has been asked.
    Asked,
    /// These it has denied.
    Denied(Pins),
}

impl Inquiry {
    /// A statement of a client with these pins is on its way.
    #[inline]
    pub(super) fn note(&mut self, pins: Pins, verdict: Verdict) {
        let is_unknown = verdict.class == Class::Primary(Why::UnknownFunction);
        if !pins.is_empty() && (verdict.effects.intersects(DOUBTFUL) || is_unknown) {
            *self = Self::Due;
        }
    }

    /// Whether what the server says answers the question.
    #[inline]
    pub(super) fn is_asked(self) -> bool {
        matches!(self, Self::Asked | Self::Denied(_))
    }

    /// The answer. Returns what follows in it.
    fn on_row<'a>(&mut self, body: &'a [u8]) -> &'a [u8] {
        let mut denied = Pins::empty();
        let mut rest = body.get(2..).unwrap_or_default();
        for (pin, _) in ANSWERS {
            // Each value has a length of four bytes, which is one: `t` or `f`.
            if let Some(([0, 0, 0, 1, value], others)) = rest.split_first_chunk() {
                if *value == b'f' {
                    denied |= pin;
                }
                rest = others;
            }
        }
        *self = Self::Denied(denied);
        rest
    }

    /// The end of the answer: what the client is not pinned for any more, and what need not be cleaned up.
    fn conclude(&mut self) -> (Pins, Stains) {
        let Self::Denied(denied) = std::mem::take(self) else {
            // An error: nothing is proven.
            return (Pins::empty(), Stains::empty());
        };
        let clean = ANSWERS.iter().filter(|(pin, _)| denied.contains(*pin));
        (denied, clean.fold(Stains::empty(), |all, (_, stain)| all | *stain))
    }
}

impl Requests<'_> {
    /// Counts a batch that goes where it goes because the client is pinned there: any but the first.
    #[inline]
    pub(super) fn count_if_pinned(&self, batches: Batches) {
        if batches == Batches::Sent
            && let Some(reason) = self.pins.route()
            && self.link.machine.is_settled()
            && let Some(counter) = self.traffic.routes.get(reason.index())
        {
            counter.add(1);
        }
    }

    /// Notes that something on its way sets parameters of which the text tells no more than the names.
    pub(super) fn note_unseen(&mut self, changes: &[Change]) {
        for change in changes {
            let Action::Unseen { name } = &change.action else { continue };
            *self.pins |= Pins::UNSEEN;
            *self.inquiry = Inquiry::Due;
            self.link.stains |= Stains::SETTINGS;
            if is_decisive(name) {
                self.names.distrust();
            }
            if !self.link.unseen.iter().any(|known| **known == **name) {
                self.link.unseen.push(name.as_str().into());
            }
        }
    }
}

impl Replies<'_> {
    /// The answer to a question: parameters have these values.
    pub(super) fn on_answer(&mut self, body: &[u8]) {
        let rest = self.inquiry.on_row(body);
        if let Some(values) = values(rest, self.link.unseen.len()) {
            for (name, value) in self.link.unseen.drain(..).zip(values) {
                self.parameters.learn(&name, value);
            }
        }
    }

    /// The end of the answer.
    pub(super) fn conclude_inquiry(&mut self) {
        let (over, clean) = self.inquiry.conclude();
        *self.pins -= over;
        self.link.stains -= clean;
        if !self.pins.contains(Pins::UNSEEN) {
            return;
        }
        *self.pins -= Pins::UNSEEN;
        self.link.stains -= Stains::SETTINGS;
        if self.link.unseen.is_empty() {
            self.link.server.settings = Arc::clone(self.parameters.wanted());
        } else {
            // It has not told.
            self.link.unseen.clear();
            *self.pins |= Pins::PARAMETERS;
            self.link.stains |= Stains::SESSION;
            self.names.distrust();
        }
    }
}

/// So many values of a row, `None` for NULL; nothing if they are not all there.
fn values(mut body: &[u8], count: usize) -> Option<Vec<Option<&str>>> {
    let mut value = || {
        let (len, rest) = body.split_first_chunk()?;
        let Ok(len) = usize::try_from(i32::from_be_bytes(*len)) else {
            body = rest;
            return Some(None);
        };
        let (text, rest) = rest.split_at_checked(len)?;
        body = rest;
        std::str::from_utf8(text).ok().map(Some)
    };
    (0..count).map(|_| value()).collect()
}

impl Session {
    /// Sees to it that the client is pinned only as long as there is a reason.
    #[inline]
    pub(super) fn look_after_pins(&mut self, cx: &mut Context<'_>) {
        self.inquire(cx);
        self.show_pins();
    }

    /// Asks the server, if there is any doubt and it is at rest. The client's next statement waits for the answer.
    fn inquire(&mut self, cx: &mut Context<'_>) {
        let Phase::Attached(attached) = &mut self.phase else { return };
        if attached.inquiry != Inquiry::Due
            || attached.pins.is_empty()
            || !attached.lease.is_settled()
        {
            return;
        }
        if !ASKABLE.contains(attached.pins) && !attached.pins.contains(Pins::UNSEEN) {
            // It stays pinned whatever the answer is.
            attached.inquiry = Inquiry::None;
            return;
        }
        attached.inquiry = Inquiry::Asked;
        let link = &mut *attached.lease;
        link.gate = Gate::Shut;
        link.server.statements.set_unnamed(None);
        link.machine.sent(Owed::swallow(Request::Query));
        let question = question(&link.unseen);
        frontend::query(link.to_server.queue(&mut self.worker.recycler.borrow_mut()), &question);
        // What goes wrong here shows when the server is read.
        let _ = link.send(&[], &self.worker.recycler, cx);
    }

    /// Notes why the client keeps its server. A pin in doubt is not shown before there is an answer.
    fn show_pins(&self) {
        let Phase::Attached(attached) = &self.phase else { return };
        if attached.inquiry == Inquiry::Due || attached.inquiry.is_asked() {
            return;
        }
        self.client.show_pin(attached.pins.reason());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_denied_is_over_and_an_error_proves_nothing() {
        let mut inquiry = Inquiry::Asked;
        inquiry.on_row(b"\0\x04\0\0\0\x01f\0\0\0\x01t\0\0\0\x01t\0\0\0\x01f");
        let over = (Pins::ADVISORY_LOCK | Pins::LISTEN, Stains::LOCK | Stains::LISTEN);
        assert_eq!(inquiry.conclude(), over);
        assert_eq!(inquiry, Inquiry::None);
        let mut inquiry = Inquiry::Asked;
        assert_eq!(inquiry.conclude(), (Pins::empty(), Stains::empty()));
    }
}
