//! The arithmetic of RFC 5802: from a password to keys, and what is stored of them.

use std::{borrow::Cow, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Iterations of a verifier that pgLagoon derives itself (PostgreSQL's `scram_iterations` default).
pub const DEFAULT_ITERATIONS: u32 = 4096;

/// Length of the salt of a verifier that pgLagoon makes, as PostgreSQL's.
pub(crate) const SALT_LENGTH: usize = 16;

/// Defines a 32 byte key whose content never prints and which is compared in constant time.
macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(pub(in crate::auth) [u8; 32]);

        impl $name {
            /// Compares without telling by its duration where the keys differ.
            pub fn matches(&self, other: &Self) -> bool {
                self.0.ct_eq(&other.0).into()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

key! {
    /// What a client proves to know. As good as the password for the role that it belongs to.
    ClientKey
}
key! {
    /// The hash of the client key: recognises it, cannot produce it.
    StoredKey
}
key! {
    /// What a server proves to know.
    ServerKey
}

impl ClientKey {
    /// The stored key that this key answers to.
    pub fn stored(&self) -> StoredKey {
        StoredKey(Sha256::digest(self.0).into())
    }

    /// The key that `proof` stands for, in an exchange whose client signature is `signature`.
    /// The same operation makes a proof of a key.
    pub(super) fn unmask(proof: &[u8; 32], signature: &[u8; 32]) -> Self {
        let mut key = *proof;
        for (byte, mask) in key.iter_mut().zip(signature) {
            *byte ^= mask;
        }
        Self(key)
    }
}

/// Both keys that a password gives for one salt and iteration count.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Proves to the server that the client knows the password.
    pub client: ClientKey,
    /// Proves to the client that the server does.
    pub server: ServerKey,
}

impl Keys {
    /// Derives the keys. Costs `iterations` HMACs: 4096 are in the order of a millisecond.
    pub fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let salted = salted_password(&normalize(password), salt, iterations);
        Self {
            client: ClientKey(hmac(&salted, &[b"Client Key"])),
            server: ServerKey(hmac(&salted, &[b"Server Key"])),
        }
    }
}

/// What a server stores of a password: `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`.
#[derive(Clone, Debug)]
pub struct Verifier {
    pub(super) iterations: u32,
    pub(super) salt: Box<[u8]>,
    pub(super) stored: StoredKey,
    pub(super) server: ServerKey,
}

impl Verifier {
    /// What a password's verifier begins with, in PostgreSQL's catalog and in the configuration.
    pub const PREFIX: &str = "SCRAM-SHA-256$";

    /// Derives the verifier of `password` with a fresh salt.
    ///
    /// Costs 4096 HMACs, so it belongs where configuration is loaded and never in a log-in.
    pub fn derive(password: &[u8]) -> Self {
        let mut salt = [0; SALT_LENGTH];
        rand::fill(&mut salt);
        Self::with_salt(password, &salt, DEFAULT_ITERATIONS)
    }

    /// Derives the verifier of `password` with this salt and iteration count.
    pub fn with_salt(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let keys = Keys::derive(password, salt, iterations);
        Self { iterations, salt: salt.into(), stored: keys.client.stored(), server: keys.server }
    }

    /// A verifier that no password satisfies, the same one each time for the same `user` and `secret`.
    ///
    /// Its stored key is not the hash of anything that can be found, and its salt does not change between
    /// attempts, so that an unknown user looks like a known one.
    pub(in crate::auth) fn mock(secret: &[u8; 32], user: &[u8]) -> Self {
        let salt = hmac(secret, &[b"salt", user]);
        Self {
            iterations: DEFAULT_ITERATIONS,
            salt: salt.iter().copied().take(SALT_LENGTH).collect(),
            stored: StoredKey(hmac(secret, &[b"stored", user])),
            server: ServerKey(hmac(secret, &[b"server", user])),
        }
    }

    /// Reads the stored form. `None` when it is not exactly that.
    pub fn parse(text: &str) -> Option<Self> {
        let (cost, keys) = text.strip_prefix(Self::PREFIX)?.split_once('$')?;
        let (iterations, salt) = cost.split_once(':')?;
        let (stored, server) = keys.split_once(':')?;
        let iterations = decimal(iterations)?;
        let salt = STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?;
        Some(Self {
            iterations,
            salt: salt.into(),
            stored: StoredKey(decode_key(stored)?),
            server: ServerKey(decode_key(server)?),
        })
    }

    /// Whether `password` is the one that this verifier was made of.
    ///
    /// Costs as much as deriving it: only for cleartext log-ins against a stored verifier.
    pub fn accepts(&self, password: &[u8]) -> bool {
        let keys = Keys::derive(password, &self.salt, self.iterations);
        keys.client.stored().matches(&self.stored)
    }

    /// The key by which pgLagoon, in the server's place, proves that it knows this verifier.
    pub fn server_key(&self) -> &ServerKey {
        &self.server
    }

    /// Whether keys made for this verifier fit a server that announces `salt` and `iterations`.
    pub(super) fn fits(&self, salt: &[u8], iterations: u32) -> bool {
        *self.salt == *salt && self.iterations == iterations
    }
}

/// The stored form, as `pg_authid.rolpassword` has it.
impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}:{}${}:{}",
            Self::PREFIX,
            self.iterations,
            STANDARD.encode(&self.salt),
            STANDARD.encode(self.stored.0),
            STANDARD.encode(self.server.0),
        )
    }
}

/// A positive decimal number without sign or leading zero.
pub(super) fn decimal(text: &str) -> Option<u32> {
    let starts_well =
        matches!(text.as_bytes(), [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit));
    if starts_well { text.parse().ok() } else { None }
}

/// Exactly 32 bytes in base64.
pub(super) fn decode_key(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// HMAC-SHA-256 over `parts` as if they were one.
pub(super) fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = keyed(key);
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// PostgreSQL's preparation: SASLprep where it applies, else the bytes as they are.
fn normalize(password: &[u8]) -> Cow<'_, [u8]> {
    let prepared =
        std::str::from_utf8(password).ok().and_then(|text| stringprep::saslprep(text).ok());
    match prepared {
        // PostgreSQL holds a password that vanishes in preparation for a prohibited one.
        Some(text) if text.is_empty() => Cow::Borrowed(password),
        Some(Cow::Borrowed(text)) => Cow::Borrowed(text.as_bytes()),
        Some(Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
        None => Cow::Borrowed(password),
    }
}

/// PBKDF2 with HMAC-SHA-256 and one block of output; the keyed state is hashed once, not per iteration.
fn salted_password(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
    let keyed = keyed(password);
    let mut first = keyed.clone();
    first.update(salt);
    first.update(&1_u32.to_be_bytes());
    let mut block: [u8; 32] = first.finalize().into_bytes().into();
    let mut salted = block;
    for _ in 1..iterations {
        let mut mac = keyed.clone();
        mac.update(&block);
        block = mac.finalize().into_bytes().into();
        for (byte, other) in salted.iter_mut().zip(block) {
            *byte ^= other;
        }
    }
    salted
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("any length is a valid key length")
}
