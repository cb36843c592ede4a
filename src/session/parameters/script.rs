//! What a text of several statements does to parameters, some of which control transactions.
//!
//! `BEGIN; SET a = 1; COMMIT; SET b = 2` may fail at any place, and what was committed before that stays. So each statement
//! takes effect with its own CommandComplete.

use std::collections::VecDeque;

use super::{Parameters, Savepoint, Step};
use crate::sql::channels;
use crate::sql::settings::{self, Change};

/// The statements of such a text that have not been completed.
#[derive(Debug)]
pub(crate) struct Script(VecDeque<Part>);

/// What one statement does.
#[derive(Debug)]
enum Part {
    Changes(Vec<Change>),
    Savepoint(Savepoint),
    /// No more than its tag tells.
    Other,
}

impl Script {
    /// Reads a text; `None` if not all that it does to parameters and savepoints is known.
    pub(crate) fn read(text: &[u8], canonical: impl Fn(Change) -> Change) -> Option<Self> {
        let changes = settings::changes_by_statement(text)?.into_iter();
        let parts = changes.zip(channels::steps(text)?).map(|(changes, step)| {
            if changes.is_empty() {
                Savepoint::of(step).map_or(Part::Other, Part::Savepoint)
            } else {
                Part::Changes(changes.into_iter().map(&canonical).collect())
            }
        });
        Some(Self(parts.collect()))
    }

    /// Whether it changes parameters.
    pub(super) fn sets(&self) -> bool {
        self.changes().next().is_some()
    }

    /// What its statements change, of those that change parameters.
    pub(crate) fn changes(&self) -> impl Iterator<Item = &[Change]> {
        self.0.iter().filter_map(|part| match part {
            Part::Changes(changes) => Some(&**changes),
            Part::Savepoint(_) | Part::Other => None,
        })
    }
}

impl Parameters {
    /// The server has completed a statement of the script that is the oldest step on its way.
    pub(crate) fn on_statement(&mut self, tag: &[u8]) {
        let Some(Step::Script(script)) = self.pending.front_mut() else { return };
        match script.0.pop_front() {
            Some(Part::Changes(changes)) => self.make(changes),
            Some(Part::Savepoint(savepoint)) => self.savepoint(savepoint),
            Some(Part::Other) | None => self.on_command(tag),
        }
    }
}
