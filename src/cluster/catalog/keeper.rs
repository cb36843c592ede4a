//! The task that reads the catalog.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, pin_mut};
use thiserror::Error;
use tokio::time::{sleep, timeout};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::{CatalogState, News, queries};
use crate::clock::Mono;
use crate::cluster::health::back_off;
use crate::cluster::{Cluster, NodeId};
use crate::config::Secret;
use crate::net::{Driven, Stream};
use crate::sql::{BadRow, Facts};

/// The longest back-off when the catalog cannot be read.
const LONGEST: Duration = Duration::from_secs(5);
/// How long the primary may take to answer.
const PATIENCE: Duration = Duration::from_mins(2);
/// After this time the catalog is read again, whatever the counters say.
const AT_LEAST_EVERY: Duration = Duration::from_mins(10);
/// At least this time passes between two reads.
const PAUSE: Duration = Duration::from_millis(100);

/// How the nodes are reached.
pub trait Dial: Send + 'static {
    /// Connects to one; the log-in is yet to be done.
    ///
    /// # Errors
    ///
    /// Why there is no connection, in words.
    fn dial(&mut self, node: NodeId) -> impl Future<Output = Result<Access, String>> + Send;
}

/// A connection, and as whom to log in on it.
#[derive(Debug)]
pub struct Access {
    /// The connection, with TLS if it is to have that.
    pub stream: Stream,
    /// The user.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// The database.
    pub database: String,
}

/// Why the catalog could not be read.
#[derive(Debug, Error)]
enum Failure {
    #[error("{0}")]
    Dial(String),
    #[error("{}", describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
    #[error(transparent)]
    Form(#[from] BadRow),
    #[error("no answer within {PATIENCE:?}")]
    Slow,
    #[error("the snapshot could not be made")]
    Lost,
}

fn describe(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string)
}

/// A connection that answers.
struct Reader {
    client: Client,
    version: u32,
    /// Ends with it.
    _driver: tokio::task::JoinSet<()>,
}

/// Keeps the catalog of `cluster` as it is on its primary, for ever. To be spawned on the control thread's runtime.
pub async fn keep(cluster: Arc<Cluster>, mut dial: impl Dial) {
    let mut failures = 0_u32;
    loop {
        let loads = cluster.catalog_state().report.lock().loads;
        let term = cluster.term();
        let failure = tokio::select! {
            Err(failure) = follow(&cluster, &mut dial) => failure,
            () = cluster.end_of(term) => continue,
        };
        failures =
            if cluster.catalog_state().report.lock().loads > loads { 1 } else { failures + 1 };
        let error = failure.to_string();
        if cluster.catalog_state().fail(&error) {
            let database = cluster.database();
            tracing::warn!(database, error, "the catalog cannot be read from the primary");
        }
        sleep(back_off(failures, LONGEST, rand::random())).await;
    }
}

/// Reads the catalog whenever there is reason to, until that fails.
async fn follow(cluster: &Cluster, dial: &mut impl Dial) -> Result<Infallible, Failure> {
    let state = cluster.catalog_state();
    let node = cluster.led_by().unwrap_or(NodeId::FIRST);
    let reader = Reader::connect(node, dial).await?;
    let mut last = Read::none();
    loop {
        let news = state.take_news();
        let begun = cluster.clock.now();
        let changes = reader.one(queries::CHANGES).await?;
        if last.changes != changes {
            cluster.note_ddl();
        }
        if last.is_outdated(news, &changes, begun) {
            let took = load(cluster, &reader).await?;
            last = Read { changes, at: cluster.clock.now(), took };
        }
        wait(state, &last, cluster.clock.now()).await;
    }
}

/// What was read last.
struct Read {
    changes: String,
    at: Mono,
    took: Duration,
}

impl Read {
    const fn none() -> Self {
        Self { changes: String::new(), at: Mono::ZERO, took: Duration::ZERO }
    }

    fn is_outdated(&self, news: Option<News>, changes: &str, now: Mono) -> bool {
        news.is_some() || self.changes != changes || now.saturating_since(self.at) >= AT_LEAST_EVERY
    }

    /// How long after it another is allowed, if this speaks for it.
    fn pause(&self, news: News) -> Duration {
        match news {
            News::Changed => PAUSE.max(self.took * 20),
            News::Doubt => (PAUSE * 10).max(self.took * 100),
        }
    }
}

/// Waits until the catalog is to be looked at again.
async fn wait(state: &CatalogState, last: &Read, now: Mono) {
    let since = now.saturating_since(last.at);
    let rest = |news: News| last.pause(news).saturating_sub(since);
    sleep(rest(News::Changed)).await;
    let interval = state.settings().interval;
    let news = async {
        loop {
            match state.pending() {
                Some(News::Changed) => return,
                Some(News::Doubt) => {
                    // Something stronger may come meanwhile.
                    let pause = rest(News::Doubt).saturating_sub(rest(News::Changed));
                    let _ = timeout(pause, state.arrived.notified()).await;
                    return;
                }
                None => state.arrived.notified().await,
            }
        }
    };
    let _ = timeout(interval, news).await;
}

/// Reads everything. Returns how long the server took.
async fn load(cluster: &Cluster, reader: &Reader) -> Result<Duration, Failure> {
    let state = cluster.catalog_state();
    let overrides = state.settings().overrides;
    let begun = cluster.clock.now();
    let mut facts = Facts::new((*overrides).clone());
    timeout(PATIENCE, reader.rows(&queries::everything(reader.version), |row| facts.add(row)))
        .await
        .map_err(|_| Failure::Slow)??;
    let ended = cluster.clock.now();
    let took = ended.saturating_since(begun);
    // Some hundred milliseconds if there is very much: not on the thread of the monitors.
    let snapshot = tokio::task::spawn_blocking(|| facts.settle()).await;
    let is_news = state.accept(snapshot.map_err(|_| Failure::Lost)?, overrides, ended);
    state.report.lock().took = took;
    if is_news {
        log(cluster, state);
    }
    Ok(took)
}

fn log(cluster: &Cluster, state: &CatalogState) {
    let report = state.report.lock().clone();
    let (database, version) = (cluster.database(), report.version);
    let (relations, functions) = (report.census.relations, report.census.functions);
    if version == 1 {
        tracing::info!(database, relations, functions, took = ?report.took, "catalog read");
    } else {
        tracing::debug!(database, version, relations, functions, took = ?report.took, "catalog read");
    }
    if !report.note.is_empty() {
        tracing::warn!(
            database,
            why = report.note,
            "no statement of this database may run on a replica"
        );
    }
}

impl Reader {
    async fn connect(node: NodeId, dial: &mut impl Dial) -> Result<Self, Failure> {
        let Access { stream, user, password, database } =
            dial.dial(node).await.map_err(Failure::Dial)?;
        let mut config = tokio_postgres::Config::new();
        // TLS is the stream's business.
        config.user(user).dbname(database).ssl_mode(SslMode::Disable);
        config.application_name("pglagoon catalog");
        if !password.expose().is_empty() {
            config.password(password.expose());
        }
        let connecting = config.connect_raw(Driven(stream), NoTls);
        let (client, connection) =
            timeout(PATIENCE, connecting).await.map_err(|_| Failure::Slow)??;
        let mut driver = tokio::task::JoinSet::new();
        driver.spawn(async move {
            let _ = connection.await;
        });
        let mut reader = Self { client, version: 0, _driver: driver };
        reader.version = reader.one(queries::PREPARE).await?.parse().unwrap_or(0);
        Ok(reader)
    }

    /// The one value that `sql` returns; empty if it is NULL.
    async fn one(&self, sql: &str) -> Result<String, Failure> {
        let mut value = String::new();
        let rows = self.rows(sql, |row| {
            if let Some(Some(text)) = row.first() {
                (*text).clone_into(&mut value);
            }
            Ok(())
        });
        timeout(PATIENCE, rows).await.map_err(|_| Failure::Slow)??;
        Ok(value)
    }

    /// Shows each row that the statements of `sql` return.
    async fn rows(
        &self,
        sql: &str,
        mut see: impl FnMut(&[Option<&str>]) -> Result<(), BadRow>,
    ) -> Result<(), Failure> {
        let messages = self.client.simple_query_raw(sql).await?;
        pin_mut!(messages);
        while let Some(message) = messages.next().await {
            if let SimpleQueryMessage::Row(row) = message? {
                let columns: Vec<_> = (0..row.len()).map(|column| row.get(column)).collect();
                see(&columns)?;
            }
        }
        Ok(())
    }
}
