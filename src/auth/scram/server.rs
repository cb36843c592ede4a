//! The server's side: pgLagoon asks a client.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq;

use super::{
    Binding, ClientKey, Mechanism, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramError, Verifier,
    keys::hmac,
    message::{ClientBinding, ClientFinal, ClientFirst, malformed},
};

/// Random bytes in a nonce (PostgreSQL's `SCRAM_RAW_NONCE_LEN`).
const NONCE_BYTES: usize = 18;

/// An exchange of which the mechanisms have been offered.
#[derive(Clone, Debug)]
pub struct Opening {
    verifier: Arc<Verifier>,
    binding: Binding,
}

impl Opening {
    /// Begins an exchange against `verifier`, over a channel that can be bound to as `binding` says.
    pub fn new(verifier: Arc<Verifier>, binding: Binding) -> Self {
        Self { verifier, binding }
    }

    /// The mechanisms to offer, best first.
    pub fn mechanisms(&self) -> &'static [&'static str] {
        match self.binding {
            Binding::EndPoint(_) => &[SCRAM_SHA_256_PLUS, SCRAM_SHA_256],
            Binding::Unavailable => &[SCRAM_SHA_256],
        }
    }

    /// Takes the client's first message; gives the server's first message and what waits for the last.
    ///
    /// # Errors
    ///
    /// When the message is malformed or the sides disagree about channel binding.
    pub fn first(
        self,
        mechanism: Mechanism,
        message: &[u8],
    ) -> Result<(Challenge, Vec<u8>), ScramError> {
        self.first_with_nonce(mechanism, message, &fresh_nonce())
    }

    pub(super) fn first_with_nonce(
        self,
        mechanism: Mechanism,
        message: &[u8],
        server_nonce: &str,
    ) -> Result<(Challenge, Vec<u8>), ScramError> {
        let first = ClientFirst::parse(message)?;
        self.check_binding(mechanism, first.binding)?;
        let nonce = format!("{}{server_nonce}", first.nonce);
        let salt = STANDARD.encode(&self.verifier.salt);
        let reply = format!("r={nonce},s={salt},i={}", self.verifier.iterations);
        let signed = format!("{},{reply},", first.bare);
        let expected_binding = STANDARD.encode(first.binding.input(&self.binding));
        let challenge = Challenge { verifier: self.verifier, signed, nonce, expected_binding };
        Ok((challenge, reply.into_bytes()))
    }

    /// A client that could have bound the channel but was told by somebody that we cannot is refused.
    fn check_binding(&self, mechanism: Mechanism, said: ClientBinding) -> Result<(), ScramError> {
        match (mechanism, said, &self.binding) {
            (Mechanism::Plus, ClientBinding::EndPoint, Binding::EndPoint(_))
            | (Mechanism::Plain, ClientBinding::Unsupported, _)
            | (Mechanism::Plain, ClientBinding::Unused, Binding::Unavailable) => Ok(()),
            (Mechanism::Plain, ClientBinding::Unused, Binding::EndPoint(_))
            | (Mechanism::Plus, _, Binding::Unavailable) => Err(ScramError::BindingNegotiation),
            (Mechanism::Plain, ClientBinding::EndPoint, _) => {
                Err(malformed("channel binding data without SCRAM-SHA-256-PLUS"))
            }
            (Mechanism::Plus, ClientBinding::Unsupported | ClientBinding::Unused, _) => {
                Err(malformed("SCRAM-SHA-256-PLUS without channel binding data"))
            }
        }
    }
}

/// An exchange that waits for the client's proof.
#[derive(Clone, Debug)]
pub struct Challenge {
    verifier: Arc<Verifier>,
    /// What both sides sign, up to the client's last message.
    signed: String,
    nonce: String,
    expected_binding: String,
}

/// A client that proved to know the password.
#[derive(Clone, Debug)]
pub struct Success {
    /// The server's last message, by which the client knows that it speaks to the right one.
    pub message: Vec<u8>,
    /// The client's key, which logs in to any server that has the same verifier.
    pub client_key: ClientKey,
}

impl Challenge {
    /// Takes the client's last message.
    ///
    /// # Errors
    ///
    /// [`ScramError::WrongPassword`] for a wrong proof, others for messages that break the protocol.
    pub fn last(self, message: &[u8]) -> Result<Success, ScramError> {
        let last = ClientFinal::parse(message)?;
        if !bool::from(last.binding.as_bytes().ct_eq(self.expected_binding.as_bytes())) {
            return Err(ScramError::BindingMismatch);
        }
        if last.nonce != self.nonce {
            return Err(malformed("the nonce does not match"));
        }
        let signed: [&[u8]; 2] = [self.signed.as_bytes(), last.without_proof.as_bytes()];
        let client_key = ClientKey::unmask(&last.proof, &hmac(&self.verifier.stored.0, &signed));
        if !client_key.stored().matches(&self.verifier.stored) {
            return Err(ScramError::WrongPassword);
        }
        let signature = STANDARD.encode(hmac(&self.verifier.server.0, &signed));
        Ok(Success { message: format!("v={signature}").into_bytes(), client_key })
    }
}

/// A nonce that nobody has seen before, printable and without a comma.
pub(super) fn fresh_nonce() -> String {
    let mut bytes = [0; NONCE_BYTES];
    rand::fill(&mut bytes);
    STANDARD.encode(bytes)
}
