//! Names as hashes, and what stands under them: a few bytes each, however long they are.

use std::hash::{BuildHasher, Hasher};

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;

use crate::sql::scan::Leaves;
use crate::sql::tables::Tables;
use crate::sql::verdict::Why;

/// The hash of a name, or of a schema and a name. The seed is random per process, so that nobody can make two names
/// look like one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key(u64);

impl Key {
    /// A name in whichever schema.
    pub(super) fn of(name: &str) -> Self {
        Self(hash(&[name.as_bytes()]))
    }

    /// A name in this schema, or in any.
    pub(super) fn within(schema: Option<&str>, name: &str) -> Self {
        schema.map_or_else(
            || Self::of(name),
            |schema| Self(hash(&[schema.as_bytes(), name.as_bytes()])),
        )
    }

    /// The slot of a table of this name.
    pub(super) const fn table(self) -> Tables {
        Tables::slot(self.0)
    }
}

fn hash(parts: &[&[u8]]) -> u64 {
    let state = SeedableRandomState::with_seed(0x5bd1_e995, SharedSeed::global_random());
    let mut hasher = state.build_hasher();
    for part in parts {
        hasher.write(part);
        // No name contains it, so parts cannot run into each other.
        hasher.write_u8(0);
    }
    hasher.finish()
}

/// What is known of all objects of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sql) struct Known {
    /// Why its use keeps a query on the primary; `None` if a standby may do it.
    pub(in crate::sql) why: Option<Why>,
    /// Whether something may be left in the session.
    pub(in crate::sql) traces: Traces,
    /// The tables that are read by using it.
    pub(in crate::sql) reads: Tables,
    /// The tables that may be written by writing to it, or by calling it.
    pub(in crate::sql) writes: Tables,
}

bitflags::bitflags! {
    /// When something may be left in the session that no text names.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(in crate::sql) struct Traces: u8 {
        /// When the object is read or called.
        const READ = 1;
        /// When it is written.
        const WRITTEN = 1 << 1;
        /// Nothing undoes it.
        const FOR_GOOD = 1 << 2;
    }
}

impl Traces {
    /// Those of a function that leaves this.
    pub(super) fn of(leaves: Leaves) -> Self {
        match leaves {
            Leaves::Nothing => Self::empty(),
            Leaves::Traces => Self::READ | Self::WRITTEN,
            Leaves::ForGood => Self::all(),
        }
    }

    /// What is left if one of `occasions` is there.
    pub(in crate::sql) fn on(self, occasions: Self) -> Leaves {
        if !self.intersects(occasions) {
            Leaves::Nothing
        } else if self.contains(Self::FOR_GOOD) {
            Leaves::ForGood
        } else {
            Leaves::Traces
        }
    }
}

impl Known {
    /// Nothing speaks against it.
    pub(in crate::sql) const HARMLESS: Self =
        Self { why: None, traces: Traces::empty(), reads: Tables::NONE, writes: Tables::NONE };

    /// What holds for both.
    pub(in crate::sql) fn and(self, other: Self) -> Self {
        Self {
            why: strongest(self.why, other.why),
            traces: self.traces | other.traces,
            reads: self.reads.union(other.reads),
            writes: self.writes.union(other.writes),
        }
    }
}

/// The reason that decides.
pub(super) fn strongest(one: Option<Why>, other: Option<Why>) -> Option<Why> {
    [one, other].into_iter().flatten().min()
}

/// Many names, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names(Box<[(Key, Known)]>);

impl Names {
    /// All of these; what stands under one name more than once is put together.
    pub(super) fn new(mut all: Vec<(Key, Known)>) -> Self {
        all.sort_unstable_by_key(|(key, _)| *key);
        let mut merged: Vec<(Key, Known)> = Vec::with_capacity(all.len());
        for (key, known) in all {
            match merged.last_mut() {
                Some((last, before)) if *last == key => *before = before.and(known),
                _ => merged.push((key, known)),
            }
        }
        Self(merged.into_boxed_slice())
    }

    pub(super) fn get(&self, key: Key) -> Option<Known> {
        let place = self.0.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        self.0.get(place).map(|(_, known)| *known)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The memory that they take.
    pub(super) const fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }
}
