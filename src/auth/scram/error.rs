//! Why a SCRAM exchange ended.

use crate::protocol::SqlState;

/// Why a SCRAM exchange ended without success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScramError {
    /// The peer's message does not follow the grammar; the text names the rule that it breaks.
    #[error("malformed SCRAM message ({0})")]
    Malformed(&'static str),
    /// The client asked to act as somebody else (`a=`), which PostgreSQL does not have.
    #[error("client uses authorization identity, but it is not supported")]
    AuthorizationIdentity,
    /// The peer demands an extension (`m=`) that nobody has defined yet.
    #[error("peer requires an unsupported SCRAM extension")]
    Extension,
    /// The two sides disagree about channel binding, as they would with somebody in the middle.
    #[error("SCRAM channel binding negotiation error")]
    BindingNegotiation,
    /// The client bound the exchange to another TLS channel than the one it came over.
    #[error("SCRAM channel binding check failed")]
    BindingMismatch,
    /// The proof is not one that the password gives.
    #[error("password does not match")]
    WrongPassword,
    /// The server's signature is wrong: it does not know the password it asked for.
    #[error("incorrect server signature")]
    WrongServerSignature,
    /// The server refused inside SCRAM (`e=`).
    #[error("server reported a SCRAM error")]
    Refused,
    /// The server demands more iterations than a client should be made to compute.
    #[error("SCRAM iteration count {0} exceeds the maximum allowed")]
    TooManyIterations(u32),
    /// The keys at hand were made with another salt or iteration count than the server's.
    #[error("the configured SCRAM verifier is not the one that the server has")]
    ForeignVerifier,
}

impl ScramError {
    /// The SQLSTATE that PostgreSQL gives for the same failure.
    pub const fn sqlstate(&self) -> SqlState {
        match self {
            Self::Malformed(_) | Self::TooManyIterations(_) => SqlState::PROTOCOL_VIOLATION,
            Self::AuthorizationIdentity | Self::Extension => SqlState::FEATURE_NOT_SUPPORTED,
            Self::BindingNegotiation | Self::BindingMismatch => SqlState::INVALID_AUTHORIZATION,
            Self::WrongPassword
            | Self::WrongServerSignature
            | Self::Refused
            | Self::ForeignVerifier => SqlState::INVALID_PASSWORD,
        }
    }
}
