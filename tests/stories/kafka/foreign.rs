//! What others write into the topics: left out, kept for operators, and nobody stops at it.

use std::collections::BTreeMap;

use anyhow::Result;
use docket_events::ShardId;
use docket_log::{
    LogReader, MacKey,
    kafka::message::{self, MAC},
};
use docket_platform::{db::DbRole, ids};
use docket_tests::{accept, comment, context, new_stream_in, request};
use rdkafka::message::{Header, OwnedHeaders};

use super::{
    projecting::Projecting,
    support::{Log, shard},
};

const UNMARKED: &str = "no relay wrote it: the header docket_mac is missing";
const FORGED: &str = "it is forged, altered or from another installation: the header docket_mac does not fit";

/// What operators find: where, and why.
async fn kept(log: &Log) -> Result<BTreeMap<(u16, i64), String>> {
    let rows: Vec<(i16, i64, String)> =
        sqlx::query_as("select shard, log_offset, reason from write.foreign_message").fetch_all(&log.owner).await?;
    Ok(rows.into_iter().map(|(shard, offset, reason)| ((shard as u16, offset), reason)).collect())
}

async fn commands(log: &Log) -> Result<()> {
    for n in [0, 1] {
        let stream = new_stream_in(n);
        accept(&log.store(), &context(), stream, request("genuine", None)).await?;
        accept(&log.store(), &context(), stream, comment(2, "genuine")).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_no_relay_wrote_are_left_out_and_kept_and_stop_nobody() -> Result<()> {
    let log = Log::new().await?;
    let relay = log.relay();
    commands(&log).await?;
    log.all_published().await?;

    let genuine = log.journalled(shard(0)).await?.swap_remove(1);
    let (subject, data) = (genuine.stream.to_string(), genuine.data.as_bytes());
    let ours = || async { anyhow::Ok(message::headers(&genuine, &log.key().await?)) };
    let mut next = genuine.clone();
    next.sequence = 3;
    next.id = ids::new_id();
    let unmarked = OwnedHeaders::new()
        .insert(Header { key: "ce_id", value: Some(&next.id.to_string()) })
        .insert(Header { key: "ce_sequence", value: Some("3") });
    let guessed = unmarked.clone().insert(Header { key: MAC, value: Some("AAAAAAAAAAAAAAAAAAAAAA") });
    let another = message::headers(&next, &MacKey::new(b"another installation"));
    let strange: Vec<(ShardId, &[u8], Option<OwnedHeaders>, &str)> = vec![
        (shard(0), b"hello", None, UNMARKED),
        (shard(0), &[0xff, 0xfe, 0], Some(OwnedHeaders::new()), UNMARKED),
        (shard(0), data, Some(unmarked), UNMARKED),
        (shard(0), data, Some(guessed), FORGED),
        (shard(0), data, Some(another), FORGED),
        (shard(0), b"{\"text\":\"altered\"}", Some(ours().await?), FORGED),
        (shard(1), data, Some(ours().await?), FORGED),
    ];
    let mut expected = BTreeMap::new();
    for (at, payload, headers, reason) in strange {
        let offset = log.produce(at, &subject, payload, headers).await?;
        expected.insert((at.shard, offset), reason.to_owned());
    }
    commands(&log).await?;
    log.all_published().await?;

    let reader = LogReader::kafka_alone(log.db.pool(DbRole::Projector), &log.kafka, log.key().await?)?;
    let mut projecting = Projecting::begin(&log, reader).await?;
    projecting.catch_up(&log).await?;
    projecting.assert_verified(&log).await?;
    assert!(projecting.is_from_kafka(shard(0)) && projecting.is_from_kafka(shard(1)));
    assert_eq!(kept(&log).await?, expected);
    relay.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_finds_its_own_last_event_behind_a_crowd_of_strangers() -> Result<()> {
    let log = Log::new().await?;
    let relay = log.relay();
    log.journal(shard(0), 3, "ours").await?;
    log.published(shard(0), 3).await?;
    relay.stop().await?;
    for n in 0..70 {
        log.produce(shard(0), "stranger", format!("{n}").as_bytes(), None).await?;
    }
    let relay = log.relay();
    log.journal(shard(0), 1, "ours").await?;
    log.published(shard(0), 4).await?;
    relay.stop().await?;
    assert_eq!(log.messages(shard(0)).await?.len(), 3 + 70 + 1, "nothing was published twice");
    assert_eq!(log.mark(shard(0)).await?.halted, None);
    Ok(())
}
