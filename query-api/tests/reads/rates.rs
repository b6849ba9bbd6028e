//! Rate limits of reads: by HTTP, and of each operation on a WebSocket.

use std::time::Duration;

use docket_platform::{
    db::DbRole,
    http::harden,
    rate_limit::{Limiter, RateLimitArgs},
    serve,
};
use docket_query_api::{Config, State};
use serde_json::json;
use uuid::Uuid;

use crate::{
    support::{World, settings},
    websocket::Client,
};

const OURS: Uuid = Uuid::from_u128(0xa);
const QUERY: &str = "{ __typename }";

/// The same read side behind limits of so many requests a minute of one person.
async fn limited(world: &mut World, account: u32) {
    let config = Config { loopback: true, ..Config::default() };
    let (keys, bell) = (world.keys.clone(), world.bell.clone());
    let state = State::new(world.reader.clone(), keys, world.installation, bell, config, &world.shutdown);
    let limits = RateLimitArgs { rate_limit_account: account, ..RateLimitArgs::OFF };
    let pool = world.database.pool(DbRole::Reader, 2, Duration::from_secs(5));
    let limiter = Limiter::patient(pool, limits, Vec::new(), Duration::from_secs(20));
    let router = harden(limiter.guard(docket_query_api::router(state)), &settings(), false);
    let (listener, address) = serve::bind("127.0.0.1:0").await.unwrap();
    let shutdown = world.shutdown.clone();
    tokio::spawn(async move { serve::serve(listener, router, &shutdown).await });
    world.address = address;
}

#[tokio::test]
async fn reads_are_counted_by_http_and_on_a_websocket_alike() {
    let mut world = World::new().await;
    limited(&mut world, 60).await;
    let token = world.token(OURS).await;
    let query = async || {
        let request = world.http.post(world.url("/graphql")).bearer_auth(&token).json(&json!({ "query": QUERY }));
        request.send().await.unwrap()
    };
    let answer = query().await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["ratelimit-policy"], r#""account";q=60;w=60"#);
    let mut client = Client::ready(&world, &token).await;
    client.subscribe("1", QUERY).await;
    client.next().await;
    assert_eq!(client.receive().await["type"], "complete");

    let used_up = "update auth.rate_limit set full_at = clock_timestamp() + interval '1 hour'";
    sqlx::query(used_up).execute(&world.owner).await.unwrap();
    client.subscribe("2", QUERY).await;
    let refused = client.receive().await;
    assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!("2")), "{refused}");
    assert_eq!(refused["payload"][0]["extensions"]["code"], "RATE_LIMITED");
    let answer = query().await;
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    assert!(answer.headers().contains_key("retry-after"));
    // The connection goes on: others of the same person were not asked.
    client.send(json!({"type": "ping"})).await;
    assert_eq!(client.receive().await, json!({"type": "pong"}));
}
