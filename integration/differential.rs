//! PostgreSQL itself is the specification: whatever a client sends, it is told by pgLagoon what PostgreSQL tells it.
//!
//! Each case of `differential/cases` (the format: [`script`]) is run straight against PostgreSQL and in several
//! [`Way`]s through pgLagoon, and the answers are compared message by message, byte by byte; [`normal`] says what need
//! not be equal. Cases that consist of queries alone are run in every [`Variant`]. Where pgLagoon is known to answer
//! otherwise, `differential/known.txt` says why; what stands there and is equal fails, too.
//!
//! `PGLAGOON_CASE=text cargo test --test integration differential` runs the cases with this text in their titles, and with
//! `PGLAGOON_CHANCES=1000` that many of each kind that are made up by chance.

mod client;
#[allow(dead_code, reason = "the scripted tests use more of it")]
#[path = "../tests/support/frames.rs"]
pub(crate) mod frames;
mod known;
mod moving;
mod normal;
mod random;
mod script;

use std::{collections::HashSet, fmt::Write as _, fs, net::SocketAddr, path::Path};

use pglagoon::demo::{Authentication, Cluster, ClusterBuilder};
use tokio_postgres::Client;

use self::{
    client::{Answer, follow},
    known::Known,
    script::{Case, Step, Variant},
};
use crate::{
    fixture::{client, eventually, installation, on_each_version, one},
    pooler::Pooler,
};

on_each_version!(no_client_can_tell_the_pooler_from_the_server);

/// The servers that take turns. One that must be closed is replaced before the others have had theirs.
const SERVERS: usize = 3;

/// How many cases are made up by chance, if `PGLAGOON_CHANCES` does not say otherwise.
const RANDOM: u64 = 40;

/// How many divergences are told in full.
const TOLD: usize = 40;

/// How a case reaches the server. Each way has a database of its own, all of them alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Without pgLagoon.
    Direct,
    /// By the one server of the pool.
    Same,
    /// By another server in each transaction.
    Turns,
    /// As `Turns`, and reads go to a replica, once that has what their session wrote.
    Split,
    /// As `Split`, and so do the reads of a transaction until it writes: its BEGIN is held back.
    Held,
}

impl Way {
    const ALL: [Self; 5] = [Self::Direct, Self::Same, Self::Turns, Self::Split, Self::Held];

    const fn database(self) -> &'static str {
        match self {
            Self::Direct => "differ_1",
            Self::Same => "differ_2",
            Self::Turns => "differ_3",
            Self::Split => "differ_4",
            Self::Held => "differ_5",
        }
    }

    /// The ways through pgLagoon of a case in this variant. What another connection does a replica may show late.
    fn of(case: &Case, variant: Variant) -> &'static [Self] {
        let has_other = case.steps.iter().any(|step| matches!(step, Step::Other(_)));
        match variant {
            Variant::AsWritten if has_other => &[Self::Same, Self::Turns],
            Variant::AsWritten => &[Self::Same, Self::Turns, Self::Split, Self::Held],
            _ => &[Self::Turns],
        }
    }
}

/// A cluster with a database for each way, and pgLagoon in front of it.
struct Bench {
    cluster: Cluster,
    pooler: Pooler,
    /// A superuser's connection to each way's database.
    keepers: Vec<Client>,
}

const ROLES: &str = "
    CREATE ROLE differ LOGIN;
    CREATE ROLE reader;
    CREATE ROLE writer;
    CREATE ROLE boss SUPERUSER;
    GRANT reader, writer, boss TO differ;
    CREATE ROLE steward SUPERUSER LOGIN;
    ALTER ROLE steward SET role = reader;
    CREATE ROLE stranger;
    CREATE DATABASE differ_1 OWNER differ;
";

/// What is in each database. Nothing writes to it but what rolls back.
const CONTENT: &str = "
    CREATE SCHEMA fix AUTHORIZATION differ;
    SET ROLE differ;
    CREATE TABLE fix.items (id int PRIMARY KEY, name text NOT NULL, price numeric(8, 2) CHECK (price >= 0), made date);
    INSERT INTO fix.items VALUES (1, 'one', 1.50, '2026-01-01'), (2, 'two', 2.25, '2026-02-02'), (3, 'three', NULL, NULL);
    CREATE FUNCTION fix.shout(text) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE NOTICE 'shouting %', $1; RETURN upper($1); END$$;
    CREATE FUNCTION fix.fail() RETURNS int LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'made to fail'
        USING ERRCODE = 'UX001', DETAIL = 'a detail', HINT = 'a hint', TABLE = 'a table', COLUMN = 'a column'; END$$;
    CREATE TYPE fix.mood AS ENUM ('sad', 'ok', 'happy');
    CREATE DOMAIN fix.small AS int CHECK (VALUE < 100);
    CREATE SEQUENCE fix.numbers;
    CREATE TABLE fix.secret (x int);
    GRANT USAGE ON SCHEMA fix TO reader, writer;
    GRANT SELECT ON fix.items TO reader, writer;
";

impl Bench {
    async fn set_up(major: u16) -> Self {
        let builder = ClusterBuilder::new(installation(major)).replicas(1);
        let cluster = builder.authentication(Authentication::Trust).start().await.unwrap();
        let superuser = cluster.primary().superuser_url();
        let url = |way: Way| superuser.replace("/app", &format!("/{}", way.database()));
        let keeper = client(&superuser).await;
        for statement in ROLES.split_inclusive(';') {
            keeper.batch_execute(statement).await.unwrap();
        }
        client(&url(Way::Direct)).await.batch_execute(CONTENT).await.unwrap();
        let mut keepers = Vec::new();
        for way in Way::ALL {
            if way != Way::Direct {
                let copy =
                    format!("CREATE DATABASE {} TEMPLATE differ_1 OWNER differ", way.database());
                // Whoever has just left the template may not be gone yet.
                eventually("the template to be free", async || {
                    keeper.batch_execute(&copy).await.ok()
                })
                .await;
            }
        }
        for way in Way::ALL {
            keepers.push(client(&url(way)).await);
        }
        cluster.wait_caught_up().await.unwrap();
        let pooler = start_pooler(&cluster).await;
        let bench = Self { cluster, pooler, keepers };
        bench.fill_pools().await;
        bench.ask_first().await;
        bench
    }

    /// Asks for `lastval` before anybody else does: the first transaction to do so may be told to run again.
    async fn ask_first(&self) {
        for way in Way::ALL.into_iter().filter(|way| *way != Way::Direct) {
            let url = format!("postgres://differ@{}/{}", self.pooler.address(), way.database());
            client(&url).await.batch_execute("SELECT lastval()").await.unwrap_err();
        }
    }

    /// Opens as many servers as each pool may have: that many transactions at once, on the primary and on the replica.
    async fn fill_pools(&self) {
        let transactions = [
            (Way::Turns, "BEGIN"),
            (Way::Split, "BEGIN"),
            (Way::Split, "BEGIN READ ONLY"),
            (Way::Held, "BEGIN ISOLATION LEVEL REPEATABLE READ"),
            (Way::Held, "BEGIN READ ONLY"),
        ];
        for (way, begin) in transactions {
            for user in ["differ", "postgres"] {
                let url = format!("postgres://{user}@{}/{}", self.pooler.address(), way.database());
                let mut clients = Vec::new();
                for _ in 0..SERVERS {
                    let client = client(&url).await;
                    eventually("a server of that node", async || {
                        client.batch_execute(begin).await.unwrap();
                        let on_replica = one(&client, "SELECT pg_is_in_recovery()").await == "t";
                        if on_replica == begin.ends_with("READ ONLY") {
                            return Some(());
                        }
                        client.batch_execute("ROLLBACK").await.unwrap();
                        None
                    })
                    .await;
                    clients.push(client);
                }
                for client in clients {
                    client.batch_execute("ROLLBACK").await.unwrap();
                }
            }
        }
    }

    fn address(&self, way: Way) -> SocketAddr {
        match way {
            Way::Direct => self.cluster.primary().address(),
            _ => self.pooler.address(),
        }
    }

    /// Runs a case and leaves the database as it was.
    async fn run(&self, case: &Case, steps: &[Step], way: Way) -> Vec<Answer> {
        if matches!(way, Way::Split | Way::Held) && case.creates() {
            self.cluster.wait_caught_up().await.unwrap();
        }
        let mut login = vec![("user", &*case.user), ("database", way.database())];
        login.extend(case.startup.iter().map(|(name, value)| (&**name, &**value)));
        let superuser = self.cluster.primary().superuser_url();
        let other = superuser.replace("/app", &format!("/{}", way.database()));
        let mut answers = follow(self.address(way), &login, steps, &other).await;
        normal::normalise(&mut answers, way.database());
        if case.title.starts_with(random::TITLE) {
            random::forget_places(&mut answers);
        }
        if case.creates() {
            self.clean(way).await;
        }
        answers
    }

    /// Checks that a client of [`Way::Turns`] does get another server in each transaction.
    async fn check_turns(&self) {
        let address = self.pooler.address();
        let client =
            client(&format!("postgres://differ@{address}/{}", Way::Turns.database())).await;
        let mut last = 0;
        for turn in 0..10 {
            let row = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap();
            assert_ne!(row.get::<_, i32>(0), last, "turn {turn}");
            last = row.get(0);
        }
    }

    async fn clean(&self, way: Way) {
        let keeper = &self.keepers[Way::ALL.iter().position(|one| *one == way).unwrap()];
        let prepared = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()";
        for row in keeper.query(prepared, &[]).await.unwrap() {
            let gid: &str = row.get(0);
            keeper.batch_execute(&format!("ROLLBACK PREPARED '{gid}'")).await.unwrap();
        }
        keeper
            .batch_execute(
                "SET client_min_messages = error;
                 DROP SCHEMA IF EXISTS public CASCADE;
                 CREATE SCHEMA public AUTHORIZATION differ",
            )
            .await
            .unwrap();
    }
}

/// One pooler for all ways: a database for each, with a pool of one server or of several that take turns.
async fn start_pooler(cluster: &Cluster) -> Pooler {
    let node =
        |address: SocketAddr, way: Way| format!("\"postgres://{address}/{}\"", way.database());
    let mut keys = vec![
        ("databases.app.primary".to_owned(), String::new()),
        ("databases.app.replicas".to_owned(), String::new()),
        ("users.app.password".to_owned(), String::new()),
        ("users.differ.trust".to_owned(), "true".to_owned()),
        ("users.postgres.trust".to_owned(), "true".to_owned()),
        ("users.steward.trust".to_owned(), "true".to_owned()),
        ("pool.server_order".to_owned(), "\"oldest\"".to_owned()),
        ("listen.workers".to_owned(), "1".to_owned()),
        ("logging.level".to_owned(), "\"debug\"".to_owned()),
    ];
    for way in [Way::Same, Way::Turns, Way::Split, Way::Held] {
        let mut key = |name: &str, value: String| {
            keys.push((format!("databases.{}.{name}", way.database()), value));
        };
        key("primary", node(cluster.primary().address(), way));
        key("monitor_user", "\"postgres\"".to_owned());
        let size = if way == Way::Same { 1 } else { SERVERS };
        key("pool_size", size.to_string());
        key("min_pool_size", size.to_string());
        if way == Way::Held {
            key("routing.read_only_until_write", "true".to_owned());
        }
        if matches!(way, Way::Split | Way::Held) {
            let replica = cluster.replica(0).unwrap().address();
            key("replicas", format!("[{}]", node(replica, way)));
            key("routing.read_wait", "\"5s\"".to_owned());
        }
    }
    let keys: Vec<_> = keys.iter().map(|(key, value)| (&**key, value.clone())).collect();
    let keys: Vec<_> = keys.iter().map(|(key, value)| (*key, &**value)).collect();
    Pooler::start_with(cluster, (cluster.primary(), &[]), &keys).await
}

fn cases() -> Vec<Case> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("integration/differential/cases");
    let mut files: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file: &std::path::PathBuf| script::read(&fs::read_to_string(file).unwrap());
    let mut cases: Vec<Case> = files.iter().flat_map(read).collect();
    let count = std::env::var("PGLAGOON_CHANCES").ok().and_then(|count| count.parse().ok());
    cases.extend(random::cases(count.unwrap_or(RANDOM)));
    cases.extend(moving::cases(count.unwrap_or(RANDOM)));
    let mut titles = HashSet::new();
    for case in &cases {
        assert!(titles.insert(case.title.clone()), "two cases are called {:?}", case.title);
    }
    cases
}

async fn no_client_can_tell_the_pooler_from_the_server(major: u16) {
    const ENOUGH: usize = 300;
    let wanted = std::env::var("PGLAGOON_CASE").unwrap_or_default();
    let cases = cases();
    assert!(!wanted.is_empty() || cases.len() >= ENOUGH, "only {} cases", cases.len());
    let bench = Bench::set_up(major).await;
    bench.check_turns().await;
    let mut known = Known::read();
    let (mut told, mut count, mut runs) = (String::new(), 0, 0);
    for case in cases.iter().filter(|case| case.title.contains(&wanted)) {
        for &variant in case.variants() {
            let steps = case.steps_of(variant);
            let expected = bench.run(case, &steps, Way::Direct).await;
            for &way in Way::of(case, variant) {
                let answers = bench.run(case, &steps, way).await;
                runs += 1;
                let wrong = if moving::is_one(case) {
                    moving::judge(&steps, &expected, &answers)
                } else if answers == expected || known.confirm(&case.title, variant, way) {
                    None
                } else {
                    Some(first_difference(&steps, &expected, &answers))
                };
                let Some(wrong) = wrong else { continue };
                count += 1;
                let _ = writeln!(told, "\n[{variant:?}, {way:?}] {}", case.title);
                if count <= TOLD {
                    let _ = writeln!(told, "  {wrong}");
                }
            }
        }
    }
    bench.pooler.check();
    assert!(count == 0, "{count} of {runs} runs on PostgreSQL {major} differ:\n{told}");
    if wanted.is_empty() {
        let settled = known.settled();
        assert!(settled.is_empty(), "known.txt says what is no longer so: {settled:#?}");
    }
}

/// The first step whose answer differs.
fn first_difference(steps: &[Step], expected: &[Answer], answers: &[Answer]) -> String {
    let count = expected.len().max(answers.len());
    let differs = (0..count).find(|index| expected.get(*index) != answers.get(*index));
    let index = differs.unwrap_or_default();
    let step = match index.checked_sub(1) {
        None => "log-in".to_owned(),
        Some(step) => steps.get(step).map_or("goodbye".to_owned(), ToString::to_string),
    };
    let (one, other) = (expected.get(index), answers.get(index));
    format!("{step}\n  PostgreSQL {one:?}\n  pgLagoon   {other:?}")
}
