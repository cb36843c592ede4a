//! Wiring: workers, acceptor, reload, shutdown.
