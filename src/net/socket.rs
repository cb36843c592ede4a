//! A socket without TLS, as tokio knows it.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A socket without TLS.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix-domain socket.
    Unix(UnixStream),
    /// Lost while it was moved from one runtime to another.
    Lost,
}

impl Socket {
    /// Sets what every relayed TCP connection needs: no Nagle delay, and keepalive probes after `keepalive`.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn tune(&self, keepalive: Duration) -> io::Result<()> {
        if let Self::Tcp(stream) = self {
            stream.set_nodelay(true)?;
            let probes = TcpKeepalive::new().with_time(keepalive).with_interval(keepalive / 4);
            SockRef::from(stream).set_tcp_keepalive(&probes)?;
        }
        Ok(())
    }

    /// The peer's address; `None` for a Unix-domain socket.
    pub fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok(),
            Self::Unix(_) | Self::Lost => None,
        }
    }

    /// Moves the socket to the runtime that the caller runs on: two `epoll_ctl` calls.
    ///
    /// # Errors
    ///
    /// What the operating system says; the socket is [`Socket::Lost`] then.
    pub fn rehome(&mut self) -> io::Result<()> {
        *self = match std::mem::replace(self, Self::Lost) {
            Self::Tcp(stream) => Self::Tcp(TcpStream::from_std(stream.into_std()?)?),
            Self::Unix(stream) => Self::Unix(UnixStream::from_std(stream.into_std()?)?),
            Self::Lost => Self::Lost,
        };
        Ok(())
    }

    /// Whether the runtime has seen nothing on this socket since it was last read dry. No system call.
    #[inline]
    pub(super) fn is_quiet(&self) -> bool {
        let seen = || Ok(());
        let looked = match self {
            Self::Tcp(stream) => stream.try_io(Interest::READABLE, seen),
            Self::Unix(stream) => stream.try_io(Interest::READABLE, seen),
            Self::Lost => return false,
        };
        looked.is_err()
    }

    /// Reads what is there. No system call is made if the runtime has seen nothing arrive.
    #[inline]
    pub(super) fn try_read(&self, buf: &mut [u8]) -> Glance {
        let mut glance = Glance::Nothing;
        let mut read = |socket: &socket2::Socket| -> io::Result<()> {
            glance = look(socket, buf);
            match &glance {
                Glance::Read(Ok(count)) if *count == 0 || *count == buf.len() => Ok(()),
                Glance::Read(Err(_)) => Ok(()),
                // This tells the runtime to forget that the socket was readable.
                _ => Err(io::ErrorKind::WouldBlock.into()),
            }
        };
        // Whatever there is to say stands in `glance`.
        let _ = match self {
            Self::Tcp(stream) => stream.try_io(Interest::READABLE, || read(&SockRef::from(stream))),
            Self::Unix(stream) => {
                stream.try_io(Interest::READABLE, || read(&SockRef::from(stream)))
            }
            Self::Lost => return Glance::Read(Err(lost())),
        };
        glance
    }

    /// Has the task woken when there is something to read. Ready if there is already.
    pub(super) fn poll_watch(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
            Self::Lost => Poll::Ready(Err(lost())),
        }
    }

    /// Writes some of `buf`; `None` if there is no room.
    #[inline]
    pub(super) fn try_write(&self, buf: &[u8]) -> Option<io::Result<usize>> {
        let written = match self {
            Self::Tcp(stream) => stream.try_write(buf),
            Self::Unix(stream) => stream.try_write(buf),
            Self::Lost => Err(lost()),
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            written => Some(written),
        }
    }

    /// Asks the operating system whether there is nothing to read and the peer is there: one `recv`.
    pub(super) fn peeks_empty(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        let peeked = match self {
            Self::Tcp(stream) => SockRef::from(stream).peek(&mut byte),
            Self::Unix(stream) => SockRef::from(stream).peek(&mut byte),
            Self::Lost => return false,
        };
        matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

// === impl AsyncRead, AsyncWrite ===

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Lost => Poll::Ready(Err(lost())),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Lost => Poll::Ready(Err(lost())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Lost => Poll::Ready(Ok(())),
        }
    }
}

/// What a look at a socket has found.
#[derive(Debug)]
pub(super) enum Glance {
    /// There is nothing to read.
    Nothing,
    /// This.
    Read(io::Result<usize>),
}

#[inline]
fn look(mut socket: &socket2::Socket, buf: &mut [u8]) -> Glance {
    match socket.read(buf) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Glance::Nothing,
        result => Glance::Read(result),
    }
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the socket was lost between two runtimes")
}
