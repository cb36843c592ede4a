//! PostgreSQL's grammar where the parser lacks it, said in words that the parser knows.
//!
//! A rule may drop or replace only words that name no relation, and must leave every expression
//! and every type where it is: functions, operators and writes are looked for in the text as it
//! came, but relations, types and scopes in the tree of the translation. A form that no rule
//! knows stays, and the parser refuses it.

use super::lexer::{Kind, Lexer, Token};

/// The translation of one query in canonical form; `None` if it needs none.
pub(super) fn translate(text: &str) -> Option<String> {
    let tokens: Vec<Token<'_>> = Lexer::new(text.as_bytes()).map_while(Result::ok).collect();
    let mut writer = Writer { tokens: &tokens, at: 0, groups: Vec::new(), out: String::new() };
    let mut changed = false;
    while let Some(token) = tokens.get(writer.at) {
        let rule = writer.rule();
        changed |= rule.is_some();
        let rule = rule.unwrap_or(Rule { length: 1, text: None });
        let text = rule.text.unwrap_or_else(|| std::str::from_utf8(token.text).unwrap_or_default());
        writer.out.push_str(text);
        writer.out.push(' ');
        writer.at += rule.length;
    }
    changed.then_some(writer.out)
}

/// What to do at one place.
struct Rule {
    /// How many tokens it replaces.
    length: usize,
    /// By what; by the first of them if by nothing else.
    text: Option<&'static str>,
}

const fn replace(length: usize, text: &'static str) -> Rule {
    Rule { length, text: Some(text) }
}

const fn delete(length: usize) -> Rule {
    replace(length, "")
}

/// What an open parenthesis belongs to, where that matters inside or behind it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Other,
    /// `ONLY ( t )`
    Only,
    /// The arguments of a JSON constructor or query function.
    Json,
    /// `ROWS FROM ( f(...), g(...) )`
    RowsFrom,
    /// `JOIN ... USING ( a, b )`
    Using,
    /// Expressions with labels.
    Xml,
}

struct Writer<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    groups: Vec<Group>,
    out: String,
}

impl<'a> Writer<'a> {
    /// The token this far from the current one.
    fn token(&self, ahead: isize) -> Option<&Token<'a>> {
        self.tokens.get(self.at.checked_add_signed(ahead)?)
    }

    /// The unquoted word or the symbol this far from the current one, else nothing.
    fn word(&self, ahead: isize) -> &'a str {
        let wanted = [Kind::Word, Kind::Operator, Kind::Punctuation];
        let token = self.token(ahead).filter(|token| wanted.contains(&token.kind));
        token.map_or("", |token| std::str::from_utf8(token.text).unwrap_or_default())
    }

    fn is_name(&self, ahead: isize) -> bool {
        self.token(ahead).is_some_and(|token| matches!(token.kind, Kind::Word | Kind::QuotedWord))
    }

    fn is_string(&self, ahead: isize) -> bool {
        self.token(ahead).is_some_and(|token| token.kind == Kind::String)
    }

    fn is_unicode(&self, ahead: isize) -> bool {
        self.token(ahead).is_some_and(|token| token.kind == Kind::UnicodeString)
    }

    /// Whether these words come next, from this far on.
    fn follow(&self, ahead: isize, words: &[&str]) -> bool {
        (ahead..).zip(words).all(|(ahead, word)| self.word(ahead) == *word)
    }

    /// How many words the first of these phrases has that comes next.
    fn any_of(&self, ahead: isize, phrases: &[&[&str]]) -> Option<usize> {
        phrases.iter().find(|words| self.follow(ahead, words)).map(|words| words.len())
    }

    fn rule(&mut self) -> Option<Rule> {
        let group = self.groups.last();
        match self.word(0) {
            "(" => self.open(),
            ")" => self.close(),
            "" => self.bound(),
            "," | "[" | "]" => None,
            // Behind a point there are only names.
            _ if self.word(-1) == "." => None,
            _ if group == Some(&Group::Json) => self.json().or_else(|| self.query()),
            "as" if group == Some(&Group::Xml) && self.is_name(1) => Some(delete(2)),
            _ => self.query(),
        }
    }

    fn open(&mut self) -> Option<Rule> {
        let group = match self.word(-1) {
            word if JSON.contains(&word) && !QUERIES.contains(&self.word(1)) => Group::Json,
            "only" => Group::Only,
            "using" => Group::Using,
            "xmlattributes" | "xmlforest" => Group::Xml,
            _ => Group::Other,
        };
        self.groups.push(group);
        (group == Group::Only).then_some(delete(1))
    }

    fn close(&mut self) -> Option<Rule> {
        let is_named = self.word(1) == "as" && self.is_name(2);
        Some(match self.groups.pop() {
            Some(Group::Only) => delete(1),
            Some(Group::Using) if is_named => replace(3, ")"),
            Some(Group::RowsFrom) if self.follow(1, &["with", "ordinality"]) => replace(3, ")"),
            _ if self.follow(1, &[".", "*"]) => replace(3, ")"),
            _ => return None,
        })
    }

    /// The bounds of a window frame: the parser takes a literal for an interval of its own.
    fn bound(&self) -> Option<Rule> {
        let is_bound = self.is_string(0)
            && self.follow(1, &["::", "interval"])
            && ["following", "preceding"].contains(&self.word(3));
        is_bound.then_some(replace(3, "interval 's'"))
    }

    /// Forms that may stand anywhere in a query.
    fn query(&mut self) -> Option<Rule> {
        self.phrase().or_else(|| self.clause())
    }

    /// Single words and fixed phrases.
    fn phrase(&self) -> Option<Rule> {
        let next = self.word(1);
        Some(match self.word(0) {
            "table" if self.at == 0 || BEFORE_TABLE.contains(&self.word(-1)) => {
                (next == "only" || self.is_name(1)).then_some(replace(1, "select * from"))?
            }
            "only" if !["row", "rows", "with"].contains(&self.word(-1)) => delete(1),
            "asymmetric" | "symmetric" | "variadic" => delete(1),
            "isnull" if self.is_test() => replace(1, "is null"),
            "notnull" if self.is_test() => replace(1, "is not null"),
            "is" if next == "document" => replace(2, "is null"),
            "is" if self.follow(1, &["not", "document"]) => replace(3, "is not null"),
            "uescape" if self.is_unicode(-1) && self.is_string(1) => delete(2),
            "at" if next == "local" => delete(2),
            "both" | "leading" | "trailing" if next == "from" => delete(2),
            "similar" if next != "to" => replace(1, "similar to"),
            "collation" if self.follow(1, &["for", "("]) => replace(2, "pg_collation_for"),
            "group" if next == "by" && ["all", "distinct"].contains(&self.word(2)) => {
                replace(3, "group by")
            }
            _ => return None,
        })
    }

    /// Forms that need a closer look.
    fn clause(&mut self) -> Option<Rule> {
        let (last, next) = (self.word(-1), self.word(1));
        Some(match self.word(0) {
            "exclude" => {
                let found = self.any_of(1, EXCLUSIONS)?;
                (self.word(1 + found.cast_signed()) == ")").then_some(delete(1 + found))?
            }
            "search" if last == ")" => self.search()?,
            "cycle" if last == ")" => delete(self.cycle(0)?.unsigned_abs()),
            "rows" if ["from", "join", "lateral"].contains(&last) => {
                self.follow(1, &["from", "("]).then(|| self.groups.push(Group::RowsFrom))?;
                replace(3, "( select")
            }
            // A list of columns wants an alias: one that no call can have.
            "as" if last == ")" && next == "(" && self.is_column() => replace(1, "as \"\""),
            "name" if last == "(" && ["xmlelement", "xmlpi"].contains(&self.word(-2)) => {
                self.is_name(1).then_some(replace(2, "'s'"))?
            }
            "xmlserialize" => {
                self.any_of(1, &[&["(", "content"], &["(", "document"]])?;
                self.groups.push(Group::Other);
                replace(3, "cast (")
            }
            // The parser knows only comparisons with ANY and ALL.
            _ if ["all", "any", "some"].contains(&next) && self.is_operator() => replace(1, "="),
            word if self.is_string(1) && TYPES.contains(&word) => {
                // A cast is for the catalog to see.
                self.out.push_str("( 's' :: ");
                self.out.push_str(word);
                replace(2, " )")
            }
            _ => return None,
        })
    }

    /// Whether a word that may be a label or a function tests the expression in front of it.
    fn is_test(&self) -> bool {
        self.word(-1) != "as" && self.word(1) != "("
    }

    /// Whether an operator that is not `=` stands in front of a word and a parenthesis.
    fn is_operator(&self) -> bool {
        let is_operator = self.token(0).is_some_and(|token| token.kind == Kind::Operator);
        is_operator && self.word(0) != "=" && self.word(2) == "("
    }

    /// Whether a name and a type stand behind `as (`.
    fn is_column(&self) -> bool {
        self.is_name(2) && !QUERIES.contains(&self.word(2)) && self.is_name(3)
    }

    /// `SEARCH BREADTH | DEPTH FIRST BY column, ... SET column` and what may follow it.
    fn search(&self) -> Option<Rule> {
        let known: &[&[&str]] = &[&["breadth", "first", "by"], &["depth", "first", "by"]];
        let columns = 1 + self.any_of(1, known)?.cast_signed();
        let end = self.name_behind("set", self.columns(columns)?)?;
        let end = if self.word(end) == "cycle" { self.cycle(end)? } else { end };
        Some(delete(end.unsigned_abs()))
    }

    /// Where `CYCLE column, ... SET column [TO constant DEFAULT constant] USING column` ends.
    fn cycle(&self, start: isize) -> Option<isize> {
        let mut end = self.name_behind("set", self.columns(start + 1)?)?;
        if self.word(end) == "to" {
            // Constants of a few words; types of their own are for the parser to see.
            let is_constant = |word: &str| ["default", "false", "null", "true"].contains(&word);
            end += 1;
            while is_constant(self.word(end)) || self.word(end).is_empty() {
                self.token(end).filter(|token| token.kind != Kind::QuotedWord)?;
                end += 1;
            }
        }
        self.name_behind("using", end)
    }

    /// Where a word and a name end.
    fn name_behind(&self, word: &str, start: isize) -> Option<isize> {
        (self.word(start) == word && self.is_name(start + 1)).then_some(start + 2)
    }

    /// Where a list of names ends.
    fn columns(&self, mut ahead: isize) -> Option<isize> {
        loop {
            self.is_name(ahead).then_some(())?;
            ahead += 1;
            if self.word(ahead) != "," {
                return Some(ahead);
            }
            ahead += 1;
        }
    }

    /// Forms that may stand among the arguments of a JSON function: what stands between two
    /// expressions becomes a comma, what only modifies goes.
    fn json(&self) -> Option<Rule> {
        let is_first = ["(", ","].contains(&self.word(-1));
        Some(match self.word(0) {
            ":" | "passing" | "value" if is_first || [":", "value"].contains(&self.word(-1)) => {
                return None;
            }
            ":" | "passing" | "value" => replace(1, ","),
            "as" if self.is_name(1) => delete(2),
            "returning" if !is_first => replace(1, ", null ::"),
            "default" if !is_first => replace(1, ","),
            "on" if ["empty", "error"].contains(&self.word(1)) => delete(2),
            _ if is_first || self.word(-1) == "default" => return None,
            _ => delete(self.any_of(0, JSON_CLAUSES)?),
        })
    }
}

/// What a query may begin with.
const QUERIES: &[&str] = &["select", "table", "values", "with"];

/// What may stand in front of TABLE where it is a query.
const BEFORE_TABLE: &[&str] = &["(", ")", "all", "distinct", "except", "intersect", "union"];

/// What a window frame may leave out.
const EXCLUSIONS: &[&[&str]] = &[&["current", "row"], &["group"], &["ties"], &["no", "others"]];

/// Functions with a grammar of their own for their arguments.
const JSON: &[&str] = &[
    "json_array",
    "json_arrayagg",
    "json_exists",
    "json_object",
    "json_objectagg",
    "json_query",
    "json_scalar",
    "json_serialize",
    "json_value",
    "xmlexists",
];

/// What may modify a JSON function without naming anything; longer ones first.
const JSON_CLAUSES: &[&[&str]] = &[
    &["absent", "on", "null"],
    &["null", "on", "null"],
    &["null", "on", "empty"],
    &["null", "on", "error"],
    &["error", "on", "empty"],
    &["error", "on", "error"],
    &["true", "on", "error"],
    &["false", "on", "error"],
    &["unknown", "on", "error"],
    &["empty", "array", "on", "empty"],
    &["empty", "array", "on", "error"],
    &["empty", "object", "on", "empty"],
    &["empty", "object", "on", "error"],
    &["empty", "on", "empty"],
    &["empty", "on", "error"],
    &["format", "json", "encoding", "utf8"],
    &["format", "json"],
    &["with", "unique", "keys"],
    &["with", "unique"],
    &["without", "unique", "keys"],
    &["without", "unique"],
    &["with", "conditional", "array", "wrapper"],
    &["with", "conditional", "wrapper"],
    &["with", "unconditional", "array", "wrapper"],
    &["with", "unconditional", "wrapper"],
    &["with", "array", "wrapper"],
    &["with", "wrapper"],
    &["without", "array", "wrapper"],
    &["without", "wrapper"],
    &["by", "ref"],
    &["by", "value"],
    &["keep", "quotes", "on", "scalar", "string"],
    &["keep", "quotes"],
    &["omit", "quotes", "on", "scalar", "string"],
    &["omit", "quotes"],
];

/// Types of PostgreSQL that the parser does not take in front of a literal.
const TYPES: &[&str] = &[
    "bpchar",
    "cidr",
    "daterange",
    "inet",
    "int4range",
    "int8range",
    "jsonpath",
    "macaddr",
    "macaddr8",
    "money",
    "name",
    "numrange",
    "oid",
    "pg_lsn",
    "regclass",
    "regtype",
    "tsquery",
    "tsrange",
    "tstzrange",
    "tsvector",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_that_the_parser_lacks_are_said_otherwise() {
        for (from, to) in [
            ("table t", "select * from t"),
            ("select 1 union all table only s . t", "select 1 union all select * from s . t"),
            ("select * from only ( t ) x", "select * from t x"),
            ("select f ( variadic a )", "select f ( a )"),
            ("select a between symmetric 1 and 2", "select a between 1 and 2"),
            ("select a isnull , b notnull", "select a is null , b is not null"),
            ("select ( f ( x ) ) . * , ( a ) . b", "select ( f ( x ) ) , ( a ) . b"),
            (
                "select sum ( x ) over ( rows 1 preceding exclude current row )",
                "select sum ( x ) over ( rows 1 preceding )",
            ),
            (
                "with a as ( select 1 ) search depth first by x , y set z select 1",
                "with a as ( select 1 ) select 1",
            ),
            (
                "with a as ( select 1 ) cycle x set y to 's' default 's' using z select 1",
                "with a as ( select 1 ) select 1",
            ),
            (
                "select * from rows from ( f ( 1 ) , g ( 1 ) ) with ordinality as x",
                "select * from ( select f ( 1 ) , g ( 1 ) ) as x",
            ),
            ("select * from f ( 1 ) as ( a int )", "select * from f ( 1 ) as \"\" ( a int )"),
            ("select * from a join b using ( c ) as d", "select * from a join b using ( c )"),
            ("select inet 's'", "select ( 's' :: inet )"),
            (
                "select json_object ( 's' : a , 's' value b returning jsonb )",
                "select json_object ( 's' , a , 's' , b , null :: jsonb )",
            ),
            (
                "select json_value ( a , 's' passing 1 as x default 1 on empty null on error )",
                "select json_value ( a , 's' , 1 , 1 )",
            ),
            (
                "select xmlelement ( name a , xmlattributes ( b as c ) )",
                "select xmlelement ( 's' , xmlattributes ( b ) )",
            ),
            ("select a ~ any ( b )", "select a = any ( b )"),
        ] {
            let translated = translate(from)
                .map(|text| text.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
            assert_eq!(translated.as_deref(), Some(to), "{from}");
        }
    }

    #[test]
    fn what_needs_no_translation_has_none() {
        for text in [
            "select a from t where b in ( 1 , 1 ) fetch first 1 rows only",
            "with x as ( select 1 ) select isnull ( a ) from x as y ( a int )",
            "select t . only , a . table , x as isnull",
            "select cycle , search , exclude , name from t",
        ] {
            assert_eq!(translate(text), None, "{text}");
        }
    }
}
