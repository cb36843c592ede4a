//! Sockets and buffers; knows nothing of PostgreSQL.

pub mod buffer;
pub mod stream;

pub use stream::{Liveness, Socket, Stream};
