//! What the statements of a client leave behind, noted when they are sent.

use crate::session::Wrote;
use crate::session::machine::Change;
use crate::session::parameters::{Savepoint, Step};
use crate::session::pins::{Pins, Stains};
use crate::session::requests::Requests;
use crate::sql::{Class, Effects, Tables, Verdict, reuse, settings};

impl Requests<'_> {
    /// Notes that something on its way may write.
    #[inline]
    pub(super) fn note_write(&mut self, tables: Tables) {
        *self.tables = self.tables.union(tables);
        self.note_use();
        if *self.wrote == Wrote::No {
            *self.wrote = Wrote::Maybe;
        }
    }

    /// Notes what a statement leaves behind.
    #[inline]
    pub(super) fn note(&mut self, verdict: Verdict, text: &[u8]) {
        self.link.fingerprint = verdict.fingerprint;
        let effects = verdict.effects;
        if effects.is_empty() {
            return;
        }
        self.note_values(effects, text);
        if effects.contains(Effects::WRITES) {
            self.note_write(verdict.tables);
        }
        if effects.contains(Effects::DDL) && !reuse::creates_temporary(text, effects) {
            *self.wrote = Wrote::Schema;
        }
        if effects.contains(Effects::NOTIFIES)
            && let Some(listening) = self.listening
        {
            listening.speak();
        }
        *self.pins |= Pins::of(effects);
        self.inquiry.note(*self.pins, verdict);
        self.link.stains |= Stains::of(verdict);
    }

    /// Notes that a text that changes parameters is on its way.
    #[inline]
    pub(super) fn note_settings(&mut self, verdict: Verdict, text: &[u8]) -> Change {
        if !verdict.effects.intersects(Effects::SETS | Effects::TRANSACTION) {
            return Change::None;
        }
        if !verdict.effects.contains(Effects::SETS) {
            return self.note_savepoint(verdict, text);
        }
        if let Some(changes) = changes(verdict.effects, text) {
            let catalog = self.catalog.load();
            let changes =
                changes.into_iter().map(|change| change.canonical(|name| catalog.parameter(name)));
            self.parameters.expect(Step::Changes(changes.collect()));
            return Change::Session;
        }
        *self.pins |= Pins::PARAMETERS;
        self.link.stains |= Stains::SESSION;
        Change::None
    }

    /// Notes that a text that controls transactions is on its way.
    fn note_savepoint(&mut self, verdict: Verdict, text: &[u8]) -> Change {
        if verdict.effects.contains(Effects::MULTI) {
            self.parameters.expect(Step::Several);
            return Change::Session;
        }
        match (verdict.class, Savepoint::read(text)) {
            (Class::Savepoint, Some(savepoint)) => {
                self.parameters.expect(Step::Savepoint(savepoint));
                Change::Savepoint
            }
            _ => Change::None,
        }
    }
}

/// The changes of parameters that a text makes, if they are all known.
///
/// Other statements of the same text change nothing about that: either all of it happens or nothing.
fn changes(effects: Effects, text: &[u8]) -> Option<Vec<settings::Change>> {
    if effects.intersects(settings::UNCLEAR) {
        return settings::changes(text);
    }
    settings::changes_among(text)
}
