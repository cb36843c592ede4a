//! The client's side: a PostgreSQL server asks pgLagoon.
//!
//! `postgres-protocol` has a client too, but it starts from the password each time. Starting from keys lets
//! pgLagoon remember them, so that a worker pays for 4096 iterations once per server and not once per connection,
//! and lets it use the key that a client proved to have (pass-through).

use base64::{Engine, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq;

use super::{
    Binding, Keys, Mechanism, ScramError, Verifier,
    keys::{ClientKey, ServerKey, hmac},
    message::{ClientBinding, ServerFirst, malformed, parse_server_final},
    server::fresh_nonce,
};

/// The most iterations that a server may demand; pgjdbc and postgres-protocol draw the line here too.
const MAX_ITERATIONS: u32 = 100_000;

/// An exchange of which the first message is ready to be sent.
#[derive(Clone, Debug)]
pub struct ClientOpening {
    said: ClientBinding,
    binding: Binding,
    nonce: String,
}

impl ClientOpening {
    /// Begins an exchange with `mechanism`, chosen out of what the server offers.
    pub fn new(mechanism: Mechanism, binding: Binding) -> Self {
        Self::with_nonce(mechanism, binding, fresh_nonce())
    }

    pub(super) fn with_nonce(mechanism: Mechanism, binding: Binding, nonce: String) -> Self {
        let said = match (mechanism, &binding) {
            (Mechanism::Plus, _) => ClientBinding::EndPoint,
            // Tells a server that does offer binding that somebody removed it from the offer.
            (Mechanism::Plain, Binding::EndPoint(_)) => ClientBinding::Unused,
            (Mechanism::Plain, Binding::Unavailable) => ClientBinding::Unsupported,
        };
        Self { said, binding, nonce }
    }

    /// The client's first message. The user is left empty: the server takes it from the startup message.
    pub fn message(&self) -> Vec<u8> {
        format!("{}{}", self.said.header(), self.bare()).into_bytes()
    }

    /// Takes the server's first message.
    ///
    /// # Errors
    ///
    /// When it is malformed, answers another nonce or demands too many iterations.
    pub fn first(self, message: &[u8]) -> Result<ClientChallenge, ScramError> {
        let first = ServerFirst::parse(message)?;
        if first.nonce.len() <= self.nonce.len() || !first.nonce.starts_with(&self.nonce) {
            return Err(malformed("the nonce does not match"));
        }
        if first.iterations > MAX_ITERATIONS {
            return Err(ScramError::TooManyIterations(first.iterations));
        }
        let salt = STANDARD.decode(first.salt).map_err(|_| malformed("invalid salt"))?;
        let binding = STANDARD.encode(self.said.input(&self.binding));
        let without_proof = format!("c={binding},r={}", first.nonce);
        let signed = format!("{},{},{without_proof}", self.bare(), first.text);
        Ok(ClientChallenge { salt, iterations: first.iterations, signed, without_proof })
    }

    fn bare(&self) -> String {
        format!("n=,r={}", self.nonce)
    }
}

/// An exchange that waits for the keys.
#[derive(Clone, Debug)]
pub struct ClientChallenge {
    salt: Vec<u8>,
    iterations: u32,
    /// What both sides sign.
    signed: String,
    without_proof: String,
}

impl ClientChallenge {
    /// The salt by which the server stores the password.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The iteration count by which the server stores the password.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// The client's last message, made of a password's keys for this salt and iteration count.
    pub fn prove(self, keys: &Keys) -> (ClientVerify, Vec<u8>) {
        self.prove_with(&keys.client, &keys.server)
    }

    /// The client's last message, made of the key that a client has proved to have.
    ///
    /// # Errors
    ///
    /// [`ScramError::ForeignVerifier`] when the server has another verifier than the one the client was
    /// checked against, so that the key cannot fit.
    pub fn pass_through(
        self,
        client: &ClientKey,
        verifier: &Verifier,
    ) -> Result<(ClientVerify, Vec<u8>), ScramError> {
        if !verifier.fits(&self.salt, self.iterations) {
            return Err(ScramError::ForeignVerifier);
        }
        Ok(self.prove_with(client, &verifier.server))
    }

    fn prove_with(self, client: &ClientKey, server: &ServerKey) -> (ClientVerify, Vec<u8>) {
        let signed: [&[u8]; 1] = [self.signed.as_bytes()];
        let proof = ClientKey::unmask(&client.0, &hmac(&client.stored().0, &signed));
        let message = format!("{},p={}", self.without_proof, STANDARD.encode(proof.0));
        (ClientVerify { signature: hmac(&server.0, &signed) }, message.into_bytes())
    }
}

/// An exchange that waits for the server's own proof.
#[derive(Clone)]
pub struct ClientVerify {
    signature: [u8; 32],
}

impl ClientVerify {
    /// Takes the server's last message. The exchange has succeeded only when this does.
    ///
    /// # Errors
    ///
    /// [`ScramError::WrongServerSignature`] when the server does not know the password.
    pub fn last(self, message: &[u8]) -> Result<(), ScramError> {
        let signature = parse_server_final(message)?;
        if signature.ct_eq(&self.signature).into() {
            Ok(())
        } else {
            Err(ScramError::WrongServerSignature)
        }
    }
}

impl std::fmt::Debug for ClientVerify {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientVerify(..)")
    }
}
