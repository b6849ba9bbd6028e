//! Status, trimming, and a check that can fail.

use std::time::Duration;

use docket_projector::{status, trim, verify_read_model};

use crate::support::{World, commented, consultation_in, populate, requested, settle};

#[tokio::test]
async fn the_lag_is_told_in_events_and_seconds() {
    let world = World::new().await;
    let stream = consultation_in(1, 0);
    world.say(stream, requested("one")).await;
    settle(&mut world.engine().await).await;
    world.say(stream, commented()).await;
    world.say(stream, commented()).await;
    let lags = status::lag(&world.pool).await.expect("lags");
    assert_eq!(
        lags.len(),
        26,
        "two projections of consultations, three of identity, one each of knowledge, the feed and engagement, one of all five, two shards each"
    );
    let behind: Vec<_> = lags.iter().filter(|lag| lag.events() > 0).collect();
    assert_eq!(
        behind.iter().map(|lag| (lag.projection.as_str(), lag.shard.shard, lag.events())).collect::<Vec<_>>(),
        [("consultation", 1, 2), ("consultation_stats", 1, 2), ("events", 1, 2)]
    );
    assert!(behind.iter().all(|lag| lag.seconds > 0.0));
    settle(&mut world.engine().await).await;
    assert!(status::lag(&world.pool).await.expect("lags").iter().all(|lag| lag.events() == 0 && lag.seconds == 0.0));
}

#[tokio::test]
async fn what_a_release_brings_begins_at_the_beginning_of_a_log_that_is_there() {
    let world = World::new().await;
    populate(&world, 10, 6).await;
    settle(&mut world.engine().await).await;
    // As a database of an older release is, once it is migrated.
    world
        .sql(
            "truncate read.event_v1; delete from read.checkpoint where projection = 'events';
             delete from read.generation where projection = 'events'",
        )
        .await;
    let mut engine = world.engine().await;
    world.say(consultation_in(1, 40), requested("meanwhile")).await;
    settle(&mut engine).await;
    assert_eq!(
        world.number("select count(*) from read.event").await,
        world.number("select count(*) from write.journal").await
    );
    world.assert_verified().await;
}

#[tokio::test]
async fn trimming_records_how_far_it_went() {
    let world = World::new().await;
    populate(&world, 10, 6).await;
    settle(&mut world.engine().await).await;
    world.sql("update read.change set at = at - interval '2 days' where shard = 0").await;
    let old = world.number("select count(*) from read.change where shard = 0").await;
    let deleted = trim::trim(&world.pool, Duration::from_secs(24 * 3600)).await.expect("trimmed");
    assert_eq!(deleted as i64, old);
    assert_eq!(world.number("select count(*) from read.change where shard = 0").await, 0);
    assert_eq!(
        world.number("select sequence from read.change_trimmed").await,
        world.number("select sequence from read.checkpoint where projection = 'consultation' and shard = 0").await,
    );
    assert_eq!(trim::trim(&world.pool, Duration::from_secs(24 * 3600)).await.expect("trimmed"), 0);
    world.assert_verified().await;
}

#[tokio::test]
async fn the_check_sees_a_changed_a_missing_and_a_foreign_row() {
    let world = World::new().await;
    populate(&world, 10, 7).await;
    settle(&mut world.engine().await).await;
    world.assert_verified().await;
    world.sql("update read.consultation_stats_v1 set pending = pending + 1 where shard = 0").await;
    world.sql("delete from read.change where sequence = 3 and shard = 1").await;
    world.sql("insert into read.user_v1 values ('00000000-0000-0000-0000-00000000abcd', 0, null, null, now())").await;
    let differences = verify_read_model(&world.owner).await.expect("checked");
    let told: Vec<_> = differences.iter().map(|d| (d.table.as_str(), d.live_only.len(), d.replay_only.len())).collect();
    assert_eq!(told, [("consultation_stats_v1", 1, 1), ("user_v1", 1, 0), ("change", 0, 1)]);
    assert_eq!(
        world.number("select count(*) from pg_namespace where nspname like 'check_%'").await,
        0,
        "the scratch tables are gone"
    );
}
