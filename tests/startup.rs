//! The first packets of a connection, from both ends.

use crate::support::client::APP;
use crate::support::prelude::*;
use crate::support::scripted;

scripted!(
    protocol_3_2_gets_a_long_key,
    a_newer_protocol_and_unknown_options_are_negotiated,
    protocol_2_is_refused,
    options_and_parameters_become_settings_of_the_server,
    a_server_that_leaves_while_a_client_logs_in_is_not_the_clients_fault,
    a_setting_that_every_server_fails_is_told_in_its_own_words,
    a_setting_that_the_server_refuses_ends_the_log_in,
    replication_is_a_switch_or_database,
    garbage_is_told_so_and_closed,
    lengths_are_not_believed,
    a_client_that_does_not_log_in_in_time_is_sent_away,
    a_client_may_send_its_first_query_with_the_startup_packet,
    an_unknown_database_is_3d000,
    in_hot_standby_is_what_the_pooler_is,
    a_server_that_cannot_be_reached_is_57p03,
    a_pooled_server_is_told_user_and_database_alone;
    split
    encryption_is_declined_and_the_log_in_goes_on,
    encryption_is_asked_for_once,
);

async fn encryption_is_declined_and_the_log_in_goes_on(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let mut client = stage.dial().await;
    for request in [gssenc_request(), ssl_request()] {
        client.wire.send_bytes(&request).await;
        client.wire.read_some().await;
        assert_eq!(std::mem::take(&mut client.wire.input), b"N");
    }
    client.log_in_as_app().await;
    assert_eq!(client.secret.len(), 4);
    assert!(client.process_id > 0);
    assert_eq!(client.parameter("server_version"), Some("18.0"));
    let mut server = stage.primary.accept().await;
    client.send([query("select 1")]).await;
    server.answer([query("select 1")], one_row("1")).await;
    client.expect(one_row("1")).await;
}

async fn encryption_is_asked_for_once(delivery: Delivery) {
    let stage = Stage::new(delivery).await;
    for request in [gssenc_request(), ssl_request()] {
        let mut client = stage.dial().await;
        client.wire.send_bytes(&request).await;
        client.wire.read_some().await;
        assert_eq!(std::mem::take(&mut client.wire.input), b"N");
        client.wire.send_bytes(&request).await;
        client.expect([fatal("0A000")]).await;
        client.expect_closed().await;
    }
}

async fn protocol_3_2_gets_a_long_key(delivery: Delivery) {
    let stage = Stage::new(delivery).await;
    let mut client = stage.dial().await;
    assert_eq!(client.log_in(V3_2, &APP).await, []);
    assert_eq!(client.secret.len(), 32);
}

async fn a_newer_protocol_and_unknown_options_are_negotiated(delivery: Delivery) {
    let stage = Stage::new(delivery).await;
    let negotiate = |version: u32, unknown: &[&str]| {
        let mut body = version.to_be_bytes().to_vec();
        body.extend(u32::try_from(unknown.len()).unwrap().to_be_bytes());
        body.extend(unknown.iter().flat_map(|name| name.bytes().chain([0])));
        Frame::new(b'v', body)
    };
    let with_option = [APP[0], APP[1], ("_pq_.wings", "on")];
    for (version, parameters, answer) in [
        (V3_0 + 9999, &APP[..], Some(negotiate(V3_2, &[]))),
        (V3_0, &with_option, Some(negotiate(V3_0, &["_pq_.wings"]))),
        (V3_2, &with_option, Some(negotiate(V3_2, &["_pq_.wings"]))),
        (V3_2, &APP, None),
    ] {
        let mut client = stage.dial().await;
        let before = client.log_in(version, parameters).await;
        assert_eq!(before, answer.into_iter().collect::<Vec<_>>());
    }
}

async fn protocol_2_is_refused(delivery: Delivery) {
    let stage = Stage::new(delivery).await;
    let mut client = stage.dial().await;
    client.wire.send_bytes(&startup(0x0002_0000, &APP)).await;
    client.expect([fatal("0A000")]).await;
    client.expect_closed().await;
}

async fn options_and_parameters_become_settings_of_the_server(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let mut first = stage.client().await;
    let mut server = stage.primary.accept().await;
    let mut client = stage.dial().await;
    let parameters = [
        APP[0],
        APP[1],
        ("options", "-c search_path=a,b --statement-timeout=5s"),
        ("Geqo", "off"),
        ("application_name", "it's"),
    ];
    client.wire.send_bytes(&startup(V3_0, &parameters)).await;
    let sql = "SET \"geqo\" TO 'off';SELECT pg_catalog.set_config('search_path','a,b',false);\
               SET \"statement_timeout\" TO '5s';";
    server.expect([query(sql)]).await;
    let told = parameter("search_path", "a, b");
    let set = complete("SET");
    let path = [columns(), row("a,b"), told, complete("SELECT 1")];
    server.reply([&[set.clone()][..], &path, &[set, idle()]].concat()).await;
    client.read_greeting().await;
    assert_eq!(client.parameter("search_path"), Some("a, b"));
    assert_eq!(client.parameter("application_name"), Some("it's"));
    // With its first statement it gets the rest, in the same packet.
    client.send([query("select 1")]).await;
    let name = "SET \"application_name\" TO 'it''s';";
    server.expect([query(name), query("select 1")]).await;
    server.reply([complete("SET"), idle()]).await;
    server.reply(one_row("1")).await;
    client.expect(one_row("1")).await;
    // The other client has none of that.
    first.send([query("select 2")]).await;
    let undo = ["application_name", "geqo", "search_path", "statement_timeout"];
    let undo = undo.map(|name| format!("RESET \"{name}\";")).concat();
    let undo = format!("SET \"statement_timeout\" TO '0';{undo}");
    server.expect([query(&undo), query("select 2")]).await;
}

/// A client, its server, and another client that has just asked to log in with this parameter.
async fn wanting(delivery: Delivery, parameter: (&str, &str)) -> (Stage, Client, Server, Client) {
    let mut stage = Stage::new(delivery).await;
    let (first, server) = stage.pair().await;
    let mut client = stage.dial().await;
    client.wire.send_bytes(&startup(V3_0, &[APP[0], APP[1], parameter])).await;
    (stage, first, server, client)
}

async fn a_setting_that_the_server_refuses_ends_the_log_in(delivery: Delivery) {
    let (_stage, _first, mut server, mut client) = wanting(delivery, ("nonsense", "1")).await;
    server.next().await;
    server.reply([error("42704"), idle()]).await;
    let refused = client.next().await;
    assert_eq!(refused.field(b'C').as_deref(), Some("42704"));
    client.expect_closed().await;
}

async fn a_server_that_leaves_while_a_client_logs_in_is_not_the_clients_fault(delivery: Delivery) {
    let (mut stage, _first, mut server, mut client) = wanting(delivery, ("geqo", "off")).await;
    server.next().await;
    server.reply([fatal("57P01")]).await;
    drop(server);
    let mut other = stage.primary.accept().await;
    // It has been slow to begin, as far as another client's statement_timeout goes.
    other.next().await;
    other.reply([error("57014"), idle()]).await;
    let mut third = stage.primary.accept().await;
    third.expect([query("SET \"geqo\" TO 'off';")]).await;
    third.reply([complete("SET"), idle()]).await;
    client.read_greeting().await;
}

/// An extension that looks at a value may fail as a fault would.
async fn a_setting_that_every_server_fails_is_told_in_its_own_words(delivery: Delivery) {
    let (mut stage, _first, mut server, mut client) = wanting(delivery, ("its.own", "1")).await;
    for is_last in [false, false, true] {
        server.next().await;
        server.reply([error("XX000"), idle()]).await;
        server.expect_closed().await;
        if !is_last {
            server = stage.primary.accept().await;
        }
    }
    assert_eq!(client.next().await.field(b'C').as_deref(), Some("XX000"));
    client.expect_closed().await;
}

async fn replication_is_a_switch_or_database(delivery: Delivery) {
    let stage = Stage::new(delivery).await;
    for value in ["", "o", "Database", "2"] {
        let mut client = stage.dial().await;
        let parameters = [APP[0], APP[1], ("replication", value)];
        client.wire.send_bytes(&startup(V3_0, &parameters)).await;
        client.expect([fatal("22023")]).await;
        client.expect_closed().await;
    }
    let mut client = stage.dial().await;
    client.log_in(V3_0, &[APP[0], APP[1], ("replication", "off")]).await;
    // An ordinary session: that is the pooler's own.
    assert_eq!(client.parameter("in_hot_standby"), Some("off"));
}

async fn garbage_is_told_so_and_closed(delivery: Delivery) {
    let stage = Stage::new(delivery).await;
    let unterminated = [&[0, 0, 0, 12][..], &V3_0.to_be_bytes(), b"user"].concat();
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &unterminated, &[0, 0, 0, 4], &[0; 8]] {
        let mut client = stage.dial().await;
        // It may be closed before all has been sent.
        let _ = client.wire.try_send(bytes).await;
        client.expect([fatal("08P01")]).await;
        client.expect_closed().await;
    }
}

async fn lengths_are_not_believed(delivery: Delivery) {
    let stage = Stage::new(delivery).await;
    for length in [10_001_u32 + 240, 1 << 30, u32::MAX] {
        let mut client = stage.dial().await;
        let _ = client.wire.try_send(&length.to_be_bytes()).await;
        client.expect([fatal("08P01")]).await;
        client.expect_closed().await;
    }
    // And after log-in.
    for bytes in [*b"Q\xff\xff\xff\xff", *b"Q\0\0\0\0", *b"?\0\0\0\x04"] {
        let mut client = stage.client().await;
        client.wire.send_bytes(&bytes).await;
        client.expect([fatal("08P01")]).await;
        client.expect_closed().await;
    }
}

async fn a_client_that_does_not_log_in_in_time_is_sent_away(delivery: Delivery) {
    let stage = Stage::with(delivery, |config| {
        config.timeouts.client_login_timeout = std::time::Duration::from_millis(100);
    });
    let stage = stage.await;
    let mut client = stage.dial().await;
    client.wire.send_bytes(&[0, 0]).await;
    client.expect([fatal("28000")]).await;
    client.expect_closed().await;
    eventually("its place is free", || stage.clients() == 0).await;
}

async fn a_client_may_send_its_first_query_with_the_startup_packet(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let mut client = stage.dial().await;
    let both = [startup(V3_0, &APP), query("select 1").bytes()].concat();
    client.wire.send_bytes(&both).await;
    client.read_greeting().await;
    let mut server = stage.primary.accept().await;
    server.answer([query("select 1")], one_row("1")).await;
    client.expect(one_row("1")).await;
}

async fn an_unknown_database_is_3d000(delivery: Delivery) {
    let stage = Stage::new(delivery).await;
    let mut client = stage.dial().await;
    client.wire.send_bytes(&startup(V3_0, &[("user", "app"), ("database", "nowhere")])).await;
    client.expect([fatal("3D000")]).await;
    client.expect_closed().await;
}

async fn in_hot_standby_is_what_the_pooler_is(delivery: Delivery) {
    let stage = Stage::new(delivery).await;
    let client = stage.client().await;
    assert_eq!(client.parameter("in_hot_standby"), Some("off"));
    assert_eq!(client.parameter("default_transaction_read_only"), Some("off"));
}

async fn a_server_that_cannot_be_reached_is_57p03(delivery: Delivery) {
    let stage = Stage::with(delivery, |config| {
        // Nobody listens at port 1.
        if let Some(database) = config.databases.get_mut("app") {
            database.primary.port = 1;
        }
    });
    let stage = stage.await;
    let mut client = stage.dial().await;
    client.wire.send_bytes(&startup(V3_0, &APP)).await;
    client.expect([fatal("57P03")]).await;
    client.expect_closed().await;
}

async fn a_pooled_server_is_told_user_and_database_alone(delivery: Delivery) {
    let mut stage = Stage::new(delivery).await;
    let (_client, server) = stage.pair().await;
    let told = APP.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(server.parameters, told);
}
