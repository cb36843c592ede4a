use clap::CommandFactory as _;

use super::*;

fn load(arguments: &[&str]) -> Result<Config, SetupError> {
    let all = ["pglagoon", "check"].iter().chain(arguments);
    match command(&all.copied().collect::<Vec<_>>()) {
        Command::Check(setup) => setup.load([]),
        other => panic!("{other:?}"),
    }
}

fn command(arguments: &[&str]) -> Command {
    Cli::try_parse_from(arguments).unwrap().into_command()
}

#[test]
fn serving_is_the_default() {
    for serve in [&["pglagoon", "serve"][..], &["pglagoon"]] {
        let arguments = [serve, &["--primary", "postgres://u:pw@a/db"]].concat();
        match command(&arguments) {
            Command::Serve(setup) => assert_eq!(setup.load([]).unwrap().databases.len(), 1),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(command(&["pglagoon"]), Command::Serve(_)));
}

#[test]
fn the_demo_has_the_library_s_defaults() {
    let options = |arguments: &[&str]| match command(arguments) {
        Command::Demo(demo) => Options::from(demo),
        other => panic!("{other:?}"),
    };
    assert_eq!(options(&["pglagoon", "demo"]), Options::default());
    let lagging = options(&["pglagoon", "demo", "--replicas", "3", "--lag", "2s", "--no-workload"]);
    assert_eq!((lagging.replicas, lagging.lag), (3, Some(Duration::from_secs(2))));
    assert_eq!(lagging.workload, Workload::None);
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
    let error = with_causes(&load(&["--config", "/no/such.toml"]).unwrap_err());
    assert!(error.starts_with("cannot read /no/such.toml: "), "{error}");
}

#[test]
fn a_replica_needs_a_primary() {
    let arguments = ["pglagoon", "check", "--replica", "postgres://a"];
    assert!(Cli::try_parse_from(arguments).is_err());
}
