//! The relay: everything in order, nothing left out, whoever dies; several share the work.

use anyhow::Result;
use docket_events::{Category, Metadata};
use docket_log::CommandContext;
use docket_platform::ids;
use docket_tests::{SHARDS, TENANT, accept, comment, eventually_within, new_stream, request};
use rdkafka::Message;

use super::support::{Log, PATIENCE, header, shard};

/// What each of two relays has: half of all shards.
const SHARE: i64 = (Category::ALL.len() * SHARDS as usize / 2) as i64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_arrive_in_sequence_as_cloud_events_with_the_journals_own_bytes() -> Result<()> {
    let log = Log::new().await?;
    let relay = log.relay();
    let store = log.store();
    let metadata = Metadata {
        session: None,
        principal: Some(ids::new_id()),
        correlation_id: Some("one \"outer\" request".to_owned()),
        causation_id: None,
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        imported: false,
    };
    let context = CommandContext { tenant: TENANT, metadata, ..CommandContext::default() };
    for _ in 0..10 {
        let stream = new_stream();
        accept(&store, &context, stream, request("Überprüfung", None)).await?;
        accept(&store, &context, stream, comment(2, "Warum? \u{1F600}")).await?;
    }
    log.all_published().await?;
    for n in 0..SHARDS {
        let (messages, events) = (log.messages(shard(n)).await?, log.journalled(shard(n)).await?);
        assert_eq!(messages.len(), events.len(), "nothing twice while nothing breaks");
        for (message, event) in messages.iter().zip(&events) {
            assert_eq!(message.key(), Some(event.stream.to_string().as_bytes()));
            assert_eq!(message.payload(), Some(event.data.as_bytes()));
            let time = event.time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
            let expected = [
                ("ce_specversion", "1.0".to_owned()),
                ("ce_id", event.id.to_string()),
                ("ce_source", "/docket".to_owned()),
                ("ce_type", event.event_type.clone()),
                ("ce_subject", event.stream.to_string()),
                ("ce_time", time),
                ("ce_dataschema", format!("/schemas/events/{}.json", event.event_type)),
                ("content-type", "application/json".to_owned()),
                ("ce_sequence", event.sequence.to_string()),
                ("ce_streamversion", event.version.to_string()),
                ("ce_tenant", TENANT.to_string()),
                ("ce_correlationid", "one \"outer\" request".to_owned()),
                ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
            ];
            for (name, value) in expected {
                assert_eq!(header(message, name), Some(value), "{name}");
            }
        }
        assert_eq!(log.mark(shard(n)).await?.sequence, events.len() as u64);
    }
    relay.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_that_are_killed_on_the_way_leave_no_gap() -> Result<()> {
    let log = Log::new().await?;
    let mut marked = 0;
    for _ in 0..3 {
        log.journal(shard(0), 4000, "on the way").await?;
        let relay = log.relay();
        eventually_within(PATIENCE, "something published", async || {
            Ok((log.mark(shard(0)).await?.sequence > marked).then_some(()))
        })
        .await?;
        relay.kill();
        marked = log.mark(shard(0)).await?.sequence;
    }
    let relay = log.relay();
    log.all_published().await?;
    relay.stop().await?;
    log.assert_complete(shard(0)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_relays_share_the_shards_and_one_goes_on_alone() -> Result<()> {
    let log = Log::new().await?;
    let (first, second) = (log.relay(), log.relay());
    eventually_within(PATIENCE, "an even share", async || {
        let shares: Vec<i64> =
            sqlx::query_scalar("select count(*) from write.lease where team = 'relay' group by holder")
                .fetch_all(&log.owner)
                .await?;
        Ok((shares == [SHARE, SHARE]).then_some(()))
    })
    .await?;
    log.journal(shard(0), 200, "shared").await?;
    log.journal(shard(1), 200, "shared").await?;
    log.all_published().await?;
    first.kill();
    log.journal(shard(0), 200, "alone").await?;
    log.journal(shard(1), 200, "alone").await?;
    log.all_published().await?;
    second.stop().await?;
    log.assert_complete(shard(0)).await?;
    log.assert_complete(shard(1)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_whose_mark_was_moved_by_another_begins_anew_where_that_stands() -> Result<()> {
    let log = Log::new().await?;
    let relay = log.relay();
    log.journal(shard(0), 5, "first").await?;
    log.published(shard(0), 5).await?;
    // As another relay does that found less in the topic.
    log.set_mark(shard(0), 2).await?;
    log.journal(shard(0), 1, "then").await?;
    log.published(shard(0), 6).await?;
    relay.stop().await?;
    let sequences: Vec<_> =
        log.messages(shard(0)).await?.iter().filter_map(|message| header(message, "ce_sequence")).collect();
    assert_eq!(sequences, ["1", "2", "3", "4", "5", "6", "3", "4", "5", "6"]);
    Ok(())
}
