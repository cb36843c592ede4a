//! Cancel requests: a connection of their own, without an answer.
//!
//! A request is passed on only while the client's server runs something for it, and nothing of our own, and the server
//! is not handed on before the cancel connection has closed: a late cancel hits nobody
//! (<https://www.postgresql.org/docs/current/protocol-flow.html>, "Canceling Requests in Progress"). Nor is the client's own
//! cancel connection closed before: drivers wait for that, and then send the next statement.
//!
//! A server that has not begun with a statement ignores the request ("Query cancel is supposed to be a no-op when there is
//! no query in progress", `PostgresMain` in `src/backend/tcop/postgres.c`). A client knows when it has sent its statement,
//! but not when that got a server; so the request is repeated while nothing has come of a statement that was sent a moment
//! ago.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::server::Canceler;
use crate::session::clients::{Activity, Cancelling, Client, Summons};
use crate::session::worker::Worker;

/// How long after it was sent a server may not have begun with a statement.
pub(super) const SLOW_TO_BEGIN: Duration = Duration::from_secs(1);

/// How long a statement has to end after the first request; after each further one twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Cancels what the client with this key waits for; nothing if there is none, or if it waits for nothing. `done` is
/// dropped when that is over.
pub fn request(worker: &Rc<Worker>, process_id: i32, secret: &[u8], done: oneshot::Sender<()>) {
    let Some(client) = worker.clients.with_key(process_id, secret) else {
        tracing::debug!("cancel request with an unknown key");
        return;
    };
    match client.activity.get() {
        Activity::Active | Activity::Waiting | Activity::WaitingForReplica => {
            client.cancel_done.replace(Some(done));
            client.summon(Summons::Cancel);
        }
        Activity::Idle | Activity::IdleInTransaction => {}
    }
}

/// Cancels what the client's server runs, in the way that it has told: again and again for as long as `patience`, until
/// the client is shown what has come of it.
pub(super) fn pass_on(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    canceler: Option<&Arc<Canceler>>,
    patience: Duration,
) {
    let done = client.cancel_done.take();
    let Some(canceler) = canceler.map(Arc::clone) else {
        tracing::debug!("the server gave no cancel key");
        return;
    };
    client.cancelling.set(match client.cancelling.get() {
        Cancelling::No => Cancelling::Yes(1),
        Cancelling::Yes(count) => Cancelling::Yes(count + 1),
        // One has failed, and its server will be closed. But what it was to end may still run, there or elsewhere.
        Cancelling::Unsure => Cancelling::Unsure,
    });
    worker.stats.cancels.add(1);
    let (until_answered, answered) = oneshot::channel();
    client.until_answered.replace(Some(until_answered));
    let client = Rc::clone(client);
    worker.spawn(async move {
        let sent = send_until(&client, &canceler, answered, Instant::now() + patience).await;
        drop(done);
        client.cancelling.set(match (sent, client.cancelling.get()) {
            (Delivery::Closed, Cancelling::Yes(count)) if count > 1 => Cancelling::Yes(count - 1),
            (Delivery::Closed, Cancelling::Yes(_) | Cancelling::No) => Cancelling::No,
            (Delivery::Unknown, _) | (_, Cancelling::Unsure) => Cancelling::Unsure,
        });
        client.wake();
    });
}

/// What a request that was not passed on yet was to end is over: it must not hit what comes next, and whoever has sent it
/// waits no longer.
#[inline]
pub(super) fn forget(client: &Client) {
    if client.summons.get() == Summons::Cancel {
        client.summons.set(Summons::None);
        client.cancel_done.take();
    }
}

/// A cancel request is not repeated any more: what it was to end is over, or something else is on its way, which must not be
/// hit.
#[inline]
pub(super) fn end_repeats(client: &Client) {
    if client.cancelling.get() != Cancelling::No {
        client.until_answered.take();
    }
}

/// What is known of a cancel request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// The server has closed its connection: it cannot hit anything any more.
    Closed,
    /// It may hit whatever runs later.
    Unknown,
}

/// Sends cancel requests until one fails, the client has been `answered`, or it is late.
async fn send_until(
    client: &Client,
    canceler: &Arc<Canceler>,
    mut answered: oneshot::Receiver<()>,
    late: Instant,
) -> Delivery {
    let mut pause = FIRST_PAUSE;
    loop {
        let delivery = send(client, canceler).await;
        if delivery == Delivery::Unknown || Instant::now() >= late {
            return delivery;
        }
        // Nothing is ever sent there.
        if timeout(pause, &mut answered).await.is_ok() {
            return delivery;
        }
        pause *= 2;
    }
}

/// Sends one cancel request and waits until the server has closed the connection.
pub(super) async fn send(client: &Client, canceler: &Arc<Canceler>) -> Delivery {
    let patience = client.backend.policy().timeouts.cancel_timeout;
    match canceler.cancel(patience).await {
        Ok(()) => Delivery::Closed,
        Err(error) => {
            tracing::warn!(%error, database = %client.backend.database, "cancel request failed");
            Delivery::Unknown
        }
    }
}
