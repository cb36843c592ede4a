//! PostgreSQL's own client programs.

use tokio::sync::Mutex;

use crate::{
    fixture::{at_each_door, on_each_version, own_cluster, pgbench, psql, succeeded, tool, unique},
    pooler::Pooler,
};

at_each_door!(psql_runs_a_script, pgbench_runs_in_every_mode);
on_each_version!(pg_dump_finds_everything);

async fn psql_runs_a_script(url: &str) {
    let table = unique("psql");
    let statements = [
        format!("CREATE TABLE {table} (x int PRIMARY KEY, y text)"),
        format!("\\copy {table} FROM PROGRAM 'printf \"1,one\\n2,two\\n\"' CSV"),
        "\\set ON_ERROR_ROLLBACK on".to_owned(),
        "\\set ON_ERROR_STOP off".to_owned(),
        "BEGIN".to_owned(),
        format!("INSERT INTO {table} VALUES (3, 'three')"),
        // The savepoint that psql has set saves the transaction from this one.
        format!("INSERT INTO {table} VALUES (3, 'again')"),
        "COMMIT".to_owned(),
        format!("\\d {table}"),
        "\\set FETCH_COUNT 2".to_owned(),
        format!("SELECT y FROM {table} ORDER BY x"),
        format!("\\copy (SELECT x FROM {table} ORDER BY x) TO STDOUT"),
        "\\unset FETCH_COUNT".to_owned(),
        "SELECT 1 AS a; SELECT 2 AS b".to_owned(),
    ];
    let arguments: Vec<&str> = statements.iter().flat_map(|sql| ["-c", sql]).collect();
    let Some(output) = psql(url, &arguments).await else { return };
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("duplicate key value"), "{errors}");
    assert!(printed.contains("one\ntwo\nthree\n1\n2\n3\n1\n2\n"), "{printed}{errors}");
}

/// pgbench's tables have the same names for everybody, and it begins by dropping them.
static TABLES: Mutex<()> = Mutex::const_new(());

async fn pgbench_runs_in_every_mode(url: &str) {
    let _alone = TABLES.lock().await;
    let initialize = ["-i", "-q", "-I", "dtgp"];
    let Some(output) = pgbench(url, &initialize).await else { return };
    succeeded(&output);
    let run = async |arguments: &[&str], transactions: u32| {
        let output = pgbench(url, &[&["-n"], arguments].concat()).await.unwrap();
        let printed = succeeded(&output);
        let all = format!("{transactions}/{transactions}");
        assert!(printed.contains(&all), "{arguments:?}: {printed}");
        assert!(!printed.contains("number of failed transactions: 1"), "{printed}");
    };
    for mode in ["simple", "extended", "prepared"] {
        run(&["-M", mode, "-c", "8", "-t", "50"], 400).await;
        run(&["-M", mode, "-c", "8", "-t", "50", "-S"], 400).await;
        run(&["-M", mode, "-c", "4", "-t", "10", "-S", "-C"], 40).await;
    }
}

/// Its transaction is read-only and may run on a replica, where a sequence is ahead.
async fn pg_dump_finds_everything(major: u16) {
    let cluster = own_cluster(major).start().await.unwrap();
    let sql = "CREATE TABLE dumped (id serial PRIMARY KEY, v text DEFAULT 'x');
        INSERT INTO dumped SELECT FROM generate_series(1, 40); CREATE SEQUENCE s;
        CREATE VIEW v AS SELECT * FROM dumped; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO app; GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO app";
    cluster.primary().execute(sql).await.unwrap();
    let pooler = Pooler::start(&cluster, &[("routing.max_lag", "\"1min\"")]).await;
    cluster.wait_caught_up().await.unwrap();
    let mut dumps = Vec::new();
    for url in [cluster.primary().url(), pooler.url(), pooler.url()] {
        let Some(output) = tool("pg_dump", &["-d", &url]).await else { return };
        if String::from_utf8_lossy(&output.stderr).contains("server version mismatch") {
            eprintln!("skipped: pg_dump is older than PostgreSQL {major}");
            return;
        }
        let printed = succeeded(&output);
        assert!(printed.contains("setval('public.dumped_id_seq'"), "{printed}");
        let lines = printed.lines().filter(|line| {
            let differs = ["SELECT pg_catalog.setval(", "\\restrict ", "\\unrestrict "];
            !differs.iter().any(|start| line.starts_with(start))
        });
        dumps.push(lines.map(str::to_owned).collect::<Vec<_>>());
    }
    assert_eq!(dumps[0], dumps[1]);
    assert_eq!(dumps[0], dumps[2]);
    pooler.check();
}
