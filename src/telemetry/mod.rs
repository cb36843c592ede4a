//! Counters, histograms and logging, named in one place.

pub mod logging;
