//! Where a statement runs: facts in, target and reason out. Pure, and total: every statement gets an answer.
//!
//! [`decide()`] is asked when a session without a server is about to send something. A session inside a
//! transaction or pinned to a server does not ask; it reports its [`Reason`] itself.

mod balance;
mod decide;
mod reason;

pub use self::balance::Dice;
pub use self::decide::{Facts, Patience, Route, Seen, Standing, Target, decide, standings};
pub use self::reason::Reason;
