//! Reads that name a position see at least that, or are told that it is not there.

use std::time::Duration;

use docket_events::{Category, ShardId};
use docket_log::Position;
use docket_query_api::Config;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::support::{Asked, World, person};

const OURS: Uuid = Uuid::from_u128(0xa);

fn impatient() -> Config {
    Config { position_wait: Duration::from_millis(120), loopback: true, ..Config::default() }
}

async fn get(world: &World, token: &str, id: Uuid, position: &str) -> (u16, Value, Option<String>) {
    let url = world.url(&format!("/api/v1/consultations/{id}"));
    let response = world.http.get(url).bearer_auth(token).header("docket-position", position).send().await.unwrap();
    let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), response.json().await.unwrap(), retry_after)
}

fn shard(shard: u16) -> ShardId {
    ShardId { category: Category::Consultation, shard }
}

#[tokio::test]
async fn a_read_waits_until_its_position_is_reached() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let (id, position) = world.asked(OURS, &Asked::titled("one")).await;
    let (at, sequence) = position.iter().next().unwrap();
    let next = Position::at(at, sequence + 1);
    let started = Instant::now();
    let token_text = next.to_string();
    let (rest, graphql, ()) = tokio::join!(
        get(&world, &token, id, &token_text),
        async {
            let query = format!("{{ consultation(id: \"{id}\", atLeast: \"{next}\") {{ version }} }}");
            world.query(&token, &query).await
        },
        async {
            // Not a wait for something to be done: the write must come while the reads wait.
            tokio::time::sleep(Duration::from_millis(150)).await;
            world.write(OURS, id, &Asked::titled(""), "commented").await;
        }
    );
    assert!(started.elapsed() >= Duration::from_millis(150));
    assert_eq!((rest.0, &rest.1["version"]), (200, &json!(2)));
    assert_eq!(graphql.0["consultation"]["version"], 2);
    let answered: Position = graphql.1.parse().unwrap();
    assert!(answered.get(at) > sequence);
}

#[tokio::test]
async fn a_position_that_is_not_reached_is_refused_in_time() {
    let world = World::with(impatient()).await;
    let token = world.token(OURS).await;
    let (id, _) = world.asked(OURS, &Asked::titled("one")).await;
    for ahead in [Position::at(world.shard_of(id), 1_000), Position::at(shard(900), 1)] {
        let (status, problem, retry_after) = get(&world, &token, id, &ahead.to_string()).await;
        assert_eq!((status, &problem["code"]), (503, &json!("position_not_reached")));
        assert_eq!(retry_after.as_deref(), Some("1"));
        for field in ["consultations { edges { cursor } }", "consultationStats { total }", "node { id }"] {
            let (name, rest) = field.split_once(' ').unwrap();
            let id = if name == "node" { format!("id: \"{id}\", ") } else { String::new() };
            let query = format!("{{ {name}({id}atLeast: \"{ahead}\") {rest} }}");
            assert_eq!(world.refused(&token, &query).await, (503, "POSITION_NOT_REACHED".into()), "{field}");
        }
    }
    // What a read does not touch it does not wait for.
    let identity = Position::at(ShardId { category: Category::Identity, shard: 0 }, 1_000);
    assert_eq!(get(&world, &token, id, &identity.to_string()).await.0, 200);
    let query = format!("{{ me(atLeast: \"{identity}\") {{ id }} }}");
    assert_eq!(world.refused(&token, &query).await.1, "POSITION_NOT_REACHED");
}

#[tokio::test]
async fn the_header_counts_for_graphql_too() {
    let world = World::with(impatient()).await;
    let token = world.token(OURS).await;
    let ask = async |position: &str| {
        let request = world.http.post(world.url("/graphql")).bearer_auth(&token).header("docket-position", position);
        let response = request.json(&json!({"query": "{ consultations { edges { cursor } } }"})).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json::<Value>().await.unwrap()["errors"][0]["extensions"]["code"].clone())
    };
    assert_eq!(ask(&Position::at(shard(0), 1).to_string()).await, (503, json!("POSITION_NOT_REACHED")));
    assert_eq!(ask(&Position::at(shard(0), 0).to_string()).await, (200, Value::Null));
    assert_eq!(ask("nonsense").await, (400, json!("INVALID_POSITION")));
}

#[tokio::test]
async fn a_position_that_cannot_be_read_is_refused() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let (id, _) = world.asked(OURS, &Asked::titled("one")).await;
    let (status, problem, _) = get(&world, &token, id, "nonsense").await;
    assert_eq!((status, &problem["code"]), (400, &json!("invalid_position")));
    let query = format!("{{ consultation(id: \"{id}\", atLeast: \"!\") {{ id }} }}");
    assert_eq!(world.refused(&token, &query).await, (400, "INVALID_POSITION".into()));
}

#[tokio::test]
async fn behind_a_parked_event_the_answer_is_parked_and_no_wait() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let (id, _) = world.asked(OURS, &Asked::titled("parked")).await;
    let at = world.shard_of(id);
    let mut other = Uuid::nil();
    while other.is_nil() {
        let (candidate, _) = world.asked(OURS, &Asked::titled("beside it")).await;
        other = if world.shard_of(candidate) == at { candidate } else { other };
    }
    world
        .run(&format!(
        "insert into read.dead_letter values ('consultation', 2, {}, 500, '{OURS}', '{id}', '{}', 'x', 'secret', now());
         update read.checkpoint set sequence = 500 where projection = 'consultation' and shard = {}",
        at.shard,
        person(9),
        at.shard
    ))
        .await;
    let (before, behind) = (Position::at(at, 499).to_string(), Position::at(at, 500).to_string());
    let started = Instant::now();
    let (status, problem, _) = get(&world, &token, id, &behind).await;
    assert_eq!((status, &problem["code"]), (409, &json!("parked")));
    // Ahead of the checkpoint it is not waited for either.
    assert_eq!(get(&world, &token, id, &Position::at(at, 501).to_string()).await.0, 409);
    let list = format!("{{ consultations(atLeast: \"{behind}\") {{ edges {{ cursor }} }} }}");
    assert_eq!(world.refused(&token, &list).await.1, "PARKED");
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(get(&world, &token, id, &before).await.0, 200);
    assert_eq!(get(&world, &token, other, &behind).await.0, 200);
    // Another tenant's list is not behind it.
    let theirs = world.token(Uuid::from_u128(0xb)).await;
    world.query(&theirs, &list).await;
}
