//! Requests that an organisation has prepared, and what is asked with them.

use docket_platform::auth::Role;
use serde_json::{Value, json};

use crate::support::{Answer, App, CONSULTATIONS, Member};

const RELEASE: &str = "/api/v1/templates/release";

async fn put(app: &App, by: &Member, path: &str, body: &Value) -> Answer {
    app.call(Some(by), "PUT", path, body, &[]).await
}

fn release() -> Value {
    json!({
        "request": {
            "title": "Release {{version}} of {{service}}?",
            "body": "Write `\\{{version}}` to name it.",
            "labels": ["release", "{{service}}"],
            "timeout_minutes": "{{minutes}}",
            "answer": { "type": "choice", "options": ["now", "{{later}}"] },
            "external_id": "{{service}}-{{version}}",
        },
        "values": {
            "properties": {
                "version": { "type": "string", "pattern": "^[0-9.]+$" },
                "minutes": { "type": "integer", "default": 60 },
                "later": { "default": "at night" },
            },
        },
    })
}

fn with(template: Value) -> Value {
    json!({ "template": template })
}

fn refused(answer: Answer, field: &str) {
    let answer = answer.problem(422, "validation_failed");
    assert_eq!(answer.body["errors"][0]["field"], field, "{}", answer.body);
}

#[tokio::test]
async fn a_name_and_values_are_a_request() {
    let app = App::new().await;
    let (admin, asker) = (app.member("chair", Role::Admin).await, app.member("ada", Role::Requester).await);
    let set = put(&app, &admin, RELEASE, &release()).await.expect(200);
    assert_eq!((&set.body["version"], &set.body["retired"], set.header("etag")), (&json!(1), &json!(false), "\"1\""));
    let values = json!({ "version": "4.2", "service": "billing" });
    let asked =
        app.post(&asker, CONSULTATIONS, &with(json!({ "name": "release", "values": values }))).await.expect(201);
    assert_eq!(asked.body["title"], "Release 4.2 of billing?");
    assert_eq!(asked.body["body"], "Write `{{version}}` to name it.");
    assert_eq!(asked.body["labels"], json!(["release", "billing"]));
    assert_eq!(asked.body["answer"]["options"], json!(["now", "at night"]));
    assert_eq!((&asked.body["external_id"], asked.body["deadline"].is_null()), (&json!("billing-4.2"), false));
    assert_eq!(asked.body["template"], json!({ "name": "release", "version": 1 }));
    // The name that it gets is the asker's own: asking again finds it.
    let again =
        app.post(&asker, CONSULTATIONS, &with(json!({ "name": "release", "values": values }))).await.expect(200);
    assert_eq!(again.body, asked.body);
    // What is given besides stands in place of what the template says.
    let besides = json!({ "template": { "name": "release", "values": values }, "external_id": "other", "labels": [], "priority": "urgent" });
    let other = app.post(&asker, CONSULTATIONS, &besides).await.expect(201).body;
    assert_eq!(
        (&other["labels"], &other["priority"], &other["external_id"]),
        (&json!([]), &json!("urgent"), &json!("other"))
    );
    // Many at once, each on its own.
    let items = json!({ "items": [
        with(json!({ "name": "release", "values": { "version": "5", "service": "mail" } })),
        with(json!({ "name": "release", "values": { "version": "x", "service": "mail" } })),
        json!({ "title": 7 }),
    ] });
    let many = app.post(&asker, "/api/v1/consultations/bulk", &items).await.expect(200).body;
    assert_eq!((&many["done"], &many["items"][0]["consultation"]["title"]), (&json!(1), &json!("Release 5 of mail?")));
    let fields = [1, 2].map(|n: usize| many["items"][n]["problem"]["errors"][0]["field"].clone());
    assert_eq!(fields, [json!("template.values"), json!("title")]);
}

#[tokio::test]
async fn versions_stay_and_a_retired_template_asks_nothing() {
    let app = App::new().await;
    let (admin, asker) = (app.member("chair", Role::Admin).await, app.member("ada", Role::Requester).await);
    let titled = |title: &str| json!({ "request": { "title": title } });
    put(&app, &admin, RELEASE, &titled("first")).await.expect(200);
    let same = put(&app, &admin, RELEASE, &titled("first")).await.expect(200);
    assert_eq!(same.body["version"], 1, "nothing changed");
    let stale = app.call(Some(&admin), "PUT", RELEASE, &titled("x"), &[("if-match", "\"9\"")]).await;
    stale.problem(412, "version_mismatch");
    assert_eq!(put(&app, &admin, RELEASE, &titled("second")).await.expect(200).body["version"], 2);
    let ask = async |template: Value, key: &str| {
        app.call(Some(&asker), "POST", CONSULTATIONS, &with(template), &[("idempotency-key", key)]).await
    };
    let first = ask(json!({ "name": "release", "version": 1 }), "a").await.expect(201);
    assert_eq!((&first.body["title"], &first.body["template"]["version"]), (&json!("first"), &json!(1)));
    assert_eq!(ask(json!({ "name": "release" }), "b").await.expect(201).body["title"], "second");
    refused(ask(json!({ "name": "release", "version": 3 }), "c").await, "template");
    let ended = app.call(Some(&admin), "DELETE", RELEASE, &Value::Null, &[]).await.expect(200);
    assert_eq!((&ended.body["retired"], &ended.body["version"]), (&json!(true), &json!(3)));
    for version in [json!(null), json!(1), json!(3)] {
        refused(ask(json!({ "name": "release", "version": version }), "d").await, "template");
    }
    // What was done is answered as it was.
    assert_eq!(ask(json!({ "name": "release", "version": 1 }), "a").await.expect(201).body, first.body);
    put(&app, &admin, RELEASE, &titled("third")).await.expect(200);
    assert_eq!(ask(json!({ "name": "release", "version": 2 }), "e").await.expect(201).body["title"], "second");
    refused(ask(json!({ "name": "release", "version": 3 }), "f").await, "template");
}

#[tokio::test]
async fn what_is_no_template_is_named() {
    let app = App::new().await;
    let (admin, asker) = (app.member("chair", Role::Admin).await, app.member("ada", Role::Requester).await);
    for (request, field) in [
        (json!({ "title": "{{" }), "request"),
        (json!({ "titel": "t" }), "request.titel"),
        (json!({ "titel": "{{title}}" }), "request.titel"),
        (json!({ "title": 7 }), "request.title"),
        (json!({ "reviewers": [{ "group": "night" }] }), "request.reviewers[0]"),
        (json!({ "supersedes": asker.id }), "request"),
        (json!({ "template": { "name": "release" } }), "request"),
    ] {
        refused(put(&app, &admin, RELEASE, &json!({ "request": request })).await, field);
    }
    let schema = json!({ "request": {}, "values": { "$ref": "https://example.org/values.json" } });
    refused(put(&app, &admin, RELEASE, &schema).await, "values");
    refused(put(&app, &admin, "/api/v1/templates/Release", &json!({ "request": {} })).await, "name");
    app.call(Some(&admin), "DELETE", RELEASE, &Value::Null, &[]).await.problem(404, "not_found");
    refused(app.post(&asker, CONSULTATIONS, &with(json!({ "name": "release" }))).await, "template");
    put(&app, &admin, RELEASE, &release()).await.expect(200);
    let ask = async |template: Value| app.post(&asker, CONSULTATIONS, &with(template)).await;
    for (values, field) in [
        (json!({ "service": "billing" }), "template.values"),
        (json!({ "service": "billing", "version": "four" }), "template.values"),
        (json!({ "service": "billing", "version": "4", "colour": "red" }), "template.values"),
        (json!({ "service": "billing", "version": "4", "minutes": 0 }), "timeout_minutes"),
        (json!({ "service": "x".repeat(300), "version": "4" }), "title"),
        (json!([]), "template.values"),
    ] {
        refused(ask(json!({ "name": "release", "values": values })).await, field);
    }
    refused(ask(json!("release")).await, "template");
    refused(ask(json!(null)).await, "title");
    refused(ask(json!({ "values": {} })).await, "template.name");
    refused(ask(json!({ "name": "release", "colour": "red" })).await, "template.colour");
    // Another organisation has its own.
    let elsewhere = docket_platform::ids::new_id();
    docket_command_api::setup::create_organisation(&app.store, elsewhere, "Elsewhere").await.unwrap();
    let stranger = app.member_of(elsewhere, "stranger", Role::Admin).await;
    refused(app.post(&stranger, CONSULTATIONS, &with(json!({ "name": "release" }))).await, "template");
}
