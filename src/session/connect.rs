//! Opening a server connection for a pool, on the worker that wants it.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Mono;
use crate::pool::{Permit, Pooled as _};
use crate::reactor::Home;
use crate::server::census::Register;
use crate::server::{self, ConnectError, Login, Server, Target};
use crate::session::link::Link;
use crate::session::worker::Worker;

/// The permission to open one server connection, and all that is needed for it.
#[derive(Debug)]
pub struct Opening {
    pub(crate) permit: Permit<Box<Link>>,
    pub(crate) target: Arc<Target>,
    /// How long the connection may live; `None` for ever.
    pub(crate) lifetime: Option<Duration>,
    /// The node's name, for the log.
    pub(crate) node: Box<str>,
    /// Where it is entered.
    pub(crate) register: Arc<Register>,
}

impl Opening {
    /// Logs in and hands the server to the pool. To be run by the reactor of `worker`.
    ///
    /// # Cancel safety
    ///
    /// Dropping it takes the permission back.
    pub async fn run(self, worker: &Worker) {
        let Self { permit, target, lifetime, node, register } = self;
        let clock = worker.clock;
        match connect(&target, worker.home()).await {
            Ok(login) => {
                let now = clock.now();
                let _ = login.stream.socket().tune(target.endpoint.keepalive);
                let retire_at = lifetime.map_or(Mono::MAX, |limit| now.plus(jittered(limit)));
                let server = Server::new(login, worker.id.0, now, retire_at);
                tracing::debug!(%node, process_id = server.process_id, "server connected");
                register.enter(server.key(), server.statements.census());
                let link = Link::new(server);
                debug_assert_eq!(link.home(), worker.id);
                permit.opened(link, now);
            }
            Err(error) => {
                tracing::warn!(
                    %node, user = %target.user, kind = error.kind().as_str(), %error,
                    cause = std::error::Error::source(&error).map(tracing::field::display),
                    "could not connect to a server"
                );
                permit.failed(Arc::new(error), clock.now());
            }
        }
    }
}

/// Logs in, and brings the socket home from where tokio has connected it.
pub(super) async fn connect(target: &Target, home: &Arc<Home>) -> Result<Login, ConnectError> {
    let mut login = server::connect(target).await?;
    login.stream.rehome(home).map_err(ConnectError::Lost)?;
    Ok(login)
}

/// A lifetime that differs by up to a fifth, so that connections opened together do not close together.
fn jittered(lifetime: Duration) -> Duration {
    lifetime.mul_f64(rand::random_range(0.8..=1.0))
}
