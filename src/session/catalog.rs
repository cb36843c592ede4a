//! What a session has to do with the catalog of its database: it goes by it, and tells when it may be outdated.

use crate::cluster::catalog::News;
use crate::route::Reason;
use crate::session::Session;
use crate::session::blame::ServerError;

impl Session {
    /// What the client has prepared is judged anew when the catalog has changed.
    #[inline]
    pub(super) fn follow_catalog(&mut self) {
        let catalog = self.client.backend.cluster.catalog();
        let edition = catalog.edition();
        if self.edition != edition {
            self.edition = edition;
            self.names.renew(|old| self.worker.renew(old, catalog));
        }
    }

    /// What the catalog does not know may have been made just now.
    #[inline]
    pub(super) fn doubt_unknown(&self, reason: Reason) {
        if matches!(reason, Reason::UnknownRelation | Reason::UnknownFunction) {
            self.client.backend.cluster.catalog_state().tell(News::Doubt);
        }
    }

    /// What a replica refuses may have become something else than a read.
    pub(super) fn doubt_refused(&self, refusal: Option<ServerError>) {
        if refusal.is_some() {
            self.client.backend.cluster.catalog_state().tell(News::Doubt);
        }
    }
}
