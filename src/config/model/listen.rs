//! Where clients and operators connect.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::codec::{
    AddressOrOff, Addresses, CountAboveZero, Keyword, Names, TimeOrOff, WorkerCount,
};
use crate::config::section::{keywords, section};

section! {
    /// `[listen]`: where clients connect.
    Listen {
        /// Addresses that clients connect to: one string or a list. An IP address with a port
        /// (`127.0.0.1:6432`, `[::1]:6432`, `0.0.0.0:6432`) or the directory of a Unix socket
        /// (`/run/pglagoon` or `/run/pglagoon:6432`; the file is `.s.PGSQL.<port>`, for everybody who may enter the
        /// directory).
        address: Vec<ListenAddress>, Addresses, vec![ListenAddress::Tcp(LOOPBACK_6432)], Restart;
        /// Worker threads: a number, or "auto" for half as many as there are processors. That is right where PostgreSQL
        /// runs on the same machine; elsewhere give the number of processors. Each client lives on one worker.
        workers: Workers, WorkerCount, Workers::Auto, Restart;
        /// Clients that may be connected at once. One more is refused with SQLSTATE 53300. Each is an open file, and so
        /// is each server connection: pgLagoon raises its limit of them as far as it may, and warns if that is too low.
        max_client_connections: usize, CountAboveZero, 10_000, Reload;
        /// Length of the kernel's queue of connections that wait to be accepted.
        backlog: usize, CountAboveZero, 4096, Restart;
        /// How clients prove their password: "scram-sha-256", "md5" (a user with a SCRAM verifier still uses SCRAM) or
        /// "password" (clear text, only over TLS or from this machine).
        auth_method: AuthMethod, Keyword, AuthMethod::ScramSha256, Reload;
        /// Where users without a password may log in: "loopback" (refuse to start when an address is reachable from
        /// elsewhere) or "anywhere".
        trust: Trust, Keyword, Trust::Loopback, Restart;
    }
}

section! {
    /// `[http]`: metrics and health.
    Http {
        /// Address of GET /metrics, /healthz and /readyz; "" turns it off.
        address: Option<SocketAddr>, AddressOrOff, Some(LOOPBACK_9632), Restart;
    }
}

section! {
    /// `[admin]`: who may use the admin database `pglagoon` (also reachable as `pgbouncer`).
    Admin {
        /// Users that may run every command of the admin database.
        admin_users: Vec<String>, Names, Vec::new(), Reload;
        /// Users that may only run SHOW in the admin database.
        stats_users: Vec<String>, Names, Vec::new(), Reload;
    }
}

section! {
    /// `[logging]`: what is logged, and how.
    Logging {
        /// The least important messages that are logged: "error", "warn", "info" or "debug".
        level: LogLevel, Keyword, LogLevel::Info, Restart;
        /// How a message is written: "text" or "json" (one object per line).
        format: LogFormat, Keyword, LogFormat::Text, Restart;
        /// Statements that take at least so long are logged: node, reason of the route, time, fingerprint, and the text
        /// with its literals masked if it is a frequent one (SHOW ROUTES). 0 means none.
        slow_statement: Option<Duration>, TimeOrOff, None, Reload;
    }
}

/// An address that clients connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix-domain socket.
    Unix {
        /// The directory that the socket lies in.
        directory: PathBuf,
        /// The port that is part of the socket's file name.
        port: u16,
    },
}

impl ListenAddress {
    /// Whether only processes of this machine can reach the address.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix { .. } => true,
        }
    }

    /// The socket's file, named as libpq expects it.
    pub fn socket_path(&self) -> Option<PathBuf> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix { directory, port } => Some(directory.join(format!(".s.PGSQL.{port}"))),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { directory, port } => write!(f, "{}:{port}", directory.display()),
        }
    }
}

/// How many worker threads carry clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// Half as many as there are processors.
    Auto,
    /// Exactly so many.
    Count(NonZeroUsize),
}

keywords! {
    /// How clients prove their password.
    AuthMethod {
        /// SCRAM-SHA-256, and -PLUS over TLS.
        ScramSha256 = "scram-sha-256",
        /// The old MD5 exchange; SCRAM for users whose secret is a SCRAM verifier.
        Md5 = "md5",
        /// Clear text.
        Password = "password",
    }
}

keywords! {
    /// Where users without a password may log in.
    Trust {
        /// Only where no other machine can connect.
        Loopback = "loopback",
        /// Wherever pgLagoon listens.
        Anywhere = "anywhere",
    }
}

keywords! {
    /// How important a message is.
    LogLevel {
        /// Something is broken here.
        Error = "error",
        /// Something is wrong that pgLagoon copes with.
        Warn = "warn",
        /// Life cycle.
        Info = "info",
        /// Every client and server connection.
        Debug = "debug",
    }
}

keywords! {
    /// How a message is written.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }
}

/// The names of the admin database.
pub const ADMIN_DATABASES: [&str; 2] = ["pglagoon", "pgbouncer"];

const LOOPBACK_6432: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6432);
const LOOPBACK_9632: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9632);
