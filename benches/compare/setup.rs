//! What is compared, and what it stands in front of.

use std::error::Error;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::{env, fs};

use pglagoon::demo::{Authentication, Cluster, ClusterBuilder, Installation, Search};

use crate::configuration::{Config, Entrance, Nodes};
use crate::front::Kind;
use crate::options::Company;

/// Rows of pgbench, in units of 100,000.
const SCALE: &str = "2";

/// The password of the user `app` where one is asked for.
pub(crate) const PASSWORD: &str = "secret";

/// Set in the environment of a process whose file limit has been raised.
const RAISED: &str = "PGLAGOON_BENCH_FILES_RAISED";

/// Everything that all runs share.
#[derive(Debug)]
pub(crate) struct Setup {
    cluster: Cluster,
    installation: Installation,
    /// pgLagoon.
    pub(crate) program: PathBuf,
    /// Where pgbench is.
    tools: PathBuf,
    pub(crate) pgbouncer: Option<PgBouncer>,
    pub(crate) pgpool: Option<PathBuf>,
    company: Company,
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
    pub(crate) async fn start(program: &Path, company: Company) -> Result<Self, Box<dyn Error>> {
        let search = Search::new();
        let installation = search.find_or_install()?;
        let tools = search.tools()?;
        let cluster = cluster(&installation, 2).await?;
        let scratch = tempfile::Builder::new()
            .prefix("pglagoon-bench-")
            .permissions(PermissionsExt::from_mode(0o777))
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
        let (pgbouncer, pgpool) = match company {
            Company::Nobody => (None, None),
            Company::Others => (PgBouncer::find_or_install(), find_or_install("pgpool")),
        };
        let setup = Self {
            cluster,
            installation,
            program: program
                .canonicalize()
                .map_err(|error| format!("{}: {error}", program.display()))?,
            tools,
            pgbouncer,
            pgpool,
            company,
            scratch,
            postgres: postgres.unwrap_or_default(),
        };
        setup.make_certificate()?;
        Ok(setup)
    }

    /// Another cluster, for a workload that leaves nothing as it was.
    pub(crate) async fn cluster_of_its_own(&self) -> Result<Cluster, Box<dyn Error>> {
        cluster(&self.installation, 1).await
    }

    /// In front of the cluster, as most workloads have it: one thread, no password.
    pub(crate) fn config(&self, servers: u32) -> Config {
        let nodes = nodes(&self.cluster);
        Config { servers, workers: 1, entrance: Entrance::Trust, nodes }
    }

    /// The first processes of the servers.
    pub(crate) fn servers(&self) -> Vec<u32> {
        nodes(&self.cluster).pids
    }

    /// Whether a program can be measured with prepared statements.
    pub(crate) fn keeps_statements(&self, kind: Kind) -> bool {
        kind != Kind::PgBouncer || self.pgbouncer.as_ref().is_some_and(PgBouncer::keeps_statements)
    }

    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// The certificate that clients see, for the name `localhost`.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.scratch().join("server.crt")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.scratch().join("server.key")
    }

    /// What a client must know to trust that certificate.
    pub(crate) fn trust(&self) -> Result<Arc<rustls::ClientConfig>, Box<dyn Error>> {
        use rustls::pki_types::{CertificateDer, pem::PemObject as _};

        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.certificate())?)?;
        let config = rustls::ClientConfig::builder().with_root_certificates(roots);
        Ok(Arc::new(config.with_no_client_auth()))
    }

    fn make_certificate(&self) -> Result<(), Box<dyn Error>> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
        fs::write(self.certificate(), made.cert.pem())?;
        fs::write(self.key(), made.signing_key.serialize_pem())?;
        // PgBouncer reads it as somebody else.
        fs::set_permissions(self.key(), PermissionsExt::from_mode(0o644))?;
        Ok(())
    }

    pub(crate) fn pgbench(&self) -> Command {
        Command::new(self.tools.join("pgbench"))
    }

    /// Whether we are root: the owner of what we have just made tells.
    pub(crate) fn is_root(&self) -> bool {
        fs::metadata(self.scratch()).is_ok_and(|made| made.uid() == 0)
    }

    /// The versions, and what cannot be compared.
    pub(crate) fn describe(&self) -> String {
        let pgbouncer = match &self.pgbouncer {
            None if self.company == Company::Nobody => "alone".to_owned(),
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
                    " (before 1.21: without prepared statements in transaction mode)"
                };
                format!("PgBouncer {major}.{minor}, {}{lacks}", found.program.display())
            }
        };
        let pgpool = self.pgpool.as_ref().map_or("no Pgpool-II", |_| "Pgpool-II");
        format!(
            "pgLagoon {}, {pgbouncer}, {pgpool}\nPostgreSQL {}, a primary and two replicas on this machine: {}",
            env!("CARGO_PKG_VERSION"),
            self.postgres,
            machine()
        )
    }
}

async fn cluster(installation: &Installation, replicas: usize) -> Result<Cluster, Box<dyn Error>> {
    let builder = ClusterBuilder::new(installation)
        .replicas(replicas)
        .authentication(Authentication::Trust)
        .setting("max_connections", "500")
        .setting("shared_buffers", "128MB");
    Ok(builder.start().await?)
}

/// A cluster's servers, as they are told to a pooler and watched.
pub(crate) fn nodes(cluster: &Cluster) -> Nodes {
    let pid = |data: &Path| -> Option<u32> {
        let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok()
    };
    Nodes {
        primary: cluster.primary().port(),
        replicas: cluster.replicas().map(pglagoon::demo::Node::port).collect(),
        pids: cluster.nodes().iter().filter_map(|node| pid(node.data())).collect(),
    }
}

impl PgBouncer {
    fn find_or_install() -> Option<Self> {
        let program = find_or_install("pgbouncer")?;
        let printed = Command::new(&program).arg("--version").output().ok()?;
        let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
        let version = printed.split_whitespace().nth(1)?;
        let mut numbers = version.split('.').map_while(|part| part.parse().ok());
        Some(Self { program, version: (numbers.next()?, numbers.next()?) })
    }

    /// Whether it knows `max_prepared_statements`.
    pub(crate) fn keeps_statements(&self) -> bool {
        self.version >= (1, 21)
    }
}

/// A program that we compare ourselves with.
fn find_or_install(name: &str) -> Option<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/peers.sh");
    let found = Command::new("sh").args([script, "get", name]).output().ok()?;
    let program = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    if !found.status.success() || program.is_empty() {
        eprint!("{}", String::from_utf8_lossy(&found.stderr));
        return None;
    }
    Some(program.into())
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
