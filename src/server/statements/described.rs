//! What a server says that its statements look like.

use std::sync::Arc;

use super::{Looks, Statement, StatementId, Statements};
use crate::server::shape::{Fit, Shape, Told};

/// What a Describe is about.
#[derive(Debug)]
pub(super) struct Described {
    /// What the client calls it.
    name: Box<[u8]>,
    shape: Arc<Shape>,
}

impl Statements {
    /// A Describe of what the client calls `name` is on its way.
    pub fn expect_description(&mut self, name: &[u8], shape: &Arc<Shape>) {
        self.described.push_back(Described { name: name.into(), shape: Arc::clone(shape) });
    }

    /// The oldest Describe, of this statement, is answered by this. A copy that does not fit is given up.
    pub fn told(&mut self, id: StatementId, told: Told) -> Fit {
        let Some(described) = self.described.front() else { return Fit::Unknown };
        let fit = described.shape.tell(told);
        if fit == Fit::Misfits {
            self.give_up(id);
            if self.unnamed == Some(id) {
                self.lose_unnamed();
            }
        } else if let (Told::Columns(_), Some(prepared)) = (told, self.named.get_mut(&id)) {
            prepared.looks = Looks::Checked;
        }
        fit
    }

    /// Servers tell different things of what the oldest Describe is about.
    pub fn retire_described(&self) {
        if let Some(described) = self.described.front() {
            described.shape.retire();
        }
    }

    /// What the oldest Describe is about looks like this instead. Returns what its client calls it, and its shape
    /// before and now.
    pub fn reshape_described(&mut self, told: Told) -> Option<(&[u8], Arc<Shape>, Arc<Shape>)> {
        let described = self.described.front_mut()?;
        let now = Arc::new(described.shape.with(told));
        let before = std::mem::replace(&mut described.shape, Arc::clone(&now));
        Some((&described.name, before, now))
    }

    /// The oldest Describe has been answered, or never will be.
    pub fn end_description(&mut self) {
        self.described.pop_front();
    }

    /// Who waits to use this statement must not.
    pub fn set_misfit(&mut self, id: StatementId) {
        self.misfit = Some(id);
    }

    /// Whether that is so; he is told once.
    pub fn take_misfit(&mut self, id: StatementId) -> bool {
        self.misfit.take_if(|misfit| *misfit == id).is_some()
    }
}

impl Statement {
    /// The same text, of which its client was told something else: no server has just that.
    pub fn reshaped(&self, shape: Arc<Shape>) -> Self {
        let same = self.renewed(self.edition, self.verdict);
        Self { id: StatementId(u64::MAX), background: None, shape, ..same }
    }
}
