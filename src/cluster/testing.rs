//! Clusters without a monitor, for tests here and in `route`.

use std::sync::Arc;

use super::{Cluster, Node, NodeId, Role, Usable};
use crate::clock::{Clock, Mono};
use crate::config::Routing;

/// A primary and a replica of each of these weights.
pub(crate) fn cluster(weights: &[u32], routing: Routing) -> Arc<Cluster> {
    let mut nodes = vec![Node::new(NodeId::FIRST, "primary", Role::Primary, 1)];
    for (&weight, index) in weights.iter().zip(1..) {
        let name = format!("replica{index}");
        nodes.push(Node::new(NodeId(index), &name, Role::Replica, weight));
    }
    Arc::new(Cluster::of_nodes("app", nodes.into(), routing, Clock::of_tokio()))
}

/// Publishes what the monitor would.
pub(crate) fn publish(cluster: &Cluster, id: NodeId, fresh_as_of: Mono, usable: Usable) {
    cluster.node(id).expect("a node").publish(fresh_as_of, usable, fresh_as_of);
}

/// Publishes the instant that lag is measured from.
pub(crate) fn hold(cluster: &Cluster, at: Mono) {
    cluster.held_at.store(at.0, std::sync::atomic::Ordering::Release);
}

/// A primary and a replica in each of these zones.
pub(crate) fn cluster_in_zones(zones: &[&str], routing: Routing) -> Arc<Cluster> {
    let mut nodes = vec![Node::new(NodeId::FIRST, "primary", Role::Primary, 1)];
    for (zone, index) in zones.iter().zip(1..) {
        let node = Node::new(NodeId(index), zone, Role::Replica, 1);
        nodes.push(node.in_zone(zone));
    }
    Arc::new(Cluster::of_nodes("app", nodes.into(), routing, Clock::of_tokio()))
}
