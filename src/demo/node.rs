//! One throwaway PostgreSQL: its process, its data directory, its port.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_postgres::{Client, NoTls};

use super::{Error, LOOK_EVERY, access::Access, await_true, programs::Programs, signal};

/// How long a server may take to start, stop or be promoted on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often another port is tried when somebody else took the one that was free a moment ago.
const PORT_ATTEMPTS: usize = 10;

/// The ports to pick from: the system hands out those from 32768 on to anybody who connects.
const PORTS: std::ops::Range<u16> = 10_240..32_768;

/// How PostgreSQL is told to stop; the manual's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Waits until every client has gone (SIGTERM).
    Smart,
    /// Rolls transactions back and closes connections (SIGINT).
    Fast,
    /// Drops everything; the next start recovers (SIGQUIT).
    Immediate,
}

/// One PostgreSQL server of a throwaway [`Cluster`](super::Cluster).
///
/// All methods take `&self`, so that a test can stop a node while clients use it.
#[derive(Debug)]
pub struct Node {
    name: String,
    data: PathBuf,
    programs: Programs,
    access: Access,
    settings: Vec<(String, String)>,
    port: Mutex<Option<u16>>,
    process: Mutex<Option<Child>>,
}

impl Node {
    pub(super) fn new(
        name: &str,
        programs: &Programs,
        access: &Access,
        settings: Vec<(String, String)>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            data: programs.scratch().join(name),
            programs: programs.clone(),
            access: access.clone(),
            settings,
            port: Mutex::new(None),
            process: Mutex::new(None),
        }
    }

    /// `primary`, `replica1`, ...: what `SHOW cluster_name` answers on this node, for as long as it lives.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The TCP port on 127.0.0.1; 0 before the first start.
    pub fn port(&self) -> u16 {
        self.port.lock().unwrap_or(0)
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port()))
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The directory of the Unix socket.
    pub fn socket_directory(&self) -> &Path {
        self.programs.scratch()
    }

    /// The address of the database `app` for the ordinary user `app`.
    pub fn url(&self) -> String {
        self.access.app_url(self.address())
    }

    /// The address of the database `app` for the superuser `postgres`.
    pub fn superuser_url(&self) -> String {
        self.access.superuser_url(self.address())
    }

    /// Opens a connection as the superuser; a task of the current runtime drives it until the client is dropped.
    ///
    /// # Errors
    /// When the node does not take connections.
    pub async fn client(&self) -> Result<Client, Error> {
        let (client, connection) = tokio_postgres::connect(&self.superuser_url(), NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Runs statements as the superuser in the database `app`.
    ///
    /// # Errors
    /// When the node does not take connections, or a statement fails.
    pub async fn execute(&self, sql: &str) -> Result<(), Error> {
        Ok(self.client().await?.batch_execute(sql).await?)
    }

    /// Runs a query as the superuser; its first column of its first row as text, `None` if NULL or no row.
    ///
    /// # Errors
    /// When the node does not take connections, or the query fails.
    pub async fn query_text(&self, sql: &str) -> Result<Option<String>, Error> {
        let messages = self.client().await?.simple_query(sql).await?;
        Ok(messages.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.try_get(0).ok()?.map(str::to_owned),
            _ => None,
        }))
    }

    /// Starts the server and returns once it takes connections.
    ///
    /// The port stays the same over restarts, because others have it in their configuration.
    ///
    /// # Errors
    /// [`Error::Start`] with the end of the log when the server exits, [`Error::Deadline`] when it hangs.
    pub async fn start(&self) -> Result<(), Error> {
        let fixed = *self.port.lock();
        let (mut attempts, began) = (PORT_ATTEMPTS, Instant::now());
        loop {
            let port = fixed.map_or_else(free_port, Ok)?;
            *self.port.lock() = Some(port);
            match self.start_on(port).await {
                Err(Error::Start { log, .. }) if attempts > 0 && log.contains("could not bind") => {
                    attempts -= 1;
                }
                // A server that was killed has gone when the last of its processes has.
                Err(Error::Start { log, .. })
                    if began.elapsed() < PATIENCE && log.contains("pre-existing shared memory") =>
                {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                result => return result,
            }
        }
    }

    async fn start_on(&self, port: u16) -> Result<(), Error> {
        self.configure(port)?;
        // Appended to over restarts; only what this start adds is of interest when it fails.
        let before = self.log().len();
        let child = self.spawn()?;
        *self.process.lock() = Some(child);
        let what = format!("{} to start", self.name);
        await_true(&what, PATIENCE, || async {
            if !self.is_running() {
                let log = self.log().split_off(before);
                return Err(Error::Start { node: self.name.clone(), log });
            }
            Ok(self.client().await.is_ok())
        })
        .await
    }

    /// Stops the server and returns once it has gone.
    ///
    /// # Errors
    /// [`Error::Deadline`] when it does not go; it is killed then.
    pub async fn stop(&self, how: Shutdown) -> Result<(), Error> {
        self.signal(match how {
            Shutdown::Smart => "TERM",
            Shutdown::Fast => "INT",
            Shutdown::Immediate => "QUIT",
        })?;
        let gone = self.await_exit().await;
        if gone.is_err() {
            self.signal("KILL")?;
        }
        gone
    }

    /// Stops the server the fast way and starts it again.
    ///
    /// # Errors
    /// Those of [`Node::stop`] and [`Node::start`].
    pub async fn restart(&self) -> Result<(), Error> {
        self.stop(Shutdown::Fast).await?;
        self.start().await
    }

    /// Kills the server and all its backends with SIGKILL, as a machine that loses power would.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub async fn kill(&self) -> Result<(), Error> {
        let Some(pid) = self.pid() else { return Ok(()) };
        // Stopped, it starts no process that the list would miss.
        signal::send("STOP", &[pid])?;
        signal::send("KILL", &signal::family(pid)?)?;
        self.await_exit().await
    }

    /// Freezes the server and all its backends (SIGSTOP): connections stay open and nothing answers.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn pause(&self) -> Result<(), Error> {
        let Some(pid) = self.pid() else { return Ok(()) };
        // The postmaster first, so that it starts no backend that the second list would miss.
        signal::send("STOP", &[pid])?;
        signal::send("STOP", &signal::family(pid)?)
    }

    /// Lets a paused server go on.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn resume(&self) -> Result<(), Error> {
        let Some(pid) = self.pid() else { return Ok(()) };
        signal::send("CONT", &signal::family(pid)?)
    }

    /// Changes settings that a reload applies (`name = value`, the value as SQL text) and applies them.
    ///
    /// # Errors
    /// When PostgreSQL refuses one.
    pub async fn alter(&self, name: &str, value: &str) -> Result<(), Error> {
        let client = self.client().await?;
        client.batch_execute(&format!("ALTER SYSTEM SET {name} = {value}")).await?;
        client.batch_execute("SELECT pg_reload_conf()").await?;
        Ok(())
    }

    /// Whether the server's process exists.
    pub fn is_running(&self) -> bool {
        self.process.lock().as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// What the server has logged since it was made.
    pub fn log(&self) -> String {
        fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    fn pid(&self) -> Option<u32> {
        self.process.lock().as_ref().map(Child::id)
    }

    fn signal(&self, name: &str) -> Result<(), Error> {
        match self.pid() {
            Some(pid) if self.is_running() => signal::send(name, &[pid]),
            _ => Ok(()),
        }
    }

    async fn await_exit(&self) -> Result<(), Error> {
        let what = format!("{} to stop", self.name);
        await_true(&what, PATIENCE, || async { Ok(!self.is_running()) }).await
    }

    fn log_path(&self) -> PathBuf {
        self.data.with_extension("log")
    }

    /// Writes the settings that `postgresql.conf` includes; `ALTER SYSTEM` overrides them.
    fn configure(&self, port: u16) -> Result<(), Error> {
        use std::fmt::Write as _;

        let mut text = String::new();
        let own = [
            ("port", port.to_string()),
            ("cluster_name", self.name.clone()),
            ("unix_socket_directories", self.socket_directory().display().to_string()),
        ];
        let given = self.settings.iter().map(|(name, value)| (name.as_str(), value.clone()));
        for (name, value) in own.into_iter().chain(given) {
            let _ = writeln!(text, "{name} = '{}'", value.replace('\'', "''"));
        }
        fs::write(self.data.join("pglagoon.conf"), text)
            .map_err(Error::io(format!("configure {}", self.name)))
    }

    fn spawn(&self) -> Result<Child, Error> {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .map_err(Error::io(format!("open the log of {}", self.name)))?;
        let errors = log.try_clone().map_err(Error::io("share the log"))?;
        let mut command: Command = self.programs.command("postgres");
        command.arg("-D").arg(&self.data).stdin(Stdio::null()).stdout(log).stderr(errors);
        // Out of reach of the terminal's Ctrl-C, which is for us to act on.
        command.process_group(0).spawn().map_err(Error::io(format!("run {}", self.name)))
    }
}

impl Drop for Node {
    /// Takes note of the exit of a server that the reaper has stopped.
    fn drop(&mut self) {
        if let Some(child) = self.process.get_mut() {
            let _ = child.try_wait();
        }
    }
}

/// A port that nobody listens on right now.
fn free_port() -> Result<u16, Error> {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (0..1000).map(|_| rand::random_range(PORTS)).find(is_free).ok_or_else(|| Error::Io {
        action: "find a free port".to_owned(),
        source: std::io::ErrorKind::AddrInUse.into(),
    })
}
