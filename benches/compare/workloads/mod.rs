//! What is measured, section by section.

mod bulk;
mod idle;
mod instant;
mod outage;
mod transactions;
mod unique;

use std::error::Error;

use tokio::runtime::Runtime;

use crate::options::{Plan, Section};
use crate::setup::Setup;
use crate::table::Table;

/// Measures one section.
pub(crate) fn measure(
    section: Section,
    setup: &Setup,
    plan: &Plan,
    runtime: &Runtime,
) -> Result<Vec<Table>, Box<dyn Error>> {
    match section {
        Section::Select => Ok(transactions::select(setup, plan)),
        Section::Write => Ok(transactions::write(setup, plan)),
        Section::NewStatements => Ok(vec![transactions::new_statements(setup, plan)]),
        Section::LogIn => Ok(transactions::log_in(setup, plan)),
        Section::Crowd => Ok(transactions::crowd(setup, plan)),
        Section::Open => Ok(vec![transactions::open(setup, plan)]),
        Section::Bulk => Ok(bulk::measure(setup, plan)),
        Section::Idle => Ok(vec![idle::measure(setup, plan)]),
        Section::Unique => unique::measure(setup, plan),
        Section::Outage => runtime.block_on(outage::measure(setup, plan)),
        Section::Instant => instant::measure(setup, plan),
        Section::Scale => instant::scale(setup, plan),
    }
}
