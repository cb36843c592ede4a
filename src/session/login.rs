//! From a new socket to a session: startup, authentication, welcome.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use crate::auth::{self, Step, Subject};
use crate::config::ADMIN_DATABASES;
use crate::net::{Socket, Stream};
use crate::protocol::{
    FrontendTag, SqlState, TransactionStatus, Version, backend, frame, frontend,
};
use crate::server::settings::{Settings, Value};
use crate::session::Session;
use crate::session::clients::{Arrival, KeyLength};
use crate::session::directory::{Directory, Seat};
use crate::session::ours;
use crate::session::refusal::Refusal;
use crate::session::replication::{self, Kind, Replication, Walsender};
use crate::session::respond::FAREWELL;
use crate::session::respond::Trouble;
use crate::session::startup::{Request, StartupError, Visitor, Wish};
use crate::session::welcome::{canonical, welcome};
use crate::session::worker::Worker;

/// The newest protocol that we speak with clients.
const NEWEST: Version = Version::V3_2;

/// What a new connection turned out to be.
#[derive(Debug)]
pub enum Arrived {
    /// An operator, for the admin database.
    Admin(Operator),
    /// A cancel request.
    Cancel {
        /// The process id of the key.
        process_id: i32,
        /// Its secret.
        secret: Vec<u8>,
        /// To be dropped when that is over.
        stream: Stream,
    },
    /// A client.
    Client(Box<Newcomer>),
    /// A client with a walsender of its own.
    Replication(Box<Replication>),
    /// Nobody: it was refused, or it left.
    Nobody,
}

/// A client that has logged in.
#[derive(Debug)]
pub struct Newcomer {
    session: Session,
    /// Given back when the client has gone.
    _seat: Seat,
}

impl Newcomer {
    /// Serves the client until it leaves.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the client.
    pub async fn serve(mut self: Box<Self>) {
        // By reference: a future that owned the session would have room for it twice.
        self.session.run().await;
    }
}

/// An operator that has logged in to the admin database.
#[derive(Debug)]
pub struct Operator {
    /// The socket.
    pub stream: Stream,
    /// Who it is.
    pub user: String,
    /// Bytes that have been read and not used.
    pub buffer: Vec<u8>,
}

/// Receives a new connection.
///
/// # Cancel safety
///
/// Dropping the future closes the connection.
pub async fn receive(worker: &Rc<Worker>, directory: &Directory, socket: Socket) -> Arrived {
    let mut visitor = Visitor::new(socket);
    let config = directory.config();
    let within = config.timeouts.client_login_timeout;
    let outcome = tokio::time::timeout(within, admit(worker, directory, &mut visitor)).await;
    let refusal = match outcome {
        Ok(Ok(admitted)) => return admitted.enter(worker, visitor),
        Ok(Err(refusal)) => refusal,
        Err(_) => Refusal::Timeout,
    };
    worker.stats.failed_logins.add(1);
    tracing::info!(
        address = visitor.stream.socket().peer().map(tracing::field::display),
        reason = %refusal,
        "log-in refused"
    );
    let mut message = Vec::new();
    refusal.encode(&mut message);
    let _ = tokio::time::timeout(FAREWELL, part(&mut visitor.stream, &message)).await;
    Arrived::Nobody
}

/// Tells a refused client why, and waits until it has hung up. What it still sends is dropped: a socket that is closed
/// with bytes unread is reset, and the peer may then lose the message (RFC 1122, 4.2.2.13).
async fn part(stream: &mut Stream, message: &[u8]) -> io::Result<()> {
    stream.write_all(message).await?;
    stream.close();
    let mut unwanted = Vec::new();
    while stream.read_some(&mut unwanted).await? > 0 {
        unwanted.clear();
    }
    Ok(())
}

/// Somebody who may come in.
enum Admitted {
    Admin(String),
    Cancel { process_id: i32, secret: Vec<u8> },
    Client(Box<Guest>),
    Replication(Walsender, Box<(Arrival, Vec<u8>, Seat)>),
}

/// A client that may come in, and what its session needs.
struct Guest {
    settings: Arc<Settings>,
    arrival: Arrival,
    greeting: Vec<u8>,
    seat: Seat,
}

impl Admitted {
    fn enter(self, worker: &Rc<Worker>, visitor: Visitor) -> Arrived {
        match self {
            Self::Cancel { process_id, secret } => {
                Arrived::Cancel { process_id, secret, stream: visitor.stream }
            }
            Self::Admin(user) => {
                Arrived::Admin(Operator { stream: visitor.stream, user, buffer: visitor.buffer })
            }
            Self::Client(guest) => {
                worker.stats.logins.add(1);
                let Guest { settings, arrival, greeting, seat } = *guest;
                let client = worker.clients.admit(arrival);
                let session = Session::new(
                    worker,
                    client,
                    visitor.stream,
                    (visitor.buffer, greeting),
                    settings,
                );
                Arrived::Client(Box::new(Newcomer { session, _seat: seat }))
            }
            Self::Replication(walsender, guest) => {
                worker.stats.logins.add(1);
                let (arrival, greeting, seat) = *guest;
                Arrived::Replication(Replication::new(
                    worker,
                    worker.clients.admit(arrival),
                    (visitor.stream, visitor.buffer),
                    (walsender, greeting),
                    seat,
                ))
            }
        }
    }
}

async fn admit(
    worker: &Rc<Worker>,
    directory: &Directory,
    visitor: &mut Visitor,
) -> Result<Admitted, Refusal> {
    let door = directory.take_door();
    let mut request = match visitor.greet(&directory.doors()).await? {
        Wish::Cancel { process_id, secret } => return Ok(Admitted::Cancel { process_id, secret }),
        Wish::LogIn(request) => request,
    };
    let mut out = Vec::new();
    negotiate(&request, &mut out);
    if ADMIN_DATABASES.contains(&request.database.as_str()) {
        // Also when every place is taken: that is when operators are needed.
        authenticate(directory, visitor, &request.user, &mut out).await?;
        return admit_operator(directory, visitor, request, out).await;
    }
    let door = door.map_err(Refusal::Full)?;
    authenticate(directory, visitor, &request.user, &mut out).await?;
    if request.replication == Some(Kind::Physical) {
        let replicated = directory.replicated(&request.database);
        request.database = replicated.ok_or(Refusal::NoCluster(request.database))?;
    }
    let Some(backend) = directory.backend(&request.database, &request.user) else {
        return Err(Refusal::NoDatabase(request.database));
    };
    let seat =
        directory.take_seat(door, &request.database, &request.user).map_err(Refusal::Full)?;
    let ours = ours::split_off(&mut request.settings, &backend.cluster)
        .map_err(|fault| Refusal::Trouble(Trouble::Ours(fault)))?;
    let key = if request.version >= Version::V3_2 { KeyLength::Long } else { KeyLength::Short };
    let arrival = Arrival {
        backend: Arc::clone(&backend),
        address: visitor.stream.socket().peer(),
        application_name: request.application_name.as_str().into(),
        now: worker.now(),
        key,
        replication: request.replication,
    };
    if let Some(kind) = request.replication {
        let walsender = replication::open(worker, &backend, (&request, kind)).await?;
        backend::authentication_ok(&mut out);
        walsender.introduce(&mut out);
        return Ok(Admitted::Replication(walsender, Box::new((arrival, out, seat))));
    }
    let welcome = welcome(worker, &backend, &request.settings).await?;
    let mut settings = Arc::clone(&welcome.settings);
    if !(request.application_name.is_empty() && ours.is_empty() && settings.is_empty()) {
        let mut own = canonical(&settings, &backend.cluster.catalog().load());
        if !request.application_name.is_empty() {
            let name = Value::Config(request.application_name.as_str().into());
            own.set("application_name", Some(name));
        }
        for (name, value) in ours.iter() {
            own.set(name, Some(value.clone()));
        }
        settings = backend.welcomes.lock().share(own);
    }
    backend::authentication_ok(&mut out);
    for (name, value) in &welcome.reported {
        backend::parameter_status(&mut out, name.as_bytes(), value.as_bytes());
    }
    let name = request.application_name.as_bytes();
    backend::parameter_status(&mut out, b"application_name", name);
    Ok(Admitted::Client(Box::new(Guest { settings, arrival, greeting: out, seat })))
}

/// The admin database is for those whom the configuration names.
async fn admit_operator(
    directory: &Directory,
    visitor: &mut Visitor,
    request: Request,
    mut out: Vec<u8>,
) -> Result<Admitted, Refusal> {
    let config = directory.config();
    let admin = &config.admin;
    if !admin.admin_users.contains(&request.user) && !admin.stats_users.contains(&request.user) {
        return Err(Refusal::NotAdmin(request.user));
    }
    backend::authentication_ok(&mut out);
    for (name, value) in [
        ("server_version", concat!(env!("CARGO_PKG_VERSION"), "/pglagoon")),
        ("client_encoding", "UTF8"),
        ("server_encoding", "UTF8"),
        ("DateStyle", "ISO"),
        ("TimeZone", "GMT"),
        ("standard_conforming_strings", "on"),
        ("is_superuser", "on"),
        ("integer_datetimes", "on"),
    ] {
        backend::parameter_status(&mut out, name.as_bytes(), value.as_bytes());
    }
    backend::ready_for_query(&mut out, TransactionStatus::Idle);
    visitor.stream.write_all(&out).await.map_err(StartupError::Io)?;
    Ok(Admitted::Admin(request.user))
}

/// Says which version and options we have, if the client asked for others (3.2 negotiation).
fn negotiate(request: &Request, out: &mut Vec<u8>) {
    if request.version > NEWEST || !request.unknown.is_empty() {
        let unknown: Vec<&[u8]> = request.unknown.iter().map(String::as_bytes).collect();
        backend::negotiate_protocol_version(out, NEWEST.min(request.version), &unknown);
    }
}

async fn authenticate(
    directory: &Directory,
    visitor: &mut Visitor,
    user: &str,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let denied = |denial| Refusal::Denied(denial, user.to_owned());
    let (secret, method) = directory.secret(user);
    let subject = Subject { user, secret: secret.as_ref() };
    let mut step = auth::begin(subject, method, visitor.transport.clone(), directory.mock(), out)
        .map_err(denied)?;
    while let Step::Ask(exchange) = step {
        visitor.stream.write_all(out).await.map_err(StartupError::Io)?;
        out.clear();
        let answer = read_answer(visitor).await?;
        step = exchange.respond(&answer, out).map_err(denied)?;
    }
    Ok(())
}

/// Reads the body of a `p` message.
async fn read_answer(visitor: &mut Visitor) -> Result<Vec<u8>, Refusal> {
    loop {
        if let Some(header) = frame::header(&visitor.buffer).map_err(StartupError::Malformed)? {
            if FrontendTag(header.tag) != FrontendTag::PASSWORD
                || header.size > auth::MAX_RESPONSE + frame::HEADER_LEN
            {
                return Err(StartupError::Refused(
                    SqlState::PROTOCOL_VIOLATION,
                    "expected a password message".into(),
                )
                .into());
            }
            if visitor.buffer.len() >= header.size {
                let message: Vec<u8> = visitor.buffer.drain(..header.size).collect();
                return Ok(frontend::body(&message).to_vec());
            }
        }
        visitor.read_some().await?;
    }
}
