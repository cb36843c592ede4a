//! Clients that go without a word leave nothing behind.

use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, error::SqlState};

use crate::{
    fixture::{await_running, client, eventually, on_each_version, shared_cluster, tools, unique},
    pooler::{Pooler, shared_pooler},
};

on_each_version!(
    abandoned_transactions_are_rolled_back,
    a_statement_whose_client_is_gone_is_cancelled,
    a_cancel_hits_nobody_else,
    psql_cancels_with_control_c,
);

/// A client that can vanish.
struct Guest {
    client: Client,
    connection: JoinHandle<Result<(), tokio_postgres::Error>>,
}

impl Guest {
    async fn arrive(pooler: &Pooler) -> Self {
        let (client, connection) = tokio_postgres::connect(&pooler.url(), NoTls).await.unwrap();
        Self { client, connection: tokio::spawn(connection) }
    }

    /// Closes the socket in the midst of whatever it does.
    async fn vanish(self) {
        self.connection.abort();
        let _ = self.connection.await;
    }
}

async fn abandoned_transactions_are_rolled_back(major: u16) {
    let cluster = shared_cluster(major).await;
    let keys = [("pool.default_pool_size", "4"), ("listen.workers", "2")];
    let pooler = Pooler::start(cluster, &keys).await;
    let table = unique("abandoned");
    let stays = client(&pooler.url()).await;
    let create = format!("CREATE TABLE {table} AS SELECT 0 AS x FROM generate_series(1, 100)");
    stays.batch_execute(&create).await.unwrap();
    for statement in ["BEGIN", "BEGIN; SELECT 1 / 0", "BEGIN; SAVEPOINT a", "BEGIN; LOCK TABLE {}"]
    {
        join_all((0..4).map(async |_| {
            let guest = Guest::arrive(&pooler).await;
            let sql = statement.replace("{}", &format!("{table} IN SHARE MODE"));
            let _ = guest.client.batch_execute(&sql).await;
            let _ = guest.client.batch_execute(&format!("SELECT * FROM {table} LIMIT 1")).await;
            guest.vanish().await;
        }))
        .await;
    }
    let watcher = client(&cluster.primary().superuser_url()).await;
    let locks = format!("SELECT count(*) FROM pg_locks WHERE relation = '{table}'::regclass");
    eventually("the locks to go", async || {
        let count: i64 = watcher.query_one(&locks, &[]).await.unwrap().get(0);
        (count == 0).then_some(())
    })
    .await;
    // The pool is as good as new: all its servers can be used at once.
    let crowd = join_all((0..4).map(async |_| {
        let client = client(&pooler.url()).await;
        client.batch_execute("BEGIN").await.unwrap();
        client
    }))
    .await;
    for client in crowd {
        client.batch_execute(&format!("UPDATE {table} SET x = x + 1; COMMIT")).await.unwrap();
    }
    let sum: i64 =
        stays.query_one(&format!("SELECT sum(x) FROM {table}"), &[]).await.unwrap().get(0);
    assert_eq!(sum, 400);
    pooler.check();
}

async fn a_statement_whose_client_is_gone_is_cancelled(major: u16) {
    let cluster = shared_cluster(major).await;
    let pooler = shared_pooler(major).await;
    let mark = unique("gone");
    // On the primary, because the transaction may write.
    let sleep = format!("BEGIN; SELECT pg_sleep(600) AS {mark}");
    let guest = Guest::arrive(pooler).await;
    let running = guest.client.batch_execute(&sleep);
    tokio::select! {
        _ = running => panic!("it cannot have ended"),
        () = await_running(cluster, &sleep, 1) => {}
    }
    guest.vanish().await;
    await_running(cluster, &sleep, 0).await;
}

async fn a_cancel_hits_nobody_else(major: u16) {
    let pooler = Pooler::start(
        shared_cluster(major).await,
        &[("pool.default_pool_size", "2"), ("databases.app.replicas", "[]")],
    )
    .await;
    let (ours, theirs) = (client(&pooler.url()).await, client(&pooler.url()).await);
    let token = ours.cancel_token();
    // Late cancels, of a client that runs nothing, while another uses the very same servers.
    let late = async {
        for _ in 0..20 {
            token.cancel_query(NoTls).await.unwrap();
        }
    };
    let busy = async {
        for _ in 0..20 {
            theirs.batch_execute("SELECT pg_sleep(0.01)").await.unwrap();
        }
    };
    tokio::join!(late, busy);
    // And one that hits: the other statement goes on to its end.
    let sleeps = ours.batch_execute("SELECT pg_sleep(60)");
    let cancels = async {
        // Until the server has begun a cancel has nothing to hit, so that one may not be enough.
        loop {
            token.cancel_query(NoTls).await.unwrap();
            theirs.batch_execute("SELECT pg_sleep(0.02)").await.unwrap();
        }
    };
    let error = tokio::select! {
        result = sleeps => result.unwrap_err(),
        () = cancels => unreachable!(),
    };
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
    ours.batch_execute("SELECT 1").await.unwrap();
    pooler.check();
}

async fn psql_cancels_with_control_c(major: u16) {
    let Some(tools) = tools() else { return };
    let pooler = shared_pooler(major).await;
    let sleep = format!("SELECT pg_sleep(60) AS {}", unique("interrupted"));
    let arguments = ["-Xq", "-d", &pooler.url(), "-c", &sleep];
    let psql = tokio::process::Command::new(tools.join("psql"))
        .args(arguments)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let id = psql.id().unwrap().to_string();
    // A signal would be lost on a psql that runs nothing yet.
    await_running(shared_cluster(major).await, &sleep, 1).await;
    let kill = ["-c", "kill -s INT \"$1\"", "sh", &id];
    tokio::process::Command::new("sh").args(kill).status().await.unwrap();
    let output = psql.wait_with_output().await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("canceling statement due to user request"), "{errors}");
}
