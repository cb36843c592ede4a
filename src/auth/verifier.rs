//! What is stored of a user's password.

use std::{fmt, sync::Arc};

use super::{md5::Md5Hash, password::Password, scram::Verifier};
use crate::config::UserSecret;

/// What a user is checked against: nothing, a password in clear, or one of PostgreSQL's two hashed forms.
#[derive(Clone)]
pub enum Secret {
    /// The password itself, and its SCRAM verifier, derived when the secret was read.
    Password {
        /// The password.
        password: Arc<Password>,
        /// Its verifier, with a salt of its own.
        verifier: Arc<Verifier>,
    },
    /// `md5` and 32 digits.
    Md5(Md5Hash),
    /// `SCRAM-SHA-256$..`, as in `pg_authid`.
    Scram(Arc<Verifier>),
    /// The user is let in without a question.
    Trust,
}

impl Secret {
    /// The secret that the configuration gives a user. The same cost as [`Secret::parse`].
    ///
    /// # Errors
    ///
    /// As [`Secret::parse`]; what is configured as a password is one, whatever it looks like.
    pub fn configured(secret: &UserSecret) -> Result<Self, SecretError> {
        match secret {
            UserSecret::Trust => Ok(Self::Trust),
            UserSecret::Password(text) => Self::password(text.expose()),
            UserSecret::Verifier(text) => match Self::parse(text.expose())? {
                Self::Password { .. } => Err(SecretError::MalformedVerifier),
                hashed => Ok(hashed),
            },
        }
    }

    /// Reads a stored form; what is neither of the hashed ones is the password itself.
    ///
    /// Derives a verifier for a password in clear (4096 HMACs, about a millisecond): call it when
    /// configuration is loaded and keep the result.
    ///
    /// # Errors
    ///
    /// When the text is empty, contains a NUL, or begins as a SCRAM verifier and is not one: taking a
    /// mistyped verifier for a password would only puzzle.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        if text.starts_with(Verifier::PREFIX) {
            let verifier = Verifier::parse(text).ok_or(SecretError::MalformedVerifier)?;
            return Ok(Self::Scram(Arc::new(verifier)));
        }
        Md5Hash::parse(text).map_or_else(|| Self::password(text), |hash| Ok(Self::Md5(hash)))
    }

    /// The secret of a password in clear, whatever it looks like. The same cost as [`Secret::parse`].
    ///
    /// # Errors
    ///
    /// When the text is empty or contains a NUL.
    pub fn password(text: &str) -> Result<Self, SecretError> {
        if text.is_empty() {
            return Err(SecretError::Empty);
        }
        if text.contains('\0') {
            return Err(SecretError::Nul);
        }
        let verifier = Arc::new(Verifier::derive(text.as_bytes()));
        Ok(Self::Password { password: Arc::new(Password::new(text)), verifier })
    }

    /// Which form this is.
    pub const fn form(&self) -> SecretForm {
        match self {
            Self::Password { .. } => SecretForm::Password,
            Self::Md5(_) => SecretForm::Md5,
            Self::Scram(_) => SecretForm::Scram,
            Self::Trust => SecretForm::Trust,
        }
    }

    /// The SCRAM verifier, where there is one.
    pub const fn verifier(&self) -> Option<&Arc<Verifier>> {
        match self {
            Self::Password { verifier, .. } | Self::Scram(verifier) => Some(verifier),
            Self::Md5(_) | Self::Trust => None,
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret::{:?}(..)", self.form())
    }
}

/// The form of a [`Secret`], without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretForm {
    /// In clear.
    Password,
    /// Hashed with MD5.
    Md5,
    /// A SCRAM verifier.
    Scram,
    /// Nothing to check.
    Trust,
}

/// Why a text is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// There is nothing.
    #[error("password is empty")]
    Empty,
    /// It should be a hashed form and is not.
    #[error("malformed password verifier")]
    MalformedVerifier,
    /// No client could send it.
    #[error("password contains a NUL character")]
    Nul,
}

/// What the mock verifiers of unknown users are made of; random, one per process.
///
/// Keep it for as long as the process lives: a salt that changed between two attempts would tell that
/// the user is unknown.
#[derive(Clone)]
pub struct MockKey([u8; 32]);

impl MockKey {
    /// A fresh random key.
    pub fn random() -> Self {
        let mut key = [0; 32];
        rand::fill(&mut key);
        Self(key)
    }

    /// The verifier against which `user` is checked, always in vain.
    pub(super) fn verifier(&self, user: &str) -> Arc<Verifier> {
        Arc::new(Verifier::mock(&self.0, user.as_bytes()))
    }
}

impl fmt::Debug for MockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MockKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_forms_are_told_apart() {
        let verifier = postgres_protocol::password::scram_sha_256(b"secret");
        let form = |text: &str| Secret::parse(text).map(|secret| secret.form());
        assert_eq!(form(&verifier), Ok(SecretForm::Scram));
        assert_eq!(form("md5c88b5c841897dafe75cdd9f8ba98b32f"), Ok(SecretForm::Md5));
        assert_eq!(form("md5 is what I like"), Ok(SecretForm::Password));
        assert_eq!(form(""), Err(SecretError::Empty));
        assert_eq!(form("a\0b"), Err(SecretError::Nul));
        assert_eq!(form("SCRAM-SHA-256$4096:c2FsdA==$x:y"), Err(SecretError::MalformedVerifier));
    }

    #[test]
    fn a_verifier_prints_as_it_was_read() {
        let text = postgres_protocol::password::scram_sha_256(b"secret");
        assert_eq!(Verifier::parse(&text).unwrap().to_string(), text);
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", Secret::parse("hunter2").unwrap());
        assert_eq!(shown, "Secret::Password(..)");
    }
}
