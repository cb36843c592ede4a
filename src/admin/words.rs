//! The text of commands, cut into words.

/// One word of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) quotes: Quotes,
    /// Where it ends in the text that it was cut from.
    pub(super) end: usize,
}

/// How a word was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quotes {
    /// As it is: case does not matter.
    None,
    /// In double quotes.
    Double,
    /// In single quotes.
    Single,
}

impl Word {
    /// Whether the word is this keyword.
    pub(super) fn is(&self, keyword: &str) -> bool {
        self.quotes == Quotes::None && self.text.eq_ignore_ascii_case(keyword)
    }

    /// The word as a name: folded to lower case unless it was quoted.
    pub(super) fn name(&self) -> String {
        match self.quotes {
            Quotes::None => self.text.to_lowercase(),
            Quotes::Double | Quotes::Single => self.text.clone(),
        }
    }
}

/// The statements of `text`, each as its words. Comments and empty statements are left out; what is not closed ends
/// with the text.
pub(super) fn statements(text: &str) -> Vec<Vec<Word>> {
    let mut statements = Vec::new();
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after = rest.get(first.len_utf8()..).unwrap_or_default();
        rest = if first.is_whitespace() {
            after
        } else if first == ';' {
            statements.push(std::mem::take(&mut words));
            after
        } else if rest.starts_with("--") {
            rest.split_once('\n').map_or("", |(_, rest)| rest)
        } else if rest.starts_with("/*") {
            rest.split_once("*/").map_or("", |(_, rest)| rest)
        } else {
            let (mut word, rest) = word(rest, first, after);
            word.end = text.len() - rest.len();
            words.push(word);
            rest
        };
    }
    statements.push(words);
    statements.retain(|words| !words.is_empty());
    statements
}

/// The word at the start of `text`, and what follows it.
fn word<'a>(text: &'a str, first: char, after: &'a str) -> (Word, &'a str) {
    if let '"' | '\'' = first {
        let quotes = if first == '"' { Quotes::Double } else { Quotes::Single };
        let (text, rest) = quoted(after, first);
        return (Word { text, quotes, end: 0 }, rest);
    }
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '$');
    let len = text.find(|c| !is_part(c)).unwrap_or(text.len()).max(first.len_utf8());
    let (word, rest) = text.split_at_checked(len).unwrap_or((text, ""));
    (Word { text: word.to_owned(), quotes: Quotes::None, end: 0 }, rest)
}

/// The text up to the closing quote, a doubled one standing for itself.
fn quoted(mut text: &str, quote: char) -> (String, &str) {
    let mut word = String::new();
    loop {
        let Some((part, rest)) = text.split_once(quote) else {
            word.push_str(text);
            return (word, "");
        };
        word.push_str(part);
        match rest.strip_prefix(quote) {
            Some(rest) => {
                word.push(quote);
                text = rest;
            }
            None => return (word, rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<Vec<String>> {
        let statement = |words: Vec<Word>| words.into_iter().map(|word| word.text).collect();
        statements(text).into_iter().map(statement).collect()
    }

    #[test]
    fn statements_are_cut_at_semicolons_outside_quotes_and_comments() {
        assert_eq!(
            texts("show pools; SHOW\tSTATS ;"),
            [vec!["show", "pools"], vec!["SHOW", "STATS"]]
        );
        assert_eq!(texts("set a='x;y'"), [vec!["set", "a", "=", "x;y"]]);
        assert_eq!(texts("pause \"a;\"\"b\""), [vec!["pause", "a;\"b"]]);
        assert_eq!(texts("/* x; */ show -- y;\n pools"), [vec!["show", "pools"]]);
        assert!(texts("-- ping").is_empty() && texts(" ; ;").is_empty());
        assert_eq!(texts("pause 'open"), [vec!["pause", "open"]]);
    }

    #[test]
    fn names_fold_unless_quoted() {
        let words = statements("App \"App\"").remove(0);
        assert_eq!([words[0].name(), words[1].name()], ["app", "App"]);
        assert!(words[0].is("APP") && !words[1].is("APP"));
    }
}
