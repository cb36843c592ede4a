//! Replication connections: a server of one's own, and messages that pass both ways at once.

use std::time::Duration;

use pglagoon::cluster::NodeId;

use crate::support::client::APP;
use crate::support::prelude::*;
use crate::support::scripted;

scripted!(
    the_server_gets_the_clients_parameters_and_tells_its_own,
    both_sides_may_speak_at_once,
    an_error_amid_the_stream_leaves_the_session,
    a_physical_connection_finds_the_only_primary,
    a_physical_connection_must_name_one_of_several_primaries,
    nobody_else_gets_the_server,
    it_waits_for_its_place,
    it_gives_its_place_back,
    what_the_server_says_at_log_in_is_passed_on,
    a_client_that_vanishes_amid_a_message_completes_nothing,
    what_the_client_has_said_last_reaches_the_server,
    a_server_that_vanishes_ends_the_connection,
    a_cancel_reaches_the_walsender,
    no_timeout_cuts_a_stream,
    an_idle_one_is_sent_away,
    a_drain_lets_it_finish,
    the_end_of_the_grace_period_is_57p01,
    a_reload_that_removes_the_user_ends_it
);

const LOGICAL: [(&str, &str); 3] = [APP[0], APP[1], ("replication", "database")];

/// A client with its walsender, logged in with these parameters.
async fn pair(stage: &mut Stage, parameters: &[(&str, &str)]) -> (Client, Server) {
    let mut client = stage.dial().await;
    client.log_in(V3_0, parameters).await;
    (client, stage.primary.accept().await)
}

fn copy_both() -> Frame {
    Frame::new(b'W', [0, 0, 0])
}

fn start() -> Frame {
    query("START_REPLICATION SLOT s LOGICAL 0/0")
}

/// The client has the server stream.
async fn stream(client: &mut Client, server: &mut Server) {
    client.send([start()]).await;
    server.answer([start()], [copy_both()]).await;
    client.expect([copy_both()]).await;
}

/// Both ends work.
async fn expect_streaming(client: &mut Client, server: &mut Server) {
    client.send([copy_data("r: all flushed")]).await;
    server.expect([copy_data("r: all flushed")]).await;
    server.reply([copy_data("w: a change")]).await;
    client.expect([copy_data("w: a change")]).await;
}

/// Waits until as many connections to the primary are in use.
async fn busy(stage: &Stage, count: usize) {
    let backend = stage.backend();
    let now = pglagoon::clock::Mono::ZERO;
    let is_so = || backend.pool_snapshot(NodeId::FIRST, now).is_some_and(|pool| pool.busy == count);
    eventually("so many are in use", is_so).await;
}

async fn the_server_gets_the_clients_parameters_and_tells_its_own(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let more = [
        ("application_name", "standby"),
        ("options", "-c DateStyle=ISO -c search_path=a\\ b"),
        ("client_encoding", "LATIN1"),
        ("pglagoon.max_lag", "100ms"),
    ];
    let (mut client, mut server) = pair(&mut stage, &[&LOGICAL[..], &more].concat()).await;
    let told: Vec<_> = server.parameters.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let ours = [
        ("application_name", "standby"),
        ("client_encoding", "LATIN1"),
        ("datestyle", "ISO"),
        ("search_path", "a b"),
    ];
    assert_eq!(told[..3], LOGICAL);
    let mut others = told[3..].to_vec();
    others.sort_unstable();
    assert_eq!(others, ours);
    assert_eq!(client.parameter("server_version"), Some("18.0"));
    // Of its own server, not of any.
    assert_eq!(client.parameter("in_hot_standby"), None);
    client.send([query("IDENTIFY_SYSTEM")]).await;
    server.answer([query("IDENTIFY_SYSTEM")], one_row("1")).await;
    client.expect(one_row("1")).await;
    stage.primary.expect_nobody();
}

async fn both_sides_may_speak_at_once(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = pair(&mut stage, &LOGICAL).await;
    stream(&mut client, &mut server).await;
    let frames = |who: &str| (0..20).map(|turn| copy_data(&format!("{who} {turn}"))).collect();
    let (changes, answers): (Vec<_>, Vec<_>) = (frames("change"), frames("answer"));
    futures_util::future::join(server.reply(&changes), client.send(&answers)).await;
    futures_util::future::join(client.expect(&changes), server.expect(&answers)).await;
    // The server ends its half first, and goes on listening.
    server.reply([copy_done()]).await;
    client.expect([copy_done()]).await;
    client.send([copy_data("last"), copy_done()]).await;
    server.expect([copy_data("last"), copy_done()]).await;
    let end = [complete("COPY 0"), complete("START_REPLICATION"), idle()];
    server.reply(&end).await;
    client.expect(&end).await;
    // Again, and the client ends its half first.
    stream(&mut client, &mut server).await;
    client.send([copy_done()]).await;
    server.expect([copy_done()]).await;
    let end = [copy_data("w: in flight"), copy_done(), complete("COPY 0"), idle()];
    server.reply(&end).await;
    client.expect(&end).await;
    client.send([terminate()]).await;
    server.expect([terminate()]).await;
    drop(client);
    server.expect_closed().await;
}

async fn an_error_amid_the_stream_leaves_the_session(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = pair(&mut stage, &LOGICAL).await;
    stream(&mut client, &mut server).await;
    expect_streaming(&mut client, &mut server).await;
    let failed = [error("XX000"), idle()];
    server.reply(&failed).await;
    client.expect(&failed).await;
    stream(&mut client, &mut server).await;
    expect_streaming(&mut client, &mut server).await;
}

async fn a_physical_connection_finds_the_only_primary(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    for database in ["replication", "app"] {
        let asked = [APP[0], ("database", database), ("replication", "yes")];
        let (_client, server) = pair(&mut stage, &asked).await;
        let told = [APP[0], APP[1], ("replication", "true")];
        assert_eq!(server.parameters, told.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }
    // A database of that name has to be there for what belongs to one.
    let mut client = stage.dial().await;
    let asked = [APP[0], ("database", "replication"), LOGICAL[2]];
    client.wire.send_bytes(&startup(V3_0, &asked)).await;
    client.expect([fatal("3D000")]).await;
    client.expect_closed().await;
}

async fn a_physical_connection_must_name_one_of_several_primaries(delivery: Delivery) {
    let stage = Stage::with(delivery, |config| {
        let app = config.databases["app"].clone();
        let mut other = app;
        // Nobody listens there.
        other.primary.port = 1;
        config.databases.insert("other".to_owned(), other);
    });
    let mut stage = stage.await;
    let asked = |database| [APP[0], ("database", database), ("replication", "true")];
    let mut client = stage.dial().await;
    client.wire.send_bytes(&startup(V3_0, &asked("replication"))).await;
    let refused = client.next().await;
    assert_eq!(refused.field(b'C').as_deref(), Some("3D000"));
    assert!(refused.field(b'H').unwrap().starts_with("Configure a database of this name"));
    client.expect_closed().await;
    let (_client, server) = pair(&mut stage, &asked("app")).await;
    assert!(server.parameters.contains(&("replication".to_owned(), "true".to_owned())));
}

async fn nobody_else_gets_the_server(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 2).await;
    let (mut ordinary, mut server) = stage.pair().await;
    // The one that is there is not used: it has logged in as something else.
    let (client, mut walsender) = pair(&mut stage, &LOGICAL).await;
    server.expect_closed().await;
    busy(&stage, 1).await;
    ordinary.send([query("select 1")]).await;
    let mut server = stage.primary.accept().await;
    assert!(!server.parameters.iter().any(|(name, _)| name == "replication"));
    server.answer([query("select 1")], one_row("1")).await;
    ordinary.expect(one_row("1")).await;
    drop(client);
    walsender.expect_closed().await;
    busy(&stage, 0).await;
    ordinary.send([query("select 2")]).await;
    server.answer([query("select 2")], one_row("2")).await;
    ordinary.expect(one_row("2")).await;
    stage.primary.expect_nobody();
}

async fn it_waits_for_its_place(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let (mut ordinary, mut server) = stage.pair().await;
    ordinary.send([query("begin")]).await;
    server.answer([query("begin")], [complete("BEGIN"), in_transaction()]).await;
    ordinary.expect([complete("BEGIN"), in_transaction()]).await;
    let mut client = stage.dial().await;
    client.wire.send_bytes(&startup(V3_0, &LOGICAL)).await;
    stage.waiting(1).await;
    ordinary.send([query("commit")]).await;
    server.answer([query("commit")], [complete("COMMIT"), idle()]).await;
    ordinary.expect([complete("COMMIT"), idle()]).await;
    let mut walsender = stage.primary.accept().await;
    client.read_greeting().await;
    server.expect_closed().await;
    stream(&mut client, &mut walsender).await;
}

async fn it_gives_its_place_back(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| config.pool.default_pool_size = 1).await;
    let mut ordinary = stage.client().await;
    let (client, mut walsender) = pair_instead(&mut stage).await;
    // Another one, and then somebody ordinary, stand in line for the place.
    let mut second = stage.dial().await;
    second.wire.send_bytes(&startup(V3_0, &LOGICAL)).await;
    stage.waiting(1).await;
    ordinary.send([query("select 1")]).await;
    stage.waiting(2).await;
    drop(client);
    walsender.expect_closed().await;
    let walsender = stage.primary.accept().await;
    assert!(walsender.parameters.contains(&("replication".to_owned(), "database".to_owned())));
    second.read_greeting().await;
    stage.waiting(1).await;
    drop((second, walsender));
    let mut server = stage.primary.accept().await;
    server.answer([query("select 1")], one_row("1")).await;
    ordinary.expect(one_row("1")).await;
    busy(&stage, 0).await;
}

/// A client with its walsender, in the place of the only server that there is.
async fn pair_instead(stage: &mut Stage) -> (Client, Server) {
    let mut ordinary = stage.primary.accept().await;
    let both = pair(stage, &LOGICAL).await;
    ordinary.expect_closed().await;
    both
}

async fn what_the_server_says_at_log_in_is_passed_on(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    stage.primary.is_starting.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut client = stage.dial().await;
    client.wire.send_bytes(&startup(V3_0, &LOGICAL)).await;
    client.expect([fatal("57P03")]).await;
    client.expect_closed().await;
    busy(&stage, 0).await;
    // It says nothing about others.
    stage.primary.is_starting.store(false, std::sync::atomic::Ordering::Relaxed);
    stage.client().await;
    stage.primary.accept().await;
}

async fn a_client_that_vanishes_amid_a_message_completes_nothing(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = pair(&mut stage, &LOGICAL).await;
    stream(&mut client, &mut server).await;
    // Five bytes are missing: as many as a Terminate has.
    let message = copy_data("r: flushed up to 0/1234567").bytes();
    let part = &message[..message.len() - 5];
    client.wire.send_bytes(part).await;
    drop(client);
    assert_eq!(server.wire.rest().await, part);
    busy(&stage, 0).await;
    eventually("the client has gone", || stage.clients() == 0).await;
}

async fn what_the_client_has_said_last_reaches_the_server(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = pair(&mut stage, &LOGICAL).await;
    stream(&mut client, &mut server).await;
    let last = [copy_data("r: all flushed"), copy_done(), terminate()];
    client.send(&last).await;
    drop(client);
    server.expect(&last).await;
    server.expect_closed().await;
}

async fn a_server_that_vanishes_ends_the_connection(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = pair(&mut stage, &LOGICAL).await;
    stream(&mut client, &mut server).await;
    // As a walsender ends when PostgreSQL is stopped.
    server.reply([copy_done(), complete("COPY 0")]).await;
    server.vanish().await;
    client.expect([copy_done(), complete("COPY 0")]).await;
    client.expect_closed().await;
    // As one that crashes, amid a message.
    let (mut client, mut server) = pair(&mut stage, &LOGICAL).await;
    stream(&mut client, &mut server).await;
    let message = copy_data("w: half a change");
    server.reply_partly(&message, 9).await;
    server.vanish().await;
    assert_eq!(client.rest().await, message.bytes()[..9]);
    busy(&stage, 0).await;
}

async fn a_cancel_reaches_the_walsender(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = pair(&mut stage, &LOGICAL).await;
    // While it does nothing there is nothing to cancel.
    client.cancel().await;
    stream(&mut client, &mut server).await;
    let mut asking = client.ask_to_cancel().await;
    let cancel = stage.primary.cancel().await;
    assert_eq!((cancel.process_id, &cancel.secret), (server.process_id, &server.secret));
    drop(cancel);
    asking.expect_closed().await;
    let cancelled = [error("57014"), idle()];
    server.reply(&cancelled).await;
    client.expect(&cancelled).await;
    stage.primary.expect_nobody();
}

async fn no_timeout_cuts_a_stream(delivery: Delivery) {
    const SHORT: Duration = Duration::from_millis(50);
    let mut stage = Stage::with(delivery, |config| {
        config.timeouts.query_timeout = Some(SHORT);
        config.timeouts.transaction_timeout = Some(SHORT);
        config.pool.server_lifetime = Some(SHORT);
    })
    .await;
    let (mut client, mut server) = pair(&mut stage, &LOGICAL).await;
    stream(&mut client, &mut server).await;
    stage.reload(|config| config.timeouts.client_idle_timeout = Some(SHORT)).unwrap();
    let mut silent = stage.client().await;
    silent.expect([fatal("57P05")]).await;
    expect_streaming(&mut client, &mut server).await;
}

async fn an_idle_one_is_sent_away(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| {
        config.timeouts.client_idle_timeout = Some(Duration::from_millis(50));
    })
    .await;
    let (mut client, mut server) = pair(&mut stage, &LOGICAL).await;
    client.expect([fatal("57P05")]).await;
    client.expect_closed().await;
    server.expect_closed().await;
}

async fn a_drain_lets_it_finish(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = pair(&mut stage, &LOGICAL).await;
    let (mut resting, mut unused) = pair(&mut stage, &LOGICAL).await;
    stream(&mut client, &mut server).await;
    let finishing = async {
        resting.expect([fatal("57P01")]).await;
        resting.expect_closed().await;
        unused.expect_closed().await;
        expect_streaming(&mut client, &mut server).await;
        client.send([copy_done()]).await;
        server.expect([copy_done()]).await;
        let end = [copy_done(), complete("COPY 0"), idle()];
        server.reply(&end).await;
        client.expect(&end).await;
        client.expect([fatal("57P01")]).await;
        client.expect_closed().await;
    };
    futures_util::future::join(stage.drain(), finishing).await;
}

async fn the_end_of_the_grace_period_is_57p01(delivery: Delivery) {
    let mut stage = Stage::with(delivery, |config| {
        config.timeouts.shutdown_grace = Duration::from_millis(50);
    })
    .await;
    let (mut client, mut server) = pair(&mut stage, &LOGICAL).await;
    stream(&mut client, &mut server).await;
    stage.drain().await;
    client.expect([fatal("57P01")]).await;
    client.expect_closed().await;
    server.expect_closed().await;
}

async fn a_reload_that_removes_the_user_ends_it(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (mut client, mut server) = pair(&mut stage, &LOGICAL).await;
    stream(&mut client, &mut server).await;
    let renamed = stage.reload(|config| {
        let user = config.users.remove("app").unwrap();
        config.users.insert("new".to_owned(), user);
    });
    renamed.unwrap();
    // With what comes next.
    server.reply_last([copy_data("w: a change")]).await;
    client.expect([fatal("57P01")]).await;
    client.expect_closed().await;
}

#[tokio::test]
async fn both_directions_may_be_blocked_at_once() {
    let mut stage = Stage::new(Delivery::whole()).await;
    let (mut client, mut server) = pair(&mut stage, &LOGICAL).await;
    client.wire.narrow();
    server.wire.narrow();
    stream(&mut client, &mut server).await;
    let (status, change) = (copy_data(&"r".repeat(500)), copy_data(&"w".repeat(900)));
    // The server reads on only when the client has taken its changes.
    let serving = async {
        for _ in 0..1000 {
            server.expect([status.clone()]).await;
            server.wire.stream_out(&change.bytes()).await;
        }
        server.reply([copy_done()]).await;
    };
    let (mut reader, mut writer) = client.wire.halves();
    let sending = writer.send_all(status.bytes().repeat(1000));
    let reading = async {
        for _ in 0..1000 {
            reader.expect(&change).await;
        }
        reader.expect(&copy_done()).await;
    };
    futures_util::future::join3(serving, sending, reading).await;
}
