//! The tasks that poll the nodes of a cluster, on the control thread.
//!
//! One task per node polls and rests in turn. How long it rests depends on who wants to know: a millisecond
//! while a read waits for a replica to catch up, a few while reads come in, a quarter of a second otherwise. All who
//! wait share the same polls. One more task ends the waits whose deadline has passed.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};

use super::health::{Fault, State, back_off};
use super::node::{Node, Role};
use super::probe::{PollError, Reading, Source};
use super::report::reason;
use super::tracker::{Poll, Transition};
use super::{Cluster, NodeId, WAITING_PAUSE};
use crate::clock::Mono;

/// The longest back-off while there is no primary: clients wait for one.
const LONGEST_WITHOUT_PRIMARY: Duration = Duration::from_millis(100);

/// The longest back-off for a replica.
const LONGEST_FOR_REPLICA: Duration = Duration::from_secs(5);

/// A primary that takes longer to answer may hang, and another be promoted.
const SUSPICIOUS: Duration = Duration::from_millis(100);

/// Starts to monitor `cluster`; `sources` in the order of its nodes. The tasks end when the set is dropped.
///
/// Must be called on the runtime that is to run the tasks.
pub fn spawn<S: Source>(
    cluster: &Arc<Cluster>,
    sources: impl IntoIterator<Item = S>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for (node, source) in cluster.nodes().iter().zip(sources) {
        tasks.spawn(watch(Arc::clone(cluster), node.id(), source));
    }
    tasks.spawn(expire(Arc::clone(cluster)));
    tasks
}

/// Polls one node for ever.
async fn watch(cluster: Arc<Cluster>, id: NodeId, mut source: impl Source) {
    let Some(node) = cluster.node(id) else { return };
    let mut failures = 0_u32;
    loop {
        let started_at = cluster.clock.now();
        let failed = match ask(&cluster, node, &mut source).await {
            Ok(reading) => {
                failures = 0;
                record(&cluster, node, started_at, Ok(reading));
                rest(&cluster, node, &mut source, started_at).await.err()
            }
            Err(error) => Some(error),
        };
        if let Some(error) = failed {
            failures += 1;
            record(&cluster, node, started_at, Err(error));
            recover(&cluster, failures).await;
            // What was doubted before it was tried again is known by then.
            let _ = node.doubted.notified().now_or_never();
        }
    }
}

async fn ask(
    cluster: &Cluster,
    node: &Node,
    source: &mut impl Source,
) -> Result<Reading, PollError> {
    let limit = cluster.tracker.lock().routing().poll_timeout;
    let suspicion = async {
        sleep(SUSPICIOUS).await;
        if node.role() == Role::Primary {
            cluster.suspicion.store(true, Ordering::Relaxed);
            cluster.kick();
        }
        pending().await
    };
    let answer = tokio::select! {
        answer = timeout(limit, source.poll()) => answer,
        never = suspicion => never,
    };
    if node.role() == Role::Primary {
        cluster.suspicion.store(false, Ordering::Relaxed);
    }
    match answer {
        Ok(answer) => answer,
        Err(_) => Err(PollError::new(Fault::Timeout, format_args!("no answer within {limit:?}"))),
    }
}

fn record(cluster: &Cluster, node: &Node, started_at: Mono, outcome: Result<Reading, PollError>) {
    let ended_at = cluster.clock.now();
    let error = outcome.as_ref().err().map(ToString::to_string);
    let is_good = outcome.is_ok();
    let (primary, term) = (cluster.led_by(), cluster.term());
    let transition = cluster.record(node.id(), Poll { started_at, ended_at, outcome });
    if let Some(transition) = transition {
        log(cluster, node, transition, error.as_deref());
    }
    if cluster.led_by() != primary || cluster.term() != term {
        log_primary(cluster);
        // What every node is now depends on who the primary is.
        cluster.kick();
    }
    let is_news = || cluster.has_waiters() || cluster.view().freshest() == Mono::ZERO;
    if is_good && node.role() == Role::Primary && is_news() {
        // Replicas usually have replayed by now what this sample says; and one that could not be compared with
        // anything before can be now.
        for replica in cluster.view().replicas() {
            replica.poll_now.notify_one();
        }
    }
}

/// Tells of a change of the primary.
fn log_primary(cluster: &Cluster) {
    let database = cluster.database();
    if let Some(node) = cluster.led_by().and_then(|id| cluster.node(id)) {
        let (node, timeline) = (node.name(), cluster.timeline());
        tracing::warn!(
            database,
            node,
            timeline,
            "this node is the primary now: all that was connected to the one before is closed"
        );
    } else {
        tracing::warn!(
            database,
            "no node is fit to be the primary: what needs one waits for up to query_wait_timeout"
        );
    }
}

/// Waits until the node is to be asked again.
///
/// # Errors
///
/// The connection was lost meanwhile: what the node answered on it holds no longer.
async fn rest(
    cluster: &Cluster,
    node: &Node,
    source: &mut impl Source,
    started_at: Mono,
) -> Result<(), PollError> {
    let clock = cluster.clock;
    let next = clock.instant(started_at.plus(cluster.pause(clock.now())));
    tokio::select! {
        () = sleep_until(next) => {}
        () = kicked(cluster, node, started_at) => {}
        () = node.doubted.notified() => {
            return Err(PollError::new(Fault::Unreachable, "a client could not be connected"));
        }
        error = source.lost() => return Err(error),
    }
    Ok(())
}

/// Waits until someone wants a poll now. A primary is asked once a millisecond at most, however many want it; a
/// replica is asked again only when the primary's position is news to it.
async fn kicked(cluster: &Cluster, node: &Node, started_at: Mono) {
    node.poll_now.notified().await;
    if node.role() == Role::Primary {
        sleep_until(cluster.clock.instant(started_at.plus(WAITING_PAUSE))).await;
    }
}

/// Waits before a node that failed is tried again. The first attempt after it was well is made soon, because
/// most connections are lost for a moment only.
async fn recover(cluster: &Cluster, failures: u32) {
    let is_led = cluster.tracker.lock().is_led();
    let longest = if is_led { LONGEST_FOR_REPLICA } else { LONGEST_WITHOUT_PRIMARY };
    let wait = back_off(failures, longest, rand::random());
    sleep_until(cluster.clock.instant(cluster.clock.now().plus(wait))).await;
}

/// Ends waits at their deadlines.
async fn expire(cluster: Arc<Cluster>) {
    loop {
        match cluster.next_deadline() {
            None => cluster.deadline_added.notified().await,
            Some(deadline) => tokio::select! {
                () = sleep_until(cluster.clock.instant(deadline)) => cluster.end_waits(),
                () = cluster.deadline_added.notified() => {}
            },
        }
    }
}

fn log(cluster: &Cluster, node: &Node, transition: Transition, error: Option<&str>) {
    let (database, role) = (cluster.database(), node.role().as_str());
    let (from, to) = (transition.from.as_str(), transition.to.as_str());
    let node = node.name();
    let reason = reason(transition.to, error);
    match transition.to {
        State::Up | State::Unknown => {
            tracing::info!(database, node, role, from, to, reason, "node changed");
        }
        State::Lagging | State::Down(_) | State::Misconfigured(_) => {
            tracing::warn!(database, node, role, from, to, reason, "node changed");
        }
    }
}

#[cfg(test)]
mod tests;
