//! Standbys, subscriptions, backups and whoever else speaks with a walsender, through the pooler.

use std::{
    path::PathBuf,
    process::{Output, Stdio},
};

use pglagoon::demo::{Cluster, Node};
use tokio::process::{Child, Command};
use tokio_postgres::Client;

use crate::{
    fixture::{
        client, eventually, on_each_version, one, own_cluster, rows, shared_cluster, succeeded,
        tools, unique,
    },
    pooler::Pooler,
};

on_each_version!(
    a_standby_follows_and_a_promotion_ends_it,
    a_subscription_follows,
    changes_are_decoded,
    sql_runs_beside_replication_commands,
    it_is_told_everywhere,
    who_may_not_replicate_is_told_so_as_by_the_server,
    a_backup_is_taken_and_the_log_received,
);

/// The superuser's password.
fn password(cluster: &Cluster) -> String {
    cluster.primary().superuser_url().split([':', '@']).nth(2).unwrap().to_owned()
}

/// A pooler that lets in the superuser, too.
async fn pooler(cluster: &Cluster) -> Pooler {
    let password = format!("{:?}", password(cluster));
    // Without a user: each is the same at the server.
    let url = |node: &Node| format!("\"postgres://{}/app\"", node.address());
    let replicas: Vec<String> = cluster.replicas().map(url).collect();
    let keys: [(&str, &str); 10] = [
        ("databases.app.primary", &url(cluster.primary())),
        ("databases.app.replicas", &format!("[{}]", replicas.join(", "))),
        ("databases.app.monitor_user", "\"app\""),
        ("databases.app.monitor_password", &format!("{:?}", cluster.app_password())),
        ("admin.admin_users", "[\"app\"]"),
        ("http.address", "\"127.0.0.1:0\""),
        ("logging.level", "\"debug\""),
        ("pool.default_pool_size", "5"),
        ("routing.poll_timeout", "\"1s\""),
        ("users.postgres.password", &password),
    ];
    Pooler::start(cluster, &keys).await
}

/// What libpq needs to get to this port as the superuser.
fn conninfo(cluster: &Cluster, port: u16) -> String {
    let password = password(cluster);
    format!("host=127.0.0.1 port={port} user=postgres password={password} sslmode=disable")
}

/// A program of PostgreSQL's with these arguments; `None`, with a printed reason, if there is none.
fn program(name: &str, arguments: &[&str]) -> Option<Command> {
    let path = tools()?.join(name);
    if !path.exists() {
        eprintln!("skipped: no {name}");
        return None;
    }
    let mut command = Command::new(path);
    command.args(arguments).kill_on_drop(true).stdin(Stdio::null());
    Some(command)
}

/// Runs psql on a replication connection to this port.
async fn psql(cluster: &Cluster, port: u16, kind: &str, text: &str) -> Option<Output> {
    let target = format!("{} dbname=app replication={kind}", conninfo(cluster, port));
    let mut psql = program("psql", &["-XAtq", "-d", &target, "-c", text])?;
    Some(psql.output().await.unwrap())
}

/// Has psql sleep on a replication connection, by way of the pooler.
async fn sleeper(cluster: &Cluster, pooler: &Pooler) -> Option<Child> {
    let (what, port) = (unique("sleeper"), pooler.address().port());
    let target = format!("{} dbname=app replication=database", conninfo(cluster, port));
    let text = format!("SELECT pg_sleep(600) AS {what}");
    let mut psql = program("psql", &["-XAtq", "-d", &target, "-c", &text])?;
    let child = psql.stderr(Stdio::piped()).spawn().unwrap();
    let watcher = cluster.primary().client().await.unwrap();
    let asleep = "SELECT count(*) FROM pg_stat_activity \
        WHERE backend_type = 'walsender' AND query = $1 AND state = 'active'";
    eventually("psql to sleep", async || {
        let count: i64 = watcher.query_one(asleep, &[&text]).await.unwrap().get(0);
        (count == 1).then_some(())
    })
    .await;
    Some(child)
}

/// Interrupts a program as Ctrl-C does.
async fn interrupt(child: &Child) {
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
}

/// The clients, or servers, that replicate: what they do and what pins them.
async fn shown(operator: &Client, command: &str) -> Vec<String> {
    let rows = rows(operator, command).await;
    let columns = ["replication", "state", "pinned"];
    let rows = rows.iter().map(|row| columns.map(|column| row.get(column).unwrap()).join(" "));
    rows.filter(|row| !row.starts_with("none")).collect()
}

/// Waits until no server is in use.
async fn await_rest(operator: &Client) {
    eventually("servers to be given back", async || {
        let pools = rows(operator, "SHOW POOLS").await;
        pools.iter().all(|row| row.get("sv_active") == Some("0")).then_some(())
    })
    .await;
}

async fn a_standby_follows_and_a_promotion_ends_it(major: u16) {
    let cluster = own_cluster(major).replicas(1).start().await.unwrap();
    let (primary, standby) = (cluster.primary(), cluster.replica(0).unwrap());
    primary.execute("GRANT pg_read_all_stats TO app; CREATE TABLE t (i int)").await.unwrap();
    let pooler = pooler(&cluster).await;
    let operator = pooler.operator().await;
    let source = conninfo(&cluster, pooler.address().port());
    standby
        .alter("primary_conninfo", &format!("'{source} application_name=pooled'"))
        .await
        .unwrap();
    let streams = "SELECT count(*) FROM pg_stat_replication \
        WHERE application_name = 'pooled' AND state = 'streaming'";
    eventually("the standby to stream through the pooler", async || {
        (primary.query_text(streams).await.unwrap().as_deref() == Some("1")).then_some(())
    })
    .await;
    assert_eq!(shown(&operator, "SHOW CLIENTS").await, ["physical active replication"]);
    assert_eq!(shown(&operator, "SHOW SERVERS").await, ["physical active replication"]);
    // A hundred megabytes of log.
    let much = "INSERT INTO t SELECT i FROM generate_series(1, 1000000) AS i";
    primary.execute(much).await.unwrap();
    cluster.wait_caught_up().await.unwrap();
    assert_eq!(standby.query_text("SELECT count(*) FROM t").await.unwrap().unwrap(), "1000000");
    end_by_promotion(&cluster, &pooler).await;
    await_rest(&operator).await;
    pooler.check();
}

/// The primary hangs and is replaced: who replicates from it is told.
async fn end_by_promotion(cluster: &Cluster, pooler: &Pooler) {
    let old = cluster.primary();
    let asleep = sleeper(cluster, pooler).await;
    old.pause().unwrap();
    let noticed = "no answer within 1s";
    eventually(noticed, async || pooler.log().contains(noticed).then_some(())).await;
    cluster.promote(0).await.unwrap();
    if let Some(asleep) = asleep {
        let output = asleep.wait_with_output().await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains("another node has become the primary"), "{errors}");
    }
    old.resume().unwrap();
}

async fn a_subscription_follows(major: u16) {
    let logical = own_cluster(major).replicas(0).setting("wal_level", "logical");
    let cluster = logical.start().await.unwrap();
    let pooler = pooler(&cluster).await;
    let publisher = cluster.primary().client().await.unwrap();
    let subscriber = subscribe(&publisher, &cluster, &pooler).await;
    // What was there is copied, what comes is streamed.
    let sum = "SELECT count(*) || ' ' || coalesce(sum(length(word)), 0) FROM copied";
    for change in [
        "SELECT 1",
        "UPDATE copied SET word = id::text WHERE id % 2 = 0",
        "DELETE FROM copied WHERE id % 3 = 0",
    ] {
        publisher.batch_execute(change).await.unwrap();
        let all = one(&publisher, sum).await;
        eventually("the subscription to catch up", async || {
            (one(&subscriber, sum).await == all).then_some(())
        })
        .await;
    }
    let operator = pooler.operator().await;
    let clients = shown(&operator, "SHOW CLIENTS").await;
    assert!(clients.contains(&"logical active replication".to_owned()), "{clients:?}");
    subscriber.batch_execute("DROP SUBSCRIPTION told").await.unwrap();
    assert_eq!(one(&publisher, "SELECT count(*) FROM pg_replication_slots").await, "0");
    await_rest(&operator).await;
    pooler.check();
}

/// A table, and a database that follows it by way of the pooler. In the same cluster the slot has to be there already.
async fn subscribe(publisher: &Client, cluster: &Cluster, pooler: &Pooler) -> Client {
    let table = "CREATE TABLE copied (id int PRIMARY KEY, word text)";
    for text in [
        table,
        "INSERT INTO copied SELECT i, repeat('word', 100) FROM generate_series(1, 20000) AS i",
        "CREATE PUBLICATION told FOR TABLE copied",
        "SELECT pg_create_logical_replication_slot('told', 'pgoutput')",
        "CREATE DATABASE mirror",
    ] {
        publisher.batch_execute(text).await.unwrap();
    }
    let subscriber = client(&cluster.primary().superuser_url().replace("/app", "/mirror")).await;
    subscriber.batch_execute(table).await.unwrap();
    let source = conninfo(cluster, pooler.address().port());
    let subscribe = format!(
        "CREATE SUBSCRIPTION told CONNECTION '{source} dbname=app' PUBLICATION told \
            WITH (create_slot = false, slot_name = 'told')"
    );
    subscriber.batch_execute(&subscribe).await.unwrap();
    subscriber
}

async fn changes_are_decoded(major: u16) {
    let logical = own_cluster(major).replicas(0).setting("wal_level", "logical");
    let cluster = logical.start().await.unwrap();
    let pooler = pooler(&cluster).await;
    let target = format!("{} dbname=app", conninfo(&cluster, pooler.address().port()));
    let receive = async |arguments: &[&str]| {
        let all = [&["-d", &target, "-S", "decoded"], arguments].concat();
        let output = program("pg_recvlogical", &all)?.output().await.unwrap();
        Some(succeeded(&output))
    };
    if receive(&["--create-slot", "-P", "test_decoding"]).await.is_none() {
        return;
    }
    let writer = client(&pooler.url()).await;
    let rows = "CREATE TABLE t (i int, x text); \
        INSERT INTO t SELECT i, repeat('x', 5000) FROM generate_series(1, 2000) AS i";
    writer.batch_execute(rows).await.unwrap();
    let end = one(&writer, "SELECT pg_current_wal_insert_lsn()").await;
    let start = ["--start", "--no-loop", "-f", "-", "--endpos", &end];
    let changes = receive(&start).await.unwrap();
    let inserted = changes.lines().filter(|line| line.starts_with("table public.t: INSERT"));
    assert_eq!(inserted.count(), 2000);
    assert!(changes.len() > 2000 * 5000);
    receive(&["--drop-slot"]).await.unwrap();
    await_rest(&pooler.operator().await).await;
    pooler.check();
}

async fn sql_runs_beside_replication_commands(major: u16) {
    let cluster = shared_cluster(major).await;
    let pooler = pooler(cluster).await;
    let port = pooler.address().port();
    for kind in ["database", "true"] {
        let direct = psql(cluster, cluster.primary().port(), kind, "IDENTIFY_SYSTEM").await;
        let Some(direct) = direct else { return };
        let ours = psql(cluster, port, kind, "IDENTIFY_SYSTEM").await.unwrap();
        let system = |output: &Output| succeeded(output).split('|').next().unwrap().to_owned();
        assert_eq!(system(&ours), system(&direct));
    }
    let sql = "SELECT current_database(), current_user; BEGIN; SET LOCAL work_mem = '1MB'; COMMIT";
    let output = psql(cluster, port, "database", sql).await.unwrap();
    assert_eq!(succeeded(&output), "app|postgres");
    // What is no database at all is no session.
    let output = psql(cluster, port, "nonsense", "SELECT 1").await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        errors.contains("invalid value for parameter \"replication\": \"nonsense\""),
        "{errors}"
    );
    // A cancel request.
    let asleep = sleeper(cluster, &pooler).await.unwrap();
    interrupt(&asleep).await;
    let output = asleep.wait_with_output().await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("canceling statement due to user request"), "{errors}");
    await_rest(&pooler.operator().await).await;
    pooler.check();
}

async fn it_is_told_everywhere(major: u16) {
    let cluster = shared_cluster(major).await;
    let pooler = pooler(cluster).await;
    let operator = pooler.operator().await;
    let Some(mut asleep) = sleeper(cluster, &pooler).await else { return };
    assert_eq!(shown(&operator, "SHOW CLIENTS").await, ["logical active replication"]);
    assert_eq!(shown(&operator, "SHOW SERVERS").await, ["logical active replication"]);
    let routed = "pglagoon_routed_total{database=\"app\",reason=\"pinned_replication\"}";
    for (series, count) in [(routed, "1"), ("pglagoon_pins_total", "1")] {
        let metrics = pooler.metrics().await;
        let told = metrics.lines().find(|line| line.starts_with(series));
        let told = told.unwrap_or_else(|| panic!("{series}: {metrics}"));
        assert!(told.ends_with(&format!(" {count}")), "{told}");
    }
    let log = pooler.log();
    let is_told =
        |line: &str| line.contains("a client is pinned") && line.contains("reason=\"replication\"");
    assert!(log.lines().any(is_told), "{log}");
    // Who vanishes takes its server along.
    asleep.kill().await.unwrap();
    eventually("the server to be gone", async || {
        shown(&operator, "SHOW SERVERS").await.is_empty().then_some(())
    })
    .await;
    await_rest(&operator).await;
    pooler.check();
}

async fn who_may_not_replicate_is_told_so_as_by_the_server(major: u16) {
    let cluster = shared_cluster(major).await;
    let pooler = pooler(cluster).await;
    let ask = async |port: u16| {
        let target = conninfo(cluster, port).replace("user=postgres", "user=app");
        let target = target.replace(&password(cluster), cluster.app_password());
        let target = format!("{target} dbname=app replication=database");
        let output = program("psql", &["-d", &target, "-c", "SELECT 1"])?.output().await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        Some(errors.split_once("FATAL:").unwrap_or_else(|| panic!("{errors}")).1.to_owned())
    };
    let Some(direct) = ask(cluster.primary().port()).await else { return };
    let ours = ask(pooler.address().port()).await.unwrap();
    assert_eq!(ours.lines().next(), direct.lines().next());
    await_rest(&pooler.operator().await).await;
    pooler.check();
}

async fn a_backup_is_taken_and_the_log_received(major: u16) {
    let cluster = shared_cluster(major).await;
    let Some(mut version) = program("pg_basebackup", &["--version"]) else { return };
    let version = succeeded(&version.output().await.unwrap());
    if !version.contains(&format!(" {major}.")) {
        eprintln!("skipped: {version} is not for PostgreSQL {major}");
        return;
    }
    let pooler = pooler(cluster).await;
    let target = conninfo(cluster, pooler.address().port());
    let place = |what: &str| -> PathBuf {
        let path = cluster.directory().join(unique(what));
        std::fs::create_dir(&path).unwrap();
        path
    };
    // Two connections: one for the files, one for the log that belongs to them.
    let backup = place("backup");
    let arguments = ["-d", &target, "-D", backup.to_str().unwrap(), "-X", "stream", "-c", "fast"];
    let output = program("pg_basebackup", &arguments).unwrap().output().await.unwrap();
    succeeded(&output);
    let verify = program("pg_verifybackup", &[backup.to_str().unwrap()]);
    if let Some(mut verify) = verify {
        succeeded(&verify.output().await.unwrap());
    }
    let log = place("log");
    let arguments = ["-d", &target, "-D", log.to_str().unwrap(), "--no-loop", "--no-sync"];
    let receiver = program("pg_receivewal", &arguments).unwrap().spawn().unwrap();
    let has = |ending: &str| {
        let files = std::fs::read_dir(&log).unwrap().map(|file| file.unwrap().file_name());
        files.into_iter().any(|name| name.to_string_lossy().ends_with(ending))
    };
    eventually("the log to come", async || has(".partial").then_some(())).await;
    cluster.primary().execute("SELECT pg_switch_wal()").await.unwrap();
    let whole = async || {
        let is_whole = |name: &str| name.len() == 24;
        let files = std::fs::read_dir(&log).unwrap().map(|file| file.unwrap().file_name());
        files.into_iter().any(|name| is_whole(&name.to_string_lossy())).then_some(())
    };
    eventually("a whole segment", whole).await;
    interrupt(&receiver).await;
    let output = receiver.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", output.status);
    await_rest(&pooler.operator().await).await;
    pooler.check();
}
