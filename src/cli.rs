//! What the command line may say.

mod materials;

use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use pglagoon::config::{Config, Problems, Sources, parse_duration};
use pglagoon::demo::{Options, Workload};

/// A PostgreSQL connection pooler that sends reads to provably fresh replicas.
#[derive(Debug, Parser)]
#[command(name = "pglagoon", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Setup,
}

impl Cli {
    /// What to do: to serve, if nothing is said.
    pub(crate) fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Serve(self.serve))
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Pool connections (the default)
    Serve(Setup),
    /// Start a throwaway primary, streaming replicas and a pooler in front, and show them at work
    Demo(Demo),
    /// Check the configuration and tell every problem at once; exit 64 if there is one
    Check(Setup),
}

/// Where the configuration comes from.
#[derive(Args, Debug)]
pub(crate) struct Setup {
    /// The configuration file
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address that clients connect to; may be given more than once [default: 127.0.0.1:6432]
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// URL of the primary: postgres://user:password@host:port/database; without [users] its user may also use the
    /// admin database
    #[arg(long, value_name = "URL")]
    primary: Option<String>,
    /// URL of a replica; may be given more than once
    #[arg(long, value_name = "URL", requires = "primary")]
    replica: Vec<String>,
    /// Let users without a password log in from other machines
    #[arg(long)]
    insecure: bool,
}

/// What the demo looks like.
#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Address that clients connect to; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:6432")]
    listen: SocketAddr,
    /// How many streaming replicas there are
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=8))]
    replicas: u8,
    /// Let the last replica fall behind by so much, from time to time, such as "2s"
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    lag: Option<Duration>,
    /// Bring no clients
    #[arg(long)]
    no_workload: bool,
    /// Major version of PostgreSQL [default: what is there]
    #[arg(long, value_name = "VERSION")]
    postgres: Option<u16>,
}

impl From<Demo> for Options {
    fn from(demo: Demo) -> Self {
        Self {
            listen: demo.listen,
            replicas: usize::from(demo.replicas),
            lag: demo.lag,
            workload: if demo.no_workload { Workload::None } else { Workload::Steady },
            postgres: demo.postgres,
        }
    }
}

/// Why there is no configuration to work with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error("cannot read {}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{name}: {}\n{}", count(problems), indented(problems))]
    Wrong { name: String, problems: Problems },
}

impl Setup {
    /// The configuration that the file, the environment and these flags make.
    pub(crate) fn load(
        &self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, SetupError> {
        let mut sources = Sources::new().environment(environment).listen(&self.listen);
        if let Some(path) = &self.config {
            sources = sources.file(read(path)?);
        }
        if let Some(primary) = &self.primary {
            sources = sources.nodes(primary, &self.replica);
        }
        if self.insecure {
            sources = sources.insecure();
        }
        let loaded = sources.load_and(materials::inspect);
        loaded.map_err(|problems| SetupError::Wrong { name: self.name(), problems })
    }

    /// What to call the configuration when talking about it.
    pub(crate) fn name(&self) -> String {
        let path = self.config.as_ref().map(|path| path.display().to_string());
        path.unwrap_or_else(|| "the configuration".to_owned())
    }
}

/// An error and what it comes from, outermost first, in one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    let texts = std::iter::once(error.to_string()).chain(causes.map(ToString::to_string));
    texts.collect::<Vec<_>>().join(": ")
}

fn read(path: &Path) -> Result<String, SetupError> {
    std::fs::read_to_string(path)
        .map_err(|source| SetupError::Unreadable { path: path.to_owned(), source })
}

fn count(problems: &Problems) -> String {
    match problems.iter().count() {
        1 => "1 problem".to_owned(),
        many => format!("{many} problems"),
    }
}

fn indented(problems: &Problems) -> String {
    let lines: Vec<_> = problems.iter().map(|problem| format!("  {problem}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests;
