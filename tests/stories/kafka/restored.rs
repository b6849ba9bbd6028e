//! PostgreSQL was restored to a time before what Kafka has: the relay publishes nothing where the two contradict each other.

use anyhow::Result;
use docket_events::ShardId;

use super::support::{IDENTITY, Log, shard};

/// Takes the journal of a shard back to `sequence`, mark included, as an older backup has it.
async fn restore(log: &Log, shard: ShardId, sequence: i64) -> Result<()> {
    for statement in [
        "delete from write.journal where category = $1 and shard = $2 and sequence > $3",
        "update write.shard set sequence = $3 where category = $1 and shard = $2",
        "update write.published set sequence = $3 where category = $1 and shard = $2",
    ] {
        sqlx::query(statement)
            .bind(shard.category.code())
            .bind(shard.shard as i16)
            .bind(sequence)
            .execute(&log.owner)
            .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_whose_journal_is_behind_its_topic_or_forked_from_it_is_halted_and_the_others_go_on() -> Result<()> {
    let log = Log::new().await?;
    let relay = log.relay();
    for of in [shard(0), shard(1), IDENTITY] {
        log.journal(of, 10, "before").await?;
    }
    log.all_published().await?;
    relay.stop().await?;
    restore(&log, shard(0), 6).await?;
    restore(&log, shard(1), 6).await?;
    // As many events as were lost, and one more: other ones.
    log.journal(shard(1), 5, "after").await?;

    let relay = log.relay();
    let behind = log.halted(shard(0)).await?;
    assert_eq!(
        behind,
        "the topic ends with sequence 10 and the journal with 6: PostgreSQL seems to have been restored"
    );
    let forked = log.halted(shard(1)).await?;
    assert_eq!(
        forked,
        "topic and journal hold different events under sequence 10: PostgreSQL seems to have been restored"
    );
    log.journal(shard(0), 1, "after").await?;
    log.journal(IDENTITY, 1, "after").await?;
    log.published(IDENTITY, 11).await?;
    relay.stop().await?;
    for of in [shard(0), shard(1)] {
        assert_eq!(log.messages(of).await?.len(), 10, "nothing was published to {of}");
        assert_eq!(log.mark(of).await?.sequence, 6);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_is_halted_when_the_journal_is_restored_under_a_running_relay() -> Result<()> {
    let log = Log::new().await?;
    let relay = log.relay();
    log.journal(shard(0), 10, "before").await?;
    log.journal(shard(1), 10, "before").await?;
    log.all_published().await?;
    restore(&log, shard(0), 6).await?;
    let reason = log.halted(shard(0)).await?;
    assert!(reason.contains("the topic ends with sequence 10 and the journal with 6"), "{reason}");
    log.journal(shard(1), 1, "after").await?;
    log.published(shard(1), 11).await?;
    relay.stop().await?;
    assert_eq!(log.messages(shard(0)).await?.len(), 10);
    Ok(())
}
