//! A receiver of webhooks on the loopback that behaves as it is told, and remembers what it was sent.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use docket_platform::{clock, webhook::Secret};
use serde_json::Value;
use tokio::net::TcpListener;

/// One request.
#[derive(Debug, Clone)]
pub struct Received {
    /// The path, which tells receivers apart.
    pub path: String,
    pub id: String,
    pub timestamp: String,
    pub signature: String,
    pub raw: Vec<u8>,
    pub body: Value,
    /// How it was answered: whether it was taken.
    pub taken: bool,
}

impl Received {
    /// Whether a secret signed it just now.
    pub fn is_signed_by(&self, secret: &Secret) -> bool {
        secret.verify((&self.id, &self.timestamp, &self.signature), &self.raw, clock::now()).is_ok()
    }

    pub fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap_or_default()
    }

    pub fn stream(&self) -> &str {
        self.body["data"]["stream"].as_str().unwrap_or_default()
    }

    pub fn version(&self) -> u64 {
        self.body["data"]["stream_version"].as_u64().unwrap_or_default()
    }
}

/// How a request is answered, given the path and how often this id came there, from 1.
pub type Behaviour = dyn Fn(&str, usize) -> Answer + Send + Sync;

/// What a receiver does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Status(u16),
    /// Elsewhere, to a path of the same receiver.
    Redirect,
    /// Nothing, ever.
    Hang,
    /// In so many milliseconds.
    Slow(u64),
    /// A body without an end.
    Endless,
    /// The beginning of a body, and then the end of the connection.
    Broken,
}

struct Inner {
    received: Mutex<Vec<Received>>,
    behave: Box<Behaviour>,
}

/// The receiver.
pub struct Receiver {
    inner: Arc<Inner>,
    pub address: SocketAddr,
}

impl Receiver {
    pub async fn start(behave: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Self {
        let inner = Arc::new(Inner { received: Mutex::default(), behave: Box::new(behave) });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().route("/{*path}", axum::routing::any(receive)).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { inner, address }
    }

    /// One that takes everything.
    pub async fn taking() -> Self {
        Self::start(|_, _| Answer::Status(200)).await
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub fn received(&self) -> Vec<Received> {
        self.inner.received.lock().expect("no panic").clone()
    }

    /// Waits until what was received is as `enough` wants it.
    pub async fn until(&self, what: &str, enough: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let received = self.received();
            if enough(&received) {
                return received;
            }
            assert!(Instant::now() < end, "{what} never came: {:#?}", received.len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn receive(
    State(inner): State<Arc<Inner>>,
    Path(path): Path<String>,
    headers: HeaderMap,
    raw: Bytes,
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let id = header("webhook-id");
    let body = serde_json::from_slice(&raw).unwrap_or_default();
    let answer = {
        let mut received = inner.received.lock().expect("no panic");
        let before = received.iter().filter(|one| one.path == path && one.id == id).count();
        let answer = (inner.behave)(&path, before + 1);
        let taken = match answer {
            Answer::Status(status) => (200..300).contains(&status),
            Answer::Slow(_) | Answer::Endless => true,
            Answer::Redirect | Answer::Hang | Answer::Broken => false,
        };
        let (timestamp, signature) = (header("webhook-timestamp"), header("webhook-signature"));
        received.push(Received { path, id, timestamp, signature, raw: raw.to_vec(), body, taken });
        answer
    };
    match answer {
        Answer::Status(status) => (StatusCode::from_u16(status).expect("a status"), "thank you").into_response(),
        Answer::Redirect => (StatusCode::FOUND, [("location", "/elsewhere")]).into_response(),
        Answer::Hang => std::future::pending().await,
        Answer::Slow(milliseconds) => {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            StatusCode::OK.into_response()
        }
        Answer::Endless => {
            let endless =
                futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 4096])));
            Body::from_stream(endless).into_response()
        }
        Answer::Broken => {
            let items = [Ok(Bytes::from_static(b"half")), Err(std::io::Error::other("the line broke"))];
            Body::from_stream(futures_util::stream::iter(items)).into_response()
        }
    }
}

/// Those that were taken, by stream, in the order in which they were first taken.
pub fn order(received: &[Received]) -> HashMap<String, Vec<u64>> {
    let mut order: HashMap<String, Vec<u64>> = HashMap::new();
    for one in received.iter().filter(|one| one.taken) {
        let versions = order.entry(one.stream().to_owned()).or_default();
        if !versions.contains(&one.version()) {
            versions.push(one.version());
        }
    }
    order
}
