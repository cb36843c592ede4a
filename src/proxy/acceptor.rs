//! Accepts connections and gives each to the worker with the fewest clients.

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::SocketFlags;
use socket2::{SockAddr, SockRef, Socket as RawSocket, Type};
use tokio::sync::watch;

use crate::config::ListenAddress;
use crate::net::{Plain, tune};
use crate::proxy::inbox::Outlet;
use crate::reactor::{Home, Source};

/// When TCP asks whether a silent client is still there.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// How long to wait when the process has no descriptor left: accepting again at once would spin.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Connections that are accepted before the worker's clients have their turn.
const BATCH: usize = 32;

/// A socket that listens.
#[derive(Debug)]
pub(super) struct Listener {
    socket: RawSocket,
    /// Of a Unix-domain socket; to be removed.
    file: Option<PathBuf>,
}

impl Listener {
    /// Binds to `address`. At most `backlog` connections wait to be accepted.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub(super) fn bind(address: &ListenAddress, backlog: usize) -> io::Result<Self> {
        let (address, file) = match (address, address.socket_path()) {
            (ListenAddress::Tcp(address), _) => (SockAddr::from(*address), None),
            (ListenAddress::Unix { .. }, Some(path)) => {
                remove_stale(&path)?;
                (SockAddr::unix(&path)?, Some(path))
            }
            (ListenAddress::Unix { .. }, None) => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let socket = RawSocket::new(address.domain(), Type::STREAM, None)?;
        if file.is_none() {
            socket.set_reuse_address(true)?;
            tune(&SockRef::from(&socket), KEEPALIVE)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address)?;
        // From here on the file is there to be removed.
        let listener = Self { socket, file };
        if let Some(path) = &listener.file {
            // As PostgreSQL's: the directory and the log-in decide who may connect, not our umask.
            std::fs::set_permissions(path, Permissions::from_mode(0o777))?;
        }
        listener.socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(listener)
    }

    /// The address; `None` for a Unix-domain socket.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()?.as_socket()
    }

    fn accept(&self) -> io::Result<Plain> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let accepted = rustix::net::accept_with(&self.socket, flags)?;
        Ok(match self.file {
            None => Plain::Tcp(accepted.into()),
            Some(_) => Plain::Unix(accepted.into()),
        })
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(path) = &self.file {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Removes a socket file that nobody listens on any more.
fn remove_stale(path: &Path) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    std::fs::remove_file(path)
}

/// Who accepts for all workers. It lives on one of them: a thread of its own would be woken, and wake a worker, for each
/// connection.
pub(super) struct Acceptor {
    pub(super) listener: Listener,
    pub(super) outlets: Arc<[Outlet]>,
    /// Ends it, when it is dropped.
    pub(super) open: watch::Receiver<()>,
}

impl Acceptor {
    /// Accepts on the worker's thread until the door is closed.
    pub(super) async fn run(self, home: Arc<Home>) {
        let Self { listener, outlets, mut open } = self;
        let accept = async {
            match Source::register(listener, &home) {
                Ok(listener) => accept(&listener, &outlets).await,
                Err(error) => tracing::error!(%error, "cannot wait for connections"),
            }
        };
        tokio::select! {
            _ = open.changed() => {}
            () = accept => {}
        }
    }
}

async fn accept(listener: &Source<Listener>, outlets: &[Outlet]) {
    let mut queue = Queue::default();
    loop {
        match std::future::poll_fn(|cx| poll_accept(listener, &mut queue, cx)).await {
            Ok(socket) => {
                if let Some(outlet) = outlets.iter().min_by_key(|outlet| outlet.load()) {
                    outlet.give(socket).await;
                }
            }
            Err(error) => {
                if queue.flow == Flow::Free {
                    tracing::warn!(%error, "cannot accept a connection; trying until nobody waits");
                }
                queue.flow = Flow::Jammed;
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// The connections that wait to be accepted.
#[derive(Default)]
struct Queue {
    /// How many have been accepted since others had their turn.
    accepted: usize,
    flow: Flow,
}

/// Whether a connection could not be accepted since the queue was last empty.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Flow {
    #[default]
    Free,
    Jammed,
}

/// The next connection; every now and then others come first.
fn poll_accept(
    listener: &Source<Listener>,
    queue: &mut Queue,
    cx: &Context<'_>,
) -> Poll<io::Result<Plain>> {
    if queue.accepted == BATCH {
        queue.accepted = 0;
        cx.waker().wake_by_ref();
        return Poll::Pending;
    }
    queue.accepted += 1;
    let polled = listener.try_read(Listener::accept);
    if polled.is_pending() {
        if queue.flow == Flow::Jammed {
            tracing::info!("connections are accepted again, and nobody waits");
        }
        *queue = Queue::default();
    }
    polled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_is_tuned_and_does_not_block() {
        let address = ListenAddress::Tcp(([127, 0, 0, 1], 0).into());
        let listener = Listener::bind(&address, 1).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let _client = std::net::TcpStream::connect(listener.address().unwrap()).unwrap();
        let Plain::Tcp(accepted) = listener.accept().unwrap() else { panic!("not TCP") };
        let socket = SockRef::from(&accepted);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE);
        assert!(socket.nonblocking().unwrap());
    }

    #[test]
    fn the_file_of_a_socket_comes_and_goes_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let address = ListenAddress::Unix { directory: directory.path().into(), port: 6432 };
        let path = address.socket_path().unwrap();
        let listener = Listener::bind(&address, 1).unwrap();
        assert_eq!(listener.address(), None);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o777);
        let second = Listener::bind(&address, 1).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        assert!(matches!(listener.accept().unwrap(), Plain::Unix(_)));
        drop(listener);
        assert!(!path.exists());
        // What a pooler that was killed has left does no harm.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        Listener::bind(&address, 1).unwrap();
    }
}
