//! The TOML file as a tree of values, each with its line.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problems;
use super::value::{Entry, Origin, Tree, Value};

/// Parses `text`; noting every place that is not TOML.
pub(super) fn parse(text: &str, problems: &mut Problems) -> Tree {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let origin = error.span().map_or(Origin::Default, |span| line(text, span.start));
        // The error's Display quotes the line, which may hold a password; its message does not.
        problems.add("", error.message(), origin);
    }
    tree(text, table.into_inner())
}

fn tree(text: &str, table: DeTable<'_>) -> Tree {
    table
        .into_iter()
        .map(|(key, value)| {
            let origin = line(text, key.span().start);
            (
                key.into_inner().into_owned(),
                Entry { value: convert(text, value.into_inner()), origin },
            )
        })
        .collect()
}

fn convert(text: &str, value: DeValue<'_>) -> Value {
    let kind = value.type_str();
    match value {
        DeValue::String(string) => Value::Text(string.into_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Foreign("a number that is too large"), Value::Integer),
        DeValue::Boolean(switch) => Value::Bool(switch),
        DeValue::Array(array) => {
            let entry = |item: Spanned<DeValue<'_>>| Entry {
                origin: line(text, item.span().start),
                value: convert(text, item.into_inner()),
            };
            Value::List(array.into_iter().map(entry).collect())
        }
        DeValue::Table(table) => Value::Table(tree(text, table)),
        DeValue::Float(_) | DeValue::Datetime(_) => Value::Foreign(kind),
    }
}

/// The line that holds the byte at `offset`.
fn line(text: &str, offset: usize) -> Origin {
    Origin::Line(text.get(..offset).unwrap_or(text).matches('\n').count() + 1)
}
