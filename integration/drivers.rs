//! Real drivers with their default settings, each doing what applications do with it.

mod matrix;
mod tokio_features;

use std::path::{Path, PathBuf};

use tokio::{process::Command, sync::Mutex};

use crate::fixture::{VERSIONS, shared_cluster, standing_for, store};
use crate::pooler::Pooler;
use matrix::{Report, check, program};

#[tokio::test]
async fn psycopg() {
    python("psycopg", "psycopg_features.py", &[]).await;
}

#[tokio::test]
async fn asyncpg() {
    python("asyncpg", "asyncpg_features.py", &[]).await;
}

#[tokio::test]
async fn sqlalchemy_over_psycopg() {
    python("sqlalchemy-psycopg", "sqlalchemy_features.py", &["psycopg"]).await;
}

#[tokio::test]
async fn sqlalchemy_over_asyncpg() {
    python("sqlalchemy-asyncpg", "sqlalchemy_features.py", &["asyncpg"]).await;
}

#[tokio::test]
async fn django() {
    python("django", "django_features.py", &[]).await;
}

#[tokio::test]
async fn node_postgres() {
    node("node-postgres", "pg_features.cjs", &[]).await;
}

#[tokio::test]
async fn postgres_js() {
    node("postgres.js", "postgres_js_features.cjs", &[]).await;
}

#[tokio::test]
async fn drizzle_over_node_postgres() {
    node("drizzle-node-postgres", "drizzle_features.cjs", &["node-postgres"]).await;
}

#[tokio::test]
async fn drizzle_over_postgres_js() {
    node("drizzle-postgres-js", "drizzle_features.cjs", &["postgres-js"]).await;
}

#[tokio::test]
async fn sequelize() {
    node("sequelize", "sequelize_features.cjs", &[]).await;
}

#[tokio::test]
async fn tokio_postgres() {
    check("tokio-postgres", tokio_features::report).await;
}

#[tokio::test]
#[ignore = "`make drivers`: sqlx takes a minute to build"]
async fn sqlx() {
    let run = async |url| Report::of(Command::new(required("rust").await).arg(url)).await;
    check("sqlx", run).await;
}

#[tokio::test]
#[ignore = "`make drivers`: Java is large"]
async fn pgjdbc() {
    let jar = required("java").await;
    let run = async |url| {
        let mut java = Command::new("java");
        Report::of(java.arg("-cp").arg(&jar).arg(program("java/Features.java")).arg(url)).await
    };
    check("pgjdbc", run).await;
}

#[tokio::test]
#[ignore = "`make drivers`: Go is large"]
async fn pgx() {
    go("pgx").await;
}

#[tokio::test]
#[ignore = "`make drivers`: Go is large"]
async fn lib_pq() {
    go("lib-pq").await;
}

#[tokio::test]
#[ignore = "`make drivers`: Ruby is fetched for it"]
async fn ruby_pg() {
    let ruby = required("ruby").await;
    let script = program("ruby/features.rb");
    check("ruby-pg", async |url| Report::of(Command::new(&ruby).arg(&script).arg(url)).await).await;
}

#[tokio::test]
#[ignore = "`make drivers`: PHP is fetched for it"]
async fn php_pdo() {
    let php = required("php").await;
    let script = program("php/features.php");
    check("php-pdo", async |url| Report::of(Command::new(&php).arg(&script).arg(url)).await).await;
}

/// What drivers do to begin a transaction is held back, and everything else is as ever.
#[tokio::test]
async fn transactions_wait_for_a_write() {
    let Some(python) = driver("python").await else { return };
    for major in VERSIONS.map(standing_for) {
        for name in ["psycopg", "asyncpg"] {
            let keys = [
                ("routing.read_only_until_write", "true"),
                ("pool.default_pool_size", "8"),
                ("http.address", "\"127.0.0.1:0\""),
            ];
            let pooler = Pooler::start(shared_cluster(major).await, &keys).await;
            let script = program("python").join(format!("{name}_features.py"));
            let report = Report::of(Command::new(&python).arg(script).arg(pooler.url())).await;
            let failures = report.failures(name);
            assert!(failures.is_empty(), "{name} on {major}: {failures:#?} {report:?}");
            for reason in ["held_back", "read"] {
                let series =
                    format!("pglagoon_routed_total{{database=\"app\",reason=\"{reason}\"}}");
                assert!(pooler.metric(&series).await > 0.0, "{name} on {major}: {reason}");
            }
            pooler.check();
        }
    }
}

async fn go(name: &str) {
    let program = required("go").await;
    check(name, async |url| Report::of(Command::new(&program).arg(url).arg(name)).await).await;
}

async fn python(name: &str, script: &str, arguments: &[&str]) {
    let Some(python) = driver("python").await else { return };
    let script = program("python").join(script);
    let run = async |url: String| {
        Report::of(Command::new(&python).arg(&script).arg(url).args(arguments)).await
    };
    check(name, run).await;
}

async fn node(name: &str, script: &str, arguments: &[&str]) {
    let Some(modules) = driver("node").await else { return };
    let script = program("node").join(script);
    let run = async |url: String| {
        let mut node = Command::new("node");
        Report::of(node.env("NODE_PATH", &modules).arg(&script).arg(url).args(arguments)).await
    };
    check(name, run).await;
}

/// The driver of a language, from its registry; `None`, with a printed reason, when it is not to be had.
pub(crate) async fn driver(language: &str) -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/drivers.sh");
    let mut command = Command::new(script);
    let output = command.arg(language).env("PGLAGOON_LOCAL", store()).output().await.unwrap();
    if !output.status.success() {
        eprintln!("skipped: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    Some(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end()))
}

/// The same for a test that was asked for: it fails when the driver is not to be had.
async fn required(language: &str) -> PathBuf {
    // Those that share a program build it one after the other.
    static FETCHING: Mutex<()> = Mutex::const_new(());
    let _alone = FETCHING.lock().await;
    driver(language).await.unwrap_or_else(|| panic!("scripts/drivers.sh {language} has failed"))
}
