//! The `pglagoon` command line.

fn main() {}
