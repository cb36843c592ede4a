//! Where a batch goes: the facts that the decision rests on.

use std::sync::Arc;

use crate::clock::Mono;
use crate::cluster::NodeId;
use crate::config::PoolMode;
use crate::protocol::error_response::{Report, Severity};
use crate::protocol::frontend::{self, Bind, Named, Parse};
use crate::protocol::{FrontendTag, SqlState, TransactionStatus, frame};
use crate::route::{self, Facts, Patience, Reason, Route, Target};
use crate::server::settings::{Modes, Value};
use crate::session::ours;
use crate::session::succession::Side;
use crate::session::survey::Batch;
use crate::session::terms::{Explain, Requirement, Terms};
use crate::session::{Batches, Detour, Phase, Session};
use crate::sql::{Access, Class, Isolation};
use crate::telemetry::Sight;

impl Session {
    /// Goes by the backend's present settings.
    pub(super) fn adopt_policy(&mut self) {
        self.version = self.client.backend.cluster.version();
        self.policy = self.client.backend.policy();
        self.make_terms();
    }

    /// Goes by the session's own parameters as they are now.
    #[inline]
    pub(super) fn renew_terms(&mut self) {
        if !Arc::ptr_eq(&self.terms.of, self.parameters.in_force()) {
            self.make_terms();
        }
    }

    fn make_terms(&mut self) {
        let own = self.parameters.in_force();
        self.terms = Terms::new(&self.policy, &self.client, own);
        self.names.adopt_dialect(own);
    }

    pub(super) fn route(&mut self, batch: &Batch, patience: Patience, now: Mono) -> Route {
        let avoid = match self.detour {
            Detour::None => None,
            Detour::Other(node) => Some(node),
            Detour::Primary => {
                return Route { target: Target::Primary, reason: Reason::ReplicaFailed };
            }
        };
        if self.policy.mode == PoolMode::Session {
            return Route { target: Target::Primary, reason: Reason::PinnedSessionMode };
        }
        let class = self.terms.class_of(batch.class);
        self.fingerprint = if class == Class::Read { batch.fingerprint } else { 0 };
        if self.client.backend.learned.denies(self.fingerprint, self.edition, now) {
            return Route { target: Target::Primary, reason: Reason::Learned };
        }
        let is_read = matches!(class, Class::Read | Class::Begin(_));
        let required = if is_read { self.requirement(batch) } else { Requirement::NOTHING };
        let (isolation, access) = match self.parameters.wanted().modes() {
            Modes::Fresh => (Isolation::Default, Access::Unspecified),
            Modes::Set => (self.isolation(), self.access()),
        };
        let routing = &self.policy.routing;
        let facts = Facts {
            class,
            isolation,
            access,
            split: routing.read_write_split,
            required: required.instant,
            because: required.because,
            seen: self.seen(),
            now,
            max_lag: routing.max_lag,
            no_replica: routing.no_replica,
            patience,
            full_at: self.policy.pool_size,
            slow_start: routing.slow_start,
            avoid,
        };
        let cluster = &self.client.backend.cluster;
        if is_read {
            cluster.note_read(now);
        }
        route::decide(&facts, cluster.view(), &mut self.worker.dice.borrow_mut())
    }

    /// The isolation level that a transaction of this session gets if it names none.
    fn isolation(&self) -> Isolation {
        match self.wanted("default_transaction_isolation").as_deref() {
            None | Some("read committed" | "read uncommitted" | "repeatable read") => {
                Isolation::Default
            }
            Some(_) => Isolation::Serializable,
        }
    }

    /// The access mode that a transaction of this session gets if it names none, as far as the session has a say.
    pub(super) fn access(&self) -> Access {
        let value = self.wanted("default_transaction_read_only");
        match value.as_deref().and_then(ours::value::switch) {
            Some("on") => Access::ReadOnly,
            _ => Access::Unspecified,
        }
    }

    /// What the session has set a parameter to.
    #[inline]
    pub(super) fn wanted(&self, name: &str) -> Option<String> {
        let wanted = self.parameters.wanted();
        if wanted.is_empty() {
            return None;
        }
        Some(match wanted.get(name)? {
            Value::Config(text) => text.to_string(),
            Value::Sql(text) => ours::value::plain(text),
        })
    }

    /// Tells the client where what it sends runs, and why, if it wants to know. To be called while nothing is on its
    /// way to the client but whole messages.
    pub(super) fn explain(&mut self, node: NodeId, side: Side, why: &str) {
        if self.terms.explain == Explain::Off {
            return;
        }
        let place = match side {
            Side::Primary(_) => "primary".to_owned(),
            Side::Replica(_) => format!("replica {}", node.0),
        };
        let report = Report {
            severity: Severity::Notice,
            code: SqlState::SUCCESSFUL_COMPLETION,
            message: &format!("pglagoon: {place} ({why})"),
            detail: None,
            hint: None,
        };
        self.say(|out| report.encode(out));
    }

    /// The same for what a client sends that keeps its server.
    pub(super) fn explain_stay(&mut self) {
        let Phase::Attached(attached) = &self.phase else { return };
        let machine = &attached.lease.machine;
        if self.terms.explain == Explain::Off
            || attached.batches == Batches::None
            || !machine.owes_nothing()
            || !machine.at_boundary()
        {
            return;
        }
        let is_idle = machine.status() == TransactionStatus::Idle;
        let why = if is_idle { attached.pins.reason() } else { Reason::InTransaction.as_str() };
        self.explain(attached.node, attached.side, why);
    }

    #[inline]
    pub(super) fn count_route(&self, reason: Reason, fingerprint: u64) {
        let backend = &self.client.backend;
        if let Some(traffic) = backend.traffic.get(self.worker.lane())
            && let Some(counter) = traffic.routes.get(reason.index())
        {
            counter.add(1);
            if traffic.frequent.count(fingerprint, reason.index()) == Sight::Unnamed {
                self.worker.unnamed.set(fingerprint);
            }
        }
    }

    /// Tells what a statement is that has become frequent, if it is the first of the batch that `bytes` begin with.
    #[cold]
    pub(super) fn name_frequent(&self, bytes: &[u8]) {
        let fingerprint = self.worker.unnamed.take();
        let size = frame::header(bytes).ok().flatten().map_or(0, |header| header.size);
        let Some(frame) = bytes.get(..size) else { return };
        let body = frontend::body(frame);
        let tag = bytes.first().copied().map(FrontendTag);
        let named = |name: &[u8]| self.names.get(name).map(|known| &*known.query);
        let text = match tag {
            Some(FrontendTag::QUERY) => frontend::query_text(body).ok(),
            Some(FrontendTag::PARSE) => Parse::read(body).ok().map(|parse| parse.query),
            Some(FrontendTag::BIND) => Bind::read(body).ok().and_then(|bind| named(bind.statement)),
            Some(FrontendTag::DESCRIBE) => Named::read(body).ok().and_then(|one| named(one.name)),
            _ => None,
        };
        let Some(text) = text else { return };
        let backend = &self.client.backend;
        if self.worker.classify(text, backend.cluster.catalog()).fingerprint == fingerprint
            && let Some(traffic) = backend.traffic.get(usize::from(self.worker.id.0))
        {
            traffic.frequent.name(fingerprint, &self.worker.form(text));
        }
    }
}
