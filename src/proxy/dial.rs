//! How the monitor of a cluster reaches its nodes: by the same log-in as everything else.

use std::sync::Arc;

use crate::auth::Credential;
use crate::clock::Clock;
use crate::cluster::probe::{Dial, PollError, WalSource};
use crate::cluster::{Fault, NodeId, catalog};
use crate::config::{Config, Database, NodeUrl, Secret, ServerLogin};
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
                    | ConnectErrorKind::TooManyConnections => Fault::LogIn,
                    ConnectErrorKind::NotReady => Fault::NotReady,
                    ConnectErrorKind::Lost => Fault::Lost,
                    ConnectErrorKind::Timeout => Fault::Timeout,
                    ConnectErrorKind::Protocol => Fault::Answer,
                    ConnectErrorKind::Refused
                    | ConnectErrorKind::Tls
                    | ConnectErrorKind::Unreachable => Fault::Unreachable,
                };
                Err(PollError::new(fault, describe(&error)))
            }
        }
    }
}

fn describe(error: &server::ConnectError) -> String {
    let cause = std::error::Error::source(error);
    format!("{error}{}", cause.map_or_else(String::new, |cause| format!(": {cause}")))
}

/// Reaches the nodes for whoever reads the catalog.
#[derive(Debug)]
pub(super) struct CatalogDial(Vec<CatalogTarget>);

#[derive(Debug)]
struct CatalogTarget {
    endpoint: Arc<Endpoint>,
    login: Result<(String, Secret), &'static str>,
    database: String,
}

impl catalog::Dial for CatalogDial {
    async fn dial(&mut self, node: NodeId) -> Result<catalog::Access, String> {
        let target = self.0.get(node.index()).ok_or("there is no such node")?;
        let (user, password) = target.login.clone()?;
        let stream = target.endpoint.open_for_driver().await.map_err(|error| describe(&error))?;
        Ok(catalog::Access { stream, user, password, database: target.database.clone() })
    }
}

/// What reaches each node of `database` to read its catalog: as the monitor's user.
pub(super) fn catalog(
    config: &Config,
    database: &Database,
    endpoints: &[Arc<Endpoint>],
) -> CatalogDial {
    let target = |(node, endpoint): (&NodeUrl, &Arc<Endpoint>)| {
        let login = login(config, database, node).map(|login| {
            let password = login.password.map_or_else(|| Secret::new(""), Secret::clone);
            (login.user.to_owned(), password)
        });
        let endpoint = Arc::clone(endpoint);
        CatalogTarget { endpoint, login, database: node.dbname.clone() }
    };
    CatalogDial(database.nodes().zip(endpoints).map(target).collect())
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

/// How the hub reaches each node of `database`; `None` if no user is known to log in with.
pub(super) fn listeners(
    config: &Config,
    database: &Database,
    endpoints: &[Arc<Endpoint>],
) -> Vec<Option<Target>> {
    let nodes = database.nodes().zip(endpoints);
    nodes.map(|node| target(config, database, node, "pglagoon listener").ok()).collect()
}

/// As whom pgLagoon itself logs in: the monitor's own user, else the node's, else any configured one whose password is known.
fn login<'a>(
    config: &'a Config,
    database: &'a Database,
    node: &'a NodeUrl,
) -> Result<ServerLogin<'a>, &'static str> {
    database
        .monitor_login(node)
        .or_else(|| {
            config.users.iter().find_map(|(name, user)| {
                let password = Some(user.server_password()?);
                Some(ServerLogin { user: name, password })
            })
        })
        .or_else(|| {
            let name = config.users.keys().next()?;
            Some(ServerLogin { user: name, password: None })
        })
        .ok_or("no user is known to log in to the node with: set a user in the node's URL")
}

fn target(
    config: &Config,
    database: &Database,
    (node, endpoint): (&NodeUrl, &Arc<Endpoint>),
    application_name: &str,
) -> Result<Target, &'static str> {
    let login = login(config, database, node)?;
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
