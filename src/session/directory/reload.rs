//! A reload: what stays as it is keeps its pools, what has changed gets new ones, what is gone is closed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::{Account, Contents, Directory, Doors, Prepared, limits, policy};
use crate::auth::Secret;
use crate::clock::Mono;
use crate::config::{Config, Database};
use crate::pool::Budget;
use crate::session::backend::Backend;

impl Prepared {
    /// The same nodes with other settings; limits go on counting.
    #[must_use]
    pub fn renewed(&self, database: Database) -> Self {
        Self {
            database,
            cluster: Arc::clone(&self.cluster),
            endpoints: self.endpoints.clone(),
            hub: Arc::clone(&self.hub),
            budget: Arc::clone(&self.budget),
            seats: Arc::clone(&self.seats),
            paused: AtomicBool::new(self.is_paused()),
        }
    }
}

impl Directory {
    /// Replaces the configuration. Clients stay: those of a database that is gone are told so with their next
    /// statement, those of one whose nodes or passwords have changed go over to new pools.
    ///
    /// # Errors
    ///
    /// A user's secret cannot be used; nothing has changed then.
    pub fn replace(
        &self,
        config: Arc<Config>,
        databases: HashMap<String, Arc<Prepared>>,
        doors: Doors,
    ) -> Result<(), String> {
        let now = self.clock.now();
        // Held throughout, so that no backend is opened by the old configuration meanwhile.
        let mut backends = self.backends.lock();
        let old = self.contents.load_full();
        let new = Arc::new(Contents::new(config, databases, doors, Some(&old))?);
        self.contents.store(Arc::clone(&new));
        new.set_budgets(now);
        for (key, backend) in backends.extract_if(|_, _| true).collect::<Vec<_>>() {
            if new.adjust(&old, &backend, now) {
                backends.insert(key, backend);
                continue;
            }
            let successor = self.open_in(&new, &key.0, &key.1);
            if let Some(successor) = &successor {
                backends.insert(key, Arc::clone(successor));
            }
            backend.retire(successor, now);
        }
        Ok(())
    }
}

impl Contents {
    /// What a configuration says; users that were known before keep their counts.
    pub(super) fn new(
        config: Arc<Config>,
        databases: HashMap<String, Arc<Prepared>>,
        doors: Doors,
        before: Option<&Self>,
    ) -> Result<Self, String> {
        let mut accounts = HashMap::new();
        for (name, user) in &config.users {
            let secret = Secret::configured(&user.secret)
                .map_err(|error| format!("users.{name}: {error}"))?;
            let known = before.and_then(|before| before.accounts.get(name));
            let limit = config.max_user_connections(user).unwrap_or(0);
            let account = Account {
                user: user.clone(),
                secret: Arc::new(secret),
                budget: known.map_or_else(|| Budget::new(limit), |known| Arc::clone(&known.budget)),
                seats: known.map(|known| Arc::clone(&known.seats)).unwrap_or_default(),
            };
            accounts.insert(name.clone(), account);
        }
        Ok(Self { config, databases, accounts, doors })
    }

    fn set_budgets(&self, now: Mono) {
        for prepared in self.databases.values() {
            let limit = self.config.max_db_connections(&prepared.database);
            prepared.budget.set_limit(limit.unwrap_or(0), now);
        }
        for account in self.accounts.values() {
            let limit = self.config.max_user_connections(&account.user);
            account.budget.set_limit(limit.unwrap_or(0), now);
        }
    }

    /// Has `backend` go by the new settings. Returns whether that was enough: not if its servers are others now, or
    /// are logged in to otherwise.
    fn adjust(&self, old: &Self, backend: &Backend, now: Mono) -> bool {
        let (name, user) = (&*backend.database, &*backend.user);
        let (Some(before), Some(prepared), Some(account)) =
            (old.databases.get(name), self.databases.get(name), self.accounts.get(user))
        else {
            return false;
        };
        let is_same = Arc::ptr_eq(&before.cluster, &prepared.cluster)
            && prepared.database.nodes().all(|node| {
                let login = self.config.server_login(node, user);
                login == old.config.server_login(node, user)
                    && (login.password.is_some()
                        || old
                            .accounts
                            .get(user)
                            .is_some_and(|known| known.user.secret == account.user.secret))
            });
        if !is_same {
            return false;
        }
        let size = self.config.pool_size(&prepared.database, &account.user);
        backend.set_policy(policy(&self.config, &prepared.database, &account.user));
        *backend.lifetime.lock() = self.config.pool.server_lifetime;
        for pool in &backend.pools {
            pool.reconfigure(limits(&self.config, size), now);
        }
        true
    }
}
