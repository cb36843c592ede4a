//! Result sets of our own: typed cells, in text or binary format.

use crate::protocol::backend::{self, Column, ColumnType};

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    /// NULL.
    Null,
    /// `text`.
    Text(String),
    /// `int8`.
    Int(i64),
    /// `float8`.
    Real(f64),
}

impl Cell {
    fn bytes(&self, format: Format) -> Option<Vec<u8>> {
        Some(match (self, format) {
            (Self::Null, _) => return None,
            (Self::Text(text), _) => text.clone().into_bytes(),
            (Self::Int(number), Format::Text) => number.to_string().into_bytes(),
            (Self::Int(number), Format::Binary) => number.to_be_bytes().to_vec(),
            (Self::Real(number), Format::Text) => number.to_string().into_bytes(),
            (Self::Real(number), Format::Binary) => number.to_be_bytes().to_vec(),
        })
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Cell {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Cell {
    fn from(number: usize) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Cell {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<i32> for Cell {
    fn from(number: i32) -> Self {
        Self::Int(number.into())
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The cells of one row.
pub(super) type Row = Vec<Cell>;

/// How values are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Format {
    /// As text.
    #[default]
    Text,
    /// As PostgreSQL's types send them.
    Binary,
}

/// The formats of the columns, as Bind gives them: none (all text), one for all, or one for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Formats(pub(super) Vec<Format>);

impl Formats {
    fn of(&self, column: usize) -> Format {
        match *self.0 {
            [] => Format::Text,
            [all] => all,
            _ => self.0.get(column).copied().unwrap_or_default(),
        }
    }
}

pub(super) const fn text(name: &'static str) -> Column {
    Column { name, kind: ColumnType::Text }
}

pub(super) const fn int(name: &'static str) -> Column {
    Column { name, kind: ColumnType::Int8 }
}

pub(super) const fn real(name: &'static str) -> Column {
    Column { name, kind: ColumnType::Float8 }
}

/// Appends RowDescription.
pub(super) fn description(columns: &[Column], formats: &Formats, out: &mut Vec<u8>) {
    backend::row_description_in(out, columns, |column| match formats.of(column) {
        Format::Text => 0,
        Format::Binary => 1,
    });
}

/// Appends a DataRow for each of `rows`.
pub(super) fn rows<'a>(
    rows: impl IntoIterator<Item = &'a Row>,
    formats: &Formats,
    out: &mut Vec<u8>,
) {
    for row in rows {
        let cells = row.iter().enumerate();
        let values: Vec<_> = cells.map(|(at, cell)| cell.bytes(formats.of(at))).collect();
        backend::data_row(out, values.iter().map(Option::as_deref));
    }
}
