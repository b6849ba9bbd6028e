//! The reader: from the journal to Kafka and back, with the same events applied whatever the topic holds.

use std::time::{Duration, Instant};

use anyhow::Result;
use docket_events::Category;
use docket_log::{
    LogReader,
    kafka::topics::{self, Missing},
    reader::Reader,
};
use docket_platform::db::DbRole;
use docket_tests::{SHARDS, accept, comment, context, eventually_within, new_stream_in, request};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};

use super::{
    projecting::Projecting,
    support::{Log, PATIENCE, shard},
};

/// After so long a question to brokers that are not there was given up.
const SILENCE: Duration = Duration::from_secs(6);

/// A consultation with some comments in each shard.
async fn commands(log: &Log) -> Result<()> {
    let store = log.store();
    for n in 0..SHARDS {
        let stream = new_stream_in(n);
        accept(&store, &context(), stream, request("read me", None)).await?;
        for text in ["one", "two", "three"] {
            accept(&store, &context(), stream, comment(2, text)).await?;
        }
    }
    Ok(())
}

/// Lets commands come until both shards are read from Kafka.
async fn until_from_kafka(log: &Log, projecting: &mut Projecting) -> Result<()> {
    eventually_within(PATIENCE, "both shards read from Kafka", async || {
        commands(log).await?;
        projecting.catch_up(log).await?;
        Ok((0..SHARDS).all(|n| projecting.is_from_kafka(shard(n))).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_goes_from_the_journal_to_kafka_and_back_and_every_event_is_applied_once() -> Result<()> {
    let log = Log::new().await?;
    let mut projecting = Projecting::begin(&log, log.reader().await?).await?;
    commands(&log).await?;
    projecting.catch_up(&log).await?;
    assert!(!projecting.is_from_kafka(shard(0)), "there are no topics yet");

    let relay = log.relay();
    until_from_kafka(&log, &mut projecting).await?;
    log.all_published().await?;
    projecting.assert_verified(&log).await?;
    offsets_are_committed(&log, &mut projecting).await?;

    log.delete_topics().await?;
    until_from_kafka(&log, &mut projecting).await?;
    log.all_published().await?;
    projecting.assert_verified(&log).await?;
    relay.stop().await?;
    log.assert_complete(shard(0)).await
}

/// Whoever asks the brokers for the group's lag finds none.
async fn offsets_are_committed(log: &Log, projecting: &mut Projecting) -> Result<()> {
    let ends: Vec<i64> = vec![log.messages(shard(0)).await?.len() as i64, log.messages(shard(1)).await?.len() as i64];
    eventually_within(PATIENCE, "committed offsets at the partitions' ends", async || {
        projecting.turn().await?;
        let (mut config, group) = (log.client(), log.kafka.group());
        let topic = log.kafka.topic(Category::Consultation).to_owned();
        config.set("group.id", group);
        let committed = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = config.create()?;
            let mut list = TopicPartitionList::new();
            list.add_partition_range(&topic, 0, i32::from(SHARDS) - 1);
            anyhow::Ok(consumer.committed_offsets(list, PATIENCE)?)
        })
        .await??;
        let offsets: Vec<Offset> = committed.elements().iter().map(|element| element.offset()).collect();
        Ok((offsets == ends.iter().copied().map(Offset::Offset).collect::<Vec<_>>()).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_begins_while_kafka_is_down_reads_the_journal() -> Result<()> {
    let log = Log::on("127.0.0.1:1").await?;
    let mut projecting = Projecting::begin(&log, log.reader().await?).await?;
    let begun = Instant::now();
    while begun.elapsed() < SILENCE {
        commands(&log).await?;
        for n in 0..SHARDS {
            log.set_mark(shard(n), log.journalled(shard(n)).await?.len() as u64).await?;
        }
        projecting.catch_up(&log).await?;
    }
    projecting.assert_verified(&log).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_waits_while_the_topics_go_finds_the_journal_and_then_the_new_ones() -> Result<()> {
    let log = Log::new().await?;
    let relay = log.relay();
    let mut follower = Follower { reader: log.reader().await?, applied: 0 };
    follower.until_from_kafka(&log).await?;
    log.all_published().await?;
    relay.stop().await?;
    log.delete_topics().await?;
    eventually_within(PATIENCE, "the topics missed", async || {
        follower.wait().await;
        Ok((!follower.reader.is_from_kafka(shard(0))).then_some(()))
    })
    .await?;
    log.journal(shard(0), 1, "after").await?;
    follower.read_all(&log).await?;
    assert!(!follower.reader.is_from_kafka(shard(0)), "there are no topics");
    let relay = log.relay();
    follower.until_from_kafka(&log).await?;
    relay.stop().await
}

/// Reads one shard as whoever applies events does.
struct Follower {
    reader: LogReader,
    applied: u64,
}

impl Follower {
    async fn read(&mut self) -> Result<()> {
        for event in self.reader.read(&[(shard(0), self.applied)], 1000).await? {
            assert!(event.sequence <= self.applied + 1, "{} behind {}", event.sequence, self.applied);
            self.applied = event.sequence.max(self.applied);
        }
        Ok(())
    }

    async fn read_all(&mut self, log: &Log) -> Result<()> {
        let last = log.journalled(shard(0)).await?.len() as u64;
        eventually_within(PATIENCE, "everything read", async || {
            self.read().await?;
            Ok((self.applied == last).then_some(()))
        })
        .await
    }

    async fn wait(&mut self) {
        self.reader.news(Duration::from_millis(100)).await;
    }

    /// Reads on while events come, until they come from Kafka.
    async fn until_from_kafka(&mut self, log: &Log) -> Result<()> {
        eventually_within(PATIENCE, "read from Kafka", async || {
            log.journal(shard(0), 3, "more").await?;
            self.read_all(log).await?;
            Ok(self.reader.is_from_kafka(shard(0)).then_some(()))
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_and_does_not_come_is_read_from_the_journal() -> Result<()> {
    let log = Log::new().await?;
    let relay = log.relay();
    let mut projecting = Projecting::begin(&log, log.reader().await?).await?;
    until_from_kafka(&log, &mut projecting).await?;
    log.all_published().await?;
    relay.stop().await?;

    // The brokers lose what they have acknowledged, and nobody has noticed yet.
    commands(&log).await?;
    for n in 0..SHARDS {
        log.set_mark(shard(n), log.journalled(shard(n)).await?.len() as u64).await?;
    }
    projecting.catch_up(&log).await?;
    projecting.assert_verified(&log).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repetitions_disorder_and_gaps_in_a_topic_change_nothing() -> Result<()> {
    let log = Log::new().await?;
    topics::ensure(&log.kafka, SHARDS, Missing::Make).await?;
    commands(&log).await?;
    commands(&log).await?;
    let events = log.journalled(shard(0)).await?;
    let sent: Vec<_> = [1, 2, 2, 1, 4, 3, 5, 7, 8].iter().map(|sequence: &usize| &events[sequence - 1]).collect();
    assert_eq!(events.len(), 8, "the sixth is missing in the topic");
    log.produce_events(&sent).await?;
    log.produce_events(&log.journalled(shard(1)).await?.iter().collect::<Vec<_>>()).await?;

    let pool = log.db.pool(DbRole::Projector);
    let reader = LogReader::kafka_alone(pool, &log.kafka, log.key().await?)?;
    let mut projecting = Projecting::begin(&log, reader).await?;
    projecting.catch_up(&log).await?;
    assert!(projecting.is_from_kafka(shard(0)) && projecting.is_from_kafka(shard(1)));
    projecting.assert_verified(&log).await
}
