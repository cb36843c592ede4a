use std::sync::Arc;

use std::time::Duration;

use super::*;
use crate::cluster::testing;
use crate::config::Consistency;
use crate::server::settings::literal;
use crate::session::parameters::{Commits, Parameters};

fn ask_of(text: &str, commits: Commits) -> Ask {
    let cluster = testing::cluster(&[], Routing::default());
    let routing = Routing::default();
    ask(
        text.as_bytes(),
        &Circumstances {
            cluster: &cluster,
            routing: &routing,
            commits,
            side: crate::session::succession::Side::Primary(crate::cluster::Term::default()),
        },
    )
}

fn fault(text: &str) -> (String, String) {
    match ask_of(text, Commits::Flushed) {
        Ask::Fault(fault) => (fault.code.as_str().to_owned(), fault.message),
        other => panic!("{other:?}"),
    }
}

/// The changes and answer that a text asks for.
fn ours(text: &str) -> (Vec<Change>, Answer) {
    match ask_of(text, Commits::Flushed) {
        Ask::Ours(changes, answer) => (changes, answer),
        other => panic!("{other:?}"),
    }
}

/// What a session that runs these texts, each a transaction of its own, then sees of a parameter.
fn shown(texts: &[&str], name: &str) -> Option<String> {
    let mut parameters = Parameters::new(Arc::default());
    let mut out = Vec::new();
    for text in texts {
        let (changes, answer) = ours(text);
        parameters.owe(changes, answer);
        parameters.answer_query(crate::protocol::TransactionStatus::Idle, &mut out);
    }
    match parameters.in_force().get(name)? {
        Value::Config(value) | Value::Sql(value) => Some(value.to_string()),
    }
}

#[test]
fn values_are_kept_in_one_form() {
    for (text, name, value) in [
        ("SET pglagoon.consistency = 'Strong'", "pglagoon.consistency", "strong"),
        ("set \"pglagoon\".Consistency to eventual;", "pglagoon.consistency", "eventual"),
        ("SET SESSION pglagoon.max_lag = 1500", "pglagoon.max_lag", "1500ms"),
        ("SET pglagoon.max_lag = '2000 ms'", "pglagoon.max_lag", "2s"),
        ("SET pglagoon.monotonic = yes", "pglagoon.monotonic", "on"),
        ("SET pglagoon.explain = 0", "pglagoon.explain", "off"),
        ("SET pglagoon.group = 'User:42'", "pglagoon.group", "User:42"),
        ("select set_config('pglagoon.route', 'PRIMARY', false)", "pglagoon.route", "primary"),
        ("SET pglagoon.after = '1-7-1-16/b374d848'", "pglagoon.after", "1-7-00000001-16/B374D848"),
        ("SET pglagoon.after = ''", "pglagoon.after", ""),
    ] {
        assert_eq!(shown(&[text], name).as_deref(), Some(value), "{text}");
    }
}

#[test]
fn what_is_reset_or_local_is_not_set() {
    let name = "pglagoon.group";
    assert_eq!(shown(&["SET pglagoon.group = a", "RESET pglagoon.group"], name), None);
    assert_eq!(shown(&["SET pglagoon.group = a", "SET pglagoon.group TO DEFAULT"], name), None);
    assert_eq!(shown(&["SET LOCAL pglagoon.group = a"], name), None);
}

#[test]
fn what_cannot_be_is_refused_in_the_words_of_postgres() {
    for (text, code, message) in [
        (
            "SET pglagoon.consistency = 'lax'",
            "22023",
            "invalid value for parameter \"pglagoon.consistency\": \"lax\"",
        ),
        (
            "SET pglagoon.explain = 2",
            "22023",
            "parameter \"pglagoon.explain\" requires a Boolean value",
        ),
        (
            "SET pglagoon.max_lag = '5 parsecs'",
            "22023",
            "invalid value for parameter \"pglagoon.max_lag\": \"5 parsecs\"",
        ),
        (
            "SET pglagoon.max_lag = 0",
            "22023",
            "invalid value for parameter \"pglagoon.max_lag\": \"0\"",
        ),
        (
            "SET pglagoon.after = 'x'",
            "22023",
            "invalid value for parameter \"pglagoon.after\": \"x\"",
        ),
        ("SET pglagoon.token = 'x'", "55P02", "parameter \"pglagoon.token\" cannot be changed"),
        ("RESET pglagoon.token", "55P02", "parameter \"pglagoon.token\" cannot be changed"),
        (
            "SHOW pglagoon.tokens",
            "42704",
            "unrecognized configuration parameter \"pglagoon.tokens\"",
        ),
        ("SET pglagoon.x = 1", "42704", "unrecognized configuration parameter \"pglagoon.x\""),
        (
            "SET pglagoon.group = a; SELECT 1",
            "0A000",
            "parameters of pgLagoon and other statements cannot be in one text",
        ),
    ] {
        assert_eq!(fault(text), (code.to_owned(), message.to_owned()), "{text}");
    }
}

#[test]
fn a_fault_is_reported_by_a_server_in_the_same_words() {
    let fault = Fault {
        code: SqlState::INVALID_PARAMETER_VALUE,
        message: "it's \\ wrong".to_owned(),
        hint: "",
    };
    let sql = String::from_utf8(fault.sql()).unwrap();
    let wrong = r#"MESSAGE = E"it""s \\ wrong""#;
    let expected =
        format!("BEGIN RAISE EXCEPTION USING ERRCODE ='22023', {}; END", wrong.replace('"', "'"));
    let mut quoted = b"DO ".to_vec();
    literal(&mut quoted, &expected);
    let expected = String::from_utf8(quoted).unwrap();
    assert_eq!(sql, expected);
}

#[test]
fn show_shows_the_session_s_value_or_the_configuration_s() {
    let (_, answer) = ours("show pglagoon.MAX_LAG");
    let mut out = Vec::new();
    answer.execute(None, &mut out);
    assert!(out.windows(2).any(|pair| pair == b"1s"), "{out:?}");
    out.clear();
    answer.execute(Some("2h"), &mut out);
    assert!(out.windows(2).any(|pair| pair == b"2h"), "{out:?}");
}

#[test]
fn a_token_is_a_question_to_the_primary() {
    for (commits, function) in [
        (Commits::Flushed, "pg_current_wal_flush_lsn"),
        (Commits::Perhaps, "pg_current_wal_insert_lsn"),
    ] {
        let Ask::Server(sql) = ask_of("SHOW pglagoon.token", commits) else { panic!() };
        assert!(String::from_utf8(sql).unwrap().contains(function));
    }
}

#[test]
fn a_comment_asks_as_a_parameter_does() {
    let sql = b"/* pglagoon: consistency=strong, max_lag = '200ms' */ select 1";
    let asked = asks(sql).unwrap();
    assert_eq!(asked.consistency, Some(Consistency::Strong));
    assert_eq!(asked.max_lag, Some(Duration::from_millis(200)));
    for wrong in ["consistency=x", "max_lag=0", "x=1", "after=1"] {
        assert_eq!(asks(format!("/* pglagoon: {wrong} */ select 1").as_bytes()), None, "{wrong}");
    }
    let mut both = asked;
    both.join(&Asks {
        consistency: Some(Consistency::Session),
        max_lag: Some(Duration::from_millis(50)),
        after: None,
    });
    assert_eq!(both.consistency, Some(Consistency::Strong));
    assert_eq!(both.max_lag, Some(Duration::from_millis(50)));
}

#[test]
fn startup_parameters_are_taken_out_and_checked() {
    let cluster = testing::cluster(&[], Routing::default());
    let mut settings = Settings::default();
    settings.set("datestyle", Some(Value::Config("ISO".into())));
    settings.set("pglagoon.consistency", Some(Value::Config("STRONG".into())));
    let ours = split_off(&mut settings, &cluster).unwrap();
    assert!(settings.get("pglagoon.consistency").is_none() && settings.get("datestyle").is_some());
    let strong = Value::Config("strong".into());
    assert_eq!(ours.iter().collect::<Vec<_>>(), [("pglagoon.consistency", &strong)]);
    settings.set("pglagoon.nonsense", Some(Value::Config("1".into())));
    assert_eq!(split_off(&mut settings, &cluster).unwrap_err().code, SqlState::UNDEFINED_OBJECT);
}
