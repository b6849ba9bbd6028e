//! Engagement projected: each thing once, and sums that are what the rows add up to, in any order of shards.

use docket_domain::engagement::{batch_stream, trend};
use docket_events::{
    Category, StreamId,
    engagement::{Action, Engaged, EngagementEvent, EngagementRecorded, Item},
};
use uuid::Uuid;

use crate::{
    order::random_parts,
    rebuild::rebuilt,
    support::{Bent, Dice, SHARDS, TENANT, World, settle, small},
};

fn person(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// A call of a reader whose stream is in `shard`.
fn call_in(shard: u16, user: Uuid, n: usize) -> StreamId {
    let calls = (0..).map(|n| StreamId::new(Category::Engagement, batch_stream(TENANT, user, &format!("call {n}"))));
    calls.filter(|stream| stream.shard(SHARDS).shard == shard).nth(n).expect("streams are in every shard")
}

fn told(user_id: Uuid, items: Vec<Engaged>) -> EngagementEvent {
    EngagementEvent::Recorded(EngagementRecorded { user_id, items })
}

fn deed(id: u128, action: Action, item: Item) -> Engaged {
    let dwell_ms = (action == Action::Dwell).then_some(1_500);
    Engaged { id: Uuid::from_u128(id), action, item, at: None, dwell_ms, consultation_id: None }
}

/// The sums say what the rows add up to.
async fn assert_sums(world: &World) {
    for sql in [
        "select count(*) from (
             select tenant, item, day, shard, views, clicks, saves, shares, dwells, dwell_ms from read.engagement_item_day
             except
             select tenant, item, (at at time zone 'UTC')::date, shard, count(*) filter (where action = 'view'),
                    count(*) filter (where action = 'click'), count(*) filter (where action = 'save'),
                    count(*) filter (where action = 'share'), count(*) filter (where action = 'dwell'), coalesce(sum(dwell_ms), 0)
             from read.engagement group by 1, 2, 3, 4) d",
        "select count(*) from (
             select tenant, user_id, day, shard, views, clicks, saves, shares, dwells, dwell_ms from read.engagement_user_day
             except
             select tenant, user_id, (at at time zone 'UTC')::date, shard, count(*) filter (where action = 'view'),
                    count(*) filter (where action = 'click'), count(*) filter (where action = 'save'),
                    count(*) filter (where action = 'share'), count(*) filter (where action = 'dwell'), coalesce(sum(dwell_ms), 0)
             from read.engagement group by 1, 2, 3, 4) d",
        "select count(*) - (select sum(views + clicks + saves + shares + dwells) from read.engagement_item_day) from read.engagement",
        "select count(*) - (select sum(views + clicks + saves + shares + dwells) from read.engagement_user_day) from read.engagement",
    ] {
        assert_eq!(world.number(sql).await, 0, "{sql}");
    }
}

/// Applies everything, shard by shard in parts that `seed` makes.
async fn replay(world: &World, seed: u64) {
    world.reset().await;
    let heads = world.number("select sum(sequence)::bigint from write.shard").await;
    let reader = Bent { inner: world.reader(), bend: random_parts(seed) };
    let mut engine = world.engine_with(reader).await.with_options(small(1 + seed as usize * 3));
    let mut applied = 0;
    while applied < heads as usize {
        applied += engine.turn().await.expect("a turn").applied;
    }
}

#[tokio::test]
async fn whatever_the_order_of_shards_everything_counts_once() {
    let world = World::new().await;
    let mut dice = Dice::new(8);
    for call in 0..40 {
        let user = person(1 + u128::from(dice.roll(3)));
        // Few ids: many of them are told again, in other calls and of other things.
        let mut items: Vec<Engaged> = (0..1 + dice.roll(12))
            .map(|_| {
                let action = Action::ALL[dice.roll(5) as usize];
                let id = Uuid::from_u128(1_000 + u128::from(dice.roll(6)));
                let item = if dice.roll(2) == 0 {
                    Item::Article(id)
                } else {
                    Item::Entity(Uuid::from_u128(id.as_u128() + 100))
                };
                let at = chrono::DateTime::from_timestamp(1_750_000_000 + dice.roll(5_000_000) as i64, 0);
                Engaged { at, ..deed(u128::from(dice.roll(90)), action, item) }
            })
            .collect();
        items.sort_by_key(|item| item.id);
        items.dedup_by_key(|item| item.id);
        world.say(call_in((call % 2) as u16, user, call), told(user, items)).await;
    }
    settle(&mut world.engine().await).await;
    let reference = world.rows().await;
    let distinct = world.number("select count(distinct (user_id, id)) from read.engagement").await;
    assert_eq!(reference["engagement_v1"].len() as i64, distinct);
    assert_sums(&world).await;
    for seed in 1..=30 {
        replay(&world, seed).await;
        assert_eq!(world.rows().await, reference, "seed {seed}");
    }
    world.assert_verified().await;
    rebuilt(&world, "engagement").await.expect("rebuilt");
    assert_sums(&world).await;
    world.assert_verified().await;
}

/// Gives one shard of engagement only once the other is through.
fn first(
    shard: u16,
) -> impl FnMut(&[(docket_events::ShardId, u64)], Vec<docket_events::Recorded>) -> Vec<docket_events::Recorded> + Send {
    let mut turns = 0;
    move |_, events| {
        turns += 1;
        let held = |event: &docket_events::Recorded| turns <= 5 && event.shard != shard;
        events.into_iter().filter(|event| !held(event)).collect()
    }
}

#[tokio::test]
async fn a_thing_that_is_told_in_two_calls_is_that_of_the_earlier_one_whichever_is_projected_first() {
    let world = World::new().await;
    let (user, other) = (person(1), person(2));
    let (article, entity) = (Item::Article(person(50)), Item::Entity(person(60)));
    // The second of a shard is later than the first of the other.
    world.say(call_in(1, other, 0), told(other, vec![deed(1, Action::Share, entity)])).await;
    world
        .say(call_in(1, user, 1), told(user, vec![deed(1, Action::Dwell, entity), deed(2, Action::View, entity)]))
        .await;
    world.say(call_in(0, user, 0), told(user, vec![deed(1, Action::View, article)])).await;
    // Told again in the same shard, with other words.
    world
        .say(call_in(0, user, 1), told(user, vec![deed(1, Action::Share, article), deed(3, Action::Save, article)]))
        .await;
    let mut found = Vec::new();
    for shard in [0, 1] {
        world.reset().await;
        let reader = Bent { inner: world.reader(), bend: first(shard) };
        let mut engine = world.engine_with(reader).await;
        let heads = world.number("select sum(sequence)::bigint from write.shard").await as usize;
        let mut applied = 0;
        while applied < heads {
            applied += engine.turn().await.expect("a turn").applied;
        }
        found.push(world.rows().await);
        assert_sums(&world).await;
        for (sql, expected) in [
            ("select count(*) from read.engagement", 4),
            (
                "select count(*) from read.engagement where id = '00000000-0000-0000-0000-000000000001' and action = 'view' and kind = 'article'",
                1,
            ),
            // Nothing is left of the dwell, nor a row of zeros.
            ("select coalesce(sum(dwells + dwell_ms), 0) from read.engagement_item_day", 0),
            ("select count(*) from read.engagement_trend where weight <= 0", 0),
            (
                "select coalesce(sum(views), 0) from read.engagement_item_day where item = '00000000-0000-0000-0000-000000000032'",
                1,
            ),
        ] {
            assert_eq!(world.number(sql).await, expected, "shard {shard} first: {sql}");
        }
    }
    assert_eq!(found[0], found[1]);
    world.assert_verified().await;
}

#[tokio::test]
async fn the_trend_of_an_item_is_the_sum_of_its_weights() {
    let world = World::new().await;
    let user = person(1);
    let at = |seconds: i64| chrono::DateTime::from_timestamp(1_750_000_000 + seconds, 0).expect("an instant");
    let mut expected = 0;
    for (n, action) in Action::ALL.into_iter().enumerate() {
        let at = at(n as i64 * 10_000);
        expected += trend::weight(action, at);
        let item = Engaged { at: Some(at), ..deed(n as u128, action, Item::Article(person(50))) };
        world.say(call_in((n % 2) as u16, user, n), told(user, vec![item])).await;
    }
    settle(&mut world.engine().await).await;
    assert_eq!(world.number("select sum(weight) from read.engagement_trend").await, expected);
    let block = world.number("select min(block) from read.engagement_trend").await;
    assert_eq!(block, i64::from(trend::block(at(0))));
}
