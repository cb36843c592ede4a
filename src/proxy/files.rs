//! How many files the process may have open: each client is one, and each server connection.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are no clients: server connections, monitors, addresses.
const BESIDES_CLIENTS: u64 = 1_000;

/// Raises the limit as far as the system lets us, and warns if that is too few for so many clients.
///
/// What is given at first is the 1,024 that programs with `select` can use, which are no measure for this one.
pub(super) fn raise_limit(clients: usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    let wanted = u64::try_from(clients).unwrap_or(u64::MAX).saturating_add(BESIDES_CLIENTS);
    if let Some(files) = getrlimit(Resource::Nofile).current.filter(|files| *files < wanted) {
        tracing::warn!(
            files,
            wanted,
            "too few files may be open for listen.max_client_connections and servers: raise the hard limit \
             (LimitNOFILE= of a systemd unit, --ulimit nofile= of a container, ulimit -Hn) or lower \
             listen.max_client_connections"
        );
    }
}
