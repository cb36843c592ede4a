//! A stream of bytes over one socket: TCP or Unix, with or without TLS.
//!
//! Reads and writes are poll functions over slices, because the relay polls both of its sockets within one
//! task. A read always asks for more than is likely to be there: a short read shows that the socket is drained, and
//! the next costs no system call before something has arrived.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::reactor::Home;

use super::socket::{Socket, read_near, write_near};

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
        if let Self::Plain(Socket::Near(source)) = self {
            return read_near(source, buf);
        }
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

    /// Whether nothing can be read before the reactor has seen something arrive. Then the task that runs waits for that.
    /// No system call.
    #[inline]
    pub fn waits(&self) -> bool {
        let Self::Plain(Socket::Near(source)) = self else { return false };
        if source.is_quiet() {
            source.watch_read();
        }
        source.is_quiet()
    }

    /// Writes some of `buf`. With TLS the bytes may wait within: see [`Stream::poll_flush`].
    ///
    /// # Errors
    ///
    /// What the operating system or TLS says.
    #[inline]
    pub fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(Socket::Near(source)) => write_near(source, buf),
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

    /// Reads, and throws away, until the peer has closed.
    ///
    /// # Errors
    ///
    /// What the operating system or TLS says: the connection has ended otherwise.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn drain(&mut self) -> io::Result<()> {
        let mut chunk = [0; 1024];
        while std::future::poll_fn(|cx| self.poll_read(cx, &mut chunk)).await? > 0 {}
        Ok(())
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

    /// Moves the socket to the reactor of the calling thread.
    ///
    /// # Errors
    ///
    /// What the operating system says; the stream cannot be used then.
    pub fn rehome(&mut self, home: &Arc<Home>) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.rehome(home),
            Self::TlsFromClient(tls) => tls.get_mut().0.rehome(home),
            Self::TlsToServer(tls) => tls.get_mut().0.rehome(home),
        }
    }

    /// Whether an idle stream is still as it was left: nothing has arrived, the peer is there.
    ///
    /// [`Liveness::Cheap`] trusts what the reactor has seen; [`Liveness::Sure`] asks the operating system.
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
    /// No system call unless the reactor saw something arrive.
    Cheap,
    /// One `recv`.
    Sure,
}
