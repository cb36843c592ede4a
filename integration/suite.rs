//! PostgreSQL's own regression suite: its statements, one by one.

use std::{ops::ControlFlow, path::PathBuf, process::Command};

use crate::fixture::store;

/// Every statement of the suite, as psql would send it; `None`, with a printed reason, when the suite
/// is not to be had.
pub(crate) fn statements() -> Option<Vec<String>> {
    let mut files: Vec<PathBuf> = directory()?
        .join("sql")
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    files.sort();
    // Some scripts hold text in other encodings.
    let scripts = files.iter().map(|path| std::fs::read(path).unwrap());
    Some(scripts.flat_map(|script| split(&String::from_utf8_lossy(&script))).collect())
}

/// The directory of the suite.
pub(crate) fn directory() -> Option<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/regress.sh");
    let output = Command::new(script).arg("get").env("PGLAGOON_LOCAL", store()).output().unwrap();
    if !output.status.success() {
        eprintln!("skipped: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    Some(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end()))
}

/// The statements of a psql script.
fn split(script: &str) -> Vec<String> {
    let mut splitter = Splitter { rest: script, ..Splitter::default() };
    while splitter.step().is_continue() {}
    splitter.statements
}

/// Where a reader of a psql script stands, by the rules of psql's lexer.
#[derive(Default)]
struct Splitter<'a> {
    rest: &'a str,
    statement: String,
    parentheses: i32,
    /// The open BEGIN ATOMIC and CASE of a function's body.
    bodies: i32,
    statements: Vec<String>,
}

impl Splitter<'_> {
    fn step(&mut self) -> ControlFlow<()> {
        let Some(first) = self.rest.chars().next() else { return ControlFlow::Break(()) };
        match first {
            '\\' => self.command(),
            ';' if self.parentheses <= 0 && self.bodies <= 0 => {
                self.take(1);
                self.end();
            }
            '\'' => self.take(quoted(self.rest, '\'', self.escape())),
            '"' => self.take(quoted(self.rest, '"', None)),
            '-' if self.rest.starts_with("--") => self.take(line(self.rest)),
            '/' if self.rest.starts_with("/*") => self.take(comment(self.rest)),
            '$' => self.take(dollar(self.rest)),
            '(' | ')' => {
                self.parentheses += if first == '(' { 1 } else { -1 };
                self.take(1);
            }
            _ if first.is_alphabetic() || first == '_' => self.word(),
            _ => self.take(first.len_utf8()),
        }
        ControlFlow::Continue(())
    }

    fn take(&mut self, length: usize) {
        let (taken, rest) = self.rest.split_at(length);
        self.statement.push_str(taken);
        self.rest = rest;
    }

    /// A command of psql itself; some of them send the statement in front of them.
    fn command(&mut self) {
        if self.rest.starts_with("\\;") {
            self.rest = &self.rest[1..];
            self.take(1);
            return;
        }
        let command = &self.rest[..line(self.rest)];
        self.rest = &self.rest[command.len()..];
        if command.starts_with("\\g") || command.starts_with("\\crosstab") {
            self.end();
        }
    }

    fn word(&mut self) {
        let is_part = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '$');
        let length = self.rest.find(|letter| !is_part(letter)).unwrap_or(self.rest.len());
        let word = self.rest[..length].to_ascii_lowercase();
        let is_routine = self.statement.trim_start().to_ascii_lowercase().starts_with("create");
        match word.as_str() {
            "atomic" if is_routine => self.bodies += 1,
            "case" if self.bodies > 0 => self.bodies += 1,
            "end" if self.bodies > 0 => self.bodies -= 1,
            _ => {}
        }
        self.take(length);
    }

    /// What escapes a letter in the string that begins here: a backslash in `E'...'`.
    fn escape(&self) -> Option<char> {
        let mut before = self.statement.chars().rev();
        let is_escaped = before.next().is_some_and(|letter| letter.eq_ignore_ascii_case(&'e'))
            && before.next().is_none_or(|letter| !letter.is_alphanumeric() && letter != '_');
        is_escaped.then_some('\\')
    }

    /// The statement is complete.
    fn end(&mut self) {
        let statement = std::mem::take(&mut self.statement);
        (self.parentheses, self.bodies) = (0, 0);
        let words = statement.to_ascii_lowercase();
        let words: Vec<&str> = words.split_ascii_whitespace().collect();
        let copies = words.first() == Some(&"copy");
        if copies && words.windows(2).any(|pair| pair[0] == "from" && pair[1].starts_with("stdin"))
        {
            let end = self.rest.find("\n\\.").map_or(self.rest.len(), |at| at + 1);
            self.rest = &self.rest[end..];
        }
        self.statements.push(statement.trim().to_owned());
    }
}

/// The length of the line, without its end.
fn line(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// The length of a string or a quoted identifier.
fn quoted(text: &str, quote: char, escape: Option<char>) -> usize {
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        if letter == quote {
            return at + 1;
        }
        if Some(letter) == escape {
            letters.next();
        }
    }
    text.len()
}

fn comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        match rest {
            [b'/', b'*', ..] => depth += 1,
            [b'*', b'/', ..] => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// The length of a dollar-quoted string, or of a dollar.
fn dollar(text: &str) -> usize {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let tag = text[1..].find(|letter| !is_part(letter)).map_or(text.len(), |at| at + 1);
    if !text[tag..].starts_with('$')
        || text[1..].starts_with(|letter: char| letter.is_ascii_digit())
    {
        return 1;
    }
    let tag = &text[..=tag];
    text[tag.len()..].find(tag).map_or(text.len(), |at| at + 2 * tag.len())
}

#[test]
fn scripts_are_split_as_psql_splits_them() {
    let script = "SELECT 1; -- a;b\nselect E'\\';', ';', \";\", $a$;$a$, $1 /* ; /* */ ; */;\n\\set x y\n\
                  select (1; 2) \\gset\ncopy t from stdin;\n1;\n2\n\\.\nselect 1\\; select 2;\n\
                  create function f() begin atomic select case when a then b end; end;\ncommit;";
    let found = split(script);
    assert_eq!(
        found,
        [
            "SELECT 1;",
            "-- a;b\nselect E'\\';', ';', \";\", $a$;$a$, $1 /* ; /* */ ; */;",
            "select (1; 2)",
            "copy t from stdin;",
            "select 1; select 2;",
            "create function f() begin atomic select case when a then b end; end;",
            "commit;",
        ]
    );
}
