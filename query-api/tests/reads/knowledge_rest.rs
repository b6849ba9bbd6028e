//! The REST reads of the knowledge graph.

use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::knowledge::{Graph, between, id};

impl Graph {
    async fn get_with(&self, path: &str, header: &str, value: &str) -> (u16, HeaderMap, Value) {
        let url = self.world.url(&format!("/api/v1/{path}"));
        let response = self.world.http.get(url).bearer_auth(&self.token).header(header, value).send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.unwrap();
        (status, headers, if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() })
    }

    async fn get(&self, path: &str) -> (u16, HeaderMap, Value) {
        self.get_with(path, "accept", "*/*").await
    }
}

#[tokio::test]
async fn an_entity_is_shown_with_its_version_and_a_merged_one_as_what_stands_for_it() {
    let graph = Graph::new().await;
    graph.entity(1, "El Paso", "place").await;
    graph.entity(2, "Paso del Norte", "place").await;
    let path = format!("entities/{}", id(1));
    let (status, headers, entity) = graph.get(&path).await;
    assert_eq!((status, &headers["etag"]), (200, &"\"1\"".parse().unwrap()));
    assert!(headers.contains_key("docket-position") && !headers.contains_key("content-location"));
    assert_eq!((&entity["id"], &entity["name"], &entity["type"]), (&json!(id(1)), &json!("El Paso"), &json!("place")));
    assert_eq!((&entity["properties"], &entity["merged_into"]), (&json!({"n": 1}), &Value::Null));
    assert_eq!(graph.get_with(&path, "if-none-match", "\"1\"").await.0, 304);
    assert_eq!(graph.get_with(&path, "if-none-match", "\"2\"").await.0, 200);

    graph.merge(1, 2).await;
    // Whatever version of the one is known, the other is another.
    let (status, headers, entity) = graph.get_with(&path, "if-none-match", "\"1\"").await;
    assert_eq!((status, &entity["id"], &entity["name"]), (200, &json!(id(2)), &json!("Paso del Norte")));
    assert_eq!(headers["content-location"], format!("/api/v1/entities/{}", id(2)));
    graph.retract(2).await;
    assert_eq!(graph.get(&format!("entities/{}", id(2))).await.2["retracted"], "Wrong.");

    let (status, _, problem) = graph.get(&format!("entities/{}", id(9))).await;
    assert_eq!((status, &problem["code"]), (404, &json!("not_found")));
    assert_eq!(graph.get("entities/7").await.2["code"], "invalid_path");
}

#[tokio::test]
async fn entities_are_found_and_a_known_list_is_not_sent_again() {
    let graph = Graph::new().await;
    graph.entity(1, "Paris", "city").await;
    graph.entity(2, "Paris Hilton", "person").await;
    let names = |found: &Value| -> Vec<String> {
        let entities = found["entities"].as_array().unwrap().iter();
        entities.map(|entity| entity["name"].as_str().unwrap().to_owned()).collect()
    };
    let (status, headers, found) = graph.get("entities?text=paris").await;
    assert_eq!((status, names(&found)), (200, vec!["Paris".to_owned(), "Paris Hilton".to_owned()]));
    let tag = headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(graph.get_with("entities?text=paris", "if-none-match", &tag).await.0, 304);
    assert_eq!(names(&graph.get("entities?text=paris&type=person").await.2), ["Paris Hilton"]);
    assert_eq!(names(&graph.get("entities?text=paris&limit=1").await.2), ["Paris"]);
    graph.retract(2).await;
    let (status, _, found) = graph.get_with("entities?text=paris", "if-none-match", &tag).await;
    assert_eq!((status, names(&found)), (200, vec!["Paris".to_owned()]));
    for (query, code) in [
        ("", "invalid_query"),
        ("?text=paris&kind=city", "invalid_query"),
        ("?text=", "invalid_argument"),
        ("?text=paris&limit=101", "invalid_argument"),
        ("?text=paris&type=No%20Type", "invalid_argument"),
    ] {
        let (status, _, problem) = graph.get(&format!("entities{query}")).await;
        assert_eq!((status, &problem["code"]), (400, &json!(code)), "{query}");
    }
}

#[tokio::test]
async fn relationships_are_listed_in_pages_with_what_stands_at_their_ends() {
    let graph = Graph::new().await;
    for n in 0..=4 {
        graph.entity(n, &format!("Thing {n}"), "thing").await;
    }
    for n in 1..=3 {
        graph.related(0, n, 0.5).await;
    }
    graph.related(4, 0, 1.0).await;
    let list = async |more: &str| graph.get(&format!("entities/{}/relationships{more}", id(0))).await.2;
    let ids = |page: &Value| -> Vec<Uuid> {
        let relationships = page["relationships"].as_array().unwrap_or_else(|| panic!("{page}")).iter();
        relationships.map(|one| one["id"].as_str().unwrap().parse().unwrap()).collect()
    };
    let first = list("?limit=2").await;
    assert_eq!(ids(&first), [between(0, 3), between(0, 2)]);
    assert_eq!(first["relationships"][0]["target_entity"], json!({"id": id(3), "type": "thing", "name": "Thing 3"}));
    let next = first["next"].as_str().unwrap();
    let rest = list(&format!("?limit=2&after={next}")).await;
    assert_eq!((ids(&rest), &rest["next"]), (vec![between(0, 1)], &Value::Null));
    assert_eq!(ids(&list("?direction=incoming").await), [between(4, 0)]);
    assert_eq!(ids(&list("?direction=both").await).len(), 4);
    assert_eq!(ids(&list("?type=to_2").await), [between(0, 2)]);
    for query in ["?direction=sideways", "?limit=0", "?after=nonsense", "?type=No%20Type"] {
        assert_eq!(graph.get(&format!("entities/{}/relationships{query}", id(0))).await.0, 400, "{query}");
    }

    // Ends keep the names that they were added with; what stands there now is said beside.
    graph.merge(3, 4).await;
    let merged = list("?type=to_3").await["relationships"][0].clone();
    assert_eq!((&merged["target_id"], &merged["target_entity"]["id"]), (&json!(id(3)), &json!(id(4))));
    let (_, headers, page) = graph.get(&format!("entities/{}/relationships?direction=both", id(3))).await;
    assert_eq!(headers["content-location"], format!("/api/v1/entities/{}/relationships", id(4)));
    assert_eq!(ids(&page).len(), 2);
    assert_eq!(graph.get(&format!("entities/{}/relationships", id(9))).await.0, 404);

    let path = format!("relationships/{}", between(0, 3));
    let (status, headers, shown) = graph.get(&path).await;
    assert_eq!((status, &shown["type"], shown["confidence"].as_f64()), (200, &json!("to_3"), Some(0.5)));
    assert_eq!((&shown["source_id"], &shown["target_id"]), (&json!(id(0)), &json!(id(3))));
    assert_eq!(headers["etag"], "\"1\"");
    assert_eq!(graph.get_with(&path, "if-none-match", "\"1\"").await.0, 304);
    assert_eq!(graph.get(&format!("relationships/{}", between(9, 9))).await.0, 404);
}

#[tokio::test]
async fn reads_of_the_graph_wait_for_a_position_or_say_that_it_is_not_there() {
    let graph = Graph::new().await;
    graph.entity(1, "One", "thing").await;
    graph.related(1, 2, 1.0).await;
    let config = docket_query_api::Config {
        position_wait: std::time::Duration::from_millis(50),
        ..docket_query_api::Config::default()
    };
    let world = &graph.world;
    let (pool, keys, bell) = (world.reader.clone(), world.keys.clone(), world.bell.clone());
    let (address, _) = crate::support::serve_api(pool, keys, world.installation, bell, config, &world.shutdown).await;
    let paths = [
        format!("entities/{}", id(1)),
        "entities?text=one".to_owned(),
        format!("entities/{}/relationships", id(1)),
        format!("relationships/{}", between(1, 2)),
    ];
    for path in paths {
        let get = async |position: &str| {
            let request = world.http.get(format!("http://{address}/api/v1/{path}")).bearer_auth(&graph.token);
            let response = request.header("docket-position", position).send().await.unwrap();
            (response.status().as_u16(), response.json::<Value>().await.unwrap()["code"].clone())
        };
        let at = |sequence| {
            let shard = docket_events::ShardId { category: docket_events::Category::Knowledge, shard: 0 };
            docket_log::Position::at(shard, sequence).to_string()
        };
        assert_eq!(get(&at(2)).await.0, 200, "{path}");
        assert_eq!(get(&at(3)).await, (503, json!("position_not_reached")), "{path}");
        assert_eq!(get("nonsense").await, (400, json!("invalid_position")), "{path}");
    }
}
