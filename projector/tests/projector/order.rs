//! P2 and P7: exactly once in effect, in order, and equal whatever the order of shards.

use std::collections::HashMap;

use docket_events::{Recorded, ShardId};
use docket_projector::runtime::Stop;
use uuid::Uuid;

use crate::{
    people::lives,
    support::{Bent, Dice, World, commented, consultation_in, populate, requested, settle, small},
};

/// Gives of each shard a random part of what was read, and some of it again.
pub(crate) fn random_parts(seed: u64) -> impl FnMut(&[(ShardId, u64)], Vec<Recorded>) -> Vec<Recorded> + Send {
    let mut dice = Dice::new(seed);
    let mut given: HashMap<ShardId, Recorded> = HashMap::new();
    move |_, events| {
        let mut left: HashMap<ShardId, u64> = HashMap::new();
        let mut parts = Vec::new();
        for event in events {
            let left = left.entry(event.shard_id()).or_insert_with(|| dice.roll(40));
            if *left == 0 {
                continue;
            }
            *left -= 1;
            if let (0, Some(before)) = (dice.roll(4), given.get(&event.shard_id())) {
                parts.push(before.clone());
            }
            given.insert(event.shard_id(), event.clone());
            parts.push(event);
        }
        parts
    }
}

#[tokio::test]
async fn a_hundred_interleavings_of_shards_give_equal_rows() {
    let world = World::new().await;
    lives(&world, 1).await;
    populate(&world, 60, 1).await;
    settle(&mut world.engine().await).await;
    let reference = world.rows().await;
    let heads = world.number("select sum(sequence)::bigint from write.shard").await;
    assert!(reference["consultation_v1"].len() == 60 && reference["member_v1"].len() == 4);
    for seed in 1..=100 {
        world.reset().await;
        let reader = Bent { inner: world.reader(), bend: random_parts(seed) };
        let mut engine = world.engine_with(reader).await.with_options(small(1 + seed as usize * 3));
        let mut applied = 0;
        while applied < heads as usize {
            applied += engine.turn().await.expect("a turn").applied;
        }
        assert_eq!(world.rows().await, reference, "seed {seed}");
    }
    world.assert_verified().await;
}

#[tokio::test]
async fn what_the_reader_lost_is_taken_from_the_journal() {
    let world = World::new().await;
    populate(&world, 30, 2).await;
    let mut dice = Dice::new(5);
    let bend = move |_: &[(ShardId, u64)], mut events: Vec<Recorded>| {
        events.retain(|_| dice.roll(4) > 0);
        events
    };
    let mut engine = world.engine_with(Bent { inner: world.reader(), bend }).await.with_options(small(40));
    let heads = world.number("select sum(sequence)::bigint from write.shard").await as usize;
    let mut applied = 0;
    while applied < heads {
        applied += engine.turn().await.expect("a turn").applied;
    }
    assert_eq!(applied, heads);
    world.assert_verified().await;
}

#[tokio::test]
async fn a_gap_in_the_journal_itself_stops_its_shard_until_it_is_closed() {
    let world = World::new().await;
    let (broken, whole) = (consultation_in(0, 0), consultation_in(1, 0));
    for stream in [broken, whole] {
        world.say(stream, requested("one")).await;
        world.say(stream, commented()).await;
        world.say(stream, commented()).await;
    }
    world
        .sql("create table kept as select * from write.journal where category = 2 and shard = 0 and sequence = 2")
        .await;
    world.sql("delete from write.journal where category = 2 and shard = 0 and sequence = 2").await;
    let mut engine = world.engine().await;
    settle(&mut engine).await;
    assert_eq!(engine.stopped(broken.shard(2)), Some(Stop::Gap));
    assert_eq!(engine.stopped(whole.shard(2)), None);
    assert_eq!(
        world.number("select sequence from read.checkpoint where projection = 'consultation' and shard = 0").await,
        1
    );
    assert_eq!(
        world.number("select sequence from read.checkpoint where projection = 'consultation' and shard = 1").await,
        3
    );

    world.sql("insert into write.journal select * from kept").await;
    let mut engine = world.engine().await;
    settle(&mut engine).await;
    assert_eq!(
        world.number("select sequence from read.checkpoint where projection = 'consultation' and shard = 0").await,
        3
    );
    world.assert_verified().await;
}

#[tokio::test]
async fn another_event_under_a_known_sequence_halts_its_shard() {
    let world = World::new().await;
    let stream = consultation_in(0, 0);
    world.say(stream, requested("one")).await;
    let mut first: Option<Recorded> = None;
    let bend = move |_: &[(ShardId, u64)], events: Vec<Recorded>| match &first {
        None => {
            first = events.first().cloned();
            events
        }
        // A log that was restored from elsewhere: the sequence is known, the event is another.
        Some(event) => {
            let forged = Recorded { id: Uuid::from_u128(666), ..event.clone() };
            std::iter::once(forged).chain(events).collect()
        }
    };
    let mut engine = world.engine_with(Bent { inner: world.reader(), bend }).await;
    engine.turn().await.expect("a turn");
    assert_eq!(engine.stopped(stream.shard(2)), None);
    world.say(stream, commented()).await;
    engine.turn().await.expect("a turn");
    assert_eq!(engine.stopped(stream.shard(2)), Some(Stop::Halted));
    assert_eq!(world.number("select version from read.consultation").await, 1);
}
