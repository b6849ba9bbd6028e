//! A relay of a test's own, and readers that follow it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use docket_events::{Recorded, ShardId};
use docket_log::{
    Kafka, KafkaArgs, LogReader, MacKey, Mode,
    reader::{ReadError, Reader},
    relay::{self, RelayError, marks},
};
use docket_platform::{Shutdown, ids, scratch_kafka::ScratchKafka};
use docket_projector::runtime::Engine;
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::support::World;

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(5);

/// Publishes the journal of a world to topics that nobody else has.
pub struct Relay {
    pub kafka: Kafka,
    pub key: MacKey,
    shutdown: Shutdown,
    task: JoinHandle<Result<(), RelayError>>,
}

impl Relay {
    pub async fn start(world: &World) -> Self {
        let args = KafkaArgs::plaintext(ScratchKafka::shared().bootstrap(), format!("projector-{}", ids::new_id()));
        let kafka = Kafka::new(&args).expect("settings").expect("brokers");
        let key = MacKey::load(&world.owner).await.expect("a key");
        let shutdown = Shutdown::new();
        let task = {
            let (kafka, database, installation) = (kafka.clone(), world.database.clone(), world.installation);
            let (bell, shutdown) = (world.journal.clone(), shutdown.clone());
            let mode = watch::channel(Mode::Kafka).1;
            let config = relay::Config { lease_ttl: 1 };
            tokio::spawn(
                async move { relay::run(config, kafka, &database, installation, &bell, mode, &shutdown).await },
            )
        };
        Self { kafka, key, shutdown, task }
    }

    /// Waits until everything is published.
    pub async fn published(&self, world: &World) {
        let wait = async {
            while marks::backlog(&world.owner).await.expect("a number") > 0 {
                tokio::time::sleep(LOOK).await;
            }
        };
        timeout(PATIENCE, wait).await.expect("published in time");
    }

    pub async fn stop(self) {
        self.shutdown.drain(Duration::from_secs(10)).await.expect("drained");
        self.task.await.expect("ended").expect("well");
    }
}

/// Turns until `condition`; how many events that applied.
pub async fn turn_until<R: Reader>(engine: &mut Engine<R>, mut condition: impl AsyncFnMut(usize) -> bool) -> usize {
    let mut applied = 0;
    let turns = async {
        while !condition(applied).await {
            let turn = engine.turn().await.expect("a turn");
            applied += turn.applied;
            if turn.applied == 0 {
                tokio::time::sleep(LOOK).await;
            }
        }
    };
    timeout(PATIENCE, turns).await.expect("in time");
    applied
}

/// A reader that tells whether what it read last came from Kafka alone.
pub struct Watched {
    pub inner: LogReader,
    pub from_kafka: Arc<AtomicBool>,
}

impl Reader for Watched {
    async fn read(&mut self, behind: &[(ShardId, u64)], limit: usize) -> Result<Vec<Recorded>, ReadError> {
        let events = self.inner.read(behind, limit).await?;
        let all = behind.iter().all(|(shard, _)| self.inner.is_from_kafka(*shard));
        self.from_kafka.store(all, Ordering::Relaxed);
        Ok(events)
    }

    async fn news(&mut self, at_most: Duration) {
        self.inner.news(at_most).await;
    }
}
