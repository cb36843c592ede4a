//! What the machine keeps besides the queue: how far a COPY, a batch and an answer have come.

/// Where a COPY stands. Only one that reads from the client concerns the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Copy {
    /// No COPY FROM STDIN is open.
    #[default]
    None,
    /// The server reads CopyData; it ignores Flush and Sync until CopyDone or CopyFail
    /// (`CopyGetData` in `src/backend/commands/copyfromparse.c`).
    In,
    /// CopyDone or CopyFail has been sent.
    Ended,
}

/// Whether the client is between an extended-protocol message and its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Batch {
    /// A Sync has ended it, or a Query, which ends the implicit transaction just as well.
    #[default]
    Closed,
    /// Sync is still to come.
    Open,
    /// The server has failed the batch and ignores everything until a Sync, which has not been sent.
    Skipping,
}

/// What has been seen of the answer to the oldest request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Head {
    /// Nothing.
    #[default]
    Silent,
    /// Part of it.
    Begun,
    /// An error; ReadyForQuery is to follow.
    Failed,
}
