//! PostgreSQL on processors of its own: what a database does that is not disturbed by those who ask it.

use std::{io, thread};

use rustix::thread::{CpuSet, Pid, sched_setaffinity};

/// Has these processes, and what they start, run on the first half of the processors, and what this thread starts from
/// now on on the second half. Returns what there is to be said of it.
pub(crate) fn keep_apart(servers: &[u32]) -> io::Result<String> {
    let count = thread::available_parallelism()?.get();
    if count < 2 {
        return Err(io::Error::other("--processors apart needs two of them"));
    }
    let (theirs, ours) = (of(0..count / 2), of(count / 2..count));
    for server in servers {
        let pid = i32::try_from(*server).ok().and_then(Pid::from_raw);
        sched_setaffinity(Some(pid.ok_or(io::ErrorKind::InvalidInput)?), &theirs)?;
    }
    sched_setaffinity(None, &ours)?;
    Ok(format!(
        "PostgreSQL has {} of the processors to itself; poolers and clients have the others",
        count / 2
    ))
}

fn of(processors: std::ops::Range<usize>) -> CpuSet {
    let mut set = CpuSet::new();
    processors.for_each(|processor| set.set(processor));
    set
}
