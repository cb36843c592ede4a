//! The SQLSTATE codes that we send or act upon (appendix A of the manual, `src/backend/utils/errcodes.txt`).

/// A five-character SQLSTATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SqlState(pub [u8; 5]);

impl SqlState {
    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XX000")
    }

    /// The code that `bytes` spell, if they are five.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        impl SqlState {
            $($(#[$doc])* pub const $name: Self = Self(*$code);)*
        }
    };
}

codes! {
    /// A warning.
    WARNING = b"01000",
    /// Nothing is wrong.
    SUCCESSFUL_COMPLETION = b"00000",
    /// The connection was lost.
    CONNECTION_FAILURE = b"08006",
    /// The server refused the connection or none could be made.
    CANNOT_CONNECT = b"08001",
    /// The outcome of a transaction is unknown.
    TRANSACTION_RESOLUTION_UNKNOWN = b"08007",
    /// A message that the protocol does not allow here.
    PROTOCOL_VIOLATION = b"08P01",
    /// A feature that we do not have.
    FEATURE_NOT_SUPPORTED = b"0A000",
    /// A value that a parameter does not take.
    INVALID_PARAMETER_VALUE = b"22023",
    /// A command that only a transaction block can have.
    NO_ACTIVE_TRANSACTION = b"25P01",
    /// An idle transaction was ended.
    IDLE_IN_TRANSACTION_TIMEOUT = b"25P03",
    /// A transaction took too long.
    TRANSACTION_TIMEOUT = b"25P04",
    /// A write in a read-only transaction, or on a standby.
    READ_ONLY_TRANSACTION = b"25006",
    /// A transaction that has failed takes nothing but its end.
    IN_FAILED_TRANSACTION = b"25P02",
    /// A prepared statement that does not exist.
    UNDEFINED_STATEMENT = b"26000",
    /// Authentication is not possible.
    INVALID_AUTHORIZATION = b"28000",
    /// The password is wrong.
    INVALID_PASSWORD = b"28P01",
    /// A database that does not exist.
    UNDEFINED_DATABASE = b"3D000",
    /// A conflict with recovery, or a serialization failure.
    SERIALIZATION_FAILURE = b"40001",
    /// A deadlock.
    DEADLOCK_DETECTED = b"40P01",
    /// A name that is not to be given.
    RESERVED_NAME = b"42939",
    /// A syntax error.
    SYNTAX_ERROR = b"42601",
    /// A column that does not exist.
    UNDEFINED_COLUMN = b"42703",
    /// An object that does not exist.
    UNDEFINED_OBJECT = b"42704",
    /// A function that does not exist.
    UNDEFINED_FUNCTION = b"42883",
    /// A table that does not exist.
    UNDEFINED_TABLE = b"42P01",
    /// A prepared statement that exists already.
    DUPLICATE_STATEMENT = b"42P05",
    /// Not enough privileges.
    INSUFFICIENT_PRIVILEGE = b"42501",
    /// A limit of the configuration is exceeded.
    CONFIGURATION_LIMIT_EXCEEDED = b"53400",
    /// Too many connections.
    TOO_MANY_CONNECTIONS = b"53300",
    /// Something is larger than a limit allows.
    PROGRAM_LIMIT_EXCEEDED = b"54000",
    /// A parameter that cannot be set.
    CANNOT_CHANGE_PARAMETER = b"55P02",
    /// An object is not in the state that the command needs.
    OBJECT_NOT_IN_STATE = b"55000",
    /// The statement was cancelled.
    QUERY_CANCELED = b"57014",
    /// The administrator ended the connection.
    ADMIN_SHUTDOWN = b"57P01",
    /// The server crashed and restarts.
    CRASH_SHUTDOWN = b"57P02",
    /// No server can be had now.
    CANNOT_CONNECT_NOW = b"57P03",
    /// An idle session was ended.
    IDLE_SESSION_TIMEOUT = b"57P05",
    /// The configuration cannot be used.
    CONFIG_FILE_ERROR = b"F0000",
    /// A bug of ours.
    INTERNAL_ERROR = b"XX000",
}
