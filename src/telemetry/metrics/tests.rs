use std::time::Duration;

use super::*;
use crate::telemetry::overview::{BackendOverview, DatabaseOverview, NodeOverview, PoolOverview};
use crate::telemetry::{Totals, Traffic};

fn overview() -> Overview {
    let traffic = Traffic::default();
    traffic.queries.record(Duration::from_micros(3));
    traffic.queries.record(Duration::from_millis(5));
    traffic.sent.add(77);
    Overview {
        logins: 4,
        databases: vec![DatabaseOverview {
            name: "app".into(),
            nodes: vec![NodeOverview {
                name: "db:5432".into(),
                role: "replica",
                is_up: true,
                lag: Some(Duration::from_millis(250)),
                ..NodeOverview::default()
            }],
            primary_changes: 3,
            ..DatabaseOverview::default()
        }],
        backends: vec![BackendOverview {
            database: "app".into(),
            user: "a\"b".into(),
            totals: Totals::of(&traffic),
            routes: vec![("read", 9)],
            clients: vec![("idle", 2), ("waiting", 1)],
            pools: vec![PoolOverview {
                node: "db:5432".into(),
                idle: 3,
                waiting: 1,
                ..PoolOverview::default()
            }],
            ..BackendOverview::default()
        }],
        ..Overview::default()
    }
}

#[track_caller]
fn assert_line(text: &str, line: &str) {
    assert!(text.lines().any(|one| one == line), "no line {line:?} in\n{text}");
}

#[test]
fn every_kind_of_series_is_rendered_with_its_labels() {
    let text = Exporter::default().render(&overview());
    for line in [
        "# TYPE pglagoon_logins_total counter",
        "pglagoon_logins_total 4",
        r#"pglagoon_node_up{database="app",node="db:5432",role="replica"} 1"#,
        r#"pglagoon_node_lag_seconds{database="app",node="db:5432",role="replica"} 0.25"#,
        r#"pglagoon_node_lag_bytes{database="app",node="db:5432",role="replica"} NaN"#,
        r#"pglagoon_routed_total{database="app",reason="read"} 9"#,
        r#"pglagoon_primary_up{database="app"} 0"#,
        r#"pglagoon_primary_changes_total{database="app"} 3"#,
        r#"pglagoon_sent_bytes_total{database="app",user="a\"b"} 77"#,
        r#"pglagoon_clients{database="app",user="a\"b",state="idle"} 2"#,
        r#"pglagoon_clients_waiting{database="app",user="a\"b"} 1"#,
        r#"pglagoon_servers{database="app",user="a\"b",node="db:5432",state="idle"} 3"#,
    ] {
        assert_line(&text, line);
    }
}

#[test]
fn a_histogram_is_cumulative_and_ends_at_infinity() {
    let text = Exporter::default().render(&overview());
    for line in [
        "# TYPE pglagoon_query_seconds histogram",
        r#"pglagoon_query_seconds_bucket{database="app",user="a\"b",le="0.000002"} 0"#,
        r#"pglagoon_query_seconds_bucket{database="app",user="a\"b",le="0.000004"} 1"#,
        r#"pglagoon_query_seconds_bucket{database="app",user="a\"b",le="0.008192"} 2"#,
        r#"pglagoon_query_seconds_bucket{database="app",user="a\"b",le="+Inf"} 2"#,
        r#"pglagoon_query_seconds_sum{database="app",user="a\"b"} 0.005003"#,
        r#"pglagoon_query_seconds_count{database="app",user="a\"b"} 2"#,
    ] {
        assert_line(&text, line);
    }
}

#[test]
fn values_follow_and_series_of_what_has_gone_go() {
    let mut exporter = Exporter::default();
    let mut overview = overview();
    exporter.render(&overview);
    overview.logins = 6;
    let text = exporter.render(&overview);
    assert_line(&text, "pglagoon_logins_total 6");
    assert!(text.contains("pglagoon_servers"));
    overview.backends.clear();
    let text = exporter.render(&overview);
    assert_line(&text, "pglagoon_logins_total 6");
    assert!(!text.contains("pglagoon_servers") && !text.contains("pglagoon_query_seconds"));
}
