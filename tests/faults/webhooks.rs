//! Who is told by webhooks: a receiver on the loopback that refuses now and then, is slow now and then, and remembers what it took.
//!
//! Owns the endpoint and its secret. What it must have taken is judged by `check`.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use docket_domain::webhook::callbacks_of;
use docket_log::Store;
use docket_platform::{clock, webhook::Secret};
use docket_tests::webhooks::Endpoint;
use serde_json::Value;
use sqlx::PgPool;
use tokio::{net::TcpListener, task::JoinHandle};
use uuid::Uuid;

/// The endpoint that is told of everything.
pub const ENDPOINT: Uuid = Uuid::from_u128(0xfa01);
/// The path at which the endpoint listens.
pub const EVENTS: &str = "events";
/// The path at which requests are answered.
pub const CALLBACK: &str = "callback";
/// The base64 of 32 bytes.
const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// How long it is silent now and then: within the time that an attempt has.
const SLOW: Duration = Duration::from_millis(400);

/// What was taken at one path.
#[derive(Debug, Default)]
pub struct Taken {
    /// The ids under which each version of a stream came.
    pub ids: HashMap<(Uuid, i64), BTreeSet<String>>,
    /// The versions of each stream, in the order in which they were first taken.
    pub order: HashMap<Uuid, Vec<i64>>,
}

/// What it remembers.
#[derive(Debug, Default)]
pub struct Memory {
    /// By path.
    pub taken: HashMap<String, Taken>,
    /// What was wrong with requests.
    pub odd: Vec<String>,
    met: HashSet<(String, String)>,
    count: u64,
}

/// The receiver; it ends when it is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    memory: Arc<Mutex<Memory>>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// Listens on a port of the system's choice.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening for webhooks")?;
        let address = listener.local_addr().context("where webhooks go")?;
        let memory = Arc::<Mutex<Memory>>::default();
        let router = Router::new().route("/{path}", post(receive)).with_state(Arc::clone(&memory));
        let task = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Self { address, memory, task })
    }

    /// Where a path of it is.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// What it remembers.
    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        lock(&self.memory)
    }
}

fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn receive(
    State(memory): State<Arc<Mutex<Memory>>>,
    Path(path): Path<String>,
    headers: HeaderMap,
    raw: Bytes,
) -> StatusCode {
    let (status, is_slow) = lock(&memory).meet(&path, &headers, &raw);
    if is_slow {
        tokio::time::sleep(SLOW).await;
    }
    status
}

impl Memory {
    /// The answer, and whether it is a slow one. Of ids that it meets for the first time, one in sixteen is refused.
    fn meet(&mut self, path: &str, headers: &HeaderMap, raw: &[u8]) -> (StatusCode, bool) {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (id, timestamp, signature) =
            (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
        let signed = Secret::parse(SECRET)
            .is_ok_and(|secret| secret.verify((id, timestamp, signature), raw, clock::now()).is_ok());
        if !signed {
            self.odd.push(format!("{id} came to {path} without a signature that fits"));
        }
        self.count += 1;
        let is_new = self.met.insert((path.to_owned(), id.to_owned()));
        if is_new && self.count.is_multiple_of(16) {
            return (StatusCode::SERVICE_UNAVAILABLE, false);
        }
        let body: Value = serde_json::from_slice(raw).unwrap_or_default();
        let stream = body["data"]["stream"].as_str().and_then(|name| name.strip_prefix("consultation-")?.parse().ok());
        let (Some(stream), Some(version)) = (stream, body["data"]["stream_version"].as_i64()) else {
            self.odd.push(format!("{id} came to {path} and names no event: {body}"));
            return (StatusCode::NO_CONTENT, false);
        };
        let taken = self.taken.entry(path.to_owned()).or_default();
        let ids = taken.ids.entry((stream, version)).or_default();
        if ids.is_empty() {
            taken.order.entry(stream).or_default().push(version);
        }
        ids.insert(id.to_owned());
        (StatusCode::NO_CONTENT, self.count % 64 == 1)
    }
}

/// Has `receiver` told of every consultation of `tenant`; callbacks are signed by the same secret. `pool` belongs to the writer's role.
pub async fn set_endpoint(store: &Store, pool: &PgPool, receiver: &Receiver, tenant: Uuid) -> Result<()> {
    let secret = Secret::parse(SECRET)?;
    let endpoint = Endpoint { tenant, id: ENDPOINT, url: receiver.url(EVENTS), event_types: &["consultation.*"] };
    docket_tests::webhooks::set_endpoint(store, pool, &secret, &endpoint).await?;
    docket_tests::webhooks::keep_secret(pool, &secret, tenant, callbacks_of(tenant), 0).await
}
