//! COPY, both ways, also when it fails midway on either side.

use crate::support::prelude::*;
use crate::support::scripted;

scripted!(
    copy_in_succeeds,
    copy_in_fails_at_the_server_midway,
    copy_in_fails_at_the_client,
    copy_in_is_refused_and_the_data_was_sent_already,
    copy_in_sent_in_one_go,
    copy_in_by_the_extended_protocol_with_its_sync_ahead,
    an_extended_copy_in_that_fails_waits_for_sync,
    a_batch_behind_an_extended_copy_in_runs,
    copy_out_succeeds,
    copy_out_fails_midway,
    two_copies_in_one_query,
    copy_data_for_nobody_is_dropped
);

const COPY: &str = "copy t from stdin";

/// The client's next query runs on the same server: nothing is left over on either side.
async fn all_is_well(client: &mut Client, server: &mut Server) {
    client.send([query("select 1")]).await;
    server.answer([query("select 1")], one_row("1")).await;
    client.expect(one_row("1")).await;
}

async fn open(client: &mut Client, server: &mut Server) {
    client.send([query(COPY)]).await;
    server.answer([query(COPY)], [copy_in()]).await;
    client.expect([copy_in()]).await;
}

async fn copy_in_succeeds(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    open(&mut client, &mut server).await;
    client.send([copy_data("1\n"), copy_data("2\n"), copy_done()]).await;
    server.expect([copy_data("1\n"), copy_data("2\n"), copy_done()]).await;
    server.reply([complete("COPY 2"), idle()]).await;
    client.expect([complete("COPY 2"), idle()]).await;
    all_is_well(&mut client, &mut server).await;
}

async fn copy_in_fails_at_the_server_midway(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    open(&mut client, &mut server).await;
    client.send([copy_data("bad\n")]).await;
    server.answer([copy_data("bad\n")], [error("22P02"), idle()]).await;
    client.expect([error("22P02"), idle()]).await;
    // The client had not seen that yet. Nobody must get what it sends now.
    client.send([copy_data("late\n"), copy_done()]).await;
    all_is_well(&mut client, &mut server).await;
    let mut other = stage.client().await;
    all_is_well(&mut other, &mut server).await;
}

async fn copy_in_fails_at_the_client(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    open(&mut client, &mut server).await;
    client.send([copy_data("1\n"), copy_fail("no more")]).await;
    server.expect([copy_data("1\n"), copy_fail("no more")]).await;
    server.reply([error("57014"), idle()]).await;
    client.expect([error("57014"), idle()]).await;
    all_is_well(&mut client, &mut server).await;
}

async fn copy_in_is_refused_and_the_data_was_sent_already(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    let sent = [query(COPY), copy_data("1\n"), copy_done()];
    client.send(&sent).await;
    server.answer(&sent, [error("42P01"), idle()]).await;
    client.expect([error("42P01"), idle()]).await;
    all_is_well(&mut client, &mut server).await;
}

async fn copy_in_sent_in_one_go(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    let sent = [query(COPY), copy_data("1\n"), copy_done(), query("select 2")];
    client.send(&sent).await;
    server.answer(&sent, [copy_in(), complete("COPY 1"), idle()]).await;
    server.reply(one_row("2")).await;
    client.expect([copy_in(), complete("COPY 1"), idle()]).await;
    client.expect(one_row("2")).await;
    all_is_well(&mut client, &mut server).await;
}

async fn copy_in_by_the_extended_protocol_with_its_sync_ahead(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send(run_unnamed(COPY)).await;
    server.answer(run_unnamed(COPY), [parse_complete(), bind_complete(), copy_in()]).await;
    client.expect([parse_complete(), bind_complete(), copy_in()]).await;
    // The server has ignored that Sync: it needs another one.
    client.send([copy_data("1\n"), copy_done(), sync()]).await;
    server.expect([copy_data("1\n"), copy_done(), sync()]).await;
    server.reply([complete("COPY 1"), idle()]).await;
    client.expect([complete("COPY 1"), idle()]).await;
    all_is_well(&mut client, &mut server).await;
}

async fn an_extended_copy_in_that_fails_waits_for_sync(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    let sent = [parse("", COPY), bind("", ""), execute(""), flush()];
    client.send(&sent).await;
    server.answer(&sent, [parse_complete(), bind_complete(), copy_in()]).await;
    client.expect([parse_complete(), bind_complete(), copy_in()]).await;
    client.send([copy_data("bad\n")]).await;
    server.answer([copy_data("bad\n")], [error("22P02")]).await;
    client.expect([error("22P02")]).await;
    client.send([copy_data("late\n"), copy_done(), sync()]).await;
    server.answer([sync()], [idle()]).await;
    client.expect([idle()]).await;
    all_is_well(&mut client, &mut server).await;
}

async fn a_batch_behind_an_extended_copy_in_runs(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    let sent = [parse("", COPY), bind("", ""), execute(""), flush()];
    client.send(&sent).await;
    server.answer(&sent, [parse_complete(), bind_complete(), copy_in()]).await;
    client.expect([parse_complete(), bind_complete(), copy_in()]).await;
    let behind = run_unnamed("select 1");
    client.send([&[copy_data("1\n"), copy_done(), sync()], &behind[..]].concat()).await;
    server.expect([copy_data("1\n"), copy_done(), sync()]).await;
    server.expect(&behind).await;
    let copied = [complete("COPY 1"), idle()];
    let ran = [parse_complete(), bind_complete(), complete("SELECT 0"), idle()];
    server.reply([&copied[..], &ran].concat()).await;
    client.expect([&copied[..], &ran].concat()).await;
    all_is_well(&mut client, &mut server).await;
}

async fn copy_out_succeeds(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    let sql = "copy t to stdout";
    let answer = [copy_out(), copy_data("1\n"), copy_data("2\n"), copy_done()];
    client.send([query(sql)]).await;
    server.answer([query(sql)], &answer).await;
    client.expect(&answer).await;
    server.reply([complete("COPY 2"), idle()]).await;
    client.expect([complete("COPY 2"), idle()]).await;
    all_is_well(&mut client, &mut server).await;
}

async fn copy_out_fails_midway(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    let sql = "copy t to stdout";
    let answer = [copy_out(), copy_data("1\n"), error("22012"), idle()];
    client.send([query(sql)]).await;
    server.answer([query(sql)], &answer).await;
    client.expect(&answer).await;
    all_is_well(&mut client, &mut server).await;
}

async fn two_copies_in_one_query(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    let sql = "copy t from stdin; copy u from stdin";
    client.send([query(sql)]).await;
    server.answer([query(sql)], [copy_in()]).await;
    client.expect([copy_in()]).await;
    client.send([copy_data("1\n"), copy_done()]).await;
    server.answer([copy_data("1\n"), copy_done()], [complete("COPY 1"), copy_in()]).await;
    client.expect([complete("COPY 1"), copy_in()]).await;
    client.send([copy_data("2\n"), copy_done()]).await;
    server.answer([copy_data("2\n"), copy_done()], [complete("COPY 1"), idle()]).await;
    client.expect([complete("COPY 1"), idle()]).await;
    all_is_well(&mut client, &mut server).await;
}

async fn copy_data_for_nobody_is_dropped(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([copy_data("1\n"), copy_done(), copy_fail("x")]).await;
    all_is_well(&mut client, &mut server).await;
}
