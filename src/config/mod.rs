//! The configuration: what the file, the environment and the command line say, what the program uses, and every
//! problem between the two.
//!
//! The rest of the program sees [`Config`] alone: every value in it is typed, checked and resolved, so nobody
//! downstream parses text or asks "was this set?". This module is data: it opens no file and no socket.
//!
//! ```text
//! file (TOML) --\
//! environment ---> tree of values with their origins --check--> Config, or all Problems
//! flags --------/
//! ```
//!
//! A key is declared in one place, a `section!` in `model/`: its name, type, default, documentation, and whether
//! a reload applies it. `config/reference.toml` and `SHOW CONFIG` follow from that.

mod check;
mod codec;
mod env;
mod file;
mod keys;
mod model;
mod problem;
#[cfg(test)]
mod reference;
mod rows;
mod secret;
mod section;
mod source;
mod units;
mod url;
mod value;

pub use env::PREFIX as ENVIRONMENT_PREFIX;
pub use model::*;
pub use problem::{Problem, Problems};
pub use rows::ConfigRow;
pub use secret::Secret;
pub use section::Changes;
pub use source::Sources;
pub use units::{UnitError, parse_duration, parse_size, show_duration, show_size};
pub use url::{UrlError, parse_node_url};
