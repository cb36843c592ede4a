//! Who are you: password methods as step functions, no sockets.
//!
//! Both legs stand here. `exchange` asks a client who logs in to pgLagoon; `responder` answers what
//! a PostgreSQL server asks of pgLagoon. Each takes the body of one message and appends the next
//! one to a buffer, so that every step can be tested with bytes alone; the caller owns sockets and deadlines.
//!
//! This module must not know sockets, configuration files or sessions. The messages are described in
//! <https://www.postgresql.org/docs/current/sasl-authentication.html> and
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>.

mod exchange;
mod md5;
mod method;
mod password;
mod plain;
mod responder;
pub mod scram;
mod verifier;

pub use exchange::{Denial, Exchange, MAX_RESPONSE, Proof, Step, Subject, begin};
pub use md5::{Md5Hash, Md5Salt};
pub use method::{Ask, ExposedCleartext, Transport, choose};
pub use password::Password;
pub use responder::{Credential, Reply, Responder, ResponderError};
pub use verifier::{MockKey, Secret, SecretError, SecretForm};
