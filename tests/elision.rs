//! A text that is parsed again and again without a name: parsed once, and then only bound.

use std::time::Duration;

use crate::support::prelude::*;
use crate::support::scripted;

scripted!(
    a_text_that_comes_again_is_given_a_name_and_then_only_bound,
    the_unnamed_statement_can_be_described,
    a_text_that_comes_once_is_passed_as_it_is,
    what_has_no_plan_is_passed_as_it_is,
    it_can_be_switched_off,
    other_settings_make_another_statement,
    after_ddl_texts_are_parsed_again,
    on_a_server_with_something_temporary_texts_are_parsed_again,
    in_a_failed_transaction_a_known_text_is_refused_like_any_other,
    a_parse_that_fails_the_second_time_leaves_nothing,
    an_error_before_the_answer_skips_it,
    a_stale_plan_is_made_anew_and_nobody_notices,
    a_client_that_relies_on_the_old_columns_is_told,
    a_stale_plan_in_a_transaction_is_made_anew_for_the_next;
    split elided
);

/// A stage with one server, where plans never get too old.
async fn stage(delivery: Delivery) -> Stage {
    Stage::with(delivery, |config| {
        config.pool.default_pool_size = 1;
        config.pool.plan_reuse = Some(Duration::from_hours(1));
    })
    .await
}

fn ran() -> [Frame; 4] {
    [bind_complete(), row("1"), complete("SELECT 1"), idle()]
}

fn parsed_and_ran() -> Vec<Frame> {
    [&[parse_complete()], &ran()[..]].concat()
}

/// The client runs `sql` without a name; the server gets `sent` and answers `answer`.
async fn run(
    (client, server): (&mut Client, &mut Server),
    sql: &str,
    (sent, answer): (Vec<Frame>, Vec<Frame>),
) {
    client.send(run_unnamed(sql)).await;
    server.answer(sent, answer).await;
    client.expect(parsed_and_ran()).await;
}

fn as_it_is(sql: &str) -> (Vec<Frame>, Vec<Frame>) {
    (run_unnamed(sql).to_vec(), parsed_and_ran())
}

/// The server gives the text a name, and forgets that it was its unnamed statement.
fn named(sql: &str, name: &str) -> (Vec<Frame>, Vec<Frame>) {
    let sent = [&[close_statement(""), parse(name, sql)], &run_named(name)[..]].concat();
    (sent, [&[close_complete()], &parsed_and_ran()[..]].concat())
}

fn bound(name: &str) -> (Vec<Frame>, Vec<Frame>) {
    (run_named(name).to_vec(), ran().to_vec())
}

/// `sql` has a name on the server from here on.
async fn learn(client: &mut Client, server: &mut Server, sql: &str, name: &str) {
    run((client, server), sql, as_it_is(sql)).await;
    run((client, server), sql, named(sql, name)).await;
}

async fn ask(client: &mut Client, server: &mut Server, sql: &str, answer: &[Frame]) {
    client.send([query(sql)]).await;
    server.answer([query(sql)], answer).await;
    client.expect(answer).await;
}

async fn elided(delivery: Delivery) {
    let mut stage = stage(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    learn(&mut client, &mut server, "select 1", "pgl_1").await;
    run((&mut client, &mut server), "select 1", bound("pgl_1")).await;
}

async fn a_text_that_comes_again_is_given_a_name_and_then_only_bound(delivery: Delivery) {
    let mut stage = stage(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    run((&mut client, &mut server), "select 1", as_it_is("select 1")).await;
    run((&mut other, &mut server), "select 1", named("select 1", "pgl_1")).await;
    for _ in 0..3 {
        run((&mut client, &mut server), "select 1", bound("pgl_1")).await;
        run((&mut other, &mut server), "select 1", bound("pgl_1")).await;
    }
    // It is the client's unnamed statement, and ends as such.
    client.send(run_named("")).await;
    server.answer(run_named("pgl_1"), ran()).await;
    client.expect(ran()).await;
    ask(&mut client, &mut server, "select 2", &one_row("2")).await;
    client.send(run_named("")).await;
    server.answer(run_named(""), [error("26000"), idle()]).await;
    client.expect([error("26000"), idle()]).await;
}

async fn the_unnamed_statement_can_be_described(delivery: Delivery) {
    let mut stage = stage(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    learn(&mut client, &mut server, "select 1", "pgl_1").await;
    client.send([parse("", "select 1"), describe_statement(""), sync()]).await;
    let described = [parameter_description(), columns(), idle()];
    server.answer([describe_statement("pgl_1"), sync()], &described).await;
    client.expect([&[parse_complete()], &described[..]].concat()).await;
    client
        .send([bind("", ""), describe_portal(""), execute(""), close_statement(""), sync()])
        .await;
    let sent = [bind("", "pgl_1"), describe_portal(""), execute(""), sync()];
    let answer = [bind_complete(), columns(), row("1"), complete("SELECT 1")];
    server.answer(sent, [&answer[..], &[idle()]].concat()).await;
    client.expect([&answer[..], &[close_complete(), idle()]].concat()).await;
}

async fn a_text_that_comes_once_is_passed_as_it_is(delivery: Delivery) {
    let mut stage = stage(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    for n in 0..4 {
        let sql = format!("select {n}");
        run((&mut client, &mut server), &sql, as_it_is(&sql)).await;
    }
}

async fn what_has_no_plan_is_passed_as_it_is(delivery: Delivery) {
    let mut stage = stage(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    for sql in ["vacuum", "select 'now'::timestamptz", "truncate t"] {
        for _ in 0..3 {
            run((&mut client, &mut server), sql, as_it_is(sql)).await;
        }
    }
}

async fn it_can_be_switched_off(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| {
        config.pool.plan_reuse = Some(Duration::from_hours(1));
        config.users.get_mut("app").unwrap().overrides.plan_reuse = Some(None);
    })
    .await;
    let (mut client, mut server) = stage.pair().await;
    for _ in 0..3 {
        run((&mut client, &mut server), "select 1", as_it_is("select 1")).await;
    }
}

async fn other_settings_make_another_statement(delivery: Delivery) {
    let mut stage = stage(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    learn(&mut client, &mut server, "select 1", "pgl_1").await;
    ask(&mut client, &mut server, "set search_path to a", &[complete("SET"), idle()]).await;
    run((&mut client, &mut server), "select 1", as_it_is("select 1")).await;
    run((&mut client, &mut server), "select 1", named("select 1", "pgl_2")).await;
    run((&mut client, &mut server), "select 1", bound("pgl_2")).await;
    ask(&mut client, &mut server, "set application_name to x", &[complete("SET"), idle()]).await;
    run((&mut client, &mut server), "select 1", bound("pgl_2")).await;
    // The other has what it had.
    other.send(run_unnamed("select 1")).await;
    let reset = query("RESET \"application_name\";RESET \"search_path\";");
    server.expect([&[reset], &run_named("pgl_1")[..]].concat()).await;
    server.reply([complete("RESET"), complete("RESET"), idle()]).await;
    server.reply(ran()).await;
    other.expect(parsed_and_ran()).await;
}

async fn after_ddl_texts_are_parsed_again(delivery: Delivery) {
    let mut stage = stage(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    let create = "create table a (b int)";
    learn(&mut client, &mut server, "select 1", "pgl_1").await;
    ask(&mut other, &mut server, "begin", &[complete("BEGIN"), in_transaction()]).await;
    ask(&mut other, &mut server, create, &[complete("CREATE TABLE"), in_transaction()]).await;
    // Its own session sees the change before it is committed.
    other.send(run_unnamed("select 1")).await;
    let answer = [parse_complete(), bind_complete(), complete("SELECT 0"), in_transaction()];
    server.answer(run_unnamed("select 1"), &answer).await;
    other.expect(&answer).await;
    ask(&mut other, &mut server, "commit", &[complete("COMMIT"), idle()]).await;
    learn(&mut client, &mut server, "select 1", "pgl_2").await;
    run((&mut client, &mut server), "select 1", bound("pgl_2")).await;
}

async fn on_a_server_with_something_temporary_texts_are_parsed_again(delivery: Delivery) {
    let mut stage = stage(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    learn(&mut client, &mut server, "select * from t", "pgl_1").await;
    let create = "create temp table t (a int)";
    ask(&mut client, &mut server, create, &[complete("CREATE TABLE"), idle()]).await;
    // The server is asked what the client has there: temporary objects.
    let question = server.next().await;
    assert!(String::from_utf8_lossy(&question.body).contains("pg_my_temp_schema"));
    server.reply([values(&["f", "t", "f", "f"]), complete("SELECT 1"), idle()]).await;
    for _ in 0..2 {
        run((&mut client, &mut server), "select * from t", as_it_is("select * from t")).await;
    }
    // Also one with a name of the client's.
    client.send([parse("a", "select * from t"), sync()]).await;
    let sent = [parse("pgl_2", "select * from t"), sync()];
    server.answer(sent, [parse_complete(), idle()]).await;
    client.expect([parse_complete(), idle()]).await;
}

async fn in_a_failed_transaction_a_known_text_is_refused_like_any_other(delivery: Delivery) {
    let mut stage = stage(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    learn(&mut client, &mut server, "select 1", "pgl_1").await;
    ask(&mut client, &mut server, "begin", &[complete("BEGIN"), in_transaction()]).await;
    ask(&mut client, &mut server, "select nope", &[error("42703"), failed()]).await;
    client.send(run_unnamed("select 1")).await;
    server.answer(run_unnamed("select 1"), [error("25P02"), failed()]).await;
    client.expect([error("25P02"), failed()]).await;
    client.send([parse("a", "select 1"), sync()]).await;
    server.answer([parse("pgl_2", "select 1"), sync()], [error("25P02"), failed()]).await;
    client.expect([error("25P02"), failed()]).await;
    // The name that was given up goes before the next statement.
    client.send([query("rollback")]).await;
    server.expect([close_statement("pgl_1"), query("rollback")]).await;
    server.reply([close_complete(), complete("ROLLBACK"), idle()]).await;
    client.expect([complete("ROLLBACK"), idle()]).await;
}

async fn a_parse_that_fails_the_second_time_leaves_nothing(delivery: Delivery) {
    let mut stage = stage(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    run((&mut client, &mut server), "select a", as_it_is("select a")).await;
    client.send(run_unnamed("select a")).await;
    server.answer(named("select a", "pgl_1").0, [close_complete(), error("42703"), idle()]).await;
    client.expect([error("42703"), idle()]).await;
    // PostgreSQL drops the unnamed statement before a Parse can fail.
    client.send(run_named("")).await;
    server.expect([&[close_statement("")], &run_named("")[..]].concat()).await;
    server.reply([close_complete(), error("26000"), idle()]).await;
    client.expect([error("26000"), idle()]).await;
    client.send(run_unnamed("select a")).await;
    let sent = [&[parse("pgl_2", "select a")], &run_named("pgl_2")[..]].concat();
    server.answer(sent, parsed_and_ran()).await;
    client.expect(parsed_and_ran()).await;
}

async fn an_error_before_the_answer_skips_it(delivery: Delivery) {
    let mut stage = stage(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    learn(&mut client, &mut server, "select 1", "pgl_1").await;
    let failing = [parse("a", "select nope"), parse("", "select 1"), bind("", ""), sync()];
    client.send(failing).await;
    server.expect([parse("pgl_2", "select nope"), bind("", "pgl_1"), sync()]).await;
    server.reply([error("42703"), idle()]).await;
    client.expect([error("42703"), idle()]).await;
}

fn stale() -> Frame {
    report("ERROR", "0A000", "RevalidateCachedQuery")
}

async fn a_stale_plan_is_made_anew_and_nobody_notices(delivery: Delivery) {
    let mut stage = stage(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    learn(&mut client, &mut server, "select 1", "pgl_1").await;
    client.send(run_unnamed("select 1")).await;
    server.answer(run_named("pgl_1"), [stale(), idle()]).await;
    let again = [&[close_statement("pgl_1"), parse("pgl_2", "select 1")], &run_named("pgl_2")[..]];
    server.answer(again.concat(), [&[close_complete()], &parsed_and_ran()[..]].concat()).await;
    client.expect(parsed_and_ran()).await;
    // The same for a name of the client's, if it asks what the columns are.
    client.send([parse("a", "select 1"), sync()]).await;
    server.answer([sync()], [idle()]).await;
    client.expect([parse_complete(), idle()]).await;
    let run = |name| [bind("", name), describe_portal(""), execute(""), sync()];
    let answer = [bind_complete(), columns(), row("1"), complete("SELECT 1"), idle()];
    client.send(run("a")).await;
    server.answer(run("pgl_2"), [stale(), idle()]).await;
    let again = [&[close_statement("pgl_2"), parse("pgl_3", "select 1")], &run("pgl_3")[..]];
    let reply = [&[close_complete(), parse_complete()], &answer[..]].concat();
    server.answer(again.concat(), reply).await;
    client.expect(answer).await;
}

async fn a_client_that_relies_on_the_old_columns_is_told(delivery: Delivery) {
    let mut stage = stage(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([parse("a", "select 1"), sync()]).await;
    server.answer([parse("pgl_1", "select 1"), sync()], [parse_complete(), idle()]).await;
    client.expect([parse_complete(), idle()]).await;
    client.send(run_named("a")).await;
    server.answer(run_named("pgl_1"), [stale(), idle()]).await;
    client.expect([stale(), idle()]).await;
    // Whoever parses it now gets what is true now.
    client.send([parse("b", "select 1"), sync()]).await;
    server.expect([close_statement("pgl_1"), parse("pgl_2", "select 1"), sync()]).await;
    server.reply([close_complete(), parse_complete(), idle()]).await;
    client.expect([parse_complete(), idle()]).await;
}

async fn a_stale_plan_in_a_transaction_is_made_anew_for_the_next(delivery: Delivery) {
    let mut stage = stage(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    learn(&mut client, &mut server, "select 1", "pgl_1").await;
    ask(&mut client, &mut server, "begin", &[complete("BEGIN"), in_transaction()]).await;
    client.send(run_unnamed("select 1")).await;
    server.answer(run_named("pgl_1"), [stale(), failed()]).await;
    client.expect([parse_complete(), stale(), failed()]).await;
    client.send([query("rollback")]).await;
    server.expect([close_statement("pgl_1"), query("rollback")]).await;
    server.reply([close_complete(), complete("ROLLBACK"), idle()]).await;
    client.expect([complete("ROLLBACK"), idle()]).await;
    client.send(run_unnamed("select 1")).await;
    let sent = [&[parse("pgl_2", "select 1")], &run_named("pgl_2")[..]].concat();
    server.answer(sent, parsed_and_ran()).await;
    client.expect(parsed_and_ran()).await;
}
