//! The counts that were, beside the counts that are.

use std::error::Error;
use std::fs;
use std::process::{Command, ExitCode};

use serde_json::{Value, json};

use crate::counts::{self, Counts};
use crate::whole;

/// Where the counts are kept.
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/micro/baseline.json");

/// By how much a count may grow, in percent.
const TOLERANCE: f64 = 5.0;

/// What becomes of the counts that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The new ones replace them.
    New,
    /// They stay.
    Old,
}

/// Counts, prints, and fails if something has become dearer.
pub(crate) fn judge(keep: Keep) -> Result<ExitCode, Box<dyn Error>> {
    if !counts::is_possible() {
        println!("NOT CHECKED: instructions are counted with valgrind, and there is none");
        return Ok(ExitCode::SUCCESS);
    }
    let mut counts = counts::count()?;
    whole::count(&mut counts)?;
    let baseline = read()?;
    let dearer = compare(&counts, &baseline.counts);
    if keep == Keep::New {
        write(&counts)?;
        println!("kept in {PATH}");
        return Ok(ExitCode::SUCCESS);
    }
    let (here, there) = (toolchain()?, baseline.toolchain);
    if dearer.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if here != there {
        println!("NOT JUDGED: the baseline was counted with {there}, this with {here}");
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "More than {TOLERANCE} % dearer: {}. If that is worth it, say why in the commit, which also has the new \
         counts: make instructions ARGS=--update",
        dearer.join(", ")
    );
    Ok(ExitCode::FAILURE)
}

/// Prints both; names what has grown too much or is new.
fn compare(counts: &Counts, baseline: &Counts) -> Vec<String> {
    println!("{:<34}{:>12}{:>12}", "instructions", "baseline", "now");
    let mut dearer = Vec::new();
    for (name, &count) in counts {
        let Some(&before) = baseline.get(name) else {
            println!("{name:<34}{:>12}{count:>12}", "-");
            dearer.push(format!("{name} (not in the baseline)"));
            continue;
        };
        let change = (count as f64 / before as f64 - 1.0) * 100.0;
        println!("{name:<34}{before:>12}{count:>12}  {change:+.1} %");
        if change > TOLERANCE {
            dearer.push(name.clone());
        }
    }
    dearer
}

/// What is kept.
#[derive(Debug, Default)]
struct Baseline {
    toolchain: String,
    counts: Counts,
}

fn read() -> Result<Baseline, Box<dyn Error>> {
    let Ok(text) = fs::read_to_string(PATH) else { return Ok(Baseline::default()) };
    let kept: Value = serde_json::from_str(&text)?;
    let entries = kept.get("instructions").and_then(Value::as_object).into_iter().flatten();
    Ok(Baseline {
        toolchain: kept.get("toolchain").and_then(Value::as_str).unwrap_or_default().to_owned(),
        counts: entries.filter_map(|(name, count)| Some((name.clone(), count.as_u64()?))).collect(),
    })
}

fn write(counts: &Counts) -> Result<(), Box<dyn Error>> {
    let kept = json!({ "toolchain": toolchain()?, "instructions": counts });
    fs::write(PATH, format!("{}\n", serde_json::to_string_pretty(&kept)?))?;
    Ok(())
}

/// What else a count depends on: counts made with other programs say nothing about ours.
fn toolchain() -> Result<String, Box<dyn Error>> {
    let print = |program: &str, argument: &str| -> Result<String, Box<dyn Error>> {
        let output = Command::new(program).arg(argument).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let compiler = print("rustc", "-vV")?;
    let about = |key: &str| compiler.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("?");
    let (release, host) = (about("release: "), about("host: "));
    Ok(format!("rustc {release}, {host}, {}", print("valgrind", "--version")?))
}
