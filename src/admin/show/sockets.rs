//! SHOW CLIENTS and SHOW SERVERS.

use super::{Scene, Show, split};
use crate::admin::table::{Cell, Row, int, text};
use crate::admin::timestamp;
use crate::protocol::backend::Column;
use crate::telemetry::overview::SocketOverview;

/// One row for each client.
pub(in crate::admin) const CLIENTS: Show =
    Show { columns: COLUMNS, rows: |scene| rows("C", scene) };

/// One row for each server connection that is idle or has a client.
pub(in crate::admin) const SERVERS: Show =
    Show { columns: COLUMNS, rows: |scene| rows("S", scene) };

const COLUMNS: &[Column] = &[
    text("type"),
    text("user"),
    text("database"),
    text("replication"),
    text("state"),
    text("addr"),
    int("port"),
    text("local_addr"),
    int("local_port"),
    text("connect_time"),
    text("request_time"),
    int("wait"),
    int("wait_us"),
    int("close_needed"),
    text("ptr"),
    text("link"),
    int("remote_pid"),
    text("tls"),
    text("application_name"),
    int("prepared_statements"),
    int("id"),
    text("node"),
    text("pinned"),
    int("channels"),
    int("prepared_bytes"),
];

fn rows(kind: &str, scene: &Scene) -> Vec<Row> {
    scene.sockets.iter().map(|socket| row(kind, socket)).collect()
}

fn row(kind: &str, socket: &SocketOverview) -> Row {
    let [wait, wait_us] = split(socket.wait);
    let address = socket.address.as_ref();
    vec![
        kind.into(),
        (&socket.user).into(),
        (&socket.database).into(),
        socket.replication.into(),
        socket.state.into(),
        address.map_or("unix", |(host, _)| host).into(),
        address.map_or(0, |(_, port)| u32::from(*port)).into(),
        Cell::Null,
        Cell::Null,
        timestamp::show(socket.connected).into(),
        timestamp::show(socket.requested).into(),
        wait,
        wait_us,
        Cell::Int(0),
        (&socket.ptr).into(),
        (&socket.link).into(),
        socket.process_id.into(),
        Cell::Null,
        (&socket.application_name).into(),
        socket.prepared.map_or(Cell::Null, Cell::from),
        socket.process_id.into(),
        (&socket.node).into(),
        socket.pinned.into(),
        socket.channels.into(),
        socket.prepared_bytes.map_or(Cell::Null, Cell::from),
    ]
}
