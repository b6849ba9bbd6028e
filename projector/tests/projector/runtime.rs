//! Transactions, fences, erased names, and the whole worker with its leases.

use std::time::Duration;

use docket_log::{Mode, in_both_modes};
use docket_platform::Shutdown;
use docket_projector::{Config, Telling};
use tokio::sync::watch;

use crate::{
    relay::Relay,
    support::{World, commented, consultation_in, populate, requested, settle, small},
};

#[tokio::test]
async fn a_zombie_is_fenced_and_writes_nothing() {
    let world = World::new().await;
    let stream = consultation_in(0, 0);
    world.say(stream, requested("one")).await;
    let (mut zombie, mut heir) = (world.engine().await, world.engine().await);
    world.say(stream, commented()).await;
    assert_eq!(heir.turn().await.expect("a turn").applied, 2);
    let before = world.rows().await;
    zombie.turn().await.expect("fenced, and no error");
    assert_eq!(world.rows().await, before, "nothing was written");
    world.say(stream, commented()).await;
    assert_eq!(zombie.turn().await.expect("a turn").applied, 1, "it looked anew");
    assert_eq!(world.number("select comment_count from read.consultation").await, 2);
    world.assert_verified().await;
}

#[tokio::test]
async fn a_batch_that_fails_leaves_neither_rows_nor_checkpoint() {
    let world = World::new().await;
    populate(&world, 20, 4).await;
    // The rows of `consultation` are written before its history is refused.
    world.sql("revoke insert on read.consultation_history_v1 from docket_projector").await;
    let mut engine = world.engine().await;
    settle(&mut engine).await;
    assert_eq!(world.number("select count(*) from read.consultation").await, 0);
    assert_eq!(world.number("select max(sequence) from read.checkpoint where projection = 'consultation'").await, 0);
    assert_eq!(world.number("select count(*) from read.change").await, 0);
    assert_eq!(world.number("select count(*) from read.dead_letter").await, 0, "the data is not at fault");
    assert!(
        world
            .number("select sum(pending + responded + timed_out + withdrawn)::bigint from read.consultation_stats")
            .await
            == 20
    );
    world.assert_verified().await;

    world.sql("grant insert on read.consultation_history_v1 to docket_projector").await;
    let mut engine = world.engine().await.with_options(small(16));
    populate_more(&world).await;
    settle(&mut engine).await;
    assert_eq!(world.number("select count(*) from read.consultation").await, 21, "who was behind has caught up");
    assert_eq!(
        world
            .number("select count(distinct (category, shard, sequence)) from read.checkpoint where category = 2")
            .await,
        2
    );
    world.assert_verified().await;
}

async fn populate_more(world: &World) {
    let stream = consultation_in(0, 90);
    world.say(stream, requested("more")).await;
    world.say(stream, commented()).await;
}

#[tokio::test]
async fn erased_names_become_null() {
    let world = World::new().await;
    let stream = consultation_in(0, 0);
    world.say(stream, requested("one")).await;
    world.say(stream, commented()).await;
    // Person 1 asked, person 2 commented.
    world.sql("delete from vault.data_key where subject = '00000000-0000-0000-0000-000000000001'").await;
    settle(&mut world.engine().await).await;
    assert_eq!(world.number("select count(*) from read.consultation where requested_by_name is null").await, 1);
    let names: Vec<Option<String>> =
        sqlx::query_scalar("select by_name from read.consultation_history order by version")
            .fetch_all(&world.owner)
            .await
            .expect("names");
    assert_eq!(names, [None, Some("Person 2".to_owned())]);
    world.assert_verified().await;
}

/// Waits until `sql` counts `wanted`, at every ring of the read bell.
async fn until(world: &World, sql: &'static str, wanted: i64) {
    let mut listener = world.read.listen();
    let arrive = async {
        while world.number(sql).await != wanted {
            listener.heard(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), arrive).await.expect("in time");
}

in_both_modes!(the_worker_survives_the_loss_of_its_connections_and_shares_with_another);

async fn the_worker_survives_the_loss_of_its_connections_and_shares_with_another(mode: Mode) {
    let world = World::new().await;
    let relay = if mode == Mode::Kafka { Some(Relay::start(&world).await) } else { None };
    let shutdowns = [Shutdown::new(), Shutdown::new()];
    let config = Config { lease_ttl: 1, ..Config::default() };
    let start = |shutdown: &Shutdown| {
        let (config, database, shutdown) = (config.clone(), world.database.clone(), shutdown.clone());
        let (journal, read, installation) = (world.journal.clone(), world.read.clone(), world.installation);
        let log = (relay.as_ref().map(|relay| relay.kafka.clone()), watch::channel(mode).1);
        tokio::spawn(async move {
            docket_projector::run(
                config,
                &database,
                installation,
                log,
                (&journal, &read),
                Telling::default(),
                &shutdown,
            )
            .await
        })
    };
    let first = start(&shutdowns[0]);
    populate(&world, 10, 5).await;
    until(&world, "select count(*) from read.consultation", 10).await;

    world.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'docket-projector' and datname = current_database()").await;
    world.say(consultation_in(0, 50), requested("after the loss")).await;
    until(&world, "select count(*) from read.consultation", 11).await;

    let second = start(&shutdowns[1]);
    until(&world, "select count(distinct holder) from write.lease where team = 'projector'", 2).await;
    populate_more(&world).await;
    until(&world, "select coalesce(max(comment_count), 0)::bigint from read.consultation where title = 'more'", 1)
        .await;

    for (shutdown, task) in shutdowns.iter().zip([first, second]) {
        shutdown.drain(Duration::from_secs(10)).await.expect("drained");
        task.await.expect("ended").expect("well");
    }
    if let Some(relay) = relay {
        relay.stop().await;
    }
    assert_eq!(world.number("select count(*) from write.lease").await, 0, "leases are given back");
    world.assert_verified().await;
}
