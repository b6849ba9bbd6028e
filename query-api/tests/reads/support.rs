//! A world for one test: a database of its own, a served query API, tokens, and a hand that writes rows like a projector.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use docket_events::{Category, ShardId, StreamId};
use docket_log::{Bell, Installation, Mode, Position, Topic};
use docket_platform::{
    Shutdown,
    auth::{Access, Authenticator, Keys, Principal, Role, SigningKey},
    breaker::{Breaker, BreakerSettings},
    clock,
    db::{Database, DbRole},
    embedded::{OWNER, ScratchCluster},
    http::{HttpSettings, harden},
    ids,
    outgoing::Networks,
    serve,
};
use docket_query_api::{
    Config, State,
    age::Ages,
    changes::{Follower, Hubs},
    graphql::Engine,
    position::Gate,
    read::Reads,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, PgPool, postgres::PgPoolOptions};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// Shards a category in the tests.
pub const SHARDS: u16 = 2;
const TEMPLATE: &str = "query_api_template";

/// Everything that one test has to itself.
pub struct World {
    pub owner: PgPool,
    pub reader: PgPool,
    pub database: Database,
    pub installation: Installation,
    pub bell: Bell,
    pub address: SocketAddr,
    pub state: State,
    pub shutdown: Shutdown,
    pub keys: Arc<Authenticator>,
    pub http: reqwest::Client,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

async fn make_template() -> Installation {
    let cluster = ScratchCluster::shared();
    let mut admin = cluster.connect_options(OWNER, "postgres").connect().await.unwrap();
    admin.execute(AssertSqlSafe(format!("create database {TEMPLATE}"))).await.unwrap();
    let mut connection = cluster.connect_options(OWNER, TEMPLATE).connect().await.unwrap();
    docket_log::migrate::migrate(&mut connection).await.unwrap();
    let installation = Installation::set_up(&mut connection, ids::new_id(), SHARDS, Mode::Journal).await.unwrap();
    let projections = ["consultation", "consultation_stats", "identity", "directory", "audit", "events"];
    for projection in projections.into_iter().chain(["knowledge", "feed", "engagement"]) {
        let categories = match projection {
            "events" => &Category::ALL[..],
            "consultation" | "consultation_stats" => &[Category::Consultation],
            "knowledge" => &[Category::Knowledge],
            "feed" => &[Category::Feed],
            "engagement" => &[Category::Engagement],
            _ => &[Category::Identity],
        };
        for shard in categories.iter().flat_map(|category| installation.shards_of(*category)) {
            let category = shard.category;
            sqlx::query("insert into read.checkpoint (projection, category, shard) values ($1, $2, $3)")
                .bind(projection)
                .bind(category.code())
                .bind(i16::try_from(shard.shard).unwrap())
                .execute(&mut connection)
                .await
                .unwrap();
        }
    }
    connection.close().await.unwrap();
    installation
}

async fn make_database() -> (String, Installation) {
    static TEMPLATED: OnceCell<Installation> = OnceCell::const_new();
    let installation = *TEMPLATED.get_or_init(make_template).await;
    let name = format!("t{}", ids::new_id().simple());
    let mut admin = ScratchCluster::shared().connect_options(OWNER, "postgres").connect().await.unwrap();
    admin.execute(AssertSqlSafe(format!("create database {name} template {TEMPLATE}"))).await.unwrap();
    admin.close().await.unwrap();
    (name, installation)
}

pub fn keys() -> Authenticator {
    Authenticator::fixed(Keys::new(vec![SigningKey::generate().unwrap()]))
}

/// How HTTP is served.
pub fn settings() -> HttpSettings {
    HttpSettings {
        body_limit: 1 << 20,
        request_timeout: Duration::from_secs(30),
        allowed_origins: Vec::new(),
        behind_tls: false,
        trusted_proxies: Networks::default(),
    }
}

/// Serves a query API on a free port.
pub async fn serve_api(
    pool: PgPool,
    keys: Arc<Authenticator>,
    installation: Installation,
    bell: Bell,
    config: Config,
    shutdown: &Shutdown,
) -> (SocketAddr, State) {
    let state = State::new(pool, keys, installation, bell, config, shutdown);
    let router = harden(docket_query_api::router(state.clone()), &settings(), false);
    let (listener, address) = serve::bind("127.0.0.1:0").await.unwrap();
    let served = shutdown.clone();
    tokio::spawn(async move { serve::serve(listener, router, &served).await });
    (address, state)
}

impl World {
    pub async fn new() -> Self {
        Self::with(Config { loopback: true, ..Config::default() }).await
    }

    pub async fn with(config: Config) -> Self {
        let (name, installation) = make_database().await;
        let options = ScratchCluster::shared().connect_options(OWNER, &name);
        let owner = PgPoolOptions::new().max_connections(4).connect_lazy_with(options.clone());
        let database = Database::embedded(options);
        let reader = database.pool(DbRole::Reader, 8, Duration::from_secs(5));
        let (bell, shutdown) = (Bell::new(Topic::Read), Shutdown::new());
        let keys = Arc::new(keys().with_api_keys(reader.clone()));
        let (address, state) =
            serve_api(reader.clone(), keys.clone(), installation, bell.clone(), config, &shutdown).await;
        let http = reqwest::Client::new();
        Self { owner, reader, database, installation, bell, address, state, shutdown, keys, http }
    }

    /// Waits until so many listen for changes of a tenant: subscribers, and reads that wait.
    pub async fn heard_by(&self, tenant: Uuid, listeners: usize) {
        let end = Instant::now() + Duration::from_secs(30);
        while self.state.hubs().listeners(tenant) < listeners {
            assert!(Instant::now() < end, "{} of {listeners} listen", self.state.hubs().listeners(tenant));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn token(&self, tenant: Uuid) -> String {
        self.token_for(tenant, Duration::from_secs(600)).await
    }

    pub async fn token_for(&self, tenant: Uuid, lifetime: Duration) -> String {
        let principal = Principal::member(person(1), tenant, Role::Analyst);
        self.keys.issue(principal, clock::now(), lifetime).await.unwrap().0
    }

    /// A token of anybody.
    pub async fn token_of(&self, access: impl Into<Access>) -> String {
        self.keys.issue(access, clock::now(), Duration::from_secs(600)).await.unwrap().0
    }

    /// An engine beside the served one, for those who cannot log in.
    pub fn engine(&self) -> Engine {
        let breaker = Breaker::new("postgres_read_engine", BreakerSettings::default());
        let reads = Reads::new(self.reader.clone(), breaker);
        let (bell, installation) = (self.bell.clone(), self.installation);
        let gate = Gate::new(reads, bell.clone(), installation, Ages::default(), Duration::from_secs(1));
        let hubs = Hubs::new(100);
        let follower = Follower::new(&self.reader, bell, installation, hubs.clone(), Duration::from_millis(20));
        tokio::spawn(follower.run(self.shutdown.clone()));
        Engine::new(gate, hubs, Duration::from_secs(10), 10_000, true)
    }

    /// Posts a query and gives status and answer.
    pub async fn post(&self, token: &str, body: &Value) -> (u16, Value) {
        let response = self.http.post(self.url("/graphql")).bearer_auth(token).json(body).send().await.unwrap();
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        assert!(kind.starts_with("application/graphql-response+json"), "{kind}");
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Posts a query that must succeed and gives its data and position.
    pub async fn query(&self, token: &str, query: &str) -> (Value, String) {
        let (status, answer) = self.post(token, &json!({ "query": query })).await;
        assert_eq!((status, &answer["errors"]), (200, &Value::Null), "{query}: {answer}");
        (answer["data"].clone(), answer["extensions"]["position"].as_str().unwrap_or_default().to_owned())
    }

    /// Posts a query that must fail and gives status and code.
    pub async fn refused(&self, token: &str, query: &str) -> (u16, String) {
        let (status, answer) = self.post(token, &json!({ "query": query })).await;
        (status, answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned())
    }

    /// The position before every event.
    pub fn beginning(&self) -> Position {
        let categories = Category::ALL.into_iter();
        categories.flat_map(|category| self.installation.shards_of(category)).map(|shard| (shard, 0)).collect()
    }

    pub fn shard_of(&self, id: Uuid) -> ShardId {
        self.installation.shard_of(StreamId::new(Category::Consultation, id))
    }

    /// Writes a new consultation as a projector would: row, history, change and checkpoint together.
    pub async fn asked(&self, tenant: Uuid, asked: &Asked) -> (Uuid, Position) {
        let id = ids::new_id();
        (id, self.write(tenant, id, asked, "requested").await)
    }

    /// Writes the next event of a consultation.
    pub async fn write(&self, tenant: Uuid, id: Uuid, asked: &Asked, kind: &str) -> Position {
        let shard = self.shard_of(id);
        let number = i16::try_from(shard.shard).unwrap();
        let mut tx = self.owner.begin().await.unwrap();
        let sequence: i64 = sqlx::query_scalar(
            "update read.checkpoint set sequence = sequence + 1
             where projection = 'consultation' and category = 2 and shard = $1 returning sequence",
        )
        .bind(number)
        .fetch_one(&mut *tx)
        .await
        .unwrap();
        let version: i64 = sqlx::query_scalar(
            "insert into read.consultation_v1 (id, tenant, shard, version, state, title, context, external_id, requested_by,
                 requested_by_name, requested_at, updated_at)
             values ($1, $2, $3, 1, $4, $5, '{\"b\":1,\"a\":[1.5]}', $6, $7, $8, $9, $9)
             on conflict (id) do update set version = read.consultation_v1.version + 1, state = $4 returning version",
        )
        .bind(id)
        .bind(tenant)
        .bind(number)
        .bind(asked.state)
        .bind(&asked.title)
        .bind(&asked.external_id)
        .bind(person(1))
        .bind(&asked.name)
        .bind(asked.at)
        .fetch_one(&mut *tx)
        .await
        .unwrap();
        sqlx::query(
            "insert into read.consultation_history_v1 (consultation_id, version, tenant, shard, event_id, kind, at, by_id, by_name)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(id)
        .bind(version)
        .bind(tenant)
        .bind(number)
        .bind(ids::new_id())
        .bind(kind)
        .bind(asked.at)
        .bind(person(1))
        .bind(&asked.name)
        .execute(&mut *tx)
        .await
        .unwrap();
        if kind == "requested" {
            self.found(&mut tx, id).await;
        }
        sqlx::query(
            "insert into read.change (projection, category, shard, sequence, tenant, key, kind)
             values ('consultation', 2, $1, $2, $3, $4, $5)",
        )
        .bind(number)
        .bind(sequence)
        .bind(tenant)
        .bind(id)
        .bind(kind)
        .execute(&mut *tx)
        .await
        .unwrap();
        tx.commit().await.unwrap();
        self.bell.ring();
        Position::at(shard, u64::try_from(sequence).unwrap())
    }

    /// Writes what a new consultation is found by, and whom it asks: everyone.
    async fn found(&self, connection: &mut PgConnection, id: Uuid) {
        for statement in [
            "insert into read.consultation_words_v1 (consultation_id, tenant, shard, words)
             select id, tenant, shard, read.consultation_words(tenant, title, body, external_id, labels)
             from read.consultation_v1 where id = $1",
            "insert into read.consultation_asked_v1 (consultation_id, who, tenant, shard)
             select id, 'everyone', tenant, shard from read.consultation_v1 where id = $1 and state = 'pending'",
        ] {
            sqlx::query(statement).bind(id).execute(&mut *connection).await.unwrap();
        }
    }

    /// Runs a statement as the owner.
    pub async fn run(&self, statement: &str) {
        self.owner.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
    }
}

/// What a test says of a consultation.
pub struct Asked {
    pub title: String,
    pub state: &'static str,
    pub external_id: Option<String>,
    pub name: Option<String>,
    pub at: DateTime<Utc>,
}

impl Asked {
    pub fn titled(title: impl Into<String>) -> Self {
        let name = Some("Ada".to_owned());
        Self { title: title.into(), state: "pending", external_id: None, name, at: instant(0) }
    }
}

/// A person's id.
pub fn person(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// An instant, some seconds after a fixed one.
pub fn instant(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_750_000_000, 0).unwrap() + TimeDelta::seconds(seconds)
}
