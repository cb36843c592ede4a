//! Where a batch goes: the facts that the decision rests on.

use std::sync::Arc;

use crate::clock::Mono;
use crate::cluster::Usable;
use crate::config::PoolMode;
use crate::route::{self, Facts, Patience, Reason, Route, Target};
use crate::session::survey::Batch;
use crate::session::terms::{Requirement, Terms};
use crate::session::{Detour, Session};
use crate::sql::{Class, Isolation};

impl Session {
    /// Goes by the backend's present settings.
    pub(super) fn adopt_policy(&mut self) {
        self.policy_version = self.client.backend.policy_version();
        self.policy = self.client.backend.policy();
        self.terms = Terms::new(&self.policy, &self.client, self.parameters.in_force());
    }

    /// Goes by the session's own parameters as they are now.
    #[inline]
    pub(super) fn renew_terms(&mut self) {
        if !Arc::ptr_eq(&self.terms.of, self.parameters.in_force()) {
            self.terms = Terms::new(&self.policy, &self.client, self.parameters.in_force());
        }
    }

    /// Whether the node that is configured as the primary is known not to be one.
    pub(super) fn primary_is_none(&self) -> bool {
        self.client.backend.cluster.view().primary() == Usable::Misconfigured
    }

    pub(super) fn route(&mut self, batch: &Batch, patience: Patience, now: Mono) -> Route {
        if self.detour == Detour::Primary {
            return Route { target: Target::Primary, reason: Reason::NoReplica };
        }
        if self.policy.mode == PoolMode::Session {
            return Route { target: Target::Primary, reason: Reason::PinnedSessionMode };
        }
        let class = self.terms.class_of(batch.class);
        let is_read = matches!(class, Class::Read | Class::Begin(_));
        let required = if is_read { self.requirement(batch) } else { Requirement::NOTHING };
        let routing = &self.policy.routing;
        let facts = Facts {
            class,
            isolation: self.isolation(),
            split: routing.read_write_split,
            required: required.instant,
            because: required.because,
            seen: self.seen(),
            now,
            max_lag: routing.max_lag,
            no_replica: routing.no_replica,
            patience,
        };
        let cluster = &self.client.backend.cluster;
        if is_read {
            cluster.note_read(now);
        }
        route::decide(&facts, cluster.view(), &mut self.worker.dice.borrow_mut())
    }

    /// The isolation level that a transaction of this session gets if it names none.
    fn isolation(&self) -> Isolation {
        let wanted = self.parameters.wanted();
        if wanted.is_empty() || wanted.get("default_transaction_isolation").is_none() {
            Isolation::Default
        } else {
            // Whichever it is, it is rare: a standby refuses one of the four.
            Isolation::Serializable
        }
    }

    pub(super) fn count_route(&self, reason: Reason) {
        let backend = &self.client.backend;
        if let Some(traffic) = backend.traffic.get(usize::from(self.worker.id.0))
            && let Some(counter) = traffic.routes.get(reason.index())
        {
            counter.add(1);
        }
    }
}
