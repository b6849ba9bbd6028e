//! The feed: articles are published, revised and retracted, topics form a tree, readers keep what is theirs.

use docket_platform::{auth::Role, ids};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, App, Member};

const ARTICLES: &str = "/api/v1/articles";

async fn put(app: &App, by: &Member, path: &str, body: &Value) -> Answer {
    app.call(Some(by), "PUT", path, body, &[]).await
}

async fn topic(app: &App, by: &Member, topic: &str, parent: Option<&str>) -> Answer {
    put(app, by, &format!("/api/v1/topics/{topic}"), &json!({"name": topic.to_uppercase(), "parent": parent})).await
}

#[tokio::test]
async fn an_article_is_published_revised_and_retracted() {
    let app = App::new().await;
    let analyst = app.member("analyst", Role::Analyst).await;
    topic(&app, &analyst, "leases", None).await.expect(200);
    let entity = json!({"type": "thing", "name": "A lease"});
    let entity = app.post(&analyst, "/api/v1/entities", &entity).await.expect(201).id();
    let asked = json!({
        "title": "How leases end", "summary": "In some sentences.", "body": "Whole.\nIn lines.", "content_type": "paper", "quality": 0.9,
        "relevance": 0.25, "topics": ["leases"], "entities": [entity], "source_url": "https://example.org/leases",
        "published_at": "2026-01-01T00:00:00Z", "external_id": "Q1",
    });
    let first = app.post(&analyst, ARTICLES, &asked).await.expect(201);
    for (field, value) in asked.as_object().unwrap() {
        if field != "published_at" {
            assert_eq!(&first.body[field], value, "{field}");
        }
    }
    assert_eq!(first.header("etag"), "\"1\"");
    let again = app.post(&analyst, ARTICLES, &json!({"title": "Another", "external_id": "Q1"})).await.expect(200);
    assert_eq!(again.body, first.body);

    let id = first.id();
    let path = format!("{ARTICLES}/{id}");
    let revised = put(&app, &analyst, &path, &json!({"title": "How leases end", "quality": 1})).await.expect(200);
    assert_eq!((&revised.body["topics"], revised.body["quality"].as_f64()), (&json!([]), Some(1.0)));
    let retract = format!("{path}/retract");
    let retracted = app.post(&analyst, &retract, &json!({"reason": "Its figures were wrong."})).await.expect(200);
    assert_eq!(retracted.body["retracted"], "Its figures were wrong.");
    app.post(&analyst, &retract, &json!({"reason": "Twice."})).await.expect(200);
    put(&app, &analyst, &path, &json!({"title": "x"})).await.problem(409, "retracted");
    assert_eq!(app.events_of(id).await, ["article_published", "article_revised", "article_retracted"]);
}

#[tokio::test]
async fn what_cannot_be_published_is_refused_and_nothing_is_written() {
    let app = App::new().await;
    let analyst = app.member("analyst", Role::Analyst).await;
    let before = app.number("select count(*) from write.journal").await;
    for (body, field) in [
        (json!({"title": ""}), "title"),
        (json!({"title": "x".repeat(1_000_000)}), "title"),
        (json!({"title": "a\u{7}"}), "title"),
        (json!({"title": "t", "body": "x".repeat(200_000)}), "body"),
        (json!({"title": "t", "quality": 1.1}), "quality"),
        (json!({"title": "t", "relevance": -0.1}), "relevance"),
        (json!({"title": "t", "relevance": "NaN"}), "relevance"),
        (json!({"title": "t", "content_type": "A Paper"}), "content_type"),
        (json!({"title": "t", "topics": ["unknown"]}), "topics"),
        (json!({"title": "t", "entities": [ids::new_id()]}), "entities"),
        (json!({"title": "t", "source_url": "ftp://example.org"}), "source_url"),
        (json!({"title": "t", "published_at": "2999-01-01T00:00:00Z"}), "published_at"),
        (json!({"title": "t", "colour": "red"}), "colour"),
    ] {
        let answer = app.post(&analyst, ARTICLES, &body).await.problem(422, "validation_failed");
        assert_eq!(answer.body["errors"][0]["field"], field, "{}", answer.body);
    }
    assert_eq!(app.number("select count(*) from write.journal").await, before);
}

#[tokio::test]
async fn topics_never_go_in_a_circle() {
    let app = App::new().await;
    let analyst = app.member("analyst", Role::Analyst).await;
    for (word, parent) in [("science", None), ("physics", Some("science")), ("optics", Some("physics"))] {
        topic(&app, &analyst, word, parent).await.expect(200);
    }
    topic(&app, &analyst, "science", Some("optics")).await.problem(409, "topic_in_itself");
    topic(&app, &analyst, "physics", Some("art")).await.problem(422, "validation_failed");
    topic(&app, &analyst, "A%20topic", None).await.problem(422, "validation_failed");
    let remove = |word: &str| format!("/api/v1/topics/{word}");
    app.call(Some(&analyst), "DELETE", &remove("physics"), &Value::Null, &[]).await.problem(409, "topic_has_parts");
    app.call(Some(&analyst), "DELETE", &remove("art"), &Value::Null, &[]).await.problem(404, "not_found");
    let left = app.call(Some(&analyst), "DELETE", &remove("optics"), &Value::Null, &[]).await.expect(200);
    assert_eq!(left.body["topics"].as_array().unwrap().len(), 2);

    // Two who move two topics below each other at once: one of them is refused.
    topic(&app, &analyst, "art", None).await.expect(200);
    let (one, other) =
        tokio::join!(topic(&app, &analyst, "art", Some("science")), topic(&app, &analyst, "science", Some("art")));
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
}

#[tokio::test]
async fn readers_keep_preferences_and_articles_of_their_own() {
    let app = App::new().await;
    let (analyst, reader) = (app.member("analyst", Role::Analyst).await, app.member("reader", Role::Requester).await);
    topic(&app, &analyst, "leases", None).await.expect(200);
    let preferences = "/api/v1/user/topics/preferences";
    let set = put(&app, &reader, preferences, &json!({"topics": {"leases": 0.75}})).await.expect(200);
    assert_eq!(set.body["topics"], json!({"leases": 0.75}));
    put(&app, &reader, preferences, &json!({"topics": {"leases": 2}})).await.problem(422, "validation_failed");
    put(&app, &reader, preferences, &json!({"topics": {"none": 1}})).await.problem(422, "validation_failed");

    let article = app.post(&analyst, ARTICLES, &json!({"title": "t"})).await.expect(201).id();
    let path = format!("/api/v1/user/saved/{article}");
    let saved = put(&app, &reader, &path, &json!({"note": "Read again."})).await.expect(200);
    assert_eq!((&saved.body["saved"], &saved.body["note"]), (&json!(true), &json!("Read again.")));
    put(&app, &reader, &path, &json!({"note": "x".repeat(2_001)})).await.problem(422, "validation_failed");
    for _ in 0..2 {
        let gone = app.call(Some(&reader), "DELETE", &path, &Value::Null, &[]).await.expect(200);
        assert_eq!((&gone.body["saved"], &gone.body["note"]), (&json!(false), &Value::Null));
    }
    let none = format!("/api/v1/user/saved/{}", Uuid::nil());
    put(&app, &reader, &none, &json!({})).await.problem(404, "not_found");
}
