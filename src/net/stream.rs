//! One socket: TCP or Unix, with or without TLS.
//!
//! Reads and writes are poll functions over slices, because the relay polls both of its sockets within one
//! task. A read always asks for more than is likely to be there: tokio then learns from the short read that
//! the socket is drained, and the next poll costs no system call.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
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
    fn is_quiet(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(&mut cx).is_pending(),
            Self::Unix(stream) => stream.poll_read_ready(&mut cx).is_pending(),
            Self::Lost => false,
        }
    }

    /// Asks the operating system whether there is nothing to read and the peer is there: one `recv`.
    fn peeks_empty(&self) -> bool {
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

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the socket was lost between two runtimes")
}

/// A socket as the relay sees it.
#[derive(Debug)]
pub enum Stream {
    /// Without TLS.
    Plain(Socket),
    /// A client over TLS: we are the TLS server.
    TlsFromClient(Box<tokio_rustls::server::TlsStream<Socket>>),
    /// A server over TLS: we are the TLS client.
    TlsToServer(Box<tokio_rustls::client::TlsStream<Socket>>),
}

impl Stream {
    /// Reads into `buf`; 0 bytes is the end.
    ///
    /// # Errors
    ///
    /// What the operating system or TLS says. A peer that leaves without TLS's closing message counts as the
    /// end, as in PostgreSQL: the protocol has its own.
    #[inline]
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut read = ReadBuf::new(buf);
        let polled = match self {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, &mut read),
            Self::TlsFromClient(tls) => Pin::new(&mut **tls).poll_read(cx, &mut read),
            Self::TlsToServer(tls) => Pin::new(&mut **tls).poll_read(cx, &mut read),
        };
        match polled {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(read.filled().len())),
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Poll::Ready(Ok(0))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Writes some of `buf`. With TLS the bytes may wait within: see [`Stream::poll_flush`].
    ///
    /// # Errors
    ///
    /// What the operating system or TLS says.
    #[inline]
    pub fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::TlsFromClient(tls) => Pin::new(&mut **tls).poll_write(cx, buf),
            Self::TlsToServer(tls) => Pin::new(&mut **tls).poll_write(cx, buf),
        }
    }

    /// Pushes out what TLS still holds; nothing to do without TLS.
    ///
    /// # Errors
    ///
    /// What the operating system or TLS says.
    #[inline]
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::TlsFromClient(tls) => Pin::new(&mut **tls).poll_flush(cx),
            Self::TlsToServer(tls) => Pin::new(&mut **tls).poll_flush(cx),
        }
    }

    /// Writes all of `buf` and flushes.
    ///
    /// # Errors
    ///
    /// What the operating system or TLS says.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: some of `buf` may have been written.
    pub async fn write_all(&mut self, mut buf: &[u8]) -> io::Result<()> {
        while !buf.is_empty() {
            let written = std::future::poll_fn(|cx| self.poll_write(cx, buf)).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            buf = buf.get(written..).unwrap_or_default();
        }
        std::future::poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Reads some bytes and appends them to `buf`; 0 is the end.
    ///
    /// # Errors
    ///
    /// What the operating system or TLS says.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: bytes are appended in the poll that read them.
    pub async fn read_some(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        let mut chunk = [0; 1024];
        let count = std::future::poll_fn(|cx| self.poll_read(cx, &mut chunk)).await?;
        buf.extend_from_slice(chunk.get(..count).unwrap_or_default());
        Ok(count)
    }

    /// Says goodbye (TLS's closing message, then FIN), as far as that works without waiting.
    pub fn close(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        let _ = match self {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(&mut cx),
            Self::TlsFromClient(tls) => Pin::new(&mut **tls).poll_shutdown(&mut cx),
            Self::TlsToServer(tls) => Pin::new(&mut **tls).poll_shutdown(&mut cx),
        };
    }

    /// The socket beneath TLS.
    pub fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::TlsFromClient(tls) => tls.get_ref().0,
            Self::TlsToServer(tls) => tls.get_ref().0,
        }
    }

    /// Whether the bytes are encrypted.
    pub fn is_encrypted(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }

    /// Moves the socket to the runtime that the caller runs on.
    ///
    /// # Errors
    ///
    /// What the operating system says; the stream cannot be used then.
    pub fn rehome(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.rehome(),
            Self::TlsFromClient(tls) => tls.get_mut().0.rehome(),
            Self::TlsToServer(tls) => tls.get_mut().0.rehome(),
        }
    }

    /// Whether an idle stream is still as it was left: nothing has arrived, the peer is there.
    ///
    /// [`Liveness::Cheap`] trusts what the runtime has seen; [`Liveness::Sure`] asks the operating system.
    pub fn is_alive(&self, liveness: Liveness) -> bool {
        let socket = self.socket();
        match liveness {
            Liveness::Cheap if socket.is_quiet() => true,
            Liveness::Cheap | Liveness::Sure => socket.peeks_empty(),
        }
    }
}

/// How hard to look whether an idle stream is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// No system call unless the runtime saw something arrive.
    Cheap,
    /// One `recv`.
    Sure,
}
