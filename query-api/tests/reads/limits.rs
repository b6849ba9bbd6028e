//! What GraphQL refuses, and how; and what it says when the database is away.

use std::{sync::Arc, time::Duration};

use docket_log::{Bell, Installation, Mode, Topic};
use docket_platform::{
    Shutdown,
    auth::{Principal, Role},
    clock,
    db::{Database, DbRole},
    ids,
};
use docket_query_api::Config;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use tokio::time::Instant;
use uuid::Uuid;

use crate::support::{World, keys, serve_api};

const OURS: Uuid = Uuid::from_u128(0xa);

#[tokio::test]
async fn each_limit_is_refused_with_its_code() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let aliases: String = (0..31).map(|n| format!("a{n}: __typename ")).collect();
    let deep = "{ consultations { edges { node { history { by { name { a { b { c } } } } } } } } }";
    let costly =
        "{ consultations(first: 100) { edges { node { history { kind at version comment decision } title } } } }";
    for query in
        [deep.to_owned(), costly.to_owned(), format!("{{ {aliases} }}"), format!("{{ {} }}", "me ".repeat(2_000))]
    {
        assert_eq!(world.refused(&token, &query).await, (400, "TOO_COMPLEX".into()), "{query}");
    }
    for query in [
        "",
        "{",
        "nonsense",
        "{ nothing }",
        "mutation { a }",
        "subscription { consultationChanged { kind } }",
        "{ me { id } } { me { id } }",
        "{ consultation { id } }",
        "{ ...F } fragment F on Query { ...F }",
    ] {
        assert_eq!(world.refused(&token, query).await, (400, "BAD_REQUEST".into()), "{query}");
    }
    for query in [r#"{ consultation(id: "7") { id } }"#, r#"{ node(id: "") { id } }"#] {
        let (status, code) = world.refused(&token, query).await;
        assert!(
            status == 400 && ["INVALID_ARGUMENT", "BAD_REQUEST"].contains(&code.as_str()),
            "{query}: {status} {code}"
        );
    }
    // What the pages and GraphiQL ask is within all limits.
    let page = "{ consultations(first: 50) { edges { cursor node { id title state deadline requestedBy { name } outcome { decision } } } } }";
    world.query(&token, page).await;
}

#[tokio::test]
async fn introspection_is_answered_where_it_is_on_only() {
    let query = "{ __schema { types { name fields { type { ofType { ofType { ofType { name } } } } } } } }";
    let world = World::new().await;
    world.query(&world.token(OURS).await, query).await;
    let closed = World::with(Config::default()).await;
    let token = closed.token(OURS).await;
    assert_eq!(closed.refused(&token, query).await, (403, "FORBIDDEN".into()));
    closed.query(&token, "{ __typename }").await;
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_ended() {
    let config = Config { graphql_timeout: Duration::from_millis(100), ..Config::default() };
    let world = World::with(config).await;
    let ahead = docket_log::Position::at(world.shard_of(Uuid::nil()), 9);
    let query = format!("{{ consultations(atLeast: \"{ahead}\") {{ edges {{ cursor }} }} }}");
    assert_eq!(world.refused(&world.token(OURS).await, &query).await, (503, "TIMEOUT".into()));
}

#[tokio::test]
async fn bodies_that_are_no_request_are_refused() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let send = async |kind: &str, body: &str| {
        let request = world.http.post(world.url("/graphql")).bearer_auth(&token).header("content-type", kind);
        let response = request.body(body.to_owned()).send().await.unwrap();
        let (status, answer) = (response.status().as_u16(), response.json::<Value>().await.unwrap());
        (
            status,
            answer["errors"][0]["extensions"]["code"]
                .as_str()
                .or(answer["code"].as_str())
                .unwrap_or_default()
                .to_owned(),
        )
    };
    let query = r#"{"query":"{ __typename }"}"#;
    assert_eq!(send("application/json; charset=utf-8", query).await, (200, String::new()));
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/graphql"]
    {
        assert_eq!(send(kind, query).await, (415, "unsupported_media_type".into()), "{kind}");
    }
    let batch = format!("[{query},{query}]");
    for body in
        ["", "{", "[]", &batch, "{}", r#"{"query":7}"#, r#"{"query":"{ me { id } }","variables":[]}"#, "\u{feff}{}"]
    {
        assert_eq!(send("application/json", body).await, (400, "BAD_REQUEST".into()), "{body}");
    }
}

#[tokio::test]
async fn get_executes_queries_only() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let get = async |parameters: &[(&str, &str)]| {
        let mut url = reqwest::Url::parse(&world.url("/graphql")).unwrap();
        url.query_pairs_mut().extend_pairs(parameters);
        let response = world.http.get(url).bearer_auth(&token).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let query = "query Q($first: Int) { consultations(first: $first) { edges { cursor } } }";
    let (status, answer) = get(&[("query", query), ("operationName", "Q"), ("variables", r#"{"first":5}"#)]).await;
    assert_eq!((status, &answer["data"]["consultations"]["edges"]), (200, &json!([])), "{answer}");
    for parameters in [
        &[][..],
        &[("query", "mutation { withdraw }")],
        &[("query", "subscription { consultationChanged { kind } }")],
        &[("query", "{ nothing }")],
        &[("query", query), ("variables", "nonsense")],
        &[("query", query), ("operationName", "R")],
    ] {
        let (status, answer) = get(parameters).await;
        assert_eq!(
            (status, &answer["errors"][0]["extensions"]["code"]),
            (400, &json!("BAD_REQUEST")),
            "{parameters:?}"
        );
        assert!(answer.get("data").is_none(), "{answer}");
    }
}

#[tokio::test]
async fn without_a_valid_token_nothing_is_read_but_the_schema() {
    let world = World::new().await;
    let good = world.token(OURS).await;
    let expired = world.token_for(OURS, Duration::ZERO).await;
    // That the whole one is remembered helps no other.
    world.post(&good, &json!({"query": "{ __typename }"})).await;
    let doubled = format!("{good}.{good}");
    for (token, code) in [
        (None, "unauthorized"),
        (Some("nonsense"), "unauthorized"),
        (Some(&good[..good.len() - 1]), "unauthorized"),
        (Some(doubled.as_str()), "unauthorized"),
        (Some(expired.as_str()), "token_expired"),
    ] {
        for method in [reqwest::Method::GET, reqwest::Method::POST] {
            let mut request = world.http.request(method, world.url("/graphql?query=%7B__typename%7D")).body("{");
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 401);
            assert_eq!(response.headers()["content-type"], "application/problem+json");
            let problem: Value = response.json().await.unwrap();
            assert_eq!(problem["code"], code, "{token:?}");
        }
    }
    let schema = world.http.get(world.url("/schema.graphql")).send().await.unwrap();
    assert_eq!((schema.status().as_u16(), schema.text().await.unwrap()), (200, docket_query_api::sdl()));
}

#[tokio::test]
async fn a_database_that_is_away_is_said_to_be_so_at_once() {
    let nowhere = PgConnectOptions::new_without_pgpass().host("localhost").socket("/nowhere/at/all");
    let pool = Database::embedded(nowhere).pool(DbRole::Reader, 2, Duration::from_secs(2));
    let installation = Installation { id: Uuid::nil(), shards: 2, mode: Mode::Journal };
    let (keys, shutdown) = (Arc::new(keys()), Shutdown::new());
    let (address, _) =
        serve_api(pool, keys.clone(), installation, Bell::new(Topic::Read), Config::default(), &shutdown).await;
    let principal = Principal::member(ids::new_id(), OURS, Role::Admin);
    let (token, _) = keys.issue(principal, clock::now(), Duration::from_secs(60)).await.unwrap();
    let http = reqwest::Client::new();
    for _ in 0..8 {
        let started = Instant::now();
        let rest = http.get(format!("http://{address}/api/v1/consultations/{}", Uuid::nil())).bearer_auth(&token);
        let rest = rest.send().await.unwrap();
        assert_eq!(rest.status(), 503);
        assert!(rest.headers().contains_key("retry-after"));
        let body = json!({"query": "{ consultations { edges { cursor } } }"});
        let answer =
            http.post(format!("http://{address}/graphql")).bearer_auth(&token).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
        let text = answer.text().await.unwrap();
        assert!(text.contains("UNAVAILABLE") && !text.contains("nowhere") && !text.contains("os error"), "{text}");
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    }
    shutdown.begin();
}
