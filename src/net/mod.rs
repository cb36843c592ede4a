//! Sockets and buffers; knows nothing of PostgreSQL.

pub mod buffer;
mod socket;
pub mod stream;
pub mod tls;

pub use socket::Socket;
pub use stream::{Liveness, Stream, Watch};
