//! The keys of one table, taken one after the other; what is left over at the end is unknown.

use super::codec::{Codec, mismatch};
use super::problem::Problems;
use super::value::{Entry, Origin, Tree, Value};

/// One table while it is read.
pub(super) struct Keys<'a> {
    path: String,
    table: Option<&'a Tree>,
    known: Vec<&'static str>,
    problems: &'a mut Problems,
}

impl<'a> Keys<'a> {
    /// The table `table`, which is at `path` (empty for the file itself).
    pub(super) fn new(path: &str, table: Option<&'a Tree>, problems: &'a mut Problems) -> Self {
        Self { path: path.to_owned(), table, known: Vec::new(), problems }
    }

    /// The path of `key` in this table.
    pub(super) fn path(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// The value of `key`, or `fallback` if it is missing or wrong; the latter is noted.
    pub(super) fn read<T: Clone, C: Codec<T>>(&mut self, key: &'static str, fallback: &T) -> T {
        let Some(entry) = self.take(key) else { return fallback.clone() };
        match C::read(&entry.value) {
            Ok(value) => value,
            Err(fault) => {
                self.fault(key, fault, entry.origin.clone());
                fallback.clone()
            }
        }
    }

    /// The text of `key`.
    pub(super) fn text(&mut self, key: &'static str) -> Option<&'a str> {
        let entry = self.take(key)?;
        let text = entry.value.as_text();
        if text.is_none() {
            self.fault(key, mismatch("a string", &entry.value), entry.origin.clone());
        }
        text
    }

    /// The entry of `key`, which thereby is known.
    pub(super) fn take(&mut self, key: &'static str) -> Option<&'a Entry> {
        self.known.push(key);
        let entry = self.table?.get(key)?;
        let path = self.path(key);
        self.problems.place(path, &entry.origin);
        Some(entry)
    }

    /// The table at `key`.
    pub(super) fn table(&mut self, key: &'static str) -> Option<&'a Tree> {
        let entry = self.take(key)?;
        if let Value::Table(table) = &entry.value {
            return Some(table);
        }
        let wanted = format!("a table: [{}]", self.path(key));
        self.fault(key, mismatch(&wanted, &entry.value), entry.origin.clone());
        None
    }

    /// Where the value of `key` came from.
    pub(super) fn origin(&self, key: &str) -> Origin {
        self.table.and_then(|table| table.get(key)).map_or(Origin::Default, |e| e.origin.clone())
    }

    /// Notes what is wrong with `key`.
    pub(super) fn fault(&mut self, key: &str, fault: impl Into<String>, origin: Origin) {
        let path = self.path(key);
        self.problems.add(path, fault, origin);
    }

    /// Where to note what is wrong elsewhere.
    pub(super) fn problems(&mut self) -> &mut Problems {
        self.problems
    }

    /// Notes every key that nobody asked for.
    pub(super) fn finish(self) {
        let Self { path, table, known, problems } = self;
        for (key, entry) in table.into_iter().flatten() {
            if known.contains(&key.as_str()) {
                continue;
            }
            let what = if matches!(entry.value, Value::Table(_)) { "table" } else { "key" };
            let fault = match nearest(key, &known) {
                Some(near) => format!("unknown {what}; did you mean {near:?}?"),
                None => format!("unknown {what}; valid here: {}", known.join(", ")),
            };
            problems.add(join(&path, key), fault, entry.origin.clone());
        }
    }
}

/// `key` below `path`, in quotes if it would not be a bare key.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let key =
        if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// The known key that `key` is most likely a slip of: at most a third of its letters differ.
fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let slips = |known: &&&str| distance(key, known);
    let best = known.iter().min_by_key(slips)?;
    (distance(key, best) <= key.chars().count().min(30).div_ceil(3)).then_some(best)
}

/// How many letters must be inserted, removed or replaced to make `a` out of `b` (Levenshtein). Only the first
/// letters count, so that a file cannot make this slow.
fn distance(a: &str, b: &str) -> usize {
    const LETTERS: usize = 64;
    let mut row: Vec<usize> = (0..=b.chars().take(LETTERS).count()).collect();
    for (i, letter) in a.chars().take(LETTERS).enumerate() {
        let (mut diagonal, mut left) = (i, i + 1);
        for (other, cell) in b.chars().zip(row.iter_mut().skip(1)) {
            let replaced = diagonal + usize::from(letter != other);
            diagonal = *cell;
            left = replaced.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_slips() {
        for (a, b, slips) in [("", "abc", 3), ("pool", "pool", 0), ("kitten", "sitting", 3)] {
            assert_eq!(distance(a, b), slips);
            assert_eq!(distance(b, a), slips);
        }
    }

    #[test]
    fn a_slip_is_recognised_and_something_else_is_not() {
        let known = ["mode", "default_pool_size", "min_pool_size"];
        assert_eq!(nearest("defualt_pool_size", &known), Some("default_pool_size"));
        assert_eq!(nearest("pool_mode", &known), None);
        assert_eq!(nearest("banana", &known), None);
    }
}
