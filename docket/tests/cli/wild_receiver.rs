//! A receiver that fails, hangs, redirects, breaks off, is slow, never ends, and is killed; whatever reaches it is verified by the official
//! libraries of two languages.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use docket_log::{Mode, in_both_modes};
use futures_util::stream;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::modes;
use super::server::{Client, Folder, PATIENCE, Server, secret};
use super::webhooks::{Example, SECRET, approved, asked, created};

/// What it does at times, instead of saying yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Whim {
    Refuse,
    Hang,
    Redirect,
    BreakOff,
    BeSlow,
    GoOnForEver,
}

const WHIMS: [Whim; 6] = [Whim::Refuse, Whim::Hang, Whim::Redirect, Whim::BreakOff, Whim::BeSlow, Whim::GoOnForEver];
/// Within the time that an attempt has.
const SLOW: Duration = Duration::from_millis(300);

struct Inner {
    /// Who verifies: the receivers of the documentation, by their libraries.
    verifiers: Vec<String>,
    http: reqwest::Client,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// How often each id came.
    met: HashMap<String, usize>,
    whims: BTreeMap<Whim, usize>,
    /// What was not believed.
    refused: Vec<String>,
}

/// The receiver, on threads of its own, so that it can be killed with all that it has in hand.
struct Wild {
    inner: Arc<Inner>,
    address: SocketAddr,
    /// There until it is killed.
    threads: Option<Runtime>,
}

impl Drop for Wild {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

impl Wild {
    fn start(inner: Arc<Inner>, address: SocketAddr) -> Self {
        let threads =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
        let router = Router::new().fallback(receive).with_state(Arc::clone(&inner));
        let (tell, listening) = std::sync::mpsc::channel();
        threads.spawn(async move {
            // The one before may take a moment to be gone.
            let listener = loop {
                match TcpListener::bind(address).await {
                    Ok(listener) => break listener,
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            };
            tell.send(listener.local_addr().expect("an address")).expect("somebody waits");
            drop(axum::serve(listener, router).await);
        });
        let address = listening.recv_timeout(PATIENCE).expect("it listens");
        Self { inner, address, threads: Some(threads) }
    }

    /// Kills it, and starts it again where it was.
    fn start_again(self) -> Self {
        let (inner, address) = (Arc::clone(&self.inner), self.address);
        drop(self);
        Self::start(inner, address)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.inner.memory.lock().expect("no panic")
    }
}

async fn receive(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response {
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    for verifier in &inner.verifiers {
        let mut request = inner.http.post(verifier).body(body.clone());
        for name in ["content-type", "webhook-id", "webhook-timestamp", "webhook-signature"] {
            request = request.header(name, headers.get(name).cloned().unwrap_or_else(|| "".parse().expect("a header")));
        }
        match request.send().await {
            Ok(answer) if answer.status() == StatusCode::NO_CONTENT => {}
            other => inner.memory.lock().expect("no panic").refused.push(format!("{id} at {verifier}: {other:?}")),
        }
    }
    let whim = {
        let mut memory = inner.memory.lock().expect("no panic");
        let count = memory.met.len();
        let times = memory.met.entry(id).or_default();
        *times += 1;
        // Of the ids that come for the first time, every third.
        let whim = (*times == 1 && count.is_multiple_of(3)).then(|| WHIMS[count / 3 % WHIMS.len()]);
        if let Some(whim) = whim {
            *memory.whims.entry(whim).or_default() += 1;
        }
        whim
    };
    match whim {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(whim) => answer(whim).await,
    }
}

async fn answer(whim: Whim) -> Response {
    match whim {
        Whim::Refuse => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Whim::Hang => std::future::pending().await,
        Whim::Redirect => (StatusCode::TEMPORARY_REDIRECT, [("location", "/elsewhere")]).into_response(),
        Whim::BreakOff => {
            let items = [Ok(Bytes::from_static(b"half")), Err(std::io::Error::other("the line broke"))];
            Body::from_stream(stream::iter(items)).into_response()
        }
        Whim::BeSlow => {
            tokio::time::sleep(SLOW).await;
            StatusCode::OK.into_response()
        }
        Whim::GoOnForEver => {
            let endless = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 4096])));
            Body::from_stream(endless).into_response()
        }
    }
}

in_both_modes!(a_wild_receiver_is_told_everything_in_order_and_libraries_believe_all_of_it);

async fn a_wild_receiver_is_told_everything_in_order_and_libraries_believe_all_of_it(mode: Mode) {
    secret(SECRET);
    let mut verifiers: Vec<Example> = [Example::python(), Example::javascript()].into_iter().flatten().collect();
    if verifiers.is_empty() {
        println!("skipped: neither Python nor JavaScript is there to verify");
        return;
    }
    let folder = Folder::with(|name| {
        let mut settings = modes::settings(mode, name);
        settings.push(("DOCKET_OUTGOING_LOCAL", "true".to_owned()));
        settings.push(("DOCKET_WEBHOOK_TIMEOUT", "3s".to_owned()));
        settings.push(("DOCKET_WEBHOOK_RETRIES", ["200ms"; 30].join(",")));
        settings
    });
    let server = Server::up(&folder);
    let (admin, reviewer) = (server.credentials("admin"), server.credentials("reviewer"));
    let (admin, reviewer) = (Client::login(&server.url, &admin).await, Client::login(&server.url, &reviewer).await);
    let inner = Inner {
        verifiers: verifiers.iter().map(|verifier| verifier.url.clone()).collect(),
        http: reqwest::Client::builder().no_proxy().build().expect("a client"),
        memory: Mutex::default(),
    };
    let mut wild = Wild::start(Arc::new(inner), "127.0.0.1:0".parse().expect("an address"));
    let target = format!("http://{}/", wild.address);
    let body = json!({"url": target, "event_types": ["consultation.*"], "secret": SECRET});
    created(&admin, format!("{}/api/v1/webhook-endpoints", server.url), &body).await;

    let mut ids = Vec::new();
    for n in 0..24 {
        let id = asked(&admin, &server.url, &format!("Number {n}")).await;
        approved(&reviewer, &server.url, &id).await;
        ids.push(id);
        if n % 8 == 4 {
            wild = wild.start_again();
        }
    }
    for verifier in &mut verifiers {
        for id in &ids {
            let outcome = verifier.takes("consultation.responded", id);
            let of_this: Vec<&String> =
                verifier.taken.iter().filter(|line| line.contains(&format!("consultation-{id} "))).collect();
            let versions: Vec<&str> = of_this.iter().filter_map(|line| line.split(' ').nth(2)).collect();
            assert!(versions.is_sorted() && of_this.last() == Some(&&outcome), "{of_this:?}");
        }
    }
    let memory = wild.memory();
    assert_eq!(memory.refused, Vec::<String>::new(), "every attempt is signed so that the libraries believe it");
    assert_eq!(memory.whims.len(), WHIMS.len(), "{:?}", memory.whims);
    drop(memory);
    assert!(server.stop().0.success());
}
