//! Which of several replicas gets a read.

use pglagoon::demo::{Cluster, Shutdown};
use tokio::{sync::mpsc::Receiver, task::JoinHandle};
use tokio_postgres::{CancelToken, Client, Error, NoTls};

use crate::{
    fixture::{await_running, client, eventually, on_each_version, own_cluster, rows},
    own_parameters::listener,
    pooler::Pooler,
};

on_each_version!(replicas_are_chosen_by_zone_weight_and_return);

async fn replicas_are_chosen_by_zone_weight_and_return(major: u16) {
    let cluster = own_cluster(major).start().await.unwrap();
    reads_stay_in_their_zone_until_it_is_short(&cluster).await;
    weight_decides(&cluster).await;
    a_clients_own_errors_ban_nobody(&cluster).await;
    who_returns_gets_its_share_back_slowly(&cluster).await;
    who_has_to_wait_waits_in_the_shorter_line(&cluster).await;
}

/// A pooler whose two replicas have these properties, in TOML, and these keys besides.
async fn pooler(cluster: &Cluster, more: [&str; 2], keys: &[(&str, &str)]) -> Pooler {
    let replica = |number: usize| {
        let url = cluster.replica(number).unwrap().url();
        format!("{{ url = {url:?}, {} }}", more[number])
    };
    let replicas = format!("[{}, {}]", replica(0), replica(1));
    let all = [
        &[
            ("databases.app.replicas", &*replicas),
            ("routing.max_lag", "\"1min\""),
            ("routing.return_delay", "\"100ms\""),
            ("pool.default_pool_size", "2"),
            ("admin.admin_users", "[\"app\"]"),
        ],
        keys,
    ]
    .concat();
    let pooler = Pooler::start(cluster, &all).await;
    let operator = pooler.operator().await;
    for node in 1..=2 {
        await_state(&operator, node, "up").await;
    }
    pooler
}

async fn await_state(operator: &Client, node: usize, state: &str) {
    eventually(state, async || {
        let rows = rows(operator, "SHOW NODES").await;
        (rows[node].get("state") == Some(state)).then_some(())
    })
    .await;
}

/// Where a read runs: the number of the node, the primary's being 0.
async fn place((client, told): &mut (Client, Receiver<String>)) -> usize {
    while told.try_recv().is_ok() {}
    client.batch_execute("SELECT 1").await.unwrap();
    let told = told.recv().await.unwrap();
    let place = told.strip_prefix("pglagoon: replica ").map_or("0", |rest| &rest[..1]);
    place.parse().unwrap()
}

async fn guest(pooler: &Pooler) -> (Client, Receiver<String>) {
    let (client, told) = listener(&pooler.url()).await;
    client.batch_execute("SET pglagoon.explain = on").await.unwrap();
    (client, told)
}

async fn reads_stay_in_their_zone_until_it_is_short(cluster: &Cluster) {
    let zones = ["zone = \"here\"", "zone = \"there\""];
    let pooler = pooler(cluster, zones, &[("routing.zone", "\"here\"")]).await;
    let mut guest = guest(&pooler).await;
    for _ in 0..20 {
        assert_eq!(place(&mut guest).await, 1);
    }
    let busy = occupy(cluster, &pooler, 2).await;
    for _ in 0..20 {
        assert_eq!(place(&mut guest).await, 2);
    }
    release(busy).await;
    eventually("reads near again", async || (place(&mut guest).await == 1).then_some(())).await;
    pooler.check();
}

/// Reads that take for ever, each with what cancels it.
type Busy = Vec<(JoinHandle<Result<(), Error>>, CancelToken)>;

const LONG: &str = "SELECT pg_sleep(600)";

/// Has so many servers be busy: those of the first pool at which reads arrive, then those of the next.
async fn occupy(cluster: &Cluster, pooler: &Pooler, servers: i64) -> Busy {
    let mut busy = Vec::new();
    for count in 1..=servers {
        busy.push(sleeper(pooler).await);
        await_running(cluster, LONG, count).await;
    }
    busy
}

async fn sleeper(pooler: &Pooler) -> (JoinHandle<Result<(), Error>>, CancelToken) {
    let client = client(&pooler.url()).await;
    let cancel = client.cancel_token();
    (tokio::spawn(async move { client.batch_execute(LONG).await }), cancel)
}

async fn release(busy: Busy) {
    for (query, cancel) in busy {
        cancel.cancel_query(NoTls).await.unwrap();
        query.await.unwrap().unwrap_err();
    }
}

async fn weight_decides(cluster: &Cluster) {
    let pooler = pooler(cluster, ["weight = 1", "weight = 100"], &[]).await;
    let mut guest = guest(&pooler).await;
    for _ in 0..20 {
        assert_eq!(place(&mut guest).await, 2);
    }
    pooler.check();
}

/// With one replica in the zone a ban would show.
async fn a_clients_own_errors_ban_nobody(cluster: &Cluster) {
    let zones = ["zone = \"here\"", "zone = \"there\""];
    let pooler = pooler(cluster, zones, &[("routing.zone", "\"here\"")]).await;
    let mut guest = guest(&pooler).await;
    let changes = || pooler.log().matches("node changed").count();
    let before = changes();
    for wrong in [
        "SELECT 1 / 0",
        "SELECT",
        "SELECT nothing",
        "SELECT 'x'::int",
        "SET statement_timeout = '1ms'",
        "SELECT pg_sleep(600)",
        "RESET statement_timeout",
    ] {
        for _ in 0..10 {
            let _ = guest.0.batch_execute(wrong).await;
            while guest.1.try_recv().is_ok() {}
        }
    }
    for _ in 0..20 {
        assert_eq!(place(&mut guest).await, 1);
    }
    assert_eq!(changes(), before, "no node has changed");
    pooler.check();
}

async fn who_returns_gets_its_share_back_slowly(cluster: &Cluster) {
    let keys = [("routing.slow_start", "\"1h\"")];
    let pooler = pooler(cluster, ["weight = 1", "weight = 1"], &keys).await;
    let operator = pooler.operator().await;
    let mut guest = guest(&pooler).await;
    let replica = cluster.replica(0).unwrap();
    replica.stop(Shutdown::Fast).await.unwrap();
    await_state(&operator, 1, "down").await;
    assert_eq!(place(&mut guest).await, 2);
    replica.start().await.unwrap();
    cluster.wait_streaming(2).await.unwrap();
    await_state(&operator, 1, "up").await;
    // A sixteenth of a share is for reads that the other one has no server for.
    let mut count = 0;
    for _ in 0..100 {
        count += u32::from(place(&mut guest).await == 1);
    }
    assert!(count <= 10, "{count} of 100");
    let busy = occupy(cluster, &pooler, 2).await;
    eventually("a read on it", async || (place(&mut guest).await == 1).then_some(())).await;
    release(busy).await;
    pooler.check();
}

async fn who_has_to_wait_waits_in_the_shorter_line(cluster: &Cluster) {
    let pooler = pooler(cluster, ["weight = 1", "weight = 1"], &[]).await;
    let operator = pooler.operator().await;
    let mut busy = occupy(cluster, &pooler, 4).await;
    for _ in 0..8 {
        busy.push(sleeper(&pooler).await);
    }
    let lines = eventually("eight to wait", async || {
        let mut lines = Vec::new();
        for pool in rows(&operator, "SHOW POOLS").await {
            if pool.get("role") == Some("replica") {
                lines.push(pool.get("cl_waiting").unwrap().parse::<u32>().unwrap());
            }
        }
        (lines.iter().sum::<u32>() == 8).then_some(lines)
    })
    .await;
    // The two need not be equally fast.
    assert!(lines.iter().all(|&waiting| waiting >= 2), "{lines:?}");
    release(busy).await;
    eventually("nobody to use them", async || {
        let nodes = rows(&operator, "SHOW NODES").await;
        nodes.iter().all(|node| node.get("in_flight") == Some("0")).then_some(())
    })
    .await;
    pooler.check();
}
