//! What is wrong with a configuration: all of it, at once.

use std::collections::BTreeMap;
use std::fmt;

use super::value::Origin;

/// One thing that is wrong, with the key that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    key: String,
    fault: String,
    origin: Origin,
}

impl Problem {
    pub(super) fn new(key: impl Into<String>, fault: impl Into<String>, origin: Origin) -> Self {
        Self { key: key.into(), fault: fault.into(), origin }
    }

    /// The path of the key, such as `databases.app.replicas[1].url`; empty if the file could not be read at all.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// `pool.mode: unknown value "x"; valid are ... (line 12)`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}{}", self.fault, self.origin)
    }
}

/// Everything that is wrong with a configuration, in the order of the keys. Never empty when it is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    found: Vec<Problem>,
    /// Where each key that was read stands, for problems that are found later.
    places: BTreeMap<String, Origin>,
}

impl Problems {
    pub(super) fn push(&mut self, problem: Problem) {
        self.found.push(problem);
    }

    /// Remembers where `key` stands.
    pub(super) fn place(&mut self, key: String, origin: &Origin) {
        self.places.insert(key, origin.clone());
    }

    /// Notes that `key`, a path such as `tls.client.cert_file`, is not well, for a reason that only somebody above
    /// this module can know.
    pub fn report(&mut self, key: impl Into<String>, fault: impl Into<String>) {
        self.add(key, fault, Origin::Default);
    }

    pub(super) fn add(&mut self, key: impl Into<String>, fault: impl Into<String>, origin: Origin) {
        self.push(Problem::new(key, fault, origin));
    }

    /// `value` if nothing is wrong, else what is.
    ///
    /// # Errors
    ///
    /// All that was found.
    pub(super) fn none_or<T>(mut self, value: T) -> Result<T, Self> {
        if self.found.is_empty() {
            return Ok(value);
        }
        let places = std::mem::take(&mut self.places);
        for problem in self.found.iter_mut().filter(|problem| problem.origin == Origin::Default) {
            let place = nearest_place(&places, &problem.key);
            problem.origin = place.cloned().unwrap_or(Origin::Default);
        }
        self.found.sort_by(|a, b| (&a.key, a.origin.line()).cmp(&(&b.key, b.origin.line())));
        Err(self)
    }

    /// The problems, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.found.iter()
    }
}

/// Where `key` stands or, if it is missing, the table that it is missing from.
fn nearest_place<'a>(places: &'a BTreeMap<String, Origin>, mut key: &str) -> Option<&'a Origin> {
    loop {
        if let Some(place) = places.get(key) {
            return Some(place);
        }
        key = key.rsplit_once(['.', '['])?.0;
    }
}

/// One problem per line.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.found.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
