//! `pglagoon demo` itself: everything started, shown, and removed again.

use std::{
    future::Future,
    io::{self, Write},
    net::Ipv4Addr,
    pin::pin,
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, interval},
};

use crate::config::Config;

use super::{
    Cluster, ClusterBuilder, Error, Front, NodeStatus, Options, Search, Step, front,
    options::Workload as Wanted,
    table::{Surface, Table},
    workload::{self, Workload},
};

/// How long the lagging replica lags, and how long it then does not.
const LAG_TURN: Duration = Duration::from_secs(15);

/// Why a pooler did not start; the demo only shows it.
type StartError = Box<dyn std::error::Error + Send + Sync>;

/// Runs the demo until `stop` completes, in front of it a pooler that `start` starts.
///
/// Messages and the live table go to `out`, which is a `surface`.
///
/// # Errors
/// When the listen address is taken, PostgreSQL is not to be had, or something does not start.
///
/// # Cancel safety
/// When the future is dropped everything is stopped and removed.
pub async fn run_until<F: Front>(
    options: Options,
    start: impl AsyncFnOnce(Config) -> Result<F, StartError>,
    stop: impl Future<Output = ()>,
    (out, surface): (&mut impl Write, Surface),
) -> Result<(), Error> {
    let mut stop = pin!(stop);
    let stage = tokio::select! {
        stage = set_up(&options, start, &mut *out) => stage?,
        () = &mut stop => return Ok(()),
    };
    let shown = tokio::select! {
        shown = stage.live(&options, out, surface) => shown,
        () = stop => Ok(()),
    };
    let _ = writeln!(out, "\nremoving everything ...");
    let Stage { cluster, front } = stage;
    front.shutdown().await;
    drop(cluster);
    match shown {
        // Whoever read this has gone, as `head` does: a way to stop like any other.
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        shown => shown,
    }
}

/// All that runs while the demo does.
struct Stage<F> {
    front: F,
    cluster: Cluster,
}

/// Starts everything, saying so.
async fn set_up<F: Front>(
    options: &Options,
    start: impl AsyncFnOnce(Config) -> Result<F, StartError>,
    out: &mut impl Write,
) -> Result<Stage<F>, Error> {
    front::check_free(options.listen)?;
    say(out, "looking for PostgreSQL ...")?;
    let mut search = Search::new();
    if let Some(major) = options.postgres {
        search = search.major(major);
    }
    let found = tokio::task::spawn_blocking(move || search.find_or_install()).await;
    let installation = found.map_err(|stopped| Error::Start {
        node: "the search for PostgreSQL".to_owned(),
        log: stopped.to_string(),
    })??;
    say(out, &format!("using the programs in {}", installation.bin().display()))?;
    let builder = ClusterBuilder::new(&installation).replicas(options.replicas);
    let began = Instant::now();
    let cluster = builder
        .start_observed(|step| {
            // A closed pipe shows itself at the next line that may fail.
            let _ = say(out, &step_line(step, options.replicas));
        })
        .await?;
    cluster.primary().execute(workload::SCHEMA).await?;
    cluster.wait_caught_up().await?;
    say(out, &format!("the cluster is up after {:.1} s", began.elapsed().as_secs_f64()))?;
    say(out, "starting pgLagoon ...")?;
    let config = front::config(&cluster, options.listen);
    let front = start(config).await.map_err(|source| Error::Front { source })?;
    Ok(Stage { front, cluster })
}

fn step_line(step: Step, replicas: usize) -> String {
    match step {
        Step::Initialize => "making a database ...".to_owned(),
        Step::Copy => format!("copying it for {replicas} replicas ..."),
        Step::StartPrimary => "starting the primary ...".to_owned(),
        Step::StartReplicas => "starting the replicas ...".to_owned(),
    }
}

fn say(out: &mut impl Write, line: &str) -> Result<(), Error> {
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(Error::io("write"))
}

impl<F: Front> Stage<F> {
    /// Shows the live table until something fails.
    async fn live(
        &self,
        options: &Options,
        out: &mut impl Write,
        surface: Surface,
    ) -> Result<(), Error> {
        let mut address = self.front.address();
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        let url = self.cluster.app_url_at(address);
        say(out, &self.welcome(&url))?;
        let workload = (options.workload == Wanted::Steady).then(|| Workload::start(&url));
        let mut table = Table::new(surface);
        let mut beat = interval(surface.period());
        let mut turn = interval(LAG_TURN);
        let mut lags = false;
        loop {
            tokio::select! {
                _ = beat.tick() => {
                    let seen = workload.as_ref().map(|workload| workload.seen.summary());
                    let footer = footer(seen, options.lag.filter(|_| lags));
                    table.show(out, self.labelled(), &footer).map_err(Error::io("write"))?;
                }
                _ = turn.tick(), if options.lag.is_some() => {
                    self.delay(options.lag.filter(|_| !lags)).await?;
                    lags = !lags;
                }
            }
        }
    }

    fn welcome(&self, url: &str) -> String {
        let http = self.front.http_address();
        let metrics = http.map_or_else(|| "off".to_owned(), |at| format!("http://{at}/metrics"));
        format!(
            "\n  DATABASE_URL={url}\n  psql '{url}'\n  metrics  {metrics}\n\n  \
             Ctrl-C stops and removes everything.\n"
        )
    }

    /// The pooler's nodes with the names that the cluster gave them.
    fn labelled(&self) -> Vec<(String, NodeStatus)> {
        let label = |status: &NodeStatus| {
            let known =
                self.cluster.nodes().iter().find(|node| node.address().to_string() == status.name);
            known.map_or_else(
                || status.name.clone(),
                |node| format!("{} {}", node.name(), status.name),
            )
        };
        self.front.nodes().into_iter().map(|status| (label(&status), status)).collect()
    }

    /// Makes the last replica apply everything so much later, or at once again.
    async fn delay(&self, lag: Option<Duration>) -> Result<(), Error> {
        let Some(replica) = self.cluster.replicas().last() else { return Ok(()) };
        let millis = lag.unwrap_or_default().as_millis();
        replica.alter("recovery_min_apply_delay", &format!("'{millis}ms'")).await
    }
}

fn footer(seen: Option<String>, lag: Option<Duration>) -> String {
    let lag = lag.map(|lag| format!("the last replica is being delayed by {lag:?}"));
    let parts: Vec<String> = seen.into_iter().chain(lag).collect();
    if parts.is_empty() { "no workload".to_owned() } else { parts.join("; ") }
}

/// Completes when this process is asked to end: Ctrl-C, SIGTERM, or a terminal that goes away.
///
/// # Errors
/// When the signals cannot be listened for.
pub fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    })
}
