//! Cleartext passwords: the check of one that a client sent.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{md5::Md5Hash, verifier::Secret};

/// Whether `password` is the one that `secret` stands for.
///
/// Costs a key derivation (about a millisecond) when only a SCRAM verifier is stored.
pub(super) fn accepts(secret: &Secret, user: &str, password: &[u8]) -> bool {
    match secret {
        // PostgreSQL takes an empty password for none at all.
        _ if password.is_empty() => false,
        Secret::Trust => true,
        Secret::Password { password: right, .. } => same(right.expose(), password),
        Secret::Md5(hash) => hash.matches(&Md5Hash::derive(password, user.as_bytes())),
        Secret::Scram(verifier) => verifier.accepts(password),
    }
}

/// Compares digests, so that neither the content nor the length of the right one shows in the duration.
fn same(right: &[u8], given: &[u8]) -> bool {
    Sha256::digest(right).ct_eq(&Sha256::digest(given)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stored_form_takes_its_password_and_no_other() {
        let verifier = postgres_protocol::password::scram_sha_256(b"secret");
        let md5 = postgres_protocol::password::md5(b"secret", "alice");
        for stored in ["secret", &verifier, &md5] {
            let secret = Secret::parse(stored).unwrap();
            assert!(accepts(&secret, "alice", b"secret"), "{stored}");
            assert!(!accepts(&secret, "alice", b"Secret"), "{stored}");
            assert!(!accepts(&secret, "alice", b""), "{stored}");
        }
    }
}
