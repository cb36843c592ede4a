//! The results as a person reads them.

use std::fmt::Write as _;

use crate::BASELINE;
use crate::pooler::Kind;
use crate::results::{Better, Cell, METRICS, Metric, Results};
use crate::series::Summary;

/// Who is judged.
const OURS: [Kind; 2] = [Kind::SplitOff, Kind::SplitOn];

/// Number of clients of the cells that the bars are about.
const BAR_CLIENTS: usize = 32;

/// A bound on CPU per transaction over PgBouncer's, and the one to be reached in the end.
const BARS: [(Kind, f64, f64); 2] = [(Kind::SplitOff, 1.0, 0.85), (Kind::SplitOn, 1.3, 1.0)];

/// The same for the bytes of an idle client.
const IDLE_BARS: (f64, f64) = (3.0 * 1024.0, 2.0 * 1024.0);

/// Tables, verdicts, and where we are behind.
pub(crate) fn text(results: &Results) -> String {
    let mut out = String::new();
    if !results.cells.is_empty() {
        out.push_str(
            "\nMedians of the rounds [lowest .. highest]; x is the ratio to PgBouncer, median of the rounds.\n",
        );
    }
    for cell in &results.cells {
        write_cell(&mut out, cell);
    }
    write_work(&mut out, results);
    write_idle(&mut out, results);
    write_bars(&mut out, results);
    write_behind(&mut out, results);
    out
}

fn write_cell(out: &mut String, cell: &Cell) {
    let _ = write!(out, "\n{:<24}", format!("{}, {} clients", cell.protocol, cell.clients));
    for metric in METRICS {
        let _ = write!(out, "{:<34}", metric.head);
    }
    let _ = writeln!(out, "user us");
    for kind in cell.kinds() {
        let _ = write!(out, "  {:<22}", kind.name());
        for metric in METRICS {
            let figure = cell.series(kind, metric.of).summary();
            let ratio = cell.ratio(kind, metric.of).summary().filter(|_| kind != BASELINE);
            let text = figure.map(|figure| spread(figure, metric.digits));
            let ratio = ratio.map(|ratio| format!(" x{:.2}", ratio.median)).unwrap_or_default();
            let _ = write!(out, "{:<34}", text.unwrap_or_else(|| "-".to_owned()) + &ratio);
        }
        let user = cell.series(kind, |run| run.user).summary();
        let _ = writeln!(out, "{:.1}", user.map_or(f64::NAN, |user| user.median));
        for failure in cell.failures(kind) {
            let _ = writeln!(out, "    FAILED: {failure}");
        }
    }
}

fn spread(figure: Summary, digits: usize) -> String {
    let Summary { median, low, high } = figure;
    format!("{median:.digits$} [{low:.digits$} .. {high:.digits$}]")
}

fn write_work(out: &mut String, results: &Results) {
    if results.work.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "\nInstructions per transaction, {} clients (depends on load, less than time does)    user    kernel",
        crate::WORK_CLIENTS
    );
    for row in &results.work {
        let name = format!("{}, {}", row.protocol, row.kind.name());
        let _ = writeln!(out, "  {name:<62} {:>8.0} {:>9.0}", row.work.user, row.work.kernel);
    }
}

fn write_idle(out: &mut String, results: &Results) {
    if results.idle.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nResident bytes per idle client    logged in    after a query");
    for (kind, idle) in &results.idle {
        let _ = writeln!(out, "  {:<26} {:>14.0} {:>16.0}", kind.name(), idle.plain, idle.queried);
    }
}

/// The bounds that the project has set itself.
fn write_bars(out: &mut String, results: &Results) {
    out.push_str("\nBars:\n");
    let mut verdict = |what: &str, value: f64, first: f64, last: f64| {
        let word = if value <= last {
            "reached, the final bar too"
        } else if value <= first {
            "reached; the final bar is not"
        } else {
            "NOT REACHED"
        };
        let _ = writeln!(out, "  {what}: {value:.2} (bar {first:.2}, final {last:.2}) {word}");
    };
    let [cpu, ..] = METRICS;
    for (kind, first, last) in BARS {
        for cell in results.cells.iter().filter(|cell| cell.clients == BAR_CLIENTS) {
            if let Some(ratio) = cell.ratio(kind, cpu.of).summary() {
                let what = format!("{}, {}: CPU over PgBouncer's", kind.name(), cell.protocol);
                verdict(&what, ratio.median, first, last);
            }
        }
    }
    for (kind, idle) in results.idle.iter().filter(|(kind, _)| OURS.contains(kind)) {
        let what = format!("{}: KiB per idle client", kind.name());
        let worst = idle.plain.max(idle.queried) / 1024.0;
        verdict(&what, worst, IDLE_BARS.0 / 1024.0, IDLE_BARS.1 / 1024.0);
    }
}

/// Every figure in which PgBouncer is better, said plainly.
fn write_behind(out: &mut String, results: &Results) {
    let mut behind = String::new();
    for cell in &results.cells {
        for kind in OURS {
            for metric in METRICS {
                write_if_behind(&mut behind, cell, kind, metric);
            }
        }
    }
    let baseline = results.idle.iter().find(|(kind, _)| *kind == BASELINE).map(|(_, idle)| *idle);
    for (kind, idle) in results.idle.iter().filter(|(kind, _)| OURS.contains(kind)) {
        let Some(theirs) = baseline else { break };
        for (what, ours, theirs) in
            [("plain", idle.plain, theirs.plain), ("after a query", idle.queried, theirs.queried)]
        {
            if ours > theirs {
                let name = kind.name();
                let _ = writeln!(
                    behind,
                    "  {name}: memory per idle client, {what}: x{:.2}",
                    ours / theirs
                );
            }
        }
    }
    let is_compared = results.cells.iter().any(|cell| cell.kinds().any(|kind| kind == BASELINE));
    if behind.is_empty() && (is_compared || baseline.is_some()) {
        out.push_str("\npgLagoon is behind PgBouncer nowhere.\n");
    } else if !behind.is_empty() {
        let _ = write!(out, "\nWhere pgLagoon is behind PgBouncer:\n{behind}");
    }
}

fn write_if_behind(out: &mut String, cell: &Cell, kind: Kind, metric: Metric) {
    let Some(ratio) = cell.ratio(kind, metric.of).summary() else { return };
    // From here on more is worse.
    let (median, best) = match metric.better {
        Better::Lower => (ratio.median, ratio.low),
        Better::Higher => (1.0 / ratio.median, 1.0 / ratio.high),
    };
    if median <= 1.0 {
        return;
    }
    let certainty = if best > 1.0 { "in every round" } else { "not in every round" };
    let _ = writeln!(
        out,
        "  {}, {} clients, {}: {} x{:.2}, {certainty}",
        cell.protocol,
        cell.clients,
        kind.name(),
        metric.name,
        ratio.median
    );
}
