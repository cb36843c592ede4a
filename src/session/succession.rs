//! When the primary goes, and when another node becomes it.
//!
//! Whoever needs the primary while there is none waits, for as long as for a server (`query_wait_timeout`), and is routed
//! again when the cluster has news. Whoever is in the midst of something on a primary that was replaced is disconnected:
//! what it did there is lost or unknown, and what it would do next must not be done there.

use std::task::Context;

use crate::clock::Mono;
use crate::cluster::{Cluster, NodeId, Term};
use crate::pool::WaitError;
use crate::session::acquire::Moved;
use crate::session::clients::Activity;
use crate::session::respond::Trouble;
use crate::session::{Ended, Pending, Phase, Session};

/// What a server was chosen as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The primary of this term.
    Primary(Term),
    /// A replica, when the cluster had seen so many setbacks.
    Replica(u32),
}

impl Side {
    #[inline]
    pub(super) const fn is_replica(self) -> bool {
        matches!(self, Self::Replica(_))
    }

    #[inline]
    pub(super) const fn is_primary(self) -> bool {
        matches!(self, Self::Primary(_))
    }

    /// Whether it was a replica, and what was known of its freshness holds no longer: it may have been restarted, and show
    /// less than before.
    #[inline]
    pub(super) fn may_have_gone_back(self, cluster: &Cluster) -> bool {
        matches!(self, Self::Replica(setbacks) if setbacks != cluster.setbacks())
    }

    /// Whether it was the primary, and another is now.
    fn is_over(self, now: Term) -> bool {
        matches!(self, Self::Primary(term) if term != now)
    }
}

impl Session {
    /// The batch waits until there is a primary.
    ///
    /// # Errors
    ///
    /// It has waited for as long as it may.
    pub(super) fn await_primary(&mut self, now: Mono) -> Result<(), Trouble> {
        self.arrived = if self.arrived == Mono::ZERO { now } else { self.arrived };
        let limit = self.policy.query_wait_timeout;
        let deadline = limit.map_or(Mono::MAX, |limit| self.arrived.plus(limit));
        if deadline <= now {
            return Err(Trouble::NoPrimary(limit.unwrap_or_default()));
        }
        self.phase = Phase::WaitingPrimary;
        self.client.set_activity(Activity::Waiting, self.arrived, deadline);
        Ok(())
    }

    /// The wait for a primary goes on until the cluster has news, which may have come since this wake-up began.
    pub(super) fn poll_primary(&mut self) -> Moved {
        if self.client.backend.cluster.version() == self.version {
            return Moved::No;
        }
        self.look_again();
        Moved::Yes
    }

    /// The cluster has news: perhaps another primary.
    ///
    /// # Errors
    ///
    /// The session was in the midst of something on the primary before.
    pub(super) fn heed_primary(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        let term = self.client.backend.cluster.term();
        match &self.phase {
            Phase::Attached(attached) if attached.side.is_over(term) => {
                return Err(self.dismiss(&Trouble::PrimaryReplaced, cx));
            }
            Phase::Waiting(queued) if queued.side.is_over(term) => self.look_again(),
            Phase::WaitingPrimary => self.look_again(),
            _ => {}
        }
        Ok(())
    }

    /// A server of the primary `node` cannot be had: the batch waits if that may be a matter of time.
    ///
    /// # Errors
    ///
    /// `trouble`, or what the client is to be told instead.
    pub(super) fn miss_primary(
        &mut self,
        node: NodeId,
        trouble: Trouble,
        now: Mono,
    ) -> Result<(), Trouble> {
        let is_away = match &trouble {
            Trouble::NoServer(WaitError::ConnectFailed(error)) => error.kind().is_away(),
            other => matches!(other, Trouble::ServerLost),
        };
        if is_away && self.client.backend.cluster.doubt(node) {
            self.await_primary(now)
        } else {
            Err(trouble)
        }
    }

    fn look_again(&mut self) {
        self.phase = Phase::Detached;
        self.pending = Pending::Look;
    }
}
