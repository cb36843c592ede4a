//! The statements that have a name of ours, counted.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::{Looks, ServerName, StatementId};
use crate::clock::Mono;
use crate::server::census::Census;

#[derive(Clone, Copy, Debug)]
pub(super) struct Prepared {
    pub(super) name: ServerName,
    pub(super) used: u64,
    /// How many Parse messages of it have not been answered. The last one is that of `name`.
    pub(super) on_the_way: u32,
    /// Bytes of its text and types.
    pub(super) bytes: u32,
    pub(super) since: Mono,
    pub(super) looks: Looks,
}

#[derive(Debug)]
pub(super) struct Named {
    all: HashMap<StatementId, Prepared, FixedState>,
    census: Arc<Census>,
}

impl Named {
    pub(super) fn new(census: Arc<Census>) -> Self {
        Self { all: HashMap::default(), census }
    }

    pub(super) const fn census(&self) -> &Arc<Census> {
        &self.census
    }

    #[inline]
    pub(super) fn get(&self, id: StatementId) -> Option<&Prepared> {
        self.all.get(&id)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: StatementId) -> Option<&mut Prepared> {
        self.all.get_mut(&id)
    }

    pub(super) fn insert(&mut self, id: StatementId, prepared: Prepared) {
        self.remove(id);
        self.census.add(bytes(&prepared));
        self.all.insert(id, prepared);
    }

    pub(super) fn remove(&mut self, id: StatementId) -> Option<Prepared> {
        let prepared = self.all.remove(&id)?;
        self.census.remove(bytes(&prepared));
        Some(prepared)
    }

    /// Takes all out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Prepared> {
        self.census.clear();
        self.all.drain().map(|(_, prepared)| prepared)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (StatementId, &Prepared)> {
        self.all.iter().map(|(id, prepared)| (*id, prepared))
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}

fn bytes(prepared: &Prepared) -> usize {
    usize::try_from(prepared.bytes).unwrap_or(usize::MAX)
}
