//! Which database's primary a physical replication connection is for: no database belongs to it.

use super::Directory;
use crate::config::NodeUrl;

impl Directory {
    /// The configured database for whose primary a physical replication connection is that names the database `named`, which
    /// most programs call `replication` whatever they are told: that one, or if there is none and all have the same
    /// primary, any. `None` if it cannot be told.
    pub(crate) fn replicated(&self, named: &str) -> Option<String> {
        let databases = &self.contents.load().databases;
        if databases.contains_key(named) {
            return Some(named.to_owned());
        }
        let address = |node: &NodeUrl| (node.host.clone(), node.port);
        let first = databases.keys().min()?;
        let primary = address(&databases.get(first)?.database.primary);
        let is_one = databases.values().all(|one| address(&one.database.primary) == primary);
        is_one.then(|| first.clone())
    }
}
