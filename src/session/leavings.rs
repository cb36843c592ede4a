//! What the statements of a client leave behind, noted when they are sent.

use crate::session::Wrote;
use crate::session::dialect;
use crate::session::machine::Change;
use crate::session::parameters::{Savepoint, Script, Step};
use crate::session::pins::{Pins, Stains};
use crate::session::requests::{Requests, Taken};
use crate::session::sequences::mentions;
use crate::sql::settings::{self, Setter};
use crate::sql::{Class, Effects, Tables, Verdict, reuse};

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

    /// Notes that a FunctionCall is on its way, of whose body the beginning is there. Returns what becomes of it if it may
    /// not be sent.
    pub(super) fn note_call(&mut self, body: &[u8]) -> Option<Taken> {
        if self.call_asks_others(body) {
            return Some(Taken::NotOwn);
        }
        self.note_write(Tables::ALL);
        let function = body.first_chunk().map_or(0, |oid| u32::from_be_bytes(*oid));
        self.link.stains |= Stains::of_call(function);
        if !self.link.machine.at_boundary() {
            // PostgreSQL 18 says that the transaction of such a batch is over, and leaves it open.
            self.link.stains |= Stains::FOREVER;
        }
        None
    }

    /// Notes what a statement leaves behind.
    #[inline]
    pub(super) fn note(&mut self, verdict: Verdict, text: &[u8]) {
        self.link.fingerprint = verdict.fingerprint;
        let effects = verdict.effects;
        if self.pins.contains(Pins::FORESEEN) {
            self.forget_foreseen();
        }
        if effects.is_empty() {
            return;
        }
        self.note_values(effects, text);
        if effects.contains(Effects::OPAQUE) && mentions(text, &[SYNCHRONOUS]) {
            self.parameters.expect_lazy_commit();
        }
        if effects.contains(Effects::WRITES) {
            self.note_write(verdict.tables);
            self.foresee(verdict.fingerprint);
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

    /// Notes that a text that changes parameters is on its way. `bound` is what it changes, if that depends on values
    /// that came with Bind and are known.
    #[inline]
    pub(super) fn note_settings(
        &mut self,
        verdict: Verdict,
        text: &[u8],
        bound: Option<Vec<settings::Change>>,
    ) -> Change {
        let effects = verdict.effects;
        if !effects.intersects(Effects::SETS | Effects::TRANSACTION) {
            return Change::None;
        }
        if effects.contains(Effects::TRANSACTION | Effects::MULTI) {
            return self.note_script(effects, text);
        }
        if !effects.contains(Effects::SETS) {
            return self.note_savepoint(verdict, text);
        }
        let changes = match bound {
            None if self.names.dialect().may_misread(text) => None,
            bound => bound.or_else(|| changes(effects, text)),
        };
        let Some(changes) = changes else { return self.stay() };
        let changes: Vec<_> = changes.into_iter().map(self.canonical()).collect();
        self.note_changes(&changes);
        self.parameters.expect(Step::Changes(changes));
        Change::Session
    }

    /// What puts the values of changes into their one spelling.
    fn canonical(&self) -> impl Fn(settings::Change) -> settings::Change + use<> {
        let catalog = self.catalog.load();
        move |change| change.canonical(|name| catalog.parameter(name))
    }

    /// Notes that these changes are on their way. Who has logged in may not be allowed to repeat elsewhere what somebody
    /// else has set.
    fn note_changes(&mut self, changes: &[settings::Change]) {
        self.note_unseen(changes);
        let dialect = changes.iter().map(dialect::behind).max();
        self.names.expect_dialect(dialect.unwrap_or_default());
        // Who it is may be among what the server has not been asked for yet.
        if self.pins.contains(Pins::UNSEEN) || self.parameters.may_be_somebody_else(changes) {
            let catalog = self.catalog.load();
            let mut set = changes.iter().filter_map(settings::Change::lasting);
            if set.any(|name| catalog.setter(name) == Setter::Privileged) {
                *self.pins |= Pins::PARAMETERS;
                self.link.stains |= Stains::SESSION;
            }
        }
    }

    /// Parameters are set in a way that cannot be repeated elsewhere.
    fn stay(&mut self) -> Change {
        *self.pins |= Pins::PARAMETERS;
        self.link.stains |= Stains::SESSION;
        self.names.distrust();
        Change::None
    }

    /// Notes that a text of several statements is on its way, some of which control transactions.
    fn note_script(&mut self, effects: Effects, text: &[u8]) -> Change {
        if !effects.intersects(Effects::SETS | Effects::OPAQUE) && !mentions(text, &SAVEPOINTS) {
            // The tags will tell all that there is to know.
            return Change::None;
        }
        if !effects.intersects(Effects::EXECUTES)
            && let Some(script) = Script::read(text, self.canonical())
        {
            let changes: Vec<_> = script.changes().flatten().cloned().collect();
            self.note_changes(&changes);
            self.parameters.expect(Step::Script(script));
            return Change::Script;
        }
        if effects.contains(Effects::SETS) {
            return self.stay();
        }
        self.parameters.expect(Step::Several);
        Change::Session
    }

    /// Notes that a savepoint is on its way, if it is one.
    fn note_savepoint(&mut self, verdict: Verdict, text: &[u8]) -> Change {
        match (verdict.class, Savepoint::read(text)) {
            (Class::Savepoint, Some(savepoint)) => {
                self.parameters.expect(Step::Savepoint(savepoint));
                Change::Savepoint
            }
            _ => Change::None,
        }
    }
}

/// How the parameter begins by which a text of which nobody knows what it does (DO) may say how its transaction is committed.
const SYNCHRONOUS: &[u8; 7] = b"synchro";

/// How the words begin of which one stands in every statement about a savepoint.
const SAVEPOINTS: [&[u8; 7]; 3] = [b"rollbac", b"release", b"savepoi"];

/// The changes of parameters that a text makes, if they are all known.
///
/// Other statements of the same text change nothing about that: either all of it happens or nothing.
fn changes(effects: Effects, text: &[u8]) -> Option<Vec<settings::Change>> {
    let changes = if effects.contains(Effects::EXECUTES) {
        // What is executed changes more than the text tells.
        None
    } else if effects.intersects(settings::UNCLEAR) {
        settings::changes(text)
    } else {
        settings::changes_among(text)
    };
    changes?.into_iter().map(|change| change.bind(|_| None)).collect()
}
