//! What a first start prints and serves, how it ends, and what a second start finds.

use std::time::Duration;

use docket_log::{Mode, in_both_modes};
use serde_json::Value;

use super::server::{Client, Folder, Server, done, eventually};

/// The addresses that a page loads from.
fn loaded(html: &str) -> Vec<&str> {
    let after = |mark: &'static str| html.split(mark).skip(1).filter_map(|rest| rest.split('"').next());
    after("src=\"")
        .chain(html.split("<link").skip(1).filter_map(|link| link.split("href=\"").nth(1)?.split('"').next()))
        .collect()
}

async fn page_is_local(url: &str, path: &str) {
    let answer = reqwest::get(format!("{url}{path}")).await.expect("an answer");
    assert_eq!(answer.status(), 200, "{path}");
    let policy = answer.headers()["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.contains("default-src 'self'"), "{path}: {policy}");
    let base = answer.url().clone();
    let html = answer.text().await.expect("text");
    let base = if html.contains("<base href=\"/docs/\">") { base.join("/docs/").expect("a path") } else { base };
    for address in loaded(&html) {
        let full = base.join(address).expect("an address");
        assert!(full.as_str().starts_with(url), "{path} loads {address}");
        assert_eq!(reqwest::get(full).await.expect("an answer").status(), 200, "{path} loads {address}");
    }
}

async fn text(url: &str, path: &str) -> String {
    let answer = reqwest::get(format!("{url}{path}")).await.expect("an answer");
    assert_eq!(answer.status(), 200, "{path}");
    answer.text().await.expect("text")
}

async fn json(url: &str, path: &str) -> Value {
    serde_json::from_str(&text(url, path).await).expect("JSON")
}

in_both_modes!(a_first_start_serves_everything_and_a_second_one_finds_it_again);

async fn a_first_start_serves_everything_and_a_second_one_finds_it_again(mode: Mode) {
    let folder = Folder::on(mode);
    let first = Server::up(&folder);
    let (admin, reviewer) = (first.credentials("admin"), first.credentials("reviewer"));
    for path in ["/", "/password", "/verify", "/join", "/settings/notifications", "/docs", "/graphiql"] {
        page_is_local(&first.url, path).await;
    }
    page_is_local(&first.url, "/consultations/01990000-0000-7000-8000-000000000001").await;
    contracts_are_served(&first.url).await;
    let id = a_decision_is_asked_taken_and_read_back(&first.url, &admin, &reviewer).await;
    sample_import_can_be_repeated(&folder);

    let (status, took) = first.stop();
    assert!(status.success() && took < Duration::from_secs(30), "{status} after {took:?}");
    assert!(folder.postgres().is_none(), "PostgreSQL was left behind");

    let second = Server::up(&folder);
    assert!(second.said.is_empty(), "passwords are printed once: {:?}", second.said);
    let client = Client::login(&second.url, &admin).await;
    let found: Value =
        client.get(format!("{}/api/v1/consultations/{id}", second.url)).await.json().await.expect("JSON");
    assert_eq!(found["state"], "responded");
    folder.log_is_whole(mode).await;
}

async fn contracts_are_served(url: &str) {
    let document = json(url, "/openapi.json").await;
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(text(url, "/asyncapi.json").await, include_str!("../../../schemas/asyncapi.json"));
    assert_eq!(json(url, "/.well-known/jwks.json").await["keys"][0]["crv"], "Ed25519");
    let schema = "/schemas/events/docket.consultation.requested.v1.json";
    assert_eq!(json(url, schema).await["$id"], schema);
    assert!(text(url, "/schema.graphql").await.contains("type Query"));
    assert_eq!(json(url, "/health/live").await["status"], "live");
    let ready = json(url, "/health/ready").await;
    assert_eq!((&ready["status"], &ready["checks"]["postgres"]), (&"ready".into(), &"ok".into()));
    assert_eq!(ready["version"], env!("CARGO_PKG_VERSION"));
    let metrics = text(url, "/metrics").await;
    assert!(metrics.contains("docket_http_request_duration_seconds") && metrics.contains("docket_db_pool_connections"));
    let nothing = reqwest::get(format!("{url}/nothing")).await.expect("an answer");
    assert_eq!(nothing.headers()["content-type"], "application/problem+json");
}

async fn a_decision_is_asked_taken_and_read_back(
    url: &str,
    admin: &super::server::Credentials,
    reviewer: &super::server::Credentials,
) -> String {
    let (asker, reviewer) = (Client::login(url, admin).await, Client::login(url, reviewer).await);
    let asked = asker.ask(url, "Deploy release 42?").await;
    assert_eq!(asked.status(), 201);
    let asked: Value = asked.json().await.expect("JSON");
    let id = asked["id"].as_str().expect("an id").to_owned();
    let decision = serde_json::json!({ "decision": "approve" });
    let decided = reviewer.post(format!("{url}/api/v1/consultations/{id}/responses"), &decision).await;
    assert_eq!(decided.status(), 200);
    eventually("the decision is read back", async || {
        let read: Value = asker.get(format!("{url}/api/v1/consultations/{id}")).await.json().await.ok()?;
        (read["state"] == "responded").then_some(())
    })
    .await;
    id
}

fn sample_import_can_be_repeated(folder: &Folder) {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../script/sample-permits.csv");
    let path = folder.0.to_str().expect("a plain path");
    let counts = || -> Vec<u64> {
        let text = done(&["import", "permits", sample, "--data-dir", path]);
        text.lines().filter_map(|line| line.split_whitespace().last()?.parse().ok()).collect()
    };
    let (first, second) = (counts(), counts());
    let [cases, imported, there, outcomes @ ..] = first.as_slice() else { panic!("{first:?}") };
    assert!(*cases > 0 && imported == cases && *there == 0, "{first:?}");
    assert_eq!(second, [&[*cases, 0, *cases], outcomes].concat());

    let asked = done(&["replay", "--data-dir", path, "--type", "docket.consultation.requested.v1"]);
    for line in asked.lines() {
        let event: Value = serde_json::from_str(line).expect("one JSON object a line");
        assert_eq!(event["specversion"], "1.0");
        for member in ["id", "source", "subject", "time", "dataschema", "sequence", "data"] {
            assert!(event.get(member).is_some(), "{member} is missing: {line}");
        }
    }
    // One was asked over HTTP.
    assert_eq!(asked.lines().count() as u64, cases + 1);
    let stream = serde_json::from_str::<Value>(asked.lines().next().expect("a line")).expect("JSON")["subject"].clone();
    let alone = done(&["replay", "--data-dir", path, "--stream", stream.as_str().expect("a stream")]);
    assert!(alone.lines().count() > 1 && alone.lines().all(|line| line.contains(stream.as_str().expect("a stream"))));
    let status: Value = serde_json::from_str(&done(&["status", "--json", "--data-dir", path])).expect("JSON");
    assert!(status["totals"].as_array().is_some_and(|totals| totals.iter().any(|t| t["projection"] == "consultation")));
    assert_eq!(done(&["retry", "--data-dir", path]), "nothing is parked\n");
}
