//! One authenticated connection to a PostgreSQL server.

pub mod cancel;
pub mod connect;
pub mod error;
pub mod login;

pub use cancel::Canceler;
pub use connect::Endpoint;
pub use error::{ConnectError, ConnectErrorKind};
pub use login::{Login, Target, connect};
