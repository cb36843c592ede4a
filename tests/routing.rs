//! Reads on a replica, writes on the primary, and never a wrong answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pglagoon::cluster::{NodeId, Usable};
use pglagoon::config::{Config, NoReplica, UntilWrite};

use crate::support::prelude::*;
use crate::support::scripted;

scripted!(
    reads_go_to_the_replica_and_writes_to_the_primary,
    a_function_call_runs_on_the_primary,
    a_read_sees_the_sessions_own_write,
    a_read_sees_every_write_of_its_own_pipeline,
    a_read_waits_for_the_replica_to_catch_up,
    a_read_that_waits_for_a_server_is_routed_anew_when_the_replica_was_restarted,
    other_sessions_do_not_wait_for_it,
    a_batch_is_as_strong_as_its_strongest_statement,
    a_write_behind_a_read_is_routed_anew,
    a_write_behind_a_read_whose_client_is_slow_is_routed_anew,
    a_write_while_a_cancel_is_in_flight_is_routed_anew,
    begin_read_only_runs_on_the_replica,
    a_transaction_stays_on_the_primary,
    a_begin_in_one_batch_with_a_read_is_held_back,
    a_read_that_only_a_replica_refuses_runs_again_on_the_primary,
    a_read_that_every_server_refuses_does_not,
    a_replica_that_vanishes_before_its_answer_is_replaced_by_the_primary,
    a_replica_that_vanishes_within_its_answer_is_40001,
    a_replica_that_leaves_behind_its_answer_is_not_missed,
    a_replica_that_lets_nobody_in_is_replaced_by_the_primary,
    a_prepared_read_runs_again_on_the_primary,
    a_read_behind_a_close_that_was_answered_does_not_run_again,
    a_read_behind_one_that_runs_again_is_not_lost,
    without_a_replica_reads_fail_if_so_configured,
    a_replica_that_lags_gets_no_reads,
    a_read_that_was_refused_as_a_write_is_not_tried_on_a_replica_again,
    reads_without_a_replica_leave_room_on_the_primary,
    settings_go_to_the_replica_too;
    split a_read_runs_on_the_replica
);

/// Runs a query of one row on `server`.
async fn run(client: &mut Client, server: &mut Server, sql: &str) {
    client.send([query(sql)]).await;
    server.answer([query(sql)], one_row("x")).await;
    client.expect(one_row("x")).await;
}

/// A stage, a client, and a server of each node.
async fn all(delivery: Delivery) -> (Stage, Client, Server, Server) {
    all_with(delivery, |_| {}).await
}

async fn all_with(
    delivery: Delivery,
    change: impl FnOnce(&mut Config),
) -> (Stage, Client, Server, Server) {
    let mut stage = Stage::replicated_with(delivery, |config| {
        config.pool.default_pool_size = 1;
        change(config);
    })
    .await;
    let (mut client, primary) = stage.pair().await;
    client.send([query("select 0")]).await;
    let mut replica = stage.replica().accept().await;
    replica.answer([query("select 0")], one_row("x")).await;
    client.expect(one_row("x")).await;
    (stage, client, primary, replica)
}

/// Reads wait for freshness for as long as the test takes.
fn patient(config: &mut Config) {
    config.databases.get_mut("app").unwrap().routing.read_wait = Duration::from_mins(1);
}

/// Reads do not wait for freshness.
fn impatient(config: &mut Config) {
    config.databases.get_mut("app").unwrap().routing.read_wait = Duration::ZERO;
}

async fn a_read_runs_on_the_replica(delivery: Delivery) {
    let (_stage, mut client, mut primary, mut replica) = all(delivery).await;
    run(&mut client, &mut replica, "select 1").await;
    run(&mut client, &mut primary, "insert into t values (1)").await;
}

async fn a_function_call_runs_on_the_primary(delivery: Delivery) {
    let (_stage, mut client, mut primary, mut replica) = all(delivery).await;
    client.send([function_call()]).await;
    primary.answer([function_call()], [function_result(), idle()]).await;
    client.expect([function_result(), idle()]).await;
    run(&mut client, &mut replica, "select 1").await;
    // Of what is not about large objects nobody knows what it has left behind.
    let lock = Frame::new(b'F', [&2880_u32.to_be_bytes()[..], &[0; 6]].concat());
    client.send([lock.clone()]).await;
    primary.answer([lock], [function_result(), idle()]).await;
    client.expect([function_result(), idle()]).await;
    primary.answer([query(WASH)], [complete("RESET"), idle()]).await;
}

async fn reads_go_to_the_replica_and_writes_to_the_primary(delivery: Delivery) {
    let (stage, mut client, mut primary, mut replica) = all(delivery).await;
    for sql in ["select * from t", "values (1)", "with a as (select 1) select * from a", "table t"]
    {
        run(&mut client, &mut replica, sql).await;
    }
    for sql in [
        "insert into t values (1)",
        "select * from t for update",
        "with a as (delete from t returning 1) select * from a",
        "select nextval('s')",
        "select 1; delete from t",
        "copy (delete from t returning 1) to stdout",
        "explain analyze delete from t",
        "select unknown_function()",
    ] {
        run(&mut client, &mut primary, sql).await;
    }
    stage.replica_has_caught_up().await;
    run(&mut client, &mut replica, "select 2").await;
}

async fn a_read_sees_the_sessions_own_write(delivery: Delivery) {
    let (stage, mut client, mut primary, mut replica) = all_with(delivery, impatient).await;
    client.send([query("insert into t values (1)")]).await;
    primary.expect([query("insert into t values (1)")]).await;
    stage.primary.position.set(2000);
    primary.reply([complete("INSERT 0 1"), idle()]).await;
    client.expect([complete("INSERT 0 1"), idle()]).await;
    run(&mut client, &mut primary, "select 1").await;
    run(&mut client, &mut primary, "select 2").await;
    stage.replica.as_ref().unwrap().position.set(2000);
    stage.replica_has_caught_up().await;
    run(&mut client, &mut replica, "select 3").await;
}

async fn a_read_sees_every_write_of_its_own_pipeline(delivery: Delivery) {
    let (stage, mut client, mut primary, mut replica) = all_with(delivery, impatient).await;
    let writes = ["insert into t values (1)", "insert into t values (2)"].map(query);
    client.send(&writes).await;
    primary.expect(&writes).await;
    primary.reply([complete("INSERT 0 1"), idle()]).await;
    client.expect([complete("INSERT 0 1"), idle()]).await;
    // The replica shows the first write, and the second one is still to come.
    stage.replica_has_caught_up().await;
    stage.primary.position.set(2000);
    primary.reply([complete("INSERT 0 1"), idle()]).await;
    client.expect([complete("INSERT 0 1"), idle()]).await;
    run(&mut client, &mut primary, "select 1").await;
    stage.replica.as_ref().unwrap().position.set(2000);
    stage.replica_has_caught_up().await;
    run(&mut client, &mut replica, "select 2").await;
}

async fn a_read_waits_for_the_replica_to_catch_up(delivery: Delivery) {
    let (stage, mut client, mut primary, mut replica) = all_with(delivery, patient).await;
    stage.primary.position.set(2000);
    run(&mut client, &mut primary, "insert into t values (1)").await;
    client.send([query("select 1")]).await;
    let mut other = stage.client().await;
    stage.settle(&mut other).await;
    stage.replica.as_ref().unwrap().position.set(2000);
    replica.answer([query("select 1")], one_row("1")).await;
    client.expect(one_row("1")).await;
}

async fn a_read_that_waits_for_a_server_is_routed_anew_when_the_replica_was_restarted(
    delivery: Delivery,
) {
    let (stage, mut client, mut primary, mut replica) = all_with(delivery, impatient).await;
    let position = Arc::clone(&stage.replica.as_ref().unwrap().position);
    stage.primary.position.set(2000);
    run(&mut client, &mut primary, "insert into t values (1)").await;
    position.set(2000);
    stage.replica_has_caught_up().await;
    let mut other = stage.client().await;
    other.send([query("select 1")]).await;
    replica.expect([query("select 1")]).await;
    client.send([query("select 2")]).await;
    stage.waiting_at(NodeId(1), 1).await;
    // It comes back with less than the session has written.
    let cluster = stage.cluster();
    let before = cluster.setbacks();
    position.restart(1000);
    eventually("it is missed", || cluster.setbacks() != before).await;
    eventually("it is back", || cluster.nodes()[1].usable() == Usable::Up).await;
    replica.reply(one_row("1")).await;
    other.expect(one_row("1")).await;
    primary.answer([query("select 2")], one_row("2")).await;
    client.expect(one_row("2")).await;
}

async fn other_sessions_do_not_wait_for_it(delivery: Delivery) {
    let (stage, mut client, mut primary, mut replica) = all_with(delivery, patient).await;
    stage.primary.position.set(2000);
    run(&mut client, &mut primary, "insert into t values (1)").await;
    let mut other = stage.client().await;
    run(&mut other, &mut replica, "select 1").await;
}

async fn a_batch_is_as_strong_as_its_strongest_statement(delivery: Delivery) {
    let (_stage, mut client, mut primary, mut replica) = all(delivery).await;
    let reads = [parse("", "select 1"), bind("", ""), execute("")];
    let writes = [parse("", "delete from t"), bind("", ""), execute("")];
    let ran = [parse_complete(), bind_complete(), complete("X")];
    let answer = [&ran[..], &ran, &[idle()]].concat();
    let batch = [&reads[..], &reads, &[sync()]].concat();
    client.send(&batch).await;
    replica.answer(&batch, &answer).await;
    client.expect(&answer).await;
    let batch = [&reads[..], &writes, &[sync()]].concat();
    client.send(&batch).await;
    primary.answer(&batch, &answer).await;
    client.expect(&answer).await;
}

async fn a_write_behind_a_read_is_routed_anew(delivery: Delivery) {
    let (_stage, mut client, mut primary, mut replica) = all(delivery).await;
    client.send([query("select 1"), query("delete from t"), query("select 2")]).await;
    replica.answer([query("select 1")], one_row("1")).await;
    client.expect(one_row("1")).await;
    primary.expect([query("delete from t"), query("select 2")]).await;
    primary.reply([&[complete("DELETE 0"), idle()], &one_row("2")[..]].concat()).await;
    client.expect([&[complete("DELETE 0"), idle()], &one_row("2")[..]].concat()).await;
}

async fn a_write_behind_a_read_whose_client_is_slow_is_routed_anew(delivery: Delivery) {
    let (_stage, mut client, mut primary, mut replica) =
        all_with(delivery, |config| config.limits.client_write_buffer = 0).await;
    client.send([query("select 1"), query("delete from t")]).await;
    replica.expect([query("select 1")]).await;
    // More than the kernel takes for a client that does not read.
    let rows = vec![row(&"x".repeat(64 * 1024)); 256];
    let bytes = [bytes(&rows), bytes(&[complete("SELECT 256"), idle()])].concat();
    let replying = async {
        replica.wire.stream_out(&bytes).await;
        primary.answer([query("delete from t")], [complete("DELETE 0"), idle()]).await;
    };
    let reading = async {
        for row in &rows {
            client.expect([row.clone()]).await;
        }
        client.expect([complete("SELECT 256"), idle(), complete("DELETE 0"), idle()]).await;
    };
    futures_util::future::join(replying, reading).await;
}

async fn a_write_while_a_cancel_is_in_flight_is_routed_anew(delivery: Delivery) {
    let (mut stage, mut client, mut primary, mut replica) = all(delivery).await;
    client.send([query("select 1")]).await;
    replica.expect([query("select 1")]).await;
    client.ask_to_cancel().await;
    let cancel = stage.replica().cancel().await;
    replica.reply([error("57014"), idle()]).await;
    client.expect([error("57014"), idle()]).await;
    client.send([query("delete from t")]).await;
    let mut other = stage.client().await;
    stage.settle(&mut other).await;
    drop(cancel);
    primary.answer([query("delete from t")], [complete("DELETE 0"), idle()]).await;
    client.expect([complete("DELETE 0"), idle()]).await;
}

async fn begin_read_only_runs_on_the_replica(delivery: Delivery) {
    let (_stage, mut client, _primary, mut replica) = all(delivery).await;
    client.send([query("begin read only")]).await;
    let began = [complete("BEGIN"), in_transaction()];
    replica.answer([query("begin read only")], &began).await;
    client.expect(&began).await;
    // The transaction stays there, and so does its error.
    client.send([query("delete from t")]).await;
    replica.answer([query("delete from t")], [error("25006"), failed()]).await;
    client.expect([error("25006"), failed()]).await;
    client.send([query("rollback")]).await;
    replica.answer([query("rollback")], [complete("ROLLBACK"), idle()]).await;
    client.expect([complete("ROLLBACK"), idle()]).await;
}

async fn a_transaction_stays_on_the_primary(delivery: Delivery) {
    let (_stage, mut client, mut primary, mut replica) = all(delivery).await;
    for (sql, end) in [
        ("begin", [complete("BEGIN"), in_transaction()]),
        ("select 1", [complete("SELECT 0"), in_transaction()]),
        ("commit", [complete("COMMIT"), idle()]),
    ] {
        client.send([query(sql)]).await;
        primary.answer([query(sql)], &end).await;
        client.expect(&end).await;
    }
    run(&mut client, &mut replica, "select 2").await;
}

async fn a_begin_in_one_batch_with_a_read_is_held_back(delivery: Delivery) {
    let (_stage, mut client, mut primary, mut replica) = all_with(delivery, |config| {
        let routing = &mut config.databases.get_mut("app").unwrap().routing;
        routing.read_only_until_write = UntilWrite::On;
    })
    .await;
    let begin = [parse("", "BEGIN"), bind("", ""), execute("")];
    let answered = [parse_complete(), bind_complete(), complete("BEGIN")];
    let select = [parse("", "select 1"), bind("", ""), execute(""), sync()];
    let selected = [parse_complete(), bind_complete(), complete("SELECT 0")];
    client.send([&begin[..], &select[..]].concat()).await;
    replica.answer(&select, [&selected[..], &[idle()]].concat()).await;
    client.expect([&answered[..], &selected[..], &[in_transaction()]].concat()).await;
    // No server hears of the end either.
    client.send([parse("end", "COMMIT"), bind("", "end"), execute(""), sync()]).await;
    client.expect([parse_complete(), bind_complete(), complete("COMMIT"), idle()]).await;
    client.send([&begin[..], &[sync()]].concat()).await;
    client.expect([&answered[..], &[in_transaction()]].concat()).await;
    client.send([query("delete from t")]).await;
    primary.answer([query("BEGIN")], [complete("BEGIN"), in_transaction()]).await;
    let deleted = [complete("DELETE 0"), in_transaction()];
    primary.answer([query("delete from t")], &deleted).await;
    client.expect(&deleted).await;
    client.send([query("commit")]).await;
    primary.answer([query("commit")], [complete("COMMIT"), idle()]).await;
    client.expect([complete("COMMIT"), idle()]).await;
}

/// What a server is washed with after a function of which nothing is known.
const WASH: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; SELECT \
                    pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP";

async fn a_read_that_only_a_replica_refuses_runs_again_on_the_primary(delivery: Delivery) {
    let (stage, mut client, mut primary, mut replica) = all(delivery).await;
    client.send([query("select f()  from t where 1 = 1 and true")]).await;
    primary.expect([query("select f()  from t where 1 = 1 and true")]).await;
    primary.reply(one_row("1")).await;
    client.expect(one_row("1")).await;
    // Nobody knows what the function has left behind.
    primary.answer([query(WASH)], [complete("RESET"), idle()]).await;
    stage.replica_has_caught_up().await;
    client.send([query("select * from just_made")]).await;
    replica.expect([query("select * from just_made")]).await;
    replica.reply_last([error("42P01"), idle()]).await;
    primary.answer([query("select * from just_made")], one_row("1")).await;
    client.expect(one_row("1")).await;
}

async fn a_read_that_every_server_refuses_does_not(delivery: Delivery) {
    let (_stage, mut client, _primary, mut replica) = all(delivery).await;
    client.send([query("select 1/0")]).await;
    replica.answer([query("select 1/0")], [error("22012"), idle()]).await;
    client.expect([error("22012"), idle()]).await;
}

async fn a_replica_that_vanishes_before_its_answer_is_replaced_by_the_primary(delivery: Delivery) {
    let (_stage, mut client, mut primary, mut replica) = all(delivery).await;
    client.send([query("select 1")]).await;
    replica.expect([query("select 1")]).await;
    drop(replica);
    primary.answer([query("select 1")], one_row("1")).await;
    client.expect(one_row("1")).await;
}

async fn a_replica_that_leaves_behind_its_answer_is_not_missed(delivery: Delivery) {
    let (_stage, mut client, mut primary, mut replica) = all(delivery).await;
    client.send([query("select 1")]).await;
    replica.expect([query("select 1")]).await;
    replica.reply_last([&one_row("1")[..], &[fatal("57P01")]].concat()).await;
    drop(replica);
    client.expect(one_row("1")).await;
    run(&mut client, &mut primary, "delete from t").await;
}

async fn a_replica_that_lets_nobody_in_is_replaced_by_the_primary(delivery: Delivery) {
    let (stage, mut client, mut primary, replica) = all(delivery).await;
    stage.replica.as_ref().unwrap().is_starting.store(true, Ordering::Relaxed);
    replica.vanish().await;
    // 57P03: its monitor has not noticed yet.
    for sql in ["select 1", "select 2"] {
        run(&mut client, &mut primary, sql).await;
    }
}

async fn a_replica_that_vanishes_within_its_answer_is_40001(delivery: Delivery) {
    let (_stage, mut client, mut primary, mut replica) = all(delivery).await;
    client.send([query("select 1")]).await;
    replica.answer([query("select 1")], [columns(), row("1")]).await;
    client.expect([columns(), row("1")]).await;
    drop(replica);
    client.expect([error("40001"), idle()]).await;
    run(&mut client, &mut primary, "delete from t").await;
}

async fn a_prepared_read_runs_again_on_the_primary(delivery: Delivery) {
    let (_stage, mut client, mut primary, mut replica) = all(delivery).await;
    client.send([parse("a", "select 1"), sync()]).await;
    replica.answer([parse("pgl_1", "select 1"), sync()], [parse_complete(), idle()]).await;
    client.expect([parse_complete(), idle()]).await;
    client.send(run_named("a")).await;
    replica.expect(run_named("pgl_1")).await;
    replica.reply_last([error("40001"), idle()]).await;
    let ran = [bind_complete(), row("1"), complete("SELECT 1"), idle()];
    primary.expect([&[parse("pgl_1", "select 1")], &run_named("pgl_1")[..]].concat()).await;
    primary.reply([&[parse_complete()], &ran[..]].concat()).await;
    client.expect(ran).await;
}

async fn a_read_behind_a_close_that_was_answered_does_not_run_again(delivery: Delivery) {
    let (_stage, mut client, mut primary, mut replica) = all(delivery).await;
    client.send([&[close_statement("")], &run_unnamed("select 1")[..]].concat()).await;
    replica.expect(run_unnamed("select 1")).await;
    drop(replica);
    // CloseComplete must not come twice.
    client.expect([close_complete(), error("40001"), idle()]).await;
    run(&mut client, &mut primary, "delete from t").await;
}

async fn a_read_behind_one_that_runs_again_is_not_lost(delivery: Delivery) {
    let (_stage, mut client, mut primary, mut replica) = all(delivery).await;
    client.send([query("select 1"), query("select 2"), query("delete from t")]).await;
    replica.expect([query("select 1")]).await;
    replica.reply_last([error("25006"), idle()]).await;
    primary.answer([query("select 1")], one_row("1")).await;
    client.expect(one_row("1")).await;
    // What is in flight follows it there.
    primary.answer([query("select 2")], one_row("2")).await;
    client.expect(one_row("2")).await;
    primary.answer([query("delete from t")], [complete("DELETE 0"), idle()]).await;
    client.expect([complete("DELETE 0"), idle()]).await;
}

async fn without_a_replica_reads_fail_if_so_configured(delivery: Delivery) {
    let (stage, mut client, mut primary, _replica) = all_with(delivery, |config| {
        impatient(config);
        config.databases.get_mut("app").unwrap().routing.no_replica = NoReplica::Error;
    })
    .await;
    stage.primary.position.set(2000);
    run(&mut client, &mut primary, "insert into t values (1)").await;
    client.ask([query("select 1")], [error("57P03"), idle()]).await;
    client.ask(run_unnamed("select 1"), [error("57P03"), idle()]).await;
    run(&mut client, &mut primary, "insert into t values (2)").await;
}

async fn a_replica_that_lags_gets_no_reads(delivery: Delivery) {
    let (stage, mut client, mut primary, mut replica) = all_with(delivery, |config| {
        let routing = &mut config.databases.get_mut("app").unwrap().routing;
        routing.max_lag = Duration::from_millis(200);
        routing.return_delay = Duration::ZERO;
    })
    .await;
    stage.primary.position.set(2000);
    let cluster = stage.cluster();
    let lags = || cluster.view().freshest() == pglagoon::clock::Mono::ZERO;
    eventually("the replica lags", lags).await;
    run(&mut client, &mut primary, "select 1").await;
    stage.replica.as_ref().unwrap().position.set(2000);
    stage.replica_has_caught_up().await;
    run(&mut client, &mut replica, "select 2").await;
}

async fn a_read_that_was_refused_as_a_write_is_not_tried_on_a_replica_again(delivery: Delivery) {
    let (_stage, mut client, mut primary, mut replica) = all(delivery).await;
    client.send([query("select * from v where n = 1")]).await;
    replica.expect([query("select * from v where n = 1")]).await;
    replica.reply_last([error("25006"), idle()]).await;
    primary.answer([query("select * from v where n = 1")], one_row("1")).await;
    client.expect(one_row("1")).await;
    // With another literal it is the same.
    run(&mut client, &mut primary, "select * from v where n = 2").await;
}

async fn reads_without_a_replica_leave_room_on_the_primary(delivery: Delivery) {
    let mut stage = Stage::replicated_with(delivery, |config| {
        config.pool.default_pool_size = 2;
        let routing = &mut config.databases.get_mut("app").unwrap().routing;
        routing.max_lag = Duration::from_millis(200);
    })
    .await;
    let (mut client, mut server) = stage.pair().await;
    let (mut other, mut writer) = (stage.client().await, stage.client().await);
    stage.primary.position.set(2000);
    let cluster = stage.cluster();
    let lags = || cluster.view().freshest() == pglagoon::clock::Mono::ZERO;
    eventually("the replica lags", lags).await;
    client.send([query("select 1")]).await;
    server.expect([query("select 1")]).await;
    // Half of two connections are for reads that a replica should have answered: this one waits.
    other.send([query("select 2")]).await;
    stage.settle(&mut writer).await;
    // A write does not.
    writer.send([query("insert into t values (1)")]).await;
    let mut second = stage.primary.accept().await;
    second.answer([query("insert into t values (1)")], one_row("x")).await;
    writer.expect(one_row("x")).await;
    server.reply(one_row("x")).await;
    client.expect(one_row("x")).await;
    server.answer([query("select 2")], one_row("x")).await;
    other.expect(one_row("x")).await;
}

async fn settings_go_to_the_replica_too(delivery: Delivery) {
    let (_stage, mut client, mut primary, mut replica) = all(delivery).await;
    client.send([query("set search_path to a")]).await;
    primary.answer([query("set search_path to a")], [complete("SET"), idle()]).await;
    client.expect([complete("SET"), idle()]).await;
    client.send([query("select 1")]).await;
    replica.expect([query("SET \"search_path\" TO 'a';"), query("select 1")]).await;
    replica.reply([complete("SET"), idle()]).await;
    replica.reply(one_row("1")).await;
    client.expect(one_row("1")).await;
}
