//! A connection by which the catalog is read.

use futures_util::{StreamExt, pin_mut};
use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::keeper::{Access, PATIENCE};
use super::queries;
use crate::net::Driven;
use crate::sql::{BadRow, Facts};

/// Why the catalog could not be read.
#[derive(Debug, Error)]
pub enum Failure {
    /// There is no connection.
    #[error("{0}")]
    Dial(String),
    /// PostgreSQL has said no, or nothing any more.
    #[error("{}", describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// It has said what we do not understand.
    #[error(transparent)]
    Form(#[from] BadRow),
    /// It has taken too long.
    #[error("no answer within {PATIENCE:?}")]
    Slow,
    /// What it has said could not be put together.
    #[error("the snapshot could not be made")]
    Lost,
}

fn describe(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string)
}

/// A connection that answers.
#[derive(Debug)]
pub struct Reader {
    client: Client,
    version: u32,
    /// Ends with it.
    _driver: JoinSet<()>,
}

impl Reader {
    pub(super) async fn connect(
        Access { stream, user, password, database }: Access,
    ) -> Result<Self, Failure> {
        let mut config = tokio_postgres::Config::new();
        // TLS is the stream's business.
        config.user(user).dbname(database).ssl_mode(SslMode::Disable);
        config.application_name("pglagoon catalog");
        if !password.expose().is_empty() {
            config.password(password.expose());
        }
        let connecting = config.connect_raw(Driven(stream), NoTls);
        let (client, connection) =
            timeout(PATIENCE, connecting).await.map_err(|_| Failure::Slow)??;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            let _ = connection.await;
        });
        Ok(Self { _driver: driver, ..Self::over(client).await? })
    }

    /// Over a connection that somebody else drives.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    pub async fn over(client: Client) -> Result<Self, Failure> {
        let mut reader = Self { client, version: 0, _driver: JoinSet::new() };
        let [version] = reader.first(queries::PREPARE).await?;
        reader.version = version.parse().unwrap_or(0);
        Ok(reader)
    }

    /// How far PostgreSQL's own counters have come, what tells one set of session defaults from another, and what
    /// [`crate::cluster::Flushing`] wants to know.
    pub(super) async fn changes(&self) -> Result<[String; 4], Failure> {
        self.first(queries::CHANGES).await
    }

    /// What [`crate::cluster::Flushing`] wants to know of functions.
    pub(super) async fn lazy_functions(&self) -> Result<String, Failure> {
        let [lazy] = self.first(queries::LAZY_FUNCTIONS).await?;
        Ok(lazy)
    }

    /// Adds all that there is to know.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    pub async fn read(&self, facts: &mut Facts) -> Result<(), Failure> {
        let read = async {
            self.rows(&queries::everything(self.version), |row| facts.add(row)).await?;
            self.rows(&queries::texts(&facts.unread()), |row| facts.add(row)).await
        };
        timeout(PATIENCE, read).await.map_err(|_| Failure::Slow)?
    }

    /// The first values of the one row that `sql` returns; empty if they are NULL.
    async fn first<const N: usize>(&self, sql: &str) -> Result<[String; N], Failure> {
        let mut values = [const { String::new() }; N];
        let rows = self.rows(sql, |row| {
            for (value, column) in values.iter_mut().zip(row) {
                column.unwrap_or_default().clone_into(value);
            }
            Ok(())
        });
        timeout(PATIENCE, rows).await.map_err(|_| Failure::Slow)??;
        Ok(values)
    }

    /// Shows each row that the statements of `sql` return.
    async fn rows(
        &self,
        sql: &str,
        mut see: impl FnMut(&[Option<&str>]) -> Result<(), BadRow>,
    ) -> Result<(), Failure> {
        let messages = self.client.simple_query_raw(sql).await?;
        pin_mut!(messages);
        while let Some(message) = messages.next().await {
            if let SimpleQueryMessage::Row(row) = message? {
                let columns: Vec<_> = (0..row.len()).map(|column| row.get(column)).collect();
                see(&columns)?;
            }
        }
        Ok(())
    }
}
