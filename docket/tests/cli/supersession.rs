//! A process that dies between a request and the withdrawal of what it stands in the place of.

use reqwest::{Client as Http, StatusCode};
use serde_json::{Value, json};

use super::passwords::{post, up_until};
use super::server::{Credentials, Folder, Server};

async fn token(url: &str, who: &Credentials) -> String {
    let body = json!({ "email": who.email, "password": who.password });
    let (status, answer) = post(url, "login", &body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["access_token"].as_str().expect("a token").to_owned()
}

async fn ask(url: &str, token: &str, key: &str, body: &Value) -> reqwest::Result<(StatusCode, Value)> {
    let request = Http::new().post(format!("{url}/api/v1/consultations")).bearer_auth(token);
    let response = request.header("idempotency-key", key).json(body).send().await?;
    Ok((response.status(), response.json().await?))
}

#[tokio::test]
async fn a_kill_before_the_older_one_is_withdrawn_is_mended_by_repeating_the_request() {
    let folder = Folder::new();
    let server = Server::up(&folder);
    let admin = server.credentials("admin");
    let who = token(&server.url, &admin).await;
    let older =
        ask(&server.url, &who, "older", &json!({ "title": "Deploy 1?" })).await.expect("an answer").1["id"].clone();
    assert!(server.stop().0.success());

    let newer = json!({ "title": "Deploy 2?", "supersedes": older });
    let server = up_until(&folder, "ask.before_supersession");
    let who = token(&server.url, &admin).await;
    ask(&server.url, &who, "newer", &newer).await.expect_err("it died");
    server.ended();

    let server = Server::up(&folder);
    let who = token(&server.url, &admin).await;
    for _ in 0..2 {
        let (status, asked) = ask(&server.url, &who, "newer", &newer).await.expect("an answer");
        assert_eq!((status, &asked["supersedes"]), (StatusCode::CREATED, &older), "{asked}");
    }
    let events = folder.docket(&["replay", "--category", "consultation"]).output().expect("it starts").stdout;
    let events = String::from_utf8(events).expect("text");
    let count = |kind: &str| events.matches(&format!("docket.consultation.{kind}.v1\"")).count();
    assert_eq!((count("requested"), count("withdrawn")), (2, 1), "nothing lost, nothing doubled");
    assert!(server.stop().0.success());
}
