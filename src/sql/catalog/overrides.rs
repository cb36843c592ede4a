//! What the configuration says of functions and tables, whatever the catalog says.

use std::collections::HashSet;

use super::names::Key;

/// Names with or without a schema, as PostgreSQL stores them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    safe: HashSet<Key>,
    unsafe_: Avoided,
    primary: Avoided,
}

/// What must not be used on a standby.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Avoided {
    configured: HashSet<Key>,
    /// The same without schemas: a name alone may mean any of them.
    alone: HashSet<Key>,
}

impl Avoided {
    fn new(names: &[String]) -> Self {
        Self {
            configured: names.iter().map(|name| key(name)).collect(),
            alone: names.iter().map(|name| Key::of(split(name).1)).collect(),
        }
    }

    fn has(&self, schema: Option<&str>, name: &str) -> bool {
        let key = Key::of(name);
        let exact = schema.map(|schema| Key::within(Some(schema), name));
        exact.map_or_else(
            || self.alone.contains(&key),
            |exact| self.configured.contains(&key) || self.configured.contains(&exact),
        )
    }
}

impl Overrides {
    /// Functions that a standby may run, functions that it must not, and tables that are read on the primary only.
    pub fn new(safe: &[String], unsafe_: &[String], primary: &[String]) -> Self {
        Self {
            safe: safe.iter().map(|name| key(name)).collect(),
            unsafe_: Avoided::new(unsafe_),
            primary: Avoided::new(primary),
        }
    }

    /// Whether this function is configured as one that a standby may run.
    pub(super) fn is_safe(&self, schema: Option<&str>, name: &str) -> bool {
        self.safe.contains(&Key::of(name)) || self.safe.contains(&Key::within(schema, name))
    }

    /// Whether this function may be configured as one that a standby must not run.
    pub(super) fn is_unsafe(&self, schema: Option<&str>, name: &str) -> bool {
        self.unsafe_.has(schema, name)
    }

    /// Whether this table may be configured to be read on the primary only.
    pub(super) fn is_primary(&self, schema: Option<&str>, name: &str) -> bool {
        self.primary.has(schema, name)
    }
}

/// The schema, if there is one, and the name.
fn split(name: &str) -> (Option<&str>, &str) {
    match name.split_once('.') {
        Some((schema, name)) => (Some(schema), name),
        None => (None, name),
    }
}

fn key(name: &str) -> Key {
    let (schema, name) = split(name);
    Key::within(schema, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_may_mean_any_schema_where_that_is_the_safe_side() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let one = Overrides::new(
            &list(&["pure", "app.quiet"]),
            &list(&["app.loud"]),
            &list(&["app.t", "u"]),
        );
        assert!(one.is_safe(None, "pure") && one.is_safe(Some("x"), "pure"));
        assert!(one.is_safe(Some("app"), "quiet") && !one.is_safe(None, "quiet"));
        assert!(one.is_unsafe(None, "loud") && one.is_unsafe(Some("app"), "loud"));
        assert!(!one.is_unsafe(Some("x"), "loud"));
        assert!(one.is_primary(None, "t") && one.is_primary(Some("app"), "t"));
        assert!(!one.is_primary(Some("x"), "t") && one.is_primary(Some("x"), "u"));
    }
}
