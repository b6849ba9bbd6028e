//! An application of a test's own: a database cloned from a migrated template, and the hardened router over it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::ConnectInfo,
    http::{HeaderMap, Request, StatusCode},
};
use chrono::{DateTime, TimeDelta, Utc};
use docket_command_api::{Config, State, roles::event_role, router, setup};
use docket_domain::identity::{AddMember, Organisation, OrganisationCommand, decide_organisation};
use docket_events::{Category, StreamId};
use docket_log::{
    Bell, CommandContext, Installation, Mode, Outcome, Store, StoreOptions, Topic, migrate::migrate, revocations,
};
use docket_platform::{
    auth::{
        Authenticator, Keys, Principal, Role, SigningKey,
        mailed::{self, Invited, Purpose},
    },
    clock,
    db::{Database, DbRole},
    embedded::{OWNER, ScratchCluster},
    http::{HttpSettings, harden},
    ids,
    outgoing::Networks,
};
use secrecy::SecretString;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use uuid::Uuid;

const TEMPLATE: &str = "command_api_template";

pub struct App {
    pub router: Router,
    pub state: State,
    pub store: Store,
    pub database: Database,
    pub owner: PgPool,
    pub authenticator: Arc<Authenticator>,
    pub organisation: Uuid,
    keys: Keys,
}

/// Another process on the same database, which hears of what is taken away as processes do.
pub struct Replica {
    pub router: Router,
    stop: CancellationToken,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn id(&self) -> Uuid {
        self.body["id"].as_str().expect("an id").parse().expect("a UUID")
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.headers)).to_str().expect("text")
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self
    }

    /// Expects a problem with this status and code.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.body["code"], code, "{}", answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        answer
    }

    /// The body without what differs between two requests anyhow.
    pub fn anonymous(mut self) -> (StatusCode, Value) {
        if let Some(body) = self.body.as_object_mut() {
            body.remove("request_id");
        }
        (self.status, self.body)
    }
}

/// Someone with a token.
#[derive(Clone)]
pub struct Member {
    pub id: Uuid,
    pub token: String,
}

async fn template() -> Installation {
    static READY: OnceCell<Installation> = OnceCell::const_new();
    *READY
        .get_or_init(|| async {
            let cluster = ScratchCluster::shared();
            let mut owner = PgConnection::connect_with(&cluster.connect_options(OWNER, "postgres")).await.unwrap();
            owner.execute(AssertSqlSafe(format!("create database {TEMPLATE}"))).await.unwrap();
            owner.close().await.unwrap();
            let mut owner = PgConnection::connect_with(&cluster.connect_options(OWNER, TEMPLATE)).await.unwrap();
            migrate(&mut owner).await.unwrap();
            let installation = Installation::set_up(&mut owner, ids::new_id(), 2, Mode::Journal).await.unwrap();
            owner.close().await.unwrap();
            installation
        })
        .await
}

pub fn store(database: &Database, installation: Installation) -> Store {
    let pool = database.pool(DbRole::Writer, 8, Duration::from_secs(5));
    Store::open(database, pool, installation, Bell::new(Topic::Journal), StoreOptions::default())
}

pub fn settings() -> HttpSettings {
    HttpSettings {
        body_limit: 1024 * 1024,
        request_timeout: Duration::from_secs(30),
        allowed_origins: Vec::new(),
        behind_tls: false,
        trusted_proxies: Networks::default(),
    }
}

pub fn hardened(state: State) -> Router {
    harden(router(state), &settings(), false)
}

/// The request as it comes from this address.
pub fn from(address: &str, mut request: Request<Body>) -> Request<Body> {
    let peer = SocketAddr::new(address.parse().unwrap(), 4_711);
    request.extensions_mut().insert(ConnectInfo(peer));
    request
}

impl App {
    pub async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub async fn with(config: Config) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let installation = template().await;
        let cluster = ScratchCluster::shared();
        let name = format!("command_api_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut owner = PgConnection::connect_with(&cluster.connect_options(OWNER, "postgres")).await.unwrap();
        owner.execute(AssertSqlSafe(format!("create database {name} template {TEMPLATE}"))).await.unwrap();
        owner.close().await.unwrap();
        let database = Database::embedded(cluster.connect_options(OWNER, &name));
        let store = store(&database, installation);
        let keys = Keys::new(vec![SigningKey::generate().unwrap()]);
        let authenticator = Arc::new(Authenticator::fixed(keys.clone()).with_api_keys(store.pool().clone()));
        let state = State::new(store.clone(), authenticator.clone(), config);
        let organisation = setup::first_organisation(&store);
        setup::create_organisation(&store, organisation, "Test").await.unwrap();
        Self {
            router: hardened(state.clone()),
            state,
            owner: database.pool(DbRole::Owner, 4, Duration::from_secs(5)),
            store,
            database,
            authenticator,
            organisation,
            keys,
        }
    }

    /// Another process like this one, which lets people in as soon as it knows what was taken away.
    pub async fn replica(&self) -> Replica {
        let keys = Authenticator::fixed(self.keys.clone()).with_api_keys(self.store.pool().clone());
        let authenticator = Arc::new(keys);
        let (known, stop) = (authenticator.revocations().clone(), CancellationToken::new());
        let pool = self.database.pool(DbRole::Writer, 1, Duration::from_secs(5));
        let stopped = stop.clone();
        known.begin(tokio::time::Instant::now());
        let watched = known.clone();
        tokio::spawn(async move { revocations::follow(pool, &known, stopped).await });
        until("the replica", || async { !watched.is_stale() }).await;
        let state = State::new(self.other_store(), authenticator, self.state.config().clone());
        Replica { router: hardened(state), stop }
    }

    /// Another process on the same database.
    pub fn other_store(&self) -> Store {
        store(&self.database, self.store.installation())
    }

    pub async fn member(&self, name: &str, role: Role) -> Member {
        self.member_of(self.organisation, name, role).await
    }

    pub async fn member_of(&self, organisation: Uuid, name: &str, role: Role) -> Member {
        let email = format!("{name}@example.org");
        let told = event_role(role);
        let password = format!("{name}'s password").into();
        let user = setup::create_user_in(&self.store, organisation, &email, name, told, password).await.unwrap();
        let principal = Principal::member(user.user_id, organisation, role);
        let (token, _) = self.authenticator.issue(principal, clock::now(), Duration::from_secs(600)).await.unwrap();
        Member { id: user.user_id, token }
    }

    /// Lets a user who exists belong to another organisation too.
    pub async fn join(&self, organisation: Uuid, user: Uuid, role: Role) {
        let role = event_role(role);
        docket_command_api::auth::memberships::hint(self.store.pool(), user, organisation).await.unwrap();
        let command = OrganisationCommand::AddMember(AddMember { user_id: user, role });
        let context = CommandContext { tenant: organisation, ..CommandContext::default() };
        let stream = StreamId::new(Category::Identity, organisation);
        let decide = |state: &Organisation, now| decide_organisation(state, command.clone(), now);
        assert!(matches!(self.store.execute(&context, stream, decide).await.unwrap(), Outcome::Accepted(_)));
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        send(&self.router, request).await
    }

    pub async fn post(&self, by: &Member, path: &str, body: &Value) -> Answer {
        self.post_with(by, path, body, &[]).await
    }

    pub async fn post_with(&self, by: &Member, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        self.send(request(Some(by), path, body.to_string().into(), headers)).await
    }

    /// Any request with a JSON body, or none where it is null.
    pub async fn call(
        &self,
        by: Option<&Member>,
        method: &str,
        path: &str,
        body: &Value,
        more: &[(&str, &str)],
    ) -> Answer {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into() };
        let mut request = request(by, path, bytes, more);
        *request.method_mut() = method.parse().unwrap();
        self.send(request).await
    }

    /// What a mail about an account would bring.
    pub async fn mailed(&self, purpose: Purpose, user: Uuid) -> SecretString {
        let pool = self.database.pool(DbRole::Projector, 1, Duration::from_secs(5));
        let mut door = docket_platform::db::door(&pool).await.unwrap();
        let token = mailed::issue(&mut door, purpose, user).await.unwrap();
        door.commit().await.unwrap();
        token
    }

    /// What the mail of an invitation would bring.
    pub async fn mailed_invitation(&self, tenant: Uuid, invitation: Uuid) -> SecretString {
        let pool = self.database.pool(DbRole::Projector, 1, Duration::from_secs(5));
        let mut door = docket_platform::db::door(&pool).await.unwrap();
        let until = self.in_millis(600_000).await;
        let token = mailed::issue_invitation(&mut door, Invited { invitation, tenant }, until).await.unwrap();
        door.commit().await.unwrap();
        token
    }

    /// Runs SQL as the owner.
    pub async fn sql(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.owner).await.unwrap();
    }

    /// One number.
    pub async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(format!("select ({sql})::bigint"))).fetch_one(&self.owner).await.unwrap()
    }

    /// From now on, until [`App::let_again`], `event` on `table` fails where `condition` holds, as if whoever does it were killed.
    pub async fn refuse(&self, event: &str, table: &str, condition: &str) {
        self.sql(&format!(
            "create or replace function refuse() returns trigger language plpgsql as $$ begin raise 'not now'; end $$;
             create trigger refuse before {event} on {table} for each row when ({condition}) execute function refuse();"
        ))
        .await;
    }

    pub async fn let_again(&self, table: &str) {
        self.sql(&format!("drop trigger refuse on {table}")).await;
    }

    /// How many events consultations have, and how many answers are remembered.
    pub async fn written(&self) -> (i64, i64) {
        sqlx::query_as(
            "select (select count(*) from write.journal where event_type like 'docket.consultation.%'),
                    (select count(*) from write.idempotency)",
        )
        .fetch_one(&self.owner)
        .await
        .unwrap()
    }

    pub async fn events_of(&self, stream: Uuid) -> Vec<String> {
        sqlx::query_scalar(
            "select split_part(event_type, '.', 3) from write.journal where stream_id = $1 order by stream_version",
        )
        .bind(stream)
        .fetch_all(&self.owner)
        .await
        .unwrap()
    }

    pub async fn now(&self) -> DateTime<Utc> {
        sqlx::query_scalar("select clock_timestamp()").fetch_one(&self.owner).await.unwrap()
    }

    pub async fn in_millis(&self, millis: i64) -> DateTime<Utc> {
        self.now().await + TimeDelta::milliseconds(millis)
    }

    /// Waits until the database's clock has reached `instant`.
    pub async fn reach(&self, instant: DateTime<Utc>) {
        until("the clock", || async { self.now().await >= instant }).await;
    }
}

pub fn request(by: Option<&Member>, path: &str, body: Vec<u8>, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::post(path);
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/json");
    }
    if let Some(by) = by {
        request = request.header("authorization", format!("Bearer {}", by.token));
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

pub async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
    Answer { status: parts.status, headers: parts.headers, body }
}

/// Waits for a condition, at most twenty seconds.
pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), wait).await.is_ok(), "waited in vain for {what}");
}

pub const CONSULTATIONS: &str = "/api/v1/consultations";

pub fn path(id: Uuid, what: &str) -> String {
    format!("{CONSULTATIONS}/{id}/{what}")
}
