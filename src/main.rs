//! The `pglagoon` command line.

mod cli;

use std::io::{Write as _, stderr, stdout};
use std::process::ExitCode;

use clap::Parser as _;

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
    let result = match &cli.command {
        Command::Check(setup) => check(setup),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(stderr(), "{error}");
            ExitCode::from(EX_USAGE)
        }
    }
}

fn check(setup: &Setup) -> Result<(), SetupError> {
    let config = setup.load(environment())?;
    let _ = writeln!(
        stdout(),
        "{}: no problems; databases: {}; users: {}",
        setup.name(),
        names(config.databases.keys()),
        names(config.users.keys())
    );
    Ok(())
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// The variables that are text; others cannot be ours.
fn environment() -> Vec<(String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}
