//! `pglagoon demo` as its users run it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};

use crate::fixture::{client, eventually, on_each_version, psql, store, succeeded, within};

on_each_version!(the_demo_shows_a_replica_leave_and_come_back);

/// How long it may take until three servers run that have just been made.
const STARTING: Duration = Duration::from_mins(3);

/// A running demo, with a directory of its own for what it makes.
struct Demo {
    process: Child,
    scratch: TempDir,
    printed: Arc<Mutex<String>>,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        // PostgreSQL may run as another user, who has to get through.
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_pglagoon"))
            .arg("demo")
            .args(arguments)
            .env("TMPDIR", scratch.path())
            .env("PGLAGOON_LOCAL", store())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let printed = Arc::<Mutex<String>>::default();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let page = Arc::clone(&printed);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                page.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Self { process, scratch, printed }
    }

    fn text(&self) -> String {
        self.printed.lock().unwrap().clone()
    }

    /// Waits for a line that begins and ends so, behind so much text, and returns what is between.
    async fn line(&mut self, behind: usize, start: &str, end: &str) -> String {
        within(STARTING, start, async || {
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("the demo ended with {status}: {}", self.text());
            }
            let text = self.text();
            let mut lines = text[behind..].lines().map(str::trim);
            lines.find_map(|line| Some(line.strip_prefix(start)?.strip_suffix(end)?.to_owned()))
        })
        .await
    }

    /// Waits until the table shows a node in this state, from now on.
    async fn shows(&mut self, node: &str, state: &str) {
        let behind = self.text().len();
        let wanted = format!("state={state}");
        let what = format!("{node} {wanted}");
        eventually(&what, async || {
            let text = self.text();
            let mut lines = text[behind..].lines();
            lines.any(|line| line.contains(node) && line.contains(&wanted)).then_some(())
        })
        .await;
    }

    /// What Ctrl-C does.
    async fn interrupt(&mut self) -> ExitStatus {
        let id = self.process.id().unwrap().to_string();
        let sent = Command::new("sh").args(["-c", "kill -s INT \"$1\"", "sh", &id]).status();
        assert!(sent.await.unwrap().success());
        self.process.wait().await.unwrap()
    }

    /// Fails if a file or a process is left.
    fn assert_gone(&self) {
        let left: Vec<_> = fs::read_dir(self.scratch.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        let path = self.scratch.path().display().to_string();
        let Ok(processes) = fs::read_dir("/proc") else { return };
        for process in processes.filter_map(Result::ok) {
            let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).into_owned();
            assert!(!command.contains(&path), "{command:?} still runs");
        }
    }
}

async fn the_demo_shows_a_replica_leave_and_come_back(major: u16) {
    let version = major.to_string();
    let arguments = ["--listen", "127.0.0.1:0", "--lag", "2s", "--postgres", &version];
    let mut demo = Demo::start(&arguments);
    let url = demo.line(0, "DATABASE_URL=", "").await;
    assert_eq!(demo.line(0, "psql '", "'").await, url);
    let metrics = demo.line(0, "metrics  http://", "/metrics").await;
    assert!(get(&metrics, "/metrics").await.contains("pglagoon_"));
    eventually("the pooler to be ready", async || {
        get(&metrics, "/readyz").await.starts_with("HTTP/1.1 200").then_some(())
    })
    .await;

    if let Some(output) = psql(&url, &["-c", "SHOW server_version_num"]).await {
        assert!(succeeded(&output).starts_with(&version));
    }
    client(&url).await.batch_execute("SELECT count(*) FROM gauge").await.unwrap();
    demo.shows("replica2", "lagging").await;
    demo.shows("replica2", "up").await;

    assert!(demo.interrupt().await.success());
    let text = demo.text();
    assert!(text.contains(" 0 stale reads, 0 failed statements"), "{text}");
    demo.assert_gone();
    assert!(tokio_postgres::connect(&url, tokio_postgres::NoTls).await.is_err());
}

async fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn an_early_interrupt_leaves_nothing() {
    let mut demo = Demo::start(&["--listen", "127.0.0.1:0"]);
    demo.line(0, "copying it for 2 replicas", "...").await;
    assert!(demo.interrupt().await.success());
    demo.assert_gone();
}

#[tokio::test]
async fn a_taken_port_is_told_with_one_that_is_free() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_pglagoon"))
        .args(["demo", "--listen", &address])
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("choose another, for example --listen 127.0.0.1:"), "{message}");
}
