//! DateStyle is two parameters in one: what a SET leaves out stays as it was.

use crate::server::settings::Value;

/// A style and an order of day, month and year, as far as they have been named, in PostgreSQL's own spelling.
#[derive(Clone, Copy, Debug, Default)]
struct DateStyle {
    style: Option<&'static str>,
    order: Option<&'static str>,
}

impl DateStyle {
    /// What a text names; `None` if there is nothing or something else in it (`check_datestyle` in
    /// `src/backend/commands/variable.c`).
    fn read(value: &Value) -> Option<Self> {
        let (Value::Config(text) | Value::Sql(text)) = value;
        let mut found = Self::default();
        let is_blank = |c: char| c.is_ascii_whitespace() || matches!(c, ',' | '\'' | '"');
        for word in text.split(is_blank).filter(|word| !word.is_empty()) {
            let word = word.to_ascii_lowercase();
            match word.as_str() {
                "iso" => found.style = Some("ISO"),
                "sql" => found.style = Some("SQL"),
                "german" => found.style = Some("German"),
                "ymd" => found.order = Some("YMD"),
                "dmy" => found.order = Some("DMY"),
                "mdy" | "us" => found.order = Some("MDY"),
                word if word.starts_with("postgres") => found.style = Some("Postgres"),
                word if word.starts_with("euro") => found.order = Some("DMY"),
                word if word.starts_with("noneuro") => found.order = Some("MDY"),
                _ => return None,
            }
        }
        if found.order.is_none() && found.style == Some("German") {
            found.order = Some("DMY");
        }
        (found.style.is_some() || found.order.is_some()).then_some(found)
    }
}

/// What a server must be told that has heard nothing of `old`.
pub(super) fn joined(old: Option<&Value>, new: &Value) -> Value {
    let Some(named) = DateStyle::read(new) else { return new.clone() };
    let old = old.and_then(DateStyle::read).unwrap_or_default();
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
            ("iso", "ymd", "ISO, YMD"),
            ("ISO, DMY", "'Postgres'", "Postgres, DMY"),
            ("ymd", "\"sql\"", "SQL, YMD"),
            ("ISO, YMD", "german", "German, DMY"),
            ("ISO, YMD", "European, SQL", "SQL, DMY"),
            ("mdy", "dmy", "DMY"),
            ("nonsense", "us", "MDY"),
        ] {
            assert_eq!(joined(Some(&sql(old)), &sql(new)), Value::Config(expected.into()));
        }
        assert_eq!(joined(None, &sql("ymd")), Value::Config("YMD".into()));
        assert_eq!(joined(Some(&sql("iso")), &sql("nonsense")), sql("nonsense"));
    }
}
