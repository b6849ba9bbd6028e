//! API keys at the doors of the read side: what they open, and how they end.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use docket_domain::identity::{ApiKey, CreateApiKey, create_api_key, revoke_api_key};
use docket_events::{Category, StreamId, identity};
use docket_log::{Bell, CommandContext, Outcome, Store, StoreOptions, Topic, revocations};
use docket_platform::{
    auth::{
        Authenticator, Scope,
        api_keys::{self, ApiKeySecret, NewSecret},
    },
    clock, db,
    db::DbRole,
    ids,
};
use docket_query_api::Config;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    support::{Asked, World, keys, serve_api},
    websocket::Client,
};

const OURS: Uuid = Uuid::from_u128(0xa);
const THEIRS: Uuid = Uuid::from_u128(0xb);
const SUBSCRIPTION: &str = "subscription { consultationChanged { kind } }";

struct Key {
    id: Uuid,
    secret: String,
}

fn store(world: &World) -> Store {
    let pool = world.database.pool(DbRole::Writer, 2, Duration::from_secs(5));
    Store::open(&world.database, pool, world.installation, Bell::new(Topic::Journal), StoreOptions::default())
}

/// Makes a key as the command API does: the event, then the row.
async fn make(store: &Store, tenant: Uuid, scopes: &[Scope], expires_at: Option<DateTime<Utc>>) -> Key {
    let (id, secret) = (ids::new_id(), ApiKeySecret::generate());
    let command = CreateApiKey {
        name: "Pipeline".to_owned(),
        scopes: BTreeSet::from([identity::Scope::ConsultationRead]),
        created_by: id,
        expires_at,
    };
    let context = CommandContext { tenant, ..CommandContext::default() };
    let stream = StreamId::new(Category::Identity, id);
    let made = store.execute(&context, stream, |key: &ApiKey, now| create_api_key(key, &command, now)).await.unwrap();
    assert!(matches!(made, Outcome::Accepted(_)));
    let mut door = db::door(store.pool()).await.unwrap();
    let new = NewSecret { key: id, tenant, version: 1, scopes, expires_at };
    api_keys::keep_secret(&mut door, &secret, &new).await.unwrap();
    door.commit().await.unwrap();
    Key { id, secret: secret.expose().to_owned() }
}

async fn revoke(store: &Store, tenant: Uuid, key: &Key) {
    let context = CommandContext { tenant, ..CommandContext::default() };
    let stream = StreamId::new(Category::Identity, key.id);
    store.execute(&context, stream, |key: &ApiKey, _| revoke_api_key(key)).await.unwrap();
}

/// Status and code of the REST read of something that is not there.
async fn read(world: &World, secret: &str) -> (u16, Value) {
    let url = world.url(&format!("/api/v1/consultations/{}", Uuid::from_u128(404)));
    let response = world.http.get(url).bearer_auth(secret).header("x-request-id", "same").send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Waits for a condition, at most twenty seconds.
async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), wait).await.is_ok(), "waited in vain for {what}");
}

#[tokio::test]
async fn a_key_reads_what_its_scopes_name_and_nothing_else() {
    let world = World::new().await;
    let store = store(&world);
    world.asked(OURS, &Asked::titled("ours")).await;
    let (theirs, _) = world.asked(THEIRS, &Asked::titled("theirs")).await;
    for scope in Scope::ALL {
        let key = make(&store, OURS, &[scope], None).await;
        let code = |allowed| if allowed { (200, String::new()) } else { (403, "FORBIDDEN".to_owned()) };
        let (reads, members) = (scope == Scope::ConsultationRead, scope == Scope::IdentityRead);
        for query in ["{ consultations { edges { node { title } } } }", "{ consultationStats { pending } }"] {
            assert_eq!(world.refused(&key.secret, query).await, code(reads), "{query} with {scope:?}");
        }
        let query = "{ members { edges { node { id } } } }";
        assert_eq!(world.refused(&key.secret, query).await, code(members), "{query} with {scope:?}");
        let (status, problem) = read(&world, &key.secret).await;
        let expected = if reads { (404, "not_found") } else { (403, "forbidden") };
        assert_eq!((status, problem["code"].as_str().unwrap()), expected, "{scope:?}");
        let mut client = Client::ready(&world, &key.secret).await;
        client.subscribe("1", SUBSCRIPTION).await;
        if reads {
            client.send(json!({"type": "ping"})).await;
            assert_eq!(client.receive().await, json!({"type": "pong"}));
            // Of its own organisation alone.
            let query = format!(
                "{{ consultation(id: \"{theirs}\") {{ title }} consultations {{ edges {{ node {{ title }} }} }} }}"
            );
            let (seen, _) = world.query(&key.secret, &query).await;
            assert_eq!(seen["consultation"], Value::Null);
            assert_eq!(seen["consultations"]["edges"], json!([{"node": {"title": "ours"}}]));
        } else {
            let error = client.receive().await;
            assert_eq!(error["payload"][0]["extensions"]["code"], "FORBIDDEN", "{error}");
        }
    }
}

/// A query API of its own on the world's database, that follows what is taken away.
async fn replica(world: &World) -> (World, CancellationToken) {
    let pool = world.database.pool(DbRole::Reader, 8, Duration::from_secs(5));
    let authenticator = Arc::new(keys().with_api_keys(pool.clone()));
    let (known, stop) = (authenticator.revocations().clone(), CancellationToken::new());
    let (followed, stopped) = (pool.clone(), stop.clone());
    tokio::spawn(async move { revocations::follow(followed, &known, stopped).await });
    let (bell, shutdown) = (world.bell.clone(), docket_platform::Shutdown::new());
    let config = Config { loopback: true, ..Config::default() };
    let (address, state) =
        serve_api(pool.clone(), authenticator.clone(), world.installation, bell.clone(), config, &shutdown).await;
    let world = World {
        owner: world.owner.clone(),
        reader: pool,
        database: world.database.clone(),
        installation: world.installation,
        bell,
        address,
        state,
        shutdown,
        keys: authenticator,
        http: world.http.clone(),
    };
    (world, stop)
}

#[tokio::test]
async fn a_revoked_key_is_refused_and_its_connections_are_closed_in_every_process() {
    let world = World::new().await;
    let store = store(&world);
    let key = make(&store, OURS, &[Scope::ConsultationRead], None).await;
    let other = make(&store, OURS, &[Scope::ConsultationRead], None).await;
    let replicas = [replica(&world).await, replica(&world).await];
    let mut open = Vec::new();
    for (replica, _) in &replicas {
        until("the key is let in", async || read(replica, &key.secret).await.0 == 404).await;
        let mut clients = [Client::ready(replica, &key.secret).await, Client::ready(replica, &other.secret).await];
        for client in &mut clients {
            client.subscribe("1", SUBSCRIPTION).await;
        }
        let body = json!({ "query": SUBSCRIPTION });
        let stream = replica.http.post(replica.url("/graphql")).bearer_auth(&key.secret);
        let stream = stream.header("accept", "text/event-stream").json(&body).send().await.unwrap();
        assert_eq!(stream.status(), 200);
        open.push((clients, stream.bytes_stream()));
    }

    revoke(&store, OURS, &key).await;
    for ([mut ended, mut goes_on], mut stream) in open {
        assert_eq!(ended.closed().await, 4403);
        let events = async {
            let mut text = String::new();
            while let Some(piece) = stream.next().await {
                text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
            }
            text
        };
        let text = tokio::time::timeout(Duration::from_secs(20), events).await.expect("the stream ends");
        assert!(text.contains("UNAUTHENTICATED") && text.ends_with("event: complete\ndata: \n\n"), "{text}");
        goes_on.send(json!({"type": "ping"})).await;
        assert_eq!(goes_on.receive().await, json!({"type": "pong"}));
    }
    let never = read(&world, ApiKeySecret::generate().expose()).await;
    assert_eq!((never.0, &never.1["code"]), (401, &json!("unauthorized")));
    for (replica, stop) in &replicas {
        until("the key is refused", async || read(replica, &key.secret).await.0 == 401).await;
        assert_eq!(read(replica, &key.secret).await, never, "equal to one that never was");
        let mut late = Client::connect(replica).await;
        late.init(&key.secret).await;
        assert_eq!(late.closed().await, 4403);
        assert_eq!(read(replica, &other.secret).await.0, 404);
        stop.cancel();
    }
    // To a process that knows nothing of it, the event alone says so.
    assert_eq!(read(&world, &key.secret).await, never);
}

#[tokio::test]
async fn a_key_and_its_connections_end_in_the_second_that_it_names() {
    let world = World::new().await;
    let store = store(&world);
    let end = clock::now() + Duration::from_millis(2_500);
    let key = make(&store, OURS, &[Scope::ConsultationRead], Some(end)).await;
    let mut client = Client::ready(&world, &key.secret).await;
    client.subscribe("1", SUBSCRIPTION).await;
    assert_eq!(read(&world, &key.secret).await.0, 404);
    assert_eq!(client.closed().await, 4401);
    until("its end", async || clock::now() >= end).await;
    let (status, problem) = read(&world, &key.secret).await;
    assert_eq!((status, &problem["code"]), (401, &json!("key_expired")));
    let mut late = Client::connect(&world).await;
    late.init(&key.secret).await;
    assert_eq!(late.closed().await, 4403);
}

#[tokio::test]
async fn a_connection_by_key_is_no_longer_than_one_by_token_without_another_look() {
    let world = World::new().await;
    let key = make(&store(&world), OURS, &[Scope::ConsultationRead], None).await;
    let now = clock::now();
    let access = world.keys.verify(&key.secret, now).await.unwrap();
    assert_eq!(access.expires_at, Some(now.timestamp() + 15 * 60));
}

#[tokio::test]
async fn uses_are_noted_by_the_reading_side_too() {
    let world = World::new().await;
    let key = make(&store(&world), OURS, &[Scope::ConsultationRead], None).await;
    read(&world, &key.secret).await;
    let stop = CancellationToken::new();
    stop.cancel();
    world.keys.keep_key_uses(stop).await;
    let used: Vec<(Uuid, Uuid)> =
        sqlx::query_as("select key_id, tenant from auth.api_key_use").fetch_all(&world.owner).await.unwrap();
    assert_eq!(used, [(key.id, OURS)]);
}

#[tokio::test]
async fn without_a_place_to_look_there_are_no_keys() {
    let world = World::new().await;
    let key = make(&store(&world), OURS, &[Scope::ConsultationRead], None).await;
    let blind: Authenticator = keys();
    let error = blind.verify(&key.secret, clock::now()).await.unwrap_err();
    assert_eq!(docket_platform::Problem::from(error).code(), "unauthorized");
}
