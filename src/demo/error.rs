//! What can go wrong with a throwaway cluster.

use std::{io, net::SocketAddr, path::PathBuf};

/// Why a throwaway cluster, or the demo on top of it, did not come up or did not do as told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No PostgreSQL was found, and none could be installed.
    #[error("no PostgreSQL{} was found or could be installed:\n{output}", version(*.major))]
    NotInstalled {
        /// The major version that was asked for; `None` if any would do.
        major: Option<u16>,
        /// What the search said.
        output: String,
    },
    /// PostgreSQL refuses to run as root, and this machine has nobody else to run it.
    #[error("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody` here")]
    NoAccount,
    /// The operating system said no.
    #[error("cannot {action}")]
    Io {
        /// What was being done.
        action: String,
        /// What the system answered.
        source: io::Error,
    },
    /// A helper program failed.
    #[error("{} failed:\n{output}", program.display())]
    Program {
        /// Which one.
        program: PathBuf,
        /// What it printed.
        output: String,
    },
    /// A PostgreSQL exited instead of getting ready.
    #[error("{node} did not start:\n{log}")]
    Start {
        /// The name of the node.
        node: String,
        /// The end of its log.
        log: String,
    },
    /// Something that was waited for did not happen in time.
    #[error("gave up waiting {waited:?} for {what}")]
    Deadline {
        /// What was waited for.
        what: String,
        /// For how long.
        waited: std::time::Duration,
    },
    /// Somebody else listens where the demo was to listen, or nobody may.
    #[error("cannot listen on {address}: choose another, for example --listen {other}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Where one could.
        other: SocketAddr,
        /// What the system answered.
        source: io::Error,
    },
    /// The pooler in front of the cluster did not start.
    #[error("pgLagoon did not start")]
    Front {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The cluster has no node of this number.
    #[error("the cluster has no replica number {0}")]
    NoSuchReplica(usize),
    /// A statement failed, or the connection that carried it.
    #[error("PostgreSQL answered with an error")]
    Sql(#[from] tokio_postgres::Error),
}

impl Error {
    /// Wraps an I/O error with what was being done: `.map_err(Error::io("create the directory"))`.
    pub(super) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}

fn version(major: Option<u16>) -> String {
    major.map(|major| format!(" {major}")).unwrap_or_default()
}
