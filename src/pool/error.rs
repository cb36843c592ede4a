//! Why somebody is refused.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Why a client gets no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum WaitError<E> {
    /// The pool was closed.
    Closed,
    /// The pool has no connection, and this is why the last try to open one failed.
    ConnectFailed(Arc<E>),
    /// `max_waiting` clients wait already.
    QueueFull,
}

impl<E> Clone for WaitError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Closed => Self::Closed,
            Self::ConnectFailed(error) => Self::ConnectFailed(Arc::clone(error)),
            Self::QueueFull => Self::QueueFull,
        }
    }
}

impl<E> fmt::Display for WaitError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the pool is closed",
            Self::ConnectFailed(_) => "could not connect to the server",
            Self::QueueFull => "too many clients wait for a server connection",
        })
    }
}

impl<E: Error + 'static> Error for WaitError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::ConnectFailed(error) => Some(&**error),
            Self::Closed | Self::QueueFull => None,
        }
    }
}
