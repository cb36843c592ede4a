//! Parameters by way of the pooler against a connection of one's own: whatever is set, rolled back and reset, both have
//! the same, and fail alike.

use pglagoon::demo::Cluster;
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng, seq::IndexedRandom as _};
use tokio_postgres::{Client, SimpleQueryMessage, types::ToSql};

use crate::fixture::{client, eventually, on_each_version, shared_cluster, unique};
use crate::pooler::Pooler;

on_each_version!(
    whatever_is_set_is_as_on_a_connection_of_ones_own,
    a_reset_goes_back_to_the_startup_value_at_once,
    another_spelling_of_the_same_value_costs_nothing,
    what_an_extension_knows_better_harms_nobody,
);

/// What is looked at after every statement. A custom parameter that was reset is empty where it was ever set, and
/// absent elsewhere: which of the two depends on the server.
const SHOWN: &str = "SELECT concat_ws('|', current_setting('search_path'), \
    current_setting('statement_timeout'), current_setting('DateStyle'), current_setting('TimeZone'), \
    current_setting('application_name'), coalesce(current_setting('app.tenant', true), ''), current_user, \
    current_setting('default_transaction_isolation'))";

/// What clients do; some of it fails, always or at times.
const STATEMENTS: &[&str] = &[
    "BEGIN",
    "BEGIN",
    "BEGIN",
    "COMMIT",
    "COMMIT AND CHAIN",
    "ROLLBACK",
    "SAVEPOINT s",
    "SAVEPOINT s",
    "SAVEPOINT \"T\"",
    "RELEASE s",
    "ROLLBACK TO s",
    "ROLLBACK TO SAVEPOINT \"T\"",
    "SET search_path TO a, \"B c\", \"d\"\"e\"",
    "SET search_path = 'x, y'",
    "SET LOCAL search_path TO pg_catalog",
    "SET SCHEMA 'it''s'",
    "RESET search_path",
    "SET statement_timeout = '1min'",
    "SET LOCAL statement_timeout TO 70000",
    "SET statement_timeout = 'nonsense'",
    "SET statement_timeout TO DEFAULT",
    "SELECT set_config('statement_timeout', '80s', false), set_config('app.tenant', 'a''b\\', false)",
    "SELECT set_config('app.tenant', 'c', true)",
    "SET app.tenant = 'd; drop table x; --'",
    "RESET app.tenant",
    "SET DateStyle TO German",
    "SET DateStyle = ISO, DMY",
    "SET DateStyle = 'sql'",
    "SET DateStyle = euro",
    "SET TIME ZONE 'Europe/Berlin'",
    "SET LOCAL TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE",
    "SET TIME ZONE 'Nowhere/Land'",
    "SET TIME ZONE LOCAL",
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET application_name TO 'my \"app\"'",
    "SET ROLE pg_monitor",
    "RESET ROLE",
    "RESET ALL",
    "WITH a AS (SELECT set_config('app.tenant', 'w', true)) SELECT * FROM a",
    "SELECT set_config(k, v, true) FROM (VALUES ('app.tenant', 'v'), ('role', 'pg_monitor')) AS x (k, v)",
    "WITH a AS (SELECT set_config('app.tenant', concat('a', 'b'), false) AS b) SELECT b FROM a",
    "SELECT set_config('statement_timeout', (1000 * 82)::text, false), 1",
    "SELECT '1' WHERE false AND set_config('search_path', 'never', false) = ''",
    "SELECT set_config('role', (SELECT 'pg_monitor'), false)",
    "SELECT set_config('DateStyle', lower('SQL'), false)",
    "SELECT set_config('search_path', 'nobody, ' || 1/0, false)",
    "SELECT set_config('app.tenant', 'o', 1 = 1), set_config('search_path', upper('o'), 1 = 2)",
    "SELECT set_config('app.tenant', lower('Q'), false); SET LOCAL app.tenant = 'r'; SET TIME ZONE 'UTC'",
    "BEGIN; SELECT set_config('app.tenant', upper('m'), false); COMMIT; SELECT set_config('TimeZone', concat('Asia', '/Tokyo'), false)",
    "BEGIN; SET search_path TO b; SET LOCAL app.tenant = 'l'; COMMIT; SET TIME ZONE 'Asia/Tokyo'",
    "BEGIN; SET app.tenant = 'e'; COMMIT; SET app.tenant = 'f'; SELECT 1/0",
    "BEGIN; SET statement_timeout = '90s'; SELECT 1",
    "SAVEPOINT s; SET app.tenant = 'g'; ROLLBACK TO s; SET LOCAL search_path TO c",
    "SET app.tenant = 'h'; ROLLBACK; SET statement_timeout = 77000",
    "COMMIT; BEGIN; RESET app.tenant; SAVEPOINT s",
    "SELECT 1; COMMIT",
    "SELECT 1/0",
    "SET no_such_parameter = 1",
];

/// What drivers send with bound values, and the values.
const BOUND: &[(&str, &[Option<&str>])] = &[
    (
        "SELECT set_config('role', $1, true), set_config('app.tenant', $2, true)",
        &[Some("pg_monitor"), Some("it's {\"a\": \"\\\"}")],
    ),
    ("SELECT set_config($1, $2, false)", &[Some("Statement_Timeout"), Some("81s")]),
    ("SELECT set_config('TimeZone', $1, false)", &[Some("Asia/Tokyo")]),
    ("SELECT set_config('search_path', $1, true) AS x", &[Some("bound, \"B c\"")]),
    ("SELECT set_config('app.tenant', $1, false)", &[None]),
    ("SELECT set_config('statement_timeout', $1, false)", &[Some("nonsense")]),
    ("SELECT set_config('app.tenant', $1, $2::text::bool)", &[Some("s"), Some("false")]),
    ("SELECT set_config('app.tenant', upper($1), false)", &[Some("t")]),
];

/// What came of a statement with values.
async fn bound_outcome(client: &Client, (sql, values): (&str, &[Option<&str>])) -> Vec<String> {
    let values: Vec<_> = values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
    match client.query(sql, &values).await {
        Ok(rows) => rows.iter().map(|row| row.get::<_, String>(0)).collect(),
        Err(error) => vec![format!("{:?}", error.code())],
    }
}

/// What came of a statement: rows, or a SQLSTATE.
async fn outcome(client: &Client, sql: &str) -> Vec<String> {
    match client.simple_query(sql).await {
        Ok(messages) => messages
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("null").to_owned()),
                _ => None,
            })
            .collect(),
        Err(error) => vec![format!("{:?}", error.code())],
    }
}

/// A pooler whose clients never get the same server twice in a row.
async fn pooler(major: u16) -> Pooler {
    let keys = [
        ("pool.default_pool_size", "3"),
        ("pool.server_order", "\"oldest\""),
        ("routing.read_write_split", "false"),
        ("logging.level", "\"debug\""),
    ];
    Pooler::start(shared_cluster(major).await, &keys).await
}

async fn whatever_is_set_is_as_on_a_connection_of_ones_own(major: u16) {
    let cluster = shared_cluster(major).await;
    let pooler = pooler(major).await;
    let options = "options=-c%20statement_timeout%3D66s%20-c%20search_path%3Dpublic%2Ca";
    let seed = rand::random::<u64>();
    let mut dice = SmallRng::seed_from_u64(seed);
    let meddler = client(&pooler.url()).await;
    for round in 0..40 {
        let ours = client(&format!("{}?{options}", pooler.url())).await;
        let direct = client(&format!("{}?{options}", cluster.primary().url())).await;
        let mut said = Vec::new();
        for _ in 0..dice.random_range(4..16) {
            let statement = *STATEMENTS.choose(&mut dice).unwrap();
            said.push(statement);
            if dice.random_ratio(1, 4) {
                let bound = *BOUND.choose(&mut dice).unwrap();
                said.push(bound.0);
                let (ours, direct) =
                    (bound_outcome(&ours, bound).await, bound_outcome(&direct, bound).await);
                assert_eq!(ours, direct, "{seed} {round}: {said:?}");
            }
            for sql in [statement, SHOWN] {
                let (ours, direct) = (outcome(&ours, sql).await, outcome(&direct, sql).await);
                assert_eq!(ours, direct, "{seed} {round}: {said:?}");
            }
            if dice.random() {
                let other = [
                    "SET search_path TO z",
                    "SET TIME ZONE 'UTC'",
                    "SET DateStyle TO sql, ymd",
                    "SELECT 1",
                    "RESET ALL",
                ];
                outcome(&meddler, other.choose(&mut dice).unwrap()).await;
            }
        }
    }
    // All of it follows its client from server to server.
    assert!(!pooler.log().contains("a client is pinned"), "{seed}");
    pooler.check();
}

async fn a_reset_goes_back_to_the_startup_value_at_once(major: u16) {
    let pooler = pooler(major).await;
    let url = format!("{}?options=-c%20statement_timeout%3D66s", pooler.url());
    let ours = client(&url).await;
    for sql in ["BEGIN", "SET LOCAL statement_timeout TO 0", "RESET statement_timeout"] {
        ours.batch_execute(sql).await.unwrap();
    }
    assert_eq!(outcome(&ours, "SHOW statement_timeout").await, ["66s"]);
    ours.batch_execute("SET LOCAL statement_timeout TO DEFAULT").await.unwrap();
    assert_eq!(outcome(&ours, "SHOW statement_timeout").await, ["66s"]);
    ours.batch_execute("COMMIT").await.unwrap();
    assert_eq!(outcome(&ours, "SHOW statement_timeout").await, ["66s"]);
    pooler.check();
}

/// What two clients say, and means the same.
const SPELLINGS: &[[&str; 2]] = &[
    ["SET work_mem = '1MB'", "SET work_mem TO '1024kB'"],
    ["SET statement_timeout = 60000", "SELECT set_config('statement_timeout', '1min', false)"],
    ["SET temp_buffers = '8MB'", "SET temp_buffers = 1024"],
    ["SET jit = on", "SET jit TO '1'"],
    ["SET enable_seqscan = false", "SET enable_seqscan TO 'OFF'"],
    ["SET synchronous_commit = on", "SET synchronous_commit TO TRUE"],
    ["SET client_min_messages = warning", "SET client_min_messages TO 'WARNING'"],
    ["SET seq_page_cost = 1", "SET seq_page_cost TO '1.0'"],
    ["SET TIME ZONE 'Europe/Paris'", "SET timezone = 'EUROPE/paris'"],
    ["SET NAMES 'UTF8'", "SET client_encoding = 'utf-8'"],
    ["SET search_path TO a,\"B c\", public", "SET search_path = 'a' , 'B c', \"public\""],
    ["SET DateStyle TO iso, us", "SET datestyle = 'ISO, MDY'"],
    ["SET application_name TO 'same'", "SET application_name = same"],
    ["SET app.tenant TO 'x'", "SELECT set_config('app.tenant', 'x', false)"],
    [
        "SET default_transaction_isolation TO 'READ COMMITTED'",
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
    ],
];

/// The parameters that those set.
const SPELLED: &str = "SELECT concat_ws('|', current_setting('work_mem'), \
    current_setting('statement_timeout'), current_setting('temp_buffers'), current_setting('jit'), \
    current_setting('enable_seqscan'), current_setting('synchronous_commit'), \
    current_setting('client_min_messages'), current_setting('seq_page_cost'), \
    current_setting('timezone'), current_setting('client_encoding'), current_setting('search_path'), \
    current_setting('datestyle'), current_setting('application_name'), current_setting('app.tenant'), \
    current_setting('default_transaction_isolation'))";

/// A database whose statements are logged.
async fn logged_database(cluster: &Cluster) -> String {
    let url = crate::currval::database(cluster, "SELECT 1").await;
    let superuser = client(&cluster.primary().superuser_url()).await;
    let name = url.rsplit_once('/').unwrap().1;
    let logs = format!("ALTER DATABASE {name} SET log_statement = 'all'");
    superuser.batch_execute(&logs).await.unwrap();
    url
}

async fn another_spelling_of_the_same_value_costs_nothing(major: u16) {
    let cluster = shared_cluster(major).await;
    let url = logged_database(cluster).await;
    let keys = [
        ("databases.app.primary", &*format!("{url:?}")),
        ("databases.app.replicas", ""),
        ("pool.default_pool_size", "1"),
    ];
    let pooler = Pooler::start(cluster, &keys).await;
    let is_read = async || pooler.log().contains("catalog read").then_some(());
    eventually("the catalog to be read", is_read).await;
    let [one, other, direct] =
        [client(&pooler.url()).await, client(&pooler.url()).await, client(&url).await];
    for [this, that] in SPELLINGS {
        let all = [(&direct, this), (&one, this), (&other, that)];
        for (client, sql) in all {
            client.batch_execute(sql).await.unwrap();
        }
    }
    let expected = outcome(&direct, SPELLED).await;
    let marks = ["first", "last"].map(|mark| format!("SELECT '{mark} of {url}'"));
    direct.batch_execute(&marks[0]).await.unwrap();
    for [this, that] in SPELLINGS {
        for (client, sql) in [(&one, that), (&other, this)] {
            assert_eq!(outcome(client, SPELLED).await, expected);
            client.batch_execute(sql).await.unwrap();
        }
    }
    direct.batch_execute(&marks[1]).await.unwrap();
    let log = cluster.primary().log();
    let counted = log.split_once(&marks[0]).unwrap().1.split_once(&marks[1]).unwrap().0;
    // Ours have their names quoted.
    let ours: Vec<_> = counted.lines().filter(|line| line.contains("SET \"")).collect();
    assert!(ours.is_empty() && counted.contains(SPELLINGS[0][1]), "{ours:?}");
    pooler.check();
}

/// Loads PL/pgSQL.
const LOADS: &str = "DO 'BEGIN END'";

async fn what_an_extension_knows_better_harms_nobody(major: u16) {
    let role = unique("role");
    let create = format!("CREATE ROLE {role}; GRANT {role} TO app");
    shared_cluster(major).await.primary().execute(&create).await.unwrap();
    let roles = ["RESET ROLE".to_owned(), format!("SET ROLE {role}")];
    let sets = [
        "SET plpgsql.nothing_like_this = 'x'",
        "SET plpgsql.variable_conflict = 'nonsense'",
        "SET plpgsql.variable_conflict = 'use_column'",
        // Only superusers may set it.
        "SET plperl.on_plperl_init = 'x'",
    ];
    for (set, role) in sets.iter().flat_map(|set| roles.iter().map(move |role| (*set, role))) {
        outlives_its_extension(major, set, role).await;
    }
}

/// On whichever of a new pool's servers it comes: neither is the client's own value an error, nor what others have left.
async fn outlives_its_extension(major: u16, set: &str, role: &str) {
    let pooler = pooler(major).await;
    let ours = client(&pooler.url()).await;
    let direct = client(&shared_cluster(major).await.primary().url()).await;
    let (name, own) = (set.split(' ').nth(1).unwrap(), set.split('\'').nth(1).unwrap());
    let show = format!("SELECT coalesce(current_setting('{name}', true), '')");
    assert_eq!(outcome(&ours, set).await, outcome(&direct, set).await, "{set}");
    for sql in [role, "SET work_mem = '3MB'", LOADS, "SELECT 1", &show, "SHOW work_mem", &show] {
        let expected = outcome(&direct, sql).await;
        for _ in 0..3 {
            let found = outcome(&ours, sql).await;
            // A server that has just been opened has not loaded anything: there the client's word stands.
            let is_new = sql == show && found == [own];
            assert!(found == expected || is_new, "{set}; {role}; {sql}: {found:?}");
            let other = client(&pooler.url()).await;
            assert_eq!(outcome(&other, "SELECT 1").await, ["1"], "{set}; {role}; {sql}");
            assert_eq!(outcome(&other, LOADS).await, [""; 0], "{set}; {role}; {sql}");
        }
    }
    pooler.check();
}
