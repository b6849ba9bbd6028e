//! The installation: what is fixed when the database is first set up, for all processes and for ever.

use std::time::Duration;

use docket_events::{Category, ShardId, StreamId};
use sqlx::{PgConnection, PgPool, Row};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Shards per category of a new installation, unless told otherwise.
pub const DEFAULT_SHARDS: u16 = 16;

/// Where projections and reactors read events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// From the journal in PostgreSQL; nothing else is needed.
    Journal,
    /// From Kafka, which the relay fills from the journal.
    Kafka,
}

impl Mode {
    /// The name in the database and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Kafka => "kafka",
        }
    }
}

/// What was fixed at set-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installation {
    /// Distinguishes this installation from every other.
    pub id: Uuid,
    /// Shards per category.
    pub shards: u16,
    /// Where events are read.
    pub mode: Mode,
}

/// Why the installation cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    /// The database did not answer, or is not migrated.
    #[error("the installation cannot be read: {0}")]
    Database(#[from] sqlx::Error),
    /// Nothing was set up yet.
    #[error("this database holds no installation yet: run `docket migrate`")]
    Missing,
    /// The row holds something that this release does not know.
    #[error("the installation's {0} is not known to this release")]
    Unknown(&'static str),
}

impl Installation {
    /// Sets the installation up unless it is, and adds the shards of categories that came with a newer release.
    ///
    /// `id`, `shards` and `mode` count only when nothing is set up yet.
    ///
    /// # Errors
    /// See [`InstallationError`].
    pub async fn set_up(
        connection: &mut PgConnection,
        id: Uuid,
        shards: u16,
        mode: Mode,
    ) -> Result<Self, InstallationError> {
        sqlx::query("insert into write.installation (id, shards, log_mode) values ($1, $2, $3) on conflict do nothing")
            .bind(id)
            .bind(i16::try_from(shards).map_err(|_| InstallationError::Unknown("number of shards"))?)
            .bind(mode.name())
            .execute(&mut *connection)
            .await?;
        for category in Category::ALL {
            sqlx::query("insert into write.category (code, name) values ($1, $2) on conflict do nothing")
                .bind(category.code())
                .bind(category.name())
                .execute(&mut *connection)
                .await?;
            sqlx::query(
                "insert into write.shard (category, shard)
                 select $1, n from write.installation i, generate_series(0, i.shards - 1) n on conflict do nothing",
            )
            .bind(category.code())
            .execute(&mut *connection)
            .await?;
        }
        let row = sqlx::query(SELECT).fetch_optional(&mut *connection).await?;
        row.map_or(Err(InstallationError::Missing), |row| Self::from_row(&row))
    }

    /// Whether anything was set up yet.
    ///
    /// # Errors
    /// See [`InstallationError`].
    pub async fn exists(connection: &mut PgConnection) -> Result<bool, InstallationError> {
        let found = sqlx::query("select 1 from write.installation").fetch_optional(connection).await?;
        Ok(found.is_some())
    }

    /// Reads what was set up.
    ///
    /// # Errors
    /// See [`InstallationError`].
    pub async fn read(pool: &PgPool) -> Result<Self, InstallationError> {
        let row = sqlx::query(SELECT).fetch_optional(pool).await.map_err(|error| match error {
            // The table is not there: the database was never migrated.
            sqlx::Error::Database(e) if e.code().as_deref() == Some("42P01") => InstallationError::Missing,
            other => InstallationError::Database(other),
        })?;
        row.map_or(Err(InstallationError::Missing), |row| Self::from_row(&row))
    }

    /// Moves the log: processes that are told of brokers follow within a second or two.
    ///
    /// # Errors
    /// See [`InstallationError`].
    pub async fn set_mode(owner: &PgPool, mode: Mode) -> Result<(), InstallationError> {
        sqlx::query("update write.installation set log_mode = $1").bind(mode.name()).execute(owner).await?;
        Ok(())
    }

    fn from_row(row: &sqlx::postgres::PgRow) -> Result<Self, InstallationError> {
        let shards: i16 = row.try_get("shards")?;
        let mode: String = row.try_get("log_mode")?;
        Ok(Self {
            id: row.try_get("id")?,
            shards: u16::try_from(shards).map_err(|_| InstallationError::Unknown("number of shards"))?,
            mode: match mode.as_str() {
                "journal" => Mode::Journal,
                "kafka" => Mode::Kafka,
                _ => return Err(InstallationError::Unknown("log mode")),
            },
        })
    }

    /// The shard of a stream here.
    #[must_use]
    pub fn shard_of(&self, stream: StreamId) -> ShardId {
        stream.shard(self.shards)
    }

    /// Every shard of `category`.
    pub fn shards_of(&self, category: Category) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.shards).map(move |shard| ShardId { category, shard })
    }
}

/// How often the mode is looked at.
const MODE_PERIOD: Duration = Duration::from_secs(1);

/// Follows the log's mode, beginning with `first`, until `stop`: `docket log switch` may change it at any time.
pub fn follow_mode(pool: PgPool, first: Mode, stop: CancellationToken) -> watch::Receiver<Mode> {
    let (sender, receiver) = watch::channel(first);
    tokio::spawn(async move {
        while !sender.is_closed() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(MODE_PERIOD) => {}
            }
            match Installation::read(&pool).await {
                Ok(installation) => {
                    sender.send_if_modified(|mode| std::mem::replace(mode, installation.mode) != installation.mode);
                }
                Err(error) => tracing::debug!(%error, "the log's mode cannot be read"),
            }
        }
    });
    receiver
}

const SELECT: &str = "select id, shards, log_mode from write.installation";
