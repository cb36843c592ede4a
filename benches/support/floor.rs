//! The floor: a relay that gives each client a connection of its own and carries bytes, without a look at them. What
//! a pooler costs beyond this is what it does; this much is the kernel's.

use std::future::poll_fn;
use std::io;
use std::net::{self, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use std::cell::RefCell;

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

/// Bytes that are read at a time; all connections share the room for them.
const ROOM: usize = 64 * 1024;

/// Relays whoever comes to `target`, for ever, on this thread.
pub(crate) fn relay(listener: net::TcpListener, target: SocketAddr) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::from_std(listener)?;
        let room = Rc::new(RefCell::new(vec![0; ROOM]));
        loop {
            let (client, _) = listener.accept().await?;
            let room = Rc::clone(&room);
            tokio::task::spawn_local(async move { drop(carry(client, target, &room).await) });
        }
    })
}

async fn carry(client: TcpStream, target: SocketAddr, room: &RefCell<Vec<u8>>) -> io::Result<()> {
    let server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut there, mut back) = (Way::default(), Way::default());
    let (mut client, mut server) = (client, server);
    poll_fn(|cx| {
        let mut room = room.borrow_mut();
        let is_over = there.poll(&mut client, &mut server, &mut room, cx)?.is_ready()
            || back.poll(&mut server, &mut client, &mut room, cx)?.is_ready();
        if is_over { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

/// One direction: what was read and could not be written yet.
#[derive(Debug, Default)]
struct Way {
    kept: Vec<u8>,
}

impl Way {
    /// Carries what there is; ready when there will be no more.
    fn poll(
        &mut self,
        from: &mut TcpStream,
        to: &mut TcpStream,
        room: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            while !self.kept.is_empty() {
                let count = ready!(Pin::new(&mut *to).poll_write(cx, &self.kept))?;
                self.kept.drain(..count);
            }
            let mut read = ReadBuf::new(room);
            ready!(Pin::new(&mut *from).poll_read(cx, &mut read))?;
            let bytes = read.filled();
            if bytes.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let written = match Pin::new(&mut *to).poll_write(cx, bytes) {
                Poll::Ready(count) => count?,
                Poll::Pending => 0,
            };
            self.kept.extend_from_slice(bytes.get(written..).unwrap_or_default());
        }
    }
}
