//! One authenticated connection to a PostgreSQL server.
//!
//! [`login`] makes one, [`Server`] is one, [`exchange`] runs a statement of our own on it, [`cancel`] stops
//! what runs on it. What of a client's session a server has taken on is kept here too ([`settings`],
//! [`statements`]), because that is what decides what the next client needs.

pub mod cancel;
pub mod census;
pub mod connect;
pub mod error;
pub mod exchange;
pub mod given;
pub mod interner;
pub mod login;
pub mod settings;
pub mod shape;
pub mod statements;

use std::sync::Arc;

pub use cancel::Canceler;
pub use connect::Endpoint;
pub use error::{ConnectError, ConnectErrorKind};
pub use login::{Login, Target, connect};

use crate::clock::Mono;
use crate::net::Stream;
use settings::{Settings, Value};
use statements::Statements;

/// A connection to a PostgreSQL server, logged in.
#[derive(Debug)]
pub struct Server {
    /// The socket.
    pub stream: Stream,
    /// The process id of its BackendKeyData; 0 if the server sent none.
    pub process_id: i32,
    /// Cancels what it runs; `None` if the server gave no key.
    pub canceler: Option<Arc<Canceler>>,
    /// What the server reported of itself at log-in (ParameterStatus).
    pub reported: Vec<(String, String)>,
    /// The parameters that clients have set on it.
    pub settings: Arc<Settings>,
    /// The statements that clients have prepared on it.
    pub statements: Statements,
    /// The worker whose runtime its socket is registered with.
    pub home: u16,
    /// When it logged in.
    pub since: Mono,
    /// When it was last given back.
    pub last_used: Mono,
    /// When it is to be closed at the latest.
    pub retire_at: Mono,
}

impl Server {
    /// The server that a log-in led to, at home with worker `home`.
    pub fn new(login: Login, home: u16, now: Mono, retire_at: Mono) -> Self {
        Self {
            stream: login.stream,
            process_id: login.process_id,
            canceler: login.canceler.map(Arc::new),
            reported: login.parameters,
            settings: Arc::default(),
            statements: Statements::default(),
            home,
            since: now,
            last_used: now,
            retire_at,
        }
    }

    /// What tells it from all others of its node.
    pub const fn key(&self) -> (i32, Mono) {
        (self.process_id, self.since)
    }

    /// These parameters have values that nobody knows: the next client has each set to what it wants.
    #[inline]
    pub fn forget_settings(&mut self, names: Vec<Box<str>>) {
        if names.is_empty() {
            return;
        }
        let settings = Arc::make_mut(&mut self.settings);
        for name in names {
            // Equal to nothing that a session keeps: what was set to DEFAULT is not kept at all.
            settings.set(&name, Some(Value::Sql("DEFAULT".into())));
        }
    }
}
