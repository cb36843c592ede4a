//! The old method: the hash of a password with the user's name as salt, hashed again with a random one.

use std::fmt;

use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

/// The random bytes of one challenge.
pub type Md5Salt = [u8; 4];

/// The 32 hexadecimal digits of a stored MD5 password.
#[derive(Clone)]
pub struct Md5Hash([u8; 32]);

impl Md5Hash {
    /// The hash of a password and the name of its user.
    pub fn derive(password: &[u8], user: &[u8]) -> Self {
        Self(hex_of(&[password, user]))
    }

    /// Reads the stored form: `md5` and 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: [u8; 32] = text.strip_prefix("md5")?.as_bytes().try_into().ok()?;
        let is_hex = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        is_hex.then_some(Self(digits))
    }

    /// What a peer that knows the password answers to `salt`: `md5` and 32 digits.
    pub fn answer(&self, salt: Md5Salt) -> [u8; 35] {
        let mut answer = *b"md5................................";
        for (to, from) in answer.iter_mut().skip(3).zip(hex_of(&[&self.0, &salt])) {
            *to = from;
        }
        answer
    }

    /// Whether `response` answers `salt`, compared in constant time.
    pub fn accepts(&self, salt: Md5Salt, response: &[u8]) -> bool {
        self.answer(salt).ct_eq(response).into()
    }

    /// Compares two stored forms in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for Md5Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Md5Hash(..)")
    }
}

fn hex_of(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Md5::new();
    for part in parts {
        hash.update(part);
    }
    let mut digits = [0; 32];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(hash.finalize()) {
        for (digit, nibble) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
            *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        }
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_what_postgres_protocol_answers() {
        let salt = [0x2a, 0x3d, 0x8f, 0xe0];
        let hash = Md5Hash::derive(b"password", b"md5_user");
        let theirs = postgres_protocol::authentication::md5_hash(b"md5_user", b"password", salt);
        assert_eq!(hash.answer(salt).as_slice(), theirs.as_bytes());
        assert!(hash.accepts(salt, theirs.as_bytes()));
        assert!(!hash.accepts([0; 4], theirs.as_bytes()));
        assert!(!hash.accepts(salt, b"md5"));
    }

    #[test]
    fn only_the_exact_stored_form_is_one() {
        let stored = postgres_protocol::password::md5(b"secret", "alice");
        let hash = Md5Hash::parse(&stored).unwrap();
        assert!(hash.matches(&Md5Hash::derive(b"secret", b"alice")));
        assert!(Md5Hash::parse("md5").is_none());
        assert!(Md5Hash::parse(&stored.to_uppercase().replacen("MD5", "md5", 1)).is_none());
        assert!(Md5Hash::parse(&format!("{stored}0")).is_none());
    }
}
