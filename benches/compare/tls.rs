//! The blocking client over TLS.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::client::{Client, connect};

/// An SSLRequest.
const REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Connects, begins TLS and logs in.
pub(crate) fn log_in(
    address: SocketAddr,
    trust: &Arc<ClientConfig>,
) -> Result<Client, Box<dyn Error>> {
    let mut stream = connect(address)?;
    stream.write_all(&REQUEST)?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    if answer != *b"S" {
        return Err("the pooler speaks no TLS".into());
    }
    let connection = ClientConnection::new(Arc::clone(trust), "localhost".try_into()?)?;
    Client::begin(Box::new(StreamOwned::new(connection, stream)))
}
