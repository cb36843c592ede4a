//! From what was written to what is used, noting everything that is wrong on the way.

mod database;
mod rules;
mod user;

use std::collections::BTreeMap;

use super::keys::{Keys, join};
use super::model::{Config, Routing};
use super::problem::Problems;
use super::section::Section;
use super::value::{Origin, Tree, Value};

/// Checks the whole tree. What is wrong is as by default in the result, which is only used if nothing is.
pub(super) fn check(tree: &Tree, problems: &mut Problems) -> Config {
    let mut root = Keys::new("", Some(tree), problems);
    let mut config = Config {
        listen: section(&mut root, "listen"),
        http: section(&mut root, "http"),
        pool: section(&mut root, "pool"),
        routing: section(&mut root, "routing"),
        timeouts: section(&mut root, "timeouts"),
        limits: section(&mut root, "limits"),
        logging: section(&mut root, "logging"),
        admin: section(&mut root, "admin"),
        ..Config::default()
    };
    let tls = root.table("tls");
    let mut keys = Keys::new("tls", tls, root.problems());
    config.tls_client = section(&mut keys, "client");
    config.tls_server = section(&mut keys, "server");
    keys.finish();
    let routing = config.routing.clone();
    config.databases = named(&mut root, "databases", |keys, name| database(keys, name, &routing));
    config.users = named(&mut root, "users", |keys, _| {
        let routing = section(keys, "routing");
        user::read(keys, routing)
    });
    root.finish();
    if declared(tree, "databases").is_empty() {
        problems.add("databases", NO_DATABASE, Origin::Default);
    }
    let mut users = declared(tree, "users");
    if users.is_empty() {
        config.users = user::from_primaries(&config.databases, problems);
        users = config.users.keys().map(String::as_str).collect();
    }
    rules::check(&config, &users, problems);
    config
}

/// The table `name`, all of whose keys have defaults.
fn section<S: Section + Default>(parent: &mut Keys<'_>, name: &'static str) -> S {
    section_over(parent, name, &S::default())
}

/// The table `name`, whose missing keys are as in `base`.
fn section_over<S: Section>(parent: &mut Keys<'_>, name: &'static str, base: &S) -> S {
    let (path, table) = (parent.path(name), parent.table(name));
    let mut keys = Keys::new(&path, table, parent.problems());
    let section = S::read(&mut keys, base);
    keys.finish();
    section
}

/// The tables in the table `name`, each of which `read` makes something of.
fn named<T>(
    root: &mut Keys<'_>,
    name: &'static str,
    mut read: impl FnMut(&mut Keys<'_>, &str) -> Option<T>,
) -> BTreeMap<String, T> {
    let mut found = BTreeMap::new();
    for (key, entry) in root.table(name).into_iter().flatten() {
        let path = join(name, key);
        root.problems().place(path.clone(), &entry.origin);
        let Value::Table(table) = &entry.value else {
            root.problems().add(&path, format!("expected a table: [{path}]"), entry.origin.clone());
            continue;
        };
        let mut keys = Keys::new(&path, Some(table), root.problems());
        let value = read(&mut keys, key);
        keys.finish();
        if let Some(value) = value {
            found.insert(key.clone(), value);
        }
    }
    found
}

/// The names in the table `name`, whether what they stand for is right or wrong.
pub(super) fn declared<'a>(tree: &'a Tree, name: &str) -> Vec<&'a str> {
    match tree.get(name).map(|entry| &entry.value) {
        Some(Value::Table(tables)) => tables.keys().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

fn database(keys: &mut Keys<'_>, name: &str, routing: &Routing) -> Option<super::Database> {
    let own = section_over(keys, "routing", routing);
    database::read(keys, name, own)
}

const NO_DATABASE: &str = "none is configured; write [databases.<name>] with primary = \
     \"postgres://...\" in the file given with --config, or start with --primary";

#[cfg(test)]
mod tests;
