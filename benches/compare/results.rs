//! What was measured, and how it is kept.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::BASELINE;
use crate::idle::Idle;
use crate::options::Protocol;
use crate::pgbench::Measured;
use crate::pooler::Kind;
use crate::series::Series;
use crate::setup::Setup;
use crate::work::Work;

/// One of the figures of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    /// Column head, with the unit.
    pub(crate) head: &'static str,
    pub(crate) digits: usize,
    pub(crate) better: Better,
    pub(crate) of: fn(&Measured) -> f64,
}

/// In which direction a figure is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// What is compared; the first one is what the bars are about.
pub(crate) const METRICS: [Metric; 4] = [
    Metric {
        name: "CPU per transaction",
        head: "CPU us/transaction",
        digits: 1,
        better: Better::Lower,
        of: |run| run.cpu,
    },
    Metric {
        name: "throughput",
        head: "transactions/s",
        digits: 0,
        better: Better::Higher,
        of: |run| run.rate,
    },
    Metric {
        name: "median latency",
        head: "p50 ms",
        digits: 2,
        better: Better::Lower,
        of: |run| run.p50,
    },
    Metric {
        name: "p99 latency",
        head: "p99 ms",
        digits: 2,
        better: Better::Lower,
        of: |run| run.p99,
    },
];

/// All rounds of one protocol with one number of clients.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) protocol: Protocol,
    pub(crate) clients: usize,
    runs: Vec<(Kind, Vec<Result<Measured, String>>)>,
}

impl Cell {
    pub(crate) fn new(protocol: Protocol, clients: usize) -> Self {
        Self { protocol, clients, runs: Vec::new() }
    }

    /// Adds what a round gave.
    pub(crate) fn add(&mut self, kind: Kind, run: Result<Measured, String>) {
        match self.runs.iter_mut().find(|(other, _)| *other == kind) {
            Some((_, runs)) => runs.push(run),
            None => self.runs.push((kind, vec![run])),
        }
    }

    /// Who took part.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.runs.iter().map(|(kind, _)| *kind)
    }

    fn runs(&self, kind: Kind) -> &[Result<Measured, String>] {
        self.runs.iter().find(|(other, _)| *other == kind).map_or(&[], |(_, runs)| runs)
    }

    /// One figure, round by round.
    pub(crate) fn series(&self, kind: Kind, of: fn(&Measured) -> f64) -> Series {
        self.runs(kind).iter().map(|run| run.as_ref().ok().map(of)).collect()
    }

    /// One figure over PgBouncer's, round by round.
    pub(crate) fn ratio(&self, kind: Kind, of: fn(&Measured) -> f64) -> Series {
        self.series(kind, of).over(&self.series(BASELINE, of))
    }

    /// What went wrong in the rounds that have no figures.
    pub(crate) fn failures(&self, kind: Kind) -> impl Iterator<Item = &str> {
        self.runs(kind).iter().filter_map(|run| run.as_ref().err().map(String::as_str))
    }
}

/// Instructions per transaction of one pooler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) protocol: Protocol,
    pub(crate) kind: Kind,
    pub(crate) work: Work,
}

/// Everything.
#[derive(Debug)]
pub(crate) struct Results {
    about: String,
    pub(crate) cells: Vec<Cell>,
    pub(crate) work: Vec<Row>,
    pub(crate) idle: Vec<(Kind, Idle)>,
}

impl Results {
    pub(crate) fn new(setup: &Setup) -> Self {
        let about = setup.describe();
        Self { about, cells: Vec::new(), work: Vec::new(), idle: Vec::new() }
    }

    /// Writes `target/bench/results.json`.
    pub(crate) fn write(&self) -> Result<PathBuf, Box<dyn Error>> {
        let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let directory = target.parent().ok_or("no target directory")?.join("bench");
        fs::create_dir_all(&directory)?;
        let path = directory.join("results.json");
        fs::write(&path, serde_json::to_string_pretty(&self.json())?)?;
        Ok(path)
    }

    fn json(&self) -> Value {
        let work = self.work.iter().map(|row| {
            json!({
                "protocol": row.protocol.to_string(),
                "pooler": row.kind.key(),
                "instructions_user": row.work.user,
                "instructions_kernel": row.work.kernel,
            })
        });
        let idle = self.idle.iter().map(|(kind, idle)| {
            json!({ "pooler": kind.key(), "bytes": idle.plain, "bytes_after_query": idle.queried })
        });
        json!({
            "about": self.about.lines().collect::<Vec<_>>(),
            "cells": self.cells.iter().map(cell_json).collect::<Vec<_>>(),
            "work": work.collect::<Vec<_>>(),
            "idle": idle.collect::<Vec<_>>(),
        })
    }
}

fn cell_json(cell: &Cell) -> Value {
    let poolers = cell.kinds().map(|kind| {
        let rounds = cell.runs(kind).iter().map(|run| match run {
            Ok(run) => json!({
                "cpu_us": run.cpu,
                "cpu_user_us": run.user,
                "transactions_per_second": run.rate,
                "p50_ms": run.p50,
                "p99_ms": run.p99,
            }),
            Err(why) => json!({ "failed": why }),
        });
        json!({ "pooler": kind.key(), "rounds": rounds.collect::<Vec<_>>() })
    });
    json!({
        "protocol": cell.protocol.to_string(),
        "clients": cell.clients,
        "poolers": poolers.collect::<Vec<_>>(),
    })
}
