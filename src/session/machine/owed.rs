//! One request and the messages that answer it.

use crate::protocol::BackendTag;
use crate::server::statements::StatementId;

/// A request that a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Bind.
    Bind,
    /// Close.
    Close,
    /// CopyDone or CopyFail that was sent before the server asked for data. Nothing answers it.
    CopyEnd,
    /// Describe of a portal.
    DescribePortal,
    /// Describe of a statement.
    DescribeStatement,
    /// Execute.
    Execute,
    /// FunctionCall.
    FunctionCall,
    /// A Query about parameters of ours, answered without the server.
    Ours,
    /// Parse.
    Parse,
    /// Query.
    Query,
    /// Sync.
    Sync,
}

/// Who answers a request, and who sees the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The server; the client sees it.
    Forward,
    /// The server; we sent the request, the client never sees the answer.
    Swallow,
    /// We, when everything before it has been answered.
    Synthesize,
}

/// What a request changes when it succeeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing that we keep.
    #[default]
    None,
    /// Nothing; it runs or describes this statement of the server's.
    Uses(StatementId),
    /// Nothing; it describes this statement of the server's to the client: the oldest entry of its list of such requests.
    Describes(StatementId),
    /// The same, to ourselves: whether it looks as the client was told, before that uses it.
    Checks(StatementId),
    /// Nothing: it names a statement that no server has, because the one that the client means has other columns.
    Refused,
    /// The server gets a statement of its own name.
    Prepares(StatementId),
    /// The client's name for a statement changes: the oldest entry of the session's list of such changes.
    Names,
    /// What the client's and the server's unnamed statement is, with an entry in the same list.
    Unnamed,
    /// The server gets a statement, and the client a name for it.
    PreparesAndNames(StatementId),
    /// The same where the client gives no name.
    PreparesUnnamed(StatementId),
    /// Session state: the oldest entry of the session's list of such changes.
    Session,
    /// The same, statement by statement.
    Script,
    /// The same, of a savepoint: its ROLLBACK ends no transaction.
    Savepoint,
    /// A name that texts can use, which the server gets or loses: the oldest entry of its list of such changes.
    Given,
    /// The same in a batch of our own, before a request of the client's that is going to fail if this does.
    Offered,
    /// The server has what the client asked for when it logged in; the client hears of it.
    Startup,
    /// The server has another value of a parameter that an extension may know better.
    Custom,
}

/// A request whose answer is outstanding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owed {
    /// What was asked.
    pub(crate) request: Request,
    /// Who answers.
    pub(crate) fate: Fate,
    /// What changes with success.
    pub(crate) change: Change,
}

impl Owed {
    /// A client's request that changes nothing we keep.
    #[inline]
    pub(crate) fn forward(request: Request) -> Self {
        Self { request, fate: Fate::Forward, change: Change::None }
    }

    /// A request of our own.
    #[inline]
    pub(crate) fn swallow(request: Request) -> Self {
        Self { request, fate: Fate::Swallow, change: Change::None }
    }

    /// A request that we answer.
    #[inline]
    pub(crate) fn synthesize(request: Request) -> Self {
        Self { request, fate: Fate::Synthesize, change: Change::None }
    }

    /// With a change.
    #[inline]
    pub(crate) fn with(self, change: Change) -> Self {
        Self { change, ..self }
    }
}

/// What a message means for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expects {
    /// The answer is complete with it.
    Last,
    /// More will come.
    More,
    /// It is no part of the answer.
    Never,
}

impl Request {
    /// Whether the answer ends with ReadyForQuery.
    #[inline]
    pub(super) fn ends_with_ready(self) -> bool {
        matches!(self, Self::FunctionCall | Self::Query | Self::Sync)
    }

    /// Whether the answer may be a COPY.
    pub(super) fn may_copy(self) -> bool {
        matches!(self, Self::Execute | Self::Query)
    }

    /// What `tag` means for this request; errors, asynchronous messages, rows, COPY and ReadyForQuery apart.
    #[inline]
    pub(super) fn expects(self, tag: BackendTag) -> Expects {
        match (self, tag) {
            (Self::Bind, BackendTag::BIND_COMPLETE)
            | (Self::Close, BackendTag::CLOSE_COMPLETE)
            | (
                Self::DescribePortal | Self::DescribeStatement,
                BackendTag::ROW_DESCRIPTION | BackendTag::NO_DATA,
            )
            | (
                Self::Execute,
                BackendTag::COMMAND_COMPLETE
                | BackendTag::EMPTY_QUERY_RESPONSE
                | BackendTag::PORTAL_SUSPENDED,
            )
            | (Self::Parse, BackendTag::PARSE_COMPLETE) => Expects::Last,
            (Self::DescribeStatement, BackendTag::PARAMETER_DESCRIPTION)
            | (
                Self::Query,
                BackendTag::ROW_DESCRIPTION
                | BackendTag::COMMAND_COMPLETE
                | BackendTag::EMPTY_QUERY_RESPONSE,
            )
            | (Self::FunctionCall, BackendTag::FUNCTION_CALL_RESPONSE) => Expects::More,
            _ => Expects::Never,
        }
    }
}
