//! What a client was told of a statement's columns, by whatever Describe, is what it gets.

use crate::prepared::{
    begin, check, described, other_columns, prepare, prepare_and_describe, ran, refused, run,
    second_server,
};
use crate::support::prelude::*;
use crate::support::scripted;

scripted!(
    who_was_told_by_a_portal_has_other_copies_checked,
    who_was_told_by_a_portal_is_refused_other_columns,
    each_of_a_pipeline_is_refused,
    who_asks_every_time_is_served,
    who_asks_later_in_a_transaction_has_been_told,
    a_portal_with_a_name_is_looked_at_before_it_is_bound,
    the_unnamed_statement_is_checked_where_it_is_parsed_anew,
    the_unnamed_statement_of_other_columns_is_refused,
    an_answer_that_was_skipped_tells_nothing,
    a_portal_tells_nothing_of_parameters,
    a_portal_bound_anew_is_another,
    a_late_replica_is_not_asked_again,
    a_replica_that_is_ahead_is_refused_on_the_primary,
    in_a_transaction_a_late_replica_is_refused
);

/// Runs the statement called `name` and asks for the columns of its portal.
fn shown(name: &str) -> [Frame; 4] {
    [bind("", name), describe_portal(""), execute(""), sync()]
}

/// What the server says to that.
fn showed(columns: Frame) -> [Frame; 5] {
    [bind_complete(), columns, row("1"), complete("SELECT 1"), idle()]
}

/// RowDescription of the same column in binary, with another modifier.
fn binary_columns() -> Frame {
    let mut frame = columns();
    let end = frame.body.len();
    frame.body[end - 1] = 1;
    frame.body[end - 3] = 9;
    frame
}

async fn two_servers(delivery: Delivery) -> (Stage, Client, Client, Server) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 2).await;
    let (client, server) = stage.pair().await;
    let other = stage.client().await;
    (stage, client, other, server)
}

/// The client prepares `select 1` as `a`, runs it, and is told its columns by the portal, as pgjdbc does.
async fn prepare_and_show(client: &mut Client, server: &mut Server) {
    client.send([&[parse("a", "select 1")], &shown("a")[..]].concat()).await;
    let answer = [&[parse_complete()], &showed(columns())[..]].concat();
    server.answer([&[parse("pgl_1", "select 1")], &shown("pgl_1")[..]].concat(), &answer).await;
    client.expect(answer).await;
}

async fn who_was_told_by_a_portal_has_other_copies_checked(delivery: Delivery) {
    let (mut stage, mut client, mut other, mut server) = two_servers(delivery).await;
    prepare_and_show(&mut client, &mut server).await;
    run(&mut client, &mut server, "a", "pgl_1").await;
    let sent = run_named("a");
    let mut second =
        second_server(&mut stage, (&mut other, &mut server), (&mut client, &sent)).await;
    // Formats and modifiers may be others.
    let description = [parse_complete(), parameter_description(), binary_columns()];
    second.answer(check("pgl_1"), description).await;
    second.answer(run_named("pgl_1"), ran()).await;
    client.expect(ran()).await;
    run(&mut client, &mut second, "a", "pgl_1").await;
}

async fn who_was_told_by_a_portal_is_refused_other_columns(delivery: Delivery) {
    let (mut stage, mut client, mut other, mut server) = two_servers(delivery).await;
    prepare_and_show(&mut client, &mut server).await;
    let sent = run_named("a");
    let mut second =
        second_server(&mut stage, (&mut other, &mut server), (&mut client, &sent)).await;
    let description = [parse_complete(), parameter_description(), other_columns()];
    second.answer(check("pgl_1"), description).await;
    second.answer(run_named("pgl_0"), [error("26000"), idle()]).await;
    client.expect([refused(), idle()]).await;
}

async fn each_of_a_pipeline_is_refused(delivery: Delivery) {
    let (mut stage, mut client, mut other, mut server) = two_servers(delivery).await;
    prepare_and_show(&mut client, &mut server).await;
    // What the text means now another client has been told, by another server.
    let change = [query("alter table t rename a to b")];
    let mut second =
        second_server(&mut stage, (&mut client, &mut server), (&mut other, &change)).await;
    second.answer(&change, [complete("ALTER TABLE"), idle()]).await;
    other.expect([complete("ALTER TABLE"), idle()]).await;
    let answer = [&[parse_complete()], &showed(other_columns())[..]].concat();
    other.send([&[parse("b", "select 1")], &shown("b")[..]].concat()).await;
    second.answer([&[parse("pgl_1", "select 1")], &shown("pgl_1")[..]].concat(), &answer).await;
    other.expect(answer).await;
    client.send([query("commit")]).await;
    server.answer([query("commit")], [complete("COMMIT"), idle()]).await;
    client.expect([complete("COMMIT"), idle()]).await;
    begin(&mut other, &mut server).await;
    client.send([run_named("a"), run_named("a")].concat()).await;
    second.expect([run_named("pgl_0"), run_named("pgl_0")].concat()).await;
    second.reply([error("26000"), idle(), error("26000"), idle()]).await;
    client.expect([refused(), idle(), refused(), idle()]).await;
}

async fn who_asks_every_time_is_served(delivery: Delivery) {
    let (mut stage, mut client, mut other, mut server) = two_servers(delivery).await;
    prepare_and_show(&mut client, &mut server).await;
    let sent = shown("a");
    let mut second =
        second_server(&mut stage, (&mut other, &mut server), (&mut client, &sent)).await;
    let answer = showed(other_columns());
    second.expect([&[parse("pgl_1", "select 1")], &shown("pgl_1")[..]].concat()).await;
    second.reply([&[parse_complete()], &answer[..]].concat()).await;
    client.expect(&answer).await;
    // What it was told last counts: now there is a statement that is like that.
    client.send(run_named("a")).await;
    second.expect([close_statement("pgl_1")]).await;
    second.expect(check("pgl_2")).await;
    let description = [parse_complete(), parameter_description(), other_columns()];
    second.reply([&[close_complete()], &description[..]].concat()).await;
    second.answer(run_named("pgl_2"), ran()).await;
    client.expect(ran()).await;
    // The first server has still the old one, which is no longer this client's.
    client.send([query("begin")]).await;
    second.answer([query("begin")], [complete("BEGIN"), in_transaction()]).await;
    client.expect([complete("BEGIN"), in_transaction()]).await;
    other.send([query("commit")]).await;
    server.answer([query("commit")], [complete("COMMIT"), idle()]).await;
    other.expect([complete("COMMIT"), idle()]).await;
}

async fn who_asks_later_in_a_transaction_has_been_told(delivery: Delivery) {
    let (mut stage, mut client, mut other, mut server) = two_servers(delivery).await;
    prepare(&mut client, &mut server, ("a", "pgl_1"), "select 1").await;
    begin(&mut client, &mut server).await;
    for (asked, told, answer) in [
        (bind("", "a"), bind("", "pgl_1"), bind_complete()),
        (describe_portal(""), describe_portal(""), columns()),
    ] {
        client.send([asked, sync()]).await;
        server.answer([told, sync()], [answer.clone(), in_transaction()]).await;
        client.expect([answer, in_transaction()]).await;
    }
    client.send([query("commit")]).await;
    server.answer([query("commit")], [complete("COMMIT"), idle()]).await;
    client.expect([complete("COMMIT"), idle()]).await;
    let sent = run_named("a");
    let mut second =
        second_server(&mut stage, (&mut other, &mut server), (&mut client, &sent)).await;
    second.answer(check("pgl_1"), [parse_complete(), parameter_description(), no_data()]).await;
    second.answer(run_named("pgl_0"), [error("26000"), idle()]).await;
    client.expect([refused(), idle()]).await;
}

async fn a_portal_with_a_name_is_looked_at_before_it_is_bound(delivery: Delivery) {
    let (mut stage, mut client, mut other, mut server) = two_servers(delivery).await;
    let batch = |its| [bind("p", its), describe_portal("p"), execute("p"), sync()];
    client.send([&[parse("a", "select 1")], &batch("a")[..]].concat()).await;
    let looks = [parse("pgl_1", "select 1"), describe_statement("pgl_1")];
    server.expect([&looks[..], &batch("pgl_1")].concat()).await;
    server.reply([&[parse_complete()], &described()[..], &showed(columns())].concat()).await;
    client.expect([&[parse_complete()], &showed(columns())[..]].concat()).await;
    // Once.
    client.send(batch("a")).await;
    server.answer(batch("pgl_1"), showed(columns())).await;
    client.expect(showed(columns())).await;
    let sent = run_named("a");
    let mut second =
        second_server(&mut stage, (&mut other, &mut server), (&mut client, &sent)).await;
    // What it takes nobody has been told.
    let parameters = Frame::new(b't', [0, 1, 0, 0, 0, 23]);
    second.answer(check("pgl_1"), [parse_complete(), parameters, columns()]).await;
    second.answer(run_named("pgl_1"), ran()).await;
    client.expect(ran()).await;
}

/// The client runs the unnamed statement and asks what its columns are; then it runs it again, on another server.
async fn run_unnamed_again(delivery: Delivery, columns_there: Frame) -> (Stage, Client, Server) {
    let (mut stage, mut client, mut other, mut server) = two_servers(delivery).await;
    let sent = [&[parse("", "select 1")], &shown("")[..]].concat();
    client.send(&sent).await;
    let answer = [&[parse_complete()], &showed(columns())[..]].concat();
    server.answer(sent, &answer).await;
    client.expect(answer).await;
    let sent = run_named("");
    let mut second =
        second_server(&mut stage, (&mut other, &mut server), (&mut client, &sent)).await;
    second.expect([parse("", "select 1"), describe_statement(""), flush()]).await;
    second.reply([parse_complete(), parameter_description(), columns_there]).await;
    other.send([terminate()]).await;
    (stage, client, second)
}

async fn the_unnamed_statement_is_checked_where_it_is_parsed_anew(delivery: Delivery) {
    let (_stage, mut client, mut second) = run_unnamed_again(delivery, columns()).await;
    second.answer(run_named(""), ran()).await;
    client.expect(ran()).await;
    run(&mut client, &mut second, "", "").await;
}

async fn the_unnamed_statement_of_other_columns_is_refused(delivery: Delivery) {
    let (_stage, mut client, mut second) = run_unnamed_again(delivery, other_columns()).await;
    second.answer(run_named("pgl_0"), [error("26000"), idle()]).await;
    client.expect([refused(), idle()]).await;
}

async fn an_answer_that_was_skipped_tells_nothing(delivery: Delivery) {
    let (mut stage, mut client, mut other, mut server) = two_servers(delivery).await;
    prepare(&mut client, &mut server, ("a", "pgl_1"), "select 1").await;
    client.send(shown("a")).await;
    server.answer(shown("pgl_1"), [error("42501"), idle()]).await;
    client.expect([error("42501"), idle()]).await;
    let sent = run_named("a");
    let mut second =
        second_server(&mut stage, (&mut other, &mut server), (&mut client, &sent)).await;
    second.expect([&[parse("pgl_1", "select 1")], &run_named("pgl_1")[..]].concat()).await;
    second.reply([&[parse_complete()], &ran()[..]].concat()).await;
    client.expect(ran()).await;
}

async fn a_portal_tells_nothing_of_parameters(delivery: Delivery) {
    let (mut stage, mut client, mut other, mut server) = two_servers(delivery).await;
    prepare_and_describe(&mut client, &mut server).await;
    // Another client has seen the columns of the second server's copy.
    let sent = [&[parse("b", "select 1")], &shown("b")[..]].concat();
    let mut second =
        second_server(&mut stage, (&mut client, &mut server), (&mut other, &sent)).await;
    second.expect([&[parse("pgl_1", "select 1")], &shown("pgl_1")[..]].concat()).await;
    second.reply([&[parse_complete()], &showed(columns())[..]].concat()).await;
    other.expect([&[parse_complete()], &showed(columns())[..]].concat()).await;
    // The first one knows the parameters, too.
    begin(&mut other, &mut second).await;
    client.send([query("commit")]).await;
    server.answer([query("commit")], [complete("COMMIT"), idle()]).await;
    client.expect([complete("COMMIT"), idle()]).await;
    begin(&mut client, &mut server).await;
    other.send([query("commit")]).await;
    second.answer([query("commit")], [complete("COMMIT"), idle()]).await;
    other.expect([complete("COMMIT"), idle()]).await;
    other.send(run_named("b")).await;
    second.answer([describe_statement("pgl_1"), flush()], described()).await;
    second.answer(run_named("pgl_1"), ran()).await;
    other.expect(ran()).await;
}

async fn a_portal_bound_anew_is_another(delivery: Delivery) {
    let (mut stage, mut client, mut other, mut server) = two_servers(delivery).await;
    prepare(&mut client, &mut server, ("a", "pgl_1"), "select 1").await;
    prepare(&mut client, &mut server, ("b", "pgl_2"), "select 2").await;
    client.send([&[bind("", "a")], &shown("b")[..]].concat()).await;
    let answer = [&[bind_complete()], &showed(columns())[..]].concat();
    server.answer([&[bind("", "pgl_1")], &shown("pgl_2")[..]].concat(), &answer).await;
    client.expect(answer).await;
    // Of the first one it was told nothing.
    let sent = run_named("a");
    let mut second =
        second_server(&mut stage, (&mut other, &mut server), (&mut client, &sent)).await;
    second.expect([&[parse("pgl_1", "select 1")], &run_named("pgl_1")[..]].concat()).await;
    second.reply([&[parse_complete()], &ran()[..]].concat()).await;
    client.expect(ran()).await;
    client.send(run_named("b")).await;
    second.expect([parse("pgl_2", "select 2"), describe_statement("pgl_2"), flush()]).await;
    second.reply([parse_complete(), parameter_description(), columns()]).await;
    second.answer(run_named("pgl_2"), ran()).await;
    client.expect(ran()).await;
}

/// How a client is told what its statement's columns are.
#[derive(Clone, Copy)]
enum By {
    Statement,
    Portal,
}

/// A client that was told on the primary, in a transaction, and a server of each node.
async fn told_by_primary(delivery: Delivery, by: By) -> (Stage, Client, Server, Server) {
    let mut stage =
        Stage::replicated_with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut primary) = stage.pair().await;
    client.send([query("select 0")]).await;
    let mut replica = stage.replica().accept().await;
    replica.answer([query("select 0")], one_row("x")).await;
    client.expect(one_row("x")).await;
    begin(&mut client, &mut primary).await;
    let (asks, answer): (fn(&str) -> Vec<Frame>, _) = match by {
        By::Statement => (|name| vec![describe_statement(name), sync()], described().to_vec()),
        By::Portal => (
            |name| vec![bind("", name), describe_portal(""), sync()],
            vec![bind_complete(), columns()],
        ),
    };
    let answer = [&[parse_complete()], &answer[..], &[in_transaction()]].concat();
    client.send([&[parse("a", "select 1")], &asks("a")[..]].concat()).await;
    primary.answer([&[parse("pgl_1", "select 1")], &asks("pgl_1")[..]].concat(), &answer).await;
    client.expect(answer).await;
    client.send([query("commit")]).await;
    primary.answer([query("commit")], [complete("COMMIT"), idle()]).await;
    client.expect([complete("COMMIT"), idle()]).await;
    stage.replica_has_caught_up().await;
    (stage, client, primary, replica)
}

/// The client has been told by the primary, runs its statement, and the replica's columns are others.
async fn replica_differs(delivery: Delivery, by: By) -> (Stage, Client, Server) {
    let (stage, mut client, primary, mut replica) = told_by_primary(delivery, by).await;
    client.send(run_named("a")).await;
    replica.expect(check("pgl_1")).await;
    replica.reply_last([parse_complete(), parameter_description(), other_columns()]).await;
    (stage, client, primary)
}

async fn a_late_replica_is_not_asked_again(delivery: Delivery) {
    for by in [By::Statement, By::Portal] {
        let (_stage, mut client, mut primary) = replica_differs(delivery.clone(), by).await;
        // The primary's copy is what the client was told.
        primary.answer(run_named("pgl_1"), ran()).await;
        client.expect(ran()).await;
    }
}

async fn a_replica_that_is_ahead_is_refused_on_the_primary(delivery: Delivery) {
    for by in [By::Statement, By::Portal] {
        let (_stage, mut client, mut primary) = replica_differs(delivery.clone(), by).await;
        let stale = report("ERROR", "0A000", "RevalidateCachedQuery");
        primary.answer(run_named("pgl_1"), [stale.clone(), idle()]).await;
        client.expect([stale, idle()]).await;
    }
}

async fn in_a_transaction_a_late_replica_is_refused(delivery: Delivery) {
    for by in [By::Statement, By::Portal] {
        let (_stage, mut client, _primary, mut replica) =
            told_by_primary(delivery.clone(), by).await;
        client.send([query("begin read only")]).await;
        let began = [complete("BEGIN"), in_transaction()];
        replica.answer([query("begin read only")], &began).await;
        client.expect(&began).await;
        client.send(run_named("a")).await;
        let description = [parse_complete(), parameter_description(), other_columns()];
        replica.answer(check("pgl_1"), description).await;
        replica.answer(run_named("pgl_0"), [error("26000"), failed()]).await;
        client.expect([refused(), failed()]).await;
    }
}
