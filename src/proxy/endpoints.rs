//! From configuration to what sockets need: endpoints of nodes, doors for clients.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{ClientTlsMode, Config, NodeUrl};
use crate::net::tls::{Acceptor, Connector, TlsError};
use crate::server::Endpoint;
use crate::session::directory::Doors;

/// When TCP asks whether a silent server is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How to reach `node`.
///
/// # Errors
///
/// Its authority file cannot be used.
pub(super) fn endpoint(config: &Config, node: &NodeUrl) -> Result<Endpoint, TlsError> {
    let mode = node.sslmode.unwrap_or(config.tls_server.mode);
    let authority = node.ca_file.as_ref().or(config.tls_server.ca_file.as_ref());
    Ok(Endpoint {
        host: node.host.clone(),
        port: node.port,
        tls: Connector::new(mode, authority.map(std::path::PathBuf::as_path))?,
        timeout: config.timeouts.server_connect_timeout,
        keepalive: KEEPALIVE,
    })
}

/// How clients may come in.
///
/// # Errors
///
/// The certificate or its key cannot be used.
pub(super) fn doors(config: &Config) -> Result<Doors, TlsError> {
    let tls = &config.tls_client;
    let acceptor = match (tls.mode, &tls.cert_file, &tls.key_file) {
        (ClientTlsMode::Disable, _, _) => None,
        (_, Some(certificate), Some(key)) => {
            Some(Arc::new(Acceptor::from_files(certificate, key)?))
        }
        _ => None,
    };
    Ok(Doors { mode: tls.mode, acceptor, max_startup_packet: config.limits.max_startup_packet })
}
