//! Tests against real PostgreSQL, which they start themselves.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

mod abandonment;
mod balance;
mod bank;
mod catalog;
mod classify;
mod cluster;
mod commits;
mod conflicts;
mod consistency;
mod corpus;
mod currval;
mod demo;
mod demo_program;
mod differential;
mod doors;
mod drivers;
mod explained;
mod fixture;
mod hunt;
mod isolation;
mod levels;
mod listening;
mod login;
mod monitor;
mod oracle;
mod own_parameters;
mod parameters;
mod pins;
mod plans;
mod pooler;
mod programs;
mod promotion;
mod regress;
mod replication;
mod roles;
mod second_try;
mod sequences;
mod signals;
mod storm;
mod streams;
mod suite;
mod torture;
mod trouble;
mod until_write;
mod vanished;
