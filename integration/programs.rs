//! PostgreSQL's own client programs.

use tokio::sync::Mutex;

use crate::fixture::{at_each_door, pgbench, psql, succeeded, unique};

at_each_door!(psql_runs_a_script, pgbench_runs_in_every_mode);

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
