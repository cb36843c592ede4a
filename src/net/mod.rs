//! Sockets and buffers; knows nothing of PostgreSQL.

pub mod buffer;
pub mod stream;
pub mod tls;

pub use stream::{Liveness, Socket, Stream};
