//! The process: start, serve until a signal, stop.

use std::error::Error;
use std::io;

use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::proxy::{Proxy, StartError, files};

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
/// control thread. At SIGHUP, and when an operator says RELOAD, the configuration is `load`ed again; one that cannot be
/// used changes nothing, and its problems are logged.
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
    files::raise_limit(config.listen.max_client_connections);
    let mut proxy = Proxy::start(config)?;
    announce(&proxy);
    loop {
        tokio::select! {
            _ = hangup.recv() => {
                tracing::info!("SIGHUP: reading the configuration again");
                let _ = reload(&mut proxy, load());
            }
            Some(operator) = proxy.reloads.recv() => {
                let _ = operator.send(reload(&mut proxy, load()));
            }
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

fn announce(proxy: &Proxy) {
    tracing::info!(workers = proxy.workers.len(), "started");
    for address in proxy.addresses() {
        tracing::info!(%address, "listening");
    }
    if let Some(address) = proxy.http_address() {
        tracing::info!(%address, "serving metrics and health");
    }
}

/// Goes over to the configuration that was `loaded`, and logs what has become of that.
///
/// # Errors
///
/// What is wrong with it, a line each. Nothing has changed then.
fn reload<E: Error>(proxy: &mut Proxy, loaded: Result<Config, E>) -> Result<(), Vec<String>> {
    let outcome = match loaded {
        Ok(config) => proxy.reload(config).map_err(|error| lines(&error)),
        Err(error) => Err(lines(&error)),
    };
    match &outcome {
        Ok(()) => tracing::info!("the configuration has been reloaded"),
        Err(problems) => {
            tracing::error!("the configuration stays as it was");
            for problem in problems {
                tracing::error!("{problem}");
            }
        }
    }
    outcome
}

/// An error, and what it comes from behind it.
fn lines(error: &dyn Error) -> Vec<String> {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    let texts: Vec<_> =
        std::iter::once(error.to_string()).chain(causes.map(ToString::to_string)).collect();
    texts.iter().flat_map(|text| text.lines()).map(|line| line.trim().to_owned()).collect()
}
