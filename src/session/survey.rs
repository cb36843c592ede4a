//! A look at what a client has sent before a server is chosen for it: how far the first batch reaches, and how
//! strong it is.

use std::sync::Arc;

use crate::protocol::frontend::{self, Bind, Named, Object, Parse};
use crate::protocol::{FrameError, FrontendTag, frame};
use crate::server::statements::{Background, Statement};
use crate::session::lone::Lone;
use crate::session::names::Names;
use crate::session::naming::meant;
use crate::session::ours::{Asks, asks};
use crate::session::worker::Worker;
use crate::sql::transactions;
use crate::sql::{Access, Begin, Class, Effects, LiveCatalog, Tables, Verdict, Why};

/// A batch that is not complete after this many bytes is routed as it stands, to the primary.
const HOLD_LIMIT: usize = 32 * 1024;

/// What the next bytes from a client are.
#[derive(Debug)]
pub(super) enum Survey {
    /// Not complete.
    Incomplete,
    /// Frames that mean nothing without a server: to be dropped. The count may exceed what is there.
    Drop(usize),
    /// Something that we answer ourselves.
    Local(Local),
    /// Messages of this many bytes that begin or end a transaction, in front of others of their batch; and what is known
    /// of the first. Only if they are to be looked at apart.
    Apart(usize, Surveyed),
    /// Something for a server, and what is known of its first message.
    Batch(Batch, Surveyed),
    /// The client leaves.
    Terminate,
}

impl Survey {
    /// Whether it is a batch that begins a transaction and does nothing else.
    #[inline]
    pub(super) fn begins_transaction(&self) -> bool {
        matches!(self, Self::Batch(batch, _) if matches!(batch.class, Class::Begin(_)))
    }
}

/// What a survey has found out about the first message of a batch, so that it need not be found out again when the
/// message is passed on.
#[derive(Debug, Default)]
pub(super) enum Surveyed {
    /// Nothing.
    #[default]
    Nothing,
    /// A Query with a text of this length.
    Query(usize, Verdict),
    /// A Parse of this statement.
    Parse(Arc<Statement>),
}

/// What the texts and names that a client sends stand for.
#[derive(Debug)]
pub(super) struct Knowledge<'a> {
    pub(super) names: &'a Names,
    pub(super) catalog: &'a LiveCatalog,
    pub(super) background: Option<Background>,
    pub(super) ends: Ends,
}

/// How what begins or ends a transaction by the extended protocol is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// As a part of its batch.
    Within,
    /// Apart from what follows, as no server may have to hear of it.
    Apart,
}

/// What can be answered without a server.
#[derive(Debug)]
pub(super) enum Local {
    /// What begins a transaction which no server need know of yet.
    Begin(Lone, Begin),
    /// What ends one.
    End(Lone, transactions::End),
    /// A Query without a statement, of this many bytes.
    EmptyQuery(usize),
    /// A Query about our parameters, of this many bytes; it may yet need a server.
    Ours(usize),
    /// A Query that only touches what the session keeps itself, of this many bytes.
    Command(usize, Command),
    /// Close messages and a Sync, of this many bytes.
    Closes(usize),
}

/// A command that only touches what the session keeps itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// DEALLOCATE ALL.
    DeallocateAll,
    /// DEALLOCATE of one name.
    Deallocate(String),
    /// DISCARD ALL.
    DiscardAll,
}

/// What routing needs to know of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// The strongest class of its statements.
    pub(super) class: Class,
    /// All effects of its statements.
    pub(super) effects: Effects,
    /// The fingerprint of its first statement.
    pub(super) fingerprint: u64,
    /// The tables of all its statements: see [`Verdict::tables`].
    pub(super) tables: Tables,
    /// What comments in front of its statements ask for.
    pub(super) asks: Option<Box<Asks>>,
}

impl Batch {
    /// A batch of no statement.
    const EMPTY: Self = Self {
        class: Class::Empty,
        effects: Effects::empty(),
        fingerprint: 0,
        tables: Tables::NONE,
        asks: None,
    };

    /// A batch of which nothing is known.
    pub(super) const OPAQUE: Self = Self {
        class: Class::Primary(Why::TooLong),
        effects: Effects::OPAQUE.union(Effects::WRITES),
        fingerprint: 0,
        tables: Tables::ALL,
        asks: None,
    };

    /// A batch of one statement that only a primary's server can answer.
    pub(super) const ON_PRIMARY: Self =
        Self { class: Class::Primary(Why::NodeLocal), effects: Effects::empty(), ..Self::OPAQUE };

    #[inline]
    fn join(&mut self, verdict: Verdict, text: &[u8]) {
        self.class = strongest(self.class, verdict.class);
        if verdict.effects.contains(Effects::ASKS) {
            self.heed(text);
        }
        self.effects |= verdict.effects;
        self.tables = self.tables.union(verdict.tables);
        if self.fingerprint == 0 {
            self.fingerprint = verdict.fingerprint;
        }
    }
}

impl Batch {
    /// A batch of one statement.
    pub(super) fn of(verdict: Verdict, text: &[u8]) -> Self {
        let mut batch = Self::EMPTY;
        batch.join(verdict, text);
        batch
    }

    /// What the comment in front of one of its statements asks for. What is not understood may ask for more than a
    /// replica has.
    fn heed(&mut self, text: &[u8]) {
        match asks(text) {
            Some(asks) => self.asks.get_or_insert_default().join(&asks),
            None => self.class = strongest(self.class, Class::Primary(Why::Hint)),
        }
    }
}

/// The class of a batch that runs `first` and then `second`.
fn strongest(first: Class, second: Class) -> Class {
    match (first, second) {
        (Class::Empty, other) | (other, Class::Empty) => other,
        (Class::Read, Class::Read) => Class::Read,
        // What follows a BEGIN runs within its transaction.
        (Class::Begin(begin), Class::Read | Class::Savepoint | Class::End)
            if begin.access == Access::ReadOnly =>
        {
            first
        }
        (Class::Primary(why), _) | (_, Class::Primary(why)) => Class::Primary(why),
        _ => Class::Primary(Why::Utility),
    }
}

/// Looks at `bytes`, which begin with a frame of a client that has no server.
///
/// # Errors
///
/// The bytes cannot be frames.
pub(super) fn survey(
    worker: &Worker,
    knowledge: &Knowledge<'_>,
    bytes: &[u8],
    inspect_limit: usize,
) -> Result<Survey, FrameError> {
    let Some(header) = frame::header(bytes)? else {
        return Ok(Survey::Incomplete);
    };
    match FrontendTag(header.tag) {
        FrontendTag::QUERY => survey_query(worker, knowledge, (bytes, header.size), inspect_limit),
        FrontendTag::FUNCTION_CALL => {
            let class = Class::Primary(Why::Write);
            let effects = Effects::WRITES;
            let batch = Batch { class, effects, ..Batch::OPAQUE };
            Ok(Survey::Batch(batch, Surveyed::Nothing))
        }
        FrontendTag::FLUSH
        | FrontendTag::COPY_DATA
        | FrontendTag::COPY_DONE
        | FrontendTag::COPY_FAIL => Ok(Survey::Drop(header.size)),
        FrontendTag::TERMINATE => Ok(Survey::Terminate),
        FrontendTag::SYNC
        | FrontendTag::PARSE
        | FrontendTag::BIND
        | FrontendTag::DESCRIBE
        | FrontendTag::EXECUTE
        | FrontendTag::CLOSE => survey_extended(worker, knowledge, bytes),
        _ => Err(FrameError::Format),
    }
}

fn survey_query(
    worker: &Worker,
    knowledge: &Knowledge<'_>,
    (bytes, size): (&[u8], usize),
    inspect_limit: usize,
) -> Result<Survey, FrameError> {
    if size > inspect_limit {
        return Ok(Survey::Batch(Batch::OPAQUE, Surveyed::Nothing));
    }
    let Some(frame) = bytes.get(..size) else {
        return Ok(Survey::Incomplete);
    };
    let text = frontend::query_text(frontend::body(frame))?;
    let verdict = meant(knowledge.names, worker.classify(text, knowledge.catalog), text);
    if verdict.class == Class::Empty {
        return Ok(Survey::Local(Local::EmptyQuery(size)));
    }
    if verdict.effects.contains(Effects::OURS) {
        return Ok(Survey::Local(Local::Ours(size)));
    }
    if let Some(command) = command(verdict.effects, text, knowledge.names) {
        return Ok(Survey::Local(Local::Command(size, command)));
    }
    Ok(Survey::Batch(Batch::of(verdict, text), Surveyed::Query(text.len(), verdict)))
}

/// The command that `text` is, if it only touches what the session keeps.
fn command(effects: Effects, text: &[u8], names: &Names) -> Option<Command> {
    use crate::sql::prepared::{self, Deallocate};
    if !effects.intersects(Effects::DISCARDS | Effects::DEALLOCATES)
        || effects.contains(Effects::MULTI)
    {
        return None;
    }
    if effects.contains(Effects::DISCARDS) {
        return Some(Command::DiscardAll);
    }
    match prepared::deallocate(text)? {
        Deallocate::All => Some(Command::DeallocateAll),
        // What the session does not know only PostgreSQL can refuse in its own words.
        Deallocate::Name(name) => names.get(name.as_bytes()).map(|_| Command::Deallocate(name)),
    }
}

/// Looks at extended-protocol messages up to the first Sync or Flush, or the first message of another kind.
fn survey_extended(
    worker: &Worker,
    knowledge: &Knowledge<'_>,
    bytes: &[u8],
) -> Result<Survey, FrameError> {
    let mut batch = Batch::EMPTY;
    let mut first = Surveyed::Nothing;
    let mut needs_server = false;
    // What the unnamed statement was before means nothing once another has been parsed.
    let mut is_parsed = false;
    let mut position = 0;
    loop {
        let rest = bytes.get(position..).unwrap_or_default();
        let Some(header) = frame::header(rest)? else {
            return Ok(incomplete(bytes, position + frame::HEADER_LEN));
        };
        let Some(frame) = rest.get(..header.size) else {
            return Ok(incomplete(bytes, position + header.size));
        };
        let body = frontend::body(frame);
        position += header.size;
        match FrontendTag(header.tag) {
            FrontendTag::PARSE => {
                let parse = Parse::read(body)?;
                let known = (knowledge.catalog, knowledge.background.as_ref());
                let statement = worker.intern((parse.query, parse.types), known);
                let verdict = meant(knowledge.names, statement.verdict, &statement.query);
                batch.join(verdict, &statement.query);
                is_parsed |= parse.name.is_empty();
                if position == header.size {
                    first = Surveyed::Parse(statement);
                }
                needs_server = true;
            }
            FrontendTag::BIND => {
                let bind = Bind::read(body)?;
                if !(is_parsed && bind.statement.is_empty()) {
                    join_named(&mut batch, knowledge.names, bind.statement);
                }
                needs_server = true;
            }
            FrontendTag::DESCRIBE => {
                let described = Named::read(body)?;
                if described.object == Object::Statement
                    && !(is_parsed && described.name.is_empty())
                {
                    join_named(&mut batch, knowledge.names, described.name);
                }
                needs_server = true;
            }
            FrontendTag::CLOSE => {
                // Outside a transaction there are no portals to close.
                Named::read(body)?;
            }
            FrontendTag::SYNC if !needs_server => {
                return Ok(Survey::Local(Local::Closes(position)));
            }
            FrontendTag::SYNC => return Ok(Survey::Batch(batch, first)),
            FrontendTag::FLUSH => {
                // More of this batch is to come, and it may write.
                batch.class = strongest(batch.class, Class::Primary(Why::Utility));
                return Ok(Survey::Batch(batch, first));
            }
            FrontendTag::EXECUTE
                if knowledge.ends == Ends::Apart
                    && matches!(batch.class, Class::Begin(_) | Class::End) =>
            {
                return Ok(Survey::Apart(position, first));
            }
            FrontendTag::EXECUTE => needs_server = true,
            // A Query in the midst of a batch, and whatever else: rare enough not to be looked at.
            _ => return Ok(Survey::Batch(Batch::OPAQUE, Surveyed::Nothing)),
        }
    }
}

fn incomplete(bytes: &[u8], needed: usize) -> Survey {
    if bytes.len() > HOLD_LIMIT || needed > HOLD_LIMIT {
        Survey::Batch(Batch::OPAQUE, Surveyed::Nothing)
    } else {
        Survey::Incomplete
    }
}

fn join_named(batch: &mut Batch, names: &Names, name: &[u8]) {
    // A name that is not known yet is that of a Parse earlier in the batch, or an error on any server.
    if let Some(statement) = names.get(name) {
        batch.join(meant(names, statement.verdict, &statement.query), &statement.query);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_as_strong_as_its_strongest_statement() {
        let read_only = Class::Begin(Begin { access: Access::ReadOnly, ..Begin::default() });
        let write = Class::Primary(Why::Write);
        assert_eq!(strongest(Class::Read, Class::Read), Class::Read);
        assert_eq!(strongest(Class::Read, write), write);
        assert_eq!(strongest(write, Class::Read), write);
        assert_eq!(strongest(Class::Empty, Class::Read), Class::Read);
        assert_eq!(strongest(read_only, Class::Read), read_only);
        assert_eq!(strongest(read_only, write), write);
        let plain = Class::Begin(Begin::default());
        assert_eq!(strongest(plain, Class::Read), Class::Primary(Why::Utility));
        assert_eq!(strongest(Class::Read, read_only), Class::Primary(Why::Utility));
    }
}
