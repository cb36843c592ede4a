//! What is measured, and for how long.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};

/// Compares pgLagoon with PgBouncer, Pgpool-II and a bare relay on this machine.
#[derive(Debug, Parser)]
#[command(name = "make bench ARGS=")]
pub(crate) struct Options {
    /// How thorough: quick takes some minutes, normal half an hour, full hours
    #[arg(long, value_enum, default_value_t = Length::Quick)]
    length: Length,
    /// What is measured [default: everything]
    #[arg(long, value_delimiter = ',', value_enum)]
    sections: Option<Vec<Section>>,
    /// Seconds of one run
    #[arg(long)]
    seconds: Option<u64>,
    /// Runs of each in each table
    #[arg(long)]
    rounds: Option<usize>,
    /// Numbers of clients, for the sections that have several
    #[arg(long, value_delimiter = ',')]
    clients: Option<Vec<usize>>,
    /// Protocols of pgbench, for `select`
    #[arg(long, value_delimiter = ',', value_enum)]
    protocols: Option<Vec<Protocol>>,
    /// The pgLagoon to be measured, another than the one that was built with this program
    #[arg(long)]
    program: Option<PathBuf>,
    /// Who runs where
    #[arg(long, value_enum, default_value_t = Processors::Shared)]
    processors: Processors,
    /// Get no other pooler, and leave the figures of earlier runs in place
    #[arg(long)]
    alone: bool,
    #[command(flatten)]
    cargo: Cargo,
}

#[derive(Args, Debug)]
struct Cargo {
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// How thorough a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Length {
    Quick,
    Normal,
    Full,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Section {
    /// pgbench -S with 20 servers: the main table
    Select,
    /// pgbench, TPC-B and -N: transactions that write
    Write,
    /// Statements that nobody has ever sent
    NewStatements,
    /// pgbench -C: a log-in for each transaction, by trust, SCRAM, and over TLS
    LogIn,
    /// Up to 9,000 clients on 40 servers: is anybody kept waiting?
    Crowd,
    /// Transactions that come when they come, at 70 % of what can be done
    Open,
    /// Long results and COPY, both ways
    Bulk,
    /// Memory per idle client
    Idle,
    /// Memory with more and more different statements
    Unique,
    /// The primary goes and comes back
    Outage,
    /// Servers that answer at once: the pooler's own work, and what a second thread brings
    Instant,
    /// What a transaction costs with more clients, servers, workers, statements
    Scale,
}

/// `-M` of pgbench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    Simple,
    Extended,
    Prepared,
}

/// Who runs where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Processors {
    /// Everybody everywhere
    Shared,
    /// PostgreSQL has half of them to itself, as on a machine of its own; poolers and clients have the others
    Apart,
}

/// Whom pgLagoon is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Company {
    /// With nobody: the run serves something else than its figures.
    Nobody,
    /// With the other poolers that can be had.
    Others,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) length: Length,
    pub(crate) sections: Vec<Section>,
    pub(crate) run: Duration,
    pub(crate) rounds: usize,
    clients: Option<Vec<usize>>,
    pub(crate) protocols: Vec<Protocol>,
    /// pgLagoon.
    pub(crate) program: PathBuf,
    pub(crate) processors: Processors,
    pub(crate) company: Company,
}

impl Options {
    pub(crate) fn plan(self) -> Plan {
        let (seconds, rounds) = match self.length {
            Length::Quick => (2, 3),
            Length::Normal => (3, 5),
            Length::Full => (10, 9),
        };
        Plan {
            length: self.length,
            sections: self.sections.unwrap_or_else(|| Section::value_variants().to_vec()),
            // pgbench takes whole seconds, and the ends of a run are cut off.
            run: Duration::from_secs(self.seconds.unwrap_or(seconds).max(2)),
            rounds: self.rounds.unwrap_or(rounds).max(1),
            clients: self.clients,
            protocols: self.protocols.unwrap_or_else(|| Protocol::value_variants().to_vec()),
            processors: self.processors,
            company: if self.alone { Company::Nobody } else { Company::Others },
            program: self.program.unwrap_or_else(|| env!("CARGO_BIN_EXE_pglagoon").into()),
        }
    }
}

impl Plan {
    /// The numbers of clients that were asked for, or these.
    pub(crate) fn clients(&self, otherwise: &[usize]) -> Vec<usize> {
        self.clients.clone().unwrap_or_else(|| otherwise.to_vec())
    }

    /// One of three figures.
    pub(crate) fn by_length<T>(&self, quick: T, normal: T, full: T) -> T {
        match self.length {
            Length::Quick => quick,
            Length::Normal => normal,
            Length::Full => full,
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
