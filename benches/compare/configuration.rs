//! The same in everybody's own words: how each of the compared programs is configured.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::front::Kind;
use crate::setup::{PASSWORD, Setup};

/// What all that are compared have in common.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Server connections, of all nodes together.
    pub(crate) servers: u32,
    /// Threads, of those that can have more than one.
    pub(crate) workers: u32,
    pub(crate) entrance: Entrance,
    pub(crate) nodes: Nodes,
}

impl Config {
    /// Server connections of each node, where so many nodes take part.
    fn servers_of_each(&self, nodes: usize) -> u32 {
        self.servers.div_ceil(u32::try_from(nodes).unwrap_or(u32::MAX).max(1))
    }
}

/// The servers behind, by port on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Nodes {
    pub(crate) primary: u16,
    pub(crate) replicas: Vec<u16>,
    /// Their processes.
    pub(crate) pids: Vec<u32>,
}

/// How clients get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// They need no password.
    Trust,
    /// They have a password.
    Scram,
    /// They need none, but come over TLS.
    Tls,
}

impl Entrance {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Trust => "trust",
            Self::Scram => "SCRAM",
            Self::Tls => "trust over TLS",
        }
    }
}

/// The command that starts a program, its configuration written.
pub(crate) fn command(
    setup: &Setup,
    kind: Kind,
    config: &Config,
    port: u16,
) -> Result<Command, Box<dyn Error>> {
    let write = |extension: &str, text: String| -> io::Result<PathBuf> {
        let path = setup.scratch().join(format!("{}.{extension}", kind.key()));
        fs::write(&path, text)?;
        Ok(path)
    };
    let mut command;
    match kind {
        Kind::Direct => return Err("the server runs already".into()),
        Kind::Floor => {
            command = Command::new(std::env::current_exe()?);
            command.args(["floor", &port.to_string(), &config.nodes.primary.to_string()]);
        }
        Kind::SplitOff | Kind::SplitOn => {
            command = Command::new(&setup.program);
            command.args(["serve", "--config"]);
            command.arg(write("toml", pglagoon(setup, kind, config, port))?);
        }
        Kind::PgBouncer => {
            let users = write("users", format!("\"app\" \"{PASSWORD}\"\n"))?;
            let program = setup.pgbouncer.as_ref().ok_or("there is no PgBouncer")?;
            command = Command::new(&program.program);
            command.arg(write("ini", pgbouncer(setup, config, port, &users))?);
        }
        Kind::Pgpool => {
            let program = setup.pgpool.as_ref().ok_or("there is no Pgpool-II")?;
            command = Command::new(program);
            command.args(["-n", "-D", "-f"]).arg(write("conf", pgpool(setup, config, port))?);
        }
    }
    Ok(command)
}

fn pglagoon(setup: &Setup, kind: Kind, config: &Config, port: u16) -> String {
    let url = |port: &u16| format!("\"postgres://app@127.0.0.1:{port}/app\"");
    let replicas: Vec<_> = match kind {
        Kind::SplitOn => config.nodes.replicas.iter().map(url).collect(),
        _ => Vec::new(),
    };
    let user = match config.entrance {
        Entrance::Trust | Entrance::Tls => "trust = true".to_owned(),
        Entrance::Scram => format!("password = \"{PASSWORD}\""),
    };
    let tls = match config.entrance {
        Entrance::Trust | Entrance::Scram => String::new(),
        Entrance::Tls => format!(
            "[tls.client]\nmode = \"require\"\ncert_file = \"{}\"\nkey_file = \"{}\"\n",
            setup.certificate().display(),
            setup.key().display()
        ),
    };
    format!(
        "[listen]\naddress = \"127.0.0.1:{port}\"\nworkers = {workers}\n\
         [http]\naddress = \"\"\n\
         [pool]\ndefault_pool_size = {servers}\n\
         [routing]\nread_write_split = {split}\n\
         [tls.server]\nmode = \"disable\"\n{tls}\
         [logging]\nlevel = \"warn\"\n\
         [databases.app]\nprimary = {primary}\nreplicas = [{}]\n\
         [users.app]\n{user}\n",
        replicas.join(", "),
        workers = config.workers,
        servers = config.servers_of_each(replicas.len().saturating_add(1)),
        split = kind == Kind::SplitOn,
        primary = url(&config.nodes.primary),
    )
}

fn pgbouncer(setup: &Setup, config: &Config, port: u16, users: &Path) -> String {
    let keeps_statements = setup.keeps_statements(Kind::PgBouncer);
    let statements = if keeps_statements { "max_prepared_statements = 200\n" } else { "" };
    // It refuses to run as root.
    let user = if setup.is_root() { "user = nobody\n" } else { "" };
    let entrance = match config.entrance {
        Entrance::Trust => "auth_type = trust\n".to_owned(),
        Entrance::Scram => "auth_type = scram-sha-256\n".to_owned(),
        Entrance::Tls => format!(
            "auth_type = trust\nclient_tls_sslmode = require\nclient_tls_cert_file = {}\nclient_tls_key_file = {}\n",
            setup.certificate().display(),
            setup.key().display()
        ),
    };
    format!(
        "[databases]\napp = host=127.0.0.1 port={primary} user=app\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         {entrance}auth_file = {users}\n\
         pool_mode = transaction\ndefault_pool_size = {servers}\nmax_client_conn = 10000\n\
         ignore_startup_parameters = extra_float_digits\n\
         log_connections = 0\nlog_disconnections = 0\nlog_stats = 0\n{statements}{user}",
        primary = config.nodes.primary,
        users = users.display(),
        servers = config.servers,
    )
}

/// It has a process for each client that may come at once.
fn pgpool(setup: &Setup, config: &Config, port: u16) -> String {
    use std::fmt::Write as _;

    let scratch = setup.scratch().display();
    let mut text = format!(
        "listen_addresses = '127.0.0.1'\nport = {port}\nsocket_dir = '{scratch}'\npcp_socket_dir = '{scratch}'\n\
         pcp_port = {}\npid_file_name = '{scratch}/pgpool.pid'\nlogdir = '{scratch}'\nwork_dir = '{scratch}'\n\
         backend_clustering_mode = 'streaming_replication'\nload_balance_mode = on\nnum_init_children = 36\n\
         max_pool = 1\nenable_pool_hba = off\nsr_check_user = 'app'\nsr_check_database = 'app'\n\
         allow_clear_text_frontend_auth = on\nfailover_on_backend_error = off\n",
        port.checked_add(1).unwrap_or(1025),
    );
    for (number, node) in [config.nodes.primary].iter().chain(&config.nodes.replicas).enumerate() {
        let _ = write!(
            text,
            "backend_hostname{number} = '127.0.0.1'\nbackend_port{number} = {node}\nbackend_weight{number} = 1\n\
             backend_flag{number} = 'DISALLOW_TO_FAILOVER'\n"
        );
    }
    text
}
