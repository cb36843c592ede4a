//! What a read must see decides where it runs: the one replica has stopped replaying, so it is asked only by what may be
//! old, and the reason tells whose write the others must see. All of it is counted, by reason.

use std::collections::BTreeSet;

use pglagoon::demo::Cluster;
use tokio::sync::mpsc::Receiver;
use tokio_postgres::{Client, error::SqlState};

use crate::{
    fixture::{client, eventually, on_each_version, one, own_cluster, rows},
    own_parameters::listener,
    pooler::Pooler,
};

on_each_version!(what_a_read_must_see_decides_where_it_runs);

const OBJECTS: &str = "
    CREATE TABLE t (n int); INSERT INTO t VALUES (0);
    CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1), (2);
    CREATE TABLE child (id int REFERENCES parent ON DELETE CASCADE); INSERT INTO child VALUES (1);
    CREATE TABLE watched (n int); CREATE TABLE audit (n int);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN INSERT INTO public.audit VALUES (NEW.n); RETURN NEW; END';
    CREATE TRIGGER note AFTER INSERT ON watched FOR EACH ROW EXECUTE FUNCTION note();
    CREATE TABLE ruled (n int); CREATE TABLE copied (n int);
    CREATE RULE copy AS ON INSERT TO ruled DO ALSO INSERT INTO copied VALUES (NEW.n);
    CREATE TABLE base (n int); CREATE VIEW seen AS SELECT n FROM base;
    CREATE TABLE other_1 (n int); CREATE TABLE other_2 (n int); CREATE TABLE other_3 (n int);
    CREATE FUNCTION vouched() RETURNS int LANGUAGE plpgsql
        AS 'DECLARE x int; BEGIN EXECUTE ''SELECT 1'' INTO x; RETURN x; END'";

async fn what_a_read_must_see_decides_where_it_runs(major: u16) {
    let cluster = own_cluster(major).replicas(1).start().await.unwrap();
    let pooler = start(&cluster).await;
    client(&pooler.url()).await.batch_execute(OBJECTS).await.unwrap();
    let mut scene = Scene { cluster, pooler, seen: BTreeSet::new() };
    scene.by_comment_and_parameter().await;
    scene.by_user_and_database().await;
    scene.by_group().await;
    scene.by_table().await;
    scene.by_token().await;
    scene.by_what_was_read().await;
    scene.all_reasons_are_counted().await;
    scene.pooler.check();
}

/// Databases and users that differ in one key each.
async fn start(cluster: &Cluster) -> Pooler {
    let primary = format!("{:?}", cluster.primary().url());
    let replicas = format!("[{:?}]", cluster.replica(0).unwrap().url());
    let mut keys = vec![
        ("routing.max_lag".to_owned(), "\"1h\"".to_owned()),
        ("routing.read_wait".to_owned(), "\"0ms\"".to_owned()),
        ("routing.catalog_interval".to_owned(), "\"50ms\"".to_owned()),
        ("admin.admin_users".to_owned(), "[\"app\"]".to_owned()),
        ("http.address".to_owned(), "\"127.0.0.1:0\"".to_owned()),
        ("users.strong.routing.consistency".to_owned(), "\"strong\"".to_owned()),
        ("users.careful.routing.route".to_owned(), "\"primary\"".to_owned()),
        ("users.daring.routing.route".to_owned(), "\"replica\"".to_owned()),
    ];
    for user in ["strong", "careful", "daring", "other"] {
        keys.push((format!("users.{user}.password"), "\"x\"".to_owned()));
    }
    for (database, key, value) in [
        ("by_user", "consistency", "group"),
        ("by_name", "consistency", "group"),
        ("by_name", "group", "application_name"),
        ("primary_only", "route", "primary"),
        ("unsplit", "consistency", "strong"),
        ("strict", "no_replica", "error"),
    ] {
        keys.push((format!("databases.{database}.primary"), primary.clone()));
        keys.push((format!("databases.{database}.replicas"), replicas.clone()));
        keys.push((format!("databases.{database}.routing.{key}"), format!("{value:?}")));
    }
    keys.sort();
    keys.dedup();
    let keys: Vec<(&str, &str)> = keys.iter().map(|(key, value)| (&**key, &**value)).collect();
    Pooler::start(cluster, &keys).await
}

struct Scene {
    cluster: Cluster,
    pooler: Pooler,
    /// The reasons that were seen in the database `app`.
    seen: BTreeSet<String>,
}

/// A client that is told where its statements run.
struct Guest {
    client: Client,
    told: Receiver<String>,
}

impl Guest {
    async fn at(url: &str) -> Self {
        let (client, told) = listener(url).await;
        client.batch_execute("SET pglagoon.explain = on").await.unwrap();
        Self { client, told }
    }

    /// Where a statement runs, and why there.
    async fn place(&mut self, sql: &str) -> (String, String) {
        while self.told.try_recv().is_ok() {}
        self.client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        split(&self.told.recv().await.unwrap())
    }

    /// The same by the extended protocol.
    async fn prepared_place(&mut self, sql: &str) -> (String, String) {
        let statement = self.client.prepare(sql).await.unwrap();
        while self.told.try_recv().is_ok() {}
        self.client.query(&statement, &[]).await.unwrap();
        split(&self.told.recv().await.unwrap())
    }
}

/// Node and reason of a notice.
fn split(notice: &str) -> (String, String) {
    let place = notice.strip_prefix("pglagoon: ").unwrap().strip_suffix(')').unwrap();
    let (node, reason) = place.split_once(" (").unwrap();
    (node.split(' ').next().unwrap().to_owned(), reason.to_owned())
}

impl Scene {
    /// The address for this user in this database.
    fn url(&self, user: &str, database: &str) -> String {
        let url = self.pooler.url();
        let url = if user == "app" {
            url
        } else {
            url.replace(&format!("app:{}@", self.cluster.app_password()), &format!("{user}:x@"))
        };
        format!("{}/{database}", url.rsplit_once('/').unwrap().0)
    }

    async fn guest(&self, user: &str, database: &str) -> Guest {
        Guest::at(&self.url(user, database)).await
    }

    /// Has the replica stop, when this guest's reads run there.
    async fn stop_replay(&self, guest: &mut Guest, read: &str) {
        eventually("the read to run on the replica", async || {
            (guest.place(read).await.0 == "replica").then_some(())
        })
        .await;
        let replica = self.cluster.replica(0).unwrap();
        replica.execute("SELECT pg_wal_replay_pause()").await.unwrap();
        // It is asked for, and happens at the next record.
        self.cluster.primary().execute("SELECT pg_create_restore_point('pause')").await.unwrap();
    }

    async fn resume(&self) {
        let replica = self.cluster.replica(0).unwrap();
        replica.execute("SELECT pg_wal_replay_resume()").await.unwrap();
        self.cluster.wait_caught_up().await.unwrap();
    }

    /// Each statement must run there, for this reason, by both protocols.
    async fn check(&mut self, guest: &mut Guest, all: &[(&str, &str, &str)]) {
        for (sql, node, reason) in all {
            let place = ((*node).to_owned(), (*reason).to_owned());
            assert_eq!(guest.place(sql).await, place, "{sql}");
            assert_eq!(guest.prepared_place(sql).await, place, "{sql}");
            self.seen.insert((*reason).to_owned());
        }
    }

    async fn by_comment_and_parameter(&mut self) {
        let mut guest = self.guest("app", "app").await;
        self.stop_replay(&mut guest, "SELECT n FROM t").await;
        guest.client.batch_execute("UPDATE t SET n = 1").await.unwrap();
        let old = "/* pglagoon: consistency=eventual */ SELECT n FROM t";
        let all = [
            ("SELECT n FROM t", "primary", "read_after_own_write"),
            (old, "replica", "read"),
            ("/* pglagoon: consistency=strong */ SELECT n FROM t", "primary", "strong_read"),
            ("/* pglagoon: primary */ SELECT 1", "primary", "hint"),
            ("SELECT vouched()", "primary", "unknown_function"),
            ("/* pglagoon: nonsense */ SELECT n FROM t", "primary", "hint"),
            (
                "/* pglagoon: consistency=eventual, max_lag=1ms */ SELECT n FROM t",
                "primary",
                "read_too_fresh",
            ),
        ];
        self.check(&mut guest, &all).await;
        // Old it is, as nothing else was asked for.
        assert_eq!(one(&guest.client, old).await, "0");
        assert_eq!(one(&guest.client, "SELECT n FROM t").await, "1");
        guest.client.batch_execute("SET pglagoon.consistency = eventual").await.unwrap();
        let all = [
            ("SELECT n FROM t", "replica", "read"),
            ("/* pglagoon: replica */ SELECT vouched()", "replica", "read"),
        ];
        self.check(&mut guest, &all).await;
        for (set, node, reason) in [
            ("max_lag = '1ms'", "primary", "read_too_fresh"),
            ("max_lag = '30min'", "replica", "read"),
            ("route = 'primary'", "primary", "hint"),
            ("route = 'auto'", "replica", "read"),
            ("consistency = 'strong'", "primary", "strong_read"),
        ] {
            guest.client.batch_execute(&format!("SET pglagoon.{set}")).await.unwrap();
            self.check(&mut guest, &[("SELECT n FROM t", node, reason)]).await;
        }
        self.resume().await;
    }

    async fn by_user_and_database(&mut self) {
        let mut guest = self.guest("other", "app").await;
        self.stop_replay(&mut guest, "SELECT n FROM t").await;
        guest.client.batch_execute("UPDATE t SET n = 2").await.unwrap();
        for (user, database, sql, node, reason) in [
            ("other", "app", "SELECT n FROM t", "replica", "read"),
            ("strong", "app", "SELECT n FROM t", "primary", "strong_read"),
            ("careful", "app", "SELECT n FROM t", "primary", "hint"),
            ("app", "unsplit", "SELECT n FROM t", "primary", "strong_read"),
            ("app", "primary_only", "SELECT n FROM t", "primary", "hint"),
        ] {
            let mut guest = self.guest(user, database).await;
            eventually("the catalog and the nodes to be known", async || {
                let place = guest.place(sql).await;
                (place == (node.to_owned(), reason.to_owned())).then_some(())
            })
            .await;
        }
        // Vouched for by the user's key, which does not let writes pass.
        let mut daring = self.guest("daring", "app").await;
        daring.client.batch_execute("SET pglagoon.consistency = eventual").await.unwrap();
        let all = [
            ("SELECT count(*) FROM pg_class", "replica", "read"),
            ("INSERT INTO t VALUES (2)", "primary", "write"),
        ];
        self.check(&mut daring, &all).await;
        let strict = client(&self.url("app", "strict")).await;
        let refused = eventually("the nodes to be known", async || {
            strict.batch_execute("UPDATE t SET n = 3").await.unwrap();
            strict.batch_execute("SELECT n FROM t").await.err()
        })
        .await;
        assert_eq!(refused.code(), Some(&SqlState::CANNOT_CONNECT_NOW));
        self.resume().await;
    }

    async fn by_group(&mut self) {
        let named = |name: &str| format!("{}?application_name={name}", self.url("app", "by_name"));
        let mut guests = Vec::new();
        for (mine, theirs) in [
            (self.url("app", "by_user"), self.url("other", "by_user")),
            (named("shop"), named("office")),
        ] {
            let writer = Guest::at(&mine).await;
            guests.push((writer, Guest::at(&mine).await, Guest::at(&theirs).await));
        }
        for (_, _, stranger) in &mut guests {
            eventually("the catalog and the nodes to be known", async || {
                (stranger.place("SELECT n FROM t").await.0 == "replica").then_some(())
            })
            .await;
        }
        let [(_, _, first), _] = &mut *guests else { unreachable!() };
        self.stop_replay(first, "SELECT n FROM t").await;
        for (writer, member, stranger) in &mut guests {
            writer.client.batch_execute("UPDATE t SET n = 4").await.unwrap();
            let all = [("SELECT n FROM t", "primary", "read_after_group_write")];
            for (sql, node, reason) in all {
                let place = member.place(sql).await;
                assert_eq!(place, (node.to_owned(), reason.to_owned()));
            }
            assert_eq!(stranger.place("SELECT n FROM t").await.0, "replica");
        }
        self.resume().await;
    }

    async fn by_table(&mut self) {
        let writer = client(&self.url("app", "app")).await;
        let mut reader = self.guest("app", "app").await;
        reader.client.batch_execute("SET pglagoon.consistency = 'table'").await.unwrap();
        for (write, read) in [
            ("DELETE FROM parent WHERE id = 1", "SELECT count(*) FROM child"),
            ("INSERT INTO watched VALUES (1)", "SELECT count(*) FROM audit"),
            ("INSERT INTO ruled VALUES (1)", "SELECT count(*) FROM copied"),
            ("INSERT INTO seen VALUES (1)", "SELECT count(*) FROM base"),
            ("INSERT INTO base VALUES (2)", "SELECT count(*) FROM seen"),
        ] {
            // What was written before tables were watched counts for all of them.
            self.stop_replay(&mut reader, read).await;
            let before = one(&reader.client, read).await;
            writer.batch_execute(write).await.unwrap();
            self.check(&mut reader, &[(read, "primary", "read_after_table_write")]).await;
            assert_ne!(one(&reader.client, read).await, before, "{write}");
            // Two tables may share a slot; not all of these with what was written.
            let mut elsewhere = BTreeSet::new();
            for other in ["other_1", "other_2", "other_3"] {
                elsewhere.insert(reader.place(&format!("SELECT n FROM {other}")).await.0);
            }
            assert!(elsewhere.contains("replica"), "{write}");
            self.resume().await;
        }
        // Of what this writes nothing is known: it may be anything.
        self.stop_replay(&mut reader, "SELECT n FROM other_1").await;
        let sql = "DO $$ BEGIN EXECUTE 'INSERT INTO other_' || 2 || ' VALUES (1)'; END $$";
        writer.batch_execute(sql).await.unwrap();
        let all = ["other_1", "other_2"].map(|table| format!("SELECT n FROM {table}"));
        for read in &all {
            self.check(&mut reader, &[(read, "primary", "read_after_table_write")]).await;
        }
        self.resume().await;
    }

    async fn by_token(&mut self) {
        let mut writer = self.guest("app", "app").await;
        self.stop_replay(&mut writer, "SELECT n FROM t").await;
        writer.client.batch_execute("UPDATE t SET n = 5").await.unwrap();
        let token = one(&writer.client, "SHOW pglagoon.token").await;
        let url = self.url("app", "app");
        let options = format!("{url}?options=-c%20pglagoon.after%3d{}", token.replace('/', "%2f"));
        let mut reader = Guest::at(&options).await;
        self.check(&mut reader, &[("SELECT n FROM t", "primary", "read_after_token")]).await;
        let mut stranger = self.guest("app", "app").await;
        self.check(&mut stranger, &[("SELECT n FROM t", "replica", "read")]).await;
        let read = format!("/* pglagoon: after={token} */ SELECT n FROM t");
        self.check(&mut stranger, &[(&read, "primary", "read_after_token")]).await;
        self.resume().await;
    }

    async fn by_what_was_read(&mut self) {
        let mut guest = self.guest("app", "app").await;
        guest.client.batch_execute("SET pglagoon.consistency = eventual").await.unwrap();
        guest.client.batch_execute("SET pglagoon.monotonic = on").await.unwrap();
        self.stop_replay(&mut guest, "SELECT n FROM t").await;
        let writer = client(&self.url("app", "app")).await;
        writer.batch_execute("UPDATE t SET n = 6").await.unwrap();
        let all = [
            ("SELECT n FROM t", "replica", "read"),
            ("/* pglagoon: primary */ SELECT n FROM t", "primary", "hint"),
            ("SELECT n FROM t", "primary", "monotonic_read"),
        ];
        self.check(&mut guest, &all).await;
        let sql = "SET default_transaction_isolation = 'serializable'";
        guest.client.batch_execute(sql).await.unwrap();
        self.check(&mut guest, &[("SELECT n FROM t", "primary", "serializable")]).await;
        let mut stranger = self.guest("app", "app").await;
        for (begin, node, reason) in [
            ("BEGIN READ ONLY", "replica", "read_only_transaction"),
            ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "replica", "read_only_transaction"),
            ("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY", "primary", "serializable"),
            ("BEGIN READ ONLY DEFERRABLE", "primary", "serializable"),
            ("BEGIN READ WRITE", "primary", "transaction"),
            ("BEGIN", "primary", "transaction"),
        ] {
            while stranger.told.try_recv().is_ok() {}
            stranger.client.batch_execute(begin).await.unwrap();
            let told = stranger.told.recv().await.unwrap();
            assert!(
                told.contains(node) && told.ends_with(&format!("({reason})")),
                "{begin}: {told}"
            );
            self.seen.insert(reason.to_owned());
            stranger.client.batch_execute("ROLLBACK").await.unwrap();
        }
        self.resume().await;
    }

    /// In the metrics and in SHOW ROUTES.
    async fn all_reasons_are_counted(&self) {
        let operator = self.pooler.operator().await;
        let routes = rows(&operator, "SHOW ROUTES").await;
        for reason in &self.seen {
            let series = format!("pglagoon_routed_total{{database=\"app\",reason=\"{reason}\"}}");
            assert!(self.pooler.metric(&series).await > 0.0, "{reason}");
            assert!(routes.iter().any(|row| row.get("reason") == Some(reason)), "{reason}");
        }
        assert!(self.seen.len() > 10, "{:?}", self.seen);
    }
}
