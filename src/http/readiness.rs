//! Whether clients can be served.

use serde_json::{Value, json};

use crate::telemetry::overview::{DatabaseOverview, NodeOverview, Overview, Phase, Service};

/// What a load balancer wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Clients may come.
    Ready,
    /// They had better not.
    NotReady,
}

/// Whether every database has a node that can be used and nothing stops, with the reasons.
pub(super) fn judge(overview: &Overview) -> (Verdict, Value) {
    let mut missing = Vec::new();
    if overview.phase == Phase::Draining {
        missing.push("pgLagoon is shutting down".to_owned());
    }
    missing.extend(overview.databases.iter().filter_map(lacks));
    let is_ready = missing.is_empty();
    let databases: serde_json::Map<String, Value> =
        overview.databases.iter().map(|one| (one.name.clone(), describe(one))).collect();
    let body = json!({
        "status": if is_ready { "ready" } else { "not ready" },
        "missing": missing,
        "databases": databases,
    });
    (if is_ready { Verdict::Ready } else { Verdict::NotReady }, body)
}

/// What a database lacks, if it lacks something.
fn lacks(database: &DatabaseOverview) -> Option<String> {
    if database.nodes.iter().any(|node| node.is_up) {
        return None;
    }
    let state = |node: &NodeOverview| {
        let reason = if node.reason.is_empty() { node.state } else { &node.reason };
        format!("{} {}: {reason}", node.role, node.name)
    };
    let states: Vec<String> = database.nodes.iter().map(state).collect();
    let name = &database.name;
    Some(format!("{name}: no usable primary and no eligible replica ({})", states.join("; ")))
}

fn describe(database: &DatabaseOverview) -> Value {
    let nodes: Vec<Value> = database
        .nodes
        .iter()
        .map(|node| json!({ "name": node.name, "role": node.role, "state": node.state }))
        .collect();
    json!({
        "ready": lacks(database).is_none(),
        "paused": database.service == Service::Paused,
        "nodes": nodes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overview(is_up: [bool; 2]) -> Overview {
        let node = |role, is_up| NodeOverview {
            name: format!("{role}:5432"),
            role,
            is_up,
            state: if is_up { "up" } else { "down" },
            reason: if is_up { String::new() } else { "cannot be reached".into() },
            ..NodeOverview::default()
        };
        let database = DatabaseOverview {
            name: "app".into(),
            nodes: vec![node("primary", is_up[0]), node("replica", is_up[1])],
            ..DatabaseOverview::default()
        };
        Overview { databases: vec![database], ..Overview::default() }
    }

    #[test]
    fn one_usable_node_is_enough() {
        for is_up in [[true, true], [true, false], [false, true]] {
            assert_eq!(judge(&overview(is_up)).0, Verdict::Ready);
        }
    }

    #[test]
    fn without_any_the_body_says_what_is_missing() {
        let (verdict, body) = judge(&overview([false, false]));
        assert_eq!(verdict, Verdict::NotReady);
        let missing = body["missing"][0].as_str().unwrap();
        assert!(missing.starts_with("app: no usable primary and no eligible replica"), "{missing}");
        assert!(missing.contains("replica replica:5432: cannot be reached"), "{missing}");
        assert_eq!(body["databases"]["app"]["nodes"][0]["state"], "down");
    }

    #[test]
    fn whoever_is_leaving_is_not_ready() {
        let draining = Overview { phase: Phase::Draining, ..overview([true, true]) };
        let (verdict, body) = judge(&draining);
        assert_eq!(verdict, Verdict::NotReady);
        assert_eq!(body["missing"][0], "pgLagoon is shutting down");
    }
}
