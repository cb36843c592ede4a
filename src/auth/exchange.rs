//! Asks a client who it is.
//!
//! ```text
//!   begin --- Trust ----------------------------------------> Granted
//!     |                                        right
//!     +--> Cleartext, Md5 --- PasswordMessage -------------> Granted
//!     |
//!     +--> SASL --- SASLInitialResponse --> SASLContinue --- SASLResponse --> SASLFinal, Granted
//!   any step: wrong or malformed -> Denial, which ends the connection
//! ```

use std::sync::Arc;

use super::{
    md5::{Md5Hash, Md5Salt},
    method::{Ask, Transport, choose},
    password::Password,
    plain,
    scram::{Binding, Challenge, ClientKey, Mechanism, Opening, ScramError},
    verifier::{MockKey, Secret},
};
use crate::config::AuthMethod;
use crate::protocol::{FrameError, SqlState, backend, frontend};

/// The longest body of a client's answer (PasswordMessage and the SASL responses) that need be read, in bytes.
pub const MAX_RESPONSE: usize = 4096;

/// Who wants to log in, and what is known of them.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The user of the startup message.
    pub user: &'a str,
    /// Their secret; `None` for an unknown user.
    pub secret: Option<&'a Arc<Secret>>,
}

/// What follows on a step of a log-in.
#[derive(Debug)]
pub enum Step {
    /// A question has been appended: send it, and give the answer to this.
    Ask(Exchange),
    /// The client is who it says: send what has been appended, if anything, and AuthenticationOk.
    Granted(Proof),
}

/// What a log-in leaves behind that can log in to servers on the client's behalf.
#[derive(Clone, Debug)]
pub enum Proof {
    /// Nothing: the client was trusted, or the method reveals nothing.
    Nothing,
    /// The password itself.
    Password(Arc<Password>),
    /// The SCRAM client key.
    ClientKey(ClientKey),
}

/// A log-in of which the client owes an answer.
#[derive(Debug)]
pub struct Exchange(State);

#[derive(Debug)]
enum State {
    Cleartext { user: Box<str>, secret: Option<Arc<Secret>> },
    Md5 { hash: Option<Md5Hash>, salt: Md5Salt },
    SaslFirst(Opening),
    SaslLast(Challenge),
}

/// Begins the log-in of `subject` by `method` and appends the first question to `out`, if there is one.
/// `mock` is what unknown users are checked against.
///
/// # Errors
///
/// [`Denial::ExposedCleartext`] when the method may not be used over `transport`.
pub fn begin(
    subject: Subject<'_>,
    method: AuthMethod,
    transport: Transport,
    mock: &MockKey,
    out: &mut Vec<u8>,
) -> Result<Step, Denial> {
    let form = subject.secret.map(|secret| secret.form());
    let ask = choose(method, form, &transport).map_err(|_| Denial::ExposedCleartext)?;
    let state = match ask {
        Ask::Nothing => return Ok(Step::Granted(Proof::Nothing)),
        Ask::Cleartext => {
            backend::authentication_cleartext(out);
            State::Cleartext { user: subject.user.into(), secret: subject.secret.map(Arc::clone) }
        }
        Ask::Md5 => ask_md5(subject, out),
        Ask::Scram => ask_scram(subject, transport, mock, out),
    };
    Ok(Step::Ask(Exchange(state)))
}

fn ask_md5(subject: Subject<'_>, out: &mut Vec<u8>) -> State {
    let hash = subject.secret.and_then(|secret| match &**secret {
        Secret::Password { password, .. } => {
            Some(Md5Hash::derive(password.expose(), subject.user.as_bytes()))
        }
        Secret::Md5(hash) => Some(hash.clone()),
        Secret::Scram(_) | Secret::Trust => None,
    });
    let mut salt = [0; 4];
    rand::fill(&mut salt);
    backend::authentication_md5(out, salt);
    State::Md5 { hash, salt }
}

fn ask_scram(
    subject: Subject<'_>,
    transport: Transport,
    mock: &MockKey,
    out: &mut Vec<u8>,
) -> State {
    let known = subject.secret.and_then(|secret| secret.verifier());
    let verifier = known.map_or_else(|| mock.verifier(subject.user), Arc::clone);
    let binding = match transport {
        Transport::Local | Transport::Open => Binding::Unavailable,
        Transport::Tls(binding) => binding,
    };
    let opening = Opening::new(verifier, binding);
    backend::authentication_sasl(out, opening.mechanisms());
    State::SaslFirst(opening)
}

impl Exchange {
    /// Takes the body of the client's `p` message and appends the next message to `out`, if there is one.
    ///
    /// Against a stored SCRAM verifier a cleartext password costs a key derivation, about a millisecond.
    ///
    /// # Errors
    ///
    /// A [`Denial`] ends the log-in: answer it with an ErrorResponse and close.
    pub fn respond(self, body: &[u8], out: &mut Vec<u8>) -> Result<Step, Denial> {
        match self.0 {
            State::Cleartext { user, secret } => check_cleartext(&user, secret, body),
            State::Md5 { hash, salt } => {
                let answer = frontend::read_password(body)?;
                let is_right = hash.is_some_and(|hash| hash.accepts(salt, answer));
                if is_right {
                    Ok(Step::Granted(Proof::Nothing))
                } else {
                    Err(Denial::WrongPassword)
                }
            }
            State::SaslFirst(opening) => {
                let (mechanism, message) = frontend::read_sasl_initial(body)?;
                let mechanism = Mechanism::parse(mechanism).ok_or(Denial::UnknownMechanism)?;
                let (challenge, reply) = opening.first(mechanism, message)?;
                backend::authentication_sasl_continue(out, &reply);
                Ok(Step::Ask(Self(State::SaslLast(challenge))))
            }
            State::SaslLast(challenge) => {
                let success = challenge.last(body)?;
                backend::authentication_sasl_final(out, &success.message);
                Ok(Step::Granted(Proof::ClientKey(success.client_key)))
            }
        }
    }
}

fn check_cleartext(user: &str, secret: Option<Arc<Secret>>, body: &[u8]) -> Result<Step, Denial> {
    let password = frontend::read_password(body)?;
    let secret = secret.filter(|secret| plain::accepts(secret, user, password));
    let proved = match &*secret.ok_or(Denial::WrongPassword)? {
        Secret::Password { password: known, .. } => Some(Arc::clone(known)),
        // Only known now, and what is no text could not be configured for a server either.
        Secret::Md5(_) | Secret::Scram(_) | Secret::Trust => {
            std::str::from_utf8(password).ok().map(|text| Arc::new(Password::new(text)))
        }
    };
    Ok(Step::Granted(proved.map_or(Proof::Nothing, Proof::Password)))
}

/// Why a client was not let in. It never tells whether the user exists.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denial {
    /// The configured method sends the password in clear and others could read it.
    #[error("password in clear is accepted over TLS only")]
    ExposedCleartext,
    /// The answer is no message of the kind that was asked for.
    #[error("invalid password packet")]
    MalformedPassword(#[from] FrameError),
    /// The SCRAM exchange broke.
    #[error("SASL exchange failed")]
    Scram(#[source] ScramError),
    /// The client chose a mechanism that was not offered.
    #[error("client selected an invalid SASL authentication mechanism")]
    UnknownMechanism,
    /// The password is wrong, or the user unknown.
    #[error("password authentication failed")]
    WrongPassword,
}

impl Denial {
    /// The SQLSTATE to answer with.
    pub const fn sqlstate(&self) -> SqlState {
        match self {
            Self::ExposedCleartext => SqlState::INVALID_AUTHORIZATION,
            Self::MalformedPassword(_) | Self::UnknownMechanism => SqlState::PROTOCOL_VIOLATION,
            Self::Scram(error) => error.sqlstate(),
            Self::WrongPassword => SqlState::INVALID_PASSWORD,
        }
    }

    /// The text to answer `user` with, as PostgreSQL words it.
    pub fn message(&self, user: &str) -> String {
        match self {
            Self::WrongPassword => format!("password authentication failed for user \"{user}\""),
            Self::Scram(error) => error.to_string(),
            Self::ExposedCleartext | Self::MalformedPassword(_) | Self::UnknownMechanism => {
                self.to_string()
            }
        }
    }
}

impl From<ScramError> for Denial {
    fn from(error: ScramError) -> Self {
        match error {
            ScramError::WrongPassword => Self::WrongPassword,
            other => Self::Scram(other),
        }
    }
}

#[cfg(test)]
mod tests;
