//! PostgreSQL's own regression suite through pgLagoon: `make regress`, by hand, because it takes minutes.
//!
//! The suite is run three times by PostgreSQL's `pg_regress`: straight, through pgLagoon in session mode, and in
//! transaction mode. A test whose output is the expected one, or the one of the straight run (the suite is run without
//! its C functions), has passed. Nothing else may happen but what `regress/session.txt` and `regress/transaction.txt`
//! explain.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use pglagoon::demo::{Authentication, Cluster, ClusterBuilder};

use crate::{
    fixture::{client, installation},
    pooler::Pooler,
    suite,
};

/// The version whose suite it is.
const MAJOR: u16 = 15;

/// What pg_regress sets for the databases that it makes itself.
const SETTINGS: &str = "
    ALTER DATABASE app SET lc_messages TO 'C';
    ALTER DATABASE app SET bytea_output TO 'hex';
    ALTER DATABASE app SET timezone_abbreviations TO 'Default';
";

#[tokio::test]
#[ignore = "takes minutes: make regress"]
async fn the_regression_suite_passes() {
    let Some(suite) = Suite::find() else { return };
    let straight = suite.run(None).await;
    let different = async |mode: &str| {
        let outcome = suite.run(Some(mode)).await;
        assert!(outcome.tests.len() > 200, "the suite did not run");
        let different = outcome.differing_from(&straight);
        eprintln!(
            "{mode} mode: {} of {} tests differ, see {}: {different:?}",
            different.len(),
            outcome.tests.len(),
            outcome.directory.display()
        );
        different
    };
    // Which of these differ depends on what runs at the same time.
    for (mode, list) in [
        ("transaction", include_str!("regress/transaction.txt")),
        ("session", include_str!("regress/session.txt")),
    ] {
        let more = &different(mode).await - &explained(list);
        assert!(more.is_empty(), "regress/{mode}.txt does not explain {more:?}");
    }
}

/// The tests that a list explains.
fn explained(list: &str) -> BTreeSet<String> {
    list.lines().filter_map(|line| Some(line.split_once(": ")?.0.to_owned())).collect()
}

/// Where the suite and its runner are.
struct Suite {
    files: PathBuf,
    runner: PathBuf,
}

/// What came out of a run.
struct Outcome {
    directory: PathBuf,
    tests: BTreeSet<String>,
}

impl Suite {
    /// `None`, with a printed reason, if there is none to be had.
    fn find() -> Option<Self> {
        let runner = installation(MAJOR).bin().join("../lib/pgxs/src/test/regress/pg_regress");
        if !runner.exists() {
            eprintln!("skipped: no {}", runner.display());
            return None;
        }
        Some(Self { files: suite::directory()?, runner })
    }

    /// Runs it on a cluster of its own, through pgLagoon in this mode or straight.
    async fn run(&self, mode: Option<&str>) -> Outcome {
        let builder = ClusterBuilder::new(installation(MAJOR));
        let cluster = builder.authentication(Authentication::Trust).start().await.unwrap();
        let keeper = client(&cluster.primary().superuser_url()).await;
        for statement in SETTINGS.split_inclusive(';') {
            keeper.batch_execute(statement).await.unwrap();
        }
        let directory = output(mode.unwrap_or("straight"));
        let Some(mode) = mode else {
            return self.regress(cluster.primary().port(), directory).await;
        };
        let pooler = start(&cluster, mode).await;
        let outcome = self.regress(pooler.address().port(), directory).await;
        pooler.check();
        outcome
    }

    async fn regress(&self, port: u16, directory: PathBuf) -> Outcome {
        let path = |path: &Path| path.display().to_string();
        let schedule = path(&self.files.join("parallel_schedule"));
        let output = tokio::process::Command::new(&self.runner)
            .args(["--use-existing", "--dbname=app", "--user=postgres", "--host=127.0.0.1"])
            .arg(format!("--port={port}"))
            .arg(format!("--bindir={}", path(installation(MAJOR).bin())))
            .arg(format!("--inputdir={}", path(&self.files)))
            .arg(format!("--outputdir={}", path(&directory)))
            .arg(format!("--schedule={schedule}"))
            .args(["--dlpath=.", "--max-concurrent-tests=20"])
            .output()
            .await
            .unwrap();
        fs::write(directory.join("runner.log"), &output.stdout).unwrap();
        let results = fs::read_dir(directory.join("results")).unwrap();
        let name = |file: PathBuf| {
            let is_output = file.extension().is_some_and(|extension| extension == "out");
            is_output.then(|| file.file_stem().unwrap().to_string_lossy().into_owned())
        };
        let tests = results.filter_map(|entry| name(entry.unwrap().path())).collect();
        Outcome { directory, tests }
    }
}

impl Outcome {
    fn text(&self, test: &str) -> Option<Vec<u8>> {
        fs::read(self.directory.join("results").join(test).with_extension("out")).ok()
    }

    /// Whether pg_regress was content with a test.
    fn has_passed(&self, test: &str) -> bool {
        let log = fs::read_to_string(self.directory.join("regression.out")).unwrap_or_default();
        log.lines().any(|line| {
            let mut words = line.trim_start_matches("test ").split_whitespace();
            words.next() == Some(test) && line.contains("... ok")
        })
    }

    /// The tests that neither passed nor ended as in the straight run.
    fn differing_from(&self, straight: &Self) -> BTreeSet<String> {
        let differs =
            |test: &&String| !self.has_passed(test) && self.text(test) != straight.text(test);
        straight.tests.iter().filter(differs).cloned().collect()
    }
}

/// An empty directory for what a run leaves, which the server may write to as well.
fn output(name: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("regress").join(name);
    let _ = fs::remove_dir_all(&directory);
    for part in ["results", "testtablespace", "sql", "expected"] {
        let part = directory.join(part);
        fs::create_dir_all(&part).unwrap();
        fs::set_permissions(part, fs::Permissions::from_mode(0o777)).unwrap();
    }
    directory
}

async fn start(cluster: &Cluster, mode: &str) -> Pooler {
    let mode = format!("{mode:?}");
    let keys = [
        ("pool.mode", &*mode),
        ("pool.default_pool_size", "60"),
        ("databases.app.monitor_user", "\"postgres\""),
        ("users.app.password", ""),
        ("users.postgres.trust", "true"),
    ];
    let url = format!("\"postgres://{}/app\"", cluster.primary().address());
    let keys: Vec<_> = keys.into_iter().chain([("databases.app.primary", &*url)]).collect();
    Pooler::start_with(cluster, (cluster.primary(), &[]), &keys).await
}
