//! Peers that take their bytes slowly: small buffers of the operating system, large messages.

use std::time::Duration;

use futures_util::future::join;

use crate::support::prelude::*;

/// A stage whose fake peers have small buffers, and one client with its server.
async fn narrow() -> (Stage, Client, Server) {
    let mut stage =
        Stage::with(Delivery::whole(), |config| config.pool.default_pool_size = 1).await;
    let (client, server) = stage.pair().await;
    client.wire.narrow();
    server.wire.narrow();
    (stage, client, server)
}

/// Large enough for no buffer.
fn large() -> String {
    "0123456789abcdef".repeat(64 * 1024)
}

#[tokio::test]
async fn a_large_row_streams_to_a_slow_client() {
    let (_stage, mut client, mut server) = narrow().await;
    let answer = [columns(), row(&large()), row("2"), complete("SELECT 2"), idle()];
    client.send([query("select 1")]).await;
    server.expect([query("select 1")]).await;
    join(server.wire.stream_out(&bytes(&answer)), client.expect(&answer)).await;
    client.send([query("select 1")]).await;
    server.answer([query("select 1")], one_row("1")).await;
    client.expect(one_row("1")).await;
}

#[tokio::test]
async fn many_rows_stream_to_a_slow_client() {
    let (_stage, mut client, mut server) = narrow().await;
    let mut answer = vec![columns()];
    answer.extend((0..5000).map(|index| row(&"x".repeat(index % 700))));
    answer.extend([complete("SELECT 5000"), idle()]);
    client.send([query("select 1")]).await;
    server.expect([query("select 1")]).await;
    join(server.wire.stream_out(&bytes(&answer)), client.expect(&answer)).await;
}

#[tokio::test]
async fn a_server_is_handed_on_although_its_client_is_slow() {
    let (stage, mut client, mut server) = narrow().await;
    let mut other = stage.client().await;
    // Less than the pooler keeps for a slow client, more than the system does.
    let answer = [columns(), row(&"x".repeat(48 * 1024)), complete("SELECT 1"), idle()];
    client.send([query("select 1")]).await;
    server.expect([query("select 1")]).await;
    server.wire.stream_out(&bytes(&answer)).await;
    other.send([query("select 2")]).await;
    server.answer([query("select 2")], one_row("2")).await;
    other.expect(one_row("2")).await;
    client.expect(&answer).await;
}

#[tokio::test]
async fn a_large_query_streams_to_a_slow_server() {
    let (_stage, mut client, mut server) = narrow().await;
    let sql = query(&format!("insert into t values ('{}')", large()));
    join(client.wire.stream_out(&sql.bytes()), server.expect([sql.clone()])).await;
    server.reply([complete("INSERT 0 1"), idle()]).await;
    client.expect([complete("INSERT 0 1"), idle()]).await;
    // It was too long to be looked at, so the server is cleaned.
    server.answer([query("DISCARD ALL")], [complete("DISCARD ALL"), idle()]).await;
}

#[tokio::test]
async fn a_large_bind_streams_with_the_servers_name() {
    let (_stage, mut client, mut server) = narrow().await;
    let value = large();
    client.send([parse("a", "insert into t values ($1)"), sync()]).await;
    let sent = [parse("pgl_1", "insert into t values ($1)"), sync()];
    server.answer(sent, [parse_complete(), idle()]).await;
    client.expect([parse_complete(), idle()]).await;
    let batch = |name: &str| [bind_values("", name, &[&value]), execute(""), sync()];
    join(client.wire.stream_out(&bytes(&batch("a"))), server.expect(batch("pgl_1"))).await;
    let answer = [bind_complete(), complete("INSERT 0 1"), idle()];
    server.reply(&answer).await;
    client.expect(&answer).await;
}

#[tokio::test]
async fn a_large_statement_is_prepared() {
    let (_stage, mut client, mut server) = narrow().await;
    let text = format!("insert into t values ('{}')", "x".repeat(200_000));
    let batch = |name: &str| [parse(name, &text), sync()];
    join(client.wire.stream_out(&bytes(&batch("a"))), server.expect(batch("pgl_1"))).await;
    server.reply([parse_complete(), idle()]).await;
    client.expect([parse_complete(), idle()]).await;
}

#[tokio::test]
async fn copy_in_goes_as_fast_as_the_server_takes_it() {
    let (_stage, mut client, mut server) = narrow().await;
    client.send([query("copy t from stdin")]).await;
    server.answer([query("copy t from stdin")], [copy_in()]).await;
    client.expect([copy_in()]).await;
    let mut data: Vec<Frame> = (0..2000).map(|index| copy_data(&"x".repeat(index % 900))).collect();
    data.push(copy_data(&large()));
    data.push(copy_done());
    join(client.wire.stream_out(&bytes(&data)), server.expect(&data)).await;
    server.reply([complete("COPY 2001"), idle()]).await;
    client.expect([complete("COPY 2001"), idle()]).await;
}

#[tokio::test]
async fn both_directions_may_be_blocked_at_once() {
    let (_stage, mut client, mut server) = narrow().await;
    client.send([query("copy t from stdin")]).await;
    server.answer([query("copy t from stdin")], [copy_in()]).await;
    client.expect([copy_in()]).await;
    // The server complains about every row, and reads on only when its complaint has been taken.
    let rows = vec![copy_data(&"x".repeat(500)); 1000];
    let complaint = notice(&"bad ".repeat(200));
    let copying = async {
        for row in &rows {
            server.expect([row.clone()]).await;
            server.wire.stream_out(&complaint.bytes()).await;
        }
        server.answer([copy_done()], [complete("COPY 0"), idle()]).await;
    };
    let (mut reader, mut writer) = client.wire.halves();
    let sending = writer.send_all([bytes(&rows), copy_done().bytes()].concat());
    let reading = async {
        for _ in &rows {
            reader.expect(&complaint).await;
        }
        reader.expect(&complete("COPY 0")).await;
        reader.expect(&idle()).await;
    };
    join(copying, join(sending, reading)).await;
}

#[tokio::test]
async fn a_pipeline_whose_client_does_not_read_is_answered_in_the_end() {
    const QUERIES: usize = 200;
    let (_stage, mut client, mut server) = narrow().await;
    let sent = vec![query("insert into t values (1) returning a"); QUERIES];
    let answer = [columns(), row(&"x".repeat(4000)), complete("INSERT 0 1"), idle()];
    let serving = async {
        for frame in &sent {
            server.expect([frame.clone()]).await;
            server.wire.stream_out(&bytes(&answer)).await;
        }
    };
    let asking = async {
        client.wire.stream_out(&bytes(&sent)).await;
        for _ in 0..QUERIES {
            client.expect(&answer).await;
        }
    };
    join(serving, asking).await;
}

#[tokio::test]
async fn a_client_that_never_reads_does_not_fill_the_memory() {
    let (stage, mut client, mut server) = narrow().await;
    client.send([query("select 1")]).await;
    server.expect([query("select 1")]).await;
    let much = bytes(&vec![row(&"x".repeat(8000)); 4000]);
    let streaming = server.wire.stream_out(&much);
    // (On a machine that is too slow for this to fail it passes.) Sockets and the pooler together hold a few hundred kilobytes: the server is made to wait.
    let waited = tokio::time::timeout(Duration::from_millis(300), streaming).await;
    assert!(waited.is_err(), "32 MB were taken from the server for a client that does not read");
    drop(client);
    eventually("the client is gone", || stage.clients() == 0).await;
}
