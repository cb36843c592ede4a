//! A statement that a client sends by itself, by either protocol, and that no server need hear of.

use std::sync::Arc;

use crate::clock::Mono;
use crate::config::UntilWrite;
use crate::protocol::frontend::{self, Bind, BindRest, Named, Object, Parse};
use crate::protocol::{BackendTag, FrontendTag, backend, frame};
use crate::server::statements::Statement;
use crate::session::naming::{NO_TYPES, OUR_PREFIX};
use crate::session::survey::{Ends, Local, Surveyed};
use crate::session::{Held, Session, names::Names};
use crate::sql::Class;
use crate::sql::transactions::{self, End};

/// One statement without parameters, as its client has sent it.
#[derive(Debug)]
pub(super) struct Lone {
    /// The bytes of its messages.
    pub(super) size: usize,
    /// What is executed, unless that stands in a Query.
    statement: Option<Arc<Statement>>,
}

impl Lone {
    /// The Query that `bytes` begin with.
    pub(super) fn query(bytes: &[u8]) -> Self {
        let size = frame::header(bytes).ok().flatten().map_or(0, |header| header.size);
        Self { size, statement: None }
    }

    /// The messages in `bytes`, if they bind one statement to the unnamed portal and execute that, and may parse and
    /// describe it; `parsed` is what is known of their first.
    pub(super) fn messages(bytes: &[u8], names: &Names, parsed: Surveyed) -> Option<Self> {
        let mut of = match parsed {
            Surveyed::Parse(statement) => Some(statement),
            Surveyed::Nothing | Surveyed::Query(..) => None,
        };
        let mut name = None;
        let mut is_bound = false;
        let mut frames = frontend::frames(bytes);
        while let Some((tag, body)) = frames.next() {
            match tag {
                FrontendTag::PARSE if name.is_none() => {
                    let parse = Parse::read(body).ok()?;
                    let is_new = parse.name.is_empty() || names.get(parse.name).is_none();
                    if parse.types != NO_TYPES || parse.name.starts_with(OUR_PREFIX) || !is_new {
                        return None;
                    }
                    name = Some(parse.name);
                }
                FrontendTag::BIND if !is_bound => {
                    let bind = Bind::read(body).ok()?;
                    if name.is_none() {
                        of = names.get(bind.statement).map(Arc::clone);
                    }
                    let is_same = name.is_none_or(|name| name == bind.statement);
                    let rest = BindRest::read(bind.rest).ok()?;
                    if !bind.portal.is_empty() || !is_same || rest.parameters != 0 {
                        return None;
                    }
                    name = Some(bind.statement);
                    is_bound = true;
                }
                FrontendTag::DESCRIBE => {
                    let described = Named::read(body).ok()?;
                    let is_it = match described.object {
                        Object::Portal => is_bound && described.name.is_empty(),
                        Object::Statement => name == Some(described.name),
                    };
                    is_it.then_some(())?;
                }
                // The unnamed portal; what has no rows runs to its end, however many are asked for.
                FrontendTag::EXECUTE if is_bound && body.len() == 5 && body.first() == Some(&0) => {
                    let size = bytes.len();
                    return frames.next().is_none().then_some(Self { size, statement: Some(of?) });
                }
                _ => return None,
            }
        }
        None
    }

    /// What it is, if it is no Query.
    pub(super) fn class(&self) -> Option<Class> {
        self.statement.as_ref().map(|statement| statement.verdict.class)
    }

    /// Its text; `bytes` begin with its messages.
    pub(super) fn text<'a>(&'a self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        match &self.statement {
            Some(statement) => Some(&statement.query),
            None => frontend::query_text(frontend::body(bytes.get(..self.size)?)).ok(),
        }
    }
}

impl Session {
    /// How what begins or ends a transaction is looked at.
    #[inline]
    pub(super) fn ends(&self) -> Ends {
        let may_hold = self.policy.routing.read_only_until_write == UntilWrite::On;
        if may_hold || self.held.is_open() { Ends::Apart } else { Ends::Within }
    }

    /// What messages are that begin or end a transaction, if no server need hear of them.
    pub(super) fn apart(&self, bytes: &[u8], first: Surveyed) -> Option<Local> {
        let limit = self.policy.limits.prepared_statement_bytes;
        let lone = Lone::messages(bytes, &self.names, first)?;
        if self.names.bytes() > limit {
            return None;
        }
        let class = lone.class()?;
        let text = lone.text(bytes)?;
        match (class, self.held) {
            (Class::Begin(begin), Held::None) if self.may_hold(begin, text) => {
                Some(Local::Begin(lone, begin))
            }
            (Class::End, held) if held.is_open() => {
                let end = transactions::end(text)?;
                let end = if matches!(held, Held::Failed(_)) { End::Rollback } else { end };
                Some(Local::End(lone, end))
            }
            _ => None,
        }
    }

    /// Answers a statement of which no server hears, with this tag.
    pub(super) fn answer_lone(&mut self, lone: &Lone, bytes: &[u8], tag: &[u8], now: Mono) {
        match &lone.statement {
            None => {
                self.names.forget_unnamed();
                let status = self.held.status();
                self.say(|out| {
                    backend::command_complete(out, tag);
                    backend::ready_for_query(out, status);
                });
            }
            Some(statement) => {
                for (kind, body) in frontend::frames(bytes.get(..lone.size).unwrap_or_default()) {
                    self.answer_message(statement, (kind, body), tag);
                }
            }
        }
        self.become_idle(now);
    }

    fn answer_message(
        &mut self,
        statement: &Arc<Statement>,
        (kind, body): (FrontendTag, &[u8]),
        tag: &[u8],
    ) {
        match kind {
            FrontendTag::PARSE => {
                if let Ok(parse) = Parse::read(body) {
                    self.names.expect(parse.name, Some(Arc::clone(statement)));
                    self.names.commit();
                }
                self.say(|out| backend::bare(out, BackendTag::PARSE_COMPLETE));
            }
            FrontendTag::BIND => self.say(|out| backend::bare(out, BackendTag::BIND_COMPLETE)),
            FrontendTag::DESCRIBE => {
                let object = Named::read(body).map(|described| described.object);
                self.say(|out| {
                    if object == Ok(Object::Statement) {
                        frame::write(out, BackendTag::PARAMETER_DESCRIPTION.0, |body| {
                            body.extend([0, 0]);
                        });
                    }
                    backend::bare(out, BackendTag::NO_DATA);
                });
            }
            _ => self.say(|out| backend::command_complete(out, tag)),
        }
    }
}
