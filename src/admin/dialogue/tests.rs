use super::*;
use crate::admin::testing::Sample;
use crate::protocol::ErrorFields;

/// What an operator is answered, message by message.
async fn answers(user: &str, frames: &[u8]) -> (Vec<(BackendTag, Vec<u8>)>, Sample) {
    let sample = Sample::default();
    let mut dialogue = Dialogue::new(&sample, user);
    let (mut out, mut rest) = (Vec::new(), frames);
    while let Some(header) = frame::header(rest).unwrap() {
        let (one, tail) = rest.split_at(header.size);
        dialogue.on_frame(one, &mut out).await;
        rest = tail;
    }
    drop(dialogue);
    let (mut messages, mut rest) = (Vec::new(), &*out);
    while let Some(header) = frame::header(rest).unwrap() {
        let (one, tail) = rest.split_at(header.size);
        messages.push((BackendTag(header.tag), frontend::body(one).to_vec()));
        rest = tail;
    }
    (messages, sample)
}

fn tags(messages: &[(BackendTag, Vec<u8>)]) -> String {
    messages.iter().map(|(tag, _)| char::from(tag.0)).collect()
}

fn query(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    frontend::query(&mut out, text.as_bytes());
    out
}

/// Parse, Bind (with this result format), Describe, Execute of at most so many rows, Sync.
fn extended(text: &str, format: u8, max_rows: u32) -> Vec<u8> {
    let mut out = Vec::new();
    frontend::parse(&mut out, b"s", text.as_bytes(), &[0, 0]);
    frontend::describe(&mut out, Object::Statement, b"s");
    frontend::bind(&mut out, b"", b"s", &[0, 0, 0, 0, 0, 1, 0, format]);
    frontend::describe(&mut out, Object::Portal, b"");
    frontend::execute(&mut out, b"", max_rows);
    frontend::sync(&mut out);
    out
}

#[tokio::test]
async fn a_simple_show_is_answered_with_rows() {
    let (messages, _) = answers("watch", &query("SHOW POOLS; show version;")).await;
    assert_eq!(tags(&messages), "TDDCTDCZ");
    let row = backend::read_data_row(&messages[1].1).unwrap();
    assert_eq!((row[0], row[2]), (Some(&b"app"[..]), Some(&b"6"[..])));
    assert_eq!(messages[3].1, b"SHOW\0");
}

#[tokio::test]
async fn nothing_is_answered_with_nothing() {
    for text in ["", ";", "-- ping", " /* x */ "] {
        assert_eq!(tags(&answers("watch", &query(text)).await.0), "IZ", "{text:?}");
        let frames = extended(text, 0, 0);
        assert_eq!(tags(&answers("watch", &frames).await.0), "1tn2nIZ", "{text:?}");
    }
}

#[tokio::test]
async fn the_extended_protocol_answers_in_the_format_that_was_asked_for() {
    let (messages, _) = answers("watch", &extended("SHOW LISTS", 1, 0)).await;
    assert!(tags(&messages).starts_with("1tT2TD") && tags(&messages).ends_with("DCZ"));
    let row = backend::read_data_row(&messages[5].1).unwrap();
    assert_eq!(row, [Some(&b"databases"[..]), Some(&1_i64.to_be_bytes()[..])]);
    let description = &messages[4].1;
    assert_eq!(description[description.len() - 2..], [0, 1], "the format code of the last column");
}

#[tokio::test]
async fn a_portal_is_suspended_and_goes_on() {
    let mut frames = extended("SHOW POOLS", 0, 1);
    frames.truncate(frames.len() - 5);
    frontend::execute(&mut frames, b"", 1);
    frontend::sync(&mut frames);
    assert_eq!(tags(&answers("watch", &frames).await.0), "1tT2TDsDCZ");
}

#[tokio::test]
async fn an_error_skips_to_sync_and_the_next_batch_is_served() {
    let mut frames = extended("SELECT 1", 0, 0);
    frames.extend(extended("SHOW VERSION", 0, 0));
    let (messages, _) = answers("watch", &frames).await;
    assert_eq!(tags(&messages), "EZ1tT2TDCZ");
    let error = ErrorFields(&messages[0].1);
    assert_eq!(error.code(), Some(SqlState::SYNTAX_ERROR));
    assert!(error.field(b'H').is_some());
}

#[tokio::test]
async fn only_admin_users_change_things() {
    let (messages, sample) = answers("watch", &query("PAUSE app")).await;
    assert_eq!(ErrorFields(&messages[0].1).code(), Some(SqlState::INSUFFICIENT_PRIVILEGE));
    assert!(sample.orders.borrow().is_empty());
    let (messages, sample) = answers("root", &query("PAUSE app; RESUME")).await;
    assert_eq!(tags(&messages), "CCZ");
    let orders = [(Order::Pause, Some("app".to_owned())), (Order::Resume, None)];
    assert_eq!(*sample.orders.borrow(), orders);
    let (messages, _) = answers("root", &query("RECONNECT nowhere")).await;
    assert_eq!(ErrorFields(&messages[0].1).code(), Some(SqlState::UNDEFINED_DATABASE));
    let (messages, _) = answers("nobody", &query("SHOW VERSION")).await;
    assert_eq!(ErrorFields(&messages[0].1).code(), Some(SqlState::INSUFFICIENT_PRIVILEGE));
}

#[tokio::test]
async fn a_reload_that_fails_says_what_is_wrong() {
    let (messages, _) = answers("watch", &query("RELOAD")).await;
    assert_eq!(ErrorFields(&messages[0].1).code(), Some(SqlState::INSUFFICIENT_PRIVILEGE));
    let (messages, _) = answers("root", &query("RELOAD app")).await;
    assert_eq!(ErrorFields(&messages[0].1).code(), Some(SqlState::SYNTAX_ERROR));
    let (messages, _) = answers("root", &query("RELOAD")).await;
    let error = ErrorFields(&messages[0].1);
    assert_eq!(error.code(), Some(SqlState::CONFIG_FILE_ERROR));
    let message = String::from_utf8_lossy(error.field(b'M').unwrap());
    assert!(message.ends_with("1 problem; line 3: there is no such key"), "{message}");
}

#[tokio::test]
async fn help_is_a_notice_and_rows_and_drivers_preludes_are_ignored() {
    let (messages, _) = answers("watch", &query("SHOW HELP")).await;
    assert!(tags(&messages).starts_with("NTD"));
    let (messages, _) = answers("watch", &query("SET extra_float_digits = 3; BEGIN; COMMIT")).await;
    assert_eq!(tags(&messages), "CCCZ");
}

#[tokio::test]
async fn broken_and_foreign_messages_are_errors() {
    let mut frames = Vec::new();
    frame::write(&mut frames, FrontendTag::BIND.0, |body| body.push(b'x'));
    frontend::sync(&mut frames);
    frame::write(&mut frames, FrontendTag::FUNCTION_CALL.0, |_| {});
    frontend::sync(&mut frames);
    let (messages, _) = answers("watch", &frames).await;
    assert_eq!(tags(&messages), "EZEZ");
}
