//! How the monitor of a cluster reaches its nodes: by the same log-in as everything else.

use std::sync::Arc;

use crate::auth::Credential;
use crate::clock::Clock;
use crate::cluster::Fault;
use crate::cluster::probe::{Dial, PollError, WalSource};
use crate::config::{Config, Database, NodeUrl};
use crate::net::Stream;
use crate::protocol::Version;
use crate::server::{self, ConnectErrorKind, Endpoint, Target};

/// Logs the monitor in to one node.
#[derive(Debug)]
pub(super) struct NodeDial(Result<Target, &'static str>);

impl Dial for NodeDial {
    async fn dial(&mut self) -> Result<Stream, PollError> {
        let target = self.0.as_ref().map_err(|why| PollError::new(Fault::LogIn, *why))?;
        match server::connect(target).await {
            Ok(login) => {
                let _ = login.stream.socket().tune(target.endpoint.keepalive);
                Ok(login.stream)
            }
            Err(error) => {
                let fault = match error.kind() {
                    ConnectErrorKind::Authentication
                    | ConnectErrorKind::Rejected
                    | ConnectErrorKind::TooManyConnections
                    | ConnectErrorKind::NotReady => Fault::LogIn,
                    ConnectErrorKind::Lost => Fault::Lost,
                    ConnectErrorKind::Timeout => Fault::Timeout,
                    ConnectErrorKind::Protocol => Fault::Answer,
                    ConnectErrorKind::Refused
                    | ConnectErrorKind::Tls
                    | ConnectErrorKind::Unreachable => Fault::Unreachable,
                };
                let cause = std::error::Error::source(&error)
                    .map_or_else(String::new, |cause| format!(": {cause}"));
                Err(PollError::new(fault, format!("{error}{cause}")))
            }
        }
    }
}

/// What polls each node of `database`, in the order of its nodes.
pub(super) fn sources(
    config: &Config,
    database: &Database,
    endpoints: &[Arc<Endpoint>],
    clock: Clock,
) -> Vec<WalSource<NodeDial>> {
    database
        .nodes()
        .zip(endpoints)
        .map(|(node, endpoint)| {
            let target = target(config, database, (node, endpoint), "pglagoon monitor");
            WalSource::new(NodeDial(target), clock)
        })
        .collect()
}

/// How the hub reaches the primary of `database`; `None` if no user is known to log in with.
pub(super) fn listener(
    config: &Config,
    database: &Database,
    endpoints: &[Arc<Endpoint>],
) -> Option<Target> {
    let primary = (&database.primary, endpoints.first()?);
    target(config, database, primary, "pglagoon listener").ok()
}

/// As whom pgLagoon itself logs in: the monitor's own user, else the node's, else any configured one whose password is known.
fn target(
    config: &Config,
    database: &Database,
    (node, endpoint): (&NodeUrl, &Arc<Endpoint>),
    application_name: &str,
) -> Result<Target, &'static str> {
    let login = database
        .monitor_login(node)
        .or_else(|| {
            config.users.iter().find_map(|(name, user)| {
                let password = Some(user.server_password()?);
                Some(crate::config::ServerLogin { user: name, password })
            })
        })
        .or_else(|| {
            let name = config.users.keys().next()?;
            Some(crate::config::ServerLogin { user: name, password: None })
        })
        .ok_or("no user is known to log in to the node with: set a user in the node's URL")?;
    let password = login.password.map_or("", |password| password.expose());
    Ok(Target {
        endpoint: Arc::clone(endpoint),
        user: login.user.to_owned(),
        credential: Credential::password(password),
        parameters: vec![
            ("database".into(), node.dbname.clone()),
            ("application_name".into(), application_name.into()),
        ],
        version: Version::V3_0,
    })
}
