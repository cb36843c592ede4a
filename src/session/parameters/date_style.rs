//! DateStyle is two parameters in one: what a SET leaves out stays as it was.

use crate::server::settings::Value;

/// A style and an order of day, month and year, as far as they have been named.
#[derive(Clone, Copy, Debug, Default)]
struct DateStyle<'a> {
    style: Option<&'a str>,
    order: Option<&'a str>,
}

impl<'a> DateStyle<'a> {
    /// What a text names; `None` if there is something else in it (`check_datestyle` in
    /// `src/backend/commands/variable.c`).
    fn read(value: &'a Value) -> Option<Self> {
        let (Value::Config(text) | Value::Sql(text)) = value;
        let mut found = Self::default();
        let is_blank = |c: char| c.is_ascii_whitespace() || matches!(c, ',' | '\'' | '"');
        for word in text.split(is_blank).filter(|word| !word.is_empty()) {
            let begins = |part: &str| {
                word.get(..part.len()).is_some_and(|start| start.eq_ignore_ascii_case(part))
            };
            let is = |name: &str| word.eq_ignore_ascii_case(name);
            if is("iso") || is("sql") || is("german") || begins("postgres") {
                found.style = Some(word);
            } else if ["ymd", "dmy", "mdy", "us"].into_iter().any(is)
                || begins("euro")
                || begins("noneuro")
            {
                found.order = Some(word);
            } else {
                return None;
            }
        }
        if found.order.is_none() && found.style.is_some_and(|s| s.eq_ignore_ascii_case("german")) {
            found.order = Some("DMY");
        }
        Some(found)
    }
}

/// What a server must be told that has heard nothing of `old`.
pub(super) fn joined(old: Option<&Value>, new: &Value) -> Value {
    let (Some(old), Some(named)) = (old.and_then(DateStyle::read), DateStyle::read(new)) else {
        return new.clone();
    };
    let parts = [named.style.or(old.style), named.order.or(old.order)];
    let parts: Vec<&str> = parts.into_iter().flatten().collect();
    Value::Config(parts.join(", ").into_boxed_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_stays() {
        let sql = |text: &str| Value::Sql(text.into());
        for (old, new, expected) in [
            ("iso", "ymd", "iso, ymd"),
            ("ISO, DMY", "'Postgres'", "Postgres, DMY"),
            ("ymd", "\"sql\"", "sql, ymd"),
            ("ISO, YMD", "german", "german, DMY"),
            ("ISO, YMD", "European, SQL", "SQL, European"),
            ("mdy", "dmy", "dmy"),
        ] {
            assert_eq!(joined(Some(&sql(old)), &sql(new)), Value::Config(expected.into()));
        }
        assert_eq!(joined(None, &sql("ymd")), sql("ymd"));
        assert_eq!(joined(Some(&sql("iso")), &sql("nonsense")), sql("nonsense"));
    }
}
