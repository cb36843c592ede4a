//! Tests that need no PostgreSQL: the layers, the command line, and the whole pooler between scripted peers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a test that cannot go on says so by a panic"
)]

mod architecture;
mod cancel;
mod columns;
mod command_line;
mod copy;
mod elision;
mod extended;
mod isolation;
mod limits;
mod naming;
mod prepared;
mod reload;
mod replication;
mod routing;
mod settings;
mod shutdown;
mod simple;
mod slow;
mod startup;
mod support;
mod trickle;
mod vanishing;
