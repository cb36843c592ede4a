//! Replication connections: a client that speaks with a walsender has a server connection of its own.
//!
//! It takes a place in the pool of the primary, waits for one like everybody, and is opened with the client's own startup
//! parameters. From then on messages pass untouched, in both directions at once ([`Replication`]). Nobody gets that
//! server afterwards.

mod framing;
mod relay;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Mono;
use crate::cluster::{NodeId, Office, Term};
use crate::pool::{Checkout, Lease, Pool, WaitError, Wants};
use crate::protocol::backend::parameter_status;
use crate::server::settings::Value;
use crate::server::{Server, Target};
use crate::session::backend::Backend;
use crate::session::connect;
use crate::session::link::Link;
use crate::session::ours;
use crate::session::refusal::Refusal;
use crate::session::respond::Trouble;
use crate::session::startup::Request;
use crate::session::worker::Worker;

pub use relay::Replication;

/// What a client wants to replicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The whole cluster, as files or as its log. No database belongs to it.
    Physical,
    /// What happens in one database.
    Logical,
}

impl Kind {
    /// What a startup packet asks for, `None` for an ordinary session. As `ProcessStartupPacket` in
    /// `src/backend/tcop/backend_startup.c`.
    ///
    /// # Errors
    ///
    /// The value is none that PostgreSQL takes.
    pub(super) fn read(value: &str) -> Result<Option<Self>, String> {
        match (value, ours::switch(value)) {
            ("database", _) => Ok(Some(Self::Logical)),
            (_, Some("on")) => Ok(Some(Self::Physical)),
            (_, Some(_)) => Ok(None),
            (_, None) => Err(format!("invalid value for parameter \"replication\": \"{value}\"")),
        }
    }

    /// The word that SHOW CLIENTS and SHOW SERVERS show.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Physical => "physical",
            Self::Logical => "logical",
        }
    }

    /// The value of the startup parameter.
    const fn parameter(self) -> &'static str {
        match self {
            Self::Physical => "true",
            Self::Logical => "database",
        }
    }
}

/// A server connection for replication, in its place in the pool.
#[derive(Debug)]
pub(super) struct Walsender {
    lease: Lease<Box<Link>>,
    node: NodeId,
    term: Term,
}

/// Opens a server connection for replication, as `kind` and with what else the client has asked for.
///
/// # Errors
///
/// What the client is to be told: what the server itself has said, if it refuses.
///
/// # Cancel safety
///
/// Dropping the future gives up the place, and closes the connection.
pub(super) async fn open(
    worker: &Rc<Worker>,
    backend: &Arc<Backend>,
    (request, kind): (&Request, Kind),
) -> Result<Walsender, Refusal> {
    let Office { node, term } = primary(backend).await.map_err(Refusal::Trouble)?;
    let lost = || Refusal::Trouble(Trouble::ServerLost);
    let target = backend.targets.get(node.index()).ok_or_else(lost)?;
    let pool = backend.pool(node).ok_or_else(lost)?;
    let mut lease = place(worker, pool).await.map_err(Refusal::Trouble)?;
    // One that was there is given up: it has logged in as something else.
    lease.terminate();
    let target = Target { parameters: parameters(target, request, kind), ..(**target).clone() };
    let login = connect::connect(&target, worker.home()).await.map_err(|error| {
        tracing::warn!(
            user = %target.user, kind = error.kind().as_str(), %error,
            cause = std::error::Error::source(&error).map(tracing::field::display),
            "could not connect to a server for replication"
        );
        Refusal::Trouble(Trouble::NoServer(WaitError::ConnectFailed(Arc::new(error))))
    })?;
    let _ = login.stream.socket().tune(target.endpoint.keepalive);
    *lease = Link::new(Server::new(login, worker.id.0, worker.now(), Mono::MAX));
    Ok(Walsender { lease, node, term })
}

/// The primary, as soon as there is one.
async fn primary(backend: &Backend) -> Result<Office, Trouble> {
    let limit = backend.policy().query_wait_timeout.unwrap_or(Duration::MAX);
    let waited = tokio::time::timeout(limit, backend.cluster.await_primary()).await;
    waited.map_err(|_| Trouble::NoPrimary(limit))
}

/// A place in `pool`, as soon as there is one.
async fn place(worker: &Worker, pool: &Arc<Pool<Box<Link>>>) -> Result<Lease<Box<Link>>, Trouble> {
    let wish = (worker.id, Wants::Place);
    let leased = match pool.checkout_wanted(wish, worker.now()) {
        Ok(Checkout::Ready(lease)) => Ok(lease),
        Ok(Checkout::Wait(ticket)) => ticket.await,
        Err(error) => Err(error),
    };
    leased.map_err(Trouble::NoServer)
}

/// The startup parameters: those of every server, and the client's.
fn parameters(target: &Target, request: &Request, kind: Kind) -> Vec<(String, String)> {
    let mut all = target.parameters.clone();
    all.push(("replication".into(), kind.parameter().into()));
    if !request.application_name.is_empty() {
        all.push(("application_name".into(), request.application_name.clone()));
    }
    for (name, value) in request.settings.iter() {
        if let Value::Config(value) = value {
            all.push((name.to_owned(), value.to_string()));
        }
    }
    all
}

impl Walsender {
    /// Appends what the server has told of itself at log-in.
    pub(super) fn introduce(&self, out: &mut Vec<u8>) {
        for (name, value) in &self.lease.server.reported {
            parameter_status(out, name.as_bytes(), value.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_startup_parameter_is_read_as_postgresql_does() {
        for value in ["true", "TRUE", "t", "on", "On", "yes", "y", "1"] {
            assert_eq!(Kind::read(value), Ok(Some(Kind::Physical)), "{value}");
        }
        for value in ["false", "off", "of", "no", "n", "0"] {
            assert_eq!(Kind::read(value), Ok(None), "{value}");
        }
        assert_eq!(Kind::read("database"), Ok(Some(Kind::Logical)));
        for value in ["", "o", "Database", "data", "2", "logical"] {
            assert!(Kind::read(value).is_err(), "{value}");
        }
    }
}
