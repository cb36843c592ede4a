//! Whether what a configuration names can be used: certificates, authorities, secrets. Trying is the only test.

use std::error::Error;

use pglagoon::auth::Secret;
use pglagoon::config::{ClientTlsMode, Config, Database, Problems, User};
use pglagoon::net::tls::{Acceptor, Connector};

use super::with_causes;

/// Notes everything that cannot be used.
pub(super) fn inspect(config: &Config, problems: &mut Problems) {
    let client = &config.tls_client;
    if let (true, Some(certificate), Some(key)) =
        (client.mode != ClientTlsMode::Disable, &client.cert_file, &client.key_file)
    {
        note("tls.client.cert_file", Acceptor::from_files(certificate, key), problems);
    }
    let server = &config.tls_server;
    note("tls.server.ca_file", Connector::new(server.mode, server.ca_file.as_deref()), problems);
    for (name, database) in &config.databases {
        nodes(config, name, database, problems);
    }
    for (name, User { secret, .. }) in &config.users {
        note(&format!("users.{name}.password"), Secret::configured(secret), problems);
    }
}

/// Tries the authorities of the nodes that have their own.
fn nodes(config: &Config, name: &str, database: &Database, problems: &mut Problems) {
    let primary = (format!("databases.{name}.primary"), &database.primary);
    let replicas = database.replicas.iter().enumerate();
    let replicas = replicas.map(|(i, node)| (format!("databases.{name}.replicas[{i}]"), node));
    for (key, node) in std::iter::once(primary).chain(replicas) {
        if node.sslmode.is_some() || node.ca_file.is_some() {
            let mode = node.sslmode.unwrap_or(config.tls_server.mode);
            let authorities = node.ca_file.as_ref().or(config.tls_server.ca_file.as_ref());
            note(&key, Connector::new(mode, authorities.map(AsRef::as_ref)), problems);
        }
    }
}

/// Notes a failure with all its causes.
fn note<T, E: Error>(key: &str, result: Result<T, E>, problems: &mut Problems) {
    if let Err(error) = result {
        problems.report(key, with_causes(&error));
    }
}
