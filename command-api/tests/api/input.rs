//! Bad input is a 4xx that names the field, and leaves nothing behind.

use docket_platform::auth::Role;
use serde_json::json;

use crate::support::{App, CONSULTATIONS, Member, path, request};

struct Bad {
    body: Vec<u8>,
    status: u16,
    code: &'static str,
    field: Option<&'static str>,
}

fn bad(body: impl Into<Vec<u8>>, status: u16, code: &'static str, field: impl Into<Option<&'static str>>) -> Bad {
    Bad { body: body.into(), status, code, field: field.into() }
}

fn invalid(body: serde_json::Value, field: &'static str) -> Bad {
    bad(body.to_string(), 422, "validation_failed", field)
}

async fn refuse(app: &App, by: &Member, path: &str, bad: Bad) {
    let shown = String::from_utf8_lossy(&bad.body[..bad.body.len().min(120)]).into_owned();
    let answer = app.send(request(Some(by), path, bad.body, &[("idempotency-key", "bad")])).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["code"]),
        (bad.status, &json!(bad.code)),
        "{shown}: {}",
        answer.body
    );
    if let Some(field) = bad.field {
        assert_eq!(answer.body["errors"][0]["field"], field, "{shown}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_bad_request_names_the_field_and_writes_nothing() {
    let app = App::new().await;
    let asker = app.member("asker", Role::Requester).await;
    let deep = format!(r#"{{"title":"t","context":{}{}}}"#, "[".repeat(100), "]".repeat(100));
    let table = vec![
        bad("", 400, "invalid_json", None),
        bad("{", 400, "invalid_json", None),
        bad("[]", 422, "validation_failed", "$"),
        bad("{}", 422, "validation_failed", "title"),
        invalid(json!({"title": "t", "tilte": "t"}), "tilte"),
        invalid(json!({"title": 5}), "title"),
        invalid(json!({"title": null}), "title"),
        invalid(json!({"title": ""}), "title"),
        invalid(json!({"title": "   "}), "title"),
        invalid(json!({"title": "a\nb"}), "title"),
        invalid(json!({"title": "x".repeat(201)}), "title"),
        invalid(json!({"title": "x".repeat(900_000)}), "title"),
        bad(json!({"title": "x".repeat(1024 * 1024)}).to_string(), 413, "too_large", None),
        invalid(json!({"title": "t", "body": "x".repeat(64 * 1024 + 1)}), "body"),
        invalid(json!({"title": "t", "body": ["x"]}), "body"),
        invalid(json!({"title": "t", "context": "x".repeat(200 * 1024)}), "context"),
        bad(deep, 400, "json_too_deep", "context"),
        bad(b"{\"title\":\"\xff\"}".to_vec(), 400, "invalid_utf8", "title"),
        bad(r#"{"title":"a\u0000b"}"#, 422, "validation_failed", "title"),
        bad(r#"{"title":"t","context":{"k":["\u0000"]}}"#, 422, "validation_failed", "context.k[0]"),
        bad(r#"{"title":"t","title":"u"}"#, 400, "duplicate_key", "title"),
        bad(r#"{"title":"t","context":1e999}"#, 400, "invalid_json", None),
        invalid(json!({"title": "t", "external_id": ""}), "external_id"),
        invalid(json!({"title": "t", "external_id": "x".repeat(201)}), "external_id"),
        invalid(json!({"title": "t", "deadline": "2020-01-01T00:00:00Z"}), "deadline"),
        invalid(json!({"title": "t", "deadline": "tomorrow"}), "deadline"),
        invalid(json!({"title": "t", "deadline": 5}), "deadline"),
        invalid(json!({"title": "t", "deadline": "10000-01-01T00:00:00Z"}), "deadline"),
        invalid(json!({"title": "t", "deadline": "+10000-01-01T00:00:00Z"}), "deadline"),
        invalid(json!({"title": "t", "timeout_minutes": 0}), "timeout_minutes"),
        invalid(json!({"title": "t", "timeout_minutes": -1}), "timeout_minutes"),
        invalid(json!({"title": "t", "timeout_minutes": 1.5}), "timeout_minutes"),
        invalid(json!({"title": "t", "timeout_minutes": u32::MAX}), "timeout_minutes"),
        invalid(json!({"title": "t", "timeout_minutes": 5, "deadline": "2999-01-01T00:00:00Z"}), "timeout_minutes"),
        invalid(json!({"title": "t", "reviewers": ["me"]}), "reviewers[0]"),
        invalid(json!({"title": "t", "reviewers": [asker.id]}), "reviewers"),
        invalid(json!({"title": "t", "reviewers": [app.organisation, app.organisation]}), "reviewers"),
    ];
    let before = app.written().await;
    for bad in table {
        refuse(&app, &asker, CONSULTATIONS, bad).await;
    }
    assert_eq!(app.written().await, before);
}

#[tokio::test]
async fn bad_commands_to_a_consultation_name_the_field_and_write_nothing() {
    let app = App::new().await;
    let (asker, reviewer) = (app.member("asker", Role::Requester).await, app.member("reviewer", Role::Reviewer).await);
    let id = app.post(&asker, CONSULTATIONS, &json!({"title": "t"})).await.expect(201).id();
    let before = app.written().await;
    let long = "x".repeat(10_001);
    for (what, bad) in [
        ("comments", invalid(json!({}), "text")),
        ("comments", invalid(json!({"text": " "}), "text")),
        ("comments", invalid(json!({"text": long}), "text")),
        ("comments", bad(r#"{"text":"\u0000"}"#, 422, "validation_failed", "text")),
        ("responses", invalid(json!({"decision": "perhaps"}), "decision")),
        ("responses", invalid(json!({"decision": "Approve"}), "decision")),
        ("responses", invalid(json!({"comment": "x"}), "decision")),
        ("responses", invalid(json!({"decision": "approve", "comment": long}), "comment")),
        ("responses", invalid(json!({"decision": "approve", "by": asker.id}), "by")),
        ("withdrawal", invalid(json!({"reason": "bored"}), "reason")),
        ("withdrawal", invalid(json!({"comment": ""}), "comment")),
        ("withdrawal", bad("", 400, "invalid_json", None)),
    ] {
        refuse(&app, &reviewer, &path(id, what), bad).await;
    }
    let say = json!({"text": "x"}).to_string().into_bytes();
    let malformed = request(Some(&asker), &format!("{CONSULTATIONS}/seven/comments"), say.clone(), &[]);
    let answer = app.send(malformed).await.problem(400, "invalid_path");
    assert_eq!(answer.body["errors"][0]["field"], "id");
    let plain = request(Some(&asker), &path(id, "comments"), say.clone(), &[("content-type", "text/plain")]);
    app.send(plain).await.problem(415, "unsupported_media_type");
    let key = request(Some(&asker), &path(id, "comments"), say, &[("idempotency-key", &"k".repeat(256))]);
    assert_eq!(app.send(key).await.problem(400, "invalid_header").body["errors"][0]["field"], "Idempotency-Key");
    assert_eq!(app.written().await, before);
}

#[tokio::test]
async fn the_largest_request_that_is_allowed_is_kept_whole() {
    let app = App::new().await;
    let asker = app.member("asker", Role::Requester).await;
    let (title, body) = ("é".repeat(200), "ü".repeat(16 * 1024));
    let context = json!({"text": "x".repeat(150 * 1024)});
    let ask = json!({"title": title, "body": body, "context": context, "timeout_minutes": 5_256_000});
    let asked = app.post(&asker, CONSULTATIONS, &ask).await.expect(201);
    assert_eq!(
        (&asked.body["title"], &asked.body["body"], &asked.body["context"]),
        (&ask["title"], &ask["body"], &context)
    );
}
