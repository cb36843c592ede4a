//! The configuration as rows, for `SHOW CONFIG`. Secrets are masked.

use super::keys::join;
use super::model::{Config, Database, Overrides, Routing, User, UserRouting, UserSecret};
use super::secret::MASK;
use super::section::{Changes, Field, Section};

/// One key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigRow {
    /// The key's path, such as `pool.default_pool_size`.
    pub key: String,
    /// Its value, without quotes.
    pub value: String,
    /// Its value when nobody sets it, without quotes.
    pub default: String,
    /// When a changed value takes effect.
    pub changes: Changes,
}

impl Config {
    /// Every key with its value, in the order of `config/reference.toml`. Overrides of databases and users are there
    /// only where they are set.
    pub fn rows(&self) -> Vec<ConfigRow> {
        let defaults = Self::default().tables();
        let mut rows = Vec::new();
        for ((table, fields), (_, defaults)) in self.tables().into_iter().zip(defaults) {
            rows.extend(
                fields
                    .into_iter()
                    .zip(defaults)
                    .map(|(field, default)| row(table, &field, default.value.to_string())),
            );
        }
        for (name, database) in &self.databases {
            database_rows(&join("databases", name), database, &self.routing, &mut rows);
        }
        for (name, user) in &self.users {
            user_rows(&join("users", name), user, &mut rows);
        }
        rows
    }

    /// The tables that are always there, in the order of `config/reference.toml`.
    pub(super) fn tables(&self) -> [(&'static str, Vec<Field>); 10] {
        [
            ("listen", self.listen.fields()),
            ("http", self.http.fields()),
            ("pool", self.pool.fields()),
            ("routing", self.routing.fields()),
            ("timeouts", self.timeouts.fields()),
            ("limits", self.limits.fields()),
            ("tls.client", self.tls_client.fields()),
            ("tls.server", self.tls_server.fields()),
            ("logging", self.logging.fields()),
            ("admin", self.admin.fields()),
        ]
    }
}

fn database_rows(path: &str, database: &Database, base: &Routing, rows: &mut Vec<ConfigRow>) {
    rows.push(named(path, "primary", database.primary.redacted()));
    for (index, replica) in database.replicas.iter().enumerate() {
        rows.push(named(path, &format!("replicas[{index}]"), replica.redacted()));
    }
    if let Some(monitor) = &database.monitor {
        rows.push(named(path, "monitor_user", monitor.user.clone()));
    }
    override_rows(path, &database.overrides, rows);
    let own = database.routing.fields().into_iter().zip(base.fields());
    let own = own.filter(|(own, base)| own.value != base.value);
    rows.extend(
        own.map(|(own, base)| row(&format!("{path}.routing"), &own, base.value.to_string())),
    );
}

fn user_rows(path: &str, user: &User, rows: &mut Vec<ConfigRow>) {
    rows.push(match user.secret {
        UserSecret::Trust => named(path, "trust", "true".to_owned()),
        UserSecret::Password(_) | UserSecret::Verifier(_) => {
            named(path, "password", MASK.to_owned())
        }
    });
    if user.server_password.is_some() {
        rows.push(named(path, "server_password", MASK.to_owned()));
    }
    override_rows(path, &user.overrides, rows);
    let set = user.routing.fields().into_iter().zip(UserRouting::default().fields());
    let set = set.filter(|(field, unset)| field.value != unset.value);
    rows.extend(set.map(|(field, _)| row(&format!("{path}.routing"), &field, String::new())));
}

fn override_rows(path: &str, overrides: &Overrides, rows: &mut Vec<ConfigRow>) {
    let unset = Overrides::default().fields();
    let set = overrides.fields().into_iter().zip(unset);
    let set = set.filter(|(field, unset)| field.value != unset.value);
    rows.extend(set.map(|(field, _)| row(path, &field, String::new())));
}

fn row(table: &str, field: &Field, default: String) -> ConfigRow {
    let key = format!("{table}.{}", field.name);
    ConfigRow { key, value: field.value.to_string(), default, changes: field.changes }
}

fn named(path: &str, key: &str, value: String) -> ConfigRow {
    let key = format!("{path}.{key}");
    ConfigRow { key, value, default: String::new(), changes: Changes::Reload }
}
