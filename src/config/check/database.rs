//! `[databases.<name>]`.

use crate::config::codec::{Codec, CountAboveZero, mismatch};
use crate::config::keys::Keys;
use crate::config::model::{Credentials, Database, NodeUrl, Overrides, Routing};
use crate::config::problem::Problems;
use crate::config::secret::Secret;
use crate::config::section::Section;
use crate::config::url::parse_node_url;
use crate::config::value::{Entry, Origin, Value};

/// Reads one database; `None` if it has no usable primary, which is noted.
pub(super) fn read(keys: &mut Keys<'_>, name: &str, routing: Routing) -> Option<Database> {
    let overrides = Overrides::read(keys, &Overrides::default());
    let monitor = monitor(keys);
    let primary = keys.take("primary");
    if primary.is_none() {
        keys.fault("primary", "missing; give the primary's URL", Origin::Default);
    }
    let primary = primary.and_then(|entry| node(keys, "primary", entry, name));
    let replicas = replicas(keys, name);
    let database = Database { primary: primary?, replicas, overrides, routing, monitor };
    check_nodes(keys, &database);
    Some(database)
}

fn monitor(keys: &mut Keys<'_>) -> Option<Credentials> {
    let user = keys.text("monitor_user");
    let password = keys.text("monitor_password").map(Secret::new);
    if user.is_none() && password.is_some() {
        let origin = keys.origin("monitor_password");
        keys.fault("monitor_password", "needs monitor_user beside it", origin);
    }
    Some(Credentials { user: user?.to_owned(), password })
}

fn replicas(keys: &mut Keys<'_>, name: &str) -> Vec<NodeUrl> {
    let Some(entry) = keys.take("replicas") else { return Vec::new() };
    let single;
    let entries = match &entry.value {
        Value::List(entries) => entries,
        Value::Untyped(_) => {
            let texts = entry.value.as_texts().unwrap_or_default();
            let entry = |text: &str| Entry {
                value: Value::Text(text.to_owned()),
                origin: entry.origin.clone(),
            };
            single = texts.into_iter().map(entry).collect();
            &single
        }
        other => {
            keys.fault("replicas", mismatch("a list of URLs", other), entry.origin.clone());
            return Vec::new();
        }
    };
    let mut nodes = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        nodes.extend(node(keys, &format!("replicas[{index}]"), entry, name));
    }
    nodes
}

/// A node: its URL, or a table of the URL, weight and zone.
fn node(keys: &mut Keys<'_>, key: &str, entry: &Entry, dbname: &str) -> Option<NodeUrl> {
    let path = path_in(keys, key);
    let Value::Table(table) = &entry.value else {
        let Some(url) = entry.value.as_text() else {
            let fault = mismatch("a URL or { url = \"...\", weight = 1 }", &entry.value);
            keys.problems().add(path, fault, entry.origin.clone());
            return None;
        };
        return parse(keys.problems(), path, url, (entry, dbname));
    };
    let mut fields = Keys::new(&path, Some(table), keys.problems());
    let url = fields.text("url");
    if !table.contains_key("url") {
        fields.fault("url", "missing", entry.origin.clone());
    }
    let weight = fields.read::<_, Weight>("weight", &1);
    let zone = fields.text("zone").map(str::to_owned);
    let path = fields.path("url");
    let node = url.and_then(|url| parse(fields.problems(), path, url, (entry, dbname)));
    fields.finish();
    node.map(|node| NodeUrl { weight, zone, ..node })
}

fn parse(
    problems: &mut Problems,
    path: String,
    url: &str,
    (entry, dbname): (&Entry, &str),
) -> Option<NodeUrl> {
    match parse_node_url(url, dbname) {
        Ok(node) => Some(node),
        Err(error) => {
            problems.add(path, error.to_string(), entry.origin.clone());
            None
        }
    }
}

/// The path of an element of a list is no key, so it must not be quoted like one.
fn path_in(keys: &Keys<'_>, key: &str) -> String {
    match key.split_once('[') {
        Some((list, index)) => format!("{}[{index}", keys.path(list)),
        None => keys.path(key),
    }
}

fn check_nodes(keys: &mut Keys<'_>, database: &Database) {
    for (index, replica) in database.replicas.iter().enumerate() {
        let earlier = database.nodes().take(index + 1).any(|node| node.name == replica.name);
        if earlier {
            let fault = format!("{} is already a node of this database", replica.name);
            let origin = keys.origin("replicas");
            let path = path_in(keys, &format!("replicas[{index}]"));
            keys.problems().add(path, fault, origin);
        }
    }
    let anonymous = database.nodes().find(|node| database.monitor_login(node).is_none());
    if let Some(node) = anonymous.filter(|_| !database.replicas.is_empty()) {
        let fault = format!(
            "missing; the URL of {} names no user, so the monitor that measures replication lag does not know whom \
             to log in as",
            node.name
        );
        keys.fault("monitor_user", fault, Origin::Default);
    }
}

/// A replica's share of reads.
struct Weight;

impl Codec<u32> for Weight {
    fn read(value: &Value) -> Result<u32, String> {
        let weight = CountAboveZero::read(value)?;
        u32::try_from(weight)
            .ok()
            .filter(|weight| *weight <= 1000)
            .ok_or_else(|| "must be at most 1000".to_owned())
    }

    fn show(value: &u32) -> Value {
        Value::Integer(i64::from(*value))
    }
}
