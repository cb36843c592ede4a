//! RESET goes back to what a client asked for when it logged in, which its servers do not know as their default.
//!
//! A server is given those values behind the client's own statement, before it reports what has changed: that is when
//! it answers a Sync (`ReportChangedGUCOptions`, in `src/backend/utils/misc/guc.c`). So a Query becomes an extended one.

use crate::net::buffer::Gather;
use crate::protocol::{BackendTag, TransactionStatus, frontend};
use crate::session::link::Tail;
use crate::session::machine::{Change, Owed, Request};
use crate::session::ours::{NO_TYPES, NO_VALUES};
use crate::session::replies::Replies;
use crate::session::requests::Requests;
use crate::sql::Effects;
use crate::sql::settings::{self, Setter};

impl Requests<'_> {
    /// Has the server run a Query that resets something to values which it does not know as its defaults. Returns
    /// whether it is one.
    #[inline]
    pub(super) fn reset_by_query(
        &mut self,
        (effects, text): (Effects, &[u8]),
        change: Change,
        out: &mut Gather<'_>,
    ) -> bool {
        self.may_reset(effects, change) && self.reset((effects, text), change, out)
    }

    fn reset(
        &mut self,
        (effects, text): (Effects, &[u8]),
        change: Change,
        out: &mut Gather<'_>,
    ) -> bool {
        let mut sql = self.values(effects);
        let is_reset = !sql.is_empty();
        if is_reset {
            self.run(text, Owed::forward(Request::Execute).with(change), out);
            self.run(&sql, Owed::swallow(Request::Execute).with(Change::Startup), out);
            self.link.machine.sent(Owed::forward(Request::Sync));
            frontend::sync(out.insert());
        }
        self.worker.recycler.borrow_mut().give(&mut sql);
        is_reset
    }

    /// The same of a text of several statements: what it resets is set to the startup values at its end. Returns whether
    /// that is so.
    #[inline]
    pub(super) fn append_startup(
        &mut self,
        (effects, text): (Effects, &[u8]),
        change: Change,
        out: &mut Gather<'_>,
    ) -> bool {
        change == Change::Session
            && effects.contains(Effects::MULTI)
            && self.link.machine.status() != TransactionStatus::Failed
            && self.append(text, change, out)
    }

    fn append(&mut self, text: &[u8], change: Change, out: &mut Gather<'_>) -> bool {
        let Some(statements) = settings::changes_by_statement(text) else { return false };
        let mut sql = self.worker.recycler.borrow_mut().take();
        sql.extend_from_slice(text);
        // A comment may stand at the end.
        sql.extend_from_slice(b"\n;");
        let is_reset = self.parameters.append_startup(self.may_set(), &mut sql);
        if is_reset {
            let request = self.link.machine.next();
            self.link.tails.push_back(Tail { request, left: statements.len() });
            self.link.machine.sent(Owed::forward(Request::Query).with(change));
            frontend::query(out.insert(), &sql);
        }
        self.worker.recycler.borrow_mut().give(&mut sql);
        is_reset
    }

    /// The same behind an Execute.
    pub(super) fn restore_in_batch(
        &mut self,
        effects: Effects,
        change: Change,
        out: &mut Gather<'_>,
    ) {
        if !self.may_reset(effects, change) {
            return;
        }
        let mut sql = self.values(effects);
        if !sql.is_empty() {
            self.link.server.statements.set_unnamed(None);
            self.run(&sql, Owed::swallow(Request::Execute).with(Change::Startup), out);
        }
        self.worker.recycler.borrow_mut().give(&mut sql);
    }

    /// Whether a statement on its way may reset anything. A transaction that has failed refuses it in its own words, one
    /// that fails meanwhile in the same; and whether all of several statements succeed is not known: their client's values
    /// are set before its next statement.
    #[inline]
    fn may_reset(&self, effects: Effects, change: Change) -> bool {
        (change == Change::Session || effects.contains(Effects::DISCARDS))
            && !effects.contains(Effects::MULTI)
            && self.link.machine.status() != TransactionStatus::Failed
    }

    /// What gives a server the values that a statement resets to.
    fn values(&self, effects: Effects) -> Vec<u8> {
        let mut sql = self.worker.recycler.borrow_mut().take();
        if effects.contains(Effects::DISCARDS) {
            self.parameters.all_startup_sql(&mut sql);
        } else {
            self.parameters.startup_sql(self.may_set(), &mut sql);
        }
        sql
    }

    /// Who knows what whoever the statements run as by now may set: somebody else perhaps not what came with the log-in.
    fn may_set(&self) -> impl Fn(&str) -> bool + use<> {
        let is_somebody_else = self.parameters.may_be_somebody_else(&[]);
        let catalog = self.catalog.load();
        move |name| !is_somebody_else || catalog.setter(name) == Setter::Anybody
    }

    /// Has the server run a statement without a name, of which the client sees no more than `execute` says.
    fn run(&mut self, sql: &[u8], execute: Owed, out: &mut Gather<'_>) {
        self.link.machine.sent(Owed::swallow(Request::Parse));
        frontend::parse(out.insert(), b"", sql, NO_TYPES);
        self.link.machine.sent(Owed::swallow(Request::Bind));
        frontend::bind(out.insert(), b"", b"", NO_VALUES);
        self.link.machine.sent(execute);
        frontend::execute(out.insert(), b"", 0);
    }
}

impl Replies<'_> {
    /// Whether a message answers what was appended to the Query that is being answered, the request `oldest`.
    pub(super) fn is_of_tail(&mut self, tag: BackendTag, oldest: u64) -> bool {
        let tails = &mut self.link.tails;
        match tag {
            // Before it there may be Queries that an error had the server skip.
            BackendTag::READY_FOR_QUERY => tails.retain(|tail| tail.request > oldest),
            BackendTag::COMMAND_COMPLETE => {
                let Some(tail) = tails.iter_mut().find(|tail| tail.request == oldest) else {
                    return false;
                };
                if tail.left == 0 {
                    return true;
                }
                tail.left -= 1;
            }
            _ => {}
        }
        false
    }
}
