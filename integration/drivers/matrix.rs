//! What works with which driver, as the table in the README says: every test of a driver compares its row.
//!
//! A driver's program gets the address of a database and, as `FEATURES`, the names of features. It tries one after the other
//! with the driver's default settings, and prints a line for each: `driver feature ok|n/a|fails note`. What it tries is the
//! same for all drivers:
//!
//! | feature | tried |
//! |---|---|
//! | connect | log in and out ten times; what each connection sets is its own |
//! | prepare | statements with parameters, again and again, on connections that use the same names for others |
//! | pipeline | hundreds of statements before the first answer, some of which fail |
//! | transaction | commit, roll back, savepoints, read only; reads see what was written just before |
//! | error | errors have their codes, and the connection goes on |
//! | large | results in parts and as a whole, a value of 3 MB |
//! | copy | thousands of rows in and out, copies that client or server give up |
//! | cancel | a statement is cancelled by the driver's own means once it runs, and the connection goes on |
//! | notify | LISTEN, and what others NOTIFY arrives |
//! | pool | 30 connections of the driver's pool and 300 jobs, on 8 servers |
//! | schema | tables, migrations and inspection by the ORM's own means |

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::Stdio,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::process::Command;

use crate::fixture::{VERSIONS, shared_cluster, standing_for, versions};
use crate::pooler::Pooler;

/// The columns of the table.
pub(crate) const FEATURES: [&str; 11] = [
    "connect",
    "prepare",
    "pipeline",
    "transaction",
    "error",
    "large",
    "copy",
    "cancel",
    "notify",
    "pool",
    "schema",
];

/// The rows of the table, in order.
const DRIVERS: &[&str] = &[
    "psycopg",
    "asyncpg",
    "sqlalchemy-psycopg",
    "sqlalchemy-asyncpg",
    "django",
    "node-postgres",
    "postgres.js",
    "drizzle-node-postgres",
    "drizzle-postgres-js",
    "sequelize",
    "tokio-postgres",
    "sqlx",
    "pgjdbc",
    "pgx",
    "lib-pq",
    "ruby-pg",
    "php-pdo",
];

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

/// The lines around the table.
const MARKERS: [&str; 2] = ["<!-- drivers -->\n", "<!-- end of drivers -->\n"];

/// How long a program may take on a busy machine. What it has not tried by then has failed.
const PATIENCE: Duration = Duration::from_mins(2);

/// What a driver's program has said.
#[derive(Debug, Default)]
pub(crate) struct Report {
    printed: String,
    errors: String,
}

impl Report {
    /// One made of these lines.
    pub(crate) fn new(printed: String) -> Self {
        Self { printed, errors: String::new() }
    }

    /// Of a program that is given the address as its first argument.
    pub(crate) async fn of(command: &mut Command) -> Self {
        let command = command.env("FEATURES", FEATURES.join(" "));
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.kill_on_drop(true).spawn().unwrap();
        let (mut printed, mut errors) = (Vec::new(), Vec::new());
        let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let both = async {
            let out = tokio::io::copy(&mut stdout, &mut printed);
            let _ =
                futures_util::future::join(out, tokio::io::copy(&mut stderr, &mut errors)).await;
        };
        let hangs = tokio::time::timeout(PATIENCE, both).await.is_err();
        let mut errors = String::from_utf8_lossy(&errors).into_owned();
        if hangs {
            let _ = write!(errors, "\nno end after {PATIENCE:?}");
        }
        Self { printed: String::from_utf8_lossy(&printed).into_owned(), errors }
    }

    /// What has failed.
    pub(crate) fn failures(&self, driver: &str) -> Vec<String> {
        let said = FEATURES.map(|feature| (feature, self.of_feature(driver, feature)));
        let failures = said.iter().filter(|(_, said)| said.starts_with("fails"));
        failures.map(|(feature, said)| format!("{feature} {said}")).collect()
    }

    /// What is said of `feature`.
    fn of_feature(&self, driver: &str, feature: &str) -> &str {
        let said = self.printed.lines().find_map(|line| {
            line.strip_prefix(driver)?.strip_prefix(' ')?.strip_prefix(feature)?.strip_prefix(' ')
        });
        said.unwrap_or("fails to get there")
    }
}

/// Tries a driver through pgLagoon on each version of PostgreSQL, and compares with the table.
///
/// What fails is tried without pgLagoon as well: what fails there too is not pgLagoon's.
pub(crate) async fn check(driver: &str, try_at: impl AsyncFn(String) -> Report) {
    let mut cells = ["yes"; FEATURES.len()];
    let mut version = String::new();
    for major in VERSIONS.map(standing_for) {
        // What a pool of connections has written on one it reads on another, after an error for instance.
        let keys = [
            ("pool.default_pool_size", "8"),
            ("listen.workers", "2"),
            ("routing.consistency", "\"group\""),
        ];
        let pooler = Pooler::start(shared_cluster(major).await, &keys).await;
        let report = try_at(pooler.url()).await;
        let fails = |feature: &'static str| report.of_feature(driver, feature).starts_with("fails");
        let direct = if FEATURES.into_iter().any(fails) {
            try_at(shared_cluster(major).await.primary().url()).await
        } else {
            Report::default()
        };
        for (cell, feature) in cells.iter_mut().zip(FEATURES) {
            let said = report.of_feature(driver, feature);
            match said.split(' ').next() {
                Some("ok") => {}
                Some("n/a") => *cell = "-",
                _ => {
                    let alone = direct.of_feature(driver, feature);
                    assert!(
                        alone.starts_with("fails"),
                        "{driver} {feature} on {major}: {said}; without pgLagoon: {alone}\n{}\n{}",
                        report.printed,
                        report.errors,
                    );
                    *cell = "driver";
                }
            }
        }
        report.of_feature(driver, "version").clone_into(&mut version);
        pooler.check();
    }
    compare(driver, &version, &cells);
}

/// Compares with the table in the README, or writes that when `PGLAGOON_MATRIX` is `update`.
fn compare(driver: &str, version: &str, cells: &[&str]) {
    static WRITING: Mutex<()> = Mutex::new(());
    let _alone = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let readme = fs::read_to_string(README).unwrap();
    let (before, rows, after) = table(&readme);
    if writes() {
        let row = format!("| {driver} {version} | {} |\n", cells.join(" | "));
        let mut table = format!(
            "| driver | {} |\n|---|{}\n",
            FEATURES.join(" | "),
            "---|".repeat(FEATURES.len())
        );
        for name in DRIVERS {
            let old = rows.iter().find(|(known, _)| known == name).map(|(_, row)| *row);
            table += if *name == driver { &row } else { old.unwrap_or_default() };
        }
        fs::write(README, [before, &table, after].concat()).unwrap();
        return;
    }
    let row = rows.iter().find(|(name, _)| *name == driver);
    // Versions from a distribution are what they are.
    let said = row.map(|(_, row)| row.split('|').skip(2).map(str::trim).collect::<Vec<_>>());
    let found: Vec<&str> = cells.iter().copied().chain([""]).collect();
    if versions() != VERSIONS && cells.contains(&"driver") {
        eprintln!("{driver} {version} does not work with all of {:?}: {found:?}", versions());
        return;
    }
    assert_eq!(said.as_ref(), Some(&found), "{driver}: `make drivers UPDATE=1` writes the table");
}

/// Whether the table is to be written rather than compared with.
fn writes() -> bool {
    std::env::var("PGLAGOON_MATRIX").is_ok_and(|value| value == "update")
}

/// The README before the table, the table's rows by driver, and the README behind the table.
fn table(readme: &str) -> (&str, Vec<(&str, &str)>, &str) {
    let [begin, end] = MARKERS.map(|marker| readme.find(marker).unwrap());
    let begin = begin + MARKERS[0].len();
    let rows = readme[begin..end].split_inclusive('\n').skip(2);
    let name = |row: &'_ str| row.find("| ").map(|at| at + 2);
    let rows = rows.filter_map(|row| Some((row[name(row)?..].split(' ').next()?, row)));
    (&readme[..begin], rows.collect(), &readme[end..])
}

/// The file of a driver's program.
pub(crate) fn program(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("integration/drivers").join(name)
}

#[test]
fn the_table_has_every_driver() {
    let readme = fs::read_to_string(README).unwrap();
    let (_, rows, _) = table(&readme);
    let names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
    if writes() {
        return;
    }
    assert_eq!(names, DRIVERS, "`make drivers UPDATE=1` writes the table");
}
