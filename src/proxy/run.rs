//! The process: start, serve until a signal, stop.

use std::error::Error;
use std::io;

use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::proxy::{Proxy, StartError};

/// pgLagoon cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The control thread's runtime could not be made, or signals cannot be received.
    #[error("cannot start")]
    Runtime(#[source] io::Error),
    /// It could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Serves until SIGTERM (transactions may finish) or SIGINT (at once). Blocks: the calling thread becomes the
/// control thread. At SIGHUP the configuration is `load`ed again; one that cannot be used changes nothing, and its
/// problems are logged.
///
/// # Errors
///
/// [`RunError`], before anything is served.
pub fn run<E: Error>(
    config: Config,
    load: impl FnMut() -> Result<Config, E>,
) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    runtime.block_on(serve(config, load))
}

async fn serve<E: Error>(
    config: Config,
    mut load: impl FnMut() -> Result<Config, E>,
) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Runtime)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(RunError::Runtime)?;
    let mut proxy = Proxy::start(config)?;
    for address in proxy.addresses() {
        tracing::info!(%address, "listening");
    }
    if let Some(address) = proxy.http_address() {
        tracing::info!(%address, "serving metrics and health");
    }
    loop {
        tokio::select! {
            _ = hangup.recv() => reload(&mut proxy, load()),
            _ = terminate.recv() => {
                tracing::info!("SIGTERM: letting transactions finish");
                tokio::select! {
                    () = proxy.drain() => {}
                    _ = interrupt.recv() => tracing::info!("SIGINT: stopping at once"),
                }
                break;
            }
            _ = interrupt.recv() => {
                tracing::info!("SIGINT: stopping at once");
                proxy.stop_now().await;
                break;
            }
        }
    }
    tracing::info!("stopped");
    Ok(())
}

fn reload<E: Error>(proxy: &mut Proxy, loaded: Result<Config, E>) {
    let config = match loaded {
        Ok(config) => config,
        Err(error) => {
            tracing::error!("SIGHUP: the configuration stays as it was");
            // One line each, and what a problem comes from behind it.
            let causes = std::iter::successors(error.source(), |&cause| cause.source());
            let texts = std::iter::once(error.to_string()).chain(causes.map(ToString::to_string));
            for line in texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()) {
                tracing::error!("{}", line.trim());
            }
            return;
        }
    };
    match proxy.reload(config) {
        Ok(()) => tracing::info!("SIGHUP: the configuration has been reloaded"),
        Err(error) => tracing::error!(
            %error,
            cause = error.source().map(tracing::field::display),
            "SIGHUP: the configuration stays as it was"
        ),
    }
}
