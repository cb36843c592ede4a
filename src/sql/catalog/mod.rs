//! What is known of the functions, operators and relations of one database.
//!
//! [`Facts`] collects the rows of PostgreSQL's own catalogs and follows what reaches what (`graph`): views to what
//! they show, functions to what their bodies name (`body`, `tree`), tables to their policies, partitions, triggers
//! and cascades. What comes out is a [`Snapshot`]: for each name, why its use keeps a query on the primary, and
//! which tables are read or written by it. Names of all schemas count, so neither `search_path` nor shadowed
//! built-ins matter.

mod body;
mod facts;
mod graph;
mod labels;
mod live;
mod names;
mod overrides;
mod rules;
mod snapshot;
mod tree;

use super::fields;
use super::functions;
use super::settings::{Setter, ValueKind};
use super::verdict::Why;
use names::{Key, strongest};
use std::sync::Arc;

pub use facts::{BadRow, Facts};
pub use live::LiveCatalog;
pub(super) use names::{Known, Traces};
pub use overrides::Overrides;
pub use rules::Trees;
use snapshot::Currval;
pub use snapshot::{Census, Snapshot};

/// What the names in a text may mean.
#[derive(Clone, Debug)]
pub struct Catalog {
    overrides: Arc<Overrides>,
    objects: Objects,
}

/// What is known of objects that are not PostgreSQL's own.
#[derive(Clone, Debug)]
enum Objects {
    /// Nothing, and every relation is taken for an ordinary table.
    Assumed,
    /// Nothing yet.
    Awaited,
    /// These are all.
    Known(Arc<Snapshot>),
}

impl Catalog {
    /// Only PostgreSQL's own objects: every other function is unknown, and every other relation
    /// is taken for an ordinary table.
    pub fn builtin() -> Self {
        Self { overrides: Arc::default(), objects: Objects::Assumed }
    }

    /// Only PostgreSQL's own objects for now: every other object is unknown.
    pub fn awaited(overrides: Arc<Overrides>) -> Self {
        Self { overrides, objects: Objects::Awaited }
    }

    /// The objects of a database.
    pub fn of(snapshot: Arc<Snapshot>, overrides: Arc<Overrides>) -> Self {
        Self { overrides, objects: Objects::Known(snapshot) }
    }

    /// The objects that are known, if they are.
    pub fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        match &self.objects {
            Objects::Known(snapshot) => Some(snapshot),
            Objects::Assumed | Objects::Awaited => None,
        }
    }

    /// Who may ask a session for its `currval` or `lastval`.
    fn currval(&self) -> Currval {
        match &self.objects {
            Objects::Assumed => Currval::Void,
            Objects::Awaited => Currval::Used,
            Objects::Known(snapshot) => snapshot.currval,
        }
    }

    /// Why a call of this function keeps a query on the primary; `None` if it is safe.
    pub(super) fn function(&self, schema: Option<&str>, name: &str) -> Option<Why> {
        if self.overrides.is_unsafe(schema, name) {
            return Some(Why::Configured);
        }
        if self.overrides.is_safe(schema, name) {
            return None;
        }
        let built_in = match schema {
            None | Some("pg_catalog") => functions::reason(name),
            Some(_) => Some(Why::UnknownFunction),
        };
        match self.called(schema, name) {
            None => built_in,
            // Which of the two is called depends on the path and the arguments.
            Some(known) => {
                strongest(known.why, built_in.filter(|why| *why != Why::UnknownFunction))
            }
        }
    }

    /// Why `(value).name` keeps a query on the primary; `None` if it is safe, be it a field or a function.
    pub(super) fn field(&self, name: &str) -> Option<Why> {
        if self.overrides.is_unsafe(None, name) {
            return Some(Why::Configured);
        }
        if self.overrides.is_safe(None, name) {
            return None;
        }
        let others = match &self.objects {
            Objects::Assumed => None,
            Objects::Awaited => functions::is_unknown(name).then_some(Why::CatalogNotLoaded),
            Objects::Known(_) => self.called(None, name).and_then(|known| known.why),
        };
        strongest(others, fields::reason(name))
    }

    /// What is known of a function that is not PostgreSQL's own.
    pub(super) fn called(&self, schema: Option<&str>, name: &str) -> Option<Known> {
        self.snapshot()?.functions.get(Key::within(schema, name))
    }

    /// Whether there is such a function, PostgreSQL's own or another.
    pub(super) fn knows(&self, schema: Option<&str>, name: &str) -> bool {
        self.called(schema, name).is_some() || !functions::is_unknown(name)
    }

    /// Why a use of this operator keeps a query on the primary; `None` if it is safe.
    pub(super) fn operator(&self, symbol: &str) -> Option<Why> {
        match self.operated(symbol) {
            Some(known) => known.why,
            None => (!functions::is_operator(symbol)).then_some(Why::UnknownFunction),
        }
    }

    /// What is known of an operator that is not PostgreSQL's own.
    pub(super) fn operated(&self, symbol: &str) -> Option<Known> {
        self.snapshot()?.operators.get(Key::of(symbol))
    }

    /// What follows from the mere presence of a name: of a type whose values are checked or converted by functions,
    /// or of a function that is called as if it were a column.
    pub(super) fn word(&self, name: &str) -> Option<Known> {
        self.snapshot()?.word(name)
    }

    /// What is known of the values of a parameter (`name` in lower case) that have several spellings.
    pub fn parameter(&self, name: &str) -> Option<ValueKind> {
        self.snapshot()?.parameter(name)?.kind
    }

    /// Who may set a parameter (`name` in lower case).
    pub fn setter(&self, name: &str) -> Setter {
        let known = self.snapshot().and_then(|snapshot| snapshot.parameter(name));
        known.map_or_else(|| Setter::of_unknown(name), |parameter| parameter.setter)
    }

    /// What may happen in any statement at all.
    pub(super) fn everywhere(&self) -> Known {
        self.snapshot().map_or(Known::HARMLESS, |snapshot| snapshot.everywhere)
    }

    /// Why a read of this relation keeps a query on the primary; `None` if it is safe.
    pub(super) fn relation(&self, schema: Option<&str>, name: &str) -> Option<Why> {
        let is_system = |name: &str| name.starts_with("pg_") || name == "information_schema";
        match schema {
            Some(schema) if schema.starts_with("pg_temp") => return Some(Why::UnknownRelation),
            Some(schema) if is_system(schema) => return Some(Why::SystemCatalog),
            None if name.starts_with("pg_") => return Some(Why::SystemCatalog),
            _ => {}
        }
        if self.overrides.is_primary(schema, name) {
            return Some(Why::Configured);
        }
        match &self.objects {
            Objects::Known(_) => {
                self.stored(schema, name).map_or(Some(Why::UnknownRelation), |known| known.why)
            }
            Objects::Awaited => Some(Why::CatalogNotLoaded),
            Objects::Assumed if name.starts_with("pg_") => Some(Why::SystemCatalog),
            // PostgreSQL names the sequences of serial columns so. A standby shows a sequence up
            // to 32 values ahead.
            Objects::Assumed => name.ends_with("_seq").then_some(Why::Sequence),
        }
    }

    /// What is known of a relation that is not PostgreSQL's own.
    pub(super) fn stored(&self, schema: Option<&str>, name: &str) -> Option<Known> {
        self.snapshot()?.relations.get(Key::within(schema, name))
    }
}
