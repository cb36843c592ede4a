//! Counters, histograms, metrics and logging, named in one place.
//!
//! ```text
//!   workers: Traffic, WorkerStats (plain additions)
//!       --- folded when somebody asks ---> Totals, within an Overview ---> SHOW, /metrics, /readyz
//! ```

pub mod counter;
mod frequent;
pub mod logging;
pub mod metrics;
pub mod overview;
mod totals;
mod traffic;

pub use frequent::{Frequent, Often, Sight};
pub use totals::{Distribution, Totals};
pub use traffic::{ACTIVITIES, Presence, REASONS, Traffic, WorkerStats};
