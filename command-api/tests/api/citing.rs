//! What a consultation rests on, and whether an organisation shows what was read before a vote.

use docket_platform::{auth::Role, ids};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{App, CONSULTATIONS, Member};

const READING: &str = "/api/v1/organisation/reading";

async fn entity(app: &App, by: &Member) -> Uuid {
    app.post(by, "/api/v1/entities", &json!({"type": "person", "name": "Ada"})).await.expect(201).id()
}

#[tokio::test]
async fn a_consultation_cites_what_the_organisation_has() {
    let app = App::new().await;
    let (asker, analyst) = (app.member("ada", Role::Requester).await, app.member("analyst", Role::Analyst).await);
    let article = app.post(&analyst, "/api/v1/articles", &json!({"title": "t"})).await.expect(201).id();
    let entity = entity(&app, &analyst).await;
    let cites = json!([{"article_id": article}, {"entity_id": entity}]);
    let asked = app.post(&asker, CONSULTATIONS, &json!({"title": "Deploy?", "cites": cites})).await.expect(201);
    assert_eq!(asked.body["cites"], cites);
    let plain = app.post(&asker, CONSULTATIONS, &json!({"title": "Deploy?"})).await.expect(201);
    assert_eq!(plain.body["cites"], json!([]));
    // What was asked for with a template may rest on something too.
    let admin = app.member("admin", Role::Admin).await;
    let template = json!({"request": {"title": "t", "cites": [{"entity_id": "{{who}}"}]}});
    app.call(Some(&admin), "PUT", "/api/v1/templates/who", &template, &[]).await.expect(200);
    let used = json!({"template": {"name": "who", "values": {"who": entity}}});
    let asked = app.post(&asker, CONSULTATIONS, &used).await.expect(201);
    assert_eq!(asked.body["cites"], json!([{"entity_id": entity}]));
}

#[tokio::test]
async fn what_cannot_be_cited_is_named_and_nothing_is_asked() {
    let app = App::new().await;
    let (asker, analyst) = (app.member("ada", Role::Requester).await, app.member("analyst", Role::Analyst).await);
    let entity = entity(&app, &analyst).await;
    let one = json!({"entity_id": entity});
    for (cites, words) in [
        (json!([{"article_id": entity}]), "has no article"),
        (json!([{"entity_id": ids::new_id()}]), "has no entity"),
        (json!([{}]), "either an article or an entity"),
        (json!([{"entity_id": entity, "article_id": entity}]), "either an article or an entity"),
        (json!([one, one]), "twice"),
        (Value::Array((0..51).map(|_| one.clone()).collect()), "more than 50"),
    ] {
        let body = json!({"title": "Deploy?", "cites": cites});
        let answer = app.post(&asker, CONSULTATIONS, &body).await.problem(422, "validation_failed");
        assert_eq!(answer.body["errors"][0]["field"], "cites", "{}", answer.body);
        assert!(answer.body.to_string().contains(words), "{words}: {}", answer.body);
    }
    assert_eq!(app.number("select count(*) from write.journal where category = 2").await, 0);
}

#[tokio::test]
async fn an_administrator_says_whether_reading_is_shown_and_saying_it_again_changes_nothing() {
    let app = App::new().await;
    let admin = app.member("admin", Role::Admin).await;
    let put = async |shown: Value| app.call(Some(&admin), "PUT", READING, &json!({"shown": shown}), &[]).await;
    assert_eq!(put(json!(false)).await.expect(200).body["reading_shown_since"], Value::Null);
    let first = put(json!(true)).await.expect(200);
    assert!(first.body["reading_shown_since"].is_string(), "{}", first.body);
    let again = put(json!(true)).await.expect(200);
    assert_eq!((&again.body, again.header("etag")), (&first.body, first.header("etag")));
    assert_eq!(put(json!(false)).await.expect(200).body["reading_shown_since"], Value::Null);
    put(json!("yes")).await.problem(422, "validation_failed");
    let told = "select count(*) from write.journal where event_type = 'docket.identity.reading_shown.v1'";
    assert_eq!(app.number(told).await, 2);
}
