//! The live table: what every node is and does, drawn in place on a terminal, as plain lines elsewhere.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write},
    time::Duration,
};

use tokio::time::Instant;

use super::NodeStatus;

/// What the demo writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// A terminal: the table is drawn over the last one.
    Terminal,
    /// A file or a pipe: one line for each node, now and then.
    Plain,
}

impl Surface {
    /// What this process's standard output is.
    pub fn of_stdout() -> Self {
        if io::stdout().is_terminal() { Self::Terminal } else { Self::Plain }
    }

    /// How often something new is shown.
    pub(super) const fn period(self) -> Duration {
        match self {
            Self::Terminal => Duration::from_secs(1),
            Self::Plain => Duration::from_secs(5),
        }
    }
}

/// The table and what it needs to turn counts into rates.
#[derive(Debug)]
pub(super) struct Table {
    surface: Surface,
    last: Option<(Instant, Vec<NodeStatus>)>,
    drawn_lines: usize,
}

impl Table {
    pub(super) fn new(surface: Surface) -> Self {
        Self { surface, last: None, drawn_lines: 0 }
    }

    /// Shows the nodes, each with a label of its own, and a line below them.
    ///
    /// # Errors
    /// When nobody reads what is written.
    pub(super) fn show(
        &mut self,
        out: &mut impl Write,
        nodes: Vec<(String, NodeStatus)>,
        footer: &str,
    ) -> io::Result<()> {
        let now = Instant::now();
        let text = self.render(now, &nodes, footer);
        match self.surface {
            Surface::Plain => out.write_all(text.as_bytes())?,
            Surface::Terminal => {
                if self.drawn_lines > 0 {
                    // Up to the first line of the last table, and clear from there.
                    write!(out, "\x1b[{}F\x1b[J", self.drawn_lines)?;
                }
                // Without wrapping, so that a narrow terminal has as many lines as were written.
                write!(out, "\x1b[?7l{text}\x1b[?7h")?;
            }
        }
        self.drawn_lines = text.lines().count();
        self.last = Some((now, nodes.into_iter().map(|(_, node)| node).collect()));
        out.flush()
    }

    fn render(&self, now: Instant, nodes: &[(String, NodeStatus)], footer: &str) -> String {
        let mut text = String::new();
        if self.surface == Surface::Terminal {
            let _ = writeln!(
                text,
                " {:<24} {:<7} {:<13} {:>7} {:>7} {:>8} {:>6}",
                "node", "role", "state", "lag", "reads/s", "writes/s", "pooled"
            );
        }
        for (label, node) in nodes {
            let (reads, writes) = self.rates(now, node);
            let NodeStatus { role, state, connections, .. } = node;
            let lag = node.lag.map_or_else(|| "-".to_owned(), human);
            let _ = match self.surface {
                Surface::Terminal => writeln!(
                    text,
                    " {label:<24} {role:<7} {state:<13} {lag:>7} {reads:>7} {writes:>8} {connections:>6}"
                ),
                Surface::Plain => writeln!(
                    text,
                    "node={label:?} role={role} state={state} lag={lag:?} reads/s={reads} \
                     writes/s={writes} pooled={connections}"
                ),
            };
        }
        match self.surface {
            Surface::Terminal => drop(writeln!(text, "\n {footer}")),
            Surface::Plain => drop(writeln!(text, "{footer}")),
        }
        text
    }

    /// Reads and writes per second since the table was last shown.
    fn rates(&self, now: Instant, node: &NodeStatus) -> (u64, u64) {
        let Some((at, nodes)) = &self.last else { return (0, 0) };
        let Some(before) = nodes.iter().find(|before| before.name == node.name) else {
            return (0, 0);
        };
        let millis = u64::try_from((now - *at).as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = |new: u64, old: u64| new.saturating_sub(old).saturating_mul(1000) / millis;
        (rate(node.reads, before.reads), rate(node.writes, before.writes))
    }
}

/// A duration in three digits or so.
fn human(duration: Duration) -> String {
    match duration.as_millis() {
        0 => "< 1 ms".to_owned(),
        millis @ 1..1000 => format!("{millis} ms"),
        _ => format!("{:.1} s", duration.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(reads: u64) -> (String, NodeStatus) {
        let status = NodeStatus {
            name: "127.0.0.1:15432".to_owned(),
            role: "replica",
            state: "up",
            lag: Some(Duration::from_millis(1500)),
            reads,
            writes: 0,
            connections: 3,
        };
        ("replica1".to_owned(), status)
    }

    #[tokio::test(start_paused = true)]
    async fn counts_become_rates_and_a_terminal_is_drawn_in_place() {
        let mut table = Table::new(Surface::Terminal);
        let mut first = Vec::new();
        table.show(&mut first, vec![node(100)], "footer").unwrap();
        let first = String::from_utf8(first).unwrap();
        assert!(first.lines().all(|line| line.trim_matches('\x1b').len() < 85), "{first}");
        tokio::time::advance(Duration::from_secs(2)).await;
        let mut second = Vec::new();
        table.show(&mut second, vec![node(500)], "footer").unwrap();
        let second = String::from_utf8(second).unwrap();
        assert!(second.starts_with("\x1b[4F\x1b[J"), "{second:?}");
        let row: Vec<&str> = second.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["replica1", "replica", "up", "1.5", "s", "200", "0", "3"]);
    }

    #[tokio::test]
    async fn a_pipe_gets_plain_lines() {
        let mut out = Vec::new();
        Table::new(Surface::Plain).show(&mut out, vec![node(1)], "footer").unwrap();
        let expected = "node=\"replica1\" role=replica state=up lag=\"1.5 s\" reads/s=0 writes/s=0 pooled=3\nfooter\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
