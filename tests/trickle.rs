//! A write capacity of one: every test with scripted peers once more, on sockets that take one byte per write.
//!
//! No socket of the operating system is that small, so a few lines of C in front of the C library make it so, for
//! the pooler and for its peers alike: each byte of each message then leaves alone.

use std::path::Path;
use std::process::Command;

/// Tests that need no socket, start programs of their own, are about megabytes, or cut messages up themselves; and
/// this one.
const LEFT_OUT: [&str; 7] = [
    "architecture::",
    "command_line::",
    "slow",
    "blocked_at_once",
    "one_byte_at_a_time",
    "split_at",
    "trickle::",
];

#[test]
fn every_conversation_works_when_a_write_takes_one_byte() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("trickle.so");
    compile(&library);
    let mut suite = Command::new(std::env::current_exe().unwrap());
    suite.env("LD_PRELOAD", &library).arg("--quiet");
    for name in LEFT_OUT {
        suite.args(["--skip", name]);
    }
    let run = suite.output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}{}", String::from_utf8_lossy(&run.stderr));
    assert!(said.contains("test result: ok"), "{said}");
}

/// Compiles the few lines of C. Rust links with a C compiler, so there is one.
fn compile(library: &Path) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/trickle.c");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(library)
        .args([source, "-ldl"])
        .output()
        .expect("a C compiler (Rust links with one)");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
}
