//! All that is known of a database's own objects, at one moment.

use super::names::{Key, Known, Names};
use crate::sql::settings::Parameter;

/// What the names in a database stand for. Immutable, and small: names are hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Functions, and types, which may be called like functions.
    pub(super) functions: Names,
    pub(super) relations: Names,
    pub(super) operators: Names,
    /// Names whose mere presence matters: types, and functions that may be called like columns.
    pub(super) words: Names,
    /// What may happen in every statement: implicit casts, and what sorts and compares.
    pub(super) everywhere: Known,
    pub(super) currval: Currval,
    /// Parameters that a session may set, sorted.
    pub(super) parameters: Vec<(Key, Parameter)>,
    pub(super) census: Census,
}

/// Who in a database may ask its session for `currval` or `lastval`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Currval {
    /// Nobody: there are no sequences.
    #[default]
    Void,
    /// Clients, if anybody.
    Unused,
    /// Something in it does, or may do so.
    Used,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Tables, views, sequences and the like.
    pub relations: usize,
    /// Those of them that only the primary may read.
    pub primary_relations: usize,
    /// Functions that are not PostgreSQL's own.
    pub functions: usize,
    /// Those of them that only the primary may run.
    pub primary_functions: usize,
}

impl Snapshot {
    /// How much there is.
    pub const fn census(&self) -> Census {
        self.census
    }

    /// The memory that it takes.
    pub const fn bytes(&self) -> usize {
        self.functions.bytes()
            + self.relations.bytes()
            + self.operators.bytes()
            + self.words.bytes()
            + self.parameters.len() * size_of::<(Key, Parameter)>()
            + size_of::<Self>()
    }

    /// Why no statement of this database may run on a standby, if that is so.
    pub fn keeps_everything(&self) -> Option<&'static str> {
        self.everywhere.why.map(|_| {
            "an implicit cast or an operator class uses a function that is not known to be harmless"
        })
    }

    pub(super) fn parameter(&self, name: &str) -> Option<Parameter> {
        let key = Key::of(name);
        let index = self.parameters.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        self.parameters.get(index).map(|(_, parameter)| *parameter)
    }

    pub(super) fn word(&self, name: &str) -> Option<Known> {
        if self.words.is_empty() { None } else { self.words.get(Key::of(name)) }
    }
}
