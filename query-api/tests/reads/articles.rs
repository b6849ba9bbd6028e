//! Articles: one, lists, topics, and the search.

use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::feed::{Shelf, TENANT, Text, id};

fn titles(answer: &Value) -> Vec<String> {
    let title = |found: &Value| found["article"]["title"].as_str().unwrap().to_owned();
    answer["articles"].as_array().unwrap().iter().map(title).collect()
}

#[tokio::test]
async fn an_article_is_shown_whole_with_its_version_and_why_it_was_retracted() {
    let shelf = Shelf::new().await;
    let entity = id(100);
    shelf
        .article(
            1,
            Text { title: "On light", body: "It bends.", topics: &["optics"], entities: &[entity], ..Text::default() },
        )
        .await;
    let get = async |known: &str| {
        let url = shelf.world.url(&format!("/api/v1/articles/{}", id(1)));
        shelf.world.http.get(url).bearer_auth(&shelf.token).header("if-none-match", known).send().await.unwrap()
    };
    let response = get("\"2\"").await;
    assert_eq!(response.headers()["etag"], "\"3\"");
    assert!(response.headers().contains_key("docket-position"));
    let article: Value = response.json().await.unwrap();
    for (name, value) in [
        ("title", json!("On light")),
        ("body", json!("It bends.")),
        ("summary", json!("In short.")),
        ("topics", json!(["optics"])),
        ("entities", json!([entity])),
        ("version", json!(3)),
        ("retracted", Value::Null),
    ] {
        assert_eq!(article[name], value, "{name}");
    }
    assert_eq!(get("\"3\"").await.status(), 304);
    shelf.retract(1).await;
    let article: Value = get("\"3\"").await.json().await.unwrap();
    assert_eq!(article["retracted"], "Wrong.");
    assert_eq!(shelf.wrong(&format!("/api/v1/articles/{}", id(2))).await.0, 404);
    let query = format!(
        "{{ article(id: \"{}\") {{ title body retracted publishedAt }} none: article(id: \"{}\") {{ id }} }}",
        id(1),
        id(2)
    );
    let answer = shelf.ask(&query).await;
    assert_eq!((&answer["article"]["body"], &answer["none"]), (&json!("It bends."), &Value::Null));
}

#[tokio::test]
async fn an_article_leads_to_entities_and_back_through_what_was_merged() {
    let shelf = Shelf::new().await;
    for n in [101, 102, 103, 104] {
        shelf
            .world
            .run(&format!(
                "insert into read.entity_v1 (id, tenant, shard, version, type, name, aliases, properties, confidence, added_at, updated_at, words, letters)
                 values ('{}', '{TENANT}', 0, 1, 'thing', 'Thing {n}', '{{}}', '{{}}', 1, now(), now(), '', '')",
                id(n)
            ))
            .await;
    }
    shelf.world.run(&format!("update read.entity_v1 set merged_into = '{}' where id = '{}'", id(102), id(101))).await;
    shelf.world.run(&format!("update read.entity_v1 set retracted = 'Wrong.' where id = '{}'", id(104))).await;
    fn about(entities: &[Uuid]) -> Text<'_> {
        Text { entities, ..Text::default() }
    }
    shelf.article(1, about(&[id(103), id(101), id(102), id(104), id(999)])).await;
    shelf.article(2, about(&[id(102)])).await;
    shelf.article(3, about(&[id(101)])).await;
    shelf.retract(3).await;
    let query = format!(
        "{{ articles {{ nodes {{ id entities {{ name }} }} }} one: article(id: \"{}\") {{ entities(limit: 1) {{ name articles {{ id }} }} }}
            entity(id: \"{}\") {{ name articles {{ id }} }} }}",
        id(1),
        id(101)
    );
    let answer = shelf.ask(&query).await;
    let nodes = answer["articles"]["nodes"].as_array().unwrap();
    let one = nodes.iter().find(|node| node["id"] == json!(id(1))).unwrap();
    assert_eq!((nodes.len(), &one["entities"]), (2, &json!([{"name": "Thing 103"}, {"name": "Thing 102"}])));
    assert_eq!(answer["one"]["entities"], json!([{"name": "Thing 103", "articles": [{"id": id(1)}]}]));
    assert_eq!(answer["entity"]["name"], "Thing 102");
    let mut back: Vec<_> =
        answer["entity"]["articles"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    back.sort_by_key(Value::to_string);
    assert_eq!(back, [json!(id(1)), json!(id(2))]);
}

#[tokio::test]
async fn articles_are_listed_the_newest_first_and_by_topic() {
    let shelf = Shelf::new().await;
    for (topic, parent) in [("science", None), ("physics", Some("science")), ("art", None)] {
        shelf.topic(topic, parent).await;
    }
    for n in 1..=5 {
        let topics: &[&str] = if n % 2 == 0 { &["physics"] } else { &["art", "gone"] };
        shelf
            .article(
                n,
                Text { title: &format!("Number {n}"), topics, age: TimeDelta::days(n as i64), ..Text::default() },
            )
            .await;
    }
    shelf.retract(3).await;
    let first = shelf.get(&shelf.token, "/api/v1/articles?limit=3").await;
    assert_eq!(titles(&first), ["Number 1", "Number 2", "Number 4"]);
    assert_eq!(first["articles"][0].as_object().unwrap().keys().collect::<Vec<_>>(), ["article"]);
    let rest =
        shelf.get(&shelf.token, &format!("/api/v1/articles?limit=3&after={}", first["next"].as_str().unwrap())).await;
    assert_eq!((titles(&rest), &rest["next"]), (vec!["Number 5".to_owned()], &Value::Null));
    for (topic, expected) in
        [("science", &["Number 2", "Number 4"][..]), ("gone", &["Number 1", "Number 5"]), ("unheard-of", &[])]
    {
        assert_eq!(
            titles(&shelf.get(&shelf.token, &format!("/api/v1/articles?topic={topic}")).await),
            expected,
            "{topic}"
        );
    }
    let topics = shelf.get(&shelf.token, "/api/v1/topics").await["topics"].clone();
    assert_eq!(
        topics,
        json!([
            {"topic": "art", "name": "ART", "parent": null, "path": ["art"], "articles": 2},
            {"topic": "physics", "name": "PHYSICS", "parent": "science", "path": ["science", "physics"], "articles": 2},
            {"topic": "science", "name": "SCIENCE", "parent": null, "path": ["science"], "articles": 0},
        ])
    );
    let answer = shelf.ask("{ articles(first: 1, topic: \"science\") { nodes { title } pageInfo { hasNextPage } } topics { topic articles } }").await;
    assert_eq!(answer["articles"], json!({"nodes": [{"title": "Number 2"}], "pageInfo": {"hasNextPage": true}}));
}

#[tokio::test]
async fn articles_are_found_by_their_words_the_title_first_and_shown_as_harmless_html() {
    let shelf = Shelf::new().await;
    let body = "Some of the mirrors & <script>alert(\"it's on\")</script> a < b, and more of that kind.";
    shelf.article(1, Text { title: "A paper on glass", body, ..Text::default() }).await;
    shelf.article(2, Text { title: "Grinding a mirror & more", topics: &["optics"], ..Text::default() }).await;
    shelf.article(3, Text { title: "Nothing of it", body: "At all.", ..Text::default() }).await;
    shelf.article(4, Text { title: "Mirror, retracted", ..Text::default() }).await;
    shelf.retract(4).await;
    let found = shelf.get(&shelf.token, "/api/v1/articles?text=mirror").await;
    assert_eq!(
        titles(&found),
        ["Grinding a mirror & more", "A paper on glass"],
        "by its stem, and the title counts for more"
    );
    assert_eq!(found["articles"][0]["title_marked"], "Grinding a <mark>mirror</mark> &amp; more");
    let excerpt = found["articles"][1]["excerpt"].as_str().unwrap();
    assert!(excerpt.contains("<mark>mirrors</mark> &amp;"), "{excerpt}");
    let bare = excerpt.replace("<mark>", "").replace("</mark>", "");
    assert!(!bare.contains(['<', '>', '"', '\'']), "{excerpt}");
    assert_eq!(
        titles(&shelf.get(&shelf.token, "/api/v1/articles?text=mirror%20-glass").await),
        ["Grinding a mirror & more"]
    );
    assert_eq!(titles(&shelf.get(&shelf.token, "/api/v1/articles?text=mirror&topic=optics").await).len(), 1);
    assert_eq!(
        titles(&shelf.get(&shelf.token, "/api/v1/articles?text=the").await),
        [""; 0],
        "a word that says nothing"
    );

    let first = shelf.get(&shelf.token, "/api/v1/articles?text=mirror&limit=1").await;
    let next = first["next"].as_str().unwrap();
    let rest = shelf.get(&shelf.token, &format!("/api/v1/articles?text=mirror&limit=1&after={next}")).await;
    assert_eq!((titles(&rest), &rest["next"]), (vec!["A paper on glass".to_owned()], &Value::Null));
    let answer =
        shelf.ask("{ searchArticles(text: \"mirror\", limit: 1) { article { title } titleMarked excerpt } }").await;
    assert_eq!(answer["searchArticles"][0]["titleMarked"], "Grinding a <mark>mirror</mark> &amp; more");
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_by_its_name() {
    let shelf = Shelf::new().await;
    let text = "x".repeat(201);
    for (path, field) in [
        ("feed?limit=0", "limit"),
        ("feed?limit=101", "limit"),
        ("feed?after=nonsense", "after"),
        ("feed?after=AQ.AQ", "after"),
        ("feed?topic=No%20Topic", "topic"),
        ("feed/trending?kind=person", "kind"),
        ("feed/trending?limit=0", "limit"),
        ("articles?text=", "text"),
        ("articles?text=%20", "text"),
        ("articles?text=a%07", "text"),
        (&format!("articles?text={text}"), "text"),
        ("articles?text=a&after=AQ", "after"),
        ("articles?limit=-1", "limit"),
        ("articles?after=nonsense", "after"),
        ("articles?topic=", "topic"),
        ("user/saved?limit=0", "limit"),
        ("user/saved?after=nonsense", "after"),
        ("user/engagement?after=nonsense", "after"),
        (&format!("engagement/{}?days=0", id(1)), "days"),
        (&format!("engagement/{}?days=367", id(1)), "days"),
    ] {
        let told = shelf.wrong(&format!("/api/v1/{path}")).await;
        assert_eq!(told, (400, "invalid_argument".to_owned(), field.to_owned()), "{path}");
    }
    for (path, code) in [
        ("feed?limit=many", "invalid_query"),
        ("feed?page=2", "invalid_query"),
        ("articles/7", "invalid_path"),
        ("engagement/7", "invalid_path"),
    ] {
        let (status, told, _) = shelf.wrong(&format!("/api/v1/{path}")).await;
        assert_eq!((status, told.as_str()), (400, code), "{path}");
    }
    for query in [
        "{ feed(first: 0) { nodes { score } } }",
        "{ feed(after: \"nonsense\") { nodes { score } } }",
        "{ articles(topic: \"No Topic\") { nodes { id } } }",
        "{ searchArticles(text: \" \") { excerpt } }",
        "{ trending(limit: 101) { score } }",
        "{ myEngagement(after: \"nonsense\") { nodes { id } } }",
    ] {
        let (status, code) = shelf.world.refused(&shelf.token, query).await;
        assert_eq!((status, code.as_str()), (400, "INVALID_ARGUMENT"), "{query}");
    }
}
