//! Accepts connections and gives each to the worker with the fewest clients.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket as RawSocket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::config::ListenAddress;
use crate::net::Plain;
use crate::proxy::inbox::Outlet;

/// How long to wait when the process has no descriptor left: accepting again at once would spin.
const BACK_OFF: Duration = Duration::from_millis(100);

/// A socket that listens.
#[derive(Debug)]
pub(super) enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix-domain socket, and its file to be removed.
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// The address; `None` for a Unix-domain socket.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }

    async fn accept(&self) -> io::Result<Plain> {
        match self {
            // Sockets travel to their worker unregistered: it is the worker's runtime that must know them.
            Self::Tcp(listener) => listener.accept().await?.0.into_std().map(Plain::Tcp),
            Self::Unix(listener, _) => listener.accept().await?.0.into_std().map(Plain::Unix),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Binds to `address`.
///
/// # Errors
///
/// What the operating system says.
pub(super) fn bind(address: &ListenAddress, backlog: usize) -> io::Result<Listener> {
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    match (address, address.socket_path()) {
        (ListenAddress::Tcp(address), _) => {
            let socket =
                RawSocket::new(Domain::for_address(*address), Type::STREAM, Some(Protocol::TCP))?;
            socket.set_reuse_address(true)?;
            socket.set_nonblocking(true)?;
            socket.bind(&SockAddr::from(*address))?;
            socket.listen(backlog)?;
            TcpListener::from_std(socket.into()).map(Listener::Tcp)
        }
        (ListenAddress::Unix { .. }, Some(path)) => {
            remove_stale(&path)?;
            UnixListener::bind(&path).map(|listener| Listener::Unix(listener, path))
        }
        (ListenAddress::Unix { .. }, None) => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Removes a socket file that nobody listens on any more.
fn remove_stale(path: &std::path::Path) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    std::fs::remove_file(path)
}

/// Accepts until the task is aborted.
pub(super) async fn accept(listener: Listener, outlets: Arc<[Outlet]>) {
    loop {
        match listener.accept().await {
            Ok(socket) => {
                if let Some(outlet) = outlets.iter().min_by_key(|outlet| outlet.load()) {
                    outlet.give(socket).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}
