use super::*;
use crate::admin::command::{COMMANDS, Does};
use crate::admin::testing::Sample;
use crate::admin::{Pooler, Question, Side};

async fn scene() -> Scene {
    let sample = Sample::default();
    let question = Question { database: None, user: None, statement: "select 1".into() };
    Scene {
        overview: sample.overview(),
        sockets: sample.sockets(Side::Clients).await,
        findings: sample.forecast(&question).unwrap(),
        config: sample.config(),
        period: sample.period(),
    }
}

/// The values of the named column of every row.
fn column(show: &Show, scene: &Scene, name: &str) -> Vec<Cell> {
    let at = show.columns.iter().position(|column| column.name == name).unwrap();
    (show.rows)(scene).into_iter().map(|row| row[at].clone()).collect()
}

#[tokio::test]
async fn every_row_has_a_cell_for_each_column() {
    let scene = scene().await;
    for command in COMMANDS {
        let (Does::Help(show) | Does::Route(show) | Does::Show(show) | Does::Sockets(_, show)) =
            command.does
        else {
            continue;
        };
        let rows = (show.rows)(&scene);
        assert!(!rows.is_empty(), "{command:?}");
        for row in rows {
            assert_eq!(row.len(), show.columns.len(), "{command:?}");
            for (cell, column) in row.iter().zip(show.columns) {
                use crate::protocol::backend::ColumnType;
                let fits = matches!(
                    (cell, column.kind),
                    (Cell::Null, _)
                        | (Cell::Text(_), ColumnType::Text)
                        | (Cell::Int(_), ColumnType::Int8)
                        | (Cell::Real(_), ColumnType::Float8)
                );
                assert!(fits, "{command:?}: {} is {cell:?}", column.name);
            }
        }
    }
}

#[tokio::test]
async fn the_clients_of_all_nodes_add_up() {
    let scene = scene().await;
    assert_eq!(column(&POOLS, &scene, "cl_active"), [Cell::Int(6), Cell::Int(1)]);
    assert_eq!(column(&POOLS, &scene, "cl_waiting"), [Cell::Int(1), Cell::Int(0)]);
    assert_eq!(column(&POOLS, &scene, "maxwait"), [Cell::Int(2), Cell::Int(0)]);
    assert_eq!(column(&POOLS, &scene, "maxwait_us"), [Cell::Int(3), Cell::Int(0)]);
}

#[tokio::test]
async fn averages_are_per_second_and_times_per_event() {
    let scene = scene().await;
    for (name, value) in [
        ("total_query_count", 2),
        ("total_query_time", 4_000),
        ("avg_query_count", 0),
        ("avg_query_time", 2_000),
        ("avg_sent", 100),
        ("avg_wait_time", 2_000),
    ] {
        assert_eq!(column(&STATS, &scene, name), [Cell::Int(value)], "{name}");
    }
}

#[tokio::test]
async fn instants_and_lags_are_shown_in_words_and_milliseconds() {
    let scene = scene().await;
    let request_time = column(&CLIENTS, &scene, "request_time");
    assert_eq!(request_time, [Cell::from("1970-01-01 00:01:01 UTC")]);
    assert_eq!(column(&NODES, &scene, "lag_ms"), [Cell::Null, Cell::Real(1.5)]);
}

#[tokio::test]
async fn secrets_are_masked() {
    let mut scene = scene().await;
    let mut config = Config::default();
    let secret = crate::config::UserSecret::Password(crate::config::Secret::new("hunter2"));
    let overrides = crate::config::Overrides::default();
    let routing = crate::config::UserRouting::default();
    let user = crate::config::User { secret, server_password: None, overrides, routing };
    config.users.insert("alice".into(), user);
    scene.config = Arc::new(config);
    let values = column(&CONFIG, &scene, "value");
    assert!(!values.iter().any(|value| format!("{value:?}").contains("hunter2")));
}
