//! How PostgreSQL's programs are run for one throwaway cluster.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Error, Installation, account::Account, scratch::Scratch};

/// PostgreSQL's programs, run as the right user in the right place.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    installation: Installation,
    account: Account,
    scratch: PathBuf,
}

impl Programs {
    pub(super) fn new(installation: &Installation, scratch: &Scratch) -> Self {
        Self {
            installation: installation.clone(),
            account: scratch.account(),
            scratch: scratch.path().to_owned(),
        }
    }

    /// The directory that everything happens in.
    pub(super) fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Writes a file that only the servers' account may read.
    pub(super) fn keep(&self, path: &Path, content: &str) -> Result<(), Error> {
        let write = || {
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(content.as_bytes())
        };
        write().map_err(Error::io(format!("write {}", path.display())))?;
        self.account.give(path)
    }

    /// One of PostgreSQL's programs, free of what this process's environment says about other servers.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = self.tool(self.installation.bin().join(program));
        if let Some(libraries) = self.installation.bundled_libraries() {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command
    }

    /// Any other program.
    pub(super) fn tool(&self, program: impl Into<PathBuf>) -> Command {
        let mut command = Command::new(program.into());
        command.current_dir(&self.scratch).env("LC_ALL", "C").env("LC_MESSAGES", "C");
        self.account.run(&mut command);
        command
    }
}

/// Runs a program to its end with `input`; it must succeed.
pub(super) async fn complete(mut command: Command, input: String) -> Result<(), Error> {
    let program = PathBuf::from(command.get_program());
    let failed = Error::io(format!("run {}", program.display()));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = move || {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        child.wait_with_output()
    };
    let output = tokio::task::spawn_blocking(run)
        .await
        .unwrap_or_else(|stopped| Err(std::io::Error::other(stopped)))
        .map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let printed = [output.stdout, output.stderr].concat();
    Err(Error::Program { program, output: String::from_utf8_lossy(&printed).into_owned() })
}
