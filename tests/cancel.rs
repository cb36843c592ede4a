//! Cancel requests.

use std::time::Duration;

use crate::support::prelude::*;
use crate::support::scripted;

scripted!(
    a_cancel_is_passed_on_with_the_servers_own_key,
    a_wrong_key_cancels_nothing,
    a_client_that_waits_is_taken_out_of_the_queue,
    a_server_is_not_handed_on_before_its_cancel_connection_has_closed,
    a_cancel_that_has_failed_may_be_repeated,
    a_cancel_that_came_too_early_is_repeated,
    what_has_begun_to_answer_is_cancelled_once,
    a_late_cancel_hits_nobody,
    what_is_cancelled_while_it_waits_has_one_end,
    the_clients_cancel_connection_ends_when_the_servers_has,
    a_cancel_waits_until_what_is_ours_has_been_answered,
    a_cancel_ends_with_what_it_waits_for,
    a_cancel_of_an_idle_transaction_is_not_passed_on,
    a_client_that_vanishes_while_its_statement_is_cancelled_costs_the_server,
    a_client_that_vanishes_behind_its_answer_costs_a_server_that_is_being_cancelled,
    a_client_that_vanishes_from_the_queue_while_it_is_cancelled_leaves_nothing
);

/// A pool of one server, and a client whose `select 1` it runs.
async fn busy(delivery: Delivery) -> (Stage, Client, Server) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("select 1")]).await;
    server.expect([query("select 1")]).await;
    (stage, client, server)
}

/// The statement has been cancelled, and who has asked for that is told so. Until then the request may be repeated.
async fn ends(
    stage: &mut Stage,
    (client, server): (&mut Client, &mut Server),
    asking: &mut Client,
) {
    let end = async {
        server.reply([error("57014"), idle()]).await;
        client.expect([error("57014"), idle()]).await;
        asking.expect_closed().await;
    };
    let repeated = async {
        loop {
            drop(stage.primary.cancel().await);
        }
    };
    tokio::select! {
        () = end => {}
        () = repeated => {}
    }
}

async fn a_cancel_is_passed_on_with_the_servers_own_key(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("select 1")]).await;
    server.expect([query("select 1")]).await;
    let mut asking = client.ask_to_cancel().await;
    let cancel = stage.primary.cancel().await;
    assert_eq!((cancel.process_id, &cancel.secret), (server.process_id, &server.secret));
    drop(cancel);
    ends(&mut stage, (&mut client, &mut server), &mut asking).await;
    client.send([query("select 2")]).await;
    server.answer([query("select 2")], one_row("2")).await;
    client.expect(one_row("2")).await;
}

async fn a_wrong_key_cancels_nothing(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("select 1")]).await;
    server.expect([query("select 1")]).await;
    let mut wrong = client.secret.clone();
    wrong[0] ^= 1;
    client.cancel_with(client.process_id, &wrong).await;
    client.cancel_with(client.process_id, &client.secret[..3]).await;
    client.cancel_with(client.process_id + 1, &client.secret).await;
    client.cancel_with(server.process_id, &server.secret).await;
    client.cancel_with(-1, &client.secret).await;
    server.reply(one_row("1")).await;
    client.expect(one_row("1")).await;
    stage.settle(&mut client).await;
    stage.primary.expect_nobody();
}

async fn a_client_that_waits_is_taken_out_of_the_queue(delivery: Delivery) {
    let (mut stage, mut client, mut server) = busy(delivery).await;
    let mut waiting = stage.client().await;
    for sent in [vec![query("select 2")], run_unnamed("select 2").to_vec()] {
        waiting.send(sent).await;
        stage.waiting(1).await;
        waiting.cancel().await;
        waiting.expect([error("57014"), idle()]).await;
        stage.waiting(0).await;
    }
    stage.primary.expect_nobody();
    server.reply(one_row("1")).await;
    client.expect(one_row("1")).await;
    waiting.send([query("select 3")]).await;
    server.answer([query("select 3")], one_row("3")).await;
    waiting.expect(one_row("3")).await;
}

async fn a_server_is_not_handed_on_before_its_cancel_connection_has_closed(delivery: Delivery) {
    let (mut stage, mut client, mut server) = busy(delivery).await;
    let mut other = stage.client().await;
    client.ask_to_cancel().await;
    let cancel = stage.primary.cancel().await;
    server.reply(one_row("1")).await;
    client.expect(one_row("1")).await;
    other.send([query("select 2")]).await;
    stage.waiting(1).await;
    let mut bystander = stage.client().await;
    stage.settle(&mut bystander).await;
    stage.waiting(1).await;
    drop(cancel);
    server.answer([query("select 2")], one_row("2")).await;
    other.expect(one_row("2")).await;
}

/// Drivers wait for its end before they send the next statement.
async fn the_clients_cancel_connection_ends_when_the_servers_has(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("select 1")]).await;
    server.expect([query("select 1")]).await;
    let mut asking = client.ask_to_cancel().await;
    let cancel = stage.primary.cancel().await;
    let mut bystander = stage.client().await;
    stage.settle(&mut bystander).await;
    tokio::select! {
        biased;
        () = asking.expect_closed() => panic!("the client was told that the cancel is over"),
        () = std::future::ready(()) => {}
    }
    drop(cancel);
    ends(&mut stage, (&mut client, &mut server), &mut asking).await;
}

/// A client, another one whose `select 2` the server runs behind a query of our own, and the other's cancel request.
async fn asking_behind_ours(delivery: Delivery) -> (Stage, Client, Server, Client) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    let set = [query("set work_mem = '1MB'")];
    client.send(&set).await;
    server.answer(&set, [complete("SET"), idle()]).await;
    client.expect([complete("SET"), idle()]).await;
    other.send([query("select 2")]).await;
    assert_eq!(server.next().await.tag, b'Q', "the other's setting is undone");
    server.expect([query("select 2")]).await;
    let asking = other.ask_to_cancel().await;
    stage.settle(&mut client).await;
    stage.primary.expect_nobody();
    (stage, other, server, asking)
}

/// All answers come at once: there is nothing left to cancel, and whoever asked is told so.
async fn a_cancel_ends_with_what_it_waits_for(delivery: Delivery) {
    let (mut stage, mut other, mut server, mut asking) = asking_behind_ours(delivery).await;
    server.reply([&[complete("RESET"), idle()], &one_row("2")[..]].concat()).await;
    other.expect(one_row("2")).await;
    tokio::select! {
        () = asking.expect_closed() => {}
        // Delivered byte by byte, the first answer was there before the second.
        cancel = stage.primary.cancel() => {
            drop(cancel);
            asking.expect_closed().await;
        }
    }
}

async fn a_cancel_waits_until_what_is_ours_has_been_answered(delivery: Delivery) {
    let (mut stage, mut other, mut server, mut asking) = asking_behind_ours(delivery).await;
    server.reply([complete("RESET"), idle()]).await;
    drop(stage.primary.cancel().await);
    ends(&mut stage, (&mut other, &mut server), &mut asking).await;
}

async fn what_is_cancelled_while_it_waits_has_one_end(delivery: Delivery) {
    let (stage, mut client, mut server) = busy(delivery).await;
    let mut waiting = stage.client().await;
    // A server that has failed ignores everything up to Sync, a Query too.
    waiting.send([parse("", "select 2"), query("select 3"), sync(), query("select 4")]).await;
    stage.waiting(1).await;
    waiting.cancel().await;
    waiting.expect([error("57014"), idle()]).await;
    server.reply(one_row("1")).await;
    client.expect(one_row("1")).await;
    server.answer([query("select 4")], one_row("4")).await;
    waiting.expect(one_row("4")).await;
}

async fn a_cancel_that_has_failed_may_be_repeated(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| {
        config.timeouts.cancel_timeout = Duration::from_millis(50);
    })
    .await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("select 1")]).await;
    server.expect([query("select 1")]).await;
    // The server takes it and never says that it is done.
    let mut first = client.ask_to_cancel().await;
    let _never_closed = stage.primary.cancel().await;
    first.expect_closed().await;
    let mut second = client.ask_to_cancel().await;
    drop(stage.primary.cancel().await);
    ends(&mut stage, (&mut client, &mut server), &mut second).await;
    // What has been sent there may come late.
    server.expect_closed().await;
}

/// The server has not even read the statement when the first ones come.
async fn a_cancel_that_came_too_early_is_repeated(delivery: Delivery) {
    let (mut stage, mut client, mut server) = busy(delivery).await;
    let mut asking = client.ask_to_cancel().await;
    for _ in 0..3 {
        let cancel = stage.primary.cancel().await;
        assert_eq!((cancel.process_id, &cancel.secret), (server.process_id, &server.secret));
    }
    ends(&mut stage, (&mut client, &mut server), &mut asking).await;
    // What comes next is not what was to end.
    client.send([query("select 2")]).await;
    server.expect([query("select 2")]).await;
    stage.primary.expect_nobody();
    server.reply(one_row("2")).await;
    client.expect(one_row("2")).await;
    stage.settle(&mut client).await;
    stage.primary.expect_nobody();
}

async fn what_has_begun_to_answer_is_cancelled_once(delivery: Delivery) {
    let (mut stage, mut client, mut server) = busy(delivery).await;
    server.reply([columns(), row("1")]).await;
    client.expect([columns(), row("1")]).await;
    let mut asking = client.ask_to_cancel().await;
    drop(stage.primary.cancel().await);
    asking.expect_closed().await;
    stage.primary.expect_nobody();
    server.reply([error("57014"), idle()]).await;
    client.expect([error("57014"), idle()]).await;
}

async fn a_late_cancel_hits_nobody(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    client.send([query("select 1")]).await;
    server.answer([query("select 1")], one_row("1")).await;
    client.expect(one_row("1")).await;
    other.send([query("select 2")]).await;
    server.expect([query("select 2")]).await;
    client.cancel().await;
    stage.settle(&mut client).await;
    server.reply(one_row("2")).await;
    other.expect(one_row("2")).await;
    stage.primary.expect_nobody();
}

async fn a_cancel_of_an_idle_transaction_is_not_passed_on(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("begin")]).await;
    server.answer([query("begin")], [complete("BEGIN"), in_transaction()]).await;
    client.expect([complete("BEGIN"), in_transaction()]).await;
    client.cancel().await;
    client.send([query("select 1")]).await;
    server.answer([query("select 1")], [complete("SELECT 0"), in_transaction()]).await;
    client.expect([complete("SELECT 0"), in_transaction()]).await;
    stage.primary.expect_nobody();
}

/// The server is closed, the request's connection too, and the pool is as good as new.
async fn is_over(stage: &mut Stage, mut server: Server, mut asking: Client) {
    server.expect_closed().await;
    asking.expect_closed().await;
    eventually("all have gone", || stage.clients() == 0).await;
    let mut other = stage.client().await;
    other.send([query("select 3")]).await;
    let mut fresh = stage.primary.accept().await;
    fresh.answer([query("select 3")], one_row("3")).await;
    other.expect(one_row("3")).await;
}

async fn a_client_that_vanishes_while_its_statement_is_cancelled_costs_the_server(
    delivery: Delivery,
) {
    let (mut stage, client, server) = busy(delivery).await;
    let asking = client.ask_to_cancel().await;
    let first = stage.primary.cancel().await;
    drop(client);
    // What nobody waits for is cancelled, whatever becomes of the client's own request.
    drop(stage.primary.cancel().await);
    drop(first);
    is_over(&mut stage, server, asking).await;
}

async fn a_client_that_vanishes_behind_its_answer_costs_a_server_that_is_being_cancelled(
    delivery: Delivery,
) {
    let (mut stage, mut client, mut server) = busy(delivery).await;
    let asking = client.ask_to_cancel().await;
    let cancel = stage.primary.cancel().await;
    server.reply(one_row("1")).await;
    client.expect(one_row("1")).await;
    drop(client);
    // The request may still hit whatever the server runs next.
    server.expect_closed().await;
    drop(cancel);
    is_over(&mut stage, server, asking).await;
}

async fn a_client_that_vanishes_from_the_queue_while_it_is_cancelled_leaves_nothing(
    delivery: Delivery,
) {
    let (mut stage, mut client, mut server) = busy(delivery).await;
    for is_cancelled_first in [true, false] {
        let mut waiting = stage.client().await;
        waiting.send([query("select 2")]).await;
        stage.waiting(1).await;
        let mut asking = if is_cancelled_first {
            let asking = waiting.ask_to_cancel().await;
            drop(waiting);
            asking
        } else {
            let (process_id, secret) = (waiting.process_id, waiting.secret.clone());
            drop(waiting);
            client.ask_to_cancel_with(process_id, &secret).await
        };
        asking.expect_closed().await;
        stage.waiting(0).await;
    }
    stage.primary.expect_nobody();
    server.reply(one_row("1")).await;
    client.expect(one_row("1")).await;
    client.send([query("select 3")]).await;
    server.answer([query("select 3")], one_row("3")).await;
    client.expect(one_row("3")).await;
}
