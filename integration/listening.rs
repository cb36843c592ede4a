//! LISTEN and NOTIFY in transaction mode: many clients listen over one connection, and none can tell.

use std::{collections::BTreeSet, future::poll_fn, sync::Arc};

use futures_util::future::join_all;
use parking_lot::Mutex;
use pglagoon::demo::{Cluster, Shutdown};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng, seq::IndexedRandom as _};
use tokio::sync::mpsc::{self, Receiver};
use tokio_postgres::{AsyncMessage, Client, NoTls, Notification, error::DbError};

use crate::{
    fixture::{
        client, eventually, on_each_version, one, own_cluster, psql, shared_cluster, unique,
    },
    pooler::{Pooler, shared_pooler},
};

on_each_version!(
    everybody_hears_everything_once_and_in_order,
    what_is_said_in_another_database_is_not_heard,
    a_client_that_listens_keeps_no_server,
    the_connection_goes_with_the_last_who_listens,
    nothing_is_heard_in_a_transaction,
    a_transaction_decides_what_is_listened_on,
    unlisten_is_undone_too,
    listening_by_the_extended_protocol,
    random_sessions_listen_on_what_postgresql_would,
    a_gap_is_told,
    listening_goes_on_after_a_promotion,
    who_does_not_read_is_disconnected,
    psql_hears_its_own_voice,
);

/// A client that hears what it is told.
struct Ear {
    client: Client,
    heard: Receiver<Notification>,
    notices: Arc<Mutex<Vec<DbError>>>,
}

impl Ear {
    async fn at(url: &str) -> Self {
        let (client, mut connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        let (sender, heard) = mpsc::channel(10_000);
        let notices = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&notices);
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                match message {
                    AsyncMessage::Notification(notification) => {
                        sender.try_send(notification).unwrap();
                    }
                    AsyncMessage::Notice(notice) => noted.lock().push(notice),
                    _ => {}
                }
            }
        });
        Self { client, heard, notices }
    }

    async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The next notification: its channel and payload.
    async fn next(&mut self) -> (String, String) {
        let next = tokio::time::timeout(std::time::Duration::from_mins(1), self.heard.recv());
        let notification = next.await.unwrap().unwrap();
        (notification.channel().to_owned(), notification.payload().to_owned())
    }

    /// The code of the first notice.
    async fn first_notice(&self) -> String {
        let first = || self.notices.lock().first().map(|notice| notice.code().code().to_owned());
        eventually("a notice", async || first()).await
    }

    /// What has been heard when `last` is heard on `channel`, which the client must listen on, without that.
    async fn heard_before(&mut self, channel: &str, last: &str) -> Vec<(String, String)> {
        let mut all = Vec::new();
        loop {
            let heard = self.next().await;
            if heard.0 == channel && heard.1 == last {
                return all;
            }
            all.push(heard);
        }
    }

    /// On which of `channels` it listens; of the last of them it must be known.
    async fn hears(&mut self, other: &Client, channels: &[&str]) -> Vec<String> {
        let mark = unique("mark");
        for channel in channels {
            notify(other, channel, &mark).await;
        }
        let heard = self.heard_before(channels.last().unwrap(), &mark).await;
        heard.into_iter().map(|(channel, _)| channel).collect()
    }
}

/// Says something to everybody on a channel.
async fn notify(client: &Client, channel: &str, payload: &str) {
    client.batch_execute(&format!("NOTIFY {channel}, '{payload}'")).await.unwrap();
}

/// The client listens on nothing, so it hears nothing.
fn is_deaf(ear: &mut Ear) {
    assert!(ear.heard.try_recv().is_err() && ear.notices.lock().is_empty());
}

/// Small pools, so that a client gets its server from others and gives it to others.
async fn pooler(major: u16) -> Pooler {
    let keys = [("pool.default_pool_size", "2"), ("listen.workers", "2")];
    Pooler::start(shared_cluster(major).await, &keys).await
}

async fn everybody_hears_everything_once_and_in_order(major: u16) {
    let pooler = pooler(major).await;
    let direct = client(&shared_cluster(major).await.primary().url()).await;
    let channels = [unique("ch"), unique("ch"), unique("ch")];
    let mut ears = Vec::new();
    for index in 0..12 {
        let ear = Ear::at(&pooler.url()).await;
        // Each on two of the three.
        for skip in [1, 2] {
            ear.run(&format!("LISTEN {}", channels[(index + skip) % 3])).await;
        }
        ears.push(ear);
    }
    let pid: i32 = one(&direct, "SELECT pg_backend_pid()").await.parse().unwrap();
    let mut expected = Vec::new();
    for round in 0..30 {
        for channel in &channels {
            let payload = format!("{round} é");
            notify(&direct, channel, &payload).await;
            expected.push((channel.clone(), payload));
        }
    }
    // The same thing twice in a transaction is said once.
    let twice = format!("BEGIN; NOTIFY {0}; NOTIFY {0}; COMMIT", channels[0]);
    direct.batch_execute(&twice).await.unwrap();
    expected.push((channels[0].clone(), String::new()));
    for channel in &channels {
        notify(&direct, channel, "end").await;
        expected.push((channel.clone(), "end".to_owned()));
    }
    for (index, ear) in ears.iter_mut().enumerate() {
        let deaf_to = &channels[index % 3];
        expected_by(ear, expected.iter().filter(|(channel, _)| channel != deaf_to), pid).await;
    }
    pooler.check();
}

async fn what_is_said_in_another_database_is_not_heard(major: u16) {
    let cluster = own_cluster(major).replicas(0).start().await.unwrap();
    cluster.primary().execute("CREATE DATABASE other OWNER app").await.unwrap();
    let in_other = |url: &str| format!("{}/other", url.rsplit_once('/').unwrap().0);
    let other = in_other(&cluster.primary().url());
    let pooler =
        Pooler::start(&cluster, &[("databases.other.primary", &format!("{other:?}"))]).await;
    let urls = [pooler.url(), in_other(&pooler.url())];
    let (mut ears, mut mouths) = (Vec::new(), Vec::new());
    for url in &urls {
        let ear = Ear::at(url).await;
        ear.run("LISTEN here").await;
        ears.push(ear);
        mouths.push(client(url).await);
    }
    for (mouth, payload) in mouths.iter().zip(["of app", "of other"]) {
        notify(mouth, "here", payload).await;
        notify(mouth, "here", "end").await;
    }
    for (ear, payload) in ears.iter_mut().zip(["of app", "of other"]) {
        assert_eq!(ear.next().await.1, payload);
        assert_eq!(ear.next().await.1, "end");
        is_deaf(ear);
    }
    pooler.check();
}

/// Exactly this is heard, in this order and from this process.
async fn expected_by(ear: &mut Ear, all: impl Iterator<Item = &(String, String)>, pid: i32) {
    for (channel, payload) in all {
        let heard = ear.heard.recv().await.unwrap();
        assert_eq!((heard.channel(), heard.payload()), (channel.as_str(), payload.as_str()));
        assert_eq!(heard.process_id(), pid);
    }
    is_deaf(ear);
}

async fn a_client_that_listens_keeps_no_server(major: u16) {
    let keys = [("pool.default_pool_size", "1"), ("databases.app.replicas", "[]")];
    let pooler = Pooler::start(shared_cluster(major).await, &keys).await;
    let channel = unique("ch");
    let mut ears = Vec::new();
    for _ in 0..5 {
        let ear = Ear::at(&pooler.url()).await;
        ear.run(&format!("LISTEN {channel}")).await;
        ears.push(ear);
    }
    // On the server that all of them have used nobody listens.
    let other = client(&pooler.url()).await;
    assert_eq!(one(&other, "SELECT count(*) FROM pg_listening_channels()").await, "0");
    notify(&other, &channel, "x").await;
    for ear in &mut ears {
        assert_eq!(ear.next().await, (channel.clone(), "x".to_owned()));
    }
    pooler.check();
}

async fn the_connection_goes_with_the_last_who_listens(major: u16) {
    let cluster = own_cluster(major).replicas(0).start().await.unwrap();
    let pooler = Pooler::start(&cluster, &[("pool.default_pool_size", "1")]).await;
    let watcher = client(&cluster.primary().superuser_url()).await;
    let (other, channel) = (client(&pooler.url()).await, "ch");
    let mut ears = Vec::new();
    for _ in 0..3 {
        ears.push(Ear::at(&pooler.url()).await);
    }
    join_all(ears.iter().map(|ear| ear.run("LISTEN ch"))).await;
    join_all(ears.iter().skip(1).map(|ear| ear.run("UNLISTEN *"))).await;
    notify(&other, channel, "y").await;
    assert_eq!(ears[0].next().await.1, "y");
    ears.iter_mut().skip(1).for_each(is_deaf);
    let listens =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pglagoon listener'";
    assert_eq!(one(&watcher, listens).await, "1");
    drop(ears);
    eventually("the connection that listens to go", async || {
        (one(&watcher, listens).await == "0").then_some(())
    })
    .await;
    pooler.check();
}

async fn nothing_is_heard_in_a_transaction(major: u16) {
    let pooler = pooler(major).await;
    let channel = unique("ch");
    let mut ear = Ear::at(&pooler.url()).await;
    ear.run(&format!("LISTEN {channel}; LISTEN {channel}_sync")).await;
    let other = client(&pooler.url()).await;
    ear.run("BEGIN; SELECT 1").await;
    notify(&other, &channel, "early").await;
    // Another one has heard it: so ours could have.
    let mut witness = Ear::at(&pooler.url()).await;
    witness.run(&format!("LISTEN {channel}")).await;
    notify(&other, &channel, "late").await;
    assert_eq!(witness.next().await.1, "late");
    ear.run("SELECT 2").await;
    assert!(ear.heard.try_recv().is_err());
    ear.run("COMMIT").await;
    assert_eq!(ear.next().await.1, "early");
    assert_eq!(ear.next().await.1, "late");
}

async fn a_transaction_decides_what_is_listened_on(major: u16) {
    let pooler = pooler(major).await;
    let mut ear = Ear::at(&pooler.url()).await;
    let other = client(&pooler.url()).await;
    let [kept, undone, later, sync] = ["k", "u", "l", "s"].map(unique);
    ear.run(&format!("LISTEN {sync}")).await;
    ear.run(&format!("BEGIN; LISTEN {undone}; LISTEN {kept}; ROLLBACK")).await;
    ear.run(&format!("BEGIN; LISTEN {kept}; SAVEPOINT a; LISTEN {undone}")).await;
    let all = [&kept, &undone, &later, &sync].map(String::as_str);
    for channel in all {
        notify(&other, channel, "before").await;
    }
    ear.run(&format!("ROLLBACK TO a; LISTEN {later}; COMMIT")).await;
    assert_eq!(ear.heard_before(&sync, "before").await, []);
    assert_eq!(ear.hears(&other, &all).await, [kept.as_str(), &later]);
    pooler.check();
}

async fn unlisten_is_undone_too(major: u16) {
    let pooler = pooler(major).await;
    let mut ear = Ear::at(&pooler.url()).await;
    let other = client(&pooler.url()).await;
    let [kept, later, sync] = ["k", "l", "s"].map(unique);
    let all = [&kept, &later, &sync].map(String::as_str);
    ear.run(&format!("LISTEN {kept}; LISTEN {later}; LISTEN {sync}")).await;
    // A failed COMMIT undoes.
    let failed = ear.client.batch_execute(&format!("BEGIN; UNLISTEN {kept}; SELECT 1/0")).await;
    failed.unwrap_err();
    ear.run("COMMIT").await;
    ear.run(&format!("BEGIN; UNLISTEN {later}; COMMIT")).await;
    assert_eq!(ear.hears(&other, &all).await, [kept.as_str()]);
    ear.run("DISCARD ALL").await;
    ear.run(&format!("LISTEN {sync}")).await;
    assert!(ear.hears(&other, &all).await.is_empty());
    pooler.check();
}

async fn listening_by_the_extended_protocol(major: u16) {
    let pooler = pooler(major).await;
    let mut ear = Ear::at(&pooler.url()).await;
    let other = client(&pooler.url()).await;
    let [one, two] = ["one", "two"].map(unique);
    let (listen, unlisten) = (format!("LISTEN {one}"), format!("UNLISTEN {one}"));
    let listen = ear.client.prepare(&listen).await.unwrap();
    ear.client.execute(&listen, &[]).await.unwrap();
    ear.client.execute(&format!("LISTEN \"{two}\""), &[]).await.unwrap();
    other.execute("SELECT pg_notify($1, 'x')", &[&one]).await.unwrap();
    assert_eq!(ear.next().await, (one.clone(), "x".to_owned()));
    ear.client.execute(&unlisten, &[]).await.unwrap();
    ear.client.execute("BEGIN", &[]).await.unwrap();
    ear.client.execute(&listen, &[]).await.unwrap();
    ear.client.execute("ROLLBACK", &[]).await.unwrap();
    for channel in [&one, &two] {
        other.execute("SELECT pg_notify($1, 'y')", &[channel]).await.unwrap();
    }
    assert_eq!(ear.next().await, (two.clone(), "y".to_owned()));
    pooler.check();
}

/// A text of one to three statements.
fn random_text(dice: &mut SmallRng, channels: &[String], before: &[String]) -> String {
    let begun = before.iter().any(|text| text.contains("BEGIN"));
    let statement = |dice: &mut SmallRng| {
        let channel = channels.choose(dice).unwrap();
        match dice.random_range(0..14) {
            0..4 => format!("LISTEN {channel}"),
            4..6 => format!("UNLISTEN {channel}"),
            6 => "UNLISTEN *".to_owned(),
            7 => format!("SAVEPOINT s{}", dice.random_range(0..2)),
            8 => format!("ROLLBACK TO s{}", dice.random_range(0..2)),
            9 => format!("RELEASE s{}", dice.random_range(0..2)),
            10 => "SELECT 1/0".to_owned(),
            11 => "SELECT 1".to_owned(),
            _ if begun => {
                ["COMMIT", "ROLLBACK", "COMMIT AND CHAIN"].choose(dice).unwrap().to_string()
            }
            _ => "BEGIN".to_owned(),
        }
    };
    let count = dice.random_range(1..4);
    (0..count).map(|_| statement(dice)).collect::<Vec<_>>().join("; ")
}

async fn random_sessions_listen_on_what_postgresql_would(major: u16) {
    let pooler = pooler(major).await;
    let direct = client(&shared_cluster(major).await.primary().url()).await;
    let other = client(&pooler.url()).await;
    let seed: u64 = rand::random();
    let mut dice = SmallRng::seed_from_u64(seed);
    let channels: Vec<String> = ["a", "b", "c"].map(unique).to_vec();
    let sync = unique("sync");
    let mut ear = Ear::at(&pooler.url()).await;
    for _ in 0..25 {
        let mut script = vec![format!("LISTEN {sync}")];
        for _ in 0..6 {
            script.push(random_text(&mut dice, &channels, &script));
        }
        script.extend(["ROLLBACK".to_owned(), format!("LISTEN {sync}")]);
        for text in &script {
            let (ours, theirs) =
                (ear.client.batch_execute(text).await, direct.batch_execute(text).await);
            let code = |result: &Result<(), tokio_postgres::Error>| {
                result.as_ref().err().and_then(|error| error.code().cloned())
            };
            assert_eq!(code(&ours), code(&theirs), "seed {seed}: {text}");
        }
        let expected: BTreeSet<String> = direct
            .query("SELECT pg_listening_channels()", &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .filter(|name| *name != sync)
            .collect();
        let all: Vec<&str> = channels.iter().chain([&sync]).map(String::as_str).collect();
        let heard: BTreeSet<String> = ear.hears(&other, &all).await.into_iter().collect();
        assert_eq!(heard, expected, "seed {seed}: {script:#?}");
    }
    pooler.check();
}

async fn a_gap_is_told(major: u16) {
    let cluster = own_cluster(major).replicas(0).start().await.unwrap();
    let pooler = Pooler::start(&cluster, &[]).await;
    let watcher = client(&cluster.primary().superuser_url()).await;
    let mut ear = Ear::at(&pooler.url()).await;
    let silent = Ear::at(&pooler.url()).await;
    ear.run("LISTEN a; LISTEN b").await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE application_name = 'pglagoon listener'";
    assert_eq!(one(&watcher, end).await, "t");
    eventually("the notice", async || (!ear.notices.lock().is_empty()).then_some(())).await;
    {
        let notices = ear.notices.lock();
        assert_eq!(notices.len(), 1);
        assert_eq!(notices[0].code().code(), "01000");
        assert!(notices[0].message().contains("may have been missed"), "{}", notices[0]);
    }
    // From the notice on everything is heard.
    client(&cluster.primary().url()).await.batch_execute("NOTIFY b, 'back'").await.unwrap();
    assert_eq!(ear.next().await, ("b".to_owned(), "back".to_owned()));
    assert!(silent.notices.lock().is_empty());
    pooler.check();
}

/// A cluster of which every node's timeline can be seen.
async fn for_promotion(major: u16) -> Cluster {
    let cluster = own_cluster(major).start().await.unwrap();
    cluster.primary().execute("GRANT pg_read_all_stats TO app").await.unwrap();
    cluster.wait_caught_up().await.unwrap();
    cluster
}

async fn switch_over(cluster: &Cluster) {
    cluster.primary().stop(Shutdown::Fast).await.unwrap();
    cluster.promote(0).await.unwrap();
}

async fn listening_goes_on_after_a_promotion(major: u16) {
    let cluster = for_promotion(major).await;
    let pooler = Pooler::start(&cluster, &[]).await;
    let mut ear = Ear::at(&pooler.url()).await;
    let other = client(&pooler.url()).await;
    ear.run("LISTEN a; LISTEN b").await;
    notify(&other, "a", "before").await;
    assert_eq!(ear.next().await.1, "before");
    switch_over(&cluster).await;
    // What is sent meanwhile may be missed; from then on everything is heard.
    assert_eq!(ear.first_notice().await, "01000");
    let direct = client(&cluster.primary().url()).await;
    for (client, channel, words) in [(&other, "b", "by the pooler"), (&direct, "a", "without it")] {
        notify(client, channel, words).await;
        assert_eq!(ear.next().await, (channel.to_owned(), words.to_owned()));
    }
    ear.run("UNLISTEN a; LISTEN c").await;
    assert_eq!(ear.hears(&other, &["a", "b", "c"]).await, ["b"]);
    pooler.check();
}

async fn who_does_not_read_is_disconnected(major: u16) {
    let keys = [("limits.notification_bytes", "\"8KiB\""), ("pool.default_pool_size", "2")];
    let pooler = Pooler::start(shared_cluster(major).await, &keys).await;
    let channel = unique("ch");
    let mut ear = Ear::at(&pooler.url()).await;
    let mut quick = Ear::at(&pooler.url()).await;
    for one in [&ear, &quick] {
        one.run(&format!("LISTEN {channel}")).await;
    }
    ear.run("BEGIN; SELECT 1").await;
    let other = client(&pooler.url()).await;
    let payload = "x".repeat(4000);
    for number in 0..5 {
        other.batch_execute(&format!("NOTIFY {channel}, '{number}{payload}'")).await.unwrap();
        quick.next().await;
    }
    // Its transaction is not harmed; then it is told.
    ear.run("SELECT 2; COMMIT").await;
    eventually("it to be disconnected", async || ear.client.is_closed().then_some(())).await;
    assert!(ear.heard.recv().await.is_none());
    notify(&other, &channel, "end").await;
    assert_eq!(quick.next().await.1, "end");
    pooler.check();
}

async fn psql_hears_its_own_voice(major: u16) {
    let pooler = shared_pooler(major).await;
    let channel = unique("ch");
    let (listen, notify) = (format!("LISTEN {channel}"), format!("NOTIFY {channel}, 'hello'"));
    let Some(output) = psql(&pooler.url(), &["-c", &listen, "-c", &notify]).await else { return };
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected =
        format!("Asynchronous notification \"{channel}\" with payload \"hello\" received");
    assert!(printed.contains(&expected), "{printed}");
}
