use clap::CommandFactory as _;

use super::*;

fn load(arguments: &[&str]) -> Result<Config, SetupError> {
    let all = ["pglagoon", "check"].iter().chain(arguments);
    let Command::Check(setup) = Cli::try_parse_from(all).unwrap().command;
    setup.load([])
}

#[test]
fn the_definitions_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn flags_alone_make_a_configuration() {
    let url = "postgres://u:pw@a/db";
    let config = load(&[
        "--primary",
        url,
        "--replica",
        "postgres://u:pw@b/db",
        "--replica",
        "postgres://u:pw@c/db",
        "--listen",
        "127.0.0.1:7000",
    ])
    .unwrap();
    assert_eq!(config.databases["db"].replicas.len(), 2);
    assert_eq!(config.listen.address[0].to_string(), "127.0.0.1:7000");
}

#[test]
fn problems_are_counted_and_listed() {
    let error =
        load(&["--primary", "postgres://u@a:0/db", "--listen", "x"]).unwrap_err().to_string();
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines[0], "the configuration: 2 problems");
    assert!(lines[1].starts_with("  databases.postgres.primary: the URL's port"), "{error}");
}

#[test]
fn unusable_files_and_secrets_are_told_with_the_rest() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = "
        [databases.app]
        primary = \"postgres://h/db\"
        replicas = [\"postgres://b/db?sslmode=verify-ca&sslrootcert=/no/such\"]
        monitor_user = \"m\"
        [tls.client]
        mode = \"require\"
        cert_file = \"/no/cert\"
        key_file = \"/no/key\"
        [tls.server]
        mode = \"verify-full\"
        ca_file = \"/dev/null\"
        [users.bob]
        password = \"SCRAM-SHA-256$4096:c2E=$AAAA:AAAA\"
        pool_size = 0
    ";
    std::fs::write(file.path(), text).unwrap();
    let error = load(&["--config", file.path().to_str().unwrap()]).unwrap_err().to_string();
    let lines: Vec<_> = error.lines().skip(1).map(str::trim).collect();
    let expected = [
        "databases.app.replicas[0]: could not read \"/no/such\": No such file",
        "tls.client.cert_file: could not read \"/no/cert\": No such file",
        "tls.server.ca_file: ",
        "users.bob.password: ",
        "users.bob.pool_size: must be at least 1",
    ];
    assert_eq!(lines.len(), expected.len(), "{error}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected) && line.contains(" (line "), "{expected}: {error}");
    }
}

#[test]
fn a_missing_file_is_told_by_name() {
    let error = load(&["--config", "/no/such.toml"]).unwrap_err().to_string();
    assert!(error.starts_with("cannot read /no/such.toml: "), "{error}");
}

#[test]
fn a_replica_needs_a_primary() {
    let arguments = ["pglagoon", "check", "--replica", "postgres://a"];
    assert!(Cli::try_parse_from(arguments).is_err());
}
