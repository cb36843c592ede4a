//! Prepared statements: names belong to clients, statements to servers.

use crate::support::prelude::*;
use crate::support::scripted;

scripted!(
    a_second_server_is_given_the_statement_first,
    describe_without_bind_prepares_the_statement_too,
    two_clients_share_one_statement,
    parameter_types_tell_statements_apart,
    a_name_that_is_taken_is_42p05,
    a_name_that_is_taken_twice_in_a_transaction_is_42p05_each_time,
    an_unknown_name_is_26000,
    a_name_like_ours_is_not_ours,
    a_parse_that_fails_leaves_no_name,
    a_parse_that_is_skipped_leaves_no_name,
    an_error_before_a_synthesized_parse_complete_skips_it,
    an_error_of_an_injected_parse_is_the_clients,
    an_injected_parse_in_a_failed_transaction_is_refused_aloud,
    a_closed_name_is_free_again,
    the_unnamed_statement_follows_its_client,
    the_unnamed_statement_ends_with_a_query,
    nobody_sees_anothers_unnamed_statement,
    nobody_sees_anothers_unnamed_statement_after_an_error,
    deallocate_all_forgets_names,
    a_server_that_lost_its_statements_is_given_them_again,
    a_close_is_answered_in_its_place,
    eviction_never_closes_what_a_pipeline_refers_to,
    a_client_that_knows_the_columns_has_each_copy_checked_once,
    a_client_that_knows_other_columns_is_told_so,
    other_parameters_are_another_statement,
    another_client_that_parses_it_is_not_bothered,
    a_known_statement_in_a_transaction_is_checked_there,
    who_is_told_other_columns_has_another_statement;
    split a_named_statement_has_the_servers_name_there
);

pub(crate) fn ran() -> [Frame; 4] {
    [bind_complete(), row("1"), complete("SELECT 1"), idle()]
}

/// The client prepares `sql` as `name`; the server does so as `its`.
pub(crate) async fn prepare(
    client: &mut Client,
    server: &mut Server,
    (name, its): (&str, &str),
    sql: &str,
) {
    client.send([parse(name, sql), sync()]).await;
    server.answer([parse(its, sql), sync()], [parse_complete(), idle()]).await;
    client.expect([parse_complete(), idle()]).await;
}

/// The client begins a transaction.
pub(crate) async fn begin(client: &mut Client, server: &mut Server) {
    client.send([query("begin")]).await;
    server.answer([query("begin")], [complete("BEGIN"), in_transaction()]).await;
    client.expect([complete("BEGIN"), in_transaction()]).await;
}

/// Lets `client` hold the stage's first server in a transaction, and returns a second one, opened for `other`
/// because of what it has sent.
pub(crate) async fn second_server(
    stage: &mut Stage,
    (client, server): (&mut Client, &mut Server),
    (other, sent): (&mut Client, &[Frame]),
) -> Server {
    begin(client, server).await;
    other.send(sent).await;
    stage.primary.accept().await
}

async fn a_named_statement_has_the_servers_name_there(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([parse("a", "select 1"), bind("", "a"), execute(""), sync()]).await;
    let sent = [parse("pgl_1", "select 1"), bind("", "pgl_1"), execute(""), sync()];
    server.answer(sent, [&[parse_complete()], &ran()[..]].concat()).await;
    client.expect([&[parse_complete()], &ran()[..]].concat()).await;
    client.send([describe_statement("a"), bind("", "a"), execute(""), sync()]).await;
    let sent = [describe_statement("pgl_1"), bind("", "pgl_1"), execute(""), sync()];
    let described = [parameter_description(), columns()];
    server.answer(sent, [&described, &ran()[..]].concat()).await;
    client.expect([&described, &ran()[..]].concat()).await;
}

async fn a_second_server_is_given_the_statement_first(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 2).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    prepare(&mut client, &mut server, ("a", "pgl_1"), "select 1").await;
    let run = run_named("a");
    let mut second =
        second_server(&mut stage, (&mut other, &mut server), (&mut client, &run)).await;
    let sent = [&[parse("pgl_1", "select 1")], &run_named("pgl_1")[..]].concat();
    second.answer(sent, [&[parse_complete()], &ran()[..]].concat()).await;
    // The client has not asked for this ParseComplete.
    client.expect(ran()).await;
    client.send(run_named("a")).await;
    second.answer(run_named("pgl_1"), ran()).await;
    client.expect(ran()).await;
}

async fn describe_without_bind_prepares_the_statement_too(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 2).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    prepare(&mut client, &mut server, ("a", "pgl_1"), "select 1").await;
    let asked = [describe_statement("a"), sync()];
    let mut second =
        second_server(&mut stage, (&mut other, &mut server), (&mut client, &asked)).await;
    let sent = [parse("pgl_1", "select 1"), describe_statement("pgl_1"), sync()];
    let described = [parameter_description(), columns(), idle()];
    second.answer(sent, [&[parse_complete()], &described[..]].concat()).await;
    client.expect(described).await;
}

pub(crate) fn described() -> [Frame; 2] {
    [parameter_description(), columns()]
}

/// RowDescription of one column of another name.
pub(crate) fn other_columns() -> Frame {
    let mut frame = columns();
    frame.body[2] = b'C';
    frame
}

pub(crate) fn refused() -> Frame {
    let fields = [
        "SERROR",
        "VERROR",
        "C0A000",
        "Mcached plan must not change result type",
        "Fplancache.c",
        "RRevalidateCachedQuery",
        "",
    ];
    Frame::new(b'E', fields.join("\0").into_bytes().into_iter().chain([0]).collect::<Vec<_>>())
}

/// The client prepares `select 1` as `a` on the first server, and is told its columns.
pub(crate) async fn prepare_and_describe(client: &mut Client, server: &mut Server) {
    prepare(client, server, ("a", "pgl_1"), "select 1").await;
    describe(client, server, "a", "pgl_1").await;
}

pub(crate) async fn describe(client: &mut Client, server: &mut Server, name: &str, its: &str) {
    client.send([describe_statement(name), sync()]).await;
    let answer = [&described()[..], &[idle()]].concat();
    server.answer([describe_statement(its), sync()], &answer).await;
    client.expect(answer).await;
}

/// What a server is asked about a statement that its client knows.
pub(crate) fn check(name: &str) -> [Frame; 3] {
    [parse(name, "select 1"), describe_statement(name), flush()]
}

async fn a_client_that_knows_the_columns_has_each_copy_checked_once(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 2).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    prepare_and_describe(&mut client, &mut server).await;
    client.send(run_named("a")).await;
    server.answer(run_named("pgl_1"), ran()).await;
    client.expect(ran()).await;
    let run = run_named("a");
    let mut second =
        second_server(&mut stage, (&mut other, &mut server), (&mut client, &run)).await;
    // Nothing of the client's runs before the answer.
    second.answer(check("pgl_1"), [&[parse_complete()], &described()[..]].concat()).await;
    for _ in 0..2 {
        second.answer(run_named("pgl_1"), ran()).await;
        client.expect(ran()).await;
        client.send(run_named("a")).await;
    }
    second.answer(run_named("pgl_1"), ran()).await;
    client.expect(ran()).await;
}

/// The client runs its statement on a server that answers `answer` to the check.
async fn refuse(delivery: Delivery, answer: &[Frame]) -> (Stage, Client, Server, Server) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 2).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    prepare_and_describe(&mut client, &mut server).await;
    let run = run_named("a");
    let mut second =
        second_server(&mut stage, (&mut other, &mut server), (&mut client, &run)).await;
    second.answer(check("pgl_1"), [&[parse_complete()], answer].concat()).await;
    second.answer(run_named("pgl_0"), [error("26000"), idle()]).await;
    client.expect([refused(), idle()]).await;
    other.send([terminate()]).await;
    (stage, client, server, second)
}

async fn a_client_that_knows_other_columns_is_told_so(delivery: Delivery) {
    let other = [parameter_description(), other_columns()];
    let (_stage, mut client, _server, mut second) = refuse(delivery, &other).await;
    // For as long as it is so; and the copy has gone.
    client.send(run_named("a")).await;
    second.expect([&[close_statement("pgl_1")], &check("pgl_2")[..]].concat()).await;
    second.reply([&[close_complete(), parse_complete()], &other[..]].concat()).await;
    second.answer(run_named("pgl_0"), [error("26000"), idle()]).await;
    client.expect([refused(), idle()]).await;
    client.send(run_named("a")).await;
    second.expect([&[close_statement("pgl_2")], &check("pgl_3")[..]].concat()).await;
    second.reply([&[close_complete(), parse_complete()], &described()[..]].concat()).await;
    second.answer(run_named("pgl_3"), ran()).await;
    client.expect(ran()).await;
    // Parsed again it is what it is now.
    client.send([&[parse("b", "select 1"), describe_statement("b")], &[sync()][..]].concat()).await;
    let sent = [parse("pgl_4", "select 1"), describe_statement("pgl_4"), sync()];
    let answer = [&[parse_complete()], &other[..], &[idle()]].concat();
    second.answer(sent, &answer).await;
    client.expect(answer).await;
    client.send(run_named("b")).await;
    second.answer(run_named("pgl_4"), ran()).await;
    client.expect(ran()).await;
}

async fn other_parameters_are_another_statement(delivery: Delivery) {
    let parameters = Frame::new(b't', [0, 1, 0, 0, 0, 23]);
    refuse(delivery, &[parameters, columns()]).await;
}

async fn another_client_that_parses_it_is_not_bothered(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 2).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    prepare_and_describe(&mut client, &mut server).await;
    let parses = [parse("b", "select 1"), bind("", "b"), describe_portal(""), execute(""), sync()];
    let mut second =
        second_server(&mut stage, (&mut client, &mut server), (&mut other, &parses)).await;
    let sent =
        [parse("pgl_1", "select 1"), bind("", "pgl_1"), describe_portal(""), execute(""), sync()];
    let answer = [bind_complete(), columns(), row("1"), complete("SELECT 1"), idle()];
    let answer = [&[parse_complete()], &answer[..]].concat();
    second.answer(sent, &answer).await;
    other.expect(answer).await;
    // Nobody has asked that server yet what it looks like.
    other.send(run_named("b")).await;
    second.answer([describe_statement("pgl_1"), flush()], described()).await;
    second.answer(run_named("pgl_1"), ran()).await;
    other.expect(ran()).await;
}

async fn who_is_told_other_columns_has_another_statement(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 2).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    prepare_and_describe(&mut client, &mut server).await;
    let parses = [parse("b", "select 1"), describe_statement("b"), sync()];
    let mut second =
        second_server(&mut stage, (&mut client, &mut server), (&mut other, &parses)).await;
    let told = [parse_complete(), parameter_description(), other_columns()];
    let answer = [&told[..], &[idle()]].concat();
    let sent = [parse("pgl_1", "select 1"), describe_statement("pgl_1"), sync()];
    second.answer(sent, &answer).await;
    other.expect(answer).await;
    // It is given a copy of its own, once.
    other.send(run_named("b")).await;
    second.expect([close_statement("pgl_1")]).await;
    second.expect(check("pgl_2")).await;
    second.reply([&[close_complete()], &told[..]].concat()).await;
    second.answer(run_named("pgl_2"), ran()).await;
    other.expect(ran()).await;
    run(&mut other, &mut second, "b", "pgl_2").await;
    // The first client's is what it was, where it is.
    client.send([query("commit")]).await;
    server.answer([query("commit")], [complete("COMMIT"), idle()]).await;
    client.expect([complete("COMMIT"), idle()]).await;
    run(&mut client, &mut server, "a", "pgl_1").await;
}

/// The client runs what it calls `name`, and the server what is `its` name.
pub(crate) async fn run(client: &mut Client, server: &mut Server, name: &str, its: &str) {
    client.send(run_named(name)).await;
    server.answer(run_named(its), ran()).await;
    client.expect(ran()).await;
}

async fn a_known_statement_in_a_transaction_is_checked_there(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 2).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    prepare_and_describe(&mut client, &mut server).await;
    let mut second =
        second_server(&mut stage, (&mut other, &mut server), (&mut client, &[query("begin")]))
            .await;
    second.answer([query("begin")], [complete("BEGIN"), in_transaction()]).await;
    client.expect([complete("BEGIN"), in_transaction()]).await;
    client.send(run_named("a")).await;
    second.answer(check("pgl_1"), [parse_complete(), parameter_description(), no_data()]).await;
    second.answer(run_named("pgl_0"), [error("26000"), failed()]).await;
    client.expect([refused(), failed()]).await;
    // A failed transaction is what PostgreSQL speaks of first.
    client.send(run_named("a")).await;
    let sent = [close_statement("pgl_1"), parse("pgl_2", "select 1")];
    second.expect([&sent[..], &run_named("pgl_2")].concat()).await;
    second.reply([close_complete(), error("25P02"), failed()]).await;
    client.expect([error("25P02"), failed()]).await;
}

async fn two_clients_share_one_statement(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    prepare(&mut client, &mut server, ("a", "pgl_1"), "select 1").await;
    // Its own name, and ParseComplete although the server is not asked.
    other.send([parse("b", "select 1"), bind("", "b"), execute(""), sync()]).await;
    server.answer(run_named("pgl_1"), ran()).await;
    other.expect([&[parse_complete()], &ran()[..]].concat()).await;
}

async fn parameter_types_tell_statements_apart(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    for (name, its, types) in [("a", "pgl_1", &[][..]), ("b", "pgl_2", &[23])] {
        client.send([parse_typed(name, "select $1", types), sync()]).await;
        let sent = [parse_typed(its, "select $1", types), sync()];
        server.answer(sent, [parse_complete(), idle()]).await;
        client.expect([parse_complete(), idle()]).await;
    }
}

async fn a_name_that_is_taken_is_42p05(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    prepare(&mut client, &mut server, ("a", "pgl_1"), "select 1").await;
    client.send([parse("a", "select 2"), sync()]).await;
    // The server is brought to say so itself.
    server.expect([parse("a", ""), parse("a", "select 2"), sync()]).await;
    server.reply([parse_complete(), error("42P05"), idle()]).await;
    client.expect([error("42P05"), idle()]).await;
    // The name stands for what it stood for.
    client.send(run_named("a")).await;
    server.answer(run_named("pgl_1"), ran()).await;
    client.expect(ran()).await;
}

async fn a_name_that_is_taken_twice_in_a_transaction_is_42p05_each_time(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    prepare(&mut client, &mut server, ("a", "pgl_1"), "select 1").await;
    begin(&mut client, &mut server).await;
    client.send([parse("a", "select 2"), sync()]).await;
    server.expect([parse("a", ""), parse("a", "select 2"), sync()]).await;
    server.reply([parse_complete(), error("42P05"), failed()]).await;
    client.expect([error("42P05"), failed()]).await;
    client.send([parse("a", "select 3"), sync()]).await;
    // The server has the empty statement from before.
    server.expect([parse("a", "select 3"), sync()]).await;
    server.reply([error("42P05"), failed()]).await;
    client.expect([error("42P05"), failed()]).await;
}

async fn an_unknown_name_is_26000(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send(run_named("nobody")).await;
    server.answer(run_named("nobody"), [error("26000"), idle()]).await;
    client.expect([error("26000"), idle()]).await;
    client.send([describe_statement("nobody"), sync()]).await;
    server.answer([describe_statement("nobody"), sync()], [error("26000"), idle()]).await;
    client.expect([error("26000"), idle()]).await;
}

async fn a_name_like_ours_is_not_ours(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    prepare(&mut client, &mut server, ("a", "pgl_1"), "select 1").await;
    client.send(run_named("pgl_1")).await;
    server.answer(run_named("pgl_0"), [error("26000"), idle()]).await;
    client.expect([error("26000"), idle()]).await;
}

async fn a_parse_that_fails_leaves_no_name(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([parse("a", "select nope"), sync()]).await;
    let sent = [parse("pgl_1", "select nope"), sync()];
    server.answer(sent, [error("42703"), idle()]).await;
    client.expect([error("42703"), idle()]).await;
    client.send(run_named("a")).await;
    server.answer(run_named("a"), [error("26000"), idle()]).await;
    client.expect([error("26000"), idle()]).await;
    // And it is free, and the server is asked again.
    prepare(&mut client, &mut server, ("a", "pgl_2"), "select nope").await;
}

async fn a_parse_that_is_skipped_leaves_no_name(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([parse("a", "select nope"), parse("b", "select 1"), sync()]).await;
    server.expect([parse("pgl_1", "select nope"), parse("pgl_2", "select 1"), sync()]).await;
    server.reply([error("42703"), idle()]).await;
    client.expect([error("42703"), idle()]).await;
    prepare(&mut client, &mut server, ("b", "pgl_3"), "select 1").await;
}

async fn an_error_before_a_synthesized_parse_complete_skips_it(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    prepare(&mut other, &mut server, ("x", "pgl_1"), "select 1").await;
    // The second Parse is known to the server; its ParseComplete must not come after the error, nor before it.
    let failing =
        [parse("", "select nope"), bind("", ""), parse("a", "select 1"), bind("", "a"), sync()];
    let later = [parse("b", "select 1"), bind("", "b"), execute(""), sync()];
    client.send([&failing[..], &later].concat()).await;
    let sent = [parse("", "select nope"), bind("", ""), bind("", "pgl_1"), sync()];
    server.expect(sent).await;
    server.expect(run_named("pgl_1")).await;
    server.reply([parse_complete(), error("42703"), idle()]).await;
    server.reply(ran()).await;
    client.expect([parse_complete(), error("42703"), idle()]).await;
    client.expect([&[parse_complete()], &ran()[..]].concat()).await;
    client.send(run_named("a")).await;
    server.answer(run_named("a"), [error("26000"), idle()]).await;
    client.expect([error("26000"), idle()]).await;
}

async fn an_error_of_an_injected_parse_is_the_clients(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 2).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    prepare(&mut client, &mut server, ("a", "pgl_1"), "select * from gone").await;
    let run = run_named("a");
    let mut second =
        second_server(&mut stage, (&mut other, &mut server), (&mut client, &run)).await;
    second
        .expect([&[parse("pgl_1", "select * from gone")], &run_named("pgl_1")[..]].concat())
        .await;
    second.reply([error("42P01"), idle()]).await;
    client.expect([error("42P01"), idle()]).await;
    // The client still has its statement, the server has not.
    client.send(run_named("a")).await;
    second
        .expect([&[parse("pgl_2", "select * from gone")], &run_named("pgl_2")[..]].concat())
        .await;
    second.reply([&[parse_complete()], &ran()[..]].concat()).await;
    client.expect(ran()).await;
}

async fn an_injected_parse_in_a_failed_transaction_is_refused_aloud(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 2).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    prepare(&mut client, &mut server, ("a", "pgl_1"), "select 1").await;
    let mut second =
        second_server(&mut stage, (&mut other, &mut server), (&mut client, &[query("begin")]))
            .await;
    second.answer([query("begin")], [complete("BEGIN"), in_transaction()]).await;
    client.expect([complete("BEGIN"), in_transaction()]).await;
    client.send([query("select nope")]).await;
    second.answer([query("select nope")], [error("42703"), failed()]).await;
    client.expect([error("42703"), failed()]).await;
    client.send(run_named("a")).await;
    second.expect([&[parse("pgl_1", "select 1")], &run_named("pgl_1")[..]].concat()).await;
    second.reply([error("25P02"), failed()]).await;
    client.expect([error("25P02"), failed()]).await;
}

async fn a_closed_name_is_free_again(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    prepare(&mut client, &mut server, ("a", "pgl_1"), "select 1").await;
    client.ask([close_statement("a"), sync()], [close_complete(), idle()]).await;
    prepare(&mut client, &mut server, ("a", "pgl_2"), "select 2").await;
}

async fn the_unnamed_statement_follows_its_client(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 2).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    client.send([parse("", "select 1"), sync()]).await;
    server.answer([parse("", "select 1"), sync()], [parse_complete(), idle()]).await;
    client.expect([parse_complete(), idle()]).await;
    let run = run_named("");
    let mut second =
        second_server(&mut stage, (&mut other, &mut server), (&mut client, &run)).await;
    second.expect([&[parse("", "select 1")], &run_named("")[..]].concat()).await;
    second.reply([&[parse_complete()], &ran()[..]].concat()).await;
    client.expect(ran()).await;
}

async fn the_unnamed_statement_ends_with_a_query(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([parse("", "select 1"), sync(), query("select 2")]).await;
    server.answer([parse("", "select 1"), sync()], [parse_complete(), idle()]).await;
    server.answer([query("select 2")], one_row("2")).await;
    client.expect([parse_complete(), idle()]).await;
    client.expect(one_row("2")).await;
    client.send(run_named("")).await;
    server.answer(run_named(""), [error("26000"), idle()]).await;
    client.expect([error("26000"), idle()]).await;
}

async fn nobody_sees_anothers_unnamed_statement(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    client.send([parse("", "select secret"), sync()]).await;
    server.answer([parse("", "select secret"), sync()], [parse_complete(), idle()]).await;
    client.expect([parse_complete(), idle()]).await;
    other.send(run_named("")).await;
    server.expect([&[close_statement("")], &run_named("")[..]].concat()).await;
    server.reply([close_complete(), error("26000"), idle()]).await;
    other.expect([error("26000"), idle()]).await;
}

async fn nobody_sees_anothers_unnamed_statement_after_an_error(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    client.send([parse("", "select secret"), sync()]).await;
    server.answer([parse("", "select secret"), sync()], [parse_complete(), idle()]).await;
    client.expect([parse_complete(), idle()]).await;
    // The error has the server skip our Close, too.
    for _ in 0..2 {
        let nobody = [bind("", "nobody")];
        other.send([&nobody, &run_named("")[..]].concat()).await;
        server.expect([&nobody, &[close_statement("")], &run_named("")[..]].concat()).await;
        server.reply([error("26000"), idle()]).await;
        other.expect([error("26000"), idle()]).await;
    }
}

async fn deallocate_all_forgets_names(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    prepare(&mut client, &mut server, ("a", "pgl_1"), "select 1").await;
    prepare(&mut client, &mut server, ("b", "pgl_2"), "select 2").await;
    client.ask([query("deallocate a")], [complete("DEALLOCATE"), idle()]).await;
    client.send([query("deallocate a")]).await;
    server.answer([query("deallocate a")], [error("26000"), idle()]).await;
    client.expect([error("26000"), idle()]).await;
    client.ask([query("deallocate all")], [complete("DEALLOCATE ALL"), idle()]).await;
    client.send(run_named("b")).await;
    server.answer(run_named("b"), [error("26000"), idle()]).await;
    client.expect([error("26000"), idle()]).await;
}

async fn a_server_that_lost_its_statements_is_given_them_again(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    prepare(&mut client, &mut server, ("a", "pgl_1"), "select 1").await;
    begin(&mut other, &mut server).await;
    other.send([query("deallocate all")]).await;
    server.answer([query("deallocate all")], [complete("DEALLOCATE ALL"), in_transaction()]).await;
    other.expect([complete("DEALLOCATE ALL"), in_transaction()]).await;
    other.send([query("commit")]).await;
    server.answer([query("commit")], [complete("COMMIT"), idle()]).await;
    other.expect([complete("COMMIT"), idle()]).await;
    client.send(run_named("a")).await;
    let sent = [&[parse("pgl_2", "select 1")], &run_named("pgl_2")[..]].concat();
    server.answer(sent, [&[parse_complete()], &ran()[..]].concat()).await;
    client.expect(ran()).await;
}

async fn a_close_is_answered_in_its_place(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    prepare(&mut client, &mut server, ("a", "pgl_1"), "select 1").await;
    client.send([bind("", "a"), close_statement("a"), execute(""), sync()]).await;
    server.expect([bind("", "pgl_1"), execute(""), sync()]).await;
    server.reply(ran()).await;
    let answer = [bind_complete(), close_complete(), row("1"), complete("SELECT 1"), idle()];
    client.expect(answer).await;
}

async fn eviction_never_closes_what_a_pipeline_refers_to(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.limits.max_prepared_statements = 2).await;
    let (mut client, mut server) = stage.pair().await;
    let names = ["a", "b", "c", "d"];
    let sqls = ["select 1", "select 2", "select 3", "select 4"];
    // One pipeline with more statements than the server may keep: all stay while it runs.
    let mut sent = Vec::new();
    let mut received = Vec::new();
    for (index, (name, sql)) in names.iter().zip(sqls).enumerate() {
        let its = format!("pgl_{}", index + 1);
        sent.extend([parse(name, sql), bind("", name), execute("")]);
        received.extend([parse(&its, sql), bind("", &its), execute("")]);
    }
    sent.extend([bind("", "a"), execute(""), sync()]);
    received.extend([bind("", "pgl_1"), execute(""), sync()]);
    client.send(&sent).await;
    server.expect(&received).await;
    let mut answer = Vec::new();
    for _ in names {
        answer.extend([parse_complete(), bind_complete(), complete("SELECT 0")]);
    }
    answer.extend([bind_complete(), complete("SELECT 0"), idle()]);
    server.reply(&answer).await;
    client.expect(&answer).await;
    // Then those least recently used go, ahead of what the next client of the server sends.
    client.send(run_named("a")).await;
    let first = server.next().await;
    let second = server.next().await;
    let mut closed = [first, second];
    closed.sort_by(|a, b| a.body.cmp(&b.body));
    assert_eq!(closed, [close_statement("pgl_2"), close_statement("pgl_3")]);
    server.expect(run_named("pgl_1")).await;
    server.reply([&[close_complete(), close_complete()], &ran()[..]].concat()).await;
    client.expect(ran()).await;
}
