//! The architecture of `src/`, kept by a test: layers, homes of crates, pure modules, ceilings, no globals.
//!
//! The tables below are the documentation of what may use what; every failure names file and line.

use std::{fs, path::Path};

/// The modules from the bottom to the top. A module may use those of lower layers, never one beside it.
const LAYERS: &[&[&str]] = &[
    &["protocol", "sql", "config", "telemetry", "reactor"],
    &["net", "auth"],
    &["server", "cluster"],
    &["pool", "route"],
    &["session", "admin", "http"],
    &["proxy", "demo"],
    &["cli"],
    &["main"],
];

/// Uses that the layers do not allow: time is everybody's, and the demo shows the proxy.
const EXCEPTIONS: &[(&str, &str)] = &[("*", "clock"), ("demo", "proxy")];

/// Crates that only these modules may name, so that replacing one is the work of one place.
const HOMES: &[(&str, &[&str])] = &[
    ("axum", &["http"]),
    ("clap", &["cli", "main"]),
    ("metrics", &["telemetry"]),
    ("metrics_exporter_prometheus", &["telemetry"]),
    ("mio", &["reactor"]),
    ("serde_json", &["http", "admin", "demo"]),
    ("sqlparser", &["sql"]),
    ("tokio_postgres", &["cluster", "demo"]),
    ("toml", &["config"]),
    ("tracing_subscriber", &["telemetry", "main"]),
];

/// Modules (or files of one) without I/O, clock or tasks: facts in, conclusions out.
const PURE: &[&str] = &["src/protocol/", "src/sql/", "src/route/", "src/session/machine"];

/// What a pure module must not name.
const IMPURE: &[&str] = &["tokio::", "std::net", "std::fs", "std::thread", "Instant::now", "Clock"];

/// File names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["utils.rs", "util.rs", "helpers.rs", "common.rs", "misc.rs"];

/// A file longer than this, its tests not counted, has more than one job.
const MAX_LINES: usize = 400;

/// One line of code, comments removed.
struct Line {
    number: usize,
    code: String,
    is_test: bool,
}

/// One file below `src/`.
struct Source {
    path: String,
    module: String,
    /// How many modules deep the file is: 1 for `src/pool/mod.rs`, 2 for `src/pool/limit.rs`.
    depth: usize,
    lines: Vec<Line>,
}

impl Source {
    fn read(path: &str) -> Self {
        let inner = path.strip_prefix("src/").unwrap().strip_suffix(".rs").unwrap();
        let names: Vec<&str> = inner.split('/').filter(|name| *name != "mod").collect();
        let mut is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
        let text = fs::read_to_string(root().join(path)).unwrap();
        let texts: Vec<&str> = text.lines().collect();
        let mut lines = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            // Tests stand last in a file.
            let opens_tests =
                texts.get(index + 1).is_some_and(|next| next.starts_with("mod tests {"));
            is_test |= text.starts_with("#[cfg(test)]") && opens_tests;
            lines.push(Line { number: index + 1, code: without_comment(text), is_test });
        }
        Self { path: path.to_owned(), module: names[0].to_owned(), depth: names.len(), lines }
    }

    fn at(&self, line: &Line, what: &str) -> String {
        format!("{}:{}: {what}", self.path, line.number)
    }

    /// The modules of the crate's root that this file names, with the line of each.
    fn uses(&self) -> Vec<(&Line, String)> {
        let mut uses = Vec::new();
        for (index, line) in self.lines.iter().enumerate() {
            let depth = self.depth + usize::from(line.is_test && !self.path.ends_with("tests.rs"));
            let to_root = "super::".repeat(depth);
            for prefix in ["crate::", "pglagoon::", &to_root] {
                for (start, _) in line.code.match_indices(prefix) {
                    let before = line.code[..start].chars().next_back();
                    if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                        continue;
                    }
                    // A group of imports may go on over the next lines.
                    let mut rest = line.code[start + prefix.len()..].to_owned();
                    if rest.starts_with('{') {
                        rest.extend(self.lines[index + 1..].iter().map(|line| line.code.as_str()));
                    }
                    uses.extend(heads(&rest).into_iter().map(|head| (line, head)));
                }
            }
        }
        uses
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The line up to its comment; the `//` of an address is none.
fn without_comment(line: &str) -> String {
    let comment = line
        .match_indices("//")
        .find(|(start, _)| !line[..*start].ends_with(':'))
        .map_or(line.len(), |(start, _)| start);
    line[..comment].to_owned()
}

/// The first names of a path: `a` of `a::b`, `a` and `b` of `{a::{x, y}, b}`.
fn heads(path: &str) -> Vec<String> {
    let Some(group) = path.strip_prefix('{') else {
        return vec![path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()];
    };
    let (mut depth, mut heads, mut head) = (0, Vec::new(), String::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(std::mem::take(&mut head)),
            c if depth == 0 => head.push(c),
            _ => {}
        }
    }
    heads.push(head);
    heads.iter().map(|head| head.trim().split("::").next().unwrap().to_owned()).collect()
}

fn sources() -> Vec<Source> {
    fn collect(directory: &Path, paths: &mut Vec<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, paths);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                paths.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut paths = Vec::new();
    collect(&root().join("src"), &mut paths);
    paths.sort();
    paths.iter().map(|path| Source::read(path)).collect()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn imports_go_strictly_downwards() {
    let mut violations = Vec::new();
    for source in sources() {
        if ["lib", "clock"].contains(&source.module.as_str()) {
            continue;
        }
        let Some(own) = layer(&source.module) else {
            violations.push(format!("{}:1: `{}` is in no layer", source.path, source.module));
            continue;
        };
        for (line, used) in source.uses() {
            let excepted = EXCEPTIONS
                .iter()
                .any(|(user, what)| *what == used && (*user == "*" || *user == source.module));
            if excepted || used == source.module {
                continue;
            }
            if layer(&used).is_some_and(|layer| layer >= own) {
                let what = format!("`{}` must not use `{used}`", source.module);
                violations.push(source.at(line, &what));
            }
        }
    }
    assert_none(&violations);
}

#[test]
fn a_crate_is_named_only_at_its_home() {
    let mut violations = Vec::new();
    for source in sources() {
        for (name, homes) in HOMES {
            if homes.contains(&source.module.as_str()) {
                continue;
            }
            for line in source.lines.iter().filter(|line| !line.is_test) {
                let path = format!("{name}::");
                let is_named = line.code.match_indices(&path).any(|(start, _)| {
                    let before = line.code[..start].chars().next_back();
                    !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
                });
                if is_named {
                    violations
                        .push(source.at(line, &format!("`{name}` is used in {homes:?} only")));
                }
            }
        }
    }
    assert_none(&violations);
}

#[test]
fn pure_modules_name_nothing_impure() {
    let mut violations = Vec::new();
    for source in sources() {
        if !PURE.iter().any(|pure| source.path.starts_with(pure)) {
            continue;
        }
        for line in source.lines.iter().filter(|line| !line.is_test) {
            for impure in IMPURE.iter().filter(|impure| line.code.contains(**impure)) {
                violations.push(source.at(line, &format!("a pure module names `{impure}`")));
            }
        }
    }
    assert_none(&violations);
}

#[test]
fn nothing_is_global() {
    let mut violations = Vec::new();
    for source in sources() {
        for line in source.lines.iter().filter(|line| !line.is_test) {
            let code = line.code.trim_start();
            let item = code.strip_prefix("pub").map_or(code, |rest| {
                rest.split_once(char::is_whitespace).map_or(rest, |(_, item)| item)
            });
            if item.starts_with("static ") || code.starts_with("thread_local!") {
                violations
                    .push(source.at(line, "global state: build it in `proxy` and pass it down"));
            }
        }
    }
    assert_none(&violations);
}

#[test]
fn files_are_small_and_named_for_their_job() {
    let mut violations = Vec::new();
    for source in sources() {
        let lines = source.lines.iter().filter(|line| !line.is_test).count();
        if lines > MAX_LINES {
            violations.push(format!("{}:{lines}: more than {MAX_LINES} lines", source.path));
        }
        if EMPTY_NAMES.iter().any(|name| source.path.ends_with(&format!("/{name}"))) {
            violations.push(format!("{}:1: name the file for its one job", source.path));
        }
    }
    assert_none(&violations);
}

#[test]
fn grouped_and_nested_imports_are_all_seen() {
    assert_eq!(heads("pool::Pool;"), ["pool"]);
    assert_eq!(heads("{clock::Mono, net::{self, Stream}, sql};"), ["clock", "net", "sql"]);
    assert_eq!(without_comment("let a = b; // crate::pool"), "let a = b; ");
    assert_eq!(without_comment(r#"let a = "http://x";"#), r#"let a = "http://x";"#);
}
