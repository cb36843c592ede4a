//! A directory for throwaway servers that cannot outlive this process.

use std::{
    env, fs,
    os::unix::{fs::DirBuilderExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use super::{Error, account::Account};

/// What the reaper does once our end of its pipe closes.
const REAPER: &str = include_str!("reaper.sh");

/// A directory whose PostgreSQL servers are stopped, and which is removed, when this value is dropped
/// or this process ends, even by SIGKILL.
///
/// The work is done by a small shell process that waits for the end of its standard input.
#[derive(Debug)]
pub(super) struct Scratch {
    directory: PathBuf,
    account: Account,
    reaper: Child,
    lifeline: Option<ChildStdin>,
}

impl Scratch {
    /// Makes a directory of its own and starts watching over it.
    pub(super) fn create() -> Result<Self, Error> {
        let name = format!("pglagoon-{:08x}", rand::random::<u32>());
        let directory = env::temp_dir().join(name);
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&directory)
            .map_err(Error::io(format!("create {}", directory.display())))?;
        let mut reaper = watch(&directory)?;
        let lifeline = reaper.stdin.take();
        let account = Account::choose(&directory)?;
        account.give(&directory)?;
        Ok(Self { directory, account, reaper, lifeline })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.directory
    }

    /// Who owns it and runs the servers in it.
    pub(super) fn account(&self) -> Account {
        self.account
    }
}

/// Starts the reaper, out of reach of the terminal's signals and of our output.
fn watch(directory: &Path) -> Result<Child, Error> {
    Command::new("sh")
        .args(["-c", REAPER, "pglagoon-reaper"])
        .arg(directory)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(Error::io("run sh"))
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // Bounded: the reaper gives the servers ten seconds, then kills them.
        let _ = self.reaper.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_a_dropped_scratch() {
        let scratch = Scratch::create().unwrap();
        let directory = scratch.path().to_owned();
        fs::write(directory.join("file"), "content").unwrap();
        drop(scratch);
        assert!(!directory.exists());
    }
}
