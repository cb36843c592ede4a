//! A configuration value before it is checked, and where it came from.

use std::collections::BTreeMap;
use std::fmt;

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// The tables of a file: names in alphabetical order.
pub(super) type Tree = BTreeMap<String, Entry>;

/// What a file, an environment variable or a flag can say.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Nothing: what an unset override shows.
    Unset,
    /// A string of the file.
    Text(String),
    /// Text of an environment variable or a flag: its type is whatever the key wants.
    Untyped(String),
    Integer(i64),
    Bool(bool),
    List(Vec<Entry>),
    Table(Tree),
    /// A type of TOML that no key takes, by name.
    Foreign(&'static str),
}

impl Value {
    /// The value's type in words, for "expected a string, found ...".
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Unset => "nothing",
            Self::Text(_) | Self::Untyped(_) => "a string",
            Self::Integer(_) => "a number",
            Self::Bool(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Foreign(name) => name,
        }
    }

    /// The text, if it may stand for a string.
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Untyped(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub(super) fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Untyped(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The switch, if it is one.
    pub(super) fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(switch) => Some(*switch),
            Self::Untyped(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The strings of a list; a single string is a list of one, and commas separate those of a variable.
    pub(super) fn as_texts(&self) -> Option<Vec<&str>> {
        match self {
            Self::List(entries) => entries.iter().map(|entry| entry.value.as_text()).collect(),
            Self::Text(text) => Some(vec![text]),
            Self::Untyped(text) => {
                Some(text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect())
            }
            _ => None,
        }
    }

    /// A list of strings.
    pub(super) fn texts(texts: impl IntoIterator<Item = String>) -> Self {
        let entry = |text| Entry { value: Self::Text(text), origin: Origin::Default };
        Self::List(texts.into_iter().map(entry).collect())
    }

    /// A number; one that TOML cannot write shows as the largest that it can.
    pub(super) fn count(number: usize) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// The value as an operator reads it: without quotes.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset | Self::Table(_) => Ok(()),
            Self::Text(text) | Self::Untyped(text) => f.write_str(text),
            Self::Integer(number) => number.fmt(f),
            Self::Bool(switch) => switch.fmt(f),
            Self::List(entries) => {
                for (index, entry) in entries.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    write!(f, "{separator}{}", entry.value)?;
                }
                Ok(())
            }
            Self::Foreign(name) => f.write_str(name),
        }
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nobody wrote it.
    Default,
    /// A line of the file, counted from 1.
    Line(usize),
    /// An environment variable, by name.
    Variable(String),
    /// A flag of the command line, by name.
    Flag(&'static str),
}

impl Origin {
    /// The line of the file; 0 for what is not in it.
    pub(super) const fn line(&self) -> usize {
        match self {
            Self::Line(line) => *line,
            Self::Default | Self::Variable(_) | Self::Flag(_) => 0,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => Ok(()),
            Self::Line(line) => write!(f, " (line {line})"),
            Self::Variable(name) => write!(f, " (environment variable {name})"),
            Self::Flag(name) => write!(f, " (command line, {name})"),
        }
    }
}
