//! The differences that are known, each with its reason.

use crate::differential::{Way, script::Variant};

/// The list, and what of it has been seen.
pub(super) struct Known {
    lines: Vec<Line>,
}

struct Line {
    text: &'static str,
    /// Has been seen, or need not be.
    is_confirmed: bool,
}

impl Line {
    /// Whether it is about this case, run like this.
    fn covers(&self, title: &str, variant: Variant, way: Way) -> bool {
        let fits = |pattern: &str, text: &str| pattern == "*" || pattern == text;
        let place = self.text.split_once("] ").filter(|(_, about)| *about == title);
        place.and_then(|(place, _)| place.trim_start_matches('[').split_once(", ")).is_some_and(
            |(first, second)| {
                fits(first, &format!("{variant:?}")) && fits(second, &format!("{way:?}"))
            },
        )
    }
}

impl Known {
    /// What `known.txt` says.
    pub(super) fn read() -> Self {
        let lines = include_str!("known.txt").lines().filter_map(|line| {
            let by_chance = line.strip_prefix("perhaps ");
            let text = by_chance.unwrap_or(line);
            text.starts_with('[').then_some(Line { text, is_confirmed: by_chance.is_some() })
        });
        Self { lines: lines.collect() }
    }

    /// Whether the list says that this case differs, which it does.
    pub(super) fn confirm(&mut self, title: &str, variant: Variant, way: Way) -> bool {
        let mut covering =
            self.lines.iter_mut().filter(|line| line.covers(title, variant, way)).peekable();
        let is_known = covering.peek().is_some();
        covering.for_each(|line| line.is_confirmed = true);
        is_known
    }

    /// What no case has confirmed.
    pub(super) fn settled(&self) -> Vec<&str> {
        self.lines.iter().filter(|line| !line.is_confirmed).map(|line| line.text).collect()
    }
}
