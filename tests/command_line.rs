//! The program as scripts see it: what it prints where, and its exit code.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::support::prelude::eventually;

/// Runs `pglagoon` with `arguments` and only those variables.
fn pglagoon(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pglagoon"));
    command.args(arguments).env_clear().envs(variables.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn example(name: &str) -> String {
    format!("{}/config/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn check_is_content_with_every_file_that_is_shipped() {
    for name in ["reference.toml", "minimal.toml", "read-write-split.toml", "session-mode.toml"] {
        let output = pglagoon(&["check", "--config", &example(name)], &[]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("no problems; databases: app"));
        assert!(output.stderr.is_empty());
    }
}

#[test]
fn check_tells_every_problem_on_standard_error_and_exits_with_64() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(
        file,
        "[pool]\nmode = \"x\"\n[banana]\n[databases.app]\nprimary = \"postgres://u:pw@h\"\n"
    )
    .unwrap();
    let arguments = ["check", "--config", file.path().to_str().unwrap()];
    let output = pglagoon(&arguments, &[("PGLAGOON_ROUTING__MAX_LAG", "soon")]);
    assert_eq!(output.status.code(), Some(64));
    assert!(output.stdout.is_empty());
    let told: Vec<_> = text(&output.stderr).lines().collect();
    assert!(told[0].ends_with(": 3 problems"), "{told:?}");
    assert!(told[1].starts_with("  banana: unknown table"), "{told:?}");
    assert!(told[2].starts_with("  pool.mode: unknown value \"x\""), "{told:?}");
    assert!(told[3].ends_with("(environment variable PGLAGOON_ROUTING__MAX_LAG)"), "{told:?}");
}

#[test]
fn a_slip_in_the_command_line_exits_with_64_and_help_with_0() {
    assert_eq!(pglagoon(&["check", "--confg", "x"], &[]).status.code(), Some(64));
    assert_eq!(pglagoon(&["--help"], &[]).status.code(), Some(0));
    assert_eq!(pglagoon(&["--version"], &[]).status.code(), Some(0));
}

/// The program while it serves nobody in particular; killed when dropped.
struct Running {
    child: Child,
    files: tempfile::TempDir,
}

impl Running {
    /// Runs it after these commands, which set its limits, with a place for each of `clients`.
    fn start(limits: &str, clients: usize) -> Self {
        let files = tempfile::tempdir().unwrap();
        let log = File::create(files.path().join("log")).unwrap();
        let script = format!("{limits} && exec \"$@\"");
        let child = Command::new("sh")
            .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_pglagoon")])
            .args(["--listen", "127.0.0.1:0", "--primary", "postgres://u:pw@127.0.0.1:1/db"])
            .env("PGLAGOON_HTTP__ADDRESS", "")
            .env("PGLAGOON_LISTEN__WORKERS", "1")
            .env("PGLAGOON_LISTEN__MAX_CLIENT_CONNECTIONS", clients.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, files }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.files.path().join("log")).unwrap()
    }

    async fn address(&self) -> SocketAddr {
        eventually("it listens", || self.log().contains("listening address=")).await;
        let log = self.log();
        let (_, rest) = log.split_once("listening address=").unwrap();
        rest.lines().next().unwrap().trim().parse().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn as_many_files_may_be_open_as_the_system_allows() {
    let running = Running::start("ulimit -Sn 100 && ulimit -Hn 500", 400);
    running.address().await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", running.child.id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().nth(3), Some("500"), "{files}");
    let log = running.log();
    assert!(log.contains("too few files") && log.contains("files=500 wanted=1400"), "{log}");
    assert!(log.contains("started workers=1"), "{log}");
}

/// Each connection that ends makes room for one that waits; the log has the beginning and the end of it, and no more.
#[tokio::test]
async fn connections_that_there_are_no_files_for_wait() {
    let running = Running::start("ulimit -n 60", 400);
    let address = running.address().await;
    let knock = |_| {
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        // An SSLRequest: whoever is let in is told "N".
        client.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).unwrap();
        client
    };
    let clients: Vec<TcpStream> = (0..100).map(knock).collect();
    eventually("the files run out", || running.log().contains("cannot accept")).await;
    for mut client in clients {
        let mut answer = [0];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"N");
    }
    eventually("nobody waits", || running.log().contains("accepted again")).await;
    assert_eq!(running.log().matches("cannot accept").count(), 1, "{}", running.log());
}
