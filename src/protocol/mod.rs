//! The wire protocol, pure: bytes in, bytes out. No sockets, no runtime, no clock.
//!
//! The relay looks at frame *headers* ([`frame::header`]) and at the bodies of the few messages that the
//! session machine asks for; everything else is skipped over by length. Views borrow from the buffer in which
//! the bytes arrived; encoders write into the caller's buffer. Message formats:
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>.

pub mod backend;
pub mod error_response;
pub mod frame;
pub mod frontend;
#[cfg(test)]
mod properties;
mod reader;
pub mod sqlstate;
pub mod startup;
pub mod tag;

pub use error_response::{ErrorFields, Severity};
pub use frame::{FrameError, Header};
pub use sqlstate::SqlState;
pub use startup::Startup;
pub use tag::{BackendTag, FrontendTag};

/// The transaction status byte of ReadyForQuery: the only truth about where a transaction stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransactionStatus {
    /// Not in a transaction block (`I`).
    #[default]
    Idle,
    /// In a transaction block (`T`).
    InTransaction,
    /// In a failed transaction block: everything but ROLLBACK is refused (`E`).
    Failed,
}

impl TransactionStatus {
    /// The status that a ReadyForQuery byte stands for.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'I' => Some(Self::Idle),
            b'T' => Some(Self::InTransaction),
            b'E' => Some(Self::Failed),
            _ => None,
        }
    }

    /// The byte that stands for this status in ReadyForQuery.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::InTransaction => b'T',
            Self::Failed => b'E',
        }
    }
}

/// A protocol version as the startup packet carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 3 for every PostgreSQL since 7.4.
    pub major: u16,
    /// 0, or 2 since PostgreSQL 18.
    pub minor: u16,
}

impl Version {
    /// Protocol 3.0.
    pub const V3_0: Self = Self { major: 3, minor: 0 };
    /// Protocol 3.2 (PostgreSQL 18): cancel keys of up to 256 bytes.
    pub const V3_2: Self = Self { major: 3, minor: 2 };

    /// The version as one number, as it stands in the startup packet.
    pub const fn code(self) -> u32 {
        ((self.major as u32) << 16) | self.minor as u32
    }

    /// The version that a startup packet's first word stands for.
    pub const fn from_code(code: u32) -> Self {
        Self { major: (code >> 16) as u16, minor: (code & 0xffff) as u16 }
    }
}
