//! A socket without TLS, as a worker's reactor or tokio knows it.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::reactor::{Home, Source};

/// A socket without TLS.
#[derive(Debug)]
pub enum Socket {
    /// One that a worker's reactor watches: those of sessions.
    Near(Source<Plain>),
    /// TCP, with tokio: what the control thread uses, and what has just been connected.
    Tcp(TcpStream),
    /// A Unix-domain socket, with tokio.
    Unix(UnixStream),
    /// Lost while it was moved from one thread to another.
    Lost,
}

/// A connected, non-blocking socket that nobody watches yet.
#[derive(Debug)]
pub enum Plain {
    /// TCP.
    Tcp(std::net::TcpStream),
    /// A Unix-domain socket.
    Unix(StdUnixStream),
}

/// Sets what every relayed TCP connection needs: no Nagle delay, and keepalive probes after `keepalive`. What a listening
/// socket accepts has inherited it.
///
/// # Errors
///
/// What the operating system says.
pub fn tune(socket: &SockRef<'_>, keepalive: Duration) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let probes = TcpKeepalive::new().with_time(keepalive).with_interval(keepalive / 4);
    socket.set_tcp_keepalive(&probes)
}

impl Socket {
    /// Has `plain` watched by a reactor. To be called on its thread.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn near(plain: Plain, home: &Arc<Home>) -> io::Result<Self> {
        Source::register(plain, home).map(Self::Near)
    }

    /// The same as [`tune`]; nothing for a Unix-domain socket.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn tune(&self, keepalive: Duration) -> io::Result<()> {
        let socket = match self {
            Self::Near(source) => match source.get() {
                Plain::Tcp(stream) => SockRef::from(stream),
                Plain::Unix(_) => return Ok(()),
            },
            Self::Tcp(stream) => SockRef::from(stream),
            Self::Unix(_) | Self::Lost => return Ok(()),
        };
        tune(&socket, keepalive)
    }

    /// The peer's address; `None` for a Unix-domain socket.
    pub fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Near(source) => match source.get() {
                Plain::Tcp(stream) => stream.peer_addr().ok(),
                Plain::Unix(_) => None,
            },
            Self::Tcp(stream) => stream.peer_addr().ok(),
            Self::Unix(_) | Self::Lost => None,
        }
    }

    /// Whether it is a Unix-domain socket.
    pub const fn is_unix(&self) -> bool {
        match self {
            Self::Near(source) => matches!(source.get(), Plain::Unix(_)),
            Self::Unix(_) => true,
            Self::Tcp(_) | Self::Lost => false,
        }
    }

    /// Moves the socket to the reactor of the calling thread: two `epoll_ctl` calls.
    ///
    /// # Errors
    ///
    /// What the operating system says; the socket is [`Socket::Lost`] then.
    pub fn rehome(&mut self, home: &Arc<Home>) -> io::Result<()> {
        *self = match std::mem::replace(self, Self::Lost) {
            Self::Near(source) => Self::Near(source.move_to(home)?),
            Self::Tcp(stream) => Self::near(Plain::Tcp(stream.into_std()?), home)?,
            Self::Unix(stream) => Self::near(Plain::Unix(stream.into_std()?), home)?,
            Self::Lost => Self::Lost,
        };
        Ok(())
    }

    /// Whether nothing has been seen to arrive since the socket was last read dry. No system call.
    #[inline]
    pub(super) fn is_quiet(&self) -> bool {
        matches!(self, Self::Near(source) if source.is_quiet())
    }

    /// Waits until there is something to read, and shows its first bytes without taking them.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is taken.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Near(source) => {
                std::future::poll_fn(|_| source.try_read(|plain| plain.peek(buf))).await
            }
            Self::Tcp(stream) => stream.peek(buf).await,
            Self::Unix(_) | Self::Lost => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Asks the operating system whether there is nothing to read and the peer is there: one `recv`.
    pub(super) fn peeks_empty(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        let peeked = match self {
            Self::Near(source) => match source.get() {
                Plain::Tcp(stream) => SockRef::from(stream).peek(&mut byte),
                Plain::Unix(stream) => SockRef::from(stream).peek(&mut byte),
            },
            Self::Tcp(stream) => SockRef::from(stream).peek(&mut byte),
            Self::Unix(stream) => SockRef::from(stream).peek(&mut byte),
            Self::Lost => return false,
        };
        matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// Reads into `buf`. If that is not filled the socket is dry: the next read costs no system call before an event.
#[inline]
pub(super) fn read_near(source: &Source<Plain>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
    let polled = source.try_read(|plain| plain.read(buf));
    if matches!(polled, Poll::Ready(Ok(count)) if count < buf.len()) {
        source.note_dry();
    }
    polled
}

/// Writes some of `buf`; if there is no room the task that runs waits for that.
#[inline]
pub(super) fn write_near(source: &Source<Plain>, buf: &[u8]) -> Poll<io::Result<usize>> {
    source.try_write(|plain| plain.write(buf))
}

// === impl Plain ===

impl Plain {
    #[inline]
    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let (count, _) = rustix::net::recv(self, buf, RecvFlags::empty())?;
        Ok(count)
    }

    #[inline]
    fn write(&self, buf: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(self, buf, SendFlags::NOSIGNAL)?)
    }

    fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.peek(buf),
            Self::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn shut_down(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

impl AsFd for Plain {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl AsRawFd for Plain {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
        }
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
            Self::Near(source) => {
                read_near(source, buf.initialize_unfilled()).map_ok(|count| buf.advance(count))
            }
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
            Self::Near(source) => write_near(source, buf),
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
            Self::Near(source) => Poll::Ready(source.get().shut_down()),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Lost => Poll::Ready(Ok(())),
        }
    }
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the socket was lost between two threads")
}
