//! Sockets and buffers; knows nothing of PostgreSQL.

pub mod buffer;
pub mod driven;
mod socket;
pub mod stream;
pub mod tls;

pub use driven::Driven;
pub use socket::{Plain, Socket, tune};
pub use stream::{Liveness, Stream};
