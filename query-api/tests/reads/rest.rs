//! `GET /api/v1/consultations/{id}`.

use docket_log::Position;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Asked, World, person};

const OURS: Uuid = Uuid::from_u128(0xa);

#[tokio::test]
async fn a_consultation_is_shown_with_its_history_version_and_position() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let mut asked = Asked::titled("A dormer");
    asked.external_id = Some("case-1".into());
    let (id, position) = world.asked(OURS, &asked).await;
    world.run(&format!(
        "update read.consultation_v1 set state = 'responded', decision = 'approve', rule = 'any_one', request_version = 1,
             ended_by = '{}', ended_by_name = 'Grace', ended_at = '2025-07-01T00:00:00.5Z', outcome_comment = 'Fine'",
        person(2)
    )).await;
    let response =
        world.http.get(world.url(&format!("/api/v1/consultations/{id}"))).bearer_auth(&token).send().await.unwrap();
    assert_eq!(response.headers()["etag"], "\"1\"");
    let answered: Position = response.headers()["docket-position"].to_str().unwrap().parse().unwrap();
    assert_eq!(answered, position);
    let text = response.text().await.unwrap();
    assert!(text.starts_with(&format!("{{\"id\":\"{id}\",\"version\":1,\"state\":\"responded\",\"title\":")), "{text}");
    let mut shown: Value = serde_json::from_str(&text).unwrap();
    let event_id = shown["history"][0]["event_id"].take();
    assert!(event_id.is_string());
    let receipt = shown["receipt"].take();
    assert_eq!(receipt.as_str().map(|receipt| receipt.split('.').count()), Some(3));
    let ada = json!({"id": person(1), "name": "Ada"});
    let usual = json!({
            "added_reviewers": [], "answer": {"type": "approval"}, "business_time_zone": null, "callback_url": null, "claimed_by": null,
            "clock_stopped_at": null, "escalations": [], "four_eyes": true, "groups": [], "labels": [], "on_timeout": null,
            "open_question_count": 0, "priority": "normal", "questions_stop_clock": false, "reminders": [], "roles": [],
            "rule": {"type": "any_one"}, "seats": [], "subject": null, "supersedes": null, "template": null, "vote_count": 0,
            "receipt": null, "receipt_minutes": 1440, "cites": [], "request_version": 1,
            "votes": [],
    });
    let mut expected = json!({
            "id": id, "version": 1, "state": "responded", "title": "A dormer", "body": null, "context": {"a": [1.5], "b": 1},
            "external_id": "case-1", "requested_by": ada, "requested_at": "2025-06-15T15:06:40Z", "reviewers": [],
            "deadline": null, "ended_at": "2025-07-01T00:00:00.500Z",
            "outcome": {"decision": "approve", "rule": "any_one", "request_version": 1,
                        "by": {"id": person(2), "name": "Grace"}, "agreed": [], "comment": "Fine", "at": "2025-07-01T00:00:00.500Z"},
            "withdrawal": null, "comment_count": 0, "late_response_count": 0, "updated_at": "2025-06-15T15:06:40Z",
            "history": [{"version": 1, "kind": "requested", "at": "2025-06-15T15:06:40Z", "by": ada, "decision": null,
                         "comment": null, "reason": null, "to": null, "details": null, "event_id": null}]
    });
    expected.as_object_mut().unwrap().extend(usual.as_object().unwrap().clone());
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn a_known_version_is_not_sent_again() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let (id, _) = world.asked(OURS, &Asked::titled("one")).await;
    let get = async |tag: &str| {
        let url = world.url(&format!("/api/v1/consultations/{id}"));
        let response = world.http.get(url).bearer_auth(&token).header("if-none-match", tag).send().await.unwrap();
        assert_eq!(response.headers()["etag"], "\"1\"");
        assert!(response.headers().contains_key("docket-position"));
        (response.status().as_u16(), response.bytes().await.unwrap().is_empty())
    };
    assert_eq!(get("\"1\"").await, (304, true));
    assert_eq!(get("\"2\"").await, (200, false));
}

#[tokio::test]
async fn without_a_token_or_a_uuid_nothing_is_shown() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let anonymous = world.http.get(world.url(&format!("/api/v1/consultations/{}", person(1)))).send().await.unwrap();
    assert_eq!(anonymous.status(), 401);
    assert_eq!(anonymous.headers()["www-authenticate"], "Bearer");
    let wrong = world.http.get(world.url("/api/v1/consultations/7")).bearer_auth(&token).send().await.unwrap();
    assert_eq!(
        (wrong.status().as_u16(), wrong.json::<Value>().await.unwrap()["code"].clone()),
        (400, json!("invalid_path"))
    );
}
