//! Answers what a PostgreSQL server asks of pgLagoon when it logs in.

use std::sync::Arc;

use super::{
    exchange::Proof,
    md5::{Md5Hash, Md5Salt},
    password::Password,
    scram::{Binding, ClientKey, ClientOpening, ClientVerify, Mechanism, ScramError, Verifier},
    verifier::{Secret, SecretForm},
};
use crate::protocol::{backend::Authentication, frontend};

/// What pgLagoon can prove to a server with.
#[derive(Clone, Debug)]
pub enum Credential {
    /// Nothing: only a server that trusts us lets us in.
    Nothing,
    /// The password. Shared by all connections of a role, so that its keys are derived once.
    Password(Arc<Password>),
    /// The MD5 hash of the password, which answers MD5 and nothing else.
    Md5(Md5Hash),
    /// The key that a client proved to have, and the verifier it was checked against; the server must
    /// have the same verifier.
    PassThrough {
        /// The client's key.
        client_key: ClientKey,
        /// The verifier that the key answers to.
        verifier: Arc<Verifier>,
    },
}

impl Credential {
    /// The credential of a password in clear; none for an empty one.
    ///
    /// Make it once for a role and clone it: the clones share the keys that were derived.
    pub fn password(text: &str) -> Self {
        if text.is_empty() {
            return Self::Nothing;
        }
        Self::Password(Arc::new(Password::new(text)))
    }

    /// What the log-in of a client leaves behind for its servers: the password where it is configured, else
    /// what the client has proved.
    pub fn of_login(secret: &Secret, proof: &Proof) -> Self {
        match (proof, secret.verifier()) {
            (Proof::ClientKey(key), Some(verifier)) if secret.form() == SecretForm::Scram => {
                Self::PassThrough { client_key: key.clone(), verifier: Arc::clone(verifier) }
            }
            (Proof::Password(password), _) => Self::Password(Arc::clone(password)),
            (Proof::ClientKey(_) | Proof::Nothing, _) => Self::of_secret(secret),
        }
    }

    /// The credential that a stored secret gives without a client's help; a verifier gives none.
    pub fn of_secret(secret: &Secret) -> Self {
        match secret {
            Secret::Password { password, .. } => Self::Password(Arc::clone(password)),
            Secret::Md5(hash) => Self::Md5(hash.clone()),
            Secret::Scram(_) | Secret::Trust => Self::Nothing,
        }
    }
}

/// What to do after a server's Authentication message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Send what has been appended, if anything, and read the next message.
    Continue,
    /// The server has let us in.
    Authenticated,
}

/// The log-in of one connection, from the server's first question to `AuthenticationOk`.
#[derive(Debug)]
pub struct Responder<'a> {
    user: &'a str,
    credential: &'a Credential,
    binding: Binding,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing asked yet, or an answer given that needs no proof by the server.
    Open,
    SaslFirst(ClientOpening),
    SaslLast(ClientVerify),
    /// A SASL exchange that failed or is in the middle of a step.
    Broken,
}

impl<'a> Responder<'a> {
    /// A log-in as `user`, over a channel that can be bound to as `binding` says.
    pub fn new(user: &'a str, credential: &'a Credential, binding: Binding) -> Self {
        Self { user, credential, binding, state: State::Open }
    }

    /// Takes an Authentication message and appends the answer to `out`, if there is one.
    ///
    /// The first SCRAM exchange of a [`Password`] derives its keys, which takes about a millisecond.
    ///
    /// # Errors
    ///
    /// When the server asks for what we do not have, or does not prove what it must: `AuthenticationOk` in
    /// the middle of a SASL exchange is refused, as the server then has not shown that it knows the password.
    pub fn on_request(
        &mut self,
        request: Authentication<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Reply, ResponderError> {
        self.state = match (request, std::mem::replace(&mut self.state, State::Broken)) {
            (Authentication::Ok, State::Open) => return Ok(Reply::Authenticated),
            (Authentication::CleartextPassword, State::Open) => self.cleartext(out)?,
            (Authentication::Md5Password { salt }, State::Open) => self.md5(salt, out)?,
            (Authentication::Sasl { mechanisms }, State::Open) => self.sasl(mechanisms, out)?,
            (Authentication::SaslContinue(data), State::SaslFirst(opening)) => {
                self.sasl_continue(opening, data, out)?
            }
            (Authentication::SaslFinal(data), State::SaslLast(verify)) => {
                verify.last(data)?;
                State::Open
            }
            (Authentication::Other(code), _) => return Err(ResponderError::Unsupported(code)),
            (_, State::Open | State::SaslFirst(_) | State::SaslLast(_) | State::Broken) => {
                return Err(ResponderError::OutOfOrder);
            }
        };
        Ok(Reply::Continue)
    }

    fn cleartext(&self, out: &mut Vec<u8>) -> Result<State, ResponderError> {
        let Credential::Password(password) = self.credential else {
            return Err(ResponderError::NoCredential("password"));
        };
        frontend::password(out, password.expose());
        Ok(State::Open)
    }

    fn md5(&self, salt: Md5Salt, out: &mut Vec<u8>) -> Result<State, ResponderError> {
        let answer = match self.credential {
            Credential::Password(password) => {
                Md5Hash::derive(password.expose(), self.user.as_bytes()).answer(salt)
            }
            Credential::Md5(hash) => hash.answer(salt),
            Credential::Nothing | Credential::PassThrough { .. } => {
                return Err(ResponderError::NoCredential("md5"));
            }
        };
        frontend::password(out, &answer);
        Ok(State::Open)
    }

    fn sasl(&self, names: &[u8], out: &mut Vec<u8>) -> Result<State, ResponderError> {
        if matches!(self.credential, Credential::Nothing | Credential::Md5(_)) {
            return Err(ResponderError::NoCredential("scram-sha-256"));
        }
        let offers = |wanted| {
            names.split(|byte| *byte == 0).any(|name| Mechanism::parse(name) == Some(wanted))
        };
        let can_bind = matches!(self.binding, Binding::EndPoint(_));
        let mechanism = if can_bind && offers(Mechanism::Plus) {
            Mechanism::Plus
        } else if offers(Mechanism::Plain) {
            Mechanism::Plain
        } else {
            return Err(ResponderError::UnknownMechanism);
        };
        let opening = ClientOpening::new(mechanism, self.binding.clone());
        frontend::sasl_initial_response(out, mechanism.as_str().as_bytes(), &opening.message());
        Ok(State::SaslFirst(opening))
    }

    fn sasl_continue(
        &self,
        opening: ClientOpening,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<State, ResponderError> {
        let challenge = opening.first(data)?;
        let (verify, message) = match self.credential {
            Credential::Password(password) => {
                let keys = password.keys(challenge.salt(), challenge.iterations());
                challenge.prove(&keys)
            }
            Credential::PassThrough { client_key, verifier } => {
                challenge.pass_through(client_key, verifier)?
            }
            Credential::Nothing | Credential::Md5(_) => return Err(ResponderError::OutOfOrder),
        };
        frontend::sasl_response(out, &message);
        Ok(State::SaslLast(verify))
    }
}

/// Why pgLagoon could not log in to a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponderError {
    /// The server asks for this method and nothing is configured that answers it.
    #[error(
        "server requested {0} authentication, but no password is configured that can answer it"
    )]
    NoCredential(&'static str),
    /// The server skipped a step, such as proving that it knows the password.
    #[error("authentication request out of order")]
    OutOfOrder,
    /// The SCRAM exchange broke.
    #[error("SCRAM authentication failed")]
    Scram(#[from] ScramError),
    /// None of the server's SASL mechanisms is known.
    #[error("none of the server's SASL authentication mechanisms are supported")]
    UnknownMechanism,
    /// A method that pgLagoon does not have, by its code (7 is GSSAPI, 9 SSPI).
    #[error("authentication method {0} is not supported")]
    Unsupported(i32),
}

#[cfg(test)]
mod tests;
