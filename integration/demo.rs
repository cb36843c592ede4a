//! `pglagoon demo`, in front of its cluster a relay that knows nothing of PostgreSQL.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use pglagoon::{
    config::{Config, ListenAddress},
    demo::{Front, NodeStatus, Options, Surface, run_until},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

use crate::fixture::{client, eventually};

/// Sends every connection to the primary as it is.
struct Relay {
    address: SocketAddr,
    names: Vec<String>,
    task: JoinHandle<()>,
}

impl Relay {
    async fn start(config: Config) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let [ListenAddress::Tcp(listen)] = config.listen.address[..] else { panic!() };
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let database = &config.databases["app"];
        let primary = database.primary.port;
        let names = database.nodes().map(|node| node.name.clone()).collect();
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(("127.0.0.1", primary)).await.unwrap();
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Ok(Self { address, names, task })
    }
}

impl Front for Relay {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn http_address(&self) -> Option<SocketAddr> {
        None
    }

    fn nodes(&self) -> Vec<NodeStatus> {
        let status = |name: &String| NodeStatus {
            name: name.clone(),
            role: "replica",
            state: "up",
            lag: None,
            reads: 0,
            writes: 0,
            connections: 0,
        };
        self.names.iter().map(status).collect()
    }

    fn shutdown(self) -> impl Future<Output = ()> {
        self.task.abort();
        async {}
    }
}

/// What the demo has written so far.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Screen {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Waits for a line that starts so, and returns its rest.
    async fn line(&self, start: &str) -> String {
        eventually(start, async || {
            let text = self.text();
            text.lines().find_map(|line| line.trim().strip_prefix(start)).map(str::to_owned)
        })
        .await
    }
}

impl std::io::Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_demo_prints_an_address_that_works_and_leaves_nothing_behind() {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let lag = Some(Duration::from_secs(2));
    let options = Options { listen, lag, replicas: 1, ..Options::default() };
    let screen = Screen::default();
    let mut out = screen.clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopped = async { stopped.await.unwrap_or_default() };
    let visitor = async {
        let url = screen.line("DATABASE_URL=").await;
        let visitor = client(&url).await;
        // The workload counts what it writes.
        let mut readings = 0_i64;
        while readings < 5 {
            let sql = "SELECT sum(readings)::bigint FROM gauge";
            readings = visitor.query_one(sql, &[]).await.unwrap().get(0);
        }
        screen.line("node=\"replica1 127.0.0.1:").await;
        stop.send(()).unwrap();
        url
    };
    let demo = run_until(options, Relay::start, stopped, (&mut out, Surface::Plain));
    let both = async { tokio::join!(demo, visitor) };
    let (result, url) = timeout(Duration::from_mins(1), both).await.expect("the demo hangs");
    result.unwrap();
    let text = screen.text();
    assert!(text.contains("workload: 0 stale reads, 0 failed statements"), "{text}");
    assert!(tokio_postgres::connect(&url, tokio_postgres::NoTls).await.is_err());
}

#[tokio::test]
async fn a_taken_address_ends_the_demo_before_it_starts_anything() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = Options { listen: taken.local_addr().unwrap(), ..Options::default() };
    let mut out = Vec::new();
    let shown = (&mut out, Surface::Plain);
    let result = run_until(options, Relay::start, std::future::pending(), shown).await;
    let message = result.unwrap_err().to_string();
    assert!(message.contains("choose another, for example --listen 127.0.0.1:"), "{message}");
    assert!(out.is_empty());
}
