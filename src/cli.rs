//! What the command line may say.

mod materials;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use pglagoon::config::{Config, Problems, Sources};

/// A PostgreSQL connection pooler that sends reads to provably fresh replicas.
#[derive(Debug, Parser)]
#[command(name = "pglagoon", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
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
    /// URL of the primary: postgres://user:password@host:port/database
    #[arg(long, value_name = "URL")]
    primary: Option<String>,
    /// URL of a replica; may be given more than once
    #[arg(long, value_name = "URL", requires = "primary")]
    replica: Vec<String>,
    /// Let users without a password log in from other machines
    #[arg(long)]
    insecure: bool,
}

/// Why there is no configuration to work with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error("cannot read {}: {source}", path.display())]
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
