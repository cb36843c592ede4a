use super::*;

fn one(sql: &str) -> Option<(Scope, Action)> {
    let mut found = changes(sql.as_bytes())?;
    let Change { scope, action } = found.pop()?;
    found.is_empty().then_some((scope, action))
}

#[test]
fn every_form_of_set_has_a_name_and_a_value() {
    for (sql, name, value) in [
        ("SET work_mem = '1MB'", "work_mem", "'1MB'"),
        ("set session Work_Mem to 64;", "work_mem", "64"),
        ("set a.B to -1.5", "a.b", "-1.5"),
        ("set \"DateStyle\" = ISO, DMY", "datestyle", "ISO, DMY"),
        ("set search_path to \"$user\" , public /* x */", "search_path", "\"$user\", public"),
        ("set x = E'\\'a'", "x", "E'\\'a'"),
        ("set time zone 'Europe/Paris'", "timezone", "'Europe/Paris'"),
        ("set time zone -7", "timezone", "-7"),
        (
            "set time zone interval '-08:00' hour to minute",
            "timezone",
            "interval '-08:00' hour to minute",
        ),
        ("set time zone interval '1' /* x */ hour", "timezone", "interval '1' hour"),
        ("set timezone = 'UTC'", "timezone", "'UTC'"),
        ("set names 'UTF8'", "client_encoding", "'UTF8'"),
        ("set schema 'a'", "search_path", "'a'"),
        ("set role Alice", "role", "Alice"),
        ("set role none", "role", "none"),
        ("set role to 'alice'", "role", "'alice'"),
        ("set session authorization 'bob'", "session_authorization", "'bob'"),
        ("set xml option document", "xmloption", "document"),
        (
            "set session characteristics as transaction read only",
            "default_transaction_read_only",
            "on",
        ),
        (
            "set session characteristics as transaction isolation level repeatable read",
            "default_transaction_isolation",
            "'repeatable read'",
        ),
    ] {
        assert_eq!(one(sql), Some((Scope::Session, Action::set(name, value))), "{sql}");
    }
}

#[test]
fn scopes_resets_and_defaults() {
    let reset = Action::reset;
    for (sql, scope, action) in [
        ("set local a = b", Scope::Local, Action::set("a", "b")),
        ("set local role x", Scope::Local, Action::set("role", "x")),
        ("set local time zone 'UTC'", Scope::Local, Action::set("timezone", "'UTC'")),
        ("set a to default", Scope::Session, reset("a")),
        ("set time zone local", Scope::Session, reset("timezone")),
        ("set names", Scope::Session, reset("client_encoding")),
        ("set session authorization default", Scope::Session, reset("session_authorization")),
        ("reset a.b", Scope::Session, reset("a.b")),
        ("RESET TIME ZONE", Scope::Session, reset("timezone")),
        ("reset role", Scope::Session, reset("role")),
        ("reset session authorization", Scope::Session, reset("session_authorization")),
        ("reset all", Scope::Session, Action::ResetAll),
        ("set transaction isolation level serializable", Scope::Local, Action::Transaction),
        ("set local transaction read only", Scope::Local, Action::Transaction),
        ("set transaction snapshot '1'", Scope::Local, Action::Transaction),
        ("set transaction_read_only = on", Scope::Local, Action::Transaction),
    ] {
        assert_eq!(one(sql), Some((scope, action)), "{sql}");
    }
}

#[test]
fn a_lone_set_config_is_a_setting_statement() {
    let config =
        |name: &str, value: &str| Action::Config { name: name.into(), value: value.into() };
    assert_eq!(
        one("select pg_catalog.set_config('A.b', 'it''s', false) as x;"),
        Some((Scope::Session, config("a.b", "it's")))
    );
    let several = changes(b"select set_config('a', 'b', true), set_config('c', 'd', false)");
    assert_eq!(
        several,
        Some(vec![
            Change::new(Scope::Local, config("a", "b")),
            Change::new(Scope::Session, config("c", "d")),
        ])
    );
    let reset = Some((Scope::Local, Action::reset("a")));
    assert_eq!(one("select set_config('A', NULL, true)"), reset);
}

#[test]
fn what_comes_by_bind_is_known_when_it_has_come() {
    let text = |text: &str| Some(Operand::Text(text.to_owned()));
    let bind = |sql: &str| {
        let values = |number| match number {
            1 => text("Role"),
            2 => text("alice"),
            3 => Some(Operand::Null),
            _ => None,
        };
        let found = changes(sql.as_bytes())?.into_iter();
        found.map(|change| change.bind(values)).collect::<Option<Vec<Change>>>()
    };
    let config = |scope, name: &str, value: &str| {
        Change::new(scope, Action::Config { name: name.into(), value: value.into() })
    };
    let (local, session) = (Scope::Local, Scope::Session);
    for (sql, expected) in [
        ("select set_config('role', $2, true)", Some(config(local, "role", "alice"))),
        ("select set_config($1::text, $2, false)", Some(config(session, "role", "alice"))),
        ("select set_config('A', $3, false)", Some(Change::new(session, Action::reset("a")))),
        ("select set_config('a', $4, true)", Some(Change::new(local, Action::Hidden))),
        ("select set_config('A', $4, false)", Some(Change::new(session, unseen("a")))),
        ("select set_config('a', $1::int, false)", Some(Change::new(session, unseen("a")))),
        ("select set_config($4, $1, false)", None),
        ("select set_config('pglagoon.x', $4, false)", None),
    ] {
        assert_eq!(bind(sql), expected.map(|change| vec![change]), "{sql}");
    }
}

#[test]
fn what_ends_with_the_transaction_may_stand_anywhere() {
    let hidden = Some((Scope::Local, Action::Hidden));
    for sql in [
        "with a as (select set_config('a', 'b', true)) select * from a, t",
        "select set_config(el->>0, el->>1, true) from json_array_elements($1::json) el",
        "select 1, pg_catalog.\"set_config\"('a', f(b, c[1, 2]), TRUE) from t where set_config(a, b, true) = ''",
        "insert into t select set_config('a', set_config('b', c, true), true)",
    ] {
        assert_eq!(one(sql), hidden, "{sql}");
    }
    for sql in [
        "select set_config(a, set_config(b, c, false), true)",
        "select set_config(a, b, true or c), 1",
        "select set_config(a, b, is_local => true), 1",
        "select set_config(a, b, (true)), 1",
        "select set_config('a', 'b', true), set_config(a, b, c)",
        "select set_config from t where f(true)",
    ] {
        assert_eq!(one(sql), None, "{sql}");
    }
}

fn unseen(name: &str) -> Action {
    Action::Unseen { name: name.into() }
}

#[test]
fn what_is_set_somehow_is_known_by_name() {
    for sql in [
        "with x as (select set_config('A', 'b', false)) select * from x",
        "select set_config('a', b, true or c), 1",
        "select set_config('a', b, is_local => true), 1",
        "select set_config('a', b, (true)), 1",
        "select set_config('a', 'b', $1)",
        "select set_config('a'::text, E'b', false)",
        "select set_config('a', 'b' || 'c', false)",
        "select set_config('a', 'b', false) from t",
        "select set_config('a', 'b', false), 1",
        "select lower(set_config('a', 'b', false))",
        "insert into t select \"set_config\"('a', b, false), set_config('a', c, false)",
    ] {
        assert_eq!(one(sql), Some((Scope::Session, unseen("a"))), "{sql}");
    }
    let several = changes(b"select set_config('a', set_config('b', c, false), true)");
    let hidden = Change::new(Scope::Local, Action::Hidden);
    assert_eq!(several, Some(vec![hidden, Change::new(Scope::Session, unseen("b"))]));
    for sql in [
        "select set_config('transaction_read_only', 'on', false)",
        "select set_config('transaction_read_only', a, false)",
    ] {
        assert_eq!(one(sql), Some((Scope::Local, Action::Transaction)), "{sql}");
    }
    for sql in [
        "select set_config('seed', '0.5', false)",
        "select set_config('Seed', a, false)",
        "select set_config('session_authorization', a, false)",
        "select set_config('pglagoon.x', a, false)",
        "select set_config('a' || b, c, false)",
        "select set_config('a' collate \"C\", c, false)",
    ] {
        assert_eq!(one(sql), None, "{sql}");
    }
}

#[test]
fn several_statements_are_read_in_order() {
    let found = changes(b"set a = 1; set local b = 2; reset c;").unwrap();
    assert_eq!(found.len(), 3);
    let both = changes(b"set session characteristics as transaction read write, deferrable");
    assert_eq!(both.map(|found| found.len()), Some(2));
}

#[test]
fn what_is_not_understood_is_refused_as_a_whole() {
    for sql in [
        "",
        "select 1",
        "set a = 1; select 1",
        "begin; set a = 1",
        "set a = 1 + 1",
        "set a = f(x)",
        "set a",
        "set a =",
        "set a = 'b' 'c'",
        "set a from current",
        "set a = U&'x'",
        "set U&\"a\" = 'x'",
        "set seed to 0.5",
        "set constraints all deferred",
        "set timezone to a, b",
        "set local.x = 1",
        "set session.x = 1",
        "set transaction nonsense",
        "set session characteristics as transaction nonsense",
        "set time zone interval '1' 2",
        "reset",
        "reset a b",
        "set a = 'unterminated",
    ] {
        assert_eq!(changes(sql.as_bytes()), None, "{sql}");
    }
}

#[test]
fn other_statements_hide_no_change_of_a_text() {
    let all = |sql: &str| changes_among(sql.as_bytes());
    let reset = Some(vec![Change::new(Scope::Session, Action::ResetAll)]);
    assert_eq!(all("SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;"), reset);
    let set = Change::new(Scope::Local, Action::set("a.b", "1"));
    assert_eq!(all("set constraints all deferred; set local a.b = 1; select 2"), Some(vec![set]));
    // Changes that are understood by halves.
    assert_eq!(all("reset all; select set_config(a, b, false) from t"), None);
    assert_eq!(all("select 1; set = 2"), None);
    assert_eq!(all("select 1"), None);
}
