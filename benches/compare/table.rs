//! What was measured: tables of figures, each taken in several rounds.

use serde_json::{Value, json};

use crate::BASELINE;
use crate::front::Kind;
use crate::series::Series;

/// A figure that is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// Column head, with the unit.
    pub(crate) head: &'static str,
    pub(crate) digits: usize,
    pub(crate) better: Better,
}

/// In which direction a figure is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
    /// It belongs to others than the pooler.
    Neither,
}

/// The figures of one round, in the order of the columns; or in words why there are none.
pub(crate) type Round = Result<Vec<Option<f64>>, String>;

/// All rounds of one workload.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) columns: &'static [Column],
    rows: Vec<(Kind, Vec<Round>)>,
    /// What a reader must know besides.
    pub(crate) notes: Vec<String>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, columns: &'static [Column]) -> Self {
        Self { title: title.into(), columns, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds what a round gave.
    pub(crate) fn add(&mut self, kind: Kind, round: Round) {
        match self.rows.iter_mut().find(|(other, _)| *other == kind) {
            Some((_, rounds)) => rounds.push(round),
            None => self.rows.push((kind, vec![round])),
        }
    }

    /// Who took part.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.rows.iter().map(|(kind, _)| *kind)
    }

    fn rounds(&self, kind: Kind) -> &[Round] {
        self.rows.iter().find(|(other, _)| *other == kind).map_or(&[], |(_, rounds)| rounds)
    }

    /// One figure, round by round.
    pub(crate) fn series(&self, kind: Kind, column: usize) -> Series {
        let figure = |round: &Round| round.as_ref().ok()?.get(column).copied().flatten();
        self.rounds(kind).iter().map(figure).collect()
    }

    /// One figure over PgBouncer's, round by round.
    pub(crate) fn ratio(&self, kind: Kind, column: usize) -> Series {
        self.series(kind, column).over(&self.series(BASELINE, column))
    }

    /// What went wrong in the rounds that have no figures.
    pub(crate) fn failures(&self, kind: Kind) -> impl Iterator<Item = &str> {
        self.rounds(kind).iter().filter_map(|round| round.as_ref().err().map(String::as_str))
    }

    pub(crate) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|(kind, rounds)| {
            let rounds = rounds.iter().map(|round| match round {
                Ok(figures) => self
                    .columns
                    .iter()
                    .zip(figures)
                    .map(|(column, figure)| (column.head.to_owned(), json!(figure)))
                    .collect::<Value>(),
                Err(why) => json!({ "failed": why }),
            });
            json!({ "name": kind.name(), "rounds": rounds.collect::<Vec<_>>() })
        });
        json!({ "title": self.title, "rows": rows.collect::<Vec<_>>(), "notes": self.notes })
    }
}
