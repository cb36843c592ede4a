//! The program as scripts see it: what it prints where, and its exit code.

use std::io::Write as _;
use std::process::{Command, Output};

/// Runs `pglagoon` with `arguments` and only those variables.
fn pglagoon(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pglagoon"));
    command.args(arguments).env_clear().envs(variables.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn example(name: &str) -> String {
    format!("{}/config/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn check_is_content_with_every_file_that_is_shipped() {
    for name in ["reference.toml", "minimal.toml", "read-write-split.toml", "session-mode.toml"] {
        let output = pglagoon(&["check", "--config", &example(name)], &[]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("no problems; databases: app"));
        assert!(output.stderr.is_empty());
    }
}

#[test]
fn check_tells_every_problem_on_standard_error_and_exits_with_64() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(
        file,
        "[pool]\nmode = \"x\"\n[banana]\n[databases.app]\nprimary = \"postgres://u:pw@h\"\n"
    )
    .unwrap();
    let arguments = ["check", "--config", file.path().to_str().unwrap()];
    let output = pglagoon(&arguments, &[("PGLAGOON_ROUTING__MAX_LAG", "soon")]);
    assert_eq!(output.status.code(), Some(64));
    assert!(output.stdout.is_empty());
    let told: Vec<_> = text(&output.stderr).lines().collect();
    assert!(told[0].ends_with(": 3 problems"), "{told:?}");
    assert!(told[1].starts_with("  banana: unknown table"), "{told:?}");
    assert!(told[2].starts_with("  pool.mode: unknown value \"x\""), "{told:?}");
    assert!(told[3].ends_with("(environment variable PGLAGOON_ROUTING__MAX_LAG)"), "{told:?}");
}

#[test]
fn a_slip_in_the_command_line_exits_with_64_and_help_with_0() {
    assert_eq!(pglagoon(&["check", "--confg", "x"], &[]).status.code(), Some(64));
    assert_eq!(pglagoon(&["--help"], &[]).status.code(), Some(0));
    assert_eq!(pglagoon(&["--version"], &[]).status.code(), Some(0));
}
