//! What readers did: one thing or many in a call, taken whole or not at all, and journalled once.

use docket_platform::{auth::Role, ids};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{App, Member};

const ENGAGEMENT: &str = "/api/v1/engagement";
const CALLS: &str = "select count(*) from write.journal where category = 5";

async fn article(app: &App) -> (Member, Uuid) {
    let analyst = app.member("analyst", Role::Analyst).await;
    let id = app.post(&analyst, "/api/v1/articles", &json!({"title": "t"})).await.expect(201).id();
    (analyst, id)
}

fn view(article: Uuid) -> Value {
    json!({"id": ids::new_id(), "action": "view", "article_id": article})
}

#[tokio::test]
async fn a_call_is_taken_whole_and_a_repeated_one_is_the_same() {
    let app = App::new().await;
    let (_, article) = article(&app).await;
    let reader = app.member("reader", Role::Requester).await;
    let one = view(article);
    let taken = app.post(&reader, ENGAGEMENT, &one).await.expect(202);
    assert_eq!(taken.body["accepted"], 1);
    assert!(!taken.header("docket-position").is_empty());
    let again = app.post(&reader, ENGAGEMENT, &one).await.expect(202);
    assert_eq!(again.header("docket-position"), taken.header("docket-position"));
    assert_eq!(app.number(CALLS).await, 1);

    let many: Vec<Value> = (0..1_000).map(|_| view(article)).collect();
    let many = json!({"items": many, "batch_id": "mine"});
    assert_eq!(app.post(&reader, ENGAGEMENT, &many).await.expect(202).body["accepted"], 1_000);
    app.post(&reader, ENGAGEMENT, &many).await.expect(202);
    assert_eq!(app.number(CALLS).await, 2);
    let other = json!({"items": [view(article)], "batch_id": "mine"});
    app.post(&reader, ENGAGEMENT, &other).await.problem(409, "batch_taken");
    // Another reader's batch of the same name is another one.
    let stranger = app.member("stranger", Role::Reviewer).await;
    app.post(&stranger, ENGAGEMENT, &other).await.expect(202);
    assert_eq!(app.number(CALLS).await, 3);
}

#[tokio::test]
async fn what_cannot_be_told_is_refused_and_nothing_of_the_call_is_taken() {
    let app = App::new().await;
    let (reader, article) = article(&app).await;
    let with = |change: Value| {
        let mut item = view(article);
        item.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!({"items": [view(article), item]})
    };
    for (body, words) in [
        (json!({"items": []}), "1 to 1000"),
        (json!({"items": vec![view(article); 1_001]}), "1 to 1000"),
        (json!({"items": vec![view(article); 2]}), "item 1 has the id of another"),
        (with(json!({"action": "dwell"})), "in item 1, `dwell_ms`"),
        (with(json!({"action": "dwell", "dwell_ms": 86_400_001})), "in item 1, `dwell_ms`"),
        (with(json!({"dwell_ms": 5})), "in item 1, `dwell_ms`"),
        (with(json!({"at": "2999-01-01T00:00:00Z"})), "in item 1, `at`"),
        (with(json!({"at": "2020-01-01T00:00:00Z"})), "in item 1, `at`"),
        (with(json!({"entity_id": article})), "item 1 must name either"),
        (with(json!({"article_id": ids::new_id()})), "none of the organisation's articles"),
        (with(json!({"article_id": null, "entity_id": article})), "none of the organisation's entities"),
        (with(json!({"consultation_id": article})), "none of the organisation's consultations"),
    ] {
        let answer = app.post(&reader, ENGAGEMENT, &body).await.problem(422, "validation_failed");
        assert_eq!(answer.body["errors"][0]["field"], "items");
        assert!(answer.body.to_string().contains(words), "{words}: {}", answer.body);
    }
    for body in [with(json!({"action": "stare"})), with(json!({"id": 7})), with(json!({"colour": "red"})), json!(7)] {
        app.post(&reader, ENGAGEMENT, &body).await.problem(422, "validation_failed");
    }
    assert_eq!(app.number(CALLS).await, 0);
}
