//! The program under test, as its users run it: a process with a configuration file, signals and a log.

use std::{
    fmt::Write as _,
    fs::{self, File},
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use parking_lot::Mutex;
use pglagoon::demo::{Cluster, Node};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::OnceCell,
};
use tokio_postgres::Client;

use crate::fixture::{VERSIONS, client, eventually, index, shared_cluster};

/// Runs a program that is killed once our end of its standard input closes, however this process ends.
const TIED: &str = r#"
    exec 3<&0 </dev/null
    { read -r _ <&3; kill -KILL $$; } 2>/dev/null &
    exec 3<&- "$@"
"#;

/// A running pglagoon; killed when dropped or when this process ends.
pub(crate) struct Pooler {
    process: Mutex<Child>,
    id: u32,
    url: String,
    address: SocketAddr,
    files: PathBuf,
}

impl Pooler {
    /// In front of this cluster, with these keys of the configuration (`pool.mode`, TOML) on top of the usual;
    /// an empty value leaves a key out.
    ///
    /// Its files lie in the cluster's directory, and go with that.
    pub(crate) async fn start(cluster: &Cluster, keys: &[(&str, &str)]) -> Self {
        let replicas: Vec<&Node> = cluster.replicas().collect();
        Self::start_with(cluster, (cluster.primary(), &replicas), keys).await
    }

    /// The same, taking the nodes for what they are said to be: primary and replicas.
    pub(crate) async fn start_with(
        cluster: &Cluster,
        (primary, replicas): (&Node, &[&Node]),
        keys: &[(&str, &str)],
    ) -> Self {
        let files = cluster.directory().join(crate::fixture::unique("pooler"));
        let quoted = |text: String| format!("{text:?}");
        let replicas: Vec<String> = replicas.iter().map(|node| quoted(node.url())).collect();
        let mut all = vec![
            ("listen.address", quoted("127.0.0.1:0".to_owned())),
            ("http.address", quoted(String::new())),
            ("databases.app.primary", quoted(primary.url())),
            ("databases.app.replicas", format!("[{}]", replicas.join(", "))),
            ("users.app.password", quoted(cluster.app_password().to_owned())),
        ];
        for (key, value) in keys {
            all.retain(|(other, _)| other != key);
            all.push((key, (*value).to_owned()));
        }
        let text = all.iter().filter(|(_, value)| !value.is_empty()).fold(
            String::new(),
            |mut text, (key, value)| {
                let _ = writeln!(text, "{key} = {value}");
                text
            },
        );
        fs::write(files.with_extension("toml"), text).unwrap();
        let child = run(&files);
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let id = child.id();
        let mut pooler =
            Self { process: Mutex::new(child), id, url: String::new(), address: unknown, files };
        pooler.address = eventually("the pooler to listen", async || {
            assert!(pooler.exit().is_none(), "{}", pooler.log());
            let log = pooler.log();
            let (_, rest) = log.split_once("listening address=")?;
            rest.lines().next()?.trim().parse().ok()
        })
        .await;
        pooler.url = cluster.app_url_at(pooler.address);
        pooler
    }

    /// The address of the database `app` for the user `app`, by way of the pooler.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// A connection to the admin database; `admin.admin_users` must have `app`.
    pub(crate) async fn operator(&self) -> Client {
        let (server, _) = self.url.rsplit_once('/').unwrap();
        client(&format!("{server}/pglagoon")).await
    }

    /// What it tells Prometheus; `http.address` must be `"127.0.0.1:0"`.
    pub(crate) async fn metrics(&self) -> String {
        let log = self.log();
        let (_, rest) = log.split_once("serving metrics and health address=").unwrap();
        let address = rest.lines().next().unwrap().trim();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// The value of this series, which must be one that it tells Prometheus.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let metrics = self.metrics().await;
        let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in {metrics}")).parse().unwrap()
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.files.with_extension("log")).unwrap_or_default()
    }

    /// Puts something else into its file, which it does not read before it is told to.
    pub(crate) fn configure(&self, old: &str, new: &str) {
        let file = self.files.with_extension("toml");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(old), "{text}");
        fs::write(file, text.replace(old, new)).unwrap();
    }

    /// Sends it a signal: `TERM`, `INT`, `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("sh")
            .args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &self.id.to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// How it has ended, if it has.
    pub(crate) fn exit(&self) -> Option<ExitStatus> {
        self.process.lock().try_wait().unwrap()
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&self) -> ExitStatus {
        eventually("the pooler to end", async || self.exit()).await
    }

    /// Its resident memory in KiB, where the system tells.
    pub(crate) fn resident(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    }

    /// Fails if a part of it has panicked.
    pub(crate) fn check(&self) {
        let log = self.log();
        assert!(!log.contains("panicked"), "{log}");
        assert!(self.exit().is_none(), "{log}");
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let process = self.process.get_mut();
        // Before its number is given up: what it is tied with kills by number.
        drop(process.stdin.take());
        let _ = process.kill();
        let _ = process.wait();
        if std::thread::panicking() {
            eprintln!("the pooler's log:\n{}", self.log());
        }
    }
}

fn run(files: &Path) -> Child {
    let log = File::create(files.with_extension("log")).unwrap();
    Command::new("sh")
        .args(["-c", TIED, "sh", env!("CARGO_BIN_EXE_pglagoon"), "--config"])
        .arg(files.with_extension("toml"))
        .stdin(Stdio::piped())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .process_group(0)
        .spawn()
        .unwrap()
}

/// The pooler in front of the shared cluster, for tests that leave it as they found it.
///
/// Small pools and two workers, so that clients share servers and hand them over.
pub(crate) async fn shared_pooler(major: u16) -> &'static Pooler {
    static STARTED: [OnceCell<Pooler>; VERSIONS.len()] =
        [OnceCell::const_new(), OnceCell::const_new()];
    let start = async || {
        let keys = [("pool.default_pool_size", "8"), ("listen.workers", "2")];
        Pooler::start(shared_cluster(major).await, &keys).await
    };
    let pooler = STARTED[index(major)].get_or_init(start).await;
    pooler.check();
    pooler
}
