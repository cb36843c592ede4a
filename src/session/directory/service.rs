//! What operators do to the pools of databases: PAUSE, RESUME, RECONNECT.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Directory, Prepared};
use crate::cluster::Cluster;
use crate::session::backend::Backend;
use crate::telemetry::overview::Service;

/// There is no database of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownDatabase;

impl Prepared {
    /// Whether its pools hand out no connections, by [`Directory::pause`].
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }
}

impl Directory {
    /// Has the pools of one database, or of all, hand out no connections, also those that are yet to be made.
    ///
    /// # Errors
    ///
    /// [`UnknownDatabase`].
    pub fn pause(&self, database: Option<&str>) -> Result<(), UnknownDatabase> {
        self.each(database, Service::Paused, |backend| {
            backend.pools.iter().for_each(|pool| pool.pause());
        })
    }

    /// Ends a pause.
    ///
    /// # Errors
    ///
    /// [`UnknownDatabase`].
    pub fn resume(&self, database: Option<&str>) -> Result<(), UnknownDatabase> {
        let now = self.clock.now();
        self.each(database, Service::Running, |backend| {
            backend.pools.iter().for_each(|pool| pool.resume(now));
        })
    }

    /// Has every server connection of one database, or of all, replaced as soon as nobody uses it.
    ///
    /// # Errors
    ///
    /// [`UnknownDatabase`].
    pub fn renew(&self, database: Option<&str>) -> Result<(), UnknownDatabase> {
        self.check(database)?;
        let now = self.clock.now();
        for backend in self.backends() {
            if is_meant(&backend, database) {
                backend.pools.iter().for_each(|pool| pool.renew(now));
            }
        }
        Ok(())
    }

    /// The backends of `cluster`.
    pub fn backends_of(&self, cluster: &Arc<Cluster>) -> Vec<Arc<Backend>> {
        let mut backends = self.backends();
        backends.retain(|backend| Arc::ptr_eq(&backend.cluster, cluster));
        backends
    }

    /// Whether no server connection of one database, or of all, is in use or being opened.
    pub fn is_quiet(&self, database: Option<&str>) -> bool {
        let now = self.clock.now();
        let backends = self.backends();
        let mut meant = backends.iter().filter(|backend| is_meant(backend, database));
        meant.all(|backend| {
            let snapshots = backend.pools.iter().map(|pool| pool.snapshot(now));
            snapshots.into_iter().all(|pool| pool.busy == 0 && pool.connecting == 0)
        })
    }

    /// Pauses or resumes. The lock is held throughout, so that no backend is opened in between.
    fn each(
        &self,
        database: Option<&str>,
        service: Service,
        mut act: impl FnMut(&Backend),
    ) -> Result<(), UnknownDatabase> {
        self.check(database)?;
        let backends = self.backends.lock();
        for (name, prepared) in &self.contents.load().databases {
            if database.is_none_or(|wanted| wanted == name) {
                prepared.paused.store(service == Service::Paused, Ordering::Relaxed);
            }
        }
        backends.values().filter(|backend| is_meant(backend, database)).for_each(|one| act(one));
        Ok(())
    }

    fn check(&self, database: Option<&str>) -> Result<(), UnknownDatabase> {
        match database {
            Some(name) if !self.contents.load().databases.contains_key(name) => {
                Err(UnknownDatabase)
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn is_meant(backend: &Arc<Backend>, database: Option<&str>) -> bool {
    database.is_none_or(|wanted| *backend.database == *wanted)
}
