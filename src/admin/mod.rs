//! The virtual admin database: commands instead of SQL, PgBouncer's where the meaning is the same.
//!
//! [`serve`] talks to one operator, in the simple or the extended protocol. `command` is the table of all commands: verb,
//! argument, who may run it, what it does. A SHOW (`show`) is a list of columns and the rows that follow from a
//! [`Scene`]: it knows nothing of sessions or pools, only of an overview. What the commands act upon is behind
//! [`Pooler`].

mod command;
mod console;
mod dialogue;
mod period;
mod show;
mod table;
#[cfg(test)]
mod testing;
mod timestamp;
mod words;

use std::sync::Arc;

pub use console::serve;
pub use period::{Period, Periods};
pub use show::Scene;

use crate::config::Config;
use crate::telemetry::overview::{Finding, Overview, SocketOverview, Unforeseeable};

/// What the admin database shows and commands.
pub trait Pooler {
    /// The pooler as it is now.
    fn overview(&self) -> Overview;

    /// The configuration.
    fn config(&self) -> Arc<Config>;

    /// What was done in the last period of statistics.
    fn period(&self) -> Period;

    /// All connections of one side, asked from every worker.
    fn sockets(&self, side: Side) -> impl Future<Output = Vec<SocketOverview>>;

    /// What would become of a statement that came now.
    ///
    /// # Errors
    ///
    /// Why nothing can be said.
    fn forecast(&self, question: &Question) -> Result<Vec<Finding>, Unforeseeable>;

    /// Carries out an order for one database, or for all; returns when it is done.
    ///
    /// # Errors
    ///
    /// There is no such database.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops waiting; the order stands.
    fn carry_out(
        &self,
        order: Order,
        database: Option<&str>,
    ) -> impl Future<Output = Result<(), NoSuchDatabase>>;

    /// Reads the configuration again; returns when it holds.
    ///
    /// # Errors
    ///
    /// What is wrong with it, a line each. Nothing has changed then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops waiting; the configuration is read all the same.
    fn reload(&self) -> impl Future<Output = Result<(), Vec<String>>>;
}

/// Whose connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Those to clients.
    Clients,
    /// Those to PostgreSQL.
    Servers,
}

/// What an operator may have done to databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Hand out no server connection; done when none is in use and all are closed.
    Pause,
    /// Replace every server connection: now if it is idle, else when it comes back.
    Reconnect,
    /// End a pause.
    Resume,
}

/// What SHOW ROUTE asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The database that the statement would come for; the only one if it is not named.
    pub database: Option<String>,
    /// The user that it would come from.
    pub user: Option<String>,
    /// The statement.
    pub statement: String,
}

/// A database that is not configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchDatabase;
