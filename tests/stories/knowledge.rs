//! The knowledge graph the whole way: what was added over HTTP is read at its position, wherever the log is.

#![allow(clippy::disallowed_methods, reason = "a test calls the servers that it started, as their clients do")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use docket_command_api::{roles::event_role, setup};
use docket_events::Category;
use docket_log::{Bell, LogReader, Mode, Position, Topic};
use docket_platform::{
    Shutdown,
    auth::{Authenticator, Keys, Principal, Role, SigningKey},
    clock,
    db::DbRole,
    http::{HttpSettings, harden},
    outgoing::Networks,
    serve,
};
use docket_tests::eventually_within;
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use crate::kafka::{
    projecting::Projecting,
    support::{Log, PATIENCE},
};

/// Commands and queries behind one address, as `docket up` serves them.
struct Served {
    address: SocketAddr,
    token: String,
    http: reqwest::Client,
    shutdown: Shutdown,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

/// An answer's status, its position and its body.
type Answer = (u16, Option<String>, Value);

impl Served {
    async fn on(log: &Log) -> Result<Self> {
        let (store, shutdown) = (log.store(), Shutdown::new());
        let keys = Authenticator::fixed(Keys::new(vec![SigningKey::generate()?]));
        let keys = Arc::new(keys.with_api_keys(store.pool().clone()));
        let organisation = setup::first_organisation(&store);
        setup::create_organisation(&store, organisation, "Maps").await?;
        let (role, password) = (Role::Analyst, "an analyst's password".to_owned().into());
        let user =
            setup::create_user_in(&store, organisation, "ada@example.org", "Ada", event_role(role), password).await?;
        let principal = Principal::member(user.user_id, organisation, role);
        let (token, _) = keys.issue(principal, clock::now(), Duration::from_secs(600)).await?;
        let queries = docket_query_api::Config { position_wait: PATIENCE, ..docket_query_api::Config::default() };
        let (reader, bell) = (log.db.pool(DbRole::Reader), Bell::new(Topic::Read));
        let queries = docket_query_api::State::new(reader, keys.clone(), log.db.installation, bell, queries, &shutdown);
        let commands = docket_command_api::State::new(store, keys, docket_command_api::Config::default());
        let router = docket_command_api::router(commands).merge(docket_query_api::router(queries));
        let settings = HttpSettings {
            body_limit: 1 << 20,
            request_timeout: PATIENCE,
            allowed_origins: Vec::new(),
            behind_tls: false,
            trusted_proxies: Networks::default(),
        };
        let (listener, address) = serve::bind("127.0.0.1:0").await?;
        let (router, served) = (harden(router, &settings, false), shutdown.clone());
        tokio::spawn(async move { serve::serve(listener, router, &served).await });
        Ok(Self { address, token, http: reqwest::Client::new(), shutdown })
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer> {
        let response = request.bearer_auth(&self.token).send().await?;
        let position = response.headers().get("docket-position");
        let position = position.map(|value| value.to_str().map(str::to_owned)).transpose()?;
        Ok((response.status().as_u16(), position, response.json().await?))
    }

    async fn add(&self, what: &str, body: Value) -> Result<(Uuid, String)> {
        let url = format!("http://{}/api/v1/{what}", self.address);
        let (status, position, body) = self.send(self.http.post(url).json(&body)).await?;
        anyhow::ensure!(status == 201, "{status}: {body}");
        Ok((body["id"].as_str().context("an id")?.parse()?, position.context("a position")?))
    }

    async fn get(&self, path: &str, position: &str) -> Result<Answer> {
        let request = self.http.get(format!("http://{}/api/v1/{path}", self.address));
        self.send(request.header("docket-position", position)).await
    }

    async fn ask(&self, query: &str) -> Result<Value> {
        let request = self.http.post(format!("http://{}/graphql", self.address)).json(&json!({ "query": query }));
        let (_, _, body) = self.send(request).await?;
        anyhow::ensure!(body["errors"].is_null(), "{query}: {body}");
        Ok(body["data"].clone())
    }
}

/// Adds two entities and what relates them, and reads both at the position of the last answer, while somebody projects.
async fn what_was_added_is_read_at_its_position(log: &Log, mut projecting: Projecting) -> Result<Projecting> {
    let served = Served::on(log).await?;
    let (ended, mut ends) = watch::channel(false);
    let projector = tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        while !*ends.borrow_and_update() {
            projecting.turn().await?;
            pace.tick().await;
        }
        anyhow::Ok(projecting)
    });
    let (el_paso, _) =
        served.add("entities", json!({"type": "location", "name": "El Paso", "external_id": "el-paso"})).await?;
    let (texas, seen) =
        served.add("entities", json!({"type": "location", "name": "Texas", "external_id": "texas"})).await?;
    let related = json!({
        "source_external_id": "el-paso", "type": "located_in", "target_external_id": "texas", "confidence": 0.9,
    });
    let (relationship, position) = served.add("relationships", related).await?;
    // One's own position says nothing of the others' shards: whoever wants all of them asks for all of them.
    let mut wanted: Position = position.parse()?;
    wanted.join(&seen.parse()?);

    let query = format!(
        "{{ entity(id: \"{el_paso}\", atLeast: \"{wanted}\") {{ name type relationships(limit: 20) {{ type confidence targetEntity {{ id name }} }} }} }}"
    );
    let entity = served.ask(&query).await?["entity"].clone();
    assert_eq!((&entity["name"], &entity["type"]), (&json!("El Paso"), &json!("location")));
    let expected = json!([{"type": "located_in", "confidence": 0.9, "targetEntity": {"id": texas, "name": "Texas"}}]);
    assert_eq!(entity["relationships"], expected);

    let (status, shown_at, shown) = served.get(&format!("relationships/{relationship}"), &position).await?;
    assert_eq!((status, &shown["source_id"], &shown["target_id"]), (200, &json!(el_paso), &json!(texas)));
    let shown_at: Position = shown_at.context("a position")?.parse()?;
    assert!(position.parse::<Position>()?.iter().all(|(shard, sequence)| shown_at.get(shard) >= sequence));
    // As the command answered it, for the same thing has one shape.
    let again = json!({"type": "location", "name": "Texas", "external_id": "texas"});
    let url = format!("http://{}/api/v1/entities", served.address);
    let (_, _, answered) = served.send(served.http.post(url).json(&again)).await?;
    assert_eq!(served.get(&format!("entities/{texas}"), &wanted.to_string()).await?.2, answered);
    let (_, _, page) = served.get(&format!("entities/{texas}/relationships?direction=incoming"), &position).await?;
    assert_eq!(page["relationships"][0]["source_entity"]["name"], "El Paso");

    ended.send(true)?;
    projector.await?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn knowledge_is_read_at_its_position_from_the_journal() -> Result<()> {
    let log = Log::new().await?;
    let (_mode, mode) = watch::channel(Mode::Journal);
    let reader = LogReader::new(log.db.pool(DbRole::Projector), &log.bell, None, mode)?;
    let projecting = Projecting::begin(&log, reader).await?;
    let mut projecting = what_was_added_is_read_at_its_position(&log, projecting).await?;
    projecting.assert_verified(&log).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn knowledge_is_read_at_its_position_from_kafka() -> Result<()> {
    let log = Log::new().await?;
    let relay = log.relay();
    let projecting = Projecting::begin(&log, log.reader().await?).await?;
    let mut projecting = what_was_added_is_read_at_its_position(&log, projecting).await?;
    log.all_published().await?;
    eventually_within(PATIENCE, "knowledge comes from Kafka", async || {
        projecting.turn().await?;
        let mut shards = log.db.installation.shards_of(Category::Knowledge);
        Ok(shards.any(|shard| projecting.is_from_kafka(shard)).then_some(()))
    })
    .await?;
    projecting.assert_verified(&log).await?;
    relay.stop().await
}
