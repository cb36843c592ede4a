//! What a prepared statement takes and what it returns: its client reads its rows by what it was told of them.

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::quality::FixedState;

const UNKNOWN: u64 = 0;

/// A bit of the columns that no digest has.
const RETIRED: u64 = 1 << 63;

/// What clients have been told that a statement takes and returns. They go by that even if a server has said otherwise
/// since; but then nobody else is to be told the old again.
#[derive(Debug, Default)]
pub struct Shape {
    parameters: AtomicU64,
    columns: AtomicU64,
}

/// What a server says of a statement, as a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Its parameters.
    Parameters(u64),
    /// Its columns, or that it has none.
    Columns(u64),
}

/// Whether what was told is what had been told before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is, or nothing had been.
    Fits,
    /// It is not.
    Misfits,
    /// Nothing is known.
    Unknown,
}

impl Told {
    /// The body of a ParameterDescription.
    pub fn parameters(body: &[u8]) -> Self {
        let mut hasher = FixedState::default().build_hasher();
        hasher.write(body);
        Self::Parameters(known(hasher.finish()))
    }

    /// The body of a RowDescription, or the empty one of NoData: names and types, by which values are read. PostgreSQL
    /// compares their modifiers as well (`RevalidateCachedQuery` in `src/backend/utils/cache/plancache.c`), but those
    /// of a portal are the plan's: a CASE whose condition is a parameter has one as long as the plan knows its value.
    pub fn columns(body: &[u8]) -> Self {
        let mut hasher = FixedState::default().build_hasher();
        hasher.write(body.get(..2).unwrap_or_default());
        let mut rest = body.get(2..).unwrap_or_default();
        while let Some(end) = rest.iter().position(|&byte| byte == 0)
            && let Some((name, fixed)) = rest.split_at_checked(end + 1)
            && let Some((fixed, others)) = fixed.split_at_checked(18)
        {
            hasher.write(name);
            // Before it stands where the column comes from, behind it its length, modifier and format.
            hasher.write(fixed.get(6..10).unwrap_or_default());
            rest = others;
        }
        Self::Columns(known(hasher.finish()))
    }
}

impl Shape {
    /// Whether clients rely on it.
    #[inline]
    pub fn is_known(&self) -> bool {
        self.values().1 != UNKNOWN
    }

    /// Whether clients rely on its parameters. Who describes nothing but portals does not.
    #[inline]
    pub fn tells_parameters(&self) -> bool {
        self.parameters.load(Ordering::Relaxed) != UNKNOWN
    }

    /// Whether servers have told different things: who parses the text now means another statement.
    #[inline]
    pub fn is_retired(&self) -> bool {
        self.columns.load(Ordering::Relaxed) & RETIRED != 0
    }

    /// Servers tell different things.
    pub fn retire(&self) {
        self.columns.fetch_or(RETIRED, Ordering::Relaxed);
    }

    /// A server has told this.
    pub fn tell(&self, told: Told) -> Fit {
        let (part, digest) = match told {
            Told::Parameters(digest) => (&self.parameters, digest),
            Told::Columns(digest) => (&self.columns, digest),
        };
        let known = part.compare_exchange(UNKNOWN, digest, Ordering::Relaxed, Ordering::Relaxed);
        if known.map_or_else(|known| known & !RETIRED == digest, |_| true) {
            Fit::Fits
        } else {
            Fit::Misfits
        }
    }

    /// Whether a statement of the `other` shape looks the same. What is relied on here is relied on there from now on.
    pub fn fit(&self, other: &Self) -> Fit {
        if !self.is_known() || !other.is_known() {
            return Fit::Unknown;
        }
        let (parameters, columns) = self.values();
        if columns != other.values().1 {
            return Fit::Misfits;
        }
        if parameters == UNKNOWN { Fit::Fits } else { other.tell(Told::Parameters(parameters)) }
    }

    /// What it would be if this had been told instead.
    pub fn with(&self, told: Told) -> Self {
        let (parameters, columns) = match told {
            // What the columns are comes next.
            Told::Parameters(digest) => (digest, UNKNOWN),
            Told::Columns(digest) => (self.parameters.load(Ordering::Relaxed), digest),
        };
        Self { parameters: parameters.into(), columns: columns.into() }
    }

    /// Nothing but this is what clients rely on.
    pub fn expect(&self, shape: &Self) {
        let (parameters, columns) = shape.values();
        self.parameters.store(parameters, Ordering::Relaxed);
        self.columns.store(columns, Ordering::Relaxed);
    }

    fn values(&self) -> (u64, u64) {
        (self.parameters.load(Ordering::Relaxed), self.columns.load(Ordering::Relaxed) & !RETIRED)
    }
}

/// A digest that means nothing else.
fn known(digest: u64) -> u64 {
    (digest & !RETIRED).max(UNKNOWN + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(name: &str, kind: u8, table: u8, format: u8) -> Told {
        let mut body = vec![0, 1];
        body.extend(name.as_bytes());
        body.extend([0, 0, 0, 0, table, 0, 1]);
        body.extend([0, 0, 0, kind, 0, 4, 0xff, 0xff, 0xff, 0xff, 0, format]);
        Told::columns(&body)
    }

    #[test]
    fn names_and_types_of_columns_count_and_nothing_else() {
        let one = description("a", 23, 1, 0);
        assert_eq!(one, description("a", 23, 2, 1));
        assert_ne!(one, description("b", 23, 1, 0));
        assert_ne!(one, description("a", 25, 1, 0));
        assert_ne!(Told::columns(&[0, 0]), Told::columns(&[]), "no column is not no rows");
    }

    #[test]
    fn what_was_told_first_is_what_is_relied_on() {
        let (shape, other) = (Shape::default(), Shape::default());
        assert!(!shape.is_known());
        assert_eq!(shape.tell(description("a", 23, 1, 0)), Fit::Fits);
        assert_eq!(shape.tell(description("a", 23, 1, 1)), Fit::Fits);
        assert_eq!(shape.fit(&other), Fit::Unknown);
        other.expect(&shape);
        assert_eq!(shape.fit(&other), Fit::Fits);
        assert_eq!(shape.tell(description("a", 25, 1, 0)), Fit::Misfits);
        let other_shape = shape.with(description("a", 25, 1, 0));
        assert_eq!(other_shape.tell(description("a", 25, 1, 0)), Fit::Fits);
        shape.retire();
        assert!(shape.is_retired() && shape.is_known());
        assert_eq!(shape.fit(&other), Fit::Fits, "its clients still go by what they were told");
        assert_eq!(shape.tell(description("a", 23, 1, 0)), Fit::Fits);
        assert_eq!(shape.tell(description("a", 25, 1, 0)), Fit::Misfits);
    }

    #[test]
    fn parameters_count_where_somebody_has_been_told_of_them() {
        let (shape, other) = (Shape::default(), Shape::default());
        let parameters = |kind| Told::parameters(&[0, 1, 0, 0, 0, kind]);
        for shape in [&shape, &other] {
            shape.tell(description("a", 23, 1, 0));
        }
        assert_eq!(shape.fit(&other), Fit::Fits);
        assert!(!other.tells_parameters());
        shape.tell(parameters(23));
        assert_eq!(shape.fit(&other), Fit::Fits);
        assert!(other.tells_parameters());
        assert_eq!(other.tell(parameters(25)), Fit::Misfits);
    }
}
