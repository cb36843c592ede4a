//! What happens to replicas, while clients must not notice.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use pglagoon::demo::{Cluster, Shutdown};

use crate::fixture::eventually;

/// What clients must have done before the next thing happens.
const ENOUGH: u32 = 200;

/// Does to one replica after the other what happens to replicas, each for as long as it takes the clients to count `done`
/// up. One at a time, which is then behind the other.
pub(crate) async fn trouble(cluster: &Cluster, done: &AtomicU32) {
    let awhile = async || {
        let before = done.load(Ordering::Relaxed);
        let is_enough = || done.load(Ordering::Relaxed) >= before + ENOUGH;
        eventually("clients to go on", async || is_enough().then_some(())).await;
    };
    for replica in cluster.replicas() {
        replica.alter("recovery_min_apply_delay", "'300ms'").await.unwrap();
        awhile().await;
        replica.alter("recovery_min_apply_delay", "0").await.unwrap();
        replica.execute("SELECT pg_wal_replay_pause()").await.unwrap();
        awhile().await;
        replica.execute("SELECT pg_wal_replay_resume()").await.unwrap();
        replica.pause().unwrap();
        // It hangs for a moment. What it was reading hangs with it, perhaps of all clients, so only time can end this.
        tokio::time::sleep(Duration::from_millis(300)).await;
        replica.resume().unwrap();
        awhile().await;
        replica.restart().await.unwrap();
        awhile().await;
        replica.stop(Shutdown::Immediate).await.unwrap();
        awhile().await;
        replica.start().await.unwrap();
        replica.kill().await.unwrap();
        replica.start().await.unwrap();
        cluster.wait_streaming(2).await.unwrap();
    }
}
