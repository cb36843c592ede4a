//! pgLagoon: a PostgreSQL connection pooler that sends writes to the primary and reads to replicas that are
//! provably fresh enough.

pub mod clock;

pub mod config;
pub mod protocol;
pub mod sql;
pub mod telemetry;

pub mod auth;
pub mod net;

pub mod cluster;
pub mod server;

pub mod pool;
pub mod route;

pub mod admin;
pub mod http;
pub mod session;

pub mod demo;
pub mod proxy;
