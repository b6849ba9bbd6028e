//! Subscriptions to articles and to counters.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    feed::{Shelf, TENANT, Text, id},
    support::person,
    websocket::Client,
};

impl Shelf {
    /// The projection tells what it has written.
    async fn told(&self, projection: &str, kind: &str, key: Uuid) {
        self.world
            .run(&format!(
                "with c as (update read.checkpoint set sequence = sequence + 1 where projection = '{projection}' and shard = 0 returning *)
                 insert into read.change (projection, category, shard, sequence, tenant, key, kind)
                 select projection, category, shard, sequence, '{TENANT}', '{key}', '{kind}' from c"
            ))
            .await;
        self.world.bell.ring();
    }

    async fn position(&self, query: &str) -> String {
        self.world.query(&self.token, query).await.1
    }
}

async fn told_of(client: &mut Client, name: &str) -> Value {
    let (_, answer) = client.next().await;
    assert!(answer["data"][name].is_object(), "{answer}");
    answer["data"][name].clone()
}

#[tokio::test]
async fn a_subscriber_hears_of_articles_and_resumes_and_never_of_what_others_keep() {
    let shelf = Shelf::new().await;
    let since = shelf.position("{ articles { nodes { id } } }").await;
    let subscription = |since: &str, topic: &str| {
        format!(
            "subscription {{ feedUpdated(since: \"{since}\"{topic}) {{ kind position article {{ title retracted }} }} }}"
        )
    };
    let mut client = Client::ready(&shelf.world, &shelf.token).await;
    client.subscribe("1", &subscription(&since, "")).await;
    let mut art = Client::ready(&shelf.world, &shelf.token).await;
    art.subscribe("1", &subscription(&since, ", topic: \"art\"")).await;
    shelf.article(1, Text { title: "One", ..Text::default() }).await;
    shelf.told("feed", "article_published", id(1)).await;
    let first = told_of(&mut client, "feedUpdated").await;
    assert_eq!((&first["kind"], &first["article"]["title"]), (&json!("article_published"), &json!("One")));
    // What somebody saves is told nobody, though it be of the same category.
    shelf.told("feed", "article_saved", id(1)).await;
    shelf.article(2, Text { title: "Two", topics: &["art"], ..Text::default() }).await;
    shelf.told("feed", "article_published", id(2)).await;
    shelf.retract(2).await;
    shelf.told("feed", "article_retracted", id(2)).await;
    assert_eq!(told_of(&mut client, "feedUpdated").await["article"]["title"], "Two");
    assert_eq!(told_of(&mut client, "feedUpdated").await["article"]["retracted"], "Wrong.");
    assert_eq!(told_of(&mut art, "feedUpdated").await["article"]["title"], "Two", "of its topic alone");

    let mut later = Client::ready(&shelf.world, &shelf.token).await;
    later.subscribe("1", &subscription(first["position"].as_str().unwrap(), "")).await;
    let kinds = [told_of(&mut later, "feedUpdated").await, told_of(&mut later, "feedUpdated").await];
    assert_eq!(kinds.map(|update| update["kind"].clone()), [json!("article_published"), json!("article_retracted")]);
}

#[tokio::test]
async fn a_subscriber_hears_of_the_counters_of_its_items_when_they_change() {
    let shelf = Shelf::new().await;
    let (one, two) = (id(1), id(2));
    let query = format!("{{ engagement(itemId: \"{one}\") {{ total {{ views }} }} }}");
    let since = shelf.position(&query).await;
    let subscription = format!(
        "subscription {{ engagementCounted(itemIds: [\"{one}\"], since: \"{since}\") {{ position items {{ itemId total {{ views }} }} }} }}"
    );
    let mut client = Client::ready(&shelf.world, &shelf.token).await;
    client.subscribe("1", &subscription).await;
    shelf.view(person(1), 1).await;
    shelf.told("engagement", "recorded", Uuid::from_u128(7)).await;
    let views = |count: i64| json!([{"itemId": one, "total": {"views": count}}]);
    assert_eq!(told_of(&mut client, "engagementCounted").await["items"], views(1));
    // Nothing is said of another item.
    shelf.view(person(1), 2).await;
    shelf.told("engagement", "recorded", two).await;
    shelf.view(person(2), 1).await;
    shelf.told("engagement", "recorded", one).await;
    assert_eq!(told_of(&mut client, "engagementCounted").await["items"], views(2));

    client.subscribe("2", "subscription { engagementCounted(itemIds: []) { position } }").await;
    let answer = client.receive().await;
    assert!(answer.to_string().contains("name 1 to 100 items"), "{answer}");
}
