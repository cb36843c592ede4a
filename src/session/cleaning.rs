//! What happens to a server whose client has left it in the midst of something.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::timeout;

use crate::pool::Lease;
use crate::protocol::TransactionStatus;
use crate::server::{Server, exchange};
use crate::session::clients::{Cancelling, Client};
use crate::session::link::Link;
use crate::session::pins::Stains;
use crate::session::sequences::Use;
use crate::session::worker::Worker;
use crate::session::{Attached, Wrote, cancel};

/// Lets go of a server whose client has gone.
///
/// If the server waits in peace it is cleaned and used again; if it runs something, that is cancelled and the
/// connection closed: a half-sent request must never be completed by somebody else's bytes.
pub(super) fn abandon(worker: &Rc<Worker>, client: &Rc<Client>, attached: Attached) {
    let Attached { mut lease, node, wrote, .. } = attached;
    if wrote == Wrote::Schema {
        client.backend.cluster.schema_changed();
    }
    client.backend.cluster.end(node, worker.lane());
    let is_at_rest = lease.machine.owes_nothing()
        && !lease.machine.is_in_doubt()
        && lease.machine.at_boundary()
        && lease.is_still();
    if is_at_rest && client.cancelling.get() == Cancelling::No {
        clean(worker, lease, client.backend.policy().timeouts.server_reset_timeout);
        return;
    }
    if lease.machine.owes_nothing() {
        lease.close(worker.now());
        return;
    }
    let client = Rc::clone(client);
    let here = Rc::clone(worker);
    worker.spawn(async move {
        evict(&client, &mut lease.server).await;
        lease.close(here.now());
    });
}

/// How long a server has to end after the first cancel request; after each further one twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Ends what a server runs for nobody. Until it has ended, or `cancel_timeout` has passed, it counts as busy, as it is.
///
/// FIN has it end when it reads on. One cancel request is not enough: a process that has not begun with the statement
/// yet ignores it (ProcessInterrupts in PostgreSQL's postgres.c, `DoingCommandRead`), and so may the next statement of
/// a pipeline.
async fn evict(client: &Client, server: &mut Server) {
    let Some(canceler) = server.canceler.clone() else { return };
    server.stream.close();
    let mut pause = FIRST_PAUSE;
    let ended = timeout(client.backend.policy().timeouts.cancel_timeout, async {
        loop {
            cancel::send(client, &canceler).await;
            // It has ended as well if the connection has failed.
            if timeout(pause, server.stream.drain()).await.is_ok() {
                return;
            }
            pause *= 2;
        }
    });
    if ended.await.is_err() {
        let process_id = canceler.process_id();
        tracing::warn!(
            process_id,
            "a server still runs what its client has left, in spite of cancel requests"
        );
    }
}

/// Gives a server back, after a ROLLBACK and DISCARD ALL if it needs them.
pub(super) fn clean(worker: &Rc<Worker>, mut lease: Lease<Box<Link>>, within: Duration) {
    let needs_rollback = lease.machine.status() != TransactionStatus::Idle;
    if lease.stains.contains(Stains::FOREVER) {
        lease.close(worker.now());
        return;
    }
    if !needs_rollback && lease.stains.is_empty() {
        lease.put_back(worker.now());
        return;
    }
    let here = Rc::clone(worker);
    worker.spawn(async move {
        if wash(&mut lease, within).await.is_ok() {
            lease.put_back(here.now());
        } else {
            lease.close(here.now());
        }
    });
}

/// Gives back a server on which a transaction has begun in which nothing has been done.
pub(super) fn roll_back(worker: &Rc<Worker>, mut lease: Lease<Box<Link>>, within: Duration) {
    let here = Rc::clone(worker);
    worker.spawn(async move {
        if exchange::run(&mut lease.server, b"ROLLBACK", within).await.is_ok() {
            lease.machine = crate::session::machine::Machine::default();
            lease.put_back(here.now());
        } else {
            lease.close(here.now());
        }
    });
}

/// What DISCARD ALL does (<https://www.postgresql.org/docs/current/sql-discard.html>), except for prepared statements,
/// which are ours on the server, and for sequences, which have their own keeper.
const WASH_KEEPING_STATEMENTS: &[u8] =
    b"CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
    SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP";

/// Ends the transaction and undoes what the session has left behind.
async fn wash(link: &mut Link, within: Duration) -> Result<(), exchange::ExchangeError> {
    if link.machine.status() != TransactionStatus::Idle {
        exchange::run(&mut link.server, b"ROLLBACK", within).await?;
        link.machine = crate::session::machine::Machine::default();
        // A SET within the transaction is undone, but which values then hold is not followed here.
        link.stains |= Stains::SESSION;
    }
    if link.stains.contains(Stains::SESSION) {
        // Cannot run in a transaction block, so it goes alone
        // (<https://www.postgresql.org/docs/current/sql-discard.html>).
        exchange::run(&mut link.server, b"DISCARD ALL", within).await?;
        link.server.statements.clear();
        link.server.settings = std::sync::Arc::default();
        link.sequences = Use::NONE;
    } else if !link.stains.intersects(Stains::FUNCTION | Stains::SETTINGS) {
        exchange::run(&mut link.server, &link.stains.remedies(), within).await?;
        link.server.statements.set_unnamed(None);
    } else {
        exchange::run(&mut link.server, WASH_KEEPING_STATEMENTS, within).await?;
        link.server.statements.set_unnamed(None);
        link.server.settings = std::sync::Arc::default();
    }
    link.stains = Stains::empty();
    link.unseen.clear();
    Ok(())
}
