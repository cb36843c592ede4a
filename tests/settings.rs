//! Parameters: a client's SET goes with it to every server, and to nobody else.

use crate::support::prelude::*;
use crate::support::scripted;

scripted!(
    a_set_is_repeated_on_another_server_in_the_same_packet,
    a_set_is_undone_for_others,
    a_set_in_a_rolled_back_transaction_is_not_repeated,
    a_set_that_fails_is_not_repeated,
    a_set_by_the_extended_protocol_is_repeated,
    set_local_stays_with_its_transaction,
    reset_goes_back_to_the_startup_value,
    reset_goes_back_to_the_startup_value_within_a_transaction,
    a_rollback_to_a_savepoint_undoes_a_set,
    discard_all_forgets_settings,
    a_parameter_that_the_server_reports_is_followed,
    a_setting_that_another_server_refuses_ends_the_session,
    a_setting_that_cannot_be_repeated_pins,
    a_value_that_only_the_server_knows_is_asked_for,
    a_value_that_the_server_does_not_tell_pins
);

/// Runs `sql` on `server`, which answers `tag` and `status`.
async fn run(client: &mut Client, server: &mut Server, sql: &str, end: [Frame; 2]) {
    client.send([query(sql)]).await;
    server.answer([query(sql)], &end).await;
    client.expect(end).await;
}

async fn set(client: &mut Client, server: &mut Server, sql: &str) {
    run(client, server, sql, [complete("SET"), idle()]).await;
}

/// The server's first frames are these: settings, and `select 1`.
async fn arrives_with(client: &mut Client, server: &mut Server, settings: &str) {
    client.send([query("select 1")]).await;
    server.expect([query(settings), query("select 1")]).await;
    server.reply([complete("SET"), idle()]).await;
    server.reply(one_row("1")).await;
    client.expect(one_row("1")).await;
}

/// The server is given nothing but the query.
async fn arrives_alone(client: &mut Client, server: &mut Server) {
    client.send([query("select 1")]).await;
    server.answer([query("select 1")], one_row("1")).await;
    client.expect(one_row("1")).await;
}

async fn a_set_is_repeated_on_another_server_in_the_same_packet(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 2).await;
    let (mut client, mut server) = stage.pair().await;
    set(&mut client, &mut server, "SET search_path TO a, b").await;
    set(&mut client, &mut server, "set time zone interval '1' hour to minute").await;
    // On the server that has it nothing is repeated.
    arrives_alone(&mut client, &mut server).await;
    let mut other = stage.client().await;
    other.send([query("begin")]).await;
    server.expect([query("RESET \"search_path\";RESET \"timezone\";"), query("begin")]).await;
    server.reply([complete("RESET"), complete("RESET"), idle()]).await;
    server.reply([complete("BEGIN"), in_transaction()]).await;
    other.expect([complete("BEGIN"), in_transaction()]).await;
    client.send([query("select 1")]).await;
    let mut second = stage.primary.accept().await;
    let settings = "SET \"search_path\" TO 'a', 'b';SET TIME ZONE interval '1' hour to minute;";
    second.expect([query(settings), query("select 1")]).await;
    second.reply([complete("SET"), parameter("TimeZone", "<+01>-01"), idle()]).await;
    second.reply(one_row("1")).await;
    client.expect(one_row("1")).await;
}

async fn a_set_is_undone_for_others(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    set(&mut client, &mut server, "SET statement_timeout = '5s'").await;
    arrives_with(&mut other, &mut server, "RESET \"statement_timeout\";").await;
    arrives_with(&mut client, &mut server, "SET \"statement_timeout\" TO '5s';").await;
}

async fn a_set_in_a_rolled_back_transaction_is_not_repeated(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    for (end, tag) in [("rollback", "ROLLBACK"), ("commit", "ROLLBACK")] {
        let began = [complete("BEGIN"), in_transaction()];
        run(&mut client, &mut server, "begin", began).await;
        let done = [complete("SET"), in_transaction()];
        run(&mut client, &mut server, "set search_path to a", done).await;
        if end == "commit" {
            run(&mut client, &mut server, "select nope", [error("42703"), failed()]).await;
        }
        run(&mut client, &mut server, end, [complete(tag), idle()]).await;
        arrives_alone(&mut other, &mut server).await;
        arrives_alone(&mut client, &mut server).await;
    }
}

async fn a_set_that_fails_is_not_repeated(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    let sql = "set search_path to 17";
    run(&mut client, &mut server, sql, [error("22023"), idle()]).await;
    arrives_alone(&mut other, &mut server).await;
    arrives_alone(&mut client, &mut server).await;
}

async fn a_set_by_the_extended_protocol_is_repeated(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    let batch = run_unnamed("set search_path to a");
    let answer = [parse_complete(), bind_complete(), complete("SET"), idle()];
    client.send(&batch).await;
    server.answer(&batch, &answer).await;
    client.expect(&answer).await;
    arrives_with(&mut other, &mut server, "RESET \"search_path\";").await;
    arrives_with(&mut client, &mut server, "SET \"search_path\" TO 'a';").await;
}

async fn set_local_stays_with_its_transaction(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    run(&mut client, &mut server, "begin", [complete("BEGIN"), in_transaction()]).await;
    let sql = "set local search_path to a";
    run(&mut client, &mut server, sql, [complete("SET"), in_transaction()]).await;
    run(&mut client, &mut server, "commit", [complete("COMMIT"), idle()]).await;
    arrives_alone(&mut other, &mut server).await;
    arrives_alone(&mut client, &mut server).await;
}

async fn reset_goes_back_to_the_startup_value(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut other, mut server) = stage.pair().await;
    let mut client = stage.dial().await;
    let wanted = [("user", "app"), ("database", "app"), ("search_path", "mine")];
    client.wire.send_bytes(&startup(V3_0, &wanted)).await;
    let mine = "SELECT pg_catalog.set_config('search_path','mine',false);";
    server.answer([query(mine)], [complete("SELECT 1"), idle()]).await;
    client.read_greeting().await;
    set(&mut client, &mut server, "set search_path to a").await;
    // The server resets it to its own default.
    client.send([query("reset search_path")]).await;
    let told = parameter("search_path", "mine");
    is_reset(&mut server, ("reset search_path", mine), &[told.clone(), idle()]).await;
    client.expect([complete("RESET"), told, idle()]).await;
    arrives_alone(&mut client, &mut server).await;
    arrives_with(&mut other, &mut server, "RESET \"search_path\";").await;
}

/// The server runs a RESET, and then what gives it the value that the client began with. What has changed it reports at
/// the end.
async fn is_reset(server: &mut Server, (reset, restored): (&str, &str), end: &[Frame]) {
    let [reset, restored] = [reset, restored.trim_end_matches(';')].map(run_unnamed);
    server.expect(&reset[..3]).await;
    server.expect(&restored).await;
    let done = [parse_complete(), bind_complete(), complete("RESET")];
    let given = [parse_complete(), bind_complete(), complete("SELECT 1")];
    server.reply([&done[..], &given, end].concat()).await;
}

/// A client that has asked for a `search_path` when it logged in, by this SQL, and the only server.
async fn startup_pair(stage: &mut Stage, mine: &str) -> (Client, Server) {
    let (other, mut server) = stage.pair().await;
    drop(other);
    let mut client = stage.dial().await;
    let wanted = [("user", "app"), ("database", "app"), ("search_path", "it's")];
    client.wire.send_bytes(&startup(V3_0, &wanted)).await;
    server.answer([query(mine)], [complete("SELECT 1"), idle()]).await;
    client.read_greeting().await;
    (client, server)
}

async fn reset_goes_back_to_the_startup_value_within_a_transaction(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let mine = "SELECT pg_catalog.set_config('search_path','it''s',false);";
    let (mut client, mut server) = startup_pair(&mut stage, mine).await;
    run(&mut client, &mut server, "begin", [complete("BEGIN"), in_transaction()]).await;
    for (reset, restored) in [
        ("reset all", mine),
        (
            "set local search_path to default",
            "SELECT pg_catalog.set_config('search_path','it''s',true);",
        ),
    ] {
        client.send([query(reset)]).await;
        is_reset(&mut server, (reset, restored), &[in_transaction()]).await;
        client.expect([complete("RESET"), in_transaction()]).await;
    }
    // In a failed transaction nothing can be restored, and need not be.
    run(&mut client, &mut server, "select nope", [error("42703"), failed()]).await;
    run(&mut client, &mut server, "reset all", [error("25P02"), failed()]).await;
    run(&mut client, &mut server, "rollback", [complete("ROLLBACK"), idle()]).await;
    // The rollback has undone whatever was reset.
    arrives_alone(&mut client, &mut server).await;
}

async fn a_rollback_to_a_savepoint_undoes_a_set(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    run(&mut client, &mut server, "begin", [complete("BEGIN"), in_transaction()]).await;
    for (sql, tag) in [
        ("set search_path to a", "SET"),
        ("savepoint s", "SAVEPOINT"),
        ("set search_path to b", "SET"),
        ("rollback to s", "ROLLBACK"),
    ] {
        run(&mut client, &mut server, sql, [complete(tag), in_transaction()]).await;
    }
    run(&mut client, &mut server, "commit", [complete("COMMIT"), idle()]).await;
    // No pin, and what is undone for the other and done again is what was before the savepoint.
    arrives_with(&mut other, &mut server, "RESET \"search_path\";").await;
    arrives_with(&mut client, &mut server, "SET \"search_path\" TO 'a';").await;
}

async fn discard_all_forgets_settings(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    set(&mut client, &mut server, "set work_mem to 1").await;
    client.ask([query("discard all")], [complete("DISCARD ALL"), idle()]).await;
    arrives_with(&mut client, &mut server, "RESET \"work_mem\";").await;
}

async fn a_parameter_that_the_server_reports_is_followed(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    let mut other = stage.client().await;
    // A trigger sets it: the text does not say so.
    let sql = "insert into t values (1)";
    let answer = [parameter("DateStyle", "German, DMY"), complete("INSERT 0 1")];
    client.send([query(sql)]).await;
    server.answer([query(sql)], [&answer[..], &[idle()]].concat()).await;
    client.expect([&answer[..], &[idle()]].concat()).await;
    arrives_with(&mut other, &mut server, "RESET \"datestyle\";").await;
    let again = "SET \"datestyle\" TO 'German, DMY';";
    arrives_with(&mut client, &mut server, again).await;
}

async fn a_setting_that_another_server_refuses_ends_the_session(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 2).await;
    let (mut client, mut server) = stage.pair().await;
    set(&mut client, &mut server, "set role admin").await;
    let _other = occupy_after_reset(&stage, &mut server).await;
    client.send([query("delete from t")]).await;
    let mut second = stage.primary.accept().await;
    // Nothing runs as somebody else before the server has agreed.
    second.answer([query("SET \"role\" TO 'admin';")], [error("22023"), idle()]).await;
    let refused = client.next().await;
    assert_eq!(refused.field(b'V').as_deref(), Some("FATAL"), "{refused:?}");
    client.expect_closed().await;
    // Whose role it has by now is not known.
    second.expect_closed().await;
}

/// Another client takes the server, without the first one's role, and keeps it.
async fn occupy_after_reset(stage: &Stage, server: &mut Server) -> Client {
    let mut other = stage.client().await;
    other.send([query("begin")]).await;
    server.answer([query("RESET \"role\";")], [complete("RESET"), idle()]).await;
    server.answer([query("begin")], [complete("BEGIN"), in_transaction()]).await;
    other.expect([complete("BEGIN"), in_transaction()]).await;
    other
}

async fn a_setting_that_cannot_be_repeated_pins(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 2).await;
    let (mut client, mut server) = stage.pair().await;
    let sql = "select set_config(name, 'a', false) from t";
    client.send([query(sql)]).await;
    server.answer([query(sql)], one_row("x")).await;
    client.expect(one_row("x")).await;
    let mut other = stage.client().await;
    other.send([query("select 1")]).await;
    let mut second = stage.primary.accept().await;
    second.answer([query("select 1")], one_row("1")).await;
    other.expect(one_row("1")).await;
    arrives_alone(&mut client, &mut server).await;
    drop(client);
    server.answer([query("DISCARD ALL")], [complete("DISCARD ALL"), idle()]).await;
}

const UNSEEN: &str = "select set_config('My.own', value, false) from t";

/// The client sets a parameter to a value that its text does not tell, and the server is asked for that.
async fn set_unseen(client: &mut Client, server: &mut Server) {
    client.send([query(UNSEEN)]).await;
    server.answer([query(UNSEEN)], one_row("x")).await;
    let question = String::from_utf8(server.next().await.body).unwrap();
    assert!(question.ends_with(", pg_catalog.current_setting('my.own', true)\0"), "{question}");
    client.expect(one_row("x")).await;
}

async fn a_value_that_only_the_server_knows_is_asked_for(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    set_unseen(&mut client, &mut server).await;
    let told = values(&["f", "f", "f", "f", "it's"]);
    server.reply([told.clone(), complete("SELECT 1"), idle()]).await;
    let mut other = stage.client().await;
    arrives_with(&mut other, &mut server, "RESET ALL;").await;
    arrives_with(&mut client, &mut server, "SET \"my\".\"own\" TO 'it''s';").await;
    // Nothing has become of it.
    set_unseen(&mut client, &mut server).await;
    server.reply([told, complete("SELECT 1"), idle()]).await;
    arrives_alone(&mut client, &mut server).await;
}

async fn a_value_that_the_server_does_not_tell_pins(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    set_unseen(&mut client, &mut server).await;
    server.reply([error("42501"), idle()]).await;
    arrives_alone(&mut client, &mut server).await;
    drop(client);
    server.answer([query("DISCARD ALL")], [complete("DISCARD ALL"), idle()]).await;
    let mut other = stage.client().await;
    arrives_alone(&mut other, &mut server).await;
}
