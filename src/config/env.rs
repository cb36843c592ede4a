//! Environment variables that override single keys.
//!
//! The rule: `PGLAGOON_`, then the key's path in any case with two underscores between its parts.
//! `PGLAGOON_POOL__DEFAULT_POOL_SIZE=40` is `pool.default_pool_size`, `PGLAGOON_TLS__CLIENT__MODE` is
//! `tls.client.mode`, `PGLAGOON_USERS__ALICE__PASSWORD` is `users.alice.password`. A database or user of the file is
//! found whatever its case; one that the file does not have gets its name in lower case. Values are written without
//! quotes, lists with commas. Variables without two underscores in a row are not ours: Kubernetes sets
//! `PGLAGOON_SERVICE_HOST` for a service of this name.

use super::problem::Problems;
use super::value::{Entry, Origin, Tree, Value};

/// What the name of every variable that overrides a key starts with.
pub const PREFIX: &str = "PGLAGOON_";

/// Puts every variable that names a key into `tree`. The keys are checked later, with those of the file.
pub(super) fn overlay<'a>(
    tree: &mut Tree,
    variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    problems: &mut Problems,
) {
    for (name, value) in variables {
        let Some(path) = name.strip_prefix(PREFIX).filter(|path| path.contains("__")) else {
            continue;
        };
        let path: Vec<String> = path.split("__").map(str::to_lowercase).collect();
        let entry = Entry {
            value: Value::Untyped(value.to_owned()),
            origin: Origin::Variable(name.to_owned()),
        };
        if let Err(fault) = insert(tree, &path, entry) {
            problems.add(path.join("."), fault, Origin::Variable(name.to_owned()));
        }
    }
}

/// Puts `entry` at `path`, making the tables on the way.
pub(super) fn insert(tree: &mut Tree, path: &[String], entry: Entry) -> Result<(), &'static str> {
    let Some((first, rest)) = path.split_first() else { return Ok(()) };
    if path.iter().any(String::is_empty) {
        return Err("a part of the name between two underscores is empty");
    }
    let known = tree.keys().find(|key| key.to_lowercase() == first.to_lowercase());
    let key = known.unwrap_or(first).clone();
    if rest.is_empty() {
        tree.insert(key, entry);
        return Ok(());
    }
    let empty = Entry { value: Value::Table(Tree::new()), origin: entry.origin.clone() };
    match &mut tree.entry(key).or_insert(empty).value {
        Value::Table(table) => insert(table, rest, entry),
        _ => Err("one of the parts before the last is not a table"),
    }
}
