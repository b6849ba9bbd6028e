//! The knowledge graph projected: in any order of shards, and on a database that an older release set up.

use docket_events::{
    Category, StreamId,
    knowledge::{
        EntityAdded, EntityChanged, EntityFacts, EntityMerged, EntityRetracted, KnowledgeEvent as E, RelationshipAdded,
        RelationshipChanged, RelationshipFacts, RelationshipRetracted,
    },
};
use docket_log::{Installation, Mode};
use docket_platform::ids;
use uuid::Uuid;

use crate::{
    order::random_parts,
    support::{Bent, SHARDS, World, settle, small},
};

fn stream(n: u128) -> StreamId {
    StreamId::new(Category::Knowledge, Uuid::from_u128(n))
}

fn facts(name: &str) -> EntityFacts {
    let aliases = vec!["a, \"quoted\" \\ one {}".to_owned(), "é".to_owned()];
    EntityFacts {
        entity_type: "thing".to_owned(),
        name: name.to_owned(),
        aliases,
        confidence: 0.5,
        ..EntityFacts::default()
    }
}

fn added(name: &str) -> E {
    E::EntityAdded(EntityAdded { facts: facts(name), external_id: Some(name.to_owned()), added_by: Uuid::nil() })
}

fn related(source: u128, target: u128) -> E {
    E::RelationshipAdded(RelationshipAdded {
        source_id: Uuid::from_u128(source),
        relationship_type: "next".to_owned(),
        target_id: Uuid::from_u128(target),
        facts: RelationshipFacts { confidence: 0.25, ..RelationshipFacts::default() },
        added_by: Uuid::nil(),
    })
}

/// A graph with everything that can happen to it: relationships before their entities, a merge before the one that stays is there.
async fn graph(world: &World) {
    for n in 0..20 {
        world.say(stream(1_000 + n), related(n, n + 1)).await;
    }
    for n in 0..=20 {
        world.say(stream(n), added(&format!("Thing {n}"))).await;
    }
    for n in 0..5 {
        world.say(stream(n), E::EntityChanged(EntityChanged { facts: facts("Other"), changed_by: Uuid::nil() })).await;
        world
            .say(stream(n), E::EntityMerged(EntityMerged { into: Uuid::from_u128(n + 1), merged_by: Uuid::nil() }))
            .await;
        let (reason, retracted_by) = ("Wrong.".to_owned(), Uuid::nil());
        world.say(stream(n + 10), E::EntityRetracted(EntityRetracted { reason: reason.clone(), retracted_by })).await;
        let gone = E::RelationshipRetracted(RelationshipRetracted { reason, retracted_by });
        world.say(stream(1_000 + n), gone).await;
        world.say(stream(1_001 + n), related(n + 1, n + 2)).await;
        let facts = RelationshipFacts { confidence: 0.75, ..RelationshipFacts::default() };
        world
            .say(stream(1_001 + n), E::RelationshipChanged(RelationshipChanged { facts, changed_by: Uuid::nil() }))
            .await;
    }
}

#[tokio::test]
async fn whatever_the_order_of_shards_the_graph_is_the_same() {
    let world = World::new().await;
    graph(&world).await;
    settle(&mut world.engine().await).await;
    let reference = world.rows().await;
    assert_eq!((reference["entity_v1"].len(), reference["relationship_v1"].len()), (21, 20));
    let alias = "select count(*) from read.entity where aliases[1] = 'a, \"quoted\" \\ one {}' and aliases[2] = 'é'";
    assert_eq!(world.number(alias).await, 21);
    assert_eq!(world.number("select count(*) from read.entity where merged_into is not null").await, 5);
    let heads = world.number("select sum(sequence)::bigint from write.shard").await;
    for seed in 1..=30 {
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
async fn a_database_that_an_older_release_set_up_gets_the_category_and_is_projected() {
    let world = World::new().await;
    // As the release before left it, with a projector that had been at work.
    settle(&mut world.engine().await).await;
    for statement in [
        "delete from write.shard where category = 3",
        "delete from write.category where code = 3",
        "delete from read.checkpoint where category = 3",
        "delete from read.generation where projection = 'knowledge'",
    ] {
        world.sql(statement).await;
    }
    let mut owner = world.owner.acquire().await.expect("a connection");
    docket_log::migrate::migrate(&mut owner).await.expect("migrated");
    let again = Installation::set_up(&mut owner, ids::new_id(), SHARDS + 5, Mode::Journal).await.expect("set up");
    assert_eq!(again, world.installation, "what was fixed stays");
    assert_eq!(world.number("select count(*) from write.shard where category = 3").await, i64::from(SHARDS));
    world.say(stream(1), added("One")).await;
    settle(&mut world.engine().await).await;
    assert_eq!(world.number("select count(*) from read.entity").await, 1);
    assert_eq!(world.number("select count(*) from read.event where category = 3").await, 1, "the feed tells it");
    world.assert_verified().await;
}
