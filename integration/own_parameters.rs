//! Parameters of pgLagoon's own behave like PostgreSQL's, and no server hears of them.

use pglagoon::demo::Cluster;
use tokio::sync::mpsc::{Receiver, channel};
use tokio_postgres::{
    AsyncMessage, Client, Error, NoTls, SimpleQueryMessage, Statement, error::SqlState, types::Type,
};

use crate::{
    fixture::{
        VERSIONS, client, eventually, index, on_each_version, own_cluster, standing_for, unique,
    },
    pooler::{Pooler, shared_pooler},
};

on_each_version!(
    they_are_set_and_shown_in_both_protocols,
    set_config_sets_them,
    bound_values_set_them,
    bound_values_that_are_wrong_fail_the_transaction,
    what_resets_all_resets_them,
    they_follow_transactions,
    set_local_outside_a_transaction_sets_nothing,
    what_is_wrong_is_an_error_that_fails_the_transaction,
    they_may_come_with_the_startup_packet,
    a_notice_explains_each_statement,
    transactions_of_read_only_sessions_run_on_replicas,
    a_token_carries_a_write_to_another_pooler,
    a_token_of_another_system_is_refused,
);

/// What SHOW shows, by simple query.
async fn shown(client: &Client, name: &str) -> String {
    let messages = client.simple_query(&format!("SHOW {name}")).await.unwrap();
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    row.unwrap()
}

async fn they_are_set_and_shown_in_both_protocols(major: u16) {
    let client = client(&shared_pooler(major).await.url()).await;
    let name = "pglagoon.consistency";
    assert_eq!(shown(&client, name).await, "session");
    client.batch_execute("SET pglagoon.consistency = 'Strong'").await.unwrap();
    assert_eq!(shown(&client, name).await, "strong");
    let show = client.prepare("SHOW pglagoon.consistency").await.unwrap();
    assert_eq!(show.columns()[0].name(), name);
    let value = async || client.query_one(&show, &[]).await.unwrap().get::<_, String>(0);
    assert_eq!(value().await, "strong");
    assert_eq!(client.execute("SET pglagoon.consistency TO eventual", &[]).await.unwrap(), 0);
    assert_eq!(value().await, "eventual");
    client.execute("RESET pglagoon.consistency", &[]).await.unwrap();
    assert_eq!(value().await, "session");
}

async fn set_config_sets_them(major: u16) {
    let client = client(&shared_pooler(major).await.url()).await;
    let sql = "SELECT set_config('pglagoon.consistency', 'TABLE', false)";
    let row = client.query_one(sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), "table");
    assert_eq!(shown(&client, "pglagoon.consistency").await, "table");
}

async fn what_resets_all_resets_them(major: u16) {
    let client = client(&shared_pooler(major).await.url()).await;
    for reset in ["RESET ALL", "DISCARD ALL"] {
        client.batch_execute("SET pglagoon.max_lag = 200").await.unwrap();
        assert_eq!(shown(&client, "pglagoon.max_lag").await, "200ms");
        client.batch_execute(reset).await.unwrap();
        assert_eq!(shown(&client, "pglagoon.max_lag").await, "1s");
    }
    client.batch_execute("SET pglagoon.group = 'a'").await.unwrap();
    let sql = "SELECT count(*) FROM pg_settings WHERE name LIKE 'pglagoon%'";
    assert_eq!(client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 0);
}

async fn they_follow_transactions(major: u16) {
    let client = client(&shared_pooler(major).await.url()).await;
    for (commands, inside, rolled_back, committed) in [
        (&["SET pglagoon.group = 'new'"][..], "new", "kept", "new"),
        (&["SET LOCAL pglagoon.group = 'new'"], "new", "kept", "kept"),
        (&["RESET pglagoon.group"], "", "kept", ""),
        (
            &["SET LOCAL pglagoon.group = 'local'", "SET pglagoon.group = 'new'"],
            "new",
            "kept",
            "new",
        ),
    ] {
        within(&client, commands, inside, ("ROLLBACK", rolled_back)).await;
        within(&client, commands, inside, ("COMMIT", committed)).await;
    }
}

/// Runs commands within a transaction and checks what they set, there and after its end.
async fn within(client: &Client, commands: &[&str], inside: &str, (end, after): (&str, &str)) {
    let name = "pglagoon.group";
    client.batch_execute("SET pglagoon.group = 'kept'").await.unwrap();
    client.batch_execute("BEGIN").await.unwrap();
    for command in commands {
        client.execute(*command, &[]).await.unwrap();
    }
    assert_eq!(shown(client, name).await, inside);
    client.batch_execute("SELECT 1").await.unwrap();
    assert_eq!(shown(client, name).await, inside);
    client.batch_execute(end).await.unwrap();
    assert_eq!(shown(client, name).await, after, "{commands:?} {end}");
}

async fn set_local_outside_a_transaction_sets_nothing(major: u16) {
    let client = client(&shared_pooler(major).await.url()).await;
    client.batch_execute("SET LOCAL pglagoon.group = 'nothing'").await.unwrap();
    client.batch_execute("BEGIN; SET LOCAL lock_timeout = 1; COMMIT").await.unwrap();
    assert_eq!(shown(&client, "pglagoon.group").await, "");
}

async fn what_is_wrong_is_an_error_that_fails_the_transaction(major: u16) {
    let client = client(&shared_pooler(major).await.url()).await;
    for (wrong, code) in [
        ("SET pglagoon.consistency = 'lax'", SqlState::INVALID_PARAMETER_VALUE),
        ("SHOW pglagoon.nonsense", SqlState::UNDEFINED_OBJECT),
        ("RESET pglagoon.token", SqlState::CANT_CHANGE_RUNTIME_PARAM),
    ] {
        for is_simple in [true, false] {
            let run = async |sql: &'static str| {
                if is_simple {
                    client.batch_execute(sql).await
                } else {
                    client.execute(sql, &[]).await.map(drop)
                }
            };
            assert_eq!(run(wrong).await.unwrap_err().code(), Some(&code), "{wrong}");
            run("BEGIN").await.unwrap();
            run("SET pglagoon.group = 'undone'").await.unwrap();
            assert_eq!(run(wrong).await.unwrap_err().code(), Some(&code), "{wrong}");
            for sql in ["SELECT 1", "SET pglagoon.group = 'x'", "SHOW pglagoon.group"] {
                let error = run(sql).await.unwrap_err();
                assert_eq!(error.code(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION), "{sql}");
            }
            run("ROLLBACK").await.unwrap();
            assert_eq!(shown(&client, "pglagoon.group").await, "");
        }
    }
}

async fn they_may_come_with_the_startup_packet(major: u16) {
    let url = shared_pooler(major).await.url();
    let with = |options: &str| format!("{url}?options=-c%20pglagoon.{options}");
    let strong = client(&with("consistency%3dstrong")).await;
    assert_eq!(shown(&strong, "pglagoon.consistency").await, "strong");
    strong.batch_execute("SET pglagoon.consistency = eventual").await.unwrap();
    strong.batch_execute("RESET pglagoon.consistency").await.unwrap();
    assert_eq!(shown(&strong, "pglagoon.consistency").await, "strong");
    let refused = tokio_postgres::connect(&with("consistency%3dlax"), NoTls).await;
    let error = refused.err().unwrap();
    assert_eq!(error.code(), Some(&SqlState::INVALID_PARAMETER_VALUE));
}

/// A client, and the notices that it gets.
pub(crate) async fn listener(url: &str) -> (Client, Receiver<String>) {
    let (client, mut connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let (tell, told) = channel(16);
    tokio::spawn(async move {
        while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notice(notice) = message {
                let _ = tell.send(notice.message().to_owned()).await;
            }
        }
    });
    (client, told)
}

async fn a_notice_explains_each_statement(major: u16) {
    let pooler = shared_pooler(major).await;
    let (client, mut told) = listener(&pooler.url()).await;
    for (sql, notice) in [
        ("SET pglagoon.explain = on", None),
        ("CREATE TEMP TABLE mine (n int)", Some("primary (ddl)")),
        ("DISCARD ALL", Some("primary (temporary_table)")),
        ("SET pglagoon.explain = on", None),
        ("SET pglagoon.route = 'primary'", None),
        ("SELECT 1", Some("primary (hint)")),
        ("BEGIN", Some("primary (hint)")),
        ("SELECT 1", Some("primary (in_transaction)")),
        ("COMMIT", Some("primary (in_transaction)")),
    ] {
        client.batch_execute(sql).await.unwrap();
        if let Some(notice) = notice {
            assert_eq!(told.recv().await.unwrap(), format!("pglagoon: {notice}"), "{sql}");
        }
    }
    // Each batch of the extended protocol: what prepares the statement, and what runs it.
    let statement = client.prepare("SELECT 1").await.unwrap();
    assert_eq!(told.recv().await.unwrap(), "pglagoon: primary (hint)");
    client.query(&statement, &[]).await.unwrap();
    assert_eq!(told.recv().await.unwrap(), "pglagoon: primary (hint)");
    client.batch_execute("BEGIN").await.unwrap();
    told.recv().await.unwrap();
    client.query(&statement, &[]).await.unwrap();
    assert_eq!(told.recv().await.unwrap(), "pglagoon: primary (in_transaction)");
}

async fn transactions_of_read_only_sessions_run_on_replicas(major: u16) {
    let client = client(&shared_pooler(major).await.url()).await;
    for set in [
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SET default_transaction_read_only = on",
    ] {
        client.batch_execute(set).await.unwrap();
        eventually("a replica to take the transaction", async || {
            client.batch_execute("BEGIN").await.unwrap();
            let row = client.query_one("SELECT pg_is_in_recovery()", &[]).await.unwrap();
            client.batch_execute("COMMIT").await.unwrap();
            row.get::<_, bool>(0).then_some(())
        })
        .await;
        let write = client.batch_execute("CREATE TABLE never (n int)").await.unwrap_err();
        assert_eq!(write.code(), Some(&SqlState::READ_ONLY_SQL_TRANSACTION));
        client.batch_execute("BEGIN READ WRITE; COMMIT").await.unwrap();
        client.batch_execute("RESET default_transaction_read_only").await.unwrap();
    }
}

/// A table with one row, in both of which nobody else has a part.
async fn one_row(client: &Client) -> String {
    let table = unique("token");
    let sql = format!("CREATE TABLE {table} (n int); INSERT INTO {table} VALUES (0)");
    client.batch_execute(&sql).await.unwrap();
    table
}

/// Reads what another pooler's client has written, when every replica is late.
async fn a_token_carries_a_write_to_another_pooler(major: u16) {
    let late = std::time::Duration::from_millis(300);
    let cluster: Cluster = own_cluster(major).delay(0, late).delay(1, late).start().await.unwrap();
    let keys = [("routing.max_lag", "\"5s\""), ("routing.consistency", "\"eventual\"")];
    let (here, there) =
        (Pooler::start(&cluster, &keys).await, Pooler::start(&cluster, &keys).await);
    let writer = client(&here.url()).await;
    let table = one_row(&writer).await;
    cluster.wait_caught_up().await.unwrap();
    let reader = client(&there.url()).await;
    let read = format!("SELECT n FROM {table}");
    for turn in 1..20 {
        writer.batch_execute(&format!("UPDATE {table} SET n = {turn}")).await.unwrap();
        let token: String = if turn % 2 == 0 {
            writer.query_one("SHOW pglagoon.token", &[]).await.unwrap().get(0)
        } else {
            shown(&writer, "pglagoon.token").await
        };
        let found: i32 = if turn % 3 == 0 {
            let sql = format!("/* pglagoon: after={token} */ {read}");
            reader.query_one(&sql, &[]).await.unwrap().get(0)
        } else {
            reader.batch_execute(&format!("SET pglagoon.after = '{token}'")).await.unwrap();
            reader.query_one(&read, &[]).await.unwrap().get(0)
        };
        assert_eq!(found, turn);
    }
    here.check();
    there.check();
}

async fn a_token_of_another_system_is_refused(major: u16) {
    let other = standing_for(VERSIONS[1 - index(major)]);
    let elsewhere = client(&shared_pooler(other).await.url()).await;
    let token = shown(&elsewhere, "pglagoon.token").await;
    let client = client(&shared_pooler(major).await.url()).await;
    assert_ne!(shown(&client, "pglagoon.token").await, token);
    // Once the pooler has asked its own primary who it is.
    let error = eventually("a refusal", async || {
        client.batch_execute(&format!("SET pglagoon.after = '{token}'")).await.err()
    })
    .await;
    assert_eq!(error.code(), Some(&SqlState::INVALID_PARAMETER_VALUE));
}

/// Both parameters of `set` with bound values.
async fn bound(
    client: &Client,
    (set, values): (&Statement, [&str; 2]),
) -> Result<[String; 2], Error> {
    let row = client.query_one(set, &[&values[0], &values[1]]).await?;
    Ok([row.get(0), row.get(1)])
}

/// The code of the error that this ends in.
async fn refused<T: std::fmt::Debug>(what: impl Future<Output = Result<T, Error>>) -> SqlState {
    what.await.unwrap_err().code().cloned().unwrap()
}

async fn bound_values_set_them(major: u16) {
    let client = client(&shared_pooler(major).await.url()).await;
    let sql = "SELECT set_config('pglagoon.consistency', $1, false), set_config('pglagoon.group', $2, true)";
    let set = client.prepare(sql).await.unwrap();
    assert_eq!(set.params(), [Type::TEXT, Type::TEXT]);
    assert_eq!(bound(&client, (&set, ["Strong", "a"])).await.unwrap(), ["strong", "a"]);
    assert_eq!(both_shown(&client).await, ["strong", ""]);
    client.batch_execute("BEGIN").await.unwrap();
    assert_eq!(bound(&client, (&set, ["table", "b"])).await.unwrap(), ["table", "b"]);
    assert_eq!(both_shown(&client).await, ["table", "b"]);
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(both_shown(&client).await, ["strong", ""]);
    let null: Option<&str> = None;
    let reset = "SELECT set_config('pglagoon.consistency', $1, false)";
    client.query_one(reset, &[&null]).await.unwrap();
    assert_eq!(both_shown(&client).await, ["session", ""]);
}

async fn both_shown(client: &Client) -> [String; 2] {
    [shown(client, "pglagoon.consistency").await, shown(client, "pglagoon.group").await]
}

async fn bound_values_that_are_wrong_fail_the_transaction(major: u16) {
    let client = client(&shared_pooler(major).await.url()).await;
    let sql = "SELECT set_config('pglagoon.consistency', $1, true), set_config('pglagoon.group', $2, true)";
    let set = client.prepare(sql).await.unwrap();
    client.batch_execute("BEGIN").await.unwrap();
    let wrong = refused(bound(&client, (&set, ["lax", "c"]))).await;
    assert_eq!(wrong, SqlState::INVALID_PARAMETER_VALUE);
    let failed = refused(client.batch_execute("SELECT 1")).await;
    assert_eq!(failed, SqlState::IN_FAILED_SQL_TRANSACTION);
    client.batch_execute("ROLLBACK").await.unwrap();
    let sql = "SELECT set_config($1, 'strong', false)";
    let named = refused(client.query_one(sql, &[&"pglagoon.consistency"])).await;
    assert_eq!(named, SqlState::FEATURE_NOT_SUPPORTED);
    let sql = "SELECT set_config('pglagoon.group', $1, false)";
    assert_eq!(refused(client.batch_execute(sql)).await, SqlState::UNDEFINED_PARAMETER);
}
