//! What is known of the functions, operators and relations of one database.

mod live;

use super::functions;
use super::verdict::Why;

pub use live::LiveCatalog;

/// A snapshot of what the names in a text may mean.
#[derive(Clone, Debug)]
pub struct Catalog {}

impl Catalog {
    /// Only PostgreSQL's own objects: every other function is unknown, and every other relation
    /// is taken for an ordinary table.
    pub const fn builtin() -> Self {
        Self {}
    }

    /// Why a call of this function keeps a query on the primary; `None` if it is safe.
    #[expect(clippy::unused_self, reason = "the answer belongs to a snapshot")]
    pub(super) fn function(&self, schema: Option<&str>, name: &str) -> Option<Why> {
        match schema {
            None | Some("pg_catalog") => functions::reason(name),
            Some(_) => Some(Why::UnknownFunction),
        }
    }

    /// Why a use of this operator keeps a query on the primary; `None` if it is safe.
    #[expect(clippy::unused_self, reason = "the answer belongs to a snapshot")]
    pub(super) fn operator(&self, symbol: &str) -> Option<Why> {
        (!functions::is_operator(symbol)).then_some(Why::UnknownFunction)
    }

    /// Why a read of this relation keeps a query on the primary; `None` if it is safe.
    #[expect(clippy::unused_self, reason = "the answer belongs to a snapshot")]
    pub(super) fn relation(&self, schema: Option<&str>, name: &str) -> Option<Why> {
        let is_system = |name: &str| name.starts_with("pg_") || name == "information_schema";
        match schema {
            Some(schema) if schema.starts_with("pg_temp") => Some(Why::UnknownRelation),
            Some(schema) if is_system(schema) => Some(Why::SystemCatalog),
            _ if name.starts_with("pg_") => Some(Why::SystemCatalog),
            // PostgreSQL names the sequences of serial columns so. A standby shows a sequence up
            // to 32 values ahead.
            _ if name.ends_with("_seq") => Some(Why::Sequence),
            _ => None,
        }
    }
}
