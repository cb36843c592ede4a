//! Who may use a throwaway cluster, and how they prove who they are.

use std::{fmt::Write as _, net::SocketAddr};

/// How PostgreSQL authenticates its users; names of `pg_hba.conf`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// SCRAM-SHA-256.
    #[default]
    Scram,
    /// MD5, stored and asked for.
    Md5,
    /// The password itself on the wire.
    Password,
    /// Nothing is asked.
    Trust,
}

impl Authentication {
    const fn method(self) -> &'static str {
        match self {
            Self::Scram => "scram-sha-256",
            Self::Md5 => "md5",
            Self::Password => "password",
            Self::Trust => "trust",
        }
    }

    /// The value of the setting `password_encryption`.
    pub(super) const fn encryption(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Scram | Self::Password | Self::Trust => "scram-sha-256",
        }
    }
}

/// The passwords of one throwaway cluster. They are random: everybody on this machine can reach its ports.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) authentication: Authentication,
    pub(super) superuser_password: String,
    pub(super) app_password: String,
}

impl Access {
    pub(super) fn new(authentication: Authentication) -> Self {
        let password = || format!("{:016x}", rand::random::<u64>());
        Self { authentication, superuser_password: password(), app_password: password() }
    }

    pub(super) fn app_url(&self, address: SocketAddr) -> String {
        format!("postgres://app:{}@{address}/app", self.app_password)
    }

    pub(super) fn superuser_url(&self, address: SocketAddr) -> String {
        format!("postgres://postgres:{}@{address}/app", self.superuser_password)
    }

    /// What a replica's walreceiver connects with.
    pub(super) fn replication(&self, port: u16) -> String {
        format!(
            "host=127.0.0.1 port={port} user=postgres password={} sslmode=disable",
            self.superuser_password
        )
    }

    /// The content of `pg_hba.conf`.
    pub(super) fn hba(&self) -> String {
        let method = self.authentication.method();
        let mut text = String::new();
        for database in ["all", "replication"] {
            let _ = writeln!(text, "local {database} all {method}");
            let _ = writeln!(text, "host {database} all 127.0.0.1/32 {method}");
            let _ = writeln!(text, "host {database} all ::1/128 {method}");
        }
        text
    }

    /// The statements, one a line, that a new data directory is given before its first start.
    pub(super) fn roles(&self) -> String {
        format!(
            "ALTER ROLE postgres PASSWORD '{}'\nCREATE ROLE app LOGIN PASSWORD '{}'\nCREATE DATABASE app OWNER app\n",
            self.superuser_password, self.app_password
        )
    }
}
