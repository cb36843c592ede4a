//! Functions in the clothes of fields: `(a).f` is `f(a)` if `a` has no field of that name.
//!
//! PostgreSQL (`ParseFuncOrColumn`) takes any function so that can do with one argument, of whatever type. What stands
//! behind a name alone, as in `t.f`, is the whole row of a table; functions of rows are found by their mere names.

use super::functions;
use super::lexer::{Kind, Token};
use super::verdict::Why;

/// Finds the names that are taken from a value, as it is shown token after token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fields {
    /// No value ends here.
    #[default]
    Elsewhere,
    /// A value may end here: `(a)`, `a[1]`, `$1`, `(a).b`.
    Value,
    /// A dot behind it.
    Dot,
}

impl Fields {
    /// Whether `token` is a name that is taken from the value in front of it.
    #[inline]
    pub(super) fn see(&mut self, token: &Token<'_>) -> bool {
        let is_field = *self == Self::Dot && matches!(token.kind, Kind::Word | Kind::QuotedWord);
        let ends_value = match token.kind {
            Kind::Parameter => true,
            Kind::Punctuation => matches!(token.text, b")" | b"]"),
            _ => is_field,
        };
        *self = match *self {
            _ if ends_value => Self::Value,
            Self::Value if token.is(b".") => Self::Dot,
            Self::Value | Self::Dot | Self::Elsewhere => Self::Elsewhere,
        };
        is_field
    }
}

/// Why a field of this name, if it is one of PostgreSQL's own functions, keeps a query on the primary.
pub(super) fn reason(name: &str) -> Option<Why> {
    let is_function = !NO_FUNCTIONS.contains(&name) && !functions::is_unknown(name);
    is_function.then(|| functions::reason(name)).flatten()
}

/// Names that columns have, and functions that nobody can call with one argument.
const NO_FUNCTIONS: &[&str] = &["lastval", "system", "version"];

#[cfg(test)]
mod tests {
    use super::super::lexer::Lexer;
    use super::*;

    #[test]
    fn names_behind_values_are_told_from_others() {
        let found = |text: &'static str| {
            let mut fields = Fields::default();
            let tokens = Lexer::new(text.as_bytes()).map(Result::unwrap);
            let names = tokens.filter(|token| fields.see(token));
            names.map(|name| String::from_utf8_lossy(name.text)).collect::<Vec<_>>().join(" ")
        };
        for (text, names) in [
            ("(a).b", "b"),
            ("( a ) /* x */ . \"b\" + c.d", "\"b\""),
            ("(a).b.c[1].d.e", "b c d e"),
            ("$1.a, b[2] . c", "a c"),
            ("t.a, s.t.b, (t.c), (a) b . c", ""),
            ("(a).*, (b) c, f(x), 1.5, $1 + .5 a", ""),
        ] {
            assert_eq!(found(text), names, "{text}");
        }
    }

    #[test]
    fn a_column_that_only_looks_like_a_function_is_none() {
        assert_eq!(reason("nextval"), Some(Why::Sequence));
        assert_eq!(reason("pg_advisory_xact_lock"), Some(Why::Locking));
        for name in ["lower", "version", "lastval", "my_function"] {
            assert_eq!(reason(name), None, "{name}");
        }
    }
}
