//! The files in `config/`: the reference is exactly what the code says, and every example loads.
//!
//! After a change of keys, `UPDATE_REFERENCE=1 cargo test --lib config::reference` writes the file anew.

use std::path::{Path, PathBuf};

use super::model::{
    Admin, ClientTls, Http, Limits, Listen, Logging, Overrides, Pool, Routing, ServerTls, Timeouts,
    UserRouting,
};
use super::section::{Changes, Field, Section};
use super::value::Value;
use super::{Config, PoolMode, Sources, Split};

const HEAD: &str = "\
# pgLagoon: every key with its default. A file needs only the keys that differ, and [databases.<name>].
#
# Durations are \"250ms\", \"5s\", \"10m\", \"1h\"; sizes are \"512B\", \"64KiB\", \"1MiB\"; 0 turns off what says so.
# (restart) marks keys whose change takes effect when the process is started again, others when the file is reloaded.
# An environment variable beats the file: PGLAGOON_, then the key's path with two underscores between its parts, as
# PGLAGOON_POOL__DEFAULT_POOL_SIZE=40 or PGLAGOON_USERS__ALICE__PASSWORD=...; commas separate the parts of a list.
#
# `pglagoon check --config FILE` tells every problem at once.
";

const DATABASE: &str = "
# [databases.<name>]: a database that clients may ask for; any number of them. Standbys, pg_basebackup and pg_receivewal
# ask for one called \"replication\"; without it they get the primary that all databases have.
[databases.app]

# The node that writes go to, as postgres://user:password@host:port/database. Special characters are escaped (%40 is @).
# Without a database it is the table's name, without a port 5432. A URL's user is whom every client is on the server;
# without one clients are themselves there. Parameters: sslmode and sslrootcert (as [tls.server], for this node), and
# host=/directory for a Unix socket, also port, user, password and dbname.
primary = \"postgres://app:secret@127.0.0.1:5432/app\"

# The nodes that reads may go to: URLs or { url = \"...\", weight = 1, zone = \"a\" }, where weight (1 to 1000) is the node's
# share of the reads. Default: none.
replicas = [
    \"postgres://app:secret@127.0.0.1:5433/app\",
    { url = \"postgres://app:secret@127.0.0.1:5434/app\", weight = 2, zone = \"a\" },
]

# Whom the monitor that measures lag logs in as. Default: the URL's user.
# monitor_user = \"monitor\"
# monitor_password = \"secret\"

# Keys of [routing], for this database alone. Default: as in [routing].
# routing.max_lag = \"5s\"
";

const USER: &str = "
# [users.<name>]: a user that may log in; any number of them. If there is none, the users of the primaries' URLs may.
[users.alice]

# The password, or what pg_authid.rolpassword holds: SCRAM-SHA-256$... or md5...
password = \"secret\"

# A user without a password has this instead.
# trust = true

# The password for servers whose URL names no user, if it is not the password above or that is only a verifier.
# server_password = \"secret\"
";

/// The whole of `config/reference.toml`.
fn render() -> String {
    let abouts = [
        Listen::ABOUT,
        Http::ABOUT,
        Pool::ABOUT,
        Routing::ABOUT,
        Timeouts::ABOUT,
        Limits::ABOUT,
        ClientTls::ABOUT,
        ServerTls::ABOUT,
        Logging::ABOUT,
        Admin::ABOUT,
    ];
    let mut text = HEAD.to_owned();
    for ((name, fields), about) in Config::default().tables().into_iter().zip(abouts) {
        text.extend(["\n", &comment(about, ""), "[", name, "]\n"]);
        text.extend(fields.iter().map(|field| format!("{}\n", entry(field))));
    }
    for part in [DATABASE, USER] {
        text.push_str(part);
        for field in Overrides::default().fields() {
            let default = " Default: as there.";
            let example = match field.name {
                "plan_reuse" => "0",
                "pool_mode" => "\"session\"",
                _ => "5",
            };
            let comment = comment(field.documentation, default);
            text.extend(["\n", &comment, "# ", field.name, " = ", example, "\n"]);
        }
    }
    for field in UserRouting::default().fields() {
        let example = match field.name {
            "route" => "\"primary\"",
            "consistency" => "\"strong\"",
            _ => "true",
        };
        let comment = comment(field.documentation, " Default: as in the database.");
        text.extend(["\n", &comment, "# routing.", field.name, " = ", example, "\n"]);
    }
    text
}

fn entry(field: &Field) -> String {
    let mark = if field.changes == Changes::Restart { " (restart)" } else { "" };
    let comment = comment(field.documentation, mark);
    format!("\n{comment}{} = {}", field.name, literal(&field.value))
}

fn comment(lines: &[&str], mark: &str) -> String {
    let text: Vec<_> = lines.iter().map(|line| format!("#{}", line.replace('`', ""))).collect();
    format!("{}{mark}\n", text.join("\n"))
}

/// The value as TOML writes it.
fn literal(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("{text:?}"),
        Value::List(_) => format!("[{value}]"),
        _ => value.to_string(),
    }
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

fn load(name: &str) -> Config {
    let text = std::fs::read_to_string(path(name)).unwrap();
    Sources::new().file(text).load().unwrap_or_else(|problems| panic!("{name}:\n{problems}"))
}

#[test]
fn the_reference_is_what_the_code_says() {
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(path("reference.toml"), render()).unwrap();
    }
    let written = std::fs::read_to_string(path("reference.toml")).unwrap();
    for (number, (written, said)) in written.lines().zip(render().lines()).enumerate() {
        assert_eq!(written, said, "config/reference.toml, line {}; see {}", number + 1, file!());
    }
    assert_eq!(written.len(), render().len());
}

#[test]
fn the_reference_loads_as_the_defaults() {
    let Config { databases, users, .. } = load("reference.toml");
    assert_eq!(databases["app"].routing, Routing::default());
    assert_eq!(databases["app"].overrides, Overrides::default());
    assert_eq!(users["alice"].overrides, Overrides::default());
    assert_eq!(users["alice"].routing, UserRouting::default());
    let defaults = Config { databases, users, ..Config::default() };
    assert_eq!(load("reference.toml"), defaults);
}

#[test]
fn every_key_that_the_reference_comments_out_is_known() {
    let text = std::fs::read_to_string(path("reference.toml")).unwrap();
    let is_key =
        |line: &&str| line.starts_with("# ") && line.contains(" = ") && !line.contains(": ");
    let keys: Vec<_> = text.lines().filter(is_key).filter(|line| !line.contains("trust")).collect();
    assert!(keys.len() > 12, "{keys:?}");
    let uncommented: Vec<_> =
        text.lines().map(|line| if keys.contains(&line) { &line[2..] } else { line }).collect();
    let config = Sources::new().file(uncommented.join("\n")).load().unwrap();
    assert_eq!(config.users["alice"].overrides.pool_mode, Some(PoolMode::Session));
    assert_eq!(config.databases["app"].monitor.as_ref().unwrap().user, "monitor");
}

#[test]
fn the_minimal_file_loads() {
    assert_eq!(load("minimal.toml").databases.len(), 1);
}

#[test]
fn the_read_write_split_scenario_loads() {
    let config = load("read-write-split.toml");
    assert_eq!(config.databases["app"].replicas.len(), 2);
    assert_eq!(config.databases["reports"].routing.read_write_split, Split::On);
}

#[test]
fn the_session_mode_scenario_loads() {
    let config = load("session-mode.toml");
    let (database, user) = (&config.databases["app"], &config.users["migrations"]);
    assert_eq!(config.pool_size(database, user).mode, PoolMode::Session);
}
