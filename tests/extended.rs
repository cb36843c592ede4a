//! The extended protocol: batches, pipelines, portals.

use crate::support::prelude::*;
use crate::support::scripted;

scripted!(
    parse_describe_flush_then_bind_in_a_second_round,
    a_statement_without_rows_is_described,
    several_syncs_may_be_in_flight,
    a_flush_without_a_sync_keeps_the_server,
    a_suspended_portal_keeps_the_server_until_sync,
    closing_a_portal_leaves_the_statement_of_that_name,
    an_error_skips_to_sync_and_later_batches_run,
    an_error_is_passed_on_before_the_sync_comes,
    a_query_behind_a_batch_without_sync_is_skipped_with_it,
    a_query_may_follow_a_batch_without_a_sync,
    a_sync_in_a_transaction_goes_to_the_server,
    a_portal_lives_until_the_transaction_ends;
    split
    an_unnamed_statement_runs,
    a_batch_of_close_messages_needs_no_server,
    a_lone_sync_needs_no_server,
);

/// What answers [`run_unnamed`].
fn ran() -> [Frame; 5] {
    [parse_complete(), bind_complete(), row("1"), complete("SELECT 1"), idle()]
}

async fn an_unnamed_statement_runs(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send(run_unnamed("select 1")).await;
    server.answer(run_unnamed("select 1"), ran()).await;
    client.expect(ran()).await;
}

async fn parse_describe_flush_then_bind_in_a_second_round(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    let first = [parse("", "select $1"), describe_statement(""), flush()];
    let described = [parse_complete(), parameter_description(), columns()];
    client.send(&first).await;
    server.answer(&first, &described).await;
    client.expect(&described).await;
    other.send([query("select 2")]).await;
    stage.waiting(1).await;
    let second = [bind_values("", "", &["1"]), execute(""), sync()];
    let ran = [bind_complete(), row("1"), complete("SELECT 1"), idle()];
    client.send(&second).await;
    server.answer(&second, &ran).await;
    client.expect(&ran).await;
    server.answer([query("select 2")], one_row("2")).await;
    other.expect(one_row("2")).await;
}

async fn several_syncs_may_be_in_flight(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    let batches = ["select 1", "select 2", "select 3"].map(run_unnamed);
    client.send(batches.concat()).await;
    server.expect(batches.concat()).await;
    other.send([query("select 4")]).await;
    stage.waiting(1).await;
    for _ in batches {
        server.reply(ran()).await;
        client.expect(ran()).await;
    }
    server.answer([query("select 4")], one_row("4")).await;
    other.expect(one_row("4")).await;
}

async fn a_flush_without_a_sync_keeps_the_server(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    let batch = [parse("", "select 1"), bind("", ""), execute(""), flush()];
    client.send(&batch).await;
    server.answer(&batch, &ran()[..4]).await;
    client.expect(&ran()[..4]).await;
    other.send([query("select 2")]).await;
    stage.waiting(1).await;
    client.send([sync()]).await;
    server.answer([sync()], [idle()]).await;
    client.expect([idle()]).await;
    server.answer([query("select 2")], one_row("2")).await;
    other.expect(one_row("2")).await;
}

async fn a_batch_of_close_messages_needs_no_server(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let mut client = stage.client().await;
    let batch = [close_statement("a"), close_portal("b"), close_statement(""), sync()];
    client.ask(batch, [close_complete(), close_complete(), close_complete(), idle()]).await;
    let mut server = stage.primary.accept().await;
    client.send([query("select 1")]).await;
    server.expect([query("select 1")]).await;
}

async fn a_statement_without_rows_is_described(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    let sent = [
        parse("", "insert into t values (1)"),
        describe_statement(""),
        bind("", ""),
        describe_portal(""),
        execute(""),
        sync(),
    ];
    let answer = [
        parse_complete(),
        parameter_description(),
        no_data(),
        bind_complete(),
        no_data(),
        complete("INSERT 0 1"),
        idle(),
    ];
    client.send(&sent).await;
    server.answer(&sent, &answer).await;
    client.expect(&answer).await;
}

async fn a_lone_sync_needs_no_server(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let mut client = stage.client().await;
    client.ask([sync(), flush(), sync()], [idle(), idle()]).await;
    let mut server = stage.primary.accept().await;
    client.send([query("select 1")]).await;
    server.expect([query("select 1")]).await;
}

async fn a_suspended_portal_keeps_the_server_until_sync(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    let batch = [parse("", "select 1"), bind("p", ""), execute_rows("p", 1), flush()];
    let answer = [parse_complete(), bind_complete(), row("1"), suspended()];
    client.send(&batch).await;
    look_at_portal(&mut server, &batch, &answer).await;
    client.expect(&answer).await;
    other.send([query("select 2")]).await;
    stage.waiting(1).await;
    let more = [execute_rows("p", 1), sync()];
    client.send(&more).await;
    server.answer(&more, [row("2"), suspended(), idle()]).await;
    client.expect([row("2"), suspended(), idle()]).await;
    server.answer([query("select 2")], one_row("2")).await;
    other.expect(one_row("2")).await;
}

/// The server gets `batch`, and before it binds a portal with a name it is asked what that is going to show.
async fn look_at_portal(server: &mut Server, batch: &[Frame], answer: &[Frame]) {
    server.expect([&batch[..1], &[describe_statement("")], &batch[1..]].concat()).await;
    let described = [parameter_description(), columns()];
    server.reply([&answer[..1], &described, &answer[1..]].concat()).await;
}

async fn closing_a_portal_leaves_the_statement_of_that_name(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([parse("a", "select 1"), sync()]).await;
    server.answer([parse("pgl_1", "select 1"), sync()], [parse_complete(), idle()]).await;
    client.expect([parse_complete(), idle()]).await;
    client.ask([close_portal("a"), sync()], [close_complete(), idle()]).await;
    client.send(run_named("a")).await;
    server.answer(run_named("pgl_1"), &ran()[1..]).await;
    client.expect(&ran()[1..]).await;
}

async fn an_error_skips_to_sync_and_later_batches_run(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    let batches = ["select nope", "select 2"].map(run_unnamed);
    client.send(batches.concat()).await;
    server.expect(batches.concat()).await;
    server.reply([error("42703"), idle()]).await;
    server.reply(ran()).await;
    client.expect([error("42703"), idle()]).await;
    client.expect(ran()).await;
    // Nothing is left over.
    client.send([query("select 3")]).await;
    server.answer([query("select 3")], one_row("3")).await;
    client.expect(one_row("3")).await;
}

async fn an_error_is_passed_on_before_the_sync_comes(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    let first = [parse("", "select nope"), flush()];
    client.send(&first).await;
    server.answer(&first, [error("42703")]).await;
    client.expect([error("42703")]).await;
    // The server would ignore these: they do not even reach it.
    client.send([bind("", ""), execute(""), sync()]).await;
    server.answer([sync()], [idle()]).await;
    client.expect([idle()]).await;
    client.send([query("select 1")]).await;
    server.answer([query("select 1")], one_row("1")).await;
    client.expect(one_row("1")).await;
}

async fn a_query_behind_a_batch_without_sync_is_skipped_with_it(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    let sent = [parse("", "select nope"), query("select 1"), sync()];
    client.send(&sent).await;
    server.answer(&sent, [error("42703"), idle()]).await;
    client.expect([error("42703"), idle()]).await;
    client.send([query("select 2")]).await;
    server.answer([query("select 2")], one_row("2")).await;
    client.expect(one_row("2")).await;
}

async fn a_query_may_follow_a_batch_without_a_sync(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    let sent = [parse("", "select 1"), bind("", ""), execute(""), query("select 2")];
    client.send(&sent).await;
    server.expect(&sent).await;
    server.reply(&ran()[..4]).await;
    server.reply(one_row("2")).await;
    client.expect(&ran()[..4]).await;
    client.expect(one_row("2")).await;
    // ReadyForQuery has been seen: the server is free.
    let mut other = stage.client().await;
    other.send([query("select 3")]).await;
    server.answer([query("select 3")], one_row("3")).await;
    other.expect(one_row("3")).await;
}

async fn a_sync_in_a_transaction_goes_to_the_server(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("begin")]).await;
    server.answer([query("begin")], [complete("BEGIN"), in_transaction()]).await;
    client.expect([complete("BEGIN"), in_transaction()]).await;
    client.send([sync()]).await;
    server.answer([sync()], [in_transaction()]).await;
    client.expect([in_transaction()]).await;
}

async fn a_portal_lives_until_the_transaction_ends(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("begin")]).await;
    server.answer([query("begin")], [complete("BEGIN"), in_transaction()]).await;
    client.expect([complete("BEGIN"), in_transaction()]).await;
    let batch = [parse("", "select 1"), bind("p", ""), execute_rows("p", 1), sync()];
    let answer = [parse_complete(), bind_complete(), row("1"), suspended(), in_transaction()];
    client.send(&batch).await;
    look_at_portal(&mut server, &batch, &answer).await;
    client.expect(&answer).await;
    let more = [describe_portal("p"), execute("p"), close_portal("p"), sync()];
    let answer = [columns(), complete("SELECT 0"), close_complete(), in_transaction()];
    client.send(&more).await;
    server.answer(&more, &answer).await;
    client.expect(&answer).await;
}
