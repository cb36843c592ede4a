//! What the demo was asked for.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

/// The options of `pglagoon demo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where clients connect; port 0 picks a free one.
    pub listen: SocketAddr,
    /// How many streaming replicas there are.
    pub replicas: usize,
    /// How far the last replica falls behind, every other quarter of a minute; `None` leaves it alone.
    pub lag: Option<Duration>,
    /// Whether the demo brings clients of its own.
    pub workload: Workload,
    /// The major version of PostgreSQL; `None` takes what is there.
    pub postgres: Option<u16>,
}

/// Whether the demo brings clients of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Some two hundred reads and twenty writes a second.
    Steady,
    /// None: only whoever connects.
    None,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 6432)),
            replicas: 2,
            lag: None,
            workload: Workload::Steady,
            postgres: None,
        }
    }
}
