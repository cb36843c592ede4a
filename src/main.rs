//! The `pglagoon` command line.

mod cli;

use std::error::Error;
use std::io::{Write as _, stderr, stdout};
use std::process::ExitCode;

use clap::Parser as _;
use pglagoon::config::{LogFormat, Logging};
use pglagoon::telemetry::logging::{self, Format};
use pglagoon::{demo, proxy};
use tracing::level_filters::LevelFilter;

use crate::cli::{Cli, Command, Setup, SetupError};

/// What `sysexits.h` calls a usage error: the command line or the configuration is wrong.
const EX_USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help that nobody reads is no failure.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { EX_USAGE } else { 0 });
        }
    };
    let result = match cli.into_command() {
        Command::Serve(setup) => serve(&setup),
        Command::Demo(options) => demo::run(options.into()).map_err(Into::into),
        Command::Check(setup) => check(&setup),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    let _ = writeln!(stderr(), "pglagoon: {}", cli::with_causes(error.as_ref()));
    ExitCode::from(if error.is::<SetupError>() { EX_USAGE } else { 1 })
}

fn serve(setup: &Setup) -> Result<(), Box<dyn Error>> {
    let config = setup.load(environment())?;
    let Logging { level, format, slow_statement: _ } = config.logging;
    let format = match format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    };
    logging::install(level.as_str().parse().unwrap_or(LevelFilter::INFO), format)?;
    Ok(proxy::run(config, || setup.load(environment()))?)
}

fn check(setup: &Setup) -> Result<(), Box<dyn Error>> {
    let config = setup.load(environment())?;
    let names =
        |names: Vec<&String>| names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let (databases, users) =
        (names(config.databases.keys().collect()), names(config.users.keys().collect()));
    let name = setup.name();
    let _ = writeln!(stdout(), "{name}: no problems; databases: {databases}; users: {users}");
    Ok(())
}

/// The variables that are text; others cannot be ours.
fn environment() -> Vec<(String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}
