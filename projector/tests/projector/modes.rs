//! P2 and P7 whatever the log is: what a real relay put into Kafka is projected like the journal itself.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use docket_log::{LogReader, Mode};
use tokio::sync::watch;

use crate::{
    people::lives,
    relay::{Relay, Watched, turn_until},
    support::{World, commented, consultation_in, populate, requested, settle, small},
};

const HEADS: &str = "select sum(sequence)::bigint from write.shard";

#[tokio::test]
async fn kafka_alone_gives_the_same_rows_as_the_journal() {
    let world = World::new().await;
    lives(&world, 5).await;
    populate(&world, 60, 6).await;
    settle(&mut world.engine().await).await;
    let reference = world.rows().await;
    assert!(reference["consultation_v1"].len() == 60 && reference["member_v1"].len() == 4);

    let relay = Relay::start(&world).await;
    relay.published(&world).await;
    world.reset().await;
    let reader = LogReader::kafka_alone(world.pool.clone(), &relay.kafka, relay.key.clone()).expect("a reader");
    let mut engine = world.engine_with(reader).await.with_options(small(40));
    let heads = world.number(HEADS).await as usize;
    let applied = turn_until(&mut engine, async |applied| applied >= heads).await;
    assert_eq!(applied, heads);
    assert_eq!(world.rows().await, reference);

    // And goes on with what comes.
    world.say(consultation_in(0, 90), requested("more")).await;
    turn_until(&mut engine, async |applied| applied > 0).await;
    assert_eq!(world.number("select count(*) from read.consultation").await, 61);
    world.assert_verified().await;
    relay.stop().await;
}

#[tokio::test]
async fn a_reader_goes_over_to_kafka_and_back_and_applies_each_event_once() {
    let world = World::new().await;
    populate(&world, 20, 7).await;
    let relay = Relay::start(&world).await;
    let (tell, mode) = watch::channel(Mode::Journal);
    let kafka = Some((&relay.kafka, relay.key.clone()));
    let inner = LogReader::new(world.pool.clone(), &world.journal, kafka, mode).expect("a reader");
    let from_kafka = Arc::new(AtomicBool::new(false));
    let is_kafka = || from_kafka.load(Ordering::Relaxed);
    let mut engine = world.engine_with(Watched { inner, from_kafka: from_kafka.clone() }).await;
    let mut applied = settle(&mut engine).await;
    assert!(!is_kafka(), "the log is in the journal");

    tell.send_replace(Mode::Kafka);
    applied += turn_until(&mut engine, async |_| is_kafka()).await;
    let (one, other) = (consultation_in(0, 90), consultation_in(1, 90));
    for stream in [one, other] {
        world.say(stream, requested("through Kafka")).await;
        world.say(stream, commented()).await;
    }
    applied += turn_until(&mut engine, async |applied| applied >= 4).await;
    assert!(is_kafka(), "it did not go back to the journal for them");

    tell.send_replace(Mode::Journal);
    relay.stop().await;
    for stream in [one, other] {
        world.say(stream, commented()).await;
    }
    applied += turn_until(&mut engine, async |applied| applied >= 2).await;
    assert!(!is_kafka());
    assert_eq!(applied as i64, world.number(HEADS).await);
    assert_eq!(
        world.number("select sum(comment_count)::bigint from read.consultation where title like '%Kafka'").await,
        4
    );
    world.assert_verified().await;
}
