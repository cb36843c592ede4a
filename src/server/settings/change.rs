//! The SQL that turns a server with some settings into one with others.

use super::{DATE_STYLE, IDENTITY, NOBODY, OURS, Settings, Value};
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

/// The parameter that says how the texts of queries are encoded.
const ENCODING: &str = "client_encoding";

/// Parameters that say how long what follows may take.
const LIMITS: [&str; 2] = ["statement_timeout", "transaction_timeout"];

const AUTHORIZATION: &str = IDENTITY[0];
const ROLE: &str = IDENTITY[1];

type Difference<'a> = (&'a str, Option<&'a Value>);

impl Settings {
    /// Calls `query` with each query that a server with `self` needs to become one with `wanted`, one after the other;
    /// never if it needs none. `sql` is where they are written, and empty before and after.
    ///
    /// Where statements do not run as who has logged in, that one sets them, and becomes somebody else at the end: what a
    /// superuser may set the role that came after it need not be allowed to set, nor to reset (`set_config_option` in
    /// `src/backend/utils/misc/guc.c` asks who runs the statement).
    ///
    /// Parameters that an extension may have a say in go by RESET ALL, which needs no privilege: a RESET of one alone may
    /// be refused, and leave another client's value.
    pub fn change(&self, wanted: &Self, sql: &mut Vec<u8>, mut query: impl FnMut(Part, &[u8])) {
        let mut flush = |part, sql: &mut Vec<u8>| {
            if !sql.is_empty() {
                query(part, sql);
                sql.clear();
            }
        };
        let kept = self.loses_customs(wanted).then(|| self.identity());
        self.lift_limits(wanted, sql);
        if kept.is_some() {
            sql.extend_from_slice(b"RESET ALL;");
        }
        let had = kept.as_ref().unwrap_or(self);
        if had.get(ENCODING) != wanted.get(ENCODING) {
            assignment(sql, ENCODING, wanted.get(ENCODING));
        }
        if self.get(ENCODING) != wanted.get(ENCODING) {
            // A query is converted as a whole, before any of it runs.
            flush(Part::Own, sql);
        }
        let (limits, others): (Vec<_>, Vec<_>) =
            had.differences(wanted).partition(|(name, _)| LIMITS.contains(name));
        let (customs, own): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|(name, _)| name.contains('.'));
        let becomes_oneself = had.get(AUTHORIZATION) != wanted.get(AUTHORIZATION)
            || !(customs.is_empty() && own.is_empty()) && self.is_or_becomes_somebody_else(wanted);
        if becomes_oneself {
            had.log_in_again(sql);
        }
        for (name, value) in own {
            had.assign_anew(name, value, sql);
        }
        if !customs.is_empty() {
            flush(Part::Own, sql);
        }
        for (name, value) in customs {
            assignment(sql, name, value);
            flush(Part::Custom, sql);
        }
        if becomes_oneself {
            wanted.become_somebody_else(sql);
        } else if had.get(ROLE) != wanted.get(ROLE) {
            assignment(sql, ROLE, wanted.get(ROLE));
        }
        for (name, value) in limits {
            assignment(sql, name, value);
        }
        flush(Part::Own, sql);
    }

    /// Appends the SQL that sets all of them on a fresh server, in one.
    pub fn assign_all(&self, out: &mut Vec<u8>) {
        let fresh = Self::default();
        let named = |name| self.get(name).map(|value| (name, Some(value)));
        let (limits, others): (Vec<_>, Vec<_>) =
            fresh.differences(self).partition(|(name, _)| LIMITS.contains(name));
        let all = named(ENCODING).into_iter().chain(others);
        for (name, value) in all.chain(IDENTITY.into_iter().filter_map(named)).chain(limits) {
            assignment(out, name, value);
        }
    }

    /// Whether a server with `self` has a value of an extension's parameter, or of one that is made up, that is not wanted.
    fn loses_customs(&self, wanted: &Self) -> bool {
        self.iter().any(|(name, value)| {
            name.contains('.') && !name.starts_with(OURS) && wanted.get(name) != Some(value)
        })
    }

    /// What RESET ALL leaves (`GUC_NO_RESET_ALL` in `src/backend/utils/misc/guc_tables.c`).
    fn identity(&self) -> Self {
        let mut identity = Self::default();
        for name in IDENTITY {
            identity.set(name, self.get(name).cloned());
        }
        identity
    }

    /// What must change but for the identity and the encoding.
    fn differences<'a>(&'a self, wanted: &'a Self) -> impl Iterator<Item = Difference<'a>> {
        let gone = self.iter().filter(|(name, _)| wanted.get(name).is_none());
        let new = wanted.iter().filter(|(name, value)| self.get(name) != Some(value));
        gone.map(|(name, _)| (name, None))
            .chain(new.map(|(name, value)| (name, Some(value))))
            .filter(|(name, _)| !name.starts_with(OURS) && *name != ENCODING)
            .filter(|(name, _)| !IDENTITY.contains(name))
    }

    /// Appends what gives the changes the time that they take, if limits of time are among several of them. The old ones would
    /// hold for all: another client's may be a millisecond. Each statement of a query has the limits that it finds
    /// (`start_xact_command` in `src/backend/tcop/postgres.c`), and the new ones come last.
    fn lift_limits(&self, wanted: &Self, out: &mut Vec<u8>) {
        let is_limit = |name: &str| LIMITS.contains(&name);
        let [ours, theirs] = [self, wanted]
            .map(|all| all.iter().filter(|(name, _)| !is_limit(name) && !name.starts_with(OURS)));
        if ours.eq(theirs) {
            return;
        }
        for name in LIMITS {
            if self.get(name).is_some() && self.get(name) != wanted.get(name) {
                assignment(out, name, Some(&Value::Config("0".into())));
            }
        }
    }

    /// Appends what makes statements run as who has logged in, whatever role its own settings say.
    fn log_in_again(&self, out: &mut Vec<u8>) {
        if self.get(AUTHORIZATION).is_some() {
            assignment(out, AUTHORIZATION, None);
        }
        assignment(out, ROLE, Some(&Value::Config(NOBODY.into())));
    }

    /// Appends what makes statements that run as who has logged in run as whom these settings say.
    fn become_somebody_else(&self, out: &mut Vec<u8>) {
        let authorization = self.get(AUTHORIZATION);
        if authorization.is_some() {
            assignment(out, AUTHORIZATION, authorization);
        }
        match self.get(ROLE) {
            Some(Value::Config(role)) if **role == *NOBODY => {}
            None if authorization.is_some() => {}
            role => assignment(out, ROLE, role),
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
        let from = settings(&[("plpgsql.x", "1"), ("a", "1"), ("b", "1")]);
        let to = settings(&[("a", "2"), ("b", "1"), ("my.own", "3")]);
        assert_eq!(
            change(&from, &to),
            ["RESET ALL;SET \"a\" TO 2;SET \"b\" TO 1;", "?SET \"my\".\"own\" TO 3;"]
        );
        // What nobody had before need not be reset.
        assert_eq!(
            change(&settings(&[("a", "1")]), &to),
            ["SET \"a\" TO 2;SET \"b\" TO 1;", "?SET \"my\".\"own\" TO 3;"]
        );
        let role = settings(&[("my.own", "4"), ("role", "r")]);
        assert_eq!(
            change(&to, &role),
            [
                "RESET ALL;SET \"role\" TO 'none';",
                "?SET \"my\".\"own\" TO 4;",
                "SET \"role\" TO r;"
            ]
        );
    }

    #[test]
    fn limits_of_time_are_lifted_first_and_set_last() {
        let from =
            settings(&[("statement_timeout", "1"), ("transaction_timeout", "2"), ("z", "1")]);
        let to = settings(&[("statement_timeout", "3"), ("transaction_timeout", "2"), ("z", "2")]);
        let changed =
            "SET \"statement_timeout\" TO '0';SET \"z\" TO 2;SET \"statement_timeout\" TO 3;";
        assert_eq!(change(&from, &to), [changed]);
        let gone = "SET \"statement_timeout\" TO '0';SET \"transaction_timeout\" TO '0';RESET \"z\";\
             RESET \"statement_timeout\";RESET \"transaction_timeout\";";
        assert_eq!(change(&from, &Settings::default()), [gone]);
        let new = "SET \"z\" TO 2;SET \"statement_timeout\" TO 3;SET \"transaction_timeout\" TO 2;";
        assert_eq!(change(&Settings::default(), &to), [new]);
        let mut sql = Vec::new();
        to.assign_all(&mut sql);
        assert_eq!(str::from_utf8(&sql), Ok(new));
        let from = settings(&[("a.b", "1"), ("role", "r"), ("statement_timeout", "1")]);
        let to = settings(&[("c.d", "2"), ("role", "s"), ("statement_timeout", "2")]);
        assert_eq!(
            change(&from, &to),
            [
                "SET \"statement_timeout\" TO '0';RESET ALL;SET \"role\" TO 'none';",
                "?SET \"c\".\"d\" TO 2;",
                "SET \"role\" TO s;SET \"statement_timeout\" TO 2;"
            ]
        );
    }

    #[test]
    fn who_has_logged_in_sets_and_resets() {
        let role = |role| settings(&[("a", "1"), ("role", role)]);
        assert_eq!(change(&role("r"), &role("s")), ["SET \"role\" TO s;"]);
        assert_eq!(change(&role("r"), &settings(&[("a", "1")])), ["RESET \"role\";"]);
        assert_eq!(
            change(&role("r"), &settings(&[("role", "r")])),
            ["SET \"role\" TO 'none';RESET \"a\";SET \"role\" TO r;"]
        );
        let all = settings(&[("b", "1"), ("role", "r"), ("session_authorization", "u")]);
        assert_eq!(
            change(&role("r"), &all),
            ["SET \"role\" TO 'none';RESET \"a\";SET \"b\" TO 1;\
              SET \"session_authorization\" TO u;SET \"role\" TO r;"]
        );
        // The role's own settings may say another than none.
        assert_eq!(
            change(&all, &Settings::default()),
            ["RESET \"session_authorization\";SET \"role\" TO 'none';RESET \"b\";RESET \"role\";"]
        );
        let mut none = config("role", "none");
        assert_eq!(change(&Settings::default(), &none), ["SET \"role\" TO 'none';"]);
        let before = none.clone();
        none.set("a", Some(Value::Sql("1".into())));
        assert_eq!(change(&before, &none), ["SET \"a\" TO 1;"]);
        assert_eq!(change(&Settings::default(), &none), ["SET \"role\" TO 'none';SET \"a\" TO 1;"]);
        let mut sql = Vec::new();
        all.assign_all(&mut sql);
        let expected = "SET \"b\" TO 1;SET \"session_authorization\" TO u;SET \"role\" TO r;";
        assert_eq!(str::from_utf8(&sql), Ok(expected));
    }

    #[test]
    fn the_encoding_goes_in_front_of_texts_that_are_written_in_it() {
        let mut from = config("client_encoding", "latin1");
        let to = config("search_path", "sch\u{e9}ma");
        let path = "SELECT pg_catalog.set_config('search_path','sch\u{e9}ma',false);";
        assert_eq!(change(&from, &to), ["RESET \"client_encoding\";", path]);
        assert_eq!(
            change(&to, &from),
            ["SET \"client_encoding\" TO 'latin1';", "RESET \"search_path\";"]
        );
        from.set("my.own", Some(Value::Sql("1".into())));
        assert_eq!(change(&from, &to), ["RESET ALL;", path]);
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
