//! The portals whose execution changes the session: an Execute names a portal, not a statement.

use std::sync::Arc;

use crate::server::statements::Statement;
use crate::sql::settings::Change;

/// Portals bound to statements that set parameters or decide on channels. Nearly always empty.
#[derive(Debug, Default)]
pub(crate) struct Portals(Vec<Portal>);

/// One of them.
#[derive(Debug)]
pub(crate) struct Portal {
    name: Box<[u8]>,
    pub(crate) statement: Arc<Statement>,
    /// What it changes, if that depends on values that came with Bind.
    pub(crate) changes: Option<Vec<Change>>,
}

impl Portals {
    /// `portal` is bound to a statement that matters.
    pub(crate) fn bind(
        &mut self,
        portal: &[u8],
        statement: Arc<Statement>,
        changes: Option<Vec<Change>>,
    ) {
        self.unbind(portal);
        self.0.push(Portal { name: portal.into(), statement, changes });
    }

    /// `portal` is bound to a statement that does not matter.
    #[inline]
    pub(crate) fn unbind(&mut self, portal: &[u8]) {
        if !self.0.is_empty() {
            self.0.retain(|known| *known.name != *portal);
        }
    }

    /// What an Execute of `portal` runs, if it matters.
    #[inline]
    pub(crate) fn get(&self, portal: &[u8]) -> Option<&Portal> {
        self.0.iter().find(|known| *known.name == *portal)
    }

    /// The transaction has ended, and with it all portals.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
