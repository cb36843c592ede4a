//! Counters, histograms and logging, named in one place.

pub mod counter;
pub mod logging;
mod traffic;

pub use traffic::{REASONS, Traffic, WorkerStats};
