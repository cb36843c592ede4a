//! Cancels what a server connection runs.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    connect::{Endpoint, Security},
    error::ConnectError,
};
use crate::net::Stream;
use crate::protocol::startup;

/// The right to cancel what one server connection runs.
///
/// It goes to the address that the connection went to, over the same kind of transport.
#[derive(Clone)]
pub struct Canceler {
    endpoint: Arc<Endpoint>,
    /// `None` for a Unix socket.
    address: Option<SocketAddr>,
    security: Security,
    process_id: i32,
    key: Box<[u8]>,
}

impl Canceler {
    pub(super) fn new(
        endpoint: Arc<Endpoint>,
        stream: &Stream,
        process_id: i32,
        key: Box<[u8]>,
    ) -> Self {
        let address = stream.socket().peer();
        let security = if stream.is_encrypted() { Security::Tls } else { Security::Plain };
        Self { endpoint, address, security, process_id, key }
    }

    /// The id of the server process.
    pub fn process_id(&self) -> i32 {
        self.process_id
    }

    /// Sends the CancelRequest and waits, at most `patience`, for the server to close the connection.
    ///
    /// PostgreSQL closes it after it has signalled the process. Once this returns, no late signal can hit what
    /// runs next on the server connection; before, or after an error, it can: keep or close that one.
    ///
    /// # Errors
    ///
    /// When the request could not be delivered, or the server did not close in time.
    ///
    /// # Cancel safety
    ///
    /// A request that was sent stays sent.
    pub async fn cancel(&self, patience: Duration) -> Result<(), ConnectError> {
        timeout(patience, self.deliver()).await.unwrap_or(Err(ConnectError::Timeout))
    }

    async fn deliver(&self) -> Result<(), ConnectError> {
        let mut stream = match self.address {
            Some(address) => self.endpoint.open_at(address, self.security).await?,
            None => self.endpoint.open(self.security).await?,
        };
        let mut request = Vec::new();
        startup::cancel_request(&mut request, self.process_id, &self.key);
        stream.write_all(&request).await.map_err(ConnectError::Lost)?;
        match stream.drain().await {
            // A server that closes without having read TLS's farewell resets the connection.
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => {
                Err(ConnectError::Lost(error))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Canceler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canceler").field("process_id", &self.process_id).finish_non_exhaustive()
    }
}
