//! Limits: each answers with its SQLSTATE, and names itself.

use std::time::Duration;

use pglagoon::config::Config;

use crate::support::client::APP;
use crate::support::prelude::*;
use crate::support::scripted;

scripted!(
    query_wait_timeout_is_53300,
    the_session_goes_on_after_query_wait_timeout,
    max_waiting_is_53300,
    max_client_connections_is_53300,
    a_cancel_request_is_let_in_beyond_max_client_connections,
    client_caps_of_user_and_database_are_53300,
    server_caps_hold_over_all_pools,
    idle_transaction_timeout_is_25p03,
    being_busy_or_between_transactions_is_no_offence,
    query_timeout_is_57014_and_cancels,
    transaction_timeout_is_25p04,
    client_idle_timeout_is_57p05,
    prepared_statement_bytes_is_53400
);

const SHORT: Duration = Duration::from_millis(100);

async fn begin(client: &mut Client, server: &mut Server) {
    client.send([query("begin")]).await;
    server.answer([query("begin")], [complete("BEGIN"), in_transaction()]).await;
    client.expect([complete("BEGIN"), in_transaction()]).await;
}

/// An error with this code that names the limit.
async fn refused(client: &mut Client, code: &str, limit: &str) {
    let frame = client.next().await;
    assert_eq!(frame.field(b'C').as_deref(), Some(code), "{frame:?}");
    assert!(frame.field(b'M').unwrap().contains(limit), "{frame:?}");
}

/// Logs in and is refused.
async fn log_in_refused(stage: &Stage, limit: &str) {
    let mut client = stage.dial().await;
    client.wire.send_bytes(&startup(V3_0, &APP)).await;
    refused(&mut client, "53300", limit).await;
    client.expect_closed().await;
}

async fn query_wait_timeout_is_53300(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| {
        config.pool.default_pool_size = 1;
        config.pool.query_wait_timeout = Some(SHORT);
    })
    .await;
    let (mut client, mut server) = stage.pair().await;
    begin(&mut client, &mut server).await;
    let mut waiting = stage.client().await;
    for sent in [vec![query("select 2")], run_unnamed("select 2").to_vec()] {
        waiting.send(sent).await;
        refused(&mut waiting, "53300", "query_wait_timeout").await;
        waiting.expect([idle()]).await;
    }
}

async fn the_session_goes_on_after_query_wait_timeout(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| {
        config.pool.default_pool_size = 1;
        config.pool.query_wait_timeout = Some(SHORT);
    })
    .await;
    let (mut client, mut server) = stage.pair().await;
    begin(&mut client, &mut server).await;
    let mut waiting = stage.client().await;
    // Old bytes must not run with what comes later.
    waiting.send([parse("a", "select 2"), bind("", "a"), execute(""), sync()]).await;
    refused(&mut waiting, "53300", "query_wait_timeout").await;
    waiting.expect([idle()]).await;
    client.send([query("commit")]).await;
    server.answer([query("commit")], [complete("COMMIT"), idle()]).await;
    client.expect([complete("COMMIT"), idle()]).await;
    waiting.send([query("select 3")]).await;
    server.answer([query("select 3")], one_row("3")).await;
    waiting.expect(one_row("3")).await;
    waiting.send(run_named("a")).await;
    server.answer(run_named("a"), [error("26000"), idle()]).await;
    waiting.expect([error("26000"), idle()]).await;
}

async fn max_waiting_is_53300(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| {
        config.pool.default_pool_size = 1;
        config.pool.max_waiting = 1;
    })
    .await;
    let (mut client, mut server) = stage.pair().await;
    begin(&mut client, &mut server).await;
    let (mut waiting, mut third) = (stage.client().await, stage.client().await);
    waiting.send([query("select 2")]).await;
    stage.waiting(1).await;
    for sent in [vec![query("select 3")], run_unnamed("select 3").to_vec()] {
        third.send(sent).await;
        refused(&mut third, "53300", "pool.max_waiting").await;
        third.expect([idle()]).await;
    }
    client.send([query("commit")]).await;
    server.answer([query("commit")], [complete("COMMIT"), idle()]).await;
    client.expect([complete("COMMIT"), idle()]).await;
    server.answer([query("select 2")], one_row("2")).await;
    waiting.expect(one_row("2")).await;
    third.send([query("select 4")]).await;
    server.answer([query("select 4")], one_row("4")).await;
    third.expect(one_row("4")).await;
}

async fn max_client_connections_is_53300(delivery: Delivery) {
    let stage = Stage::with(delivery, |config| config.listen.max_client_connections = 2).await;
    let first = stage.client().await;
    let _second = stage.client().await;
    log_in_refused(&stage, "listen.max_client_connections").await;
    drop(first);
    eventually("there is room", || stage.clients() == 1).await;
    stage.client().await;
}

async fn a_cancel_request_is_let_in_beyond_max_client_connections(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.listen.max_client_connections = 1).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("select 1")]).await;
    server.expect([query("select 1")]).await;
    client.ask_to_cancel().await;
    stage.primary.cancel().await;
}

async fn client_caps_of_user_and_database_are_53300(delivery: Delivery) {
    let cap_user = |config: &mut Config| {
        let user = config.users.get_mut("app").unwrap();
        user.overrides.max_client_connections = Some(Some(1));
    };
    let stage = Stage::with(delivery.clone(), cap_user).await;
    let _client = stage.client().await;
    log_in_refused(&stage, "max_client_connections of the user").await;
    let cap_database = |config: &mut Config| {
        let database = config.databases.get_mut("app").unwrap();
        database.overrides.max_client_connections = Some(Some(1));
    };
    let stage = Stage::with(delivery, cap_database).await;
    let _client = stage.client().await;
    log_in_refused(&stage, "max_client_connections of the database").await;
}

async fn server_caps_hold_over_all_pools(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| {
        let database = config.databases.get_mut("app").unwrap();
        database.overrides.max_connections = Some(Some(1));
        let user = config.users["app"].clone();
        config.users.insert("other".to_owned(), user);
    })
    .await;
    let (mut client, mut server) = stage.pair().await;
    begin(&mut client, &mut server).await;
    let mut other = stage.dial().await;
    other.wire.send_bytes(&startup(V3_0, &[("user", "other"), ("database", "app")])).await;
    stage.settle(&mut stage.client().await).await;
    stage.primary.expect_nobody();
    client.send([query("commit")]).await;
    server.answer([query("commit")], [complete("COMMIT"), idle()]).await;
    client.expect([complete("COMMIT"), idle()]).await;
    // The idle server of one user makes room for the other's.
    other.read_greeting().await;
    server.expect_closed().await;
}

async fn idle_transaction_timeout_is_25p03(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| {
        config.pool.default_pool_size = 1;
        config.timeouts.idle_transaction_timeout = Some(SHORT);
    })
    .await;
    let (mut client, mut server) = stage.pair().await;
    begin(&mut client, &mut server).await;
    refused(&mut client, "25P03", "idle_transaction_timeout").await;
    client.expect_closed().await;
    server.answer([query("ROLLBACK")], [complete("ROLLBACK"), idle()]).await;
    server.answer([query("DISCARD ALL")], [complete("DISCARD ALL"), idle()]).await;
}

async fn being_busy_or_between_transactions_is_no_offence(delivery: Delivery) {
    let mut stage =
        Stage::with(delivery, |config| config.timeouts.idle_transaction_timeout = Some(SHORT))
            .await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("select 1")]).await;
    server.expect([query("select 1")]).await;
    let mut idler = stage.client().await;
    // The time of one that came after them is over.
    let mut other = stage.client().await;
    other.send([query("begin")]).await;
    let mut second = stage.primary.accept().await;
    second.answer([query("begin")], [complete("BEGIN"), in_transaction()]).await;
    other.expect([complete("BEGIN"), in_transaction()]).await;
    refused(&mut other, "25P03", "idle_transaction_timeout").await;
    server.reply(one_row("1")).await;
    client.expect(one_row("1")).await;
    stage.settle(&mut idler).await;
}

async fn query_timeout_is_57014_and_cancels(delivery: Delivery) {
    let mut stage =
        Stage::with(delivery, |config| config.timeouts.query_timeout = Some(SHORT)).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("select 1")]).await;
    server.expect([query("select 1")]).await;
    refused(&mut client, "57014", "query_timeout").await;
    client.expect_closed().await;
    drop(stage.primary.cancel().await);
    server.expect_closed().await;
}

async fn transaction_timeout_is_25p04(delivery: Delivery) {
    let mut stage =
        Stage::with(delivery, |config| config.timeouts.transaction_timeout = Some(SHORT)).await;
    let (mut client, mut server) = stage.pair().await;
    begin(&mut client, &mut server).await;
    refused(&mut client, "25P04", "transaction_timeout").await;
    client.expect_closed().await;
    server.expect([query("ROLLBACK")]).await;
}

async fn client_idle_timeout_is_57p05(delivery: Delivery) {
    let mut stage =
        Stage::with(delivery, |config| config.timeouts.client_idle_timeout = Some(SHORT)).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("select 1")]).await;
    server.answer([query("select 1")], one_row("1")).await;
    client.expect(one_row("1")).await;
    refused(&mut client, "57P05", "client_idle_timeout").await;
    client.expect_closed().await;
    // Also one that has never asked anything.
    let mut silent = stage.client().await;
    refused(&mut silent, "57P05", "client_idle_timeout").await;
    silent.expect_closed().await;
}

async fn prepared_statement_bytes_is_53400(delivery: Delivery) {
    let mut stage =
        Stage::with(delivery, |config| config.limits.prepared_statement_bytes = 40).await;
    let (mut client, mut server) = stage.pair().await;
    begin(&mut client, &mut server).await;
    client.send([parse("a", "select 1"), flush()]).await;
    server.expect([parse("pgl_1", "select 1"), flush()]).await;
    server.reply([parse_complete()]).await;
    client.expect([parse_complete()]).await;
    client.send([parse("b", "select 'and much more of the same'")]).await;
    refused(&mut client, "53400", "prepared_statement_bytes").await;
    client.expect_closed().await;
}
