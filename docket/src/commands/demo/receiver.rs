//! A small receiver of webhooks, which believes what is signed.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use docket_platform::clock;
use docket_platform::webhook::{ID, SIGNATURE, Secret, TIMESTAMP};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

/// How long is waited for a webhook before it is looked what has become of it.
const PATIENCE: Duration = Duration::from_secs(3);

/// Receives on a free port of this machine.
pub(super) struct Receiver {
    pub(super) url: String,
    secret: Secret,
    arrived: Mutex<mpsc::UnboundedReceiver<Value>>,
}

struct Door {
    secret: Secret,
    tell: mpsc::UnboundedSender<Value>,
}

impl Receiver {
    /// Listens, until the process ends.
    ///
    /// # Errors
    /// When no port is free.
    pub(super) async fn open() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/", listener.local_addr()?);
        let secret = Secret::generate();
        let (tell, arrived) = mpsc::unbounded_channel();
        let door = Arc::new(Door { secret: secret.clone(), tell });
        let router = Router::new().route("/", post(receive)).with_state(door);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, secret, arrived: Mutex::new(arrived) })
    }

    /// The secret that requests must be signed with.
    pub(super) fn secret(&self) -> String {
        self.secret.expose()
    }

    /// The next request whose signature fits; none: none came in time.
    pub(super) async fn next(&self) -> Option<Value> {
        tokio::time::timeout(PATIENCE, self.arrived.lock().await.recv()).await.ok().flatten()
    }
}

async fn receive(State(door): State<Arc<Door>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signed = (header(ID), header(TIMESTAMP), header(SIGNATURE));
    if door.secret.verify(signed, &body, clock::now()).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    match serde_json::from_slice(&body) {
        // Nobody waits any more when the demonstration is over.
        Ok(message) => door.tell.send(message).map_or(StatusCode::GONE, |()| StatusCode::NO_CONTENT),
        Err(_) => StatusCode::BAD_REQUEST,
    }
}
