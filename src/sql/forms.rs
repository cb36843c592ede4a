//! Which of the parser's forms and words are PostgreSQL's: nothing is that is not listed.

use sqlparser::ast::{Expr, GroupByExpr, Ident, ObjectName, Select, SelectFlavor};

/// The function that a form of expression stands for.
pub(super) const fn named_by_grammar(expr: &Expr) -> Option<&'static str> {
    Some(match expr {
        Expr::AtTimeZone { .. } => "timezone",
        Expr::Ceil { .. } => "ceil",
        Expr::Extract { .. } => "extract",
        Expr::Floor { .. } => "floor",
        Expr::IsNormalized { .. } => "is_normalized",
        Expr::Overlay { .. } => "overlay",
        Expr::Position { .. } => "position",
        Expr::Substring { .. } => "substring",
        Expr::Trim { .. } => "trim",
        _ => return None,
    })
}

/// How many words FROM an expression is written with, its parts left out.
pub(super) const fn froms(expr: &Expr) -> usize {
    let has_from = match expr {
        Expr::Extract { .. }
        | Expr::IsDistinctFrom(..)
        | Expr::IsNotDistinctFrom(..)
        | Expr::Overlay { .. } => true,
        Expr::Substring { substring_from, special, .. } => substring_from.is_some() && !*special,
        Expr::Trim { trim_what, .. } => trim_what.is_some(),
        _ => false,
    };
    has_from as usize
}

/// Whether this is a form of expression that PostgreSQL has and that names no function.
pub(super) const fn is_plain(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::AllOp { .. }
            | Expr::AnyOp { .. }
            | Expr::Array(_)
            | Expr::Between { .. }
            | Expr::BinaryOp { .. }
            | Expr::Case { .. }
            | Expr::Cast { .. }
            | Expr::Collate { .. }
            | Expr::CompoundFieldAccess { .. }
            | Expr::CompoundIdentifier(_)
            | Expr::Cube(_)
            | Expr::Exists { .. }
            | Expr::GroupingSets(_)
            | Expr::ILike { .. }
            | Expr::Identifier(_)
            | Expr::InList { .. }
            | Expr::InSubquery { .. }
            | Expr::Interval(_)
            | Expr::IsDistinctFrom(..)
            | Expr::IsFalse(_)
            | Expr::IsJson { .. }
            | Expr::IsNotDistinctFrom(..)
            | Expr::IsNotFalse(_)
            | Expr::IsNotNull(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotUnknown(_)
            | Expr::IsNull(_)
            | Expr::IsTrue(_)
            | Expr::IsUnknown(_)
            | Expr::Like { .. }
            | Expr::Nested(_)
            | Expr::QualifiedWildcard(..)
            | Expr::Rollup(_)
            | Expr::SimilarTo { .. }
            | Expr::Subquery(_)
            | Expr::Tuple(_)
            | Expr::TypedString(_)
            | Expr::UnaryOp { .. }
            | Expr::Value(_)
            | Expr::Wildcard(_)
    )
}

/// Whether a SELECT uses only clauses that PostgreSQL has.
pub(super) fn is_postgres(select: &Select) -> bool {
    let has_plain_groups = match &select.group_by {
        GroupByExpr::All(_) => false,
        GroupByExpr::Expressions(_, modifiers) => modifiers.is_empty(),
    };
    has_plain_groups
        && select.select_modifiers.is_none()
        && select.top.is_none()
        && select.exclude.is_none()
        && select.lateral_views.is_empty()
        && select.prewhere.is_none()
        && select.connect_by.is_empty()
        && select.cluster_by.is_empty()
        && select.distribute_by.is_empty()
        && select.sort_by.is_empty()
        && select.qualify.is_none()
        && select.value_table_mode.is_none()
        && select.flavor == SelectFlavor::Standard
}

/// Words that the parser takes for functions, as in `ARRAY (SELECT ...)`, and that no function of
/// PostgreSQL can have for its name without quotes.
const GRAMMAR: &[&str] = &["all", "any", "array", "some", "values", "xmlattributes"];

pub(super) fn is_grammar(name: &ObjectName) -> bool {
    let [word] = name.0.as_slice() else { return false };
    word.as_ident()
        .is_some_and(|word| word.quote_style.is_none() && GRAMMAR.contains(&word.value.as_str()))
}

/// Whether a name is a word that PostgreSQL never takes for one: the parser has lost its way, and
/// what it takes for a name may be the start of a clause.
pub(super) fn is_reserved(name: &Ident) -> bool {
    name.quote_style.is_none() && RESERVED.binary_search(&name.value.as_str()).is_ok()
}

/// Words that name no column and no relation without quotes, in order; those left out that stand
/// for functions or values.
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "binary",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "fetch",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "group",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "intersect",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "natural",
    "not",
    "notnull",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "overlaps",
    "placing",
    "primary",
    "references",
    "returning",
    "right",
    "select",
    "similar",
    "some",
    "symmetric",
    "table",
    "tablesample",
    "then",
    "to",
    "trailing",
    "union",
    "unique",
    "using",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
];
