//! The feed projected, in any order of shards.

use chrono::DateTime;
use docket_domain::feed::{preferences_id, saved_id, topics_id};
use docket_events::{
    Category, StreamId,
    feed::{
        ArticleFacts, ArticlePublished, ArticleRetracted, ArticleRevised, ArticleSaved, ArticleUnsaved, FeedEvent as E,
        PreferencesSet, TopicRemoved, TopicSet,
    },
};
use uuid::Uuid;

use crate::{
    order::random_parts,
    rebuild::rebuilt,
    support::{Bent, TENANT, World, settle, small},
};

const WHO: Uuid = Uuid::from_u128(1);

fn stream(id: Uuid) -> StreamId {
    StreamId::new(Category::Feed, id)
}

fn article(n: u128) -> StreamId {
    stream(Uuid::from_u128(n))
}

fn facts(title: &str) -> ArticleFacts {
    ArticleFacts {
        title: title.to_owned(),
        body: "It says \"so\" \\ {and} more,\nin lines.".to_owned(),
        content_type: "paper".to_owned(),
        quality: 0.75,
        relevance: 0.5,
        topics: vec!["optics".to_owned(), "a/b.c-d_e".to_owned()],
        entities: vec![Uuid::from_u128(7), Uuid::from_u128(8)],
        published_at: DateTime::from_timestamp(1_750_000_000, 1_000).expect("an instant"),
        ..ArticleFacts::default()
    }
}

fn topic(topic: &str, parent: Option<&str>) -> E {
    let (topic, parent) = (topic.to_owned(), parent.map(str::to_owned));
    E::TopicSet(TopicSet { name: topic.to_uppercase(), topic, parent, set_by: WHO })
}

/// Everything that can happen, some of it again and again.
async fn feed(world: &World) {
    let topics = stream(topics_id(TENANT));
    for event in [topic("science", None), topic("optics", None), topic("optics", Some("science")), topic("art", None)] {
        world.say(topics, event).await;
    }
    world.say(topics, E::TopicRemoved(TopicRemoved { topic: "art".to_owned(), removed_by: WHO })).await;
    for n in 0..20 {
        // Before the article is heard of.
        let saved = stream(saved_id(TENANT, WHO, Uuid::from_u128(n)));
        let (user_id, article_id) = (WHO, Uuid::from_u128(n));
        for note in [None, Some("Read again.".to_owned())] {
            world.say(saved, E::ArticleSaved(ArticleSaved { user_id, article_id, note })).await;
        }
        if n % 3 == 0 {
            world.say(saved, E::ArticleUnsaved(ArticleUnsaved { user_id, article_id })).await;
        }
        let external_id = (n % 2 == 0).then(|| format!("case, {n}"));
        let published = ArticlePublished { facts: facts(&format!("Number {n}")), external_id, published_by: WHO };
        world.say(article(n), E::ArticlePublished(published)).await;
        let user_id = Uuid::from_u128(100 + n % 4);
        let weights = [("optics".to_owned(), n as f64 / 20.0)].into();
        let set = E::PreferencesSet(PreferencesSet { user_id, topics: weights });
        world.say(stream(preferences_id(TENANT, user_id)), set).await;
    }
    for n in 0..10 {
        let facts = ArticleFacts { quality: 1.0, topics: Vec::new(), ..facts("Revised") };
        world.say(article(n), E::ArticleRevised(ArticleRevised { facts, revised_by: WHO })).await;
        if n < 5 {
            let retracted = ArticleRetracted { reason: "Wrong.".to_owned(), retracted_by: WHO };
            world.say(article(n), E::ArticleRetracted(retracted)).await;
        }
    }
}

#[tokio::test]
async fn whatever_the_order_of_shards_the_feed_is_the_same() {
    let world = World::new().await;
    feed(&world).await;
    settle(&mut world.engine().await).await;
    let reference = world.rows().await;
    let count = |table: &str| reference[table].len();
    assert_eq!(["article_v1", "topic_v1", "preference_v1", "saved_v1"].map(count), [20, 2, 4, 13]);
    for (sql, expected) in [
        ("select count(*) from read.article where title = 'Revised' and topics = '{}' and quality = 1", 10),
        ("select count(*) from read.article where topics = '{optics,a/b.c-d_e}' and cardinality(entities) = 2", 10),
        ("select count(*) from read.article where retracted = 'Wrong.' and version = 3", 5),
        ("select count(*) from read.article where external_id = 'case, 12' and version = 1", 1),
        ("select count(*) from read.article where words @@ websearch_to_tsquery('english', 'revision')", 10),
        ("select count(*) from read.topic where topic = 'optics' and name = 'OPTICS' and parent = 'science'", 1),
        ("select count(*) from read.preference where topics = '{\"optics\":0.95}'", 1),
        ("select count(*) from read.saved where note = 'Read again.' and version = 2", 13),
    ] {
        assert_eq!(world.number(sql).await, expected, "{sql}");
    }
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
async fn a_rebuilt_feed_is_searched_as_the_live_one_was() {
    let world = World::new().await;
    feed(&world).await;
    settle(&mut world.engine().await).await;
    rebuilt(&world, "feed").await.expect("rebuilt");
    world.assert_verified().await;
    let found =
        "select count(*) from (select set_config('docket.tenant', '00000000-0000-0000-0000-000000007e4a', false)) s,
         read.find_articles('00000000-0000-0000-0000-000000007e4a', 'revise', null, 100, 0)";
    assert_eq!(world.number(found).await, 5, "those that stand");
    let about = "select count(*) from (select set_config('docket.tenant', '00000000-0000-0000-0000-000000007e4a', false)) s,
         read.articles_about('00000000-0000-0000-0000-000000007e4a', array['00000000-0000-0000-0000-000000000007'::uuid], 100)";
    assert_eq!(world.number(about).await, 15);
}
