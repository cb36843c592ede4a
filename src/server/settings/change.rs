//! The SQL that turns a server with some settings into one with others.

use super::{DATE_STYLE, IDENTITY, OURS, Settings, Value};
use crate::sql::settings::is_quoted_list;

/// What a query changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Parameters of PostgreSQL's own, and as whom statements run: all of them or, if one is refused, none.
    Own,
    /// One parameter of an extension, or one that is made up (`app.user`). What an extension that was loaded meanwhile
    /// knows better is refused.
    Custom,
}

type Difference<'a> = (&'a str, Option<&'a Value>);

impl Settings {
    /// Calls `query` with each query that a server with `self` needs to become one with `wanted`, one after the other;
    /// never if it needs none. `sql` is where they are written, and empty before and after.
    ///
    /// Whoever has logged in sets them, and becomes somebody else at the end: what a superuser may set the role that
    /// came after it need not be allowed to set, nor to reset (`set_config_option` in
    /// `src/backend/utils/misc/guc.c` asks who runs the statement).
    pub fn change(&self, wanted: &Self, sql: &mut Vec<u8>, mut query: impl FnMut(Part, &[u8])) {
        let mut flush = |part, sql: &mut Vec<u8>| {
            if !sql.is_empty() {
                query(part, sql);
                sql.clear();
            }
        };
        let (customs, own): (Vec<_>, Vec<_>) =
            self.differences(wanted).partition(|(name, _)| name.contains('.'));
        let fresh = Self::default();
        let mut identity = self;
        if !(customs.is_empty() && own.is_empty() && self.has_authorization_of(wanted)) {
            fresh.change_identity(self, &mut |name, _| assignment(sql, name, None));
            identity = &fresh;
        }
        for (name, value) in own {
            self.assign_anew(name, value, sql);
        }
        if !customs.is_empty() {
            flush(Part::Own, sql);
        }
        for (name, value) in customs {
            self.assign_anew(name, value, sql);
            flush(Part::Custom, sql);
        }
        identity.change_identity(wanted, &mut |name, value| assignment(sql, name, value));
        flush(Part::Own, sql);
    }

    /// Appends the SQL that sets all of them on a fresh server, in one.
    pub fn assign_all(&self, out: &mut Vec<u8>) {
        for (name, value) in Self::default().differences(self) {
            assignment(out, name, value);
        }
        Self::default().change_identity(self, &mut |name, value| assignment(out, name, value));
    }

    /// What must change but for the identity.
    fn differences<'a>(&'a self, wanted: &'a Self) -> impl Iterator<Item = Difference<'a>> {
        let gone = self.iter().filter(|(name, _)| wanted.get(name).is_none());
        let new = wanted.iter().filter(|(name, value)| self.get(name) != Some(value));
        gone.map(|(name, _)| (name, None))
            .chain(new.map(|(name, value)| (name, Some(value))))
            .filter(|(name, _)| !name.starts_with(OURS) && !IDENTITY.contains(name))
    }

    /// Whether the session's user is the same, whatever the role.
    fn has_authorization_of(&self, wanted: &Self) -> bool {
        let [authorization, _] = IDENTITY;
        self.get(authorization) == wanted.get(authorization)
    }

    /// Has `assign` called for what makes who `self` says into who `wanted` says.
    fn change_identity<'a>(
        &self,
        wanted: &'a Self,
        assign: &mut impl FnMut(&'static str, Option<&'a Value>),
    ) {
        for name in IDENTITY {
            let value = wanted.get(name);
            if self.get(name) != value {
                assign(name, value);
            }
        }
    }

    fn assign_anew(&self, name: &str, value: Option<&Value>, out: &mut Vec<u8>) {
        if name == DATE_STYLE && value.is_some() && self.get(name).is_some() {
            // What the new one leaves out is not what the old one has said.
            assignment(out, name, None);
        }
        assignment(out, name, value);
    }
}

/// Appends one SET, RESET or `set_config()` and a semicolon.
fn assignment(out: &mut Vec<u8>, name: &str, value: Option<&Value>) {
    match value {
        None => {
            out.extend_from_slice(b"RESET ");
            identifier(out, name);
        }
        Some(Value::Sql(sql)) if name == "timezone" => {
            // The text may be `INTERVAL '...'` or `LOCAL`, which only this form takes.
            out.extend_from_slice(b"SET TIME ZONE ");
            out.extend_from_slice(sql.as_bytes());
        }
        Some(Value::Sql(sql)) => {
            out.extend_from_slice(b"SET ");
            identifier(out, name);
            out.extend_from_slice(b" TO ");
            out.extend_from_slice(sql.as_bytes());
        }
        Some(Value::Config(value)) if is_quoted_list(name) => {
            out.extend_from_slice(b"SELECT ");
            set_config(out, name, value, b"false");
        }
        Some(Value::Config(value)) => {
            out.extend_from_slice(b"SET ");
            identifier(out, name);
            out.extend_from_slice(b" TO ");
            literal(out, value);
        }
    }
    out.push(b';');
}

/// Appends a call of `set_config()`.
pub fn set_config(out: &mut Vec<u8>, name: &str, value: &str, is_local: &[u8]) {
    out.extend_from_slice(b"pg_catalog.set_config(");
    literal(out, name);
    out.push(b',');
    literal(out, value);
    out.push(b',');
    out.extend_from_slice(is_local);
    out.push(b')');
}

/// Appends a parameter's name: each part of a custom name (`app.user`) quoted on its own.
fn identifier(out: &mut Vec<u8>, name: &str) {
    for (index, part) in name.split('.').enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        out.push(b'"');
        out.extend(
            part.bytes()
                .flat_map(|byte| std::iter::repeat_n(byte, if byte == b'"' { 2 } else { 1 })),
        );
        out.push(b'"');
    }
}

/// Appends a string literal that is safe whatever `standard_conforming_strings` is.
pub fn literal(out: &mut Vec<u8>, text: &str) {
    if text.contains('\\') {
        out.extend_from_slice(b" E");
    }
    out.push(b'\'');
    out.extend(text.bytes().filter(|&byte| byte != 0).flat_map(|byte| {
        std::iter::repeat_n(byte, if matches!(byte, b'\'' | b'\\') { 2 } else { 1 })
    }));
    out.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(entries: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::default();
        for (name, value) in entries {
            settings.set(name, Some(Value::Sql((*value).into())));
        }
        settings
    }

    fn config(name: &str, value: &str) -> Settings {
        let mut settings = Settings::default();
        settings.set(name, Some(Value::Config(value.into())));
        settings
    }

    /// The queries; each of a parameter of an extension begins with `?`.
    fn change(from: &Settings, to: &Settings) -> Vec<String> {
        let (mut sql, mut queries) = (Vec::new(), Vec::new());
        from.change(to, &mut sql, |part, sql| {
            let mark = if part == Part::Custom { "?" } else { "" };
            queries.push(format!("{mark}{}", str::from_utf8(sql).unwrap()));
        });
        assert!(sql.is_empty());
        queries
    }

    #[test]
    fn only_differences_are_set() {
        let (a, mut b) = (settings(&[("a", "1"), ("b", "2")]), settings(&[("b", "3")]));
        b.set("c", Some(Value::Config("x".into())));
        b.set("search_path", Some(Value::Config("x, y".into())));
        b.set("pglagoon.max_lag", Some(Value::Config("1s".into())));
        let sql = "RESET \"a\";SET \"b\" TO 3;SET \"c\" TO 'x';\
             SELECT pg_catalog.set_config('search_path','x, y',false);";
        assert_eq!(change(&a, &b), [sql]);
        assert!(change(&a, &a).is_empty());
        let style = |text: &str| config("datestyle", text);
        assert_eq!(
            change(&style("SQL, DMY"), &style("ISO")),
            ["RESET \"datestyle\";SET \"datestyle\" TO 'ISO';"]
        );
    }

    #[test]
    fn what_an_extension_may_know_better_is_set_apart() {
        let from = settings(&[("plpgsql.x", "1"), ("a", "1")]);
        let to = settings(&[("a", "2"), ("my.own", "3")]);
        assert_eq!(
            change(&from, &to),
            ["SET \"a\" TO 2;", "?RESET \"plpgsql\".\"x\";", "?SET \"my\".\"own\" TO 3;"]
        );
        let role = settings(&[("my.own", "4"), ("role", "r")]);
        assert_eq!(
            change(&to, &role),
            ["RESET \"a\";", "?SET \"my\".\"own\" TO 4;", "SET \"role\" TO r;"]
        );
        assert_eq!(change(&role, &to)[0], "RESET \"role\";SET \"a\" TO 2;");
    }

    #[test]
    fn who_has_logged_in_sets_and_resets() {
        let role = |role| settings(&[("a", "1"), ("role", role)]);
        assert_eq!(change(&role("r"), &role("s")), ["SET \"role\" TO s;"]);
        assert_eq!(change(&role("r"), &settings(&[("a", "1")])), ["RESET \"role\";"]);
        assert_eq!(
            change(&role("r"), &settings(&[("role", "r")])),
            ["RESET \"role\";RESET \"a\";SET \"role\" TO r;"]
        );
        let all = settings(&[("b", "1"), ("role", "r"), ("session_authorization", "u")]);
        assert_eq!(
            change(&role("r"), &all),
            ["RESET \"role\";RESET \"a\";SET \"b\" TO 1;\
              SET \"session_authorization\" TO u;SET \"role\" TO r;"]
        );
        assert_eq!(
            change(&all, &Settings::default()),
            ["RESET \"session_authorization\";RESET \"role\";RESET \"b\";"]
        );
        let mut sql = Vec::new();
        all.assign_all(&mut sql);
        let expected = "SET \"b\" TO 1;SET \"session_authorization\" TO u;SET \"role\" TO r;";
        assert_eq!(str::from_utf8(&sql), Ok(expected));
    }

    #[test]
    fn values_cannot_inject() {
        let set = |settings: &Settings| change(&Settings::default(), settings);
        assert_eq!(
            set(&config("a", "x'; drop table t; --\\")),
            ["SET \"a\" TO  E'x''; drop table t; --\\\\';"]
        );
        assert_eq!(
            set(&settings(&[("a\"; drop table t; --.b", "1")])),
            ["?SET \"a\"\"; drop table t; --\".\"b\" TO 1;"]
        );
    }
}
