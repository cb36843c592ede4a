//! What a text is made of, for people: the names in it, and why each keeps it on the primary. Verdicts do not rest on it.

use super::catalog::Catalog;
use super::cursor::{is_keyword, name_of};
use super::lexer::{Kind, Lexer, Token};
use super::query::may_be_call;
use super::verdict::Why;

/// One name of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it stands for.
    pub kind: PartKind,
    /// The name, as PostgreSQL stores it.
    pub name: String,
    /// Why it keeps its statement on the primary; `None` if it does not.
    pub why: Option<Why>,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// A function, or a type that is called like one.
    Function,
    /// An operator that is not PostgreSQL's own.
    Operator,
    /// A table, view or sequence.
    Relation,
    /// A type, or a column that is a call.
    Word,
}

impl PartKind {
    /// The word in `SHOW ROUTE`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Operator => "operator",
            Self::Relation => "relation",
            Self::Word => "type or column",
        }
    }
}

/// The names in a canonical form, each once, in order of their appearance.
pub(super) fn parts(form: &[u8], catalog: &Catalog) -> Vec<Part> {
    let tokens: Vec<Token<'_>> = Lexer::new(form).map_while(Result::ok).collect();
    let mut parts: Vec<Part> = Vec::new();
    for at in 0..tokens.len() {
        if let Some(part) = part(&tokens, at, catalog)
            && !parts.contains(&part)
        {
            parts.push(part);
        }
    }
    parts
}

/// What the token at `at` names, if that is worth telling.
fn part(tokens: &[Token<'_>], at: usize, catalog: &Catalog) -> Option<Part> {
    let token = tokens.get(at)?;
    let next = tokens.get(at + 1);
    if token.kind == Kind::Operator {
        let name = std::str::from_utf8(token.text).ok()?;
        let known = catalog.operated(name).map(|known| known.why);
        let why = known.unwrap_or_else(|| catalog.operator(name));
        let is_worth_telling = known.is_some() || why.is_some();
        return is_worth_telling.then(|| Part {
            kind: PartKind::Operator,
            name: name.to_owned(),
            why,
        });
    }
    let name = name_of(token)?;
    if next.is_some_and(|next| next.is(b".")) {
        return None;
    }
    let before = |back: usize| at.checked_sub(back).and_then(|at| tokens.get(at));
    let is_qualified = before(1).is_some_and(|last| last.is(b"."));
    let schema = before(2).filter(|_| is_qualified).and_then(name_of);
    let schema = schema.as_deref();
    let named = |kind, why| {
        let name = schema.map_or_else(|| name.to_string(), |schema| format!("{schema}.{name}"));
        Some(Part { kind, name, why })
    };
    if next.is_some_and(|next| next.is(b"(")) && may_be_call(token) {
        if catalog.stored(schema, &name).is_none() || catalog.called(schema, &name).is_some() {
            return named(PartKind::Function, catalog.function(schema, &name));
        }
        return named(PartKind::Relation, catalog.relation(schema, &name));
    }
    // A column may be called like a table: it is not told from one where it stands behind a point.
    let is_place = before(if schema.is_some() { 3 } else { 1 })
        .is_some_and(|last| PLACES.iter().any(|word| is_keyword(last, word)));
    if catalog.stored(schema, &name).is_some() && (is_place || !is_qualified) {
        return named(PartKind::Relation, catalog.relation(schema, &name));
    }
    if is_place && token.kind != Kind::Operator && !is_defined_here(tokens, token) {
        let why = catalog.relation(schema, &name)?;
        return named(PartKind::Relation, Some(why));
    }
    let why = catalog.word(&name)?.why?;
    named(PartKind::Word, Some(why))
}

/// Words behind which a relation is named.
const PLACES: &[&str] = &["from", "into", "join", "only", "table", "update", "using"];

/// Whether `name` is that of a common table expression: `name AS (`.
fn is_defined_here(tokens: &[Token<'_>], name: &Token<'_>) -> bool {
    tokens.windows(3).any(|three| {
        let [first, second, third] = three else { return false };
        first.text == name.text
            && is_keyword(second, "as")
            && (third.is(b"(") || is_keyword(third, "materialized") || is_keyword(third, "not"))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sql::{Classifier, LiveCatalog, Overrides};

    fn told(sql: &str, catalog: Catalog) -> Vec<(&'static str, String, Option<Why>)> {
        let catalog = LiveCatalog::new(catalog, 1);
        let parts = Classifier::new(1).parts(sql.as_bytes(), &catalog);
        parts.into_iter().map(|part| (part.kind.as_str(), part.name, part.why)).collect()
    }

    #[test]
    fn names_are_told_with_their_reasons() {
        let of = |sql| told(sql, Catalog::builtin());
        assert_eq!(
            of(
                "SELECT Lower(name), pg_catalog.nextval('s') FROM pg_class WHERE id IN (1, 2) OR a ### b"
            ),
            [
                ("function", "lower".to_owned(), None),
                ("function", "pg_catalog.nextval".to_owned(), Some(Why::Sequence)),
                ("relation", "pg_class".to_owned(), Some(Why::SystemCatalog)),
                ("operator", "###".to_owned(), Some(Why::UnknownFunction)),
            ]
        );
        assert_eq!(of("select mine(1)")[0].2, Some(Why::UnknownFunction));
        assert_eq!(of("select a from t"), []);
        assert_eq!(of("'unterminated"), []);
    }

    #[test]
    fn what_a_text_defines_itself_is_no_unknown_relation() {
        let awaited = || Catalog::awaited(Arc::new(Overrides::default()));
        assert_eq!(told("with a as (select 1) select * from a", awaited()), []);
        assert_eq!(
            told("select * from public.t", awaited()),
            [("relation", "public.t".to_owned(), Some(Why::CatalogNotLoaded))]
        );
    }
}
