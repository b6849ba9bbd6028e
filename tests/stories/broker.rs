//! A broker loses everything while its topics are followed.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, Result};
use docket_events::{Category, ShardId};
use docket_log::{
    Bell, Kafka, KafkaArgs, LogReader, MacKey, Mode, Topic,
    kafka::topics::{self, Missing},
    reader::Reader,
};
use docket_platform::{db::DbRole, scratch_kafka::ScratchKafka};
use docket_tests::{TestDatabase, eventually};
use tokio::{io::AsyncWriteExt, sync::watch};

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_goes_back_to_topics_that_were_lost_and_made_again() -> Result<()> {
    let broker = tokio::task::spawn_blocking(ScratchKafka::start).await??;
    let kafka = Kafka::new(&KafkaArgs::plaintext(broker.bootstrap(), "lost"))?.context("brokers")?;
    topics::ensure(&kafka, 1, Missing::Make).await?;
    let db = TestDatabase::create().await?;
    let owner = db.pool(DbRole::Owner);
    let shard = ShardId { category: Category::Consultation, shard: 0 };
    sqlx::query("insert into write.published (category, shard) values ($1, 0)")
        .bind(shard.category.code())
        .execute(&owner)
        .await?;
    let (_mode, mode) = watch::channel(Mode::Kafka);
    let key = MacKey::load(&owner).await?;
    let mut reader = LogReader::new(owner.clone(), &Bell::new(Topic::Journal), Some((&kafka, key)), mode)?;
    put(&broker.bootstrap(), kafka.topic(shard.category)).await?;
    follow(&mut reader, shard, "followed").await?;
    let refused = "select count(*) from write.foreign_message";
    eventually("the messages are read", async || {
        reader.read(&[(shard, 0)], 10).await?;
        reader.news(Duration::from_millis(50)).await;
        let count: i64 = sqlx::query_scalar(refused).fetch_one(&owner).await?;
        Ok((count == 3).then_some(()))
    })
    .await?;

    let broker = tokio::task::spawn_blocking(move || broker.wipe(1).map(|()| broker)).await??;
    topics::ensure(&kafka, 1, Missing::Make).await?;
    // Whoever waits for news hears that the topic is not what it was.
    eventually("the loss is noticed", async || {
        reader.news(Duration::from_millis(100)).await;
        Ok((!reader.is_from_kafka(shard)).then_some(()))
    })
    .await?;
    follow(&mut reader, shard, "followed again").await?;
    tokio::task::spawn_blocking(move || drop(broker)).await?;
    Ok(())
}

/// Reads, as projectors do, until the shard comes from Kafka.
async fn follow(reader: &mut LogReader, shard: ShardId, what: &str) -> Result<()> {
    eventually(what, async || {
        reader.read(&[(shard, 0)], 10).await.context("reading")?;
        reader.news(Duration::from_millis(50)).await;
        Ok(reader.is_from_kafka(shard).then_some(()))
    })
    .await
}

/// Puts three messages there; that nobody signed them does not matter.
async fn put(brokers: &str, topic: &str) -> Result<()> {
    let mut kcat = tokio::process::Command::new("kcat")
        .args(["-P", "-b", brokers, "-t", topic, "-p", "0"])
        .stdin(Stdio::piped())
        .spawn()
        .context("starting kcat")?;
    kcat.stdin.take().context("no input")?.write_all(b"one\ntwo\nthree\n").await?;
    let ended = kcat.wait().await?;
    anyhow::ensure!(ended.success(), "kcat ended with {ended}");
    Ok(())
}
