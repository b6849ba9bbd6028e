//! The store: one process's way to the journal.

use std::sync::Arc;

use docket_domain::Aggregate;
use docket_events::{Category, StreamId};
use docket_platform::db::{self, Database, DbRole};
use sqlx::PgPool;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::{
    append::{Append, AppendError, Verdict},
    bell::Bell,
    installation::Installation,
    lanes::Lanes,
    load::{self, Answered, LoadError, Loaded},
    vault::Vault,
};

/// How a store is dimensioned.
#[derive(Debug, Clone, Copy)]
pub struct StoreOptions {
    /// Connections that append; few lanes make big batches.
    pub lanes: usize,
    /// Commands that may wait for each lane.
    pub queue: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { lanes: 2, queue: 4096 }
    }
}

/// Lines for the commands of contended streams; streams share lines.
#[derive(Debug)]
pub(crate) struct Turns([Mutex<()>; 64]);

impl Turns {
    /// The line of a stream.
    pub(crate) fn of(&self, stream: StreamId) -> &Mutex<()> {
        let [.., last] = stream.id.into_bytes();
        &self.0[usize::from(last) % self.0.len()]
    }
}

/// Loads streams and appends to them. Clones are the same store.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
    lanes: Lanes,
    vault: Vault,
    bell: Bell,
    installation: Installation,
    turns: Arc<Turns>,
}

impl Store {
    /// Opens the journal; `pool` must belong to the writer role, `bell` rings after every commit.
    #[must_use]
    pub fn open(
        database: &Database,
        pool: PgPool,
        installation: Installation,
        bell: Bell,
        options: StoreOptions,
    ) -> Self {
        let lanes = Lanes::start(&database.connect_options(DbRole::Writer), options.lanes, options.queue, &bell);
        let turns = Arc::new(Turns(std::array::from_fn(|_| Mutex::new(()))));
        Self { vault: Vault::new(pool.clone()), pool, lanes, bell, installation, turns }
    }

    pub(crate) fn turns(&self) -> &Turns {
        &self.turns
    }

    /// What was fixed when the installation was set up.
    #[must_use]
    pub const fn installation(&self) -> Installation {
        self.installation
    }

    /// The keys of data subjects.
    #[must_use]
    pub const fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The bell that rings after every commit.
    #[must_use]
    pub const fn bell(&self) -> &Bell {
        &self.bell
    }

    /// The writer's pool, for what commits outside the journal.
    #[must_use]
    pub const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Folds a stream to its newest version, in one round trip, and looks up whether `key` has an answer.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub async fn load<A: Aggregate>(
        &self,
        stream: StreamId,
        key: Option<Uuid>,
    ) -> Result<(Loaded<A>, Option<Answered>), LoadError> {
        load::load(&self.pool, None, stream, key, i64::MAX as u64).await
    }

    /// The same for a command of `tenant`: a stream of another tenant does not exist.
    pub(crate) async fn load_in<A: Aggregate>(
        &self,
        tenant: Uuid,
        stream: StreamId,
        key: Option<Uuid>,
    ) -> Result<(Loaded<A>, Option<Answered>), LoadError> {
        load::load(&self.pool, Some(tenant), stream, key, i64::MAX as u64).await
    }

    /// Folds a stream to `version`, to render again what was answered then.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub async fn load_at<A: Aggregate>(
        &self,
        id: Uuid,
        category: Category,
        version: u64,
    ) -> Result<Loaded<A>, LoadError> {
        let stream = StreamId::new(category, id);
        load::load(&self.pool, None, stream, None, version).await.map(|(loaded, _)| loaded)
    }

    /// Whether `key` has an answer by now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn answered(&self, key: Uuid) -> Result<Option<Answered>, sqlx::Error> {
        let row: Option<(Vec<u8>, i16, Uuid, i64)> =
            sqlx::query_as("select request_hash, status, stream_id, version from write.idempotency where id = $1")
                .bind(key)
                .fetch_optional(&mut *db::acquire(&self.pool).await?)
                .await?;
        Ok(row.map(|(request_hash, status, stream, version)| Answered {
            request_hash,
            status: status as u16,
            stream,
            version: version as u64,
        }))
    }

    /// Journals what one command decided and waits until it is durable.
    ///
    /// # Errors
    /// See [`AppendError`]; an unreachable journal leaves the outcome unknown.
    pub async fn append(&self, append: Append) -> Result<Verdict, AppendError> {
        self.lanes.append(self.installation.shard_of(append.stream), append).await
    }
}
