//! The life of a consultation over HTTP.

use docket_platform::{auth::Role, ids};
use serde_json::json;
use uuid::Uuid;

use crate::support::{App, CONSULTATIONS, path, request};

#[tokio::test]
async fn a_decision_is_asked_for_discussed_and_taken() {
    let app = App::new().await;
    let (asker, reviewer) = (app.member("asker", Role::Requester).await, app.member("reviewer", Role::Reviewer).await);
    let asked = json!({"title": "Deploy?", "body": "**Now**", "context": {"n": 1.5}, "timeout_minutes": 60});
    let asked = app.post(&asker, CONSULTATIONS, &asked).await.expect(201);
    let id = asked.id();
    assert_eq!(asked.header("location"), format!("{CONSULTATIONS}/{id}"));
    assert_eq!(asked.header("etag"), "\"1\"");
    assert!(asked.headers.contains_key("docket-position"));
    assert_eq!(asked.body["state"], "pending");
    assert_eq!(asked.body["requested_by"], json!({"id": asker.id, "name": "asker"}));
    assert_eq!(asked.body["context"], json!({"n": 1.5}));
    assert!(asked.body["deadline"].is_string());

    let commented = app.post(&reviewer, &path(id, "comments"), &json!({"text": "Why now?"})).await.expect(200);
    assert_eq!((commented.header("etag"), &commented.body["comment_count"]), ("\"2\"", &json!(1)));

    let answer = json!({"decision": "approve", "comment": "Go."});
    let answered = app.post(&reviewer, &path(id, "responses"), &answer).await.expect(200);
    assert_eq!((&answered.body["state"], &answered.body["version"]), (&json!("responded"), &json!(4)));
    assert_eq!(answered.body["outcome"]["decision"], "approve");
    assert_eq!(answered.body["outcome"]["by"]["name"], "reviewer");
    assert_eq!(app.events_of(id).await, ["requested", "commented", "vote_cast", "responded"]);

    let again = app.post(&reviewer, &path(id, "responses"), &answer).await.expect(200);
    assert_eq!(again.body["version"], 4, "repeating a decision changes nothing");
    let other = app.post(&reviewer, &path(id, "responses"), &json!({"decision": "reject"})).await;
    assert_eq!(other.problem(409, "already_ended").body["state"], "responded");
    app.post(&reviewer, &path(id, "comments"), &json!({"text": "Done."})).await.expect(200);
}

#[tokio::test]
async fn who_did_what_in_which_request_stands_with_the_event() {
    let app = App::new().await;
    let asker = app.member("asker", Role::Requester).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [("x-request-id", "r-1"), ("x-correlation-id", "c-1"), ("traceparent", trace)];
    let asked = app.post_with(&asker, CONSULTATIONS, &json!({"title": "t"}), &headers).await.expect(201);
    let (meta, data): (String, String) = sqlx::query_as("select meta, data from write.journal where stream_id = $1")
        .bind(asked.id())
        .fetch_one(&app.owner)
        .await
        .unwrap();
    let meta: serde_json::Value = serde_json::from_str(&meta).unwrap();
    let expected = json!({"principal": asker.id, "correlation_id": "c-1", "causation_id": "r-1", "traceparent": trace});
    assert_eq!(meta, expected);
    assert!(!data.contains("\"asker\""), "names are sealed: {data}");
}

#[tokio::test]
async fn whoever_asked_cannot_answer() {
    let app = App::new().await;
    let admin = app.member("admin", Role::Admin).await;
    let id = app.post(&admin, CONSULTATIONS, &json!({"title": "t"})).await.expect(201).id();
    app.post(&admin, &path(id, "responses"), &json!({"decision": "approve"})).await.problem(403, "four_eyes");
    assert_eq!(app.events_of(id).await, ["requested"]);
}

#[tokio::test]
async fn only_named_reviewers_answer() {
    let app = App::new().await;
    let asker = app.member("asker", Role::Requester).await;
    let (named, other) = (app.member("named", Role::Reviewer).await, app.member("other", Role::Reviewer).await);
    let asked = json!({"title": "t", "reviewers": [named.id]});
    let id = app.post(&asker, CONSULTATIONS, &asked).await.expect(201).id();
    let answer = json!({"decision": "reject"});
    app.post(&other, &path(id, "responses"), &answer).await.problem(403, "not_a_reviewer");
    app.post(&named, &path(id, "responses"), &answer).await.expect(200);
}

#[tokio::test]
async fn an_answer_after_the_deadline_is_recorded_as_late_and_changes_nothing() {
    let app = App::new().await;
    let (asker, reviewer) = (app.member("asker", Role::Requester).await, app.member("reviewer", Role::Reviewer).await);
    let deadline = app.in_millis(150).await;
    let asked = app.post(&asker, CONSULTATIONS, &json!({"title": "t", "deadline": deadline})).await.expect(201);
    app.reach(deadline).await;
    let late = app.post(&reviewer, &path(asked.id(), "responses"), &json!({"decision": "approve"})).await.expect(200);
    assert_eq!((&late.body["state"], &late.body["late_response_count"]), (&json!("timed_out"), &json!(1)));
    assert!(late.body["outcome"].is_null() && late.body["ended_at"].is_string());
    assert_eq!(app.events_of(asked.id()).await, ["requested", "timed_out", "late_response_recorded"]);
}

#[tokio::test]
async fn a_refused_command_after_the_deadline_still_records_the_time_out() {
    let app = App::new().await;
    let asker = app.member("asker", Role::Requester).await;
    let deadline = app.in_millis(150).await;
    let asked = app.post(&asker, CONSULTATIONS, &json!({"title": "t", "deadline": deadline})).await.expect(201);
    app.reach(deadline).await;
    let refused = app.post(&asker, &path(asked.id(), "withdrawal"), &json!({})).await.problem(409, "already_ended");
    assert_eq!(refused.body["state"], "timed_out");
    assert_eq!(app.events_of(asked.id()).await, ["requested", "timed_out"]);
}

#[tokio::test]
async fn the_requester_withdraws_and_an_administrator_cancels() {
    let app = App::new().await;
    let (asker, admin) = (app.member("asker", Role::Requester).await, app.member("admin", Role::Admin).await);
    let ask = async || app.post(&asker, CONSULTATIONS, &json!({"title": "t"})).await.expect(201).id();
    let (first, second) = (ask().await, ask().await);
    app.post(&admin, &path(first, "withdrawal"), &json!({})).await.problem(403, "not_the_requester");
    app.post(&asker, &path(first, "withdrawal"), &json!({"reason": "cancelled"}))
        .await
        .problem(403, "not_the_requester");
    let withdrawn = app.post(&asker, &path(first, "withdrawal"), &json!({"comment": "No need."})).await.expect(200);
    assert_eq!(withdrawn.body["withdrawal"]["reason"], "withdrawn");
    assert_eq!(withdrawn.body["withdrawal"]["comment"], "No need.");
    let cancelled = app.post(&admin, &path(second, "withdrawal"), &json!({"reason": "cancelled"})).await.expect(200);
    assert_eq!(
        (&cancelled.body["state"], &cancelled.body["withdrawal"]["by"]["name"]),
        (&json!("withdrawn"), &json!("admin"))
    );
}

#[tokio::test]
async fn asking_again_under_an_external_id_gets_the_first_request() {
    let app = App::new().await;
    let (asker, reviewer) = (app.member("asker", Role::Requester).await, app.member("reviewer", Role::Reviewer).await);
    let first = app.post(&asker, CONSULTATIONS, &json!({"title": "one", "external_id": "p-1"})).await.expect(201);
    let again = app.post(&reviewer, CONSULTATIONS, &json!({"title": "two", "external_id": "p-1"})).await.expect(200);
    assert_eq!((again.id(), &again.body["title"]), (first.id(), &json!("one")));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(app.events_of(first.id()).await, ["requested"]);
}

#[tokio::test]
async fn asking_again_after_the_deadline_creates_nothing_and_says_so() {
    let app = App::new().await;
    let asker = app.member("asker", Role::Requester).await;
    let deadline = app.in_millis(150).await;
    let ask = json!({"title": "t", "external_id": "p-1", "deadline": deadline});
    let key = [("idempotency-key", "k")];
    app.post(&asker, CONSULTATIONS, &ask).await.expect(201);
    app.reach(deadline).await;
    let again = app.post_with(&asker, CONSULTATIONS, &ask, &key).await.expect(200);
    assert_eq!((&again.body["state"], &again.body["version"]), (&json!("timed_out"), &json!(2)));
    app.post_with(&asker, CONSULTATIONS, &ask, &key).await.expect(200);
}

#[tokio::test]
async fn if_match_guards_a_command() {
    let app = App::new().await;
    let asker = app.member("asker", Role::Requester).await;
    let asked = app.post(&asker, CONSULTATIONS, &json!({"title": "t"})).await.expect(201);
    let comments = path(asked.id(), "comments");
    let say = json!({"text": "x"});
    let mismatch = app.post_with(&asker, &comments, &say, &[("if-match", "\"7\"")]).await;
    assert_eq!(mismatch.problem(412, "version_mismatch").body["version"], 1);
    assert_eq!(app.events_of(asked.id()).await.len(), 1);
    app.post_with(&asker, &comments, &say, &[("if-match", asked.header("etag"))]).await.expect(200);
    app.post_with(&asker, &comments, &say, &[("if-match", "*")]).await.expect(200);
    app.post_with(&asker, &comments, &say, &[("if-match", "7")]).await.problem(400, "invalid_header");
}

#[tokio::test]
async fn a_foreign_consultation_reads_like_one_that_is_not_there() {
    let app = App::new().await;
    let asker = app.member("asker", Role::Requester).await;
    let id = app.post(&asker, CONSULTATIONS, &json!({"title": "t"})).await.expect(201).id();
    let elsewhere = ids::new_id();
    docket_command_api::setup::create_organisation(&app.store, elsewhere, "Elsewhere").await.unwrap();
    let stranger = app.member_of(elsewhere, "stranger", Role::Admin).await;
    let before = app.written().await;
    for (what, body) in [
        ("comments", json!({"text": "x"})),
        ("comments", json!({"text": ""})),
        ("responses", json!({"decision": "approve"})),
        ("withdrawal", json!({"reason": "cancelled"})),
    ] {
        for headers in
            [vec![], vec![("if-match", "\"1\"")], vec![("if-match", "\"9\"")], vec![("idempotency-key", "k")]]
        {
            let foreign = app.post_with(&stranger, &path(id, what), &body, &headers).await.problem(404, "not_found");
            let missing = app.post_with(&stranger, &path(Uuid::from_u128(5), what), &body, &headers).await;
            assert_eq!(foreign.anonymous(), missing.anonymous(), "{what} {headers:?}");
        }
    }
    assert_eq!(app.written().await, before);
    let same_name = json!({"title": "t", "external_id": "shared"});
    let ours = app.post(&asker, CONSULTATIONS, &same_name).await.expect(201).id();
    assert_ne!(app.post(&stranger, CONSULTATIONS, &same_name).await.expect(201).id(), ours);
}

#[tokio::test]
async fn a_tenant_does_not_reach_another_through_a_snapshot() {
    let app = App::new().await;
    let asker = app.member("asker", Role::Requester).await;
    let id = app.post(&asker, CONSULTATIONS, &json!({"title": "t"})).await.expect(201).id();
    for n in 0..70 {
        app.post(&asker, &path(id, "comments"), &json!({"text": format!("{n}")})).await.expect(200);
    }
    let snapshots: i64 = sqlx::query_scalar("select count(*) from write.snapshot where stream_id = $1 and tenant = $2")
        .bind(id)
        .bind(app.organisation)
        .fetch_one(&app.owner)
        .await
        .unwrap();
    assert_eq!(snapshots, 1);
    let elsewhere = ids::new_id();
    docket_command_api::setup::create_organisation(&app.store, elsewhere, "Elsewhere").await.unwrap();
    let stranger = app.member_of(elsewhere, "stranger", Role::Admin).await;
    app.post(&stranger, &path(id, "comments"), &json!({"text": "x"})).await.problem(404, "not_found");
}

#[tokio::test]
async fn every_route_needs_a_token_and_the_right_role() {
    let app = App::new().await;
    let (analyst, requester) =
        (app.member("analyst", Role::Analyst).await, app.member("requester", Role::Requester).await);
    let id = app.post(&requester, CONSULTATIONS, &json!({"title": "t"})).await.expect(201).id();
    let (responses, comments) = (path(id, "responses"), path(id, "comments"));
    for route in [CONSULTATIONS, &responses, &comments, &path(id, "withdrawal")] {
        // Whoever has no token does not learn whether the body was right.
        let answer = app.send(request(None, route, b"{".to_vec(), &[])).await.problem(401, "unauthorized");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    for (who, route) in [(&analyst, CONSULTATIONS), (&analyst, &responses), (&requester, &responses)] {
        app.send(request(Some(who), route, b"{".to_vec(), &[])).await.problem(403, "forbidden");
    }
    app.post(&analyst, &comments, &json!({"text": "Interesting."})).await.expect(200);
}

#[test]
fn the_description_names_every_route_and_its_problems() {
    let document = serde_json::to_value(docket_command_api::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let schemas = &document["components"]["schemas"];
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            let place = format!("{method} {path}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{place}");
            let needs: &[&str] = match (path.rsplit('/').next().unwrap(), operation.get("requestBody")) {
                ("login" | "refresh", _) => &["400", "401", "413", "415", "422", "503"],
                ("forgot-password" | "reset-password" | "register" | "verify", _) => {
                    &["400", "413", "415", "422", "503"]
                }
                // Whoever has the link of a letter, from a mail program too.
                ("unsubscribe", _) => &["400", "413", "503"],
                (_, None) => &["401", "403", "503"],
                (_, Some(_)) => &["400", "401", "403", "413", "415", "422", "503"],
            };
            for status in needs {
                assert!(responses.contains_key(*status), "{place} {status}");
            }
            if let Some(body) = operation.get("requestBody")
                && !path.ends_with("/unsubscribe")
            {
                let name = body["content"]["application/json"]["schema"]["$ref"].as_str().unwrap();
                assert!(schemas[name.rsplit('/').next().unwrap()].is_object(), "{place}: {name}");
            }
        }
    }
    for path in paths.keys().filter(|path| path.starts_with("/api/v1/consultations")) {
        let responses = paths[path]["post"]["responses"].as_object().unwrap();
        for status in ["404", "409", "412"] {
            assert!(responses.contains_key(status), "{path} {status}");
        }
    }
    for schema in ["Consultation", "Problem", "FieldError", "Person", "Outcome", "Withdrawal", "LoginAnswer"] {
        assert!(document["components"]["schemas"][schema].is_object(), "{schema}");
    }
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
}
