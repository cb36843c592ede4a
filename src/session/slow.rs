//! The log of slow statements.

use std::time::Duration;

use crate::cluster::NodeId;
use crate::protocol::TransactionStatus;
use crate::session::clients::Client;
use crate::session::link::Link;

/// Logs a statement that `node` has just answered. Its text is told only without its literals, and only if it comes often:
/// nothing else is kept of it.
#[cold]
pub(super) fn log(client: &Client, (link, node): (&Link, NodeId), took: Duration) {
    let backend = &client.backend;
    let name = backend.cluster.node(node).map_or("", |node| node.name());
    let texts = backend.traffic.iter().map(|traffic| traffic.frequent.text(link.fingerprint));
    tracing::info!(
        database = &*backend.database,
        user = &*backend.user,
        client = client.process_id,
        node = name,
        reason = link.reason.as_str(),
        in_transaction = link.machine.status() != TransactionStatus::Idle,
        ?took,
        fingerprint = %format_args!("{:016x}", link.fingerprint),
        statement = texts.flatten().next().as_deref().unwrap_or_default(),
        "slow statement"
    );
}
