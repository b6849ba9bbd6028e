//! The knowledge graph read: entities, their relationships, ways and neighbourhoods.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::World;

pub const TENANT: Uuid = Uuid::from_u128(0xa);

pub fn id(n: u128) -> Uuid {
    Uuid::from_u128(0x1000 + n)
}

/// The relationship that leads from one entity to another.
pub fn between(from: u128, to: u128) -> Uuid {
    Uuid::from_u128(from << 32 | to << 16 | 1)
}

pub struct Graph {
    pub world: World,
    pub token: String,
}

impl Graph {
    pub async fn new() -> Self {
        let world = World::new().await;
        let token = world.token(TENANT).await;
        Self { world, token }
    }

    /// Runs what a projector does for an event of this kind and key: rows, the change and the checkpoint together.
    pub async fn run(&self, kind: &str, key: Uuid, statement: &str) {
        self.run_as(TENANT, kind, key, statement).await;
    }

    async fn run_as(&self, tenant: Uuid, kind: &str, key: Uuid, statement: &str) {
        let told = format!(
            "begin; {statement};
             update read.checkpoint set sequence = sequence + 1 where projection = 'knowledge' and category = 3 and shard = 0;
             insert into read.change (projection, category, shard, sequence, tenant, key, kind)
             select projection, category, shard, sequence, '{tenant}', '{key}', '{kind}' from read.checkpoint
             where projection = 'knowledge' and category = 3 and shard = 0; commit"
        );
        self.world.run(&told).await;
        self.world.bell.ring();
    }

    pub async fn entity(&self, n: u128, name: &str, kind: &str) {
        self.entity_of(TENANT, n, name, kind).await;
    }

    pub async fn entity_of(&self, tenant: Uuid, n: u128, name: &str, kind: &str) {
        let statement = format!(
            "insert into read.entity_v1 (id, tenant, shard, version, type, name, aliases, properties, confidence, added_at, updated_at, words, letters)
             values ('{}', '{tenant}', 0, 1, '{kind}', '{name}', '{{}}', '{{\"n\":{n}}}', 0.5, now(), now(),
                     read.entity_words('{tenant}', '{name}', '{{}}', null), lower('{name}'))",
            id(n)
        );
        self.run_as(tenant, "entity_added", id(n), &statement).await;
    }

    pub async fn related(&self, from: u128, to: u128, confidence: f64) {
        let key = between(from, to);
        let statement = format!(
            "insert into read.relationship_v1 (id, tenant, shard, version, source_id, type, target_id, properties, confidence, added_at, updated_at)
             values ('{}', '{TENANT}', 0, 1, '{}', 'to_{to}', '{}', '{{}}', {confidence}, timestamptz '2026-01-01' + make_interval(secs => {to}), now())",
            key,
            id(from),
            id(to)
        );
        self.run("relationship_added", key, &statement).await;
    }

    pub async fn ask(&self, query: &str) -> Value {
        self.world.query(&self.token, query).await.0
    }

    pub async fn merge(&self, from: u128, into: u128) {
        let (key, into) = (id(from), id(into));
        self.run("entity_merged", key, &format!("update read.entity_v1 set merged_into = '{into}' where id = '{key}'"))
            .await;
    }

    pub async fn retract(&self, n: u128) {
        self.run(
            "entity_retracted",
            id(n),
            &format!("update read.entity_v1 set retracted = 'Wrong.' where id = '{}'", id(n)),
        )
        .await;
    }

    /// A chain 0 → 1 → 2 → 3 → 4 → 5 → 6, and a surer way round: 0 → 10 → 2.
    async fn chain() -> Self {
        let graph = Self::new().await;
        for n in 0..=6 {
            graph.entity(n, &format!("Thing {n}"), "thing").await;
        }
        graph.entity(10, "Round", "thing").await;
        for n in 0..6 {
            graph.related(n, n + 1, 0.5).await;
        }
        graph.related(0, 10, 1.0).await;
        graph.related(10, 2, 1.0).await;
        graph
    }
}

#[tokio::test]
async fn an_entity_shows_its_relationships_and_what_is_around_it() {
    let graph = Graph::chain().await;
    let query = format!(
        "{{ entity(id: \"{}\") {{ name type confidence relationships(limit: 20) {{ type confidence targetEntity {{ id name type }} }}
            relatedEntities(depth: 2) {{ id name relationshipPath }} }} }}",
        id(0)
    );
    let entity = graph.ask(&query).await["entity"].clone();
    assert_eq!(
        (&entity["name"], &entity["type"], entity["confidence"].as_f64()),
        (&json!("Thing 0"), &json!("thing"), Some(0.5))
    );
    assert_eq!(
        entity["relationships"],
        json!([
            {"type": "to_10", "confidence": 1.0, "targetEntity": {"id": id(10), "name": "Round", "type": "thing"}},
            {"type": "to_1", "confidence": 0.5, "targetEntity": {"id": id(1), "name": "Thing 1", "type": "thing"}},
        ])
    );
    let related = entity["relatedEntities"].as_array().unwrap();
    assert_eq!(related.len(), 3, "{related:?}");
    assert_eq!(related[2]["name"], "Thing 2");
    assert_eq!(related[2]["relationshipPath"].as_array().unwrap().len(), 2);

    let query = format!(
        "{{ entity(id: \"{}\") {{ incoming: relationships(direction: INCOMING) {{ sourceEntity {{ id }} }} both: relationships(direction: BOTH) {{ id }}
            one: relationships(direction: BOTH, type: \"to_2\") {{ id }} none: relationships(type: \"unheard_of\") {{ id }}
            relationshipsConnection(first: 1, direction: BOTH) {{ edges {{ cursor node {{ id }} }} pageInfo {{ hasNextPage endCursor }} }} }} }}",
        id(2)
    );
    let entity = graph.ask(&query).await["entity"].clone();
    let count = |name: &str| entity[name].as_array().unwrap().len();
    assert_eq!(["incoming", "both", "one", "none"].map(count), [2, 3, 2, 0]);
    let page = &entity["relationshipsConnection"];
    assert_eq!(page["pageInfo"]["hasNextPage"], true);
    let next = format!(
        "{{ entity(id: \"{}\") {{ relationshipsConnection(first: 5, direction: BOTH, after: {}) {{ nodes {{ id }} pageInfo {{ hasNextPage }} }} }} }}",
        id(2),
        page["pageInfo"]["endCursor"]
    );
    let rest = graph.ask(&next).await["entity"]["relationshipsConnection"].clone();
    assert_eq!((rest["nodes"].as_array().unwrap().len(), &rest["pageInfo"]["hasNextPage"]), (2, &json!(false)));
}

#[tokio::test]
async fn a_way_is_the_shortest_or_the_surest_and_no_longer_than_asked_for() {
    let graph = Graph::chain().await;
    let path = async |from: u128, to: u128, more: &str| {
        let query = format!(
            "{{ path(from: \"{}\", to: \"{}\"{more}) {{ hops confidence entities {{ name }} relationships {{ type }} }} }}",
            id(from),
            id(to)
        );
        graph.ask(&query).await["path"].clone()
    };
    let names = |path: &Value| -> Vec<String> {
        path["entities"].as_array().unwrap().iter().map(|entity| entity["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(path(0, 3, "").await["hops"], 3);
    // Backwards it is the same way.
    assert_eq!(path(3, 0, "").await["hops"], 3);
    let sure = path(0, 3, ", by: CONFIDENCE").await;
    assert_eq!(
        (names(&sure), sure["confidence"].as_f64()),
        (["Thing 0", "Round", "Thing 2", "Thing 3"].map(str::to_owned).to_vec(), Some(0.5))
    );
    assert_eq!(sure["relationships"], json!([{"type": "to_10"}, {"type": "to_2"}, {"type": "to_3"}]));
    assert_eq!(path(0, 3, ", maxDepth: 2").await, Value::Null);
    assert_eq!(path(0, 5, "").await["hops"], 5);
    assert_eq!(path(0, 6, "").await, Value::Null, "six are too many");
    assert_eq!(path(0, 0, "").await["hops"], 0);
    assert_eq!(path(0, 999, "").await, Value::Null);
}

#[tokio::test]
async fn a_neighbourhood_says_when_it_is_cut_and_has_a_packed_form() {
    let graph = Graph::chain().await;
    let around = async |limit: i32| {
        let query = format!(
            "{{ neighbourhood(id: \"{}\", depth: 5, limit: {limit}) {{ nodes {{ id depth }} edges {{ source target type }}
                packed {{ ids parents relationshipTypes }} cut }} }}",
            id(0)
        );
        graph.ask(&query).await["neighbourhood"].clone()
    };
    let whole = around(100).await;
    assert_eq!((whole["nodes"].as_array().unwrap().len(), &whole["cut"]), (7, &json!(false)), "{whole}");
    assert_eq!(whole["edges"].as_array().unwrap().len(), 7);
    let packed = &whole["packed"];
    assert_eq!(
        (packed["ids"][0].clone(), &packed["parents"][0], &packed["relationshipTypes"][0]),
        (json!(id(0)), &Value::Null, &Value::Null)
    );
    let place = packed["ids"].as_array().unwrap().iter().position(|of| *of == json!(id(3))).unwrap();
    let parent = packed["parents"][place].as_u64().unwrap() as usize;
    assert_eq!((&packed["ids"][parent], &packed["relationshipTypes"][place]), (&json!(id(2)), &json!("to_3")));
    let cut = around(2).await;
    assert_eq!((cut["nodes"].as_array().unwrap().len(), &cut["cut"]), (3, &json!(true)));

    let query = format!("{{ entity(id: \"{}\") {{ relatedEntities(depth: 5, limit: 2) {{ id }} }} }}", id(0));
    let (_, answer) = graph.world.post(&graph.token, &json!({ "query": query })).await;
    assert_eq!(answer["extensions"]["cut"], true, "{answer}");
}

#[tokio::test]
async fn what_was_merged_is_read_as_what_stands_for_it_and_what_was_retracted_is_passed_over() {
    let graph = Graph::chain().await;
    // 1 is 10, and 10 is 4: then 0 leads to 4, and 2 does through 10.
    for (from, into) in [(1, 10), (10, 4)] {
        graph.merge(from, into).await;
    }
    let query = format!(
        "{{ merged: entity(id: \"{}\") {{ id relationships(direction: BOTH) {{ sourceEntity {{ id }} targetEntity {{ id }} }} }}
            path(from: \"{}\", to: \"{}\") {{ hops }} searchEntities(text: \"Round\") {{ id }} }}",
        id(1),
        id(0),
        id(1)
    );
    let answer = graph.ask(&query).await;
    assert_eq!(answer["merged"]["id"], json!(id(4)));
    let relationships = answer["merged"]["relationships"].as_array().unwrap();
    assert_eq!(relationships.len(), 6, "{relationships:?}");
    assert!(
        relationships
            .iter()
            .all(|one| one["sourceEntity"]["id"] == json!(id(4)) || one["targetEntity"]["id"] == json!(id(4)))
    );
    assert_eq!((&answer["path"]["hops"], &answer["searchEntities"]), (&json!(1), &json!([{"id": id(4)}])));

    graph.retract(4).await;
    let query = format!(
        "{{ entity(id: \"{0}\") {{ retracted relationships {{ id }} }} path(from: \"{1}\", to: \"{0}\") {{ hops }}
            around: entity(id: \"{1}\") {{ relatedEntities(depth: 5) {{ id }} }} searchEntities(text: \"Thing 4\") {{ id }} }}",
        id(4),
        id(0)
    );
    let answer = graph.ask(&query).await;
    assert_eq!((&answer["entity"]["retracted"], &answer["path"]), (&json!("Wrong."), &Value::Null));
    assert_eq!(answer["around"]["relatedEntities"], json!([]));
    assert!(!answer["searchEntities"].as_array().unwrap().iter().any(|found| found["id"] == json!(id(4))));
}

#[tokio::test]
async fn entities_are_found_by_prefix_words_and_likeness_the_best_first() {
    let graph = Graph::new().await;
    for (n, name, kind) in [
        (1, "Paris", "city"),
        (2, "Paris Hilton", "person"),
        (3, "The mayor of Paris", "person"),
        (4, "Parsifal", "opera"),
        (5, "100%_sure", "thing"),
    ] {
        graph.entity(n, name, kind).await;
    }
    let find = async |text: &str, more: &str| -> Vec<String> {
        let query = format!("{{ searchEntities(text: \"{text}\"{more}) {{ name }} }}");
        let found = graph.ask(&query).await["searchEntities"].clone();
        found.as_array().unwrap().iter().map(|entity| entity["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(find("paris", "").await, ["Paris", "Paris Hilton", "The mayor of Paris"]);
    assert_eq!(find("paris", ", type: \"person\"").await, ["Paris Hilton", "The mayor of Paris"]);
    assert_eq!(find("par", "").await[..1], ["Paris"]);
    assert_eq!(find("mayor", "").await, ["The mayor of Paris"]);
    assert_eq!(find("Parsifall", "").await, ["Parsifal"], "by likeness");
    assert_eq!(find("100%_", "").await, ["100%_sure"]);
    assert_eq!(find("%", "").await, [""; 0]);
    assert_eq!(find("paris", ", type: \"unheard_of\"").await, [""; 0]);
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused() {
    let graph = Graph::chain().await;
    let one = format!("id: \"{}\"", id(0));
    for query in [
        format!("{{ entity({one}) {{ relatedEntities(depth: 6) {{ id }} }} }}"),
        format!("{{ entity({one}) {{ relatedEntities(depth: 0) {{ id }} }} }}"),
        format!("{{ entity({one}) {{ relatedEntities(limit: 1001) {{ id }} }} }}"),
        format!("{{ entity({one}) {{ relationships(limit: 101) {{ id }} }} }}"),
        format!("{{ entity({one}) {{ relationships(type: \"No Type\") {{ id }} }} }}"),
        format!("{{ neighbourhood({one}, depth: -1) {{ cut }} }}"),
        "{ searchEntities(text: \" \") { id } }".to_owned(),
        "{ searchEntities(text: \"a\\u0007\") { id } }".to_owned(),
    ] {
        let (status, code) = graph.world.refused(&graph.token, &query).await;
        assert_eq!((status, code.as_str()), (400, "INVALID_ARGUMENT"), "{query}");
    }
}
