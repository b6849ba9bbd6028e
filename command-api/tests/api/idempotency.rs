//! A repeated command gets the first answer, whatever came between.

use docket_command_api::Config;
use docket_platform::auth::Role;
use futures_util::future::join_all;
use serde_json::json;

use crate::support::{App, CONSULTATIONS, path};

#[tokio::test]
async fn a_retry_gets_the_first_answer_after_later_changes_too() {
    let app = App::new().await;
    let (asker, reviewer) = (app.member("asker", Role::Requester).await, app.member("reviewer", Role::Reviewer).await);
    let (ask, say, answer) = (json!({"title": "t"}), json!({"text": "x"}), json!({"decision": "approve"}));
    let key = |key| [("idempotency-key", key)];
    let asked = app.post_with(&asker, CONSULTATIONS, &ask, &key("a")).await.expect(201);
    let (comments, responses) = (path(asked.id(), "comments"), path(asked.id(), "responses"));
    let said = app.post_with(&asker, &comments, &say, &key("b")).await.expect(200);
    let answered = app.post_with(&reviewer, &responses, &answer, &key("c")).await.expect(200);
    app.post(&asker, &comments, &json!({"text": "more"})).await.expect(200);
    let before = app.written().await;

    for _ in 0..2 {
        let again = app.post_with(&asker, CONSULTATIONS, &ask, &key("a")).await.expect(201);
        assert_eq!((&again.body, again.header("etag")), (&asked.body, "\"1\""));
        assert_eq!(again.header("location"), asked.header("location"));
        assert_eq!(again.header("docket-position"), asked.header("docket-position"));
        let again = app.post_with(&asker, &comments, &say, &key("b")).await.expect(200);
        assert_eq!((&again.body, again.header("etag")), (&said.body, "\"2\""));
        let again = app.post_with(&reviewer, &responses, &answer, &key("\"c\"")).await.expect(200);
        assert_eq!((&again.body, again.header("etag")), (&answered.body, "\"4\""));
    }
    assert_eq!(app.written().await, before);
}

#[tokio::test]
async fn a_command_that_changed_nothing_is_remembered_too() {
    let app = App::new().await;
    let (asker, reviewer) = (app.member("asker", Role::Requester).await, app.member("reviewer", Role::Reviewer).await);
    let id = app.post(&asker, CONSULTATIONS, &json!({"title": "t"})).await.expect(201).id();
    let answer = json!({"decision": "approve"});
    app.post(&reviewer, &path(id, "responses"), &answer).await.expect(200);
    let key = [("idempotency-key", "k")];
    let unchanged = app.post_with(&reviewer, &path(id, "responses"), &answer, &key).await.expect(200);
    app.post(&asker, &path(id, "comments"), &json!({"text": "x"})).await.expect(200);
    let again = app.post_with(&reviewer, &path(id, "responses"), &answer, &key).await.expect(200);
    assert_eq!(again.body, unchanged.body);
}

#[tokio::test]
async fn a_key_is_good_for_one_request_of_one_principal() {
    let app = App::new().await;
    let (asker, other) = (app.member("asker", Role::Requester).await, app.member("other", Role::Requester).await);
    let key = [("idempotency-key", "k")];
    let first = app.post_with(&asker, CONSULTATIONS, &json!({"title": "one"}), &key).await.expect(201).id();
    let second = app.post(&asker, CONSULTATIONS, &json!({"title": "two"})).await.expect(201).id();
    app.post_with(&asker, CONSULTATIONS, &json!({"title": "two"}), &key).await.problem(422, "idempotency_key_reused");
    // Another route has keys of its own; another path of the same route has not.
    app.post_with(&asker, &path(first, "comments"), &json!({"text": "x"}), &key).await.expect(200);
    app.post_with(&asker, &path(second, "comments"), &json!({"text": "x"}), &key)
        .await
        .problem(422, "idempotency_key_reused");
    let theirs = app.post_with(&other, CONSULTATIONS, &json!({"title": "one"}), &key).await.expect(201).id();
    assert_ne!(theirs, first);
}

#[tokio::test]
async fn a_refusal_is_not_remembered() {
    let app = App::new().await;
    let (asker, reviewer) = (app.member("asker", Role::Requester).await, app.member("reviewer", Role::Reviewer).await);
    let id = app.post(&asker, CONSULTATIONS, &json!({"title": "t"})).await.expect(201).id();
    let headers = [("idempotency-key", "k"), ("if-match", "\"2\"")];
    let answer = json!({"decision": "approve"});
    app.post_with(&reviewer, &path(id, "responses"), &answer, &headers).await.problem(412, "version_mismatch");
    app.post(&asker, &path(id, "comments"), &json!({"text": "x"})).await.expect(200);
    let first = app.post_with(&reviewer, &path(id, "responses"), &answer, &headers).await.expect(200);
    let again = app.post_with(&reviewer, &path(id, "responses"), &answer, &headers).await.expect(200);
    assert_eq!(again.body, first.body, "the key is looked at before If-Match");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racers_on_one_key_make_one_consultation() {
    let app = App::new().await;
    let asker = app.member("asker", Role::Requester).await;
    let (ask, key) = (json!({"title": "t"}), [("idempotency-key", "k")]);
    let racers = (0..20).map(|_| app.post_with(&asker, CONSULTATIONS, &ask, &key));
    let answers = join_all(racers).await;
    let first = &answers[0];
    for answer in &answers {
        assert_eq!((answer.status.as_u16(), &answer.body), (201, &first.body));
    }
    assert_eq!(app.written().await, (1, 1));
}

#[tokio::test]
async fn a_key_can_be_required() {
    let config = Config { require_idempotency_key: true, ..Config::default() };
    let app = App::with(config).await;
    let asker = app.member("asker", Role::Requester).await;
    let ask = json!({"title": "t"});
    let refused = app.post(&asker, CONSULTATIONS, &ask).await.problem(400, "idempotency_key_required");
    assert_eq!(refused.body["errors"][0]["field"], "Idempotency-Key");
    app.post_with(&asker, CONSULTATIONS, &ask, &[("idempotency-key", "k")]).await.expect(201);
}
