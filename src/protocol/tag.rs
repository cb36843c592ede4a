//! Message tags, one type per direction: `C`, `D`, `E`, `H` and `S` mean different things each way.
//!
//! They are newtypes with constants, not enums, because an unknown tag must pass through to where it is judged.

/// The tag of a message that a client sends.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrontendTag(pub u8);

/// The tag of a message that a server sends.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BackendTag(pub u8);

macro_rules! tags {
    ($type:ident { $($(#[$doc:meta])* $name:ident = $byte:literal,)* }) => {
        impl $type {
            $($(#[$doc])* pub const $name: Self = Self($byte);)*
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match *self {
                    $(Self::$name => f.write_str(stringify!($name)),)*
                    Self(other) => write!(f, "{:?}", char::from(other)),
                }
            }
        }
    };
}

tags!(FrontendTag {
    /// Bind.
    BIND = b'B',
    /// Close.
    CLOSE = b'C',
    /// CopyData.
    COPY_DATA = b'd',
    /// CopyDone.
    COPY_DONE = b'c',
    /// CopyFail.
    COPY_FAIL = b'f',
    /// Describe.
    DESCRIBE = b'D',
    /// Execute.
    EXECUTE = b'E',
    /// Flush.
    FLUSH = b'H',
    /// FunctionCall.
    FUNCTION_CALL = b'F',
    /// Parse.
    PARSE = b'P',
    /// PasswordMessage, SASLInitialResponse, SASLResponse or GSSResponse: told apart by the dialogue.
    PASSWORD = b'p',
    /// Query.
    QUERY = b'Q',
    /// Sync.
    SYNC = b'S',
    /// Terminate.
    TERMINATE = b'X',
});

tags!(BackendTag {
    /// Every Authentication message; the word that follows tells which.
    AUTHENTICATION = b'R',
    /// BackendKeyData.
    BACKEND_KEY_DATA = b'K',
    /// BindComplete.
    BIND_COMPLETE = b'2',
    /// CloseComplete.
    CLOSE_COMPLETE = b'3',
    /// CommandComplete.
    COMMAND_COMPLETE = b'C',
    /// CopyBothResponse.
    COPY_BOTH_RESPONSE = b'W',
    /// CopyData.
    COPY_DATA = b'd',
    /// CopyDone.
    COPY_DONE = b'c',
    /// CopyInResponse.
    COPY_IN_RESPONSE = b'G',
    /// CopyOutResponse.
    COPY_OUT_RESPONSE = b'H',
    /// DataRow.
    DATA_ROW = b'D',
    /// EmptyQueryResponse.
    EMPTY_QUERY_RESPONSE = b'I',
    /// ErrorResponse.
    ERROR_RESPONSE = b'E',
    /// FunctionCallResponse.
    FUNCTION_CALL_RESPONSE = b'V',
    /// NegotiateProtocolVersion.
    NEGOTIATE_PROTOCOL_VERSION = b'v',
    /// NoData.
    NO_DATA = b'n',
    /// NoticeResponse.
    NOTICE_RESPONSE = b'N',
    /// NotificationResponse.
    NOTIFICATION_RESPONSE = b'A',
    /// ParameterDescription.
    PARAMETER_DESCRIPTION = b't',
    /// ParameterStatus.
    PARAMETER_STATUS = b'S',
    /// ParseComplete.
    PARSE_COMPLETE = b'1',
    /// PortalSuspended.
    PORTAL_SUSPENDED = b's',
    /// ReadyForQuery.
    READY_FOR_QUERY = b'Z',
    /// RowDescription.
    ROW_DESCRIPTION = b'T',
});
