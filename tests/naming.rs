//! PREPARE, EXECUTE and DEALLOCATE of SQL: one set of names per client, whatever server it has.

use crate::support::prelude::*;
use crate::support::scripted;

scripted!(
    a_second_server_is_given_what_is_executed,
    what_another_client_calls_so_is_taken_away,
    equal_texts_are_prepared_once,
    an_error_of_what_we_prepare_takes_the_place_of_26000,
    a_statement_of_the_protocol_is_put_under_its_name,
    a_name_is_enough_for_deallocate,
    in_the_midst_of_a_batch_no_sync_is_ours,
    a_read_is_executed_by_a_replica,
    what_names_only_ours_is_refused,
    what_is_prepared_by_sql_counts,
    what_holds_a_moment_keeps_its_server
);

const PREPARE: &str = "prepare a as select 1";

fn done(tag: &str) -> [Frame; 2] {
    [complete(tag), idle()]
}

/// The client prepares by SQL.
async fn prepare(client: &mut Client, server: &mut Server, sql: &str) {
    client.send([query(sql)]).await;
    server.answer([query(sql)], done("PREPARE")).await;
    client.expect(done("PREPARE")).await;
}

/// A client that has run PREPARE, another one, and one server for both.
async fn two_clients(delivery: Delivery) -> (Stage, Client, Client, Server) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    let other = stage.client().await;
    prepare(&mut client, &mut server, PREPARE).await;
    (stage, client, other, server)
}

async fn a_second_server_is_given_what_is_executed(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 2).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    prepare(&mut client, &mut server, PREPARE).await;
    other.send([query("begin")]).await;
    server.answer([query("begin")], [complete("BEGIN"), in_transaction()]).await;
    other.expect([complete("BEGIN"), in_transaction()]).await;
    for round in 0..2 {
        client.send([query("execute a")]).await;
        let given = [query(PREPARE), query("execute a")];
        if round == 0 {
            let mut second = stage.primary.accept().await;
            second.answer(given, [&done("PREPARE")[..], &one_row("1")].concat()).await;
            server = second;
        } else {
            server.answer(&given[1..], one_row("1")).await;
        }
        client.expect(one_row("1")).await;
    }
}

async fn what_another_client_calls_so_is_taken_away(delivery: Delivery) {
    let (_stage, mut client, mut other, mut server) = two_clients(delivery).await;
    other.send([query("execute a")]).await;
    let sent = [close_statement("a"), query("execute a")];
    server.answer(sent, [close_complete(), error("26000"), idle()]).await;
    other.expect([error("26000"), idle()]).await;
    prepare(&mut other, &mut server, "prepare a as select 2").await;
    client.send([query("execute a")]).await;
    let sent = [close_statement("a"), query(PREPARE), query("execute a")];
    let answers = [&[close_complete()], &done("PREPARE")[..], &one_row("1")].concat();
    server.answer(sent, answers).await;
    client.expect(one_row("1")).await;
    client.send([bind("", "a"), execute(""), sync()]).await;
    server.answer([bind("", "a"), execute(""), sync()], [bind_complete(), row("1")]).await;
    server.reply(done("SELECT 1")).await;
    client.expect([bind_complete(), row("1"), complete("SELECT 1"), idle()]).await;
}

async fn equal_texts_are_prepared_once(delivery: Delivery) {
    let (_stage, mut client, mut other, mut server) = two_clients(delivery).await;
    other.send([query(PREPARE)]).await;
    // To the other client the name is free.
    server.answer([close_statement("a"), query(PREPARE)], [close_complete()]).await;
    server.reply(done("PREPARE")).await;
    other.expect(done("PREPARE")).await;
    for client in [&mut client, &mut other] {
        client.send([query("execute a")]).await;
        server.answer([query("execute a")], one_row("1")).await;
        client.expect(one_row("1")).await;
    }
}

async fn an_error_of_what_we_prepare_takes_the_place_of_26000(delivery: Delivery) {
    let (_stage, mut client, mut other, mut server) = two_clients(delivery).await;
    other.send([query("begin")]).await;
    server.answer([query("begin")], [complete("BEGIN"), in_transaction()]).await;
    other.expect([complete("BEGIN"), in_transaction()]).await;
    other.send([query("deallocate all")]).await;
    server.answer([query("deallocate all")], [complete("DEALLOCATE ALL"), in_transaction()]).await;
    other.expect([complete("DEALLOCATE ALL"), in_transaction()]).await;
    other.send([query("commit")]).await;
    server.answer([query("commit")], done("COMMIT")).await;
    other.expect(done("COMMIT")).await;
    let sent = [query(PREPARE), query("insert into t values (1); execute a")];
    client.send(&sent[1..]).await;
    server.expect(&sent).await;
    server.reply([error("42P01"), idle(), complete("INSERT 0 1"), error("26000"), idle()]).await;
    client.expect([complete("INSERT 0 1"), error("42P01"), idle()]).await;
    // Another error is shown as it is.
    client.send(&sent[1..]).await;
    server.expect([close_statement("a"), sent[0].clone(), sent[1].clone()]).await;
    server.reply([close_complete(), error("42P01"), idle(), error("23505"), idle()]).await;
    client.expect([error("23505"), idle()]).await;
}

async fn a_statement_of_the_protocol_is_put_under_its_name(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([parse("a", "select 1"), sync()]).await;
    server.answer([parse("pgl_1", "select 1"), sync()], [parse_complete(), idle()]).await;
    client.expect([parse_complete(), idle()]).await;
    client.send([query("execute a")]).await;
    let sent = [parse("a", "select 1"), sync(), query("execute a")];
    server.answer(sent, [&[parse_complete(), idle()], &one_row("1")[..]].concat()).await;
    client.expect(one_row("1")).await;
}

async fn a_name_is_enough_for_deallocate(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([parse("a", "select 1"), sync()]).await;
    server.answer([parse("pgl_1", "select 1"), sync()], [parse_complete(), idle()]).await;
    client.expect([parse_complete(), idle()]).await;
    let run = run_unnamed("deallocate a");
    client.send(&run).await;
    // It may have become impossible to parse the statement itself.
    server.expect([&[parse("a", ""), sync()], &run[..]].concat()).await;
    server.reply([parse_complete(), idle(), parse_complete(), bind_complete()]).await;
    server.reply(done("DEALLOCATE")).await;
    client.expect([parse_complete(), bind_complete(), complete("DEALLOCATE"), idle()]).await;
    client.send(run_named("a")).await;
    server.answer(run_named("a"), [error("26000"), idle()]).await;
    client.expect([error("26000"), idle()]).await;
}

async fn in_the_midst_of_a_batch_no_sync_is_ours(delivery: Delivery) {
    let (_stage, mut client, mut other, mut server) = two_clients(delivery).await;
    prepare(&mut other, &mut server, "prepare b as select 2").await;
    other.send([query("deallocate b")]).await;
    other.expect(done("DEALLOCATE")).await;
    prepare(&mut client, &mut server, "prepare c as select 3").await;
    let run = [bind("", "b"), execute(""), bind("", "c"), execute(""), sync()];
    client.send(&run).await;
    // It never had a `b`.
    server.expect([&[close_statement("b")], &run[..]].concat()).await;
    server.reply([close_complete(), error("26000"), idle()]).await;
    client.expect([error("26000"), idle()]).await;
}

async fn a_read_is_executed_by_a_replica(delivery: Delivery) {
    let mut stage = Stage::replicated_with(delivery, |_| {}).await;
    let (mut client, mut server) = stage.pair().await;
    prepare(&mut client, &mut server, PREPARE).await;
    stage.replica_has_caught_up().await;
    client.send([query("execute a")]).await;
    let mut replica = stage.replica().accept().await;
    let sent = [query(PREPARE), query("execute a")];
    replica.answer(sent, [&done("PREPARE")[..], &one_row("1")].concat()).await;
    client.expect(one_row("1")).await;
    // What it is given may write.
    client.send([query("execute a (nextval('s'))")]).await;
    server.answer([query("execute a (nextval('s'))")], one_row("1")).await;
    client.expect(one_row("1")).await;
}

async fn what_names_only_ours_is_refused(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("execute pgl_1")]).await;
    let asked = server.next().await;
    assert!(asked.body.windows(5).any(|code| code == b"42939"), "{asked:?}");
    server.reply([error("42939"), idle()]).await;
    client.expect([error("42939"), idle()]).await;
}

async fn what_is_prepared_by_sql_counts(delivery: Delivery) {
    let mut stage =
        Stage::with(delivery, |config| config.limits.prepared_statement_bytes = 30).await;
    let (mut client, mut server) = stage.pair().await;
    prepare(&mut client, &mut server, PREPARE).await;
    client.send([query("deallocate a")]).await;
    client.expect(done("DEALLOCATE")).await;
    client.send([query(PREPARE)]).await;
    server.answer([close_statement("a"), query(PREPARE)], [close_complete()]).await;
    server.reply(done("PREPARE")).await;
    client.expect(done("PREPARE")).await;
    client.send([query("prepare b as select 1")]).await;
    let frame = client.next().await;
    assert_eq!(frame.field(b'C').as_deref(), Some("53400"));
    client.expect_closed().await;
}

async fn what_holds_a_moment_keeps_its_server(delivery: Delivery) {
    let (stage, mut client, mut other, mut server) = two_clients(delivery).await;
    prepare(&mut client, &mut server, "prepare b as select 'now'::text").await;
    other.send([query("select 2")]).await;
    stage.waiting(1).await;
    client.send([query("execute b")]).await;
    server.answer([query("execute b")], one_row("1")).await;
    client.expect(one_row("1")).await;
    client.send([query("deallocate b")]).await;
    server.answer([query("deallocate b")], done("DEALLOCATE")).await;
    client.expect(done("DEALLOCATE")).await;
    server.answer([query("DISCARD ALL")], done("DISCARD ALL")).await;
    server.answer([query("select 2")], one_row("2")).await;
    other.expect(one_row("2")).await;
}
