//! Figures of several rounds.

/// The figures of one thing, round by round; a round that failed has none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series(Vec<Option<f64>>);

impl FromIterator<Option<f64>> for Series {
    fn from_iter<I: IntoIterator<Item = Option<f64>>>(figures: I) -> Self {
        Self(figures.into_iter().collect())
    }
}

impl Series {
    /// The middle of the figures, and the lowest and highest.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let mut figures: Vec<f64> = self.0.iter().copied().flatten().collect();
        figures.sort_by(f64::total_cmp);
        // Of an even number of rounds, the mean of the two in the middle.
        let middle = |from: usize| figures.get(from / 2).copied();
        let median = f64::midpoint(middle(figures.len().checked_sub(1)?)?, middle(figures.len())?);
        Some(Summary { median, low: *figures.first()?, high: *figures.last()? })
    }

    /// Round by round, the ratio of these figures to those.
    pub(crate) fn over(&self, others: &Self) -> Self {
        let ratio = |(ours, theirs): (&Option<f64>, &Option<f64>)| match (ours, theirs) {
            (Some(ours), Some(theirs)) if *theirs > 0.0 => Some(ours / theirs),
            _ => None,
        };
        self.0.iter().zip(&others.0).map(ratio).collect()
    }
}

/// A series in three figures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The value below which a share of the sorted figures lies.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the last index"
    )]
    let index = (share * last as f64).round() as usize;
    sorted.get(index).copied()
}
