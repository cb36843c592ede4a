//! The configuration file: what the TOML says, what the program uses, and every problem between the two.
//!
//! The rest of the program sees [`Config`] alone: every value in it is typed, checked and resolved, so nobody
//! downstream parses text or asks "was this set?". This module is data; it opens no socket and no certificate.

mod model;
mod secret;
mod section;

pub use model::*;
pub use secret::Secret;
