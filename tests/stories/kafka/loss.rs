//! Brokers die, and brokers lose what they had: the topics are made and filled again without anybody's doing.

use std::sync::Arc;

use anyhow::Result;
use docket_log::kafka::topics::{self, Missing};
use docket_platform::scratch_kafka::{ScratchKafka, ScratchKafkaError};
use docket_tests::{SHARDS, eventually_within};

use super::support::{Log, PATIENCE, shard};

/// Does something to the only broker, which takes seconds.
async fn to(
    kafka: &Arc<ScratchKafka>,
    what: impl FnOnce(&ScratchKafka) -> Result<(), ScratchKafkaError> + Send + 'static,
) -> Result<()> {
    let kafka = kafka.clone();
    Ok(tokio::task::spawn_blocking(move || what(&kafka)).await??)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_dies_or_loses_everything_is_filled_again() -> Result<()> {
    let kafka = Arc::new(tokio::task::spawn_blocking(ScratchKafka::start).await??);
    let log = Log::on(&kafka.bootstrap()).await?;
    let relay = log.relay();
    log.journal(shard(0), 300, "before").await?;
    log.journal(shard(1), 10, "before").await?;
    log.all_published().await?;

    to(&kafka, |kafka| kafka.kill(1)).await?;
    log.journal(shard(0), 300, "while it was dead").await?;
    to(&kafka, |kafka| kafka.start_again(1)).await?;
    log.all_published().await?;
    log.assert_complete(shard(0)).await?;

    // Its disk is lost while the relay runs and has nothing to do.
    to(&kafka, |kafka| kafka.wipe(1)).await?;
    refilled(&log).await?;

    relay.stop().await?;
    to(&kafka, |kafka| kafka.wipe(1)).await?;
    log.journal(shard(0), 10, "after").await?;
    let relay = log.relay();
    refilled(&log).await?;
    relay.stop().await
}

/// Waits until the topic of [`shard`] has everything again.
async fn refilled(log: &Log) -> Result<()> {
    eventually_within(PATIENCE, "the topic is filled again", async || {
        let mut full = true;
        for of in [shard(0), shard(1)] {
            // It may not be there yet.
            let found = log.messages(of).await.map_or(0, |messages| messages.len());
            full &= found >= log.journalled(of).await?.len();
        }
        Ok(full.then_some(()))
    })
    .await?;
    log.all_published().await?;
    log.assert_complete(shard(0)).await?;
    log.assert_complete(shard(1)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_was_emptied_and_went_on_is_filled_from_its_beginning() -> Result<()> {
    let log = Log::new().await?;
    let relay = log.relay();
    log.journal(shard(0), 20, "before").await?;
    log.all_published().await?;
    relay.stop().await?;
    log.delete_topics().await?;
    eventually_within(PATIENCE, "topics made anew", async || {
        // Kafka deletes them some time after it has said so.
        Ok(topics::ensure(&log.kafka, SHARDS, Missing::Make).await.ok())
    })
    .await?;
    // A relay that had nothing in flight, and so noticed nothing, sends its next event into the empty topic.
    log.journal(shard(0), 1, "after").await?;
    let events = log.journalled(shard(0)).await?;
    log.produce_events(&[&events[20]]).await?;
    log.set_mark(shard(0), 21).await?;

    let relay = log.relay();
    eventually_within(PATIENCE, "everything in the topic", async || {
        Ok((log.messages(shard(0)).await?.len() >= 22).then_some(()))
    })
    .await?;
    log.all_published().await?;
    relay.stop().await?;
    let sequences = log.messages(shard(0)).await?;
    let found: Vec<_> = sequences.iter().filter_map(|message| super::support::header(message, "ce_sequence")).collect();
    let expected: Vec<_> = std::iter::once(21).chain(1..=21).map(|sequence| sequence.to_string()).collect();
    assert_eq!(found, expected);
    Ok(())
}
