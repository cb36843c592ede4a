//! What is classified as a read is one by PostgreSQL's own grammar, too: every statement of its regression
//! suite is tried.

use std::{collections::HashMap, path::PathBuf, process::Stdio};

use pglagoon::sql::{Class, Classifier, LiveCatalog};
use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::{drivers::driver, suite};

#[tokio::test]
async fn what_is_a_read_is_one_by_the_grammar_of_postgresql() {
    let Some(python) = driver("parser").await else { return };
    let Some(statements) = suite::statements() else { return };
    assert!(statements.len() > 30_000, "{} statements", statements.len());
    let trees = parse(python, &statements).await;
    assert_eq!(trees.len(), statements.len());
    let mut oracle = Oracle::default();
    let mut counts = HashMap::new();
    let mut wrong = Vec::new();
    for (sql, tree) in statements.iter().zip(&trees) {
        // What the grammar refuses, every node refuses alike.
        let Some(parts) = tree["stmts"].as_array() else { continue };
        let class = oracle.class(sql);
        match parts.iter().try_for_each(|part| oracle.statement(&part["stmt"])) {
            Err(objection) if class == Class::Read => wrong.push(format!("{objection}: {sql}")),
            Ok(()) if class != Class::Empty => *counts.entry(class).or_insert(0) += 1,
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{} are no reads:\n{}", wrong.len(), wrong.join("\n"));
    let all: usize = counts.values().sum();
    let reads = counts.get(&Class::Read).copied().unwrap_or(0);
    eprintln!("{all} statements are reads, and are classified as {counts:?}");
    assert!(all > 10_000 && all - reads < all / 100, "{reads} of {all} reads are found");
}

/// How many statements are made up; `PGLAGOON_ORACLE_CASES` asks for more.
const CASES: usize = 4_000;

#[tokio::test]
async fn what_is_a_read_is_one_even_if_nobody_would_write_it() {
    let Some(python) = driver("parser").await else { return };
    let Some(statements) = suite::statements() else { return };
    let cases =
        std::env::var("PGLAGOON_ORACLE_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    let queries: Vec<Vec<&str>> = statements
        .iter()
        .filter(|sql| sql.len() < 400 && is_query(sql))
        .map(|sql| sql.trim_end_matches(';').split_ascii_whitespace().collect())
        .collect();
    let mut oracle = Oracle::default();
    let mut reads: Vec<String> = Vec::new();
    while reads.len() < cases {
        let made = mix(&queries);
        if oracle.class(&made) == Class::Read {
            reads.push(made);
        }
    }
    let trees = parse(python, &reads).await;
    let wrong: Vec<String> = reads
        .iter()
        .zip(&trees)
        .filter_map(|(sql, tree)| Some((sql, tree["stmts"].as_array()?)))
        .filter_map(|(sql, parts)| {
            let objection =
                parts.iter().try_for_each(|part| oracle.statement(&part["stmt"])).err()?;
            Some(format!("{objection}: {sql}"))
        })
        .collect();
    let valid = trees.iter().filter(|tree| tree["stmts"].is_array()).count();
    eprintln!("{valid} of {cases} made-up reads are statements");
    assert!(wrong.is_empty(), "{} are no reads:\n{}", wrong.len(), wrong.join("\n"));
}

fn is_query(sql: &str) -> bool {
    let word = sql.split_ascii_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    ["select", "with", "values", "table", "explain"].contains(&word.as_str())
}

/// Words and symbols that mean much.
const WORDS: &str = r#"
    all and any array as at by case cross current cycle distinct end exclude exists fetch filter first
    for from full group in interval is isnull join lateral left limit local materialized name natural
    no not null of offset on only operator or order ordinality over pg_class pg_locks range recursive
    returning row rows search select set share similar some symmetric table tablesample then ties to
    union update using value values variadic when where window with xmlserialize ( ) , . * .* [ ] :: :
    ; 'x' 1 $1 t "T"
"#;

/// A statement with one or two changes: words of another one, or words that mean much, put in, left out or put in
/// the place of its own.
fn mix(queries: &[Vec<&str>]) -> String {
    let special: Vec<&str> = WORDS.split_ascii_whitespace().collect();
    let any = |length: usize| rand::random_range(0..length);
    let mut words = queries[any(queries.len())].clone();
    for _ in 0..=any(3) {
        let other = &queries[any(queries.len())];
        let from = any(other.len());
        let until = (from + 1 + any(4)).min(other.len());
        let put =
            if any(2) == 0 { &other[from..until] } else { &[special[any(special.len())]][..] };
        let at = any(words.len());
        let gone = if any(2) == 0 { 0 } else { any(4).min(words.len() - at) };
        let put = if any(4) == 0 { &[] } else { put };
        words.splice(at..at + gone, put.iter().copied());
        if words.is_empty() {
            break;
        }
    }
    words.join(" ")
}

/// The tree of each statement as PostgreSQL's grammar sees it; `Null` if it does not.
async fn parse(python: PathBuf, statements: &[String]) -> Vec<Value> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/integration/drivers/python/parse.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let texts = statements.join("\0");
    let mut stdin = child.stdin.take().unwrap();
    // The script answers only when it has read all.
    stdin.write_all(texts.as_bytes()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap_or_default()).collect()
}

/// Judges trees by their grammar. Names it takes for what the classifier takes them for.
struct Oracle {
    classifier: Classifier,
    catalog: LiveCatalog,
    /// The common table expressions that the current place may refer to.
    visible: Vec<String>,
}

impl Default for Oracle {
    fn default() -> Self {
        let (classifier, catalog) = (Classifier::new(4096), LiveCatalog::default());
        Self { classifier, catalog, visible: Vec::new() }
    }
}

impl Oracle {
    fn class(&mut self, sql: &str) -> Class {
        self.classifier.classify(sql.as_bytes(), &self.catalog).class
    }

    /// Tests whether PostgreSQL takes a statement for nothing but a read.
    fn statement(&mut self, statement: &Value) -> Result<(), String> {
        let Some((kind, body)) = statement.as_object().and_then(|kinds| kinds.iter().next()) else {
            return Ok(());
        };
        match kind.as_str() {
            "SelectStmt" => self.node(statement),
            "ExplainStmt" => self.statement(&body["query"]),
            "CopyStmt" => {
                if let Some(key) =
                    ["is_from", "is_program", "filename"].iter().find(|key| !body[**key].is_null())
                {
                    return Err(format!("COPY with {key}"));
                }
                if body["relation"].is_object() {
                    self.relation(&body["relation"])?;
                }
                self.node(&body["query"])
            }
            other => Err(other.to_owned()),
        }
    }

    fn node(&mut self, node: &Value) -> Result<(), String> {
        match node {
            Value::Array(nodes) => nodes.iter().try_for_each(|node| self.node(node)),
            Value::Object(fields) => {
                fields.iter().try_for_each(|(key, value)| self.field(key, value))
            }
            _ => Ok(()),
        }
    }

    fn field(&mut self, key: &str, value: &Value) -> Result<(), String> {
        match key {
            "SelectStmt" | "larg" | "rarg" => return self.select(value),
            "intoClause" | "lockingClause" => return Err(key.to_owned()),
            key if key.ends_with("Stmt") => return Err(key.to_owned()),
            "RangeVar" => self.relation(value)?,
            "RangeTableSample" => {
                let method = names(&value["method"]).join(".");
                if !["bernoulli", "system"].contains(&method.as_str()) {
                    return Err(format!("sampling method {method}"));
                }
            }
            "FuncCall" => {
                let name = quoted(&names(&value["funcname"]));
                self.require_read(format!("SELECT {name}()"))?;
            }
            "A_Expr" => self.operator(&names(&value["name"]))?,
            "SubLink" => self.operator(&names(&value["operName"]))?,
            "SortBy" => self.operator(&names(&value["useOp"]))?,
            _ => {}
        }
        self.node(value)
    }

    fn select(&mut self, select: &Value) -> Result<(), String> {
        let before = self.visible.len();
        let with = &select["withClause"];
        let expressions = with["ctes"].as_array().map_or(&[][..], Vec::as_slice);
        let name = |cte: &Value| text(&cte["CommonTableExpr"]["ctename"]);
        if with["recursive"] == true {
            self.visible.extend(expressions.iter().map(name));
        }
        for cte in expressions {
            self.node(cte)?;
            self.visible.push(name(cte));
        }
        let fields =
            select.as_object().into_iter().flatten().filter(|(key, _)| *key != "withClause");
        for (key, value) in fields {
            self.field(key, value)?;
        }
        self.visible.truncate(before);
        Ok(())
    }

    fn relation(&mut self, relation: &Value) -> Result<(), String> {
        let (schema, name) = (&relation["schemaname"], text(&relation["relname"]));
        if schema.is_null() && self.visible.contains(&name) {
            return Ok(());
        }
        let schema = (!schema.is_null()).then(|| text(schema));
        let name: Vec<String> = schema.into_iter().chain([name]).collect();
        self.require_read(format!("SELECT * FROM {}", quoted(&name)))
    }

    /// The name of an operator; of IN, LIKE and BETWEEN as well, which need no look.
    fn operator(&mut self, name: &[String]) -> Result<(), String> {
        match name {
            [schema, ..] if name.len() > 1 && schema != "pg_catalog" => {
                Err(format!("operator {}", name.join(".")))
            }
            [.., symbol] if !symbol.starts_with(|letter: char| letter.is_ascii_alphabetic()) => {
                // It may be one of the few that take no left side.
                self.require_read(format!("SELECT 1 {symbol} 1"))
                    .or_else(|_| self.require_read(format!("SELECT {symbol} 1")))
            }
            _ => Ok(()),
        }
    }

    /// Tests what the classifier makes of a name.
    fn require_read(&mut self, sql: String) -> Result<(), String> {
        if self.class(&sql) == Class::Read { Ok(()) } else { Err(sql) }
    }
}

/// The strings of a list.
fn names(list: &Value) -> Vec<String> {
    let names = list.as_array().map_or(&[][..], Vec::as_slice);
    names.iter().map(|name| text(&name["String"]["sval"])).collect()
}

fn quoted(name: &[String]) -> String {
    let quoted: Vec<String> =
        name.iter().map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect();
    quoted.join(".")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
