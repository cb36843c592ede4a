//! The results as a person reads them.

use std::fmt::Write as _;

use crate::BASELINE;
use crate::front::Kind;
use crate::series::Summary;
use crate::table::{Better, Table};

/// Who is judged.
const OURS: [Kind; 2] = [Kind::SplitOff, Kind::SplitOn];

/// Width of a column of figures.
const WIDTH: usize = 21;

/// Tables, and where we are behind.
pub(crate) fn text(tables: &[Table]) -> String {
    let mut out = String::from(
        "\nMedians of the rounds; [lowest..highest] where there are several; x is the ratio to PgBouncer, median of the \
         rounds' ratios.\n",
    );
    for table in tables {
        write_table(&mut out, table);
    }
    write_behind(&mut out, tables);
    out
}

/// One table.
pub(crate) fn write_table(out: &mut String, table: &Table) {
    let _ = write!(out, "\n{}\n{:<22}", table.title, "");
    for column in table.columns {
        let _ = write!(out, "{:>WIDTH$}", column.head);
    }
    out.push('\n');
    for kind in table.kinds() {
        let _ = write!(out, "  {:<20}", kind.name());
        for (index, column) in table.columns.iter().enumerate() {
            let figure = table.series(kind, index).summary();
            let text = figure.map(|figure| spread(figure, column.digits));
            let ratio = table.ratio(kind, index).summary().filter(|_| kind != BASELINE);
            let ratio = ratio.filter(|_| column.better != Better::Neither);
            let ratio = ratio.map(|ratio| format!(" x{:.2}", ratio.median)).unwrap_or_default();
            let _ = write!(out, "{:>WIDTH$}", text.unwrap_or_else(|| "-".to_owned()) + &ratio);
        }
        out.push('\n');
        for failure in table.failures(kind) {
            let _ = writeln!(out, "    FAILED: {failure}");
        }
    }
    for note in &table.notes {
        let _ = writeln!(out, "  {note}");
    }
}

fn spread(figure: Summary, digits: usize) -> String {
    let Summary { median, low, high } = figure;
    if low < high {
        format!("{median:.digits$}[{low:.digits$}..{high:.digits$}]")
    } else {
        format!("{median:.digits$}")
    }
}

/// Every figure in which PgBouncer is better, said plainly.
fn write_behind(out: &mut String, tables: &[Table]) {
    let mut behind = String::new();
    let mut is_compared = false;
    for table in tables {
        for kind in OURS {
            for index in 0..table.columns.len() {
                is_compared |= write_if_behind(&mut behind, table, kind, index).is_some();
            }
        }
    }
    if !behind.is_empty() {
        let _ = write!(out, "\nWhere pgLagoon is behind PgBouncer:\n{behind}");
    } else if is_compared {
        out.push_str("\npgLagoon is behind PgBouncer nowhere.\n");
    }
}

/// Nothing if the two cannot be compared.
fn write_if_behind(out: &mut String, table: &Table, kind: Kind, index: usize) -> Option<()> {
    let column = table.columns.get(index)?;
    let ratio = table.ratio(kind, index).summary()?;
    // From here on more is worse.
    let (median, best) = match column.better {
        Better::Lower => (ratio.median, ratio.low),
        Better::Higher => (1.0 / ratio.median, 1.0 / ratio.high),
        Better::Neither => return None,
    };
    if median > 1.0 {
        let certainty = if best > 1.0 { "in every round" } else { "not in every round" };
        let _ = writeln!(
            out,
            "  {}, {}: {} x{:.2}, {certainty}",
            table.title,
            kind.name(),
            column.name,
            ratio.median
        );
    }
    Some(())
}
