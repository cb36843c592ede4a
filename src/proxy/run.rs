//! The process: start, serve until a signal, stop.

use std::io;

use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::proxy::{Proxy, StartError};

/// pgLagoon cannot run.
#[derive(Debug, Error)]
pub enum RunError {
    /// The control thread's runtime could not be made, or signals cannot be received.
    #[error("cannot start")]
    Runtime(#[source] io::Error),
    /// It could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Serves until SIGTERM (transactions may finish) or SIGINT (at once). Blocks: the calling thread becomes the
/// control thread.
///
/// # Errors
///
/// [`RunError`], before anything is served.
pub fn run(config: Config) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Runtime)?;
    let proxy = Proxy::start(config)?;
    for address in proxy.addresses() {
        tracing::info!(%address, "listening");
    }
    if let Some(address) = proxy.http_address() {
        tracing::info!(%address, "serving metrics and health");
    }
    tokio::select! {
        _ = terminate.recv() => {
            tracing::info!("SIGTERM: letting transactions finish");
            tokio::select! {
                () = proxy.drain() => {}
                _ = interrupt.recv() => tracing::info!("SIGINT: stopping at once"),
            }
        }
        _ = interrupt.recv() => {
            tracing::info!("SIGINT: stopping at once");
            proxy.stop_now().await;
        }
    }
    tracing::info!("stopped");
    Ok(())
}
