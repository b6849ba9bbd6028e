//! Rate limits as operators set them, and who is counted behind a proxy.

use reqwest::Response;
use serde_json::json;

use super::server::{Client, Folder, Server};

/// Asks for a mail that nobody gets, as the client that a proxy names.
async fn forgot(url: &str, client: &str) -> Response {
    let request = reqwest::Client::new().post(format!("{url}/api/v1/auth/forgot-password"));
    let request = request.header("x-forwarded-for", client).json(&json!({ "email": "nobody@example.org" }));
    request.send().await.expect("an answer")
}

#[tokio::test]
async fn limits_are_set_by_the_operator_and_hold_across_roles() {
    let folder = Folder::with(|_| {
        let set = |name, value: &str| (name, value.to_owned());
        vec![set("DOCKET_RATE_LIMIT_AUTH", "1"), set("DOCKET_TRUSTED_PROXIES", "127.0.0.1,::1")]
    });
    let whole = Server::up(&folder);
    let (commands, queries) = (Server::start(&folder, "command-api"), Server::start(&folder, "query-api"));
    // One comes back in a minute, so of three in a row, whichever process is asked, one is refused at least.
    let mut answers = Vec::new();
    for url in [&whole.url, &commands.url, &whole.url] {
        answers.push(forgot(url, "203.0.113.9").await);
    }
    assert_eq!(answers[0].status(), 202);
    assert_eq!(answers[0].headers()["ratelimit-policy"], r#""auth";q=1;w=60"#);
    let refused = answers.iter().find(|answer| answer.status() == 429).expect("one too many");
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(forgot(&commands.url, "203.0.113.10").await.status(), 202);

    let client = Client::login(&whole.url, &whole.credentials("admin")).await;
    let policy = r#""address";q=30000;w=60, "account";q=6000;w=60"#;
    for url in [&whole.url, &queries.url] {
        let answer = client.post(format!("{url}/graphql"), &json!({ "query": "{ __typename }" })).await;
        assert_eq!(answer.headers()["ratelimit-policy"], policy);
    }
    assert_eq!(client.ask(&commands.url, "counted").await.headers()["ratelimit-policy"], policy);
    // What operators ask is not counted.
    let health = client.get(format!("{}/health/ready", whole.url)).await;
    assert!(health.status() == 200 && !health.headers().contains_key("ratelimit"));
    for server in [commands, queries, whole] {
        assert!(server.stop().0.success());
    }
}
