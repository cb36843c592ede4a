//! What clients connect to: the programs that are compared, each as a process of its own.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::PATIENCE;
use crate::configuration::{self, Config};
use crate::setup::Setup;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No pooler: the primary itself.
    Direct,
    /// Our relay, which carries bytes to the primary and knows nothing.
    Floor,
    /// pgLagoon, with nothing but the primary.
    SplitOff,
    /// pgLagoon, with reads on two replicas.
    SplitOn,
    /// PgBouncer, in front of the primary.
    PgBouncer,
    /// Pgpool-II, with reads on two replicas.
    Pgpool,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Floor => "relay (the floor)",
            Self::SplitOff => "pgLagoon, split off",
            Self::SplitOn => "pgLagoon, split on",
            Self::PgBouncer => "PgBouncer",
            Self::Pgpool => "Pgpool-II, split on",
        }
    }

    /// For file names.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Floor => "floor",
            Self::SplitOff => "pglagoon_split_off",
            Self::SplitOn => "pglagoon_split_on",
            Self::PgBouncer => "pgbouncer",
            Self::Pgpool => "pgpool",
        }
    }
}

/// Something that runs and takes connections; killed when dropped.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) kind: Kind,
    pub(crate) config: Config,
    address: SocketAddr,
    process: Option<Child>,
}

impl Front {
    /// Starts one and returns once it takes connections.
    pub(crate) fn start(
        setup: &Setup,
        kind: Kind,
        config: &Config,
    ) -> Result<Self, Box<dyn Error>> {
        let local = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let config = config.clone();
        if kind == Kind::Direct {
            return Ok(Self { kind, address: local(config.nodes.primary), process: None, config });
        }
        let address = TcpListener::bind(local(0))?.local_addr()?;
        let mut command = configuration::command(setup, kind, &config, address.port())?;
        let log_path = setup.scratch().join(format!("{}.log", kind.key()));
        let log = File::create(&log_path)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut process = command.spawn()?;
        let started = Instant::now();
        while !is_up(address) {
            if process.try_wait()?.is_some() || started.elapsed() > PATIENCE {
                let _ = process.kill();
                let log = fs::read_to_string(&log_path).unwrap_or_default();
                return Err(format!("{} did not start:\n{log}", kind.name()).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { kind, address, process: Some(process), config })
    }

    /// Starts those that can take part; says which cannot.
    pub(crate) fn start_all(setup: &Setup, kinds: &[Kind], config: &Config) -> Vec<Self> {
        let mut fronts = Vec::new();
        for &kind in kinds {
            match Self::start(setup, kind, config) {
                Ok(front) => fronts.push(front),
                Err(error) => println!("left out: {error}"),
            }
        }
        fronts
    }

    /// Has it go by another configuration.
    pub(crate) fn reload(&self, setup: &Setup, config: &Config) -> Result<(), Box<dyn Error>> {
        configuration::command(setup, self.kind, config, self.address.port())?;
        let pid = self.pid().ok_or("there is no process to reload")?.to_string();
        Command::new("kill").args(["-s", "HUP", &pid]).status()?;
        Ok(())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// There is none when clients connect to the server itself.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // Pgpool-II has children, which it takes along when it is asked to go, and pgLagoon may have a profile to write.
            let pid = process.id().to_string();
            if matches!(self.kind, Kind::Pgpool | Kind::SplitOff | Kind::SplitOn) {
                let _ = Command::new("kill").args(["-s", "INT", &pid]).status();
            } else {
                let _ = process.kill();
            }
            let _ = process.wait();
        }
    }
}

/// Whether somebody listens: it is asked for TLS, which costs nobody a server, and answers.
fn is_up(address: SocketAddr) -> bool {
    let ask = || -> io::Result<()> {
        TcpStream::connect(address)?.write_all(&[0, 0, 0, 8, 4, 210, 22, 47])
    };
    ask().is_ok()
}
