//! Whom PostgreSQL runs as: it refuses to run as root.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::Path,
    process::Command,
};

use super::Error;

/// Users that may run PostgreSQL when we are root, the best first.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// The user that PostgreSQL runs as.
#[derive(Clone, Copy, Debug)]
pub(super) enum Account {
    /// The one that runs this process.
    Ours,
    /// Another one, because we are root.
    Other { uid: u32, gid: u32 },
}

impl Account {
    /// Picks the account; `owned` is anything that this process has just created.
    ///
    /// Its owner is our effective user, which the standard library cannot ask for.
    pub(super) fn choose(owned: &Path) -> Result<Self, Error> {
        let ours = fs::metadata(owned).map_err(Error::io("read the scratch directory"))?.uid();
        if ours != 0 {
            return Ok(Self::Ours);
        }
        UNPRIVILEGED
            .iter()
            .find_map(|name| Some(Self::Other { uid: id("-u", name)?, gid: id("-g", name)? }))
            .ok_or(Error::NoAccount)
    }

    /// Makes `command` run as this account.
    pub(super) fn run(self, command: &mut Command) {
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
    }

    /// Gives a file or directory to this account.
    pub(super) fn give(self, path: &Path) -> Result<(), Error> {
        match self {
            Self::Ours => Ok(()),
            Self::Other { uid, gid } => chown(path, Some(uid), Some(gid))
                .map_err(Error::io(format!("change the owner of {}", path.display()))),
        }
    }
}

fn id(flag: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").args([flag, name]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
