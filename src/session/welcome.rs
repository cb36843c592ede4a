//! What a client is told of its session when it has logged in: the parameters that PostgreSQL reports.
//!
//! They depend on the server and on what the client asked for in its startup packet, and only the server knows
//! what it makes of that (`DateStyle=ISO` is reported as `ISO, MDY`). So the first client of a kind has them
//! set on a real server, which also finds out whether the server takes them; the answer serves all that follow.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::{Role, Usable};
use crate::pool::{Checkout, Lease};
use crate::protocol::SqlState;
use crate::server::Server;
use crate::server::exchange::{self, ExchangeError};
use crate::server::settings::{DATE_STYLE, Settings, Value};
use crate::session::backend::Backend;
use crate::session::dialect;
use crate::session::fitting::revived;
use crate::session::link::Link;
use crate::session::refusal::Refusal;
use crate::session::respond::Trouble;
use crate::session::worker::Worker;
use crate::sql::Catalog;
use crate::sql::settings as values;

/// How many kinds of clients are remembered for one (database, user).
const KINDS: usize = 256;

/// How many servers are asked for one client. Those that are shut down meanwhile cannot answer.
const TRIES: usize = 3;

/// What one kind of client is told.
#[derive(Debug)]
pub(crate) struct Welcome {
    /// Names and values of ParameterStatus, `application_name` apart.
    pub(crate) reported: Vec<(String, String)>,
    /// What the client asked for, and what decides how its texts are read: shared by all clients of the kind.
    pub(crate) settings: Arc<Settings>,
}

/// What each kind of client is told.
#[derive(Debug, Default)]
pub(crate) struct Welcomes {
    kinds: HashMap<Settings, Arc<Welcome>>,
    /// Sets that several clients may share.
    shared: HashSet<Arc<Settings>>,
}

impl Welcomes {
    /// What a client that asks for `settings` is told, if it is known.
    pub(crate) fn get(&self, settings: &Settings) -> Option<Arc<Welcome>> {
        self.kinds.get(settings).map(Arc::clone)
    }

    /// What clients are told may be something else from now on.
    pub(crate) fn forget(&mut self) {
        self.kinds.clear();
    }

    /// Remembers what clients are told that ask for `settings`.
    pub(crate) fn insert(&mut self, settings: &Settings, welcome: &Arc<Welcome>) {
        if self.kinds.len() >= KINDS {
            self.kinds.clear();
        }
        self.kinds.insert(settings.clone(), Arc::clone(welcome));
    }

    /// The set that all clients who want the same share.
    pub(crate) fn share(&mut self, settings: Settings) -> Arc<Settings> {
        if let Some(known) = self.shared.get(&settings) {
            return Arc::clone(known);
        }
        if self.shared.len() >= KINDS {
            self.shared.clear();
        }
        let settings = Arc::new(settings);
        self.shared.insert(Arc::clone(&settings));
        settings
    }
}

/// What a client that asks for `settings` is told: known, or found out on a server.
pub(super) async fn welcome(
    worker: &Rc<Worker>,
    backend: &Arc<Backend>,
    settings: &Settings,
) -> Result<Arc<Welcome>, Refusal> {
    if let Some(known) = backend.welcomes.lock().get(settings) {
        return Ok(known);
    }
    let mut refusal = Refusal::Trouble(Trouble::ServerLost);
    for _ in 0..TRIES {
        let mut lease = any_server(worker, backend).await.map_err(Refusal::Trouble)?;
        let found = try_settings(&mut lease, settings, backend).await;
        let now = worker.now();
        match found {
            Ok(Ok(reported)) => {
                lease.put_back(now);
                let own = Arc::new(dialect::complete(settings, &reported));
                let welcome = Arc::new(Welcome { reported, settings: own });
                backend.welcomes.lock().insert(settings, &welcome);
                return Ok(welcome);
            }
            Ok(Err(fields)) => {
                lease.put_back(now);
                return Err(Refusal::Server(fields));
            }
            Err(error) => {
                tracing::warn!(%error, "could not try startup parameters on a server");
                lease.close(now);
                match error {
                    ExchangeError::Refused(_, _, fields) => refusal = Refusal::Server(fields),
                    // Another one may take as long.
                    ExchangeError::Timeout => break,
                    ExchangeError::Io(_) | ExchangeError::OutOfStep => {}
                }
            }
        }
    }
    Err(refusal)
}

/// Whether an error is certain to tell of what was set. The others may tell of the server (Appendix A of the manual: no
/// connection, no resources, an operator's intervention, a fault), and another one will do.
fn is_of_the_settings(SqlState(code): SqlState) -> bool {
    !matches!(code, [b'0', b'8', ..] | [b'5', b'3' | b'7' | b'8', ..] | [b'X', b'X', ..])
}

/// A server of the primary, or if that cannot be had of any node. One that is not known to be up comes last: it may keep
/// its client waiting.
async fn any_server(
    worker: &Rc<Worker>,
    backend: &Arc<Backend>,
) -> Result<Lease<Box<Link>>, Trouble> {
    let mut trouble = Trouble::ServerLost;
    let mut nodes: Vec<_> = backend.cluster.nodes().iter().collect();
    nodes.sort_by_key(|node| (node.usable() != Usable::Up, node.role() == Role::Replica));
    for node in nodes {
        let Some(pool) = backend.pool(node.id()) else { continue };
        let leased = match pool.checkout(worker.id, worker.now()) {
            Ok(Checkout::Ready(lease)) => Ok(lease),
            Ok(Checkout::Wait(ticket)) => ticket.await,
            Err(error) => Err(error),
        };
        match leased {
            Ok(lease) => match revived(worker, lease, Duration::ZERO, worker.now()) {
                Some(lease) => return Ok(lease),
                None => trouble = Trouble::ServerLost,
            },
            Err(error) => {
                // The primary's error is the one to tell.
                if node.role() == Role::Primary {
                    trouble = Trouble::NoServer(error);
                }
            }
        }
    }
    Err(trouble)
}

/// Makes the server take `settings`, and collects what it reports, or how it refuses them.
async fn try_settings(
    link: &mut Link,
    settings: &Settings,
    backend: &Backend,
) -> Result<Result<Vec<(String, String)>, Vec<u8>>, ExchangeError> {
    let within = backend.policy().timeouts.server_reset_timeout;
    let mut reported: Vec<(String, String)> = link.server.reported.clone();
    let mut learn = |answer: Vec<(String, String)>| {
        for (name, value) in answer {
            match reported.iter_mut().find(|(known, _)| *known == name) {
                Some(entry) => entry.1 = value,
                None => reported.push((name, value)),
            }
        }
    };
    // What another client has left is undone first, so that only `settings` shows.
    learn(undo_settings(&mut link.server, within).await?);
    // As one statement: all or nothing.
    let mut sql = Vec::new();
    settings.assign_all(&mut sql);
    if !sql.is_empty() {
        match exchange::run(&mut link.server, &sql, within).await {
            Ok(answer) => learn(answer.reported),
            Err(ExchangeError::Refused(code, _, fields)) if is_of_the_settings(code) => {
                return Ok(Err(fields));
            }
            Err(error) => return Err(error),
        }
        link.server.settings = Arc::new(settings.clone());
    }
    Ok(Ok(of_any_node(reported, settings)))
}

/// Turns an idle server into one as if it had just been opened, and returns what it reports.
async fn undo_settings(
    server: &mut Server,
    within: Duration,
) -> Result<Vec<(String, String)>, ExchangeError> {
    let (mut queries, mut reported) = (Vec::new(), Vec::new());
    let fresh = Settings::default();
    server.settings.change(&fresh, &mut Vec::new(), |_, sql| queries.push(sql.to_vec()));
    server.statements.set_unnamed(None);
    for sql in queries {
        reported.extend(exchange::run(server, &sql, within).await?.reported);
    }
    server.settings = Arc::new(fresh);
    Ok(reported)
}

/// The same settings, each value in its one spelling.
pub(super) fn canonical(settings: &Settings, catalog: &Catalog) -> Settings {
    let mut all = Settings::default();
    for (name, value) in settings.iter() {
        let value = match value {
            Value::Config(text) if name != DATE_STYLE => {
                Value::Config(values::canonical(name, text, catalog.parameter(name)).into())
            }
            other => other.clone(),
        };
        all.set(name, Some(value));
    }
    all
}

/// What a client is told, whatever node serves it: writes are possible, unless it has asked for something else.
fn of_any_node(mut reported: Vec<(String, String)>, settings: &Settings) -> Vec<(String, String)> {
    const READ_ONLY: &str = "default_transaction_read_only";
    let is = |name: &'static str, value: &'static str| {
        move |(known, found): &(String, String)| known == name && found == value
    };
    let is_standby = reported.iter().any(is("in_hot_standby", "on"));
    let is_known = !is_standby || settings.get(READ_ONLY).is_some();
    reported.retain(|(name, _)| match name.as_str() {
        "application_name" | "in_hot_standby" => false,
        READ_ONLY => is_known,
        _ => true,
    });
    reported.push(("in_hot_standby".into(), "off".into()));
    if !reported.iter().any(|(name, _)| name == READ_ONLY) {
        reported.push((READ_ONLY.into(), "off".into()));
    }
    reported
}
