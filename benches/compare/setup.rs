//! What is compared, and what it stands in front of.

use std::error::Error;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use pglagoon::demo::{Authentication, Cluster, ClusterBuilder, Search};

use crate::options::Protocol;
use crate::pooler::Kind;

/// Rows of pgbench, in units of 100,000.
const SCALE: &str = "2";

/// Set in the environment of a process whose file limit has been raised.
const RAISED: &str = "PGLAGOON_BENCH_FILES_RAISED";

/// Everything that all runs share.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) cluster: Cluster,
    /// Where pgbench is.
    tools: PathBuf,
    pub(crate) pgbouncer: Option<PgBouncer>,
    /// For configurations and logs.
    scratch: tempfile::TempDir,
    postgres: String,
}

/// PgBouncer as it is on this machine.
#[derive(Debug)]
pub(crate) struct PgBouncer {
    pub(crate) program: PathBuf,
    pub(crate) version: (u32, u32),
}

impl Setup {
    /// Finds or installs the programs, and starts a primary with two replicas.
    pub(crate) async fn start() -> Result<Self, Box<dyn Error>> {
        let search = Search::new();
        let installation = search.find_or_install()?;
        let tools = search.tools()?;
        let pgbouncer = PgBouncer::find_or_install();
        let cluster = ClusterBuilder::new(&installation)
            .replicas(2)
            .authentication(Authentication::Trust)
            .setting("shared_buffers", "128MB")
            .start()
            .await?;
        let scratch = tempfile::Builder::new()
            .prefix("pglagoon-bench-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir()?;
        let url = cluster.primary().url();
        let filled = Command::new(tools.join("pgbench"))
            .args(["--initialize", "--quiet", "--scale", SCALE, &url])
            .output()?;
        if !filled.status.success() {
            return Err(String::from_utf8_lossy(&filled.stderr).into_owned().into());
        }
        cluster.wait_caught_up().await?;
        let postgres = cluster.primary().query_text("SHOW server_version").await?;
        let postgres = postgres.unwrap_or_default();
        Ok(Self { cluster, tools, pgbouncer, scratch, postgres })
    }

    /// What takes part.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        let mut kinds = vec![Kind::SplitOff, Kind::SplitOn];
        kinds.extend(self.pgbouncer.as_ref().map(|_| Kind::PgBouncer));
        kinds
    }

    /// Whether a pooler can be measured with a protocol at all.
    pub(crate) fn speaks(&self, kind: Kind, protocol: Protocol) -> bool {
        kind != Kind::PgBouncer
            || protocol != Protocol::Prepared
            || self.pgbouncer.as_ref().is_some_and(PgBouncer::keeps_statements)
    }

    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    pub(crate) fn pgbench(&self) -> Command {
        Command::new(self.tools.join("pgbench"))
    }

    /// The versions, and what cannot be compared.
    pub(crate) fn describe(&self) -> String {
        let pgbouncer = match &self.pgbouncer {
            None => {
                "there is no PgBouncer here and none can be installed: nothing to compare with. \
                     PGLAGOON_PGBOUNCER may name its program."
                    .to_owned()
            }
            Some(found) => {
                let (major, minor) = found.version;
                let lacks = if found.keeps_statements() {
                    ""
                } else {
                    " (before 1.21: without prepared statements in transaction mode, so not in `prepared`)"
                };
                format!("PgBouncer {major}.{minor}, {}{lacks}", found.program.display())
            }
        };
        format!(
            "pgLagoon {}, {pgbouncer}\nPostgreSQL {}, a primary and two replicas on this machine: {}",
            env!("CARGO_PKG_VERSION"),
            self.postgres,
            machine()
        )
    }
}

impl PgBouncer {
    fn find_or_install() -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/pgbouncer.sh");
        let found = Command::new("sh").args([script, "get"]).output().ok()?;
        let program = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        if !found.status.success() || program.is_empty() {
            eprint!("{}", String::from_utf8_lossy(&found.stderr));
            return None;
        }
        let printed = Command::new(&program).arg("--version").output().ok()?;
        let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
        let version = printed.split_whitespace().nth(1)?;
        let mut numbers = version.split('.').map_while(|part| part.parse().ok());
        Some(Self { program: program.into(), version: (numbers.next()?, numbers.next()?) })
    }

    /// Whether it knows `max_prepared_statements`.
    pub(crate) fn keeps_statements(&self) -> bool {
        self.version >= (1, 21)
    }
}

/// What this machine is: a figure without it says little.
pub(crate) fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?").to_owned();
    format!("{processors} processors, Linux {}, load {load} before the start", kernel.trim())
}

/// Starts this program again with as many files as the system allows, unless that is so already.
pub(crate) fn raise_file_limit() -> Result<(), Box<dyn Error>> {
    if env::var_os(RAISED).is_some() {
        return Ok(());
    }
    let error = Command::new("sh")
        .args(["-c", "ulimit -n \"$(ulimit -Hn)\"; exec \"$@\"", "sh"])
        .arg(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(RAISED, "1")
        .exec();
    Err(error.into())
}
