//! Counts instructions with valgrind: this program runs itself under callgrind, which simulates the processor.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use crate::steps::{self, Run};

/// What this program is told to be the one whose instructions are counted.
pub(crate) const RUN: &str = "--counted";

/// Runs before the counting, so that caches are as they are in the long run.
const WARM_UP: u32 = 5000;

/// Runs that are counted.
const COUNTED: u32 = 1000;

/// Instructions of one run of each step.
pub(crate) type Counts = BTreeMap<String, u64>;

/// Whether there is a valgrind.
pub(crate) fn is_possible() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// One step, and nothing else: what callgrind looks at.
pub(crate) fn run(name: &str) {
    for step in steps::ALL.iter().filter(|step| step.name == name) {
        let mut run = (step.prepare)();
        (0..WARM_UP).for_each(|_| run());
        counted_section(&mut run);
    }
}

/// Callgrind counts while this function runs.
#[inline(never)]
fn counted_section(run: &mut Run) {
    (0..COUNTED).for_each(|_| run());
}

/// Runs every step under callgrind, each in a process of its own.
pub(crate) fn count() -> Result<Counts, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("counts");
    let mut counts = Counts::new();
    for step in steps::ALL {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--toggle-collect=*counted_section*"])
            .arg(format!("--callgrind-out-file={}", path.display()))
            .arg(env::current_exe()?)
            .args([RUN, step.name])
            .output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        counts.insert(step.name.to_owned(), total(&path)? / u64::from(COUNTED));
    }
    Ok(counts)
}

/// The sum that stands in a file of callgrind's.
pub(crate) fn total(path: &Path) -> Result<u64, Box<dyn Error>> {
    let text = fs::read_to_string(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix("summary:"));
    Ok(line.ok_or("callgrind has counted nothing")?.trim().parse()?)
}
