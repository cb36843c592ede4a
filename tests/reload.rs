//! A reload: what stays as it is does not notice, the rest goes over without losing a client.

use std::sync::Arc;

use pglagoon::config::{Secret, Split, UserSecret};

use crate::support::monitor::Position;
use crate::support::postgres::Postgres;
use crate::support::prelude::*;
use crate::support::scripted;
use crate::support::stage::node;

scripted!(
    nobody_notices_a_reload_without_changes,
    a_larger_pool_serves_who_waits,
    sessions_go_over_to_new_nodes_between_transactions,
    who_waits_goes_over_to_new_nodes,
    who_waits_for_a_removed_database_is_told,
    a_secret_that_cannot_be_used_changes_nothing,
    a_new_user_may_log_in_and_a_removed_one_must_go,
    routing_changes_with_the_next_statement
);

async fn begin(client: &mut Client, server: &mut Server) {
    client.send([query("begin")]).await;
    server.answer([query("begin")], [complete("BEGIN"), in_transaction()]).await;
    client.expect([complete("BEGIN"), in_transaction()]).await;
}

async fn commit(client: &mut Client, server: &mut Server) {
    client.send([query("commit")]).await;
    server.answer([query("commit")], [complete("COMMIT"), idle()]).await;
    client.expect([complete("COMMIT"), idle()]).await;
}

async fn write(client: &mut Client, server: &mut Server) {
    client.send([query("insert into t values (1)")]).await;
    let answer = [complete("INSERT 0 1"), idle()];
    server.answer([query("insert into t values (1)")], answer.clone()).await;
    client.expect(answer).await;
}

/// The client is told that its database or user is gone.
async fn dismissed(mut client: Client) {
    let frame = client.next().await;
    assert_eq!(frame.field(b'C').as_deref(), Some("57P01"), "{frame:?}");
    assert!(frame.field(b'M').unwrap().contains("no longer configured"), "{frame:?}");
    client.expect_closed().await;
}

async fn other_primary(delivery: &Delivery) -> Postgres {
    Postgres::start(Position::primary(), delivery.clone()).await
}

async fn nobody_notices_a_reload_without_changes(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    begin(&mut client, &mut server).await;
    let (cluster, backend) = (stage.cluster(), stage.backend());
    stage.reload(|_| {}).unwrap();
    assert!(Arc::ptr_eq(&cluster, &stage.cluster()) && Arc::ptr_eq(&backend, &stage.backend()));
    commit(&mut client, &mut server).await;
    write(&mut client, &mut server).await;
    stage.primary.expect_nobody();
}

async fn a_larger_pool_serves_who_waits(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    begin(&mut client, &mut server).await;
    let mut waiting = stage.client().await;
    waiting.send([query("insert into t values (1)")]).await;
    stage.waiting(1).await;
    stage.reload(|config| config.pool.default_pool_size = 2).unwrap();
    let mut second = stage.primary.accept().await;
    let answer = [complete("INSERT 0 1"), idle()];
    second.answer([query("insert into t values (1)")], answer.clone()).await;
    waiting.expect(answer).await;
}

async fn sessions_go_over_to_new_nodes_between_transactions(delivery: Delivery) {
    let mut stage = Stage::new(delivery.clone()).await;
    let (mut client, mut server) = stage.pair().await;
    begin(&mut client, &mut server).await;
    let mut other = other_primary(&delivery).await;
    stage.reload(|config| config.databases.get_mut("app").unwrap().primary = node(&other)).unwrap();
    commit(&mut client, &mut server).await;
    client.send([query("insert into t values (1)")]).await;
    let mut new = other.accept().await;
    let answer = [complete("INSERT 0 1"), idle()];
    new.answer([query("insert into t values (1)")], answer.clone()).await;
    client.expect(answer).await;
    write(&mut client, &mut new).await;
}

async fn who_waits_goes_over_to_new_nodes(delivery: Delivery) {
    let mut stage = Stage::with(delivery.clone(), |config| config.pool.default_pool_size = 1).await;
    let (mut client, mut server) = stage.pair().await;
    begin(&mut client, &mut server).await;
    let mut waiting = stage.client().await;
    waiting.send([query("insert into t values (1)")]).await;
    stage.waiting(1).await;
    let mut other = other_primary(&delivery).await;
    stage.reload(|config| config.databases.get_mut("app").unwrap().primary = node(&other)).unwrap();
    let mut new = other.accept().await;
    let answer = [complete("INSERT 0 1"), idle()];
    new.answer([query("insert into t values (1)")], answer.clone()).await;
    waiting.expect(answer).await;
    commit(&mut client, &mut server).await;
}

async fn who_waits_for_a_removed_database_is_told(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let mut idler = stage.client().await;
    let mut server = stage.primary.accept().await;
    let mut client = stage.client().await;
    begin(&mut client, &mut server).await;
    let mut waiting = stage.client().await;
    waiting.send([query("insert into t values (1)")]).await;
    stage.waiting(1).await;
    stage.reload(|config| config.databases.clear()).unwrap();
    dismissed(waiting).await;
    idler.send([query("select 1")]).await;
    dismissed(idler).await;
    commit(&mut client, &mut server).await;
    client.send([query("select 1")]).await;
    dismissed(client).await;
}

async fn a_secret_that_cannot_be_used_changes_nothing(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = stage.pair().await;
    let reloaded = stage.reload(|config| {
        config.databases.clear();
        let secret = UserSecret::Verifier(Secret::new("SCRAM-SHA-256$nonsense"));
        config.users.get_mut("app").unwrap().secret = secret;
    });
    assert!(reloaded.unwrap_err().to_string().contains("users.app"));
    write(&mut client, &mut server).await;
}

async fn a_new_user_may_log_in_and_a_removed_one_must_go(delivery: Delivery) {
    let stage = Stage::new(delivery).await;
    let mut client = stage.client().await;
    stage
        .reload(|config| {
            let user = config.users.remove("app").unwrap();
            config.users.insert("new".to_owned(), user);
        })
        .unwrap();
    let mut newcomer = stage.dial().await;
    newcomer.log_in(V3_0, &[("user", "new"), ("database", "app")]).await;
    client.send([query("select 1")]).await;
    dismissed(client).await;
}

async fn routing_changes_with_the_next_statement(delivery: Delivery) {
    let mut stage = Stage::replicated_with(delivery, |_| {}).await;
    let (mut client, mut server) = stage.pair().await;
    client.send([query("select 1")]).await;
    let mut replica = stage.replica().accept().await;
    replica.answer([query("select 1")], one_row("1")).await;
    client.expect(one_row("1")).await;
    stage
        .reload(|config| {
            let database = config.databases.get_mut("app").unwrap();
            database.routing.read_write_split = Split::Off;
        })
        .unwrap();
    client.send([query("select 1")]).await;
    server.answer([query("select 1")], one_row("1")).await;
    client.expect(one_row("1")).await;
}
