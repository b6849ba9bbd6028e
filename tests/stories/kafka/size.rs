//! Topics that take only small messages, or nothing of the log: what cannot be published waits, and says why; the rest goes on.

use anyhow::Result;
use docket_events::Category;
use docket_log::kafka::topics::{self, Missing};
use docket_platform::ids;
use docket_tests::SHARDS;

use super::support::{IDENTITY, Log, shard};

/// Text that no compression makes small.
fn noise(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 64);
    while text.len() < bytes {
        ids::random_bytes::<32>().iter().for_each(|byte| text.push(char::from(b'#' + byte % 57)));
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_the_broker_takes_for_too_large_halts_its_shard_until_the_setting_is_raised() -> Result<()> {
    let log = Log::new().await?;
    let relay = log.relay();
    log.journal(shard(0), 2, "small").await?;
    log.published(shard(0), 2).await?;
    log.configure(Category::Consultation, &[("max.message.bytes", "100000")]).await?;

    log.journal(shard(0), 1, &noise(150_000)).await?;
    log.journal(shard(1), 1, "goes on").await?;
    let bytes = log.journalled(shard(0)).await?[2].data.len();
    let reason = log.halted(shard(0)).await?;
    assert_eq!(
        reason,
        format!("the broker refuses the event with sequence 3 of {bytes} bytes: it takes no message of that size")
    );
    log.published(shard(1), 1).await?;

    // Another relay tries as well, with some that stand behind it.
    relay.stop().await?;
    log.journal(shard(0), 20, "behind the large one").await?;
    for _ in 0..150 {
        log.journal(shard(1), 1, &noise(1000)).await?;
    }
    sqlx::query("update write.published set halted = null").execute(&log.owner).await?;
    let relay = log.relay();
    assert_eq!(log.halted(shard(0)).await?, reason);
    log.published(shard(1), 151).await?;
    assert_eq!(log.mark(shard(1)).await?.halted, None, "small ones, though too large together");
    assert_eq!(log.mark(shard(0)).await?.sequence, 2);
    relay.stop().await?;
    assert_eq!(log.messages(shard(0)).await?.len(), 2, "nothing went past it");

    log.configure(Category::Consultation, &[]).await?;
    let relay = log.relay();
    log.published(shard(0), 23).await?;
    log.goes_on(shard(0)).await?;
    relay.stop().await?;
    log.assert_complete(shard(0)).await?;
    log.assert_complete(shard(1)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_cannot_hold_the_log_halts_its_own_shards_until_it_is_mended() -> Result<()> {
    let log = Log::new().await?;
    topics::ensure(&log.kafka, SHARDS, Missing::Make).await?;
    log.configure(Category::Consultation, &[("cleanup.policy", "compact")]).await?;
    log.journal(shard(0), 1, "waits").await?;
    log.journal(IDENTITY, 1, "goes on").await?;
    let relay = log.relay();
    let reason = log.halted(shard(0)).await?;
    assert!(reason.contains("cleanup.policy is compact, and must be delete"), "{reason}");
    log.published(IDENTITY, 1).await?;
    assert_eq!(log.mark(shard(0)).await?.sequence, 0);
    assert!(log.messages(shard(0)).await?.is_empty());

    log.configure(Category::Consultation, &[]).await?;
    log.published(shard(0), 1).await?;
    log.goes_on(shard(0)).await?;
    relay.stop().await
}
