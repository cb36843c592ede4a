//! Scripted peers: a fake PostgreSQL and a fake client, both played by the test, with the whole pooler between.
//!
//! ```text
//!   Client  <-- frames -->  Proxy (in this process, one worker)  <-- frames -->  Postgres -> Server
//! ```
//!
//! A [`stage::Stage`] sets all of it up. A test says frame by frame what each side sends and what it must get;
//! nothing else may pass. [`wire::Delivery`] decides in what pieces bytes travel, and `scripted!` runs a test with
//! each of them.

mod catalog;
pub(crate) mod client;
pub(crate) mod frames;
pub(crate) mod monitor;
pub(crate) mod postgres;
pub(crate) mod stage;
pub(crate) mod wire;

/// What every scripted test uses.
pub(crate) mod prelude {
    pub(crate) use super::client::Client;
    pub(crate) use super::frames::*;
    pub(crate) use super::postgres::Server;
    pub(crate) use super::stage::{Stage, eventually};
    pub(crate) use super::wire::Delivery;
}

/// Makes a test of each scenario in every mode of delivery: whole frames, and one byte at a time. Scenarios under
/// `split` are short and also run with every write split after the first byte, after the second, and so on.
macro_rules! scripted {
    ($($name:ident),* $(,)? $(; split $($short:ident),* $(,)?)?) => {
        mod whole {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::support::wire::Delivery::whole()).await;
            })*
            $($(#[tokio::test]
            async fn $short() {
                super::$short(crate::support::wire::Delivery::whole()).await;
            })*)?
        }
        mod one_byte_at_a_time {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::support::wire::Delivery::byte_by_byte()).await;
            })*
            $($(#[tokio::test]
            async fn $short() {
                super::$short(crate::support::wire::Delivery::byte_by_byte()).await;
            })*)?
        }
        $(mod split_at_every_byte {
            $(#[tokio::test]
            async fn $short() {
                crate::support::wire::split_everywhere(super::$short).await;
            })*
        })?
    };
}
pub(crate) use scripted;
