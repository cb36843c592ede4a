//! On what terms the reads of a session are routed: as its configuration says.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Mono;
use crate::config::{Consistency, Grouping, Monotonic};
use crate::route::{Reason, Seen};
use crate::session::Session;
use crate::session::backend::Policy;
use crate::session::clients::Client;
use crate::session::groups::{Group, Key};

/// What the reads of a session must see, and how old that may be.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) consistency: Consistency,
    pub(super) monotonic: Monotonic,
    pub(super) max_lag: Duration,
    /// The session's group, if its reads or those of others depend on it.
    pub(super) group: Option<Arc<Group>>,
}

/// What a read must see, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Requirement {
    /// Everything that was acknowledged before this instant.
    pub(super) instant: Mono,
    /// The reason to show if no replica does.
    pub(super) because: Reason,
}

impl Requirement {
    /// Nothing in particular.
    pub(super) const NOTHING: Self =
        Self { instant: Mono::ZERO, because: Reason::ReadAfterOwnWrite };

    /// Both.
    fn and(self, instant: Mono, because: Reason) -> Self {
        if instant > self.instant { Self { instant, because } } else { self }
    }
}

impl Terms {
    /// The terms of a client whose configuration is `policy`.
    pub(super) fn new(policy: &Policy, client: &Client) -> Self {
        let routing = &policy.routing;
        let key = match (routing.consistency, routing.group) {
            (Consistency::Group, Grouping::User) => Some(Key::User(client.backend.user.clone())),
            (Consistency::Group, Grouping::ApplicationName) => {
                Some(Key::Application(client.application_name.borrow().clone()))
            }
            _ => None,
        };
        let backend = &client.backend;
        Self {
            consistency: routing.consistency,
            monotonic: routing.monotonic,
            max_lag: routing.max_lag,
            group: key.map(|key| backend.groups.join(&backend.database, key)),
        }
    }
}

impl Session {
    /// What a read that is routed now must see.
    pub(super) fn requirement(&mut self) -> Requirement {
        let own = Requirement::NOTHING.and(self.last_write, Reason::ReadAfterOwnWrite);
        match self.terms.consistency {
            Consistency::Eventual => Requirement::NOTHING,
            Consistency::Session => own,
            Consistency::Group => {
                let group =
                    self.terms.group.as_ref().map_or(Mono::ZERO, |group| group.last_write());
                own.and(group, Reason::ReadAfterGroupWrite)
            }
            Consistency::Strong => own.and(self.arrival(), Reason::StrongRead),
        }
    }

    /// When the batch that is looked at came. Not the time of this wake-up, which may be before that.
    fn arrival(&mut self) -> Mono {
        if self.arrived == Mono::ZERO {
            self.arrived = self.worker.now();
        }
        self.arrived
    }

    /// What the session has read last, if it must not see less.
    pub(super) fn seen(&self) -> Option<Seen> {
        self.seen.filter(|_| self.terms.monotonic == Monotonic::On)
    }
}
