//! An HTTP server that imitates Resend's or SendGrid's API as it is documented, and fails where a test wants it to.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use docket_platform::ids;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// The one key that it knows.
pub(crate) const KEY: &str = "re_hunter2";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Resend,
    SendGrid,
}

/// What it says instead of its usual answer.
#[derive(Debug, Clone)]
pub(crate) enum Say {
    Status(u16, Vec<(&'static str, String)>, Value),
    Nothing,
}

impl Say {
    pub(crate) fn status(status: u16) -> Self {
        Self::Status(status, Vec::new(), Value::Null)
    }

    pub(crate) fn named(status: u16, name: &str, message: &str) -> Self {
        Self::Status(status, Vec::new(), json!({ "statusCode": status, "name": name, "message": message }))
    }

    pub(crate) fn fault(status: u16, field: &str, message: &str) -> Self {
        let fault = json!({ "errors": [{ "message": message, "field": field, "help": null }] });
        Self::Status(status, Vec::new(), fault)
    }
}

#[derive(Default)]
struct Book {
    says: VecDeque<Say>,
    requests: Vec<(HeaderMap, Value)>,
    /// By idempotency key.
    known: HashMap<String, (Value, String)>,
    sent: usize,
}

#[derive(Clone)]
struct Shared {
    kind: Kind,
    book: Arc<Mutex<Book>>,
}

pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    shared: Shared,
    running: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Api {
    pub(crate) async fn start(kind: Kind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut api = Self { address, shared: Shared { kind, book: Arc::default() }, running: None };
        api.serve(listener);
        api
    }

    fn serve(&mut self, listener: TcpListener) {
        let path = if self.shared.kind == Kind::Resend { "/emails" } else { "/v3/mail/send" };
        let router = Router::new().route(path, post(take)).with_state(self.shared.clone());
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let task = tokio::spawn(async move {
            axum::serve(listener, router).with_graceful_shutdown(stopped).await.expect("a server");
        });
        self.running = Some((stop, task));
    }

    /// Nobody listens any more, and open connections are closed.
    pub(crate) async fn go_down(&mut self) {
        let (stop, task) = self.running.take().expect("it runs");
        stop.cancel();
        task.await.expect("it stops");
    }

    pub(crate) async fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the port");
        self.serve(listener);
    }

    pub(crate) fn arguments(&self, key: &str) -> [String; 2] {
        let name = if self.shared.kind == Kind::Resend { "resend" } else { "sendgrid" };
        [format!("--mail-{name}-url=http://{}", self.address), format!("--mail-{name}-api-key={key}")]
    }

    /// Says this next, once.
    pub(crate) fn say(&self, say: Say) {
        self.book().says.push_back(say);
    }

    /// Says nothing but its usual answers from now on.
    pub(crate) fn says_as_usual(&self) {
        self.book().says.clear();
    }

    pub(crate) fn requests(&self) -> Vec<(HeaderMap, Value)> {
        self.book().requests.clone()
    }

    /// Mails that went out.
    pub(crate) fn sent(&self) -> usize {
        self.book().sent
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.shared.book.lock().expect("no panic while serving")
    }
}

async fn take(State(shared): State<Shared>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let next = {
        let mut book = shared.book.lock().expect("no panic while serving");
        book.requests.push((headers.clone(), body.clone()));
        book.says.pop_front()
    };
    match next {
        Some(Say::Nothing) => std::future::pending().await,
        Some(Say::Status(status, more, body)) => {
            let mut answer = (StatusCode::from_u16(status).expect("a status"), Json(body)).into_response();
            for (name, value) in more {
                answer.headers_mut().insert(name, value.parse().expect("a value"));
            }
            answer
        }
        None => match shared.kind {
            Kind::Resend => resend(&mut shared.book.lock().expect("no panic while serving"), &headers, &body),
            Kind::SendGrid => sendgrid(&mut shared.book.lock().expect("no panic while serving"), &headers, &body),
        },
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn resend(book: &mut Book, headers: &HeaderMap, body: &Value) -> Response {
    let refuse = |status: u16, name: &str| {
        let error = json!({ "statusCode": status, "name": name, "message": "no" });
        (StatusCode::from_u16(status).expect("a status"), Json(error)).into_response()
    };
    match text(headers, "authorization") {
        "" => return refuse(401, "missing_api_key"),
        given if given != format!("Bearer {KEY}") => return refuse(401, "validation_error"),
        _ => {}
    }
    if ["from", "to", "subject"].iter().any(|field| body[field].is_null()) {
        return refuse(422, "missing_required_field");
    }
    let key = text(headers, "idempotency-key").to_owned();
    if key.is_empty() || key.len() > 256 {
        return refuse(400, "invalid_idempotency_key");
    }
    match book.known.get(&key) {
        Some((known, _)) if known != body => return refuse(409, "invalid_idempotent_request"),
        Some((_, id)) => return Json(json!({ "id": id })).into_response(),
        None => {}
    }
    let id = ids::new_id().to_string();
    book.known.insert(key, (body.clone(), id.clone()));
    book.sent += 1;
    Json(json!({ "id": id })).into_response()
}

fn sendgrid(book: &mut Book, headers: &HeaderMap, body: &Value) -> Response {
    let refuse = |status: StatusCode, field: Option<&str>| {
        let error = json!({ "errors": [{ "message": "no", "field": field, "help": null }] });
        (status, Json(error)).into_response()
    };
    if text(headers, "authorization") != format!("Bearer {KEY}") {
        return refuse(StatusCode::UNAUTHORIZED, None);
    }
    for field in ["personalizations", "from", "subject", "content"] {
        if body[field].is_null() {
            return refuse(StatusCode::BAD_REQUEST, Some(field));
        }
    }
    // Its rule for the parts: text before HTML.
    let kinds: Vec<_> = body["content"].as_array().into_iter().flatten().map(|part| part["type"].as_str()).collect();
    if kinds != [Some("text/plain"), Some("text/html")] {
        return refuse(StatusCode::BAD_REQUEST, Some("content"));
    }
    book.sent += 1;
    (StatusCode::ACCEPTED, [("x-message-id", "sg-1")]).into_response()
}
