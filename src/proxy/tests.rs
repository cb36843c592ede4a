//! The whole pooler in this process, in front of a database that cannot be reached.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::{Proxy, StartError};
use crate::config::{Config, Database, Host, ListenAddress, NodeUrl, Overrides, User, UserSecret};

/// A configuration whose only node refuses connections.
async fn config() -> Config {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut config = Config::default();
    config.listen.address = vec![ListenAddress::Tcp(([127, 0, 0, 1], 0).into())];
    config.http.address = Some(([127, 0, 0, 1], 0).into());
    config.admin.admin_users = vec!["root".into()];
    config.admin.stats_users = vec!["watch".into()];
    let primary = NodeUrl {
        name: closed.to_string(),
        host: Host::Tcp("127.0.0.1".into()),
        port: closed.port(),
        user: Some("app".into()),
        password: None,
        dbname: "app".into(),
        sslmode: None,
        ca_file: None,
        weight: 1,
        zone: None,
    };
    let database = Database {
        primary,
        replicas: Vec::new(),
        overrides: Overrides::default(),
        routing: config.routing.clone(),
        monitor: None,
    };
    config.databases.insert("app".into(), database);
    for name in ["root", "watch", "alice"] {
        let (secret, overrides) = (UserSecret::Trust, Overrides::default());
        let routing = crate::config::UserRouting::default();
        config
            .users
            .insert(name.into(), User { secret, server_password: None, overrides, routing });
    }
    config
}

/// Status and body of a GET request.
async fn get(proxy: &Proxy, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(proxy.http_address().unwrap()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Logs in to the admin database.
async fn log_in(proxy: &Proxy, user: &str) -> Client {
    let port = proxy.addresses()[0].port();
    let settings = format!("host=127.0.0.1 port={port} user={user} dbname=pglagoon");
    let (client, connection) = tokio_postgres::connect(&settings, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The rows of a simple query: column by column, text.
async fn rows(client: &Client, command: &str) -> Vec<Vec<Option<String>>> {
    let messages = client.simple_query(command).await.unwrap();
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect())
        }
        _ => None,
    };
    messages.iter().filter_map(row).collect()
}

#[tokio::test]
async fn health_is_told_and_readiness_denied_without_a_node() {
    let proxy = Proxy::start(config().await).unwrap();
    assert_eq!(get(&proxy, "/healthz").await, (200, "ok\n".to_owned()));
    let (status, body) = get(&proxy, "/readyz").await;
    assert_eq!(status, 503);
    assert!(body.contains("app: no usable primary and no eligible replica"), "{body}");
    let (status, body) = get(&proxy, "/metrics").await;
    assert_eq!(status, 200);
    for line in ["pglagoon_build_info{version=", "pglagoon_node_up{database=\"app\""] {
        assert!(body.contains(line), "no {line} in {body}");
    }
    assert_eq!(get(&proxy, "/nowhere").await.0, 404);
    proxy.stop_now().await;
}

#[tokio::test]
async fn the_admin_database_answers_simple_and_extended_queries() {
    let proxy = Proxy::start(config().await).unwrap();
    let client = log_in(&proxy, "watch").await;
    let version = concat!("pgLagoon ", env!("CARGO_PKG_VERSION"));
    assert_eq!(rows(&client, "SHOW VERSION").await, [[Some(version.to_owned())]]);
    let row = client.query_one("SHOW VERSION", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>("version"), version);
    let row = client.query_one("SHOW DATABASES", &[]).await.unwrap();
    assert_eq!((row.get("name"), row.get("pool_size")), ("app", 20_i64));
    let row = client.query_one("SHOW NODES", &[]).await.unwrap();
    assert_eq!((row.get("role"), row.get("state")), ("primary", "down"));
    for (command, state) in
        [("SELECT 1", SqlState::SYNTAX_ERROR), ("PAUSE", SqlState::INSUFFICIENT_PRIVILEGE)]
    {
        let error = client.query(command, &[]).await.unwrap_err();
        assert_eq!(error.code(), Some(&state), "{command}");
    }
    assert_eq!(client.query("SHOW CLIENTS", &[]).await.unwrap().len(), 0);
    proxy.stop_now().await;
}

#[tokio::test]
async fn a_pause_is_seen_and_ended() {
    let proxy = Proxy::start(config().await).unwrap();
    let client = log_in(&proxy, "root").await;
    client.batch_execute("PAUSE app").await.unwrap();
    let paused = client.query_one("SHOW DATABASES", &[]).await.unwrap();
    assert_eq!(paused.get::<_, i64>("paused"), 1);
    client.batch_execute("RESUME; RECONNECT").await.unwrap();
    let resumed = client.query_one("SHOW DATABASES", &[]).await.unwrap();
    assert_eq!(resumed.get::<_, i64>("paused"), 0);
    let error = client.batch_execute("PAUSE nowhere").await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INVALID_CATALOG_NAME));
    proxy.stop_now().await;
}

#[tokio::test]
async fn operators_get_in_when_every_place_is_taken() {
    let mut config = config().await;
    config.listen.max_client_connections = 1;
    let proxy = Proxy::start(config).unwrap();
    let idler = TcpStream::connect(proxy.addresses()[0]).await.unwrap();
    let taken = async {
        while proxy.directory().clients() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), taken).await.unwrap();
    let client = log_in(&proxy, "watch").await;
    assert_eq!(rows(&client, "SHOW STATE").await.len(), 3);
    drop(idler);
    proxy.stop_now().await;
}

#[tokio::test]
async fn a_taken_http_address_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config().await;
    config.http.address = Some(taken.local_addr().unwrap());
    let error = Proxy::start(config).unwrap_err();
    assert!(matches!(error, StartError::Http(..)) && error.to_string().contains("http.address"));
}

#[tokio::test]
async fn whoever_drains_lives_and_is_not_ready() {
    let proxy = Proxy::start(config().await).unwrap();
    proxy.desk.begin_to_drain();
    assert_eq!(get(&proxy, "/healthz").await.0, 200);
    let (status, body) = get(&proxy, "/readyz").await;
    assert_eq!(status, 503);
    assert!(body.contains("pgLagoon is shutting down"), "{body}");
    tokio::time::timeout(Duration::from_mins(1), proxy.drain()).await.unwrap();
}
