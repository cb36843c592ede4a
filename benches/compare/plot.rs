//! The results as pictures: bars, as SVG.

use std::fmt::Write as _;

use crate::front::Kind;
use crate::table::Table;

/// Sizes in pixels.
const BAR: f64 = 14.0;
const GAP: f64 = 22.0;
const LEFT: f64 = 330.0;
const LENGTH: f64 = 520.0;
const TOP: f64 = 70.0;

/// A colour for each kind; they differ in lightness too.
const fn colour(kind: Kind) -> &'static str {
    match kind {
        Kind::Direct => "#b0b0b0",
        Kind::Floor => "#707070",
        Kind::SplitOff => "#0b5394",
        Kind::SplitOn => "#3fa7d6",
        Kind::PgBouncer => "#e08214",
        Kind::Pgpool => "#8c2d04",
    }
}

/// One plot for each figure, over all tables that have it: file name and content.
pub(crate) fn all(tables: &[Table]) -> Vec<(String, String)> {
    let mut names: Vec<&str> = Vec::new();
    for column in tables.iter().flat_map(|table| table.columns) {
        if !names.contains(&column.name) {
            names.push(column.name);
        }
    }
    names.into_iter().map(|name| (file_name(name), plot(name, tables))).collect()
}

fn file_name(name: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    name.chars().map(plain).chain(".svg".chars()).collect()
}

/// One bar of the plot.
struct Bar<'a> {
    table: &'a str,
    kind: Kind,
    value: f64,
    text: String,
}

fn bars<'a>(name: &str, tables: &'a [Table]) -> Vec<Bar<'a>> {
    let mut bars = Vec::new();
    for table in tables {
        let Some(index) = table.columns.iter().position(|column| column.name == name) else {
            continue;
        };
        let Some(column) = table.columns.get(index) else { continue };
        for kind in table.kinds() {
            if let Some(figure) = table.series(kind, index).summary() {
                let text = format!("{:.*}  {}", column.digits, figure.median, kind.name());
                bars.push(Bar { table: &table.title, kind, value: figure.median, text });
            }
        }
    }
    bars
}

fn plot(name: &str, tables: &[Table]) -> String {
    let bars = bars(name, tables);
    let head = tables.iter().flat_map(|table| table.columns).find(|column| column.name == name);
    let unit = head.map_or("", |column| column.head);
    // Each table by its own measure: what is compared stands in one table.
    let greatest = |table: &str| {
        bars.iter().filter(|bar| bar.table == table).map(|bar| bar.value).fold(0.0, f64::max)
    };
    let (mut body, mut y, mut table) = (String::new(), TOP, "");
    for bar in &bars {
        if bar.table != table {
            table = bar.table;
            y += GAP;
            let _ =
                writeln!(body, r#"<text x="10" y="{}">{}</text>"#, y + BAR - 3.0, escape(table));
        }
        let length = LENGTH * bar.value / greatest(table).max(f64::MIN_POSITIVE);
        let colour = colour(bar.kind);
        let _ = writeln!(
            body,
            r#"<rect x="{LEFT}" y="{y}" width="{length:.1}" height="{}" fill="{colour}"/>"#,
            BAR - 2.0
        );
        let (x, base) = (LEFT + length + 6.0, y + BAR - 4.0);
        let _ = writeln!(body, r#"<text x="{x:.1}" y="{base:.1}">{}</text>"#, escape(&bar.text));
        y += BAR;
    }
    let (width, height) = (LEFT + LENGTH + 200.0, y + GAP);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"30\" font-size=\"18\">{}, {}</text>\n{body}</svg>\n",
        escape(name),
        escape(unit)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
