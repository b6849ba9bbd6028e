//! A projector, turn by turn, that tells where its reader reads.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Result;
use docket_events::{Category, Recorded, ShardId};
use docket_log::{
    LogReader, Vault,
    reader::{ReadError, Reader},
};
use docket_platform::db::DbRole;
use docket_projector::{projection::Schema, registry, runtime::Engine, verify_read_model};
use docket_tests::eventually_within;

use super::support::{Log, PATIENCE};

type Shards = Arc<Mutex<BTreeSet<ShardId>>>;

/// A reader that notes which shards come from Kafka.
struct Watched {
    reader: LogReader,
    from_kafka: Shards,
}

impl Reader for Watched {
    async fn read(&mut self, behind: &[(ShardId, u64)], limit: usize) -> Result<Vec<Recorded>, ReadError> {
        let events = self.reader.read(behind, limit).await?;
        let shards = behind.iter().map(|(shard, _)| *shard).filter(|shard| self.reader.is_from_kafka(*shard));
        *self.from_kafka.lock().unwrap_or_else(PoisonError::into_inner) = shards.collect();
        Ok(events)
    }

    async fn news(&mut self, at_most: Duration) {
        self.reader.news(at_most).await;
    }
}

/// A projector that works every shard.
pub struct Projecting {
    engine: Engine<Watched>,
    from_kafka: Shards,
}

impl Projecting {
    pub async fn begin(log: &Log, reader: LogReader) -> Result<Self> {
        let (pool, from_kafka) = (log.db.pool(DbRole::Projector), Shards::default());
        let reader = Watched { reader, from_kafka: from_kafka.clone() };
        let mut engine = Engine::new(pool.clone(), Vault::new(pool), reader, registry(), Schema::live(), None);
        let all = Category::ALL.into_iter().flat_map(|category| log.db.installation.shards_of(category)).collect();
        engine.hold(&all).await?;
        Ok(Self { engine, from_kafka })
    }

    pub fn is_from_kafka(&self, shard: ShardId) -> bool {
        self.from_kafka.lock().unwrap_or_else(PoisonError::into_inner).contains(&shard)
    }

    pub async fn turn(&mut self) -> Result<()> {
        self.engine.turn().await?;
        Ok(())
    }

    /// Turns until everything that is journalled is applied.
    pub async fn catch_up(&mut self, log: &Log) -> Result<()> {
        eventually_within(PATIENCE, "everything applied", async || {
            self.turn().await?;
            let behind: i64 = sqlx::query_scalar(
                "select count(*) from read.checkpoint c join write.shard s using (category, shard)
                 where c.sequence <> s.sequence",
            )
            .fetch_one(&log.owner)
            .await?;
            Ok((behind == 0).then_some(()))
        })
        .await
    }

    /// The read models are what a replay of the journal gives.
    pub async fn assert_verified(&mut self, log: &Log) -> Result<()> {
        self.catch_up(log).await?;
        let differences = verify_read_model(&log.owner).await?;
        assert_eq!(differences, [], "the read models differ from a replay");
        Ok(())
    }
}
