//! Parameters by way of the pooler against a connection of one's own: whatever is set, rolled back and reset, both have
//! the same, and fail alike.

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng, seq::IndexedRandom as _};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::fixture::{client, on_each_version, shared_cluster};
use crate::pooler::Pooler;

on_each_version!(
    whatever_is_set_is_as_on_a_connection_of_ones_own,
    a_reset_goes_back_to_the_startup_value_at_once,
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
    "SET TIME ZONE 'Europe/Berlin'",
    "SET LOCAL TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE",
    "SET TIME ZONE 'Nowhere/Land'",
    "SET TIME ZONE LOCAL",
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET application_name TO 'my \"app\"'",
    "SET ROLE pg_monitor",
    "RESET ROLE",
    "RESET ALL",
    "SELECT 1/0",
    "SET no_such_parameter = 1",
];

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
            for sql in [statement, SHOWN] {
                let (ours, direct) = (outcome(&ours, sql).await, outcome(&direct, sql).await);
                assert_eq!(ours, direct, "{seed} {round}: {said:?}");
            }
            if dice.random() {
                let other =
                    ["SET search_path TO z", "SET TIME ZONE 'UTC'", "SELECT 1", "RESET ALL"];
                outcome(&meddler, other.choose(&mut dice).unwrap()).await;
            }
        }
    }
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
