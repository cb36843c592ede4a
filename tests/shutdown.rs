//! SIGTERM's drain: who is between two transactions goes at once, who is in one may finish it.

use std::time::Duration;

use crate::support::prelude::*;
use crate::support::scripted;

scripted!(
    an_idle_client_is_told_57p01,
    a_transaction_may_finish,
    a_query_may_finish,
    a_client_that_waits_for_a_server_gets_it,
    the_grace_period_ends
);

async fn farewell(client: &mut Client) {
    client.expect([fatal("57P01")]).await;
    client.expect_closed().await;
}

async fn an_idle_client_is_told_57p01(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("select 1")]).await;
    server.answer([query("select 1")], one_row("1")).await;
    client.expect(one_row("1")).await;
    let mut silent = stage.client().await;
    stage.drain().await;
    farewell(&mut client).await;
    farewell(&mut silent).await;
}

async fn a_transaction_may_finish(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    let mut idler = stage.client().await;
    client.send([query("begin")]).await;
    server.answer([query("begin")], [complete("BEGIN"), in_transaction()]).await;
    client.expect([complete("BEGIN"), in_transaction()]).await;
    let finishing = async {
        farewell(&mut idler).await;
        client.send([query("insert into t values (1)")]).await;
        let inserted = [complete("INSERT 0 1"), in_transaction()];
        server.answer([query("insert into t values (1)")], &inserted).await;
        client.expect(inserted).await;
        client.send([query("commit")]).await;
        server.answer([query("commit")], [complete("COMMIT"), idle()]).await;
        client.expect([complete("COMMIT"), idle()]).await;
        // Without being asked anything more.
        farewell(&mut client).await;
    };
    futures_util::future::join(stage.drain(), finishing).await;
}

async fn a_query_may_finish(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    let mut idler = stage.client().await;
    client.send([query("select 1")]).await;
    server.expect([query("select 1")]).await;
    let finishing = async {
        farewell(&mut idler).await;
        server.reply(one_row("1")).await;
        client.expect(one_row("1")).await;
        farewell(&mut client).await;
    };
    futures_util::future::join(stage.drain(), finishing).await;
}

async fn a_client_that_waits_for_a_server_gets_it(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    let mut waiting = stage.client().await;
    let mut idler = stage.client().await;
    client.send([query("select 1")]).await;
    server.expect([query("select 1")]).await;
    waiting.send([query("select 2")]).await;
    stage.waiting(1).await;
    let finishing = async {
        farewell(&mut idler).await;
        server.reply(one_row("1")).await;
        client.expect(one_row("1")).await;
        farewell(&mut client).await;
        server.answer([query("select 2")], one_row("2")).await;
        waiting.expect(one_row("2")).await;
        farewell(&mut waiting).await;
    };
    futures_util::future::join(stage.drain(), finishing).await;
}

async fn the_grace_period_ends(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| {
        config.timeouts.shutdown_grace = Duration::from_millis(50);
    })
    .await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("begin")]).await;
    server.answer([query("begin")], [complete("BEGIN"), in_transaction()]).await;
    client.expect([complete("BEGIN"), in_transaction()]).await;
    stage.drain().await;
    farewell(&mut client).await;
}
