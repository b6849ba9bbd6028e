//! Subscriptions to the knowledge graph: changes of entities, and what happens around one.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    knowledge::{Graph, between, id},
    websocket::Client,
};

impl Graph {
    async fn position(&self) -> String {
        self.world.query(&self.token, "{ searchEntities(text: \"x\") { id } }").await.1
    }

    async fn client(&self) -> Client {
        Client::ready(&self.world, &self.token).await
    }

    async fn rename(&self, n: u128, name: &str) {
        let statement =
            format!("update read.entity_v1 set name = '{name}', version = version + 1 where id = '{}'", id(n));
        self.run("entity_changed", id(n), &statement).await;
    }

    async fn retract_related(&self, from: u128, to: u128) {
        let key = between(from, to);
        let statement = format!("update read.relationship_v1 set retracted = 'Wrong.' where id = '{key}'");
        self.run("relationship_retracted", key, &statement).await;
    }
}

fn entities(arguments: &str) -> String {
    format!(
        "subscription {{ entityChanged{arguments} {{ kind position at entityId entity {{ id name type retracted relationships {{ type }} }} }} }}"
    )
}

fn around(n: u128, arguments: &str) -> String {
    format!(
        "subscription {{ graphChanged(around: \"{}\"{arguments}) {{ kind position id entity {{ name }}
            relationship {{ type retracted sourceEntity {{ name }} targetEntity {{ name }} }} }} }}",
        id(n)
    )
}

/// What an entity's subscriber hears next: what happened, to which id, and the entity's name.
async fn heard(client: &mut Client) -> (String, Value, String) {
    let (_, answer) = client.next().await;
    let change = &answer["data"]["entityChanged"];
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    (text(&change["kind"]), change["entityId"].clone(), text(&change["entity"]["name"]))
}

/// What a subscriber around an entity hears next: what happened, and to what.
async fn heard_around(client: &mut Client) -> (String, Uuid) {
    let (_, answer) = client.next().await;
    let change = &answer["data"]["graphChanged"];
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    (text(&change["kind"]), text(&change["id"]).parse().unwrap())
}

#[tokio::test]
async fn a_subscriber_sees_entities_added_changed_merged_and_retracted() {
    let graph = Graph::new().await;
    let since = graph.position().await;
    let mut client = graph.client().await;
    client.subscribe("1", &entities(&format!("(since: \"{since}\")"))).await;
    graph.entity(1, "El Paso", "place").await;
    assert_eq!(heard(&mut client).await, ("entity_added".into(), json!(id(1)), "El Paso".into()));
    graph.entity(2, "Paso del Norte", "place").await;
    heard(&mut client).await;
    graph.related(2, 1, 0.5).await;
    graph.rename(2, "Ciudad Juárez").await;
    assert_eq!(heard(&mut client).await, ("entity_changed".into(), json!(id(2)), "Ciudad Juárez".into()));
    graph.merge(2, 1).await;
    let (_, answer) = client.next().await;
    let change = &answer["data"]["entityChanged"];
    assert_eq!((&change["kind"], &change["entityId"]), (&json!("entity_merged"), &json!(id(2))));
    assert_eq!((&change["entity"]["id"], &change["entity"]["name"]), (&json!(id(1)), &json!("El Paso")));
    graph.retract(1).await;
    let (_, answer) = client.next().await;
    assert_eq!(answer["data"]["entityChanged"]["entity"]["retracted"], "Wrong.");
}

#[tokio::test]
async fn a_subscription_may_be_of_one_entity_and_of_what_comes_to_stand_for_it_or_of_a_type() {
    let graph = Graph::new().await;
    for (n, name, kind) in [(1, "One", "place"), (2, "Two", "place"), (3, "Three", "person")] {
        graph.entity(n, name, kind).await;
    }
    let since = graph.position().await;
    let (mut one, mut people) = (graph.client().await, graph.client().await);
    one.subscribe("1", &entities(&format!("(since: \"{since}\", id: \"{}\")", id(1)))).await;
    people.subscribe("1", &entities(&format!("(since: \"{since}\", type: \"person\")"))).await;
    graph.rename(3, "Grace").await;
    graph.rename(2, "Too").await;
    graph.rename(1, "Uno").await;
    assert_eq!(heard(&mut one).await.2, "Uno");
    graph.merge(1, 2).await;
    assert_eq!(heard(&mut one).await, ("entity_merged".into(), json!(id(1)), "Too".into()));
    graph.rename(2, "Both").await;
    assert_eq!(heard(&mut one).await, ("entity_changed".into(), json!(id(2)), "Both".into()));
    assert_eq!(heard(&mut people).await.2, "Grace");
    graph.rename(3, "Ada").await;
    assert_eq!(heard(&mut people).await.2, "Ada", "nothing of the places was told between");
    // Whoever comes when it was merged long ago hears of what stands for it.
    let since = graph.position().await;
    let mut late = graph.client().await;
    late.subscribe("1", &entities(&format!("(since: \"{since}\", id: \"{}\")", id(1)))).await;
    graph.rename(3, "Else").await;
    graph.rename(2, "Late").await;
    assert_eq!(heard(&mut late).await.2, "Late");
}

#[tokio::test]
async fn a_subscriber_that_leaves_and_resumes_misses_no_entity_and_sees_none_twice() {
    const ENTITIES: usize = 120;
    let graph = std::sync::Arc::new(Graph::new().await);
    let mut since = graph.position().await;
    let writer = {
        let graph = graph.clone();
        tokio::spawn(async move {
            for n in 0..ENTITIES {
                graph.entity(n as u128, &n.to_string(), "thing").await;
            }
        })
    };
    let (mut seen, mut visits) = (BTreeSet::new(), 0);
    while seen.len() < ENTITIES {
        let mut client = graph.client().await;
        client.subscribe("1", &entities(&format!("(since: \"{since}\")"))).await;
        for _ in 0..(1 + visits % 13).min(ENTITIES - seen.len()) {
            let (_, answer) = client.next().await;
            let change = &answer["data"]["entityChanged"];
            let name: usize = change["entity"]["name"].as_str().unwrap_or_else(|| panic!("{answer}")).parse().unwrap();
            assert!(seen.insert(name), "{name} came twice");
            since = change["position"].as_str().unwrap().to_owned();
        }
        visits += 1;
    }
    writer.await.unwrap();
    assert_eq!(seen, (0..ENTITIES).collect());
}

#[tokio::test]
async fn positions_from_before_the_trimming_and_retried_streams_make_subscribers_of_the_graph_resync() {
    let graph = Graph::new().await;
    let old = graph.position().await;
    for n in 0..4 {
        graph.entity(n, "Thing", "thing").await;
    }
    let since = graph.position().await;
    graph
        .world
        .run("with gone as (delete from read.change where sequence <= 2 returning *)
              insert into read.change_trimmed select projection, category, shard, max(sequence) from gone group by 1, 2, 3")
        .await;
    let code = async |client: &mut Client| {
        let error = client.receive().await;
        assert_eq!(error["type"], "error", "{error}");
        error["payload"][0]["extensions"]["code"].clone()
    };
    for query in [entities(&format!("(since: \"{old}\")")), around(1, &format!(", since: \"{old}\""))] {
        let mut client = graph.client().await;
        client.subscribe("1", &query).await;
        assert_eq!(code(&mut client).await, "RESYNC_REQUIRED");
    }
    let mut client = graph.client().await;
    client.subscribe("1", &entities(&format!("(since: \"{since}\")"))).await;
    graph.rename(1, "Live").await;
    assert_eq!(heard(&mut client).await.2, "Live");
    graph
        .world
        .run("update read.checkpoint set parked = parked + 1 where projection = 'knowledge' and shard = 0")
        .await;
    graph.world.bell.ring();
    assert_eq!(code(&mut client).await, "RESYNC_REQUIRED");
}

#[tokio::test]
async fn another_tenant_hears_nothing_of_the_graph() {
    let graph = Graph::new().await;
    graph.entity(1, "Ours", "thing").await;
    graph.entity(2, "Two", "thing").await;
    let since = graph.position().await;
    let theirs = Uuid::from_u128(0xb);
    let mut client = Client::ready(&graph.world, &graph.world.token(theirs).await).await;
    client.subscribe("entities", &entities(&format!("(since: \"{since}\")"))).await;
    client.subscribe("around", &around(1, &format!(", since: \"{since}\", depth: 2"))).await;
    graph.related(1, 2, 1.0).await;
    graph.rename(1, "Ours too").await;
    graph.entity_of(theirs, 3, "Theirs", "thing").await;
    let (operation, answer) = client.next().await;
    assert_eq!(
        (operation.as_str(), &answer["data"]["entityChanged"]["entity"]["name"]),
        ("entities", &json!("Theirs"))
    );
}

#[tokio::test]
async fn what_happens_around_an_entity_is_told_and_what_is_far_away_is_not() {
    let graph = Graph::new().await;
    for n in 0..=5 {
        graph.entity(n, &format!("Thing {n}"), "thing").await;
    }
    // 0 → 1 → 2 → 3, and 4 and 5 apart.
    for n in 0..3 {
        graph.related(n, n + 1, 0.5).await;
    }
    let since = graph.position().await;
    let (mut near, mut wide) = (graph.client().await, graph.client().await);
    near.subscribe("1", &around(0, &format!(", since: \"{since}\""))).await;
    wide.subscribe("1", &around(0, &format!(", since: \"{since}\", depth: 2"))).await;
    let told = |kind: &str, id: Uuid| (kind.to_owned(), id);
    graph.rename(3, "Far").await;
    graph.related(3, 4, 1.0).await;
    // Of a neighbour, which lies without for who watches but one relationship.
    graph.related(1, 4, 1.0).await;
    assert_eq!(heard_around(&mut wide).await, told("relationship_added", between(1, 4)));
    graph.rename(2, "Two away").await;
    assert_eq!(heard_around(&mut wide).await, told("entity_changed", id(2)));
    graph.rename(1, "Beside").await;
    graph.related(0, 5, 1.0).await;
    for client in [&mut near, &mut wide] {
        assert_eq!(heard_around(client).await, told("entity_changed", id(1)));
        assert_eq!(heard_around(client).await, told("relationship_added", between(0, 5)));
    }
    // Its end is told, and then what lies behind it is not near any more.
    graph.retract_related(0, 1).await;
    for client in [&mut near, &mut wide] {
        let (_, answer) = client.next().await;
        let relationship = &answer["data"]["graphChanged"]["relationship"];
        assert_eq!((&relationship["type"], &relationship["retracted"]), (&json!("to_1"), &json!("Wrong.")));
        assert_eq!(relationship["targetEntity"]["name"], "Beside");
    }
    graph.rename(1, "Gone").await;
    graph.retract(5).await;
    for client in [&mut near, &mut wide] {
        assert_eq!(heard_around(client).await, told("entity_retracted", id(5)));
    }
}

#[tokio::test]
async fn an_entity_that_is_merged_is_watched_as_what_stands_for_it() {
    let graph = Graph::new().await;
    for n in 0..=3 {
        graph.entity(n, &format!("Thing {n}"), "thing").await;
    }
    let since = graph.position().await;
    let mut client = graph.client().await;
    client.subscribe("1", &around(0, &format!(", since: \"{since}\""))).await;
    graph.related(1, 2, 1.0).await;
    graph.merge(0, 1).await;
    let heard = heard_around(&mut client).await;
    // As the graph stands when it is told: the relationship may have been told as well, for the merge was there by then.
    if heard.0 == "relationship_added" {
        assert_eq!(heard_around(&mut client).await, ("entity_merged".into(), id(0)));
    } else {
        assert_eq!(heard, ("entity_merged".into(), id(0)));
    }
    graph.rename(3, "Far").await;
    graph.rename(2, "Beside").await;
    assert_eq!(heard_around(&mut client).await, ("entity_changed".into(), id(2)));
    graph.related(3, 0, 1.0).await;
    assert_eq!(heard_around(&mut client).await, ("relationship_added".into(), between(3, 0)));
}

#[tokio::test]
async fn what_is_watched_around_an_entity_is_within_two_relationships() {
    let graph = Graph::new().await;
    for query in [around(1, ", depth: 3"), around(1, ", depth: 0"), entities("(type: \"No Type\")")] {
        let mut client = graph.client().await;
        client.subscribe("1", &query).await;
        let error = client.receive().await;
        assert_eq!(
            (&error["type"], &error["payload"][0]["extensions"]["code"]),
            (&json!("error"), &json!("INVALID_ARGUMENT")),
            "{error}"
        );
    }
}
