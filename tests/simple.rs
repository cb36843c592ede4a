//! The simple protocol, and what a server may say at any moment.

use crate::support::prelude::*;
use crate::support::scripted;

scripted!(
    several_statements_are_answered_each,
    a_function_call_is_answered_with_its_own_ready_for_query,
    the_status_of_ready_for_query_is_the_servers,
    a_transaction_keeps_its_server,
    asynchronous_messages_pass_at_any_moment,
    a_notice_to_an_idle_server_reaches_nobody,
    queries_in_flight_are_answered_in_order,
    an_error_is_passed_on_and_the_next_query_runs;
    split a_query_is_answered, a_query_without_a_statement_needs_no_server, statements_in_front_of_terminate_are_finished
);

async fn a_query_is_answered(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("select 1")]).await;
    server.answer([query("select 1")], one_row("x")).await;
    client.expect(one_row("x")).await;
}

async fn a_query_without_a_statement_needs_no_server(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.ask([query("")], [empty_query(), idle()]).await;
    client.ask([query(" ; -- nothing\n")], [empty_query(), idle()]).await;
    client.send([query("select 2")]).await;
    server.expect([query("select 2")]).await;
}

async fn several_statements_are_answered_each(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    let sql = "insert into t values (1); select 1; ";
    let answer =
        [complete("INSERT 0 1"), columns(), row("1"), complete("SELECT 1"), empty_query(), idle()];
    client.send([query(sql)]).await;
    server.answer([query(sql)], &answer).await;
    client.expect(&answer).await;
}

async fn a_function_call_is_answered_with_its_own_ready_for_query(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([function_call(), function_call()]).await;
    server.answer([function_call()], [function_result(), idle()]).await;
    server.answer([function_call()], [error("42883"), idle()]).await;
    client.expect([function_result(), idle(), error("42883"), idle()]).await;
    // The server is free again.
    let mut other = stage.client().await;
    other.send([query("select 1")]).await;
    server.answer([query("select 1")], one_row("1")).await;
    other.expect(one_row("1")).await;
}

async fn the_status_of_ready_for_query_is_the_servers(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    for (sql, tag, status) in [
        ("begin", "BEGIN", in_transaction()),
        ("commit and chain", "COMMIT", in_transaction()),
        ("commit", "COMMIT", idle()),
    ] {
        client.send([query(sql)]).await;
        server.answer([query(sql)], [complete(tag), status.clone()]).await;
        client.expect([complete(tag), status]).await;
    }
}

async fn a_transaction_keeps_its_server(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut first, mut server) = stage.pair().await;
    let mut second = stage.client().await;
    first.send([query("begin")]).await;
    server.answer([query("begin")], [complete("BEGIN"), in_transaction()]).await;
    first.expect([complete("BEGIN"), in_transaction()]).await;
    second.send([query("select 2")]).await;
    stage.waiting(1).await;
    first.send([query("select 1")]).await;
    server.answer([query("select 1")], [error("42P01"), failed()]).await;
    first.expect([error("42P01"), failed()]).await;
    first.send([query("commit")]).await;
    server.answer([query("commit")], [complete("ROLLBACK"), idle()]).await;
    first.expect([complete("ROLLBACK"), idle()]).await;
    server.answer([query("select 2")], one_row("2")).await;
    second.expect(one_row("2")).await;
}

async fn asynchronous_messages_pass_at_any_moment(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    let answer = [
        notice("first"),
        columns(),
        notification("c"),
        row("1"),
        parameter("TimeZone", "PST8PDT"),
        complete("SELECT 1"),
        notice("last"),
        in_transaction(),
    ];
    client.send([query("begin; select 1")]).await;
    server.answer([query("begin; select 1")], &answer).await;
    client.expect(&answer).await;
    // In a transaction that is idle: nothing has been asked.
    for message in [notice("idle"), notification("d"), parameter("DateStyle", "German, DMY")] {
        server.reply([message.clone()]).await;
        client.expect([message]).await;
    }
    client.send([query("commit")]).await;
    server.answer([query("commit")], [complete("COMMIT"), idle()]).await;
    client.expect([complete("COMMIT"), idle()]).await;
}

async fn a_notice_to_an_idle_server_reaches_nobody(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    server.reply([notice("for nobody")]).await;
    stage.settle(&mut client).await;
    client.send([query("select 1")]).await;
    // What has spoken without being asked is not trusted any more.
    let mut fresh = stage.primary.accept().await;
    fresh.answer([query("select 1")], one_row("1")).await;
    client.expect(one_row("1")).await;
    server.expect_closed().await;
}

async fn queries_in_flight_are_answered_in_order(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    let queries = ["insert into t values (1)", "select 2", "select 3"].map(query);
    client.send(&queries).await;
    for frame in queries {
        server.answer([frame], one_row("x")).await;
        client.expect(one_row("x")).await;
    }
}

async fn an_error_is_passed_on_and_the_next_query_runs(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("select nope")]).await;
    server.answer([query("select nope")], [error("42703"), idle()]).await;
    client.expect([error("42703"), idle()]).await;
    client.send([query("select 1")]).await;
    server.answer([query("select 1")], one_row("1")).await;
    client.expect(one_row("1")).await;
}

async fn statements_in_front_of_terminate_are_finished(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("begin"), terminate()]).await;
    server.answer([query("begin")], [complete("BEGIN"), in_transaction()]).await;
    server.answer([query("ROLLBACK")], [complete("ROLLBACK"), idle()]).await;
    server.answer([query("DISCARD ALL")], [complete("DISCARD ALL"), idle()]).await;
    let mut other = stage.client().await;
    other.send([query("select 1")]).await;
    server.answer([query("select 1")], one_row("1")).await;
    other.expect(one_row("1")).await;
}
