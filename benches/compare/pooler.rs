//! The programs that are compared, each as a process of its own.

use std::error::Error;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::PATIENCE;
use crate::setup::{PgBouncer, Setup};

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// pgLagoon, with nothing but the primary.
    SplitOff,
    /// pgLagoon, with reads on two replicas.
    SplitOn,
    /// PgBouncer, in front of the primary.
    PgBouncer,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::SplitOff => "pgLagoon, split off",
            Self::SplitOn => "pgLagoon, split on",
            Self::PgBouncer => "PgBouncer",
        }
    }

    /// For file names and keys.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::SplitOff => "pglagoon_split_off",
            Self::SplitOn => "pglagoon_split_on",
            Self::PgBouncer => "pgbouncer",
        }
    }
}

/// A pooler that runs; killed when dropped.
#[derive(Debug)]
pub(crate) struct Pooler {
    kind: Kind,
    port: u16,
    process: Child,
}

impl Pooler {
    /// Starts one and returns once it takes connections.
    pub(crate) fn start(setup: &Setup, kind: Kind) -> Result<Self, Box<dyn Error>> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = command(setup, kind, port)?;
        let log_path = setup.scratch().join(format!("{}.log", kind.key()));
        let log = File::create(&log_path)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process = command.spawn()?;
        let mut pooler = Self { kind, port, process };
        let started = Instant::now();
        while TcpStream::connect(pooler.address()).is_err() {
            if pooler.process.try_wait()?.is_some() || started.elapsed() > PATIENCE {
                let log = fs::read_to_string(&log_path).unwrap_or_default();
                return Err(format!("{} did not start:\n{log}", kind.name()).into());
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Ok(pooler)
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The command that starts a pooler, its configuration written.
fn command(setup: &Setup, kind: Kind, port: u16) -> Result<Command, Box<dyn Error>> {
    let write = |extension: &str, text: String| -> std::io::Result<PathBuf> {
        let path = setup.scratch().join(format!("{}.{extension}", kind.key()));
        fs::write(&path, text)?;
        Ok(path)
    };
    if let (Kind::PgBouncer, Some(pgbouncer)) = (kind, &setup.pgbouncer) {
        let users = write("users", "\"app\" \"\"\n".to_owned())?;
        let path = write("ini", pgbouncer_config(setup, port, &users))?;
        let mut command = Command::new(&pgbouncer.program);
        command.arg(path);
        return Ok(command);
    }
    let path = write("toml", pglagoon_config(setup, kind, port))?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_pglagoon"));
    command.args(["serve", "--config"]).arg(path);
    Ok(command)
}

fn pglagoon_config(setup: &Setup, kind: Kind, port: u16) -> String {
    let url = |port: u16| format!("\"postgres://app@127.0.0.1:{port}/app\"");
    let replicas = if kind == Kind::SplitOn {
        setup.cluster.replicas().map(|node| url(node.port())).collect::<Vec<_>>().join(", ")
    } else {
        String::new()
    };
    format!(
        "[listen]\naddress = \"127.0.0.1:{port}\"\nworkers = 1\n\
         [http]\naddress = \"\"\n\
         [pool]\ndefault_pool_size = 20\n\
         [routing]\nread_write_split = {split}\n\
         [tls.server]\nmode = \"disable\"\n\
         [logging]\nlevel = \"warn\"\n\
         [databases.app]\nprimary = {primary}\nreplicas = [{replicas}]\n\
         [users.app]\ntrust = true\n",
        split = kind == Kind::SplitOn,
        primary = url(setup.cluster.primary().port()),
    )
}

fn pgbouncer_config(setup: &Setup, port: u16, users: &Path) -> String {
    let keeps_statements = setup.pgbouncer.as_ref().is_some_and(PgBouncer::keeps_statements);
    let statements = if keeps_statements { "max_prepared_statements = 200\n" } else { "" };
    // It refuses to run as root, and names in this setting are only looked at by root.
    let user = if is_root(setup) { "user = nobody\n" } else { "" };
    format!(
        "[databases]\napp = host=127.0.0.1 port={primary} user=app\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = trust\nauth_file = {users}\n\
         pool_mode = transaction\ndefault_pool_size = 20\nmax_client_conn = 10000\n\
         ignore_startup_parameters = extra_float_digits\n\
         log_connections = 0\nlog_disconnections = 0\nlog_stats = 0\n{statements}{user}",
        primary = setup.cluster.primary().port(),
        users = users.display(),
    )
}

/// Whether we are root: the owner of what we have just made tells.
fn is_root(setup: &Setup) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    fs::metadata(setup.scratch()).is_ok_and(|made| made.uid() == 0)
}
