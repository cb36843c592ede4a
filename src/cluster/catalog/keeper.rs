//! The task that reads the catalog.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::reader::{Failure, Reader};
use super::{CatalogState, News};
use crate::clock::Mono;
use crate::cluster::health::back_off;
use crate::cluster::{Cluster, NodeId, Role};
use crate::config::Secret;
use crate::net::Stream;
use crate::sql::{Facts, Trees};

/// The longest back-off when the catalog cannot be read.
const LONGEST: Duration = Duration::from_secs(5);
/// How long the primary may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);
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

/// Keeps the catalog of `cluster` as it is on its primary, for ever. To be spawned on the control thread's runtime.
pub async fn keep(cluster: Arc<Cluster>, mut dial: impl Dial) {
    let mut failures = 0_u32;
    let mut defaults = Defaults::default();
    loop {
        let loads = cluster.catalog_state().report.lock().loads;
        let term = cluster.term();
        let failure = tokio::select! {
            Err(failure) = follow(&cluster, &mut dial, &mut defaults) => failure,
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
async fn follow(
    cluster: &Cluster,
    dial: &mut impl Dial,
    defaults: &mut Defaults,
) -> Result<Infallible, Failure> {
    let state = cluster.catalog_state();
    let node = cluster.led_by().unwrap_or(NodeId::FIRST);
    let reader = Reader::connect(dial.dial(node).await.map_err(Failure::Dial)?).await?;
    let mut trees = Trees::default();
    let mut last = Read::none();
    loop {
        let news = state.take_news();
        let begun = cluster.clock.now();
        let read = reader.changes().await;
        if let (Err(_), Some(news)) = (&read, news) {
            // Nobody has looked at them.
            state.tell(news);
        }
        let [changes, found, lazy, delay] = read?;
        cluster.flushing.note(&lazy, &delay);
        renew(cluster, defaults.look(found, news, cluster.clock.now()));
        if last.changes != changes {
            cluster.note_ddl();
        }
        if last.is_outdated(news, &changes, begun) {
            let took = load(cluster, &reader, &mut trees).await?;
            last = Read { changes, at: cluster.clock.now(), took };
        }
        wait(state, &last, cluster.clock.now()).await;
    }
}

/// What sessions begin with: ALTER ROLE and ALTER DATABASE ... SET. Servers that were opened before that changes do not
/// have it.
#[derive(Default)]
struct Defaults {
    known: Known,
    /// When replicas are renewed once more.
    again: Option<Mono>,
}

/// What is known of the defaults.
#[derive(Default)]
enum Known {
    /// Nothing yet.
    #[default]
    Nothing,
    /// What has been found first. A client may have changed it just before, after servers had been opened.
    First(String),
    /// What has been found last.
    Last(String),
}

/// Whose servers are to be opened anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Renewal {
    Nobodys,
    Replicas,
    Everybodys,
}

/// By then a replica that clients have got servers of has replayed the change.
const REPLAYED: Duration = Duration::from_secs(30);

impl Defaults {
    /// Takes what has been found at `now`, after this news.
    fn look(&mut self, found: String, news: Option<News>, now: Mono) -> Renewal {
        let is_news = news == Some(News::Changed);
        let (is_other, known) = match &self.known {
            Known::Nothing => (is_news, Known::First(found)),
            Known::First(known) => (is_news || *known != found, Known::Last(found)),
            Known::Last(known) => (*known != found, Known::Last(found)),
        };
        self.known = known;
        if is_other {
            self.again = Some(now.plus(REPLAYED));
            Renewal::Everybodys
        } else if self.again.is_some_and(|at| at <= now) {
            self.again = None;
            Renewal::Replicas
        } else {
            Renewal::Nobodys
        }
    }
}

fn renew(cluster: &Cluster, renewal: Renewal) {
    match renewal {
        Renewal::Nobodys => {}
        Renewal::Replicas => cluster.renew_servers(|role| role == Role::Replica),
        Renewal::Everybodys => cluster.renew_servers(|_| true),
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

/// Reads everything, but for `trees` that are known. Returns how long the server took.
async fn load(cluster: &Cluster, reader: &Reader, trees: &mut Trees) -> Result<Duration, Failure> {
    let state = cluster.catalog_state();
    let overrides = state.settings().overrides;
    let begun = cluster.clock.now();
    let mut facts = Facts::new((*overrides).clone(), std::mem::take(trees));
    reader.read(&mut facts).await?;
    cluster.flushing.note_functions(&reader.lazy_functions().await?);
    let ended = cluster.clock.now();
    let took = ended.saturating_since(begun);
    // Some hundred milliseconds if there is very much: not on the thread of the monitors.
    let settled = tokio::task::spawn_blocking(|| facts.settle()).await;
    let (snapshot, known) = settled.map_err(|_| Failure::Lost)?;
    *trees = known;
    let is_news = state.accept(snapshot, overrides, ended);
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

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGED: Option<News> = Some(News::Changed);

    /// What becomes of the servers when one after the other is found, at these seconds.
    fn renewals(looks: &[(u64, &str, Option<News>)]) -> Vec<Renewal> {
        let mut defaults = Defaults::default();
        let at = |seconds| Mono::ZERO.plus(Duration::from_secs(seconds));
        looks
            .iter()
            .map(|(seconds, found, news)| defaults.look((*found).to_owned(), *news, at(*seconds)))
            .collect()
    }

    #[test]
    fn servers_are_renewed_when_defaults_change_and_those_of_replicas_once_more() {
        use Renewal::{Everybodys, Nobodys, Replicas};
        assert_eq!(
            renewals(&[
                (0, "a", None),
                (1, "a", None),
                (2, "b", None),
                (31, "b", CHANGED),
                (32, "b", None),
                (33, "b", None)
            ]),
            [Nobodys, Nobodys, Everybodys, Nobodys, Replicas, Nobodys]
        );
    }

    #[test]
    fn what_is_found_first_may_have_been_changed_after_servers_were_opened() {
        use Renewal::{Everybodys, Nobodys};
        assert_eq!(
            renewals(&[(0, "a", CHANGED), (1, "a", None), (2, "a", CHANGED)]),
            [Everybodys, Nobodys, Nobodys]
        );
        // It was there before we heard of it.
        assert_eq!(
            renewals(&[(0, "a", Some(News::Doubt)), (1, "a", CHANGED), (2, "a", CHANGED)]),
            [Nobodys, Everybodys, Nobodys]
        );
    }
}
