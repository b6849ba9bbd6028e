//! P8: a poisoned event stops its own stream and no other; what is unknown is not poison.

use docket_events::consultation::Decision;
use docket_projector::{
    retry,
    retry::parked,
    runtime::{EngineOptions, Stop},
};

use crate::support::{World, commented, consultation_in, populate, requested, responded, settle, timed_out, vote_cast};

const COMMENTED: &str = "docket.consultation.commented.v1";

#[tokio::test]
async fn a_malformed_event_parks_only_its_stream_and_retry_heals_it() {
    let world = World::new().await;
    let (sick, well) = (consultation_in(0, 0), consultation_in(0, 1));
    world.say(sick, requested("sick")).await;
    world.say(well, requested("well")).await;
    let poison = world.journal_raw(sick, COMMENTED, r#"{"text": 7}"#).await;
    world.say(sick, commented()).await;
    world.say(well, commented()).await;
    let mut engine = world.engine().await;
    settle(&mut engine).await;
    world.say(sick, timed_out()).await;
    settle(&mut engine).await;

    assert_eq!(world.number("select version from read.consultation where title = 'well'").await, 2);
    assert_eq!(world.number("select version from read.consultation where title = 'sick'").await, 1);
    assert_eq!(world.number("select pending from read.consultation_stats").await, 2);
    let waiting = parked(&world.pool).await.expect("listed");
    assert_eq!(
        waiting.iter().map(|p| (p.projection.as_str(), p.stream, p.sequence, p.events)).collect::<Vec<_>>(),
        [("consultation", sick, poison, 3), ("consultation_stats", sick, poison, 3), ("events", sick, poison, 3)]
    );
    assert_eq!(world.number("select count(*) from read.dead_letter where error is not null").await, 3);
    assert_eq!(world.number("select sum(parked)::bigint from read.checkpoint").await, 3);
    world.assert_verified().await;

    let report = retry(&world.pool, &world.vault, None, None).await.expect("retried");
    assert_eq!((report.healed.len(), report.parked.len()), (0, 3), "the cause is still there");
    assert!(report.parked[0].error.as_ref().is_some_and(|error| error.contains("event 3")), "{report:?}");

    let whole = r#"{"comment_id":"01990000-0000-7000-8000-0000000000c0","by":{"id":"01990000-0000-7000-8000-000000000002",
        "name":{"$personal":{"subject":"01990000-0000-7000-8000-000000000002","erased":true}}},"text":"mended"}"#;
    let mend = "update write.journal set data = $1 where sequence = $2 and category = 2 and shard = 0";
    sqlx::query(mend).bind(whole).bind(poison as i64).execute(&world.owner).await.expect("mended");
    let report = retry(&world.pool, &world.vault, None, Some(sick)).await.expect("retried");
    assert_eq!((report.healed.len(), report.parked.len()), (3, 0));
    assert_eq!(world.number("select count(*) from read.dead_letter").await, 0);
    assert_eq!(world.number("select comment_count from read.consultation where title = 'sick'").await, 2);

    // The engine that ran all the while learns of it at its next write, which is fenced once.
    world.say(sick, commented()).await;
    settle(&mut engine).await;
    assert_eq!(world.number("select version from read.consultation where title = 'sick'").await, 5);
    assert_eq!(world.number("select timed_out from read.consultation_stats").await, 1);
    world.assert_verified().await;
}

#[tokio::test]
async fn an_event_that_the_database_refuses_is_found_among_thousands() {
    let world = World::new().await;
    populate(&world, 40, 3).await;
    let (sick, also) = (consultation_in(0, 30), consultation_in(1, 30));
    // PostgreSQL's text holds no NUL.
    world.say(sick, requested("nul \0")).await;
    world.say(also, requested("nul \0 too")).await;
    world.say(sick, commented()).await;
    let last = consultation_in(1, 31);
    world.say(last, requested("last")).await;
    let mut engine = world.engine().await;
    settle(&mut engine).await;

    let waiting = parked(&world.pool).await.expect("listed");
    let mut streams: Vec<_> = waiting.iter().map(|p| (p.projection.as_str(), p.stream, p.events)).collect();
    streams.sort_unstable();
    let mut expected = vec![("consultation", sick, 2), ("consultation", also, 1)];
    expected.sort_unstable();
    assert_eq!(streams, expected, "the counts can be kept, only the rows cannot");
    assert_eq!(world.number("select count(*) from read.consultation where title = 'last'").await, 1);
    world.assert_verified().await;
}

#[tokio::test]
async fn rows_that_are_not_what_they_must_be_park_the_stream() {
    let world = World::new().await;
    let (sick, well) = (consultation_in(0, 0), consultation_in(0, 1));
    world.say(sick, requested("sick")).await;
    world.say(well, requested("well")).await;
    let mut engine = world.engine().await;
    settle(&mut engine).await;
    world.sql("delete from read.consultation_v1 where title = 'sick'").await;
    for stream in [sick, well] {
        world.say(stream, vote_cast()).await;
        world.say(stream, responded(Decision::Approve)).await;
    }
    settle(&mut engine).await;
    let waiting = parked(&world.pool).await.expect("listed");
    assert_eq!(waiting.iter().map(|p| (p.stream, p.events)).collect::<Vec<_>>(), [(sick, 2)]);
    assert_eq!(world.number("select approved from read.consultation_stats").await, 2);
}

#[tokio::test]
async fn an_unknown_type_stops_its_shard_only() {
    let world = World::new().await;
    let (ahead, other) = (consultation_in(0, 0), consultation_in(1, 0));
    world.say(ahead, requested("ahead")).await;
    world.journal_raw(ahead, "docket.consultation.reopened.v1", "{}").await;
    world.say(ahead, commented()).await;
    world.say(other, requested("other")).await;
    world.say(other, commented()).await;
    let mut engine = world.engine().await;
    settle(&mut engine).await;
    assert_eq!(engine.stopped(ahead.shard(2)), Some(Stop::UnknownType));
    assert_eq!(engine.stopped(other.shard(2)), None);
    assert_eq!(world.number("select version from read.consultation where title = 'ahead'").await, 1);
    assert_eq!(world.number("select version from read.consultation where title = 'other'").await, 2);
    assert_eq!(world.number("select count(*) from read.dead_letter").await, 0, "it is no poison");

    // What the next release does: it knows the type.
    world
        .sql(
            "update write.journal set event_type = 'docket.consultation.timed_out.v1',
               data = '{\"deadline\":\"2026-01-01T00:00:00Z\"}' where event_type like '%reopened%'",
        )
        .await;
    settle(&mut world.engine().await).await;
    assert_eq!(world.number("select version from read.consultation where title = 'ahead'").await, 3);
    world.assert_verified().await;
}

#[tokio::test]
async fn too_many_parked_streams_stop_the_shard() {
    let world = World::new().await;
    for n in 0..5 {
        world.journal_raw(consultation_in(0, n), COMMENTED, "{}").await;
    }
    world.say(consultation_in(1, 0), requested("other")).await;
    let options = EngineOptions { park_limit: 2, ..EngineOptions::default() };
    let mut engine = world.engine().await.with_options(options);
    settle(&mut engine).await;
    assert_eq!(engine.stopped(consultation_in(0, 0).shard(2)), Some(Stop::Parking));
    assert_eq!(world.number("select count(distinct stream_id) from read.dead_letter").await, 2);
    assert_eq!(world.number("select count(*) from read.consultation").await, 1, "the other shard goes on");
}
