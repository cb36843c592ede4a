//! Clients and servers that vanish, at any moment.

use crate::support::prelude::*;
use crate::support::scripted;

scripted!(
    a_client_that_leaves_in_a_transaction_has_it_rolled_back,
    a_client_that_leaves_in_a_pipeline_costs_the_server,
    a_client_that_leaves_within_a_copy_costs_the_server,
    a_client_that_leaves_with_half_a_batch_sent_costs_the_server,
    a_client_that_leaves_before_its_parse_is_sent_leaves_no_statement,
    a_goodbye_within_a_copy_costs_the_server,
    a_goodbye_within_a_batch_costs_the_server,
    a_goodbye_with_statements_to_be_closed_is_the_end,
    a_client_that_leaves_the_queue_is_forgotten,
    a_client_that_leaves_while_its_query_runs_has_it_cancelled,
    a_cancel_request_that_came_too_early_is_repeated,
    an_idle_server_that_vanishes_is_replaced_unnoticed,
    a_farewell_to_an_idle_server_is_not_shown_to_the_next_client,
    a_farewell_in_a_transaction_is_the_clients,
    a_server_that_vanishes_in_a_transaction_is_08006,
    a_server_that_vanishes_midway_is_08006,
    a_server_that_vanishes_within_a_row_is_not_talked_over,
    a_farewell_behind_an_answer_is_nobodys,
    a_server_that_is_out_of_step_is_closed,
    a_rollback_that_fails_costs_the_server;
    split a_client_may_leave_at_any_byte
);

async fn begin(client: &mut Client, server: &mut Server) {
    client.send([query("begin")]).await;
    server.answer([query("begin")], [complete("BEGIN"), in_transaction()]).await;
    client.expect([complete("BEGIN"), in_transaction()]).await;
}

/// Another client gets this server.
async fn is_used_again(stage: &Stage, server: &mut Server) {
    let mut other = stage.client().await;
    other.send([query("select 1")]).await;
    server.answer([query("select 1")], one_row("1")).await;
    other.expect(one_row("1")).await;
}

/// The server is closed, and another client gets a new one.
async fn is_replaced(stage: &mut Stage, mut server: Server) {
    server.expect_closed().await;
    let mut other = stage.client().await;
    other.send([query("select 1")]).await;
    let mut fresh = stage.primary.accept().await;
    fresh.answer([query("select 1")], one_row("1")).await;
    other.expect(one_row("1")).await;
}

async fn one_server(delivery: Delivery) -> Stage {
    Stage::with(delivery, |config| config.pool.default_pool_size = 1).await
}

async fn a_client_may_leave_at_any_byte(delivery: Delivery) {
    let mut stage = one_server(delivery).await;
    let (client, mut server) = stage.pair().await;
    drop(client);
    let messages = [query("select 1").bytes(), parse("a", "select 1").bytes()];
    for bytes in messages {
        for len in 0..bytes.len() {
            let mut client = stage.client().await;
            client.wire.send_bytes(&bytes[..len]).await;
        }
    }
    is_used_again(&stage, &mut server).await;
    eventually("all have gone", || stage.clients() == 0).await;
}

async fn a_client_that_leaves_in_a_transaction_has_it_rolled_back(delivery: Delivery) {
    let mut stage = one_server(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    begin(&mut client, &mut server).await;
    drop(client);
    server.answer([query("ROLLBACK")], [complete("ROLLBACK"), idle()]).await;
    server.answer([query("DISCARD ALL")], [complete("DISCARD ALL"), idle()]).await;
    is_used_again(&stage, &mut server).await;
}

async fn a_rollback_that_fails_costs_the_server(delivery: Delivery) {
    let mut stage = one_server(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    begin(&mut client, &mut server).await;
    drop(client);
    server.answer([query("ROLLBACK")], [error("XX000"), failed()]).await;
    is_replaced(&mut stage, server).await;
}

async fn a_client_that_leaves_in_a_pipeline_costs_the_server(delivery: Delivery) {
    let mut stage = one_server(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    let batches = [run_unnamed("select 1"), run_unnamed("select 2")].concat();
    client.send(&batches).await;
    server.expect(&batches).await;
    server.reply([parse_complete(), bind_complete(), complete("SELECT 0"), idle()]).await;
    drop(client);
    drop(stage.primary.cancel().await);
    is_replaced(&mut stage, server).await;
}

async fn a_client_that_leaves_within_a_copy_costs_the_server(delivery: Delivery) {
    let mut stage = one_server(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("copy t from stdin")]).await;
    server.answer([query("copy t from stdin")], [copy_in()]).await;
    client.expect([copy_in()]).await;
    client.send([copy_data("1\n")]).await;
    server.expect([copy_data("1\n")]).await;
    drop(client);
    drop(stage.primary.cancel().await);
    is_replaced(&mut stage, server).await;
}

async fn a_goodbye_within_a_copy_costs_the_server(delivery: Delivery) {
    let mut stage = one_server(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("copy t from stdin"), terminate()]).await;
    server.answer([query("copy t from stdin")], [copy_in()]).await;
    drop(stage.primary.cancel().await);
    is_replaced(&mut stage, server).await;
}

async fn a_goodbye_within_a_batch_costs_the_server(delivery: Delivery) {
    let mut stage = one_server(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    begin(&mut client, &mut server).await;
    // Without Sync or Flush the server keeps its answers to itself.
    let batch = [parse("", "delete from t"), bind("", ""), execute("")];
    client.send([&batch[..], &[terminate()]].concat()).await;
    server.expect(batch).await;
    drop(stage.primary.cancel().await);
    is_replaced(&mut stage, server).await;
}

async fn a_goodbye_with_statements_to_be_closed_is_the_end(delivery: Delivery) {
    let mut stage = one_server(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([parse("a", "select 1"), sync()]).await;
    server.answer([parse("pgl_1", "select 1"), sync()], [parse_complete(), idle()]).await;
    client.expect([parse_complete(), idle()]).await;
    begin(&mut client, &mut server).await;
    // It is not believed to have its statements any more, but it has.
    for sql in ["select nothing", "deallocate all"] {
        client.send([query(sql)]).await;
        server.answer([query(sql)], [error("25P02"), failed()]).await;
        client.expect([error("25P02"), failed()]).await;
    }
    client.send([terminate()]).await;
    client.expect_closed().await;
    server.answer([query("ROLLBACK")], [complete("ROLLBACK"), idle()]).await;
    server.answer([query("DISCARD ALL")], [complete("DISCARD ALL"), idle()]).await;
    is_used_again(&stage, &mut server).await;
}

async fn a_client_that_leaves_with_half_a_batch_sent_costs_the_server(delivery: Delivery) {
    let mut stage = one_server(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([parse("", "select 1"), flush()]).await;
    server.answer([parse("", "select 1"), flush()], [parse_complete()]).await;
    client.expect([parse_complete()]).await;
    drop(client);
    is_replaced(&mut stage, server).await;
}

/// A client waits with this for the only server, and leaves before another has committed there.
async fn one_leaves_the_queue(delivery: Delivery, sent: &[Frame]) -> (Stage, Client, Server) {
    let mut stage = one_server(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    begin(&mut client, &mut server).await;
    let mut waiting = stage.client().await;
    waiting.send(sent).await;
    stage.waiting(1).await;
    drop(waiting);
    stage.waiting(0).await;
    client.send([query("commit")]).await;
    server.answer([query("commit")], [complete("COMMIT"), idle()]).await;
    client.expect([complete("COMMIT"), idle()]).await;
    (stage, client, server)
}

async fn a_client_that_leaves_before_its_parse_is_sent_leaves_no_statement(delivery: Delivery) {
    let batch = |name: &str| [parse(name, "select 1"), bind("", name), execute(""), sync()];
    let (_stage, mut client, mut server) = one_leaves_the_queue(delivery, &batch("a")).await;
    // Nobody has parsed it yet.
    client.send(batch("b")).await;
    let answer = [parse_complete(), bind_complete(), complete("SELECT 0"), idle()];
    server.answer(batch("pgl_1"), answer.clone()).await;
    client.expect(answer).await;
}

async fn a_client_that_leaves_the_queue_is_forgotten(delivery: Delivery) {
    let (stage, _client, mut server) = one_leaves_the_queue(delivery, &[query("select 2")]).await;
    is_used_again(&stage, &mut server).await;
}

async fn a_client_that_leaves_while_its_query_runs_has_it_cancelled(delivery: Delivery) {
    let mut stage = one_server(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("select pg_sleep(1000)")]).await;
    server.expect([query("select pg_sleep(1000)")]).await;
    drop(client);
    let cancel = stage.primary.cancel().await;
    assert_eq!((cancel.process_id, &cancel.secret), (server.process_id, &server.secret));
    drop(cancel);
    is_replaced(&mut stage, server).await;
}

async fn a_cancel_request_that_came_too_early_is_repeated(delivery: Delivery) {
    let mut stage = one_server(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("select pg_sleep(1000)")]).await;
    server.expect([query("select pg_sleep(1000)")]).await;
    drop(client);
    for _ in 0..3 {
        let cancel = stage.primary.cancel().await;
        assert_eq!((cancel.process_id, &cancel.secret), (server.process_id, &server.secret));
    }
    is_replaced(&mut stage, server).await;
}

async fn an_idle_server_that_vanishes_is_replaced_unnoticed(delivery: Delivery) {
    let mut stage = one_server(delivery).await;
    let (mut client, server) = stage.pair().await;
    server.vanish().await;
    stage.settle(&mut client).await;
    client.send([query("select 1")]).await;
    let mut fresh = stage.primary.accept().await;
    fresh.answer([query("select 1")], one_row("1")).await;
    client.expect(one_row("1")).await;
}

async fn a_farewell_to_an_idle_server_is_not_shown_to_the_next_client(delivery: Delivery) {
    let mut stage = one_server(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    server.reply([fatal("57P01")]).await;
    server.vanish().await;
    stage.settle(&mut client).await;
    client.send([query("select 1")]).await;
    let mut fresh = stage.primary.accept().await;
    fresh.answer([query("select 1")], one_row("1")).await;
    client.expect(one_row("1")).await;
}

async fn a_farewell_in_a_transaction_is_the_clients(delivery: Delivery) {
    let mut stage = one_server(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    begin(&mut client, &mut server).await;
    server.reply([fatal("25P03")]).await;
    drop(server);
    client.expect([fatal("25P03")]).await;
    client.expect_closed().await;
}

async fn a_server_that_vanishes_in_a_transaction_is_08006(delivery: Delivery) {
    let mut stage = one_server(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    begin(&mut client, &mut server).await;
    drop(server);
    client.expect([fatal("08006")]).await;
    client.expect_closed().await;
}

async fn a_server_that_vanishes_midway_is_08006(delivery: Delivery) {
    let mut stage = one_server(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("select 1")]).await;
    server.answer([query("select 1")], [columns(), row("1")]).await;
    client.expect([columns(), row("1")]).await;
    drop(server);
    client.expect([fatal("08006")]).await;
    client.expect_closed().await;
}

async fn a_server_that_vanishes_within_a_row_is_not_talked_over(delivery: Delivery) {
    let mut stage = one_server(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("select 1")]).await;
    server.answer([query("select 1")], [columns()]).await;
    let long = row(&"x".repeat(100));
    server.reply_partly(&long, 20).await;
    client.expect([columns()]).await;
    drop(server);
    // An error would be taken for the rest of the row.
    assert_eq!(client.rest().await, long.bytes()[..20]);
}

async fn a_farewell_behind_an_answer_is_nobodys(delivery: Delivery) {
    let mut stage = one_server(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("select 1")]).await;
    server.expect([query("select 1")]).await;
    server.reply_last([&one_row("1")[..], &[fatal("57P01")]].concat()).await;
    server.vanish().await;
    client.expect(one_row("1")).await;
    stage.settle(&mut client).await;
    client.send([query("select 2")]).await;
    let mut fresh = stage.primary.accept().await;
    fresh.answer([query("select 2")], one_row("2")).await;
    client.expect(one_row("2")).await;
}

async fn a_server_that_is_out_of_step_is_closed(delivery: Delivery) {
    let mut stage = one_server(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send(run_unnamed("select 1")).await;
    server.answer(run_unnamed("select 1"), [bind_complete()]).await;
    client.expect([fatal("08006")]).await;
    client.expect_closed().await;
    drop(stage.primary.cancel().await);
    is_replaced(&mut stage, server).await;
}
