//! What a server has answered: to the client with it, and what follows from it.

use std::task::Context;
use std::time::Duration;

use crate::clock::Mono;
use crate::cluster::{Cluster, NodeId};
use crate::config::Monotonic;
use crate::net::buffer::Gather;
use crate::protocol::error_response::Severity;
use crate::protocol::{SqlState, TransactionStatus, backend};
use crate::route::{Reason, Seen};
use crate::session::acquire::Moved;
use crate::session::blame::{Blame, End};
use crate::session::books::Books;
use crate::session::cancel;
use crate::session::clients::Activity;
use crate::session::learned;
use crate::session::link::Gate;
use crate::session::listening::withhold;
use crate::session::pins::Stains;
use crate::session::replies::{self, Carried, Replies};
use crate::session::respond::Trouble;
use crate::session::slow;
use crate::session::{
    Attached, Detour, Ended, Hold, Pending, Phase, Presence, Replay, Session, Wrote,
};
use crate::sql::Tables;

impl Session {
    /// Goes over what the server has sent.
    pub(super) fn take_replies(
        &mut self,
        bytes: &[u8],
        mixed: &mut Vec<u8>,
        cx: &mut Context<'_>,
        now: Mono,
    ) -> Result<Moved, Ended> {
        let mut out = Gather::new(bytes, mixed);
        let Phase::Attached(attached) = &mut self.phase else { return Ok(Moved::No) };
        let mut replies = Replies {
            link: &mut attached.lease,
            names: &mut self.names,
            parameters: &mut self.parameters,
            listening: &mut self.listening,
            pins: &mut attached.pins,
            sequences: &mut self.sequences,
            inquiry: &mut attached.inquiry,
            from: attached.side,
            held: self.held,
            seen: replies::Seen::default(),
        };
        let taken = replies.take(bytes, &mut out);
        let seen = replies.seen;
        let used = match taken {
            Ok(used) => used,
            Err(violation) => {
                tracing::warn!(%violation, "closing a server connection");
                return Err(self.dismiss(&Trouble::ServerOutOfStep(violation.to_string()), cx));
            }
        };
        let rest = bytes.get(used..).unwrap_or_default();
        attached.lease.keep(rest, &mut self.worker.recycler.borrow_mut());
        if self.try_again(seen, cx, now)? == Moved::Yes {
            return Ok(Moved::Yes);
        }
        if seen.error.is_some() {
            self.held.fail();
            self.count_errors(seen.errors);
        }
        let Phase::Attached(attached) = &mut self.phase else { return Ok(Moved::No) };
        if seen.ready > 0 {
            if attached.wrote != Wrote::No && attached.side.is_primary() {
                let flushing = self.client.backend.cluster.flushing();
                let at = self.parameters.commits(flushing).visible_at(self.worker.now(), flushing);
                // With `synchronous_commit = off` it may be later than that of what comes next.
                self.last_write = self.last_write.max(at);
                self.terms.stamp(&self.client.backend.writes, attached.tables, at);
            }
            attached.tell_of_ddl(&self.client.backend.cluster);
        }
        let listening = self.listening.as_deref_mut();
        let listening = listening.filter(|_| attached.lease.machine.is_settled());
        let outgoing = withhold(listening, out.bytes(), &mut self.hold);
        if !outgoing.is_empty() {
            self.client.backend.count_sent(self.worker.id, outgoing.len());
            if let Replay::Recorded(mut record) =
                std::mem::replace(&mut attached.replay, Replay::Off)
            {
                self.worker.recycler.borrow_mut().give(&mut record);
            }
            let recycler = &mut *self.worker.recycler.borrow_mut();
            let sent = self.to_client.send(&mut self.stream, cx, recycler, outgoing);
            // Who has said goodbye need not be there any more.
            if self.presence == Presence::Here {
                sent.map_err(Ended::ClientSocket)?;
            }
        }
        if self.hold == Hold::Batch
            && attached.lease.gate == Gate::Shut
            && !attached.lease.machine.awaits_consent()
        {
            self.hold = Hold::Nothing;
            self.pending = Pending::Look;
        }
        if seen.ready > 0 {
            self.observe(seen, now);
            self.on_ready(now);
        }
        if seen.error.is_some_and(|error| error.end == End::Fatal) {
            return self.server_says_farewell(cx, now);
        }
        self.look_after_pins(cx);
        let _ = self.release_if_done(now);
        Ok(Moved::Yes)
    }

    #[cold]
    fn count_errors(&self, count: u64) {
        if let Some(traffic) = self.client.backend.traffic.get(self.worker.lane()) {
            traffic.errors.add(count);
        }
    }

    /// The server has told that it closes the connection. What a primary says the client has been shown, if it concerns
    /// it; a replica is not worth a session.
    fn server_says_farewell(&mut self, cx: &mut Context<'_>, now: Mono) -> Result<Moved, Ended> {
        if let Phase::Attached(attached) = &self.phase
            && (attached.side.is_replica() || attached.has_nothing_there())
        {
            return self.server_has_gone(cx, now);
        }
        self.push_to_client(cx)?;
        Err(Ended::Dismissed)
    }

    /// Notes how long a replica has taken for an answer that is no error: those are quick.
    #[inline]
    fn observe(&self, seen: replies::Seen, now: Mono) {
        if seen.error.is_none()
            && let Phase::Attached(attached) = &self.phase
            && attached.side.is_replica()
            && let Some(node) = self.client.backend.cluster.node(attached.node)
        {
            node.observe(now.saturating_since(attached.asked));
        }
    }

    /// Has what has failed run again if that may help, before the client sees anything of it.
    #[inline]
    fn try_again(
        &mut self,
        seen: replies::Seen,
        cx: &mut Context<'_>,
        now: Mono,
    ) -> Result<Moved, Ended> {
        let Phase::Attached(attached) = &self.phase else { return Ok(Moved::No) };
        let is_refused = seen.settings == Carried::Refused;
        let is_farewell = seen.error.is_none_or(|error| error.end == End::Fatal);
        if attached.side.is_replica()
            && matches!(attached.replay, Replay::Recorded(_))
            // A farewell behind the whole answer takes nothing of it back.
            && !(is_farewell && attached.has_nothing_there())
            && let Some(elsewhere) = self.elsewhere(attached.node, seen, now)
        {
            self.replay_failed(seen, elsewhere, now);
            return Ok(Moved::Yes);
        }
        if is_refused {
            // None of them may have been set: the server still is what it was for another client, also in role.
            if let Phase::Attached(attached) = &mut self.phase {
                attached.lease.stains |= Stains::FOREVER;
            }
            return Err(self.dismiss(&Trouble::SettingsRefused, cx));
        }
        if seen.is_plan_stale() { Ok(self.repair()) } else { Ok(Moved::No) }
    }

    /// Where to try again what `node`, a replica, has failed; `None` if that would help nobody.
    fn elsewhere(&self, node: NodeId, seen: replies::Seen, now: Mono) -> Option<Detour> {
        // What a replica refuses to set it may not know yet, or it is about to leave.
        if seen.settings == Carried::Refused {
            return Some(Detour::Primary);
        }
        let cluster = &self.client.backend.cluster;
        match seen.blame() {
            Blame::Node => Some(self.other_than(node)),
            Blame::Lateness => {
                let max_lag = self.policy.routing.max_lag;
                cluster.changed_lately(now, max_lag).then_some(Detour::Primary)
            }
            Blame::Replica => Some(Detour::Primary),
            Blame::Plan | Blame::Statement => None,
        }
    }

    /// Where to go with what `node`, a replica, has failed: another replica, and the primary if that fails it, too.
    fn other_than(&self, node: NodeId) -> Detour {
        match &self.phase {
            Phase::Attached(attached) if attached.lease.reason != Reason::ReplicaFailed => {
                Detour::Other(node)
            }
            _ => Detour::Primary,
        }
    }

    /// ReadyForQuery has been shown to the client.
    pub(super) fn on_ready(&mut self, now: Mono) {
        cancel::end_repeats(&self.client);
        let Phase::Attached(attached) = &mut self.phase else { return };
        let Some(traffic) = self.client.backend.traffic.get(self.worker.lane()) else {
            return;
        };
        let status = attached.lease.machine.status();
        let took = now.saturating_since(attached.asked);
        traffic.queries.record(took);
        if took >= self.policy.slow_statement {
            slow::log(&self.client, (&attached.lease, attached.node), took);
        }
        if (self.terms.monotonic == Monotonic::On || self.held.is_open())
            && let Some(node) = self.client.backend.cluster.node(attached.node)
        {
            let (at, epoch) = (self.worker.now(), node.epoch());
            self.seen = Some(Seen { at, node: attached.node, epoch });
        }
        if status == TransactionStatus::Idle {
            self.parameters.transaction_ended();
            traffic.transactions.record(now.saturating_since(attached.began));
            attached.began = now;
            // What is still to be answered may write, or use a portal that was bound meanwhile.
            if attached.lease.machine.owes_nothing() {
                self.parameters.nothing_expected();
                attached.portals.clear();
                attached.wrote = Wrote::No;
                attached.tables = Tables::NONE;
            }
        }
        if attached.lease.machine.owes_nothing() {
            let timeouts = &self.policy.timeouts;
            let (activity, limit) = match status {
                TransactionStatus::Idle => (Activity::Idle, timeouts.client_idle_timeout),
                TransactionStatus::InTransaction | TransactionStatus::Failed => {
                    (Activity::IdleInTransaction, timeouts.idle_transaction_timeout)
                }
            };
            let mut deadline = limit.map_or(Mono::MAX, |limit| now.plus(limit));
            if let Some(limit) = timeouts.transaction_timeout
                && status != TransactionStatus::Idle
            {
                deadline = deadline.min(attached.began.plus(limit));
            }
            self.client.set_activity(activity, now, deadline);
        }
        if self.hold == Hold::Batch {
            self.hold = Hold::Nothing;
            self.pending = Pending::Look;
        }
    }

    /// The same for what a replica has answered with an error.
    fn replay_failed(&mut self, seen: replies::Seen, elsewhere: Detour, now: Mono) {
        let code = seen.error.map_or(SqlState::ADMIN_SHUTDOWN, |error| error.code);
        tracing::debug!(code = code.as_str(), ?elsewhere, "running a read again");
        self.doubt_refused(seen.error);
        if learned::teaches(code) {
            self.client.backend.learned.learn(self.fingerprint, self.edition, now);
        }
        self.replay(elsewhere, now);
    }

    /// Takes back what a replica could not do and has it done elsewhere: the client has seen nothing.
    fn replay(&mut self, elsewhere: Detour, now: Mono) {
        // Its answer is still on its way: not worth waiting for.
        let Some(record) = self.drop_server(now) else { return };
        self.held.take_back();
        self.detour = elsewhere;
        self.take_back(record);
    }

    pub(super) fn server_has_gone(
        &mut self,
        cx: &mut Context<'_>,
        now: Mono,
    ) -> Result<Moved, Ended> {
        if let Phase::Attached(attached) = &self.phase
            && attached.side.is_replica()
            && matches!(attached.replay, Replay::Recorded(_))
        {
            self.replay(self.other_than(attached.node), now);
            return Ok(Moved::Yes);
        }
        if let Phase::Attached(attached) = &self.phase
            && attached.has_nothing_there()
        {
            // Its goodbye came together with the end of its answer.
            self.drop_server(now);
            self.become_idle(now);
            return Ok(Moved::Yes);
        }
        if self.is_lone_read_on_replica() {
            self.fail_read(now);
            self.push_to_client(cx)?;
            return Ok(Moved::Yes);
        }
        Err(self.dismiss(&Trouble::ServerLost, cx))
    }

    /// Whether the session has a replica only for one read that the client has seen a part of, up to the end of
    /// a message: nothing is lost with the server but the rest of the answer.
    fn is_lone_read_on_replica(&self) -> bool {
        let Phase::Attached(attached) = &self.phase else { return false };
        attached.side.is_replica()
            && attached.pins.is_empty()
            && attached.lease.machine.is_last_of_batch()
            && attached.lease.passing.from_server == 0
    }

    /// Ends a read whose replica has gone with an error that applications know to run again.
    fn fail_read(&mut self, now: Mono) {
        self.drop_server(now);
        self.held.fail();
        let status = self.held.status();
        self.say(|out| {
            Trouble::ReplicaLost.encode(Severity::Error, out);
            backend::ready_for_query(out, status);
        });
        self.become_idle(now);
    }

    /// Closes a server that cannot be used any more; what it owed has failed.
    fn drop_server(&mut self, now: Mono) -> Option<Vec<u8>> {
        let Phase::Attached(mut attached) = std::mem::replace(&mut self.phase, Phase::Detached)
        else {
            return None;
        };
        let link = &mut *attached.lease;
        let mut nothing = Vec::new();
        let mut books = Books {
            names: &mut self.names,
            parameters: &mut self.parameters,
            statements: &mut link.server.statements,
            answers: &mut nothing,
        };
        link.machine.abandon(&mut books);
        self.names.forget_texts(u64::MAX);
        self.parameters.forget_error();
        cancel::end_repeats(&self.client);
        let cluster = &self.client.backend.cluster;
        attached.tell_of_ddl(cluster);
        cluster.end(attached.node, self.worker.lane());
        attached.lease.close(now);
        self.client.clear_server();
        self.hold = Hold::Nothing;
        match attached.replay {
            Replay::Recorded(record) => Some(record),
            Replay::Off => None,
        }
    }
}

impl Attached {
    /// Whether the client would lose nothing with the server.
    fn has_nothing_there(&self) -> bool {
        self.pins.is_empty() && self.lease.is_settled()
    }

    /// For how long a request to cancel what it runs may come too early: while nothing has been answered of what was
    /// sent last.
    pub(super) fn patience_to_cancel(&self, now: Mono) -> Duration {
        if self.lease.machine.is_silent_since(self.first) {
            cancel::SLOW_TO_BEGIN.saturating_sub(now.saturating_since(self.asked))
        } else {
            Duration::ZERO
        }
    }

    /// When a transaction that may have changed the catalog has ended: before anybody can learn of it, texts are taken
    /// for what they mean from now on.
    #[inline]
    fn tell_of_ddl(&self, cluster: &Cluster) {
        if self.wrote == Wrote::Schema && self.lease.machine.status() == TransactionStatus::Idle {
            cluster.schema_changed();
        }
    }
}
