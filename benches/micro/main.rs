//! What the steps of the hot path cost: in time, for whoever works on one of them; and in instructions, which another
//! machine counts alike, so that the gate can tell when one has become dearer.
//!
//! ```text
//! make micro                         times, by criterion
//! make instructions                  counts, compared with `benches/micro/baseline.json`
//! make instructions ARGS=--update    the same, and keeps them as the baseline
//! ```

#![expect(clippy::print_stdout, reason = "a program that reports")]
#![expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]

mod baseline;
#[path = "../support/client.rs"]
mod client;
mod counts;
mod steps;
#[path = "../support/synthetic.rs"]
mod synthetic;
mod whole;

use std::process::ExitCode;

use criterion::Criterion;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let says = |what: &str| arguments.iter().any(|argument| argument == what);
    if let [option, name] = &arguments[..]
        && option == counts::RUN
    {
        counts::run(name);
        ExitCode::SUCCESS
    } else if says("--instructions") {
        let keep = if says("--update") { baseline::Keep::New } else { baseline::Keep::Old };
        baseline::judge(keep).unwrap_or_else(|error| {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        })
    } else {
        time();
        ExitCode::SUCCESS
    }
}

fn time() {
    let mut criterion = Criterion::default().configure_from_args();
    for step in steps::ALL {
        let mut run = (step.prepare)();
        criterion.bench_function(step.name, |bencher| bencher.iter(&mut run));
    }
    criterion.final_summary();
}
