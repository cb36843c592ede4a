//! Makes a server fit for the client that is going to have it.

use std::sync::Arc;

use crate::clock::Mono;
use crate::net::Liveness;
use crate::pool::{Lease, WorkerId};
use crate::protocol::{ErrorFields, SqlState, frontend};
use crate::server::settings::{Part, Settings, same};
use crate::session::link::{Gate, Link};
use crate::session::machine::{Change, Owed, Request};
use crate::session::worker::Worker;

/// Queues what the server lacks of what its client has, to go out in the same packet as the client's statement.
pub(super) fn bring_up_to_date(
    worker: &Worker,
    link: &mut Link,
    wanted: &Arc<Settings>,
    max_statements: usize,
) {
    if !same(&link.server.settings, wanted) {
        let had = std::mem::replace(&mut link.server.settings, Arc::clone(wanted));
        if had.is_or_becomes_somebody_else(wanted) {
            link.gate = Gate::Shut;
        }
        let mut sql = worker.recycler.borrow_mut().take();
        had.change(wanted, &mut sql, |part, sql| {
            frontend::query(link.to_server.queue(&mut worker.recycler.borrow_mut()), sql);
            let change = if part == Part::Custom { Change::Custom } else { Change::None };
            link.machine.sent(Owed::swallow(Request::Query).with(change));
            link.server.statements.set_unnamed(None);
        });
        worker.recycler.borrow_mut().give(&mut sql);
    }
    make_room(worker, link, max_statements);
}

/// Whether an error tells that an extension has a say in a parameter which was made up before it was loaded: there is no
/// such parameter, it has no such value, or others may set it. PostgreSQL takes such a value away with a warning when it
/// loads the extension (`define_custom_variable` and `MarkGUCPrefixReserved` in `src/backend/utils/misc/guc.c`).
pub(super) fn is_overruled(body: &[u8]) -> bool {
    let codes = [b"22023", b"42501", b"42602", b"42704"];
    ErrorFields(body).code().is_some_and(|SqlState(code)| codes.contains(&&code))
}

/// Has a server to which nothing is on its way forget the statements that it has too many.
#[inline]
pub(super) fn make_room(worker: &Worker, link: &mut Link, max_statements: usize) {
    if link.server.statements.has_too_many(max_statements) {
        let queue = &mut worker.recycler.borrow_mut();
        let closed = link.server.statements.evict(max_statements, link.to_server.queue(queue));
        for _ in 0..closed {
            link.machine.sent(Owed::swallow(Request::Close));
        }
    }
}

/// Brings a server to this worker and makes sure that it lives; a dead one is closed. One that has been idle for
/// `check_delay` is looked at more closely.
pub(super) fn revived(
    worker: &Worker,
    mut lease: Lease<Box<Link>>,
    check_delay: std::time::Duration,
    now: Mono,
) -> Option<Lease<Box<Link>>> {
    let server = &mut lease.server;
    if WorkerId(server.home) != worker.id {
        if server.stream.rehome(worker.home()).is_err() {
            lease.close(now);
            return None;
        }
        server.home = worker.id.0;
    }
    let idle = now.saturating_since(server.last_used);
    let liveness = if idle >= check_delay { Liveness::Sure } else { Liveness::Cheap };
    if server.stream.is_alive(liveness) {
        return Some(lease);
    }
    tracing::debug!(process_id = server.process_id, "an idle server has gone");
    lease.close(now);
    None
}
