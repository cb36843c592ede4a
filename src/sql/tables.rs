//! Which tables a text reads or writes, in 64 bits.

/// A set of tables. It may contain more than what was put into it, never less: a table is one of 64 slots, by its
/// name, so two tables may look like one.
///
/// What a slot stands for is the same on all workers and in all editions of a catalog, so whoever notes when the
/// slots were written last needs no more than 64 instants per database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tables(u64);

impl Tables {
    /// No table.
    pub const NONE: Self = Self(0);
    /// Every table: what is assumed of what is not known.
    pub const ALL: Self = Self(u64::MAX);
    /// How many slots there are.
    pub const SLOTS: usize = 64;

    /// The slot that a table has by the hash of its name.
    pub(super) const fn slot(hash: u64) -> Self {
        Self(1 << (hash >> 58))
    }

    /// The tables of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether some table may be in both.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The slots of its tables, each less than [`Self::SLOTS`], in order.
    pub fn slots(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let slot = usize::try_from(rest.trailing_zeros()).ok()?;
            rest &= rest.wrapping_sub(1);
            (slot < Self::SLOTS).then_some(slot)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_tables() {
        let some = Tables(1 | 1 << 7 | 1 << 63);
        assert_eq!(some.slots().collect::<Vec<_>>(), [0, 7, 63]);
        assert_eq!(Tables::ALL.slots().count(), Tables::SLOTS);
        assert_eq!(Tables::NONE.slots().count(), 0);
        assert!(some.meets(Tables(1 << 7)) && !some.meets(Tables(1 << 8)));
    }
}
