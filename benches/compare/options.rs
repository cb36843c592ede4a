//! What is measured, and for how long.

use std::fmt;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Compares pgLagoon with PgBouncer on this machine.
#[derive(Debug, Parser)]
#[command(name = "make bench ARGS=")]
pub(crate) struct Options {
    /// How thorough: quick takes two minutes, normal ten, full an hour
    #[arg(long, value_enum, default_value_t = Length::Normal)]
    length: Length,
    /// Seconds of one run
    #[arg(long)]
    seconds: Option<f64>,
    /// Runs of each pooler in each cell
    #[arg(long)]
    rounds: Option<usize>,
    /// Numbers of clients; 0 leaves the runs out
    #[arg(long, value_delimiter = ',')]
    clients: Option<Vec<usize>>,
    /// Protocols of pgbench
    #[arg(long, value_delimiter = ',', value_enum)]
    protocols: Option<Vec<Protocol>>,
    /// Clients that are connected to measure what an idle one takes; 0 leaves it out
    #[arg(long)]
    idle_clients: Option<usize>,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// How thorough a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Length {
    Quick,
    Normal,
    Full,
}

/// `-M` of pgbench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    Simple,
    Extended,
    Prepared,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) run: Duration,
    pub(crate) rounds: usize,
    pub(crate) clients: Vec<usize>,
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) idle_clients: usize,
}

impl Options {
    pub(crate) fn plan(self) -> Plan {
        let (seconds, rounds, clients) = match self.length {
            Length::Quick => (2.0, 3, vec![1, 32]),
            Length::Normal => (3.0, 5, vec![1, 32, 500]),
            Length::Full => (10.0, 9, vec![1, 32, 500]),
        };
        let mut clients = self.clients.unwrap_or(clients);
        clients.retain(|&count| count > 0);
        let all = || Protocol::value_variants().to_vec();
        Plan {
            // pgbench takes whole seconds, and the ends of a run are cut off.
            run: Duration::from_secs_f64(self.seconds.unwrap_or(seconds).max(2.0).round()),
            rounds: self.rounds.unwrap_or(rounds).max(1),
            clients,
            protocols: self.protocols.unwrap_or_else(all),
            idle_clients: self.idle_clients.unwrap_or(5000),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Simple => "simple",
            Self::Extended => "extended",
            Self::Prepared => "prepared",
        })
    }
}
