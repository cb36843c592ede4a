//! One client, from log-in to close.
