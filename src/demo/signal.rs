//! Signals to the processes of a PostgreSQL server.
//!
//! Sent with the shell's own `kill`: the system call needs `unsafe`, which this crate forbids.

use std::process::{Command, Stdio};

use super::Error;

/// Sends a signal (`STOP`, `CONT`, `KILL`, ...) to processes, some of which may be gone already.
pub(super) fn send(name: &str, processes: &[u32]) -> Result<(), Error> {
    let script = "signal=$1; shift; for process; do kill -s \"$signal\" \"$process\"; done; true";
    Command::new("sh")
        .args(["-c", script, "sh", name])
        .args(processes.iter().map(u32::to_string))
        .stderr(Stdio::null())
        .status()
        .map_err(Error::io(format!("send the signal {name}")))?;
    Ok(())
}

/// A postmaster and the processes that it has started, all of which are its direct children.
pub(super) fn family(postmaster: u32) -> Result<Vec<u32>, Error> {
    let output = Command::new("sh").args(["-c", LIST]).output().map_err(Error::io("run ps"))?;
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let children = listed.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().map(str::parse::<u32>);
        let (child, parent) = (fields.next()?.ok()?, fields.next()?.ok()?);
        (parent == postmaster).then_some(child)
    });
    Ok(std::iter::once(postmaster).chain(children).collect())
}

/// Prints every process with its parent. A small Linux image may have no `ps`.
const LIST: &str = "ps -A -o pid= -o ppid= 2>/dev/null || \
    cat /proc/[0-9]*/stat 2>/dev/null | sed 's/^\\([0-9]*\\) (.*) [A-Za-z] \\([0-9]*\\) .*/\\1 \\2/'";
