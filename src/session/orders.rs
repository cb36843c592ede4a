//! What others ask of a session, and how it ends.

use std::io;
use std::sync::Arc;
use std::task::Context;

use crate::clock::Mono;
use crate::protocol::error_response::Severity;
use crate::protocol::{FrontendTag, backend, frame};
use crate::session::acquire::Moved;
use crate::session::clients::{Activity, Summons};
use crate::session::intake::Used;
use crate::session::respond::{FAREWELL, Trouble};
use crate::session::worker::Stopping;
use crate::session::{Detour, Ended, Pending, Phase, Session, Skip, cancel, cleaning};

impl Session {
    /// Does what others ask of the session.
    pub(super) fn obey(&mut self, cx: &mut Context<'_>, now: Mono) -> Result<Moved, Ended> {
        match self.client.summons.replace(Summons::None) {
            Summons::None => Ok(Moved::No),
            Summons::Stop => match (self.worker.stopping.get(), &self.phase) {
                (Stopping::Now, _) => Err(self.dismiss(&Trouble::Shutdown, cx)),
                (_, Phase::Detached) if !self.held.is_open() => {
                    Err(self.dismiss(&Trouble::Shutdown, cx))
                }
                (_, Phase::Attached(attached))
                    if attached.lease.is_settled() && !attached.pins.is_empty() =>
                {
                    Err(self.dismiss(&Trouble::Shutdown, cx))
                }
                _ => Ok(Moved::No),
            },
            Summons::Cancel => self.cancel(cx, now),
            Summons::Deadline => self.deadline_passed(cx, now),
        }
    }

    /// Cancels what the client waits for. What the server runs for us first must not be hit in its stead: the request
    /// waits until that has been answered.
    fn cancel(&mut self, cx: &mut Context<'_>, now: Mono) -> Result<Moved, Ended> {
        match &self.phase {
            Phase::Waiting(..)
            | Phase::WaitingFresh(_)
            | Phase::WaitingPrimary
            | Phase::WaitingShare(_) => {
                self.refuse(&Trouble::Cancelled, cx, now)?;
                self.pending = Pending::Look;
            }
            Phase::Attached(attached) if attached.lease.machine.awaits_own_query() => {
                self.client.summons.set(Summons::Cancel);
                return Ok(Moved::No);
            }
            Phase::Attached(attached) if self.client.activity.get() == Activity::Active => {
                let canceler = attached.lease.server.canceler.as_ref();
                let patience = attached.patience_to_cancel(now);
                cancel::pass_on(&self.worker, &self.client, canceler, patience);
            }
            Phase::Attached(_) | Phase::Detached => {}
        }
        self.client.cancel_done.take();
        Ok(Moved::Yes)
    }

    pub(super) fn deadline_passed(
        &mut self,
        cx: &mut Context<'_>,
        now: Mono,
    ) -> Result<Moved, Ended> {
        let policy = Arc::clone(&self.policy);
        let limits = &policy.timeouts;
        let trouble = match (&self.phase, self.client.activity.get()) {
            (Phase::Waiting(..), _) => {
                let limit = policy.query_wait_timeout.unwrap_or_default();
                self.refuse(&Trouble::QueryWaitTimeout(limit), cx, now)?;
                self.pending = Pending::Look;
                return Ok(Moved::Yes);
            }
            (Phase::WaitingPrimary, _) => {
                let limit = policy.query_wait_timeout.unwrap_or_default();
                self.refuse(&Trouble::NoPrimary(limit), cx, now)?;
                self.pending = Pending::Look;
                return Ok(Moved::Yes);
            }
            (Phase::WaitingShare(_), _) => {
                let limit = policy.query_wait_timeout.unwrap_or_default();
                self.refuse(&Trouble::ShareTaken(limit), cx, now)?;
                self.pending = Pending::Look;
                return Ok(Moved::Yes);
            }
            (Phase::WaitingFresh(_), _) => return Ok(Moved::No),
            (Phase::Attached(attached), activity) => {
                let too_long =
                    limits.transaction_timeout.filter(|limit| attached.began.plus(*limit) <= now);
                match (too_long, activity) {
                    (Some(limit), _) => Trouble::TransactionTimeout(limit),
                    (None, Activity::IdleInTransaction) => Trouble::IdleTransactionTimeout(
                        limits.idle_transaction_timeout.unwrap_or_default(),
                    ),
                    (None, Activity::Idle) => {
                        Trouble::ClientIdleTimeout(limits.client_idle_timeout.unwrap_or_default())
                    }
                    (None, _) => Trouble::QueryTimeout(limits.query_timeout.unwrap_or_default()),
                }
            }
            (Phase::Detached, Activity::IdleInTransaction) => {
                Trouble::IdleTransactionTimeout(limits.idle_transaction_timeout.unwrap_or_default())
            }
            (Phase::Detached, _) => {
                Trouble::ClientIdleTimeout(limits.client_idle_timeout.unwrap_or_default())
            }
        };
        Err(self.dismiss(&trouble, cx))
    }

    /// The batch that waits cannot be run: the client is told, and the batch is dropped.
    pub(super) fn refuse(
        &mut self,
        trouble: &Trouble,
        cx: &mut Context<'_>,
        now: Mono,
    ) -> Result<(), Ended> {
        self.phase = Phase::Detached;
        self.become_idle(now);
        self.refuse_batch(trouble, cx)
    }

    /// Reports an error in the place of a batch that has not been sent: what belongs to it is skipped, as a
    /// server would.
    pub(super) fn refuse_batch(
        &mut self,
        trouble: &Trouble,
        cx: &mut Context<'_>,
    ) -> Result<(), Ended> {
        self.say(|out| trouble.encode(Severity::Error, out));
        self.held.fail();
        self.skip = Skip::Batch;
        self.detour = Detour::None;
        self.arrived = Mono::ZERO;
        self.push_to_client(cx)
    }

    /// After an error: drops the batch. If it is not a Query it ends with its Sync, whatever stands between.
    pub(super) fn skip_to_sync(
        &mut self,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Used, Ended> {
        let header = match frame::header(bytes) {
            Ok(Some(header)) => header,
            Ok(None) => return Ok(Used::Stop(0)),
            Err(error) => return Err(self.dismiss(&Trouble::Protocol(error.to_string()), cx)),
        };
        match FrontendTag(header.tag) {
            FrontendTag::TERMINATE => return Err(Ended::Client),
            FrontendTag::QUERY | FrontendTag::FUNCTION_CALL if self.skip == Skip::ToSync => {
                self.skip = Skip::BytesToSync(header.size);
                return Ok(Used::Bytes(0));
            }
            FrontendTag::SYNC | FrontendTag::QUERY | FrontendTag::FUNCTION_CALL => {
                let status = self.held.status();
                self.say(|out| backend::ready_for_query(out, status));
                self.push_to_client(cx)?;
            }
            _ => {
                self.skip = Skip::BytesToSync(header.size);
                return Ok(Used::Bytes(0));
            }
        }
        self.skip = Skip::Bytes(header.size);
        Ok(Used::Bytes(0))
    }

    /// Tells the client why it must go, unless it would take that for the rest of a message.
    pub(super) fn dismiss(&mut self, trouble: &Trouble, cx: &mut Context<'_>) -> Ended {
        let is_midway = match &self.phase {
            Phase::Attached(attached) => attached.lease.is_showing(),
            _ => false,
        };
        if !is_midway {
            self.say(|out| trouble.encode(Severity::Fatal, out));
        }
        match self.push_to_client(cx) {
            Ok(()) => Ended::Dismissed,
            Err(ended) => ended,
        }
    }

    /// Leaves everything as it should be left. A client that was dismissed is given [`FAREWELL`] to take what it is
    /// still owed; its server is not kept for that.
    pub(super) async fn finish(&mut self, ended: &Ended) {
        match ended {
            Ended::Client => tracing::debug!("client has left"),
            Ended::ClientSocket(error) => tracing::debug!(%error, "client connection failed"),
            Ended::Dismissed => tracing::debug!("client was dismissed"),
        }
        if let Phase::Attached(attached) = std::mem::replace(&mut self.phase, Phase::Detached) {
            cancel::end_repeats(&self.client);
            cleaning::abandon(&self.worker, &self.client, attached);
        }
        if matches!(ended, Ended::Dismissed) && !self.to_client.is_empty() {
            // Boxed: every idle client's future has room for what stands here.
            let _ = Box::pin(tokio::time::timeout(FAREWELL, self.flush_to_client())).await;
        }
        self.stream.close();
        self.worker.clients.dismiss(&self.client);
    }

    /// Waits until the client has taken all that it is owed.
    async fn flush_to_client(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| {
            let recycler = &mut *self.worker.recycler.borrow_mut();
            self.to_client.poll_send(&mut self.stream, cx, recycler)
        })
        .await
    }
}
