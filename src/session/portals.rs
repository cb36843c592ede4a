//! The portals whose execution changes the session: an Execute names a portal, not a statement.

use std::sync::Arc;

use crate::server::statements::Statement;

/// Portals bound to statements that set parameters or decide on channels. Nearly always empty.
#[derive(Debug, Default)]
pub(crate) struct Portals(Vec<(Box<[u8]>, Arc<Statement>)>);

impl Portals {
    /// `portal` is bound to a statement that matters.
    pub(crate) fn bind(&mut self, portal: &[u8], statement: Arc<Statement>) {
        self.unbind(portal);
        self.0.push((portal.into(), statement));
    }

    /// `portal` is bound to a statement that does not matter.
    #[inline]
    pub(crate) fn unbind(&mut self, portal: &[u8]) {
        if !self.0.is_empty() {
            self.0.retain(|(known, _)| **known != *portal);
        }
    }

    /// The statement that an Execute of `portal` runs, if it matters.
    #[inline]
    pub(crate) fn get(&self, portal: &[u8]) -> Option<&Arc<Statement>> {
        self.0.iter().find(|(known, _)| **known == *portal).map(|(_, statement)| statement)
    }

    /// The transaction has ended, and with it all portals.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
