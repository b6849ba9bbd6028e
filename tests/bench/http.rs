//! Commands over HTTP, and how long a subscriber waits for them, against a `docket up` process
//! with its log in either place.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use docket_platform::{
    db::Database,
    embedded::{DATABASE, OWNER},
    scratch_kafka::ScratchKafka,
};
use futures_util::{SinkExt, StreamExt, future::try_join_all};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

use crate::{
    Size, append, kafka,
    report::{Latencies, Report, Target},
    server::{Client, Server, request},
    yardstick,
};

/// Two people who may ask and decide.
struct People {
    asks: String,
    decides: String,
}

static KEYS: AtomicU64 = AtomicU64::new(0);

fn headers(token: &str) -> String {
    format!("authorization: Bearer {token}\r\nidempotency-key: bench-{}\r\n", KEYS.fetch_add(1, Ordering::Relaxed))
}

fn ask(people: &People) -> Vec<u8> {
    let body =
        r#"{"title":"Deploy release 42?","body":"All checks are green, staging ran for a day.","timeout_minutes":60}"#;
    request("POST", "/api/v1/consultations", &headers(&people.asks), body)
}

fn respond(people: &People, id: &str) -> Vec<u8> {
    let path = format!("/api/v1/consultations/{id}/responses");
    request("POST", &path, &headers(&people.decides), r#"{"decision":"approve","comment":"Go ahead."}"#)
}

/// The id in an answer, without reading all of it.
fn id(body: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(body)?;
    let (_, rest) = text.split_once("\"id\":\"").context("no id in the answer")?;
    Ok(rest.chars().take(36).collect())
}

/// Half requests, half responses, closed loop; commands a second and latencies.
async fn closed_loop(address: &str, people: &People, connections: usize, seconds: f64) -> Result<(f64, Latencies)> {
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let started = Instant::now();
    let work = (0..connections).map(|_| async move {
        let mut client = Client::connect(address).await?;
        let mut latencies = Vec::new();
        while Instant::now() < until {
            let began = Instant::now();
            let (status, body) = client.send(&ask(people)).await?;
            latencies.push(began.elapsed());
            ensure!(status == 201, "asking answered {status}: {}", String::from_utf8_lossy(&body));
            let began = Instant::now();
            let (status, body) = client.send(&respond(people, &id(&body)?)).await?;
            latencies.push(began.elapsed());
            ensure!(status == 200, "responding answered {status}: {}", String::from_utf8_lossy(&body));
        }
        anyhow::Ok(latencies)
    });
    let all: Vec<Duration> = try_join_all(work).await?.into_iter().flatten().collect();
    Ok((all.len() as f64 / started.elapsed().as_secs_f64(), Latencies::new(all)))
}

/// Ticks from a thread of their own: the runtime's timer is a millisecond coarse, which is more than what is measured.
fn ticks(count: u32, every: Duration) -> mpsc::UnboundedReceiver<(u32, Instant)> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let begun = Instant::now();
        for n in 0..count {
            let due = begun + every * n;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if sender.send((n, due)).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A hundred commands a second, each at its own time whatever the others do; latencies from the time it was due.
async fn open_loop(address: &str, people: &Arc<People>, seconds: f64, asked: &Asked) -> Result<Latencies> {
    let count = (seconds * 100.0) as u32;
    let clients: Vec<_> = try_join_all((0..8).map(|_| Client::connect(address)))
        .await?
        .into_iter()
        .map(tokio::sync::Mutex::new)
        .collect();
    let clients = Arc::new(clients);
    let mut ticks = ticks(count, Duration::from_millis(10));
    let mut running = Vec::new();
    while let Some((n, due)) = ticks.recv().await {
        let (clients, people, asked) = (clients.clone(), people.clone(), asked.clone());
        running.push(tokio::spawn(async move {
            let mut client = clients[n as usize % clients.len()].lock().await;
            let (status, body) = client.send(&ask(&people)).await?;
            ensure!(status == 201, "asking answered {status}");
            // Nobody panics while holding it.
            asked.lock().expect("not poisoned").insert(id(&body)?, due);
            Ok(due.elapsed())
        }));
    }
    let all = try_join_all(running).await?.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(Latencies::new(all))
}

/// When each consultation's command was due.
type Asked = Arc<Mutex<HashMap<String, Instant>>>;

/// Follows every change: each consultation, and when it arrived.
async fn subscribe(address: &str, token: &str) -> Result<mpsc::UnboundedReceiver<(String, Instant)>> {
    let mut handshake = format!("ws://{address}/graphql").into_client_request()?;
    handshake.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse()?);
    let (mut socket, _) = tokio_tungstenite::connect_async(handshake).await?;
    let init = json!({ "type": "connection_init", "payload": { "authorization": format!("Bearer {token}") } });
    socket.send(Message::text(init.to_string())).await?;
    let ack = socket.next().await.context("the socket closed")??;
    ensure!(ack.to_text()?.contains("connection_ack"), "{ack}");
    // From a position, so that nothing can be missed between here and the server's first look.
    let mut reader = Client::connect(address).await?;
    let ask = json!({ "query": "{ consultationStats { pending } }" }).to_string();
    let bearer = format!("authorization: Bearer {token}\r\n");
    let (_, answer) = reader.send(&request("POST", "/graphql", &bearer, &ask)).await?;
    let answer: Value = serde_json::from_slice(&answer)?;
    let since = answer["extensions"]["position"].as_str().context("no position")?;
    let query = format!("subscription {{ consultationChanged(since: \"{since}\") {{ kind consultation {{ id }} }} }}");
    let subscribe = json!({ "id": "1", "type": "subscribe", "payload": { "query": query } });
    socket.send(Message::text(subscribe.to_string())).await?;
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = socket.next().await {
            let Ok(text) = message.to_text() else { continue };
            let arrived = Instant::now();
            let value: Value = serde_json::from_str(text).unwrap_or_default();
            let consultation = &value["payload"]["data"]["consultationChanged"]["consultation"]["id"];
            if let Some(id) = consultation.as_str()
                && sender.send((id.to_owned(), arrived)).is_err()
            {
                break;
            }
        }
    });
    Ok(receiver)
}

/// Takes what arrives until all of `due` did; how long each took.
async fn arrivals(
    arriving: &mut mpsc::UnboundedReceiver<(String, Instant)>,
    mut due: HashMap<String, Instant>,
) -> Result<Latencies> {
    let mut waits = Vec::new();
    while !due.is_empty() {
        let next = tokio::time::timeout(Duration::from_secs(20), arriving.recv()).await;
        let next = next.with_context(|| format!("the subscriber missed {}", due.len()))?;
        let (id, arrived) = next.context("the socket closed")?;
        if let Some(due) = due.remove(&id) {
            waits.push(arrived.saturating_duration_since(due));
        }
    }
    Ok(Latencies::new(waits))
}

/// The section.
pub async fn run(docket: &Path, size: Size, report: &mut Report) -> Result<()> {
    serve(docket, None, size, report).await?;
    // Not before it is needed: a broker at rest takes time from the rest.
    serve(docket, Some(&kafka::broker().await?), size, report).await
}

/// What is measured at one server, with its log in the journal or at a broker.
async fn serve(docket: &Path, broker: Option<&ScratchKafka>, size: Size, report: &mut Report) -> Result<()> {
    let seconds = size.seconds();
    let folder = std::env::temp_dir().join(format!("docket-bench-{}", std::process::id()));
    let server = Server::start(docket, &folder, broker).await?;
    let outcome = async {
        let people = Arc::new(People { asks: server.token(0).await?, decides: server.token(1).await? });
        closed_loop(&server.address, &people, 8, 1.0).await?;
        if broker.is_none() {
            commands(&server, &people, seconds, report).await?;
        }
        hit_rate(&server.address, &people.asks, report).await?;
        let (log, bounds) = if broker.is_some() { ("Kafka", KAFKA) } else { ("journal", JOURNAL) };
        to_subscriber(&server.address, &people, seconds, (log, bounds), report).await
    }
    .await;
    server.stop().await?;
    std::fs::remove_dir_all(&folder)?;
    outcome
}

/// How many of the requests until now brought a token that the process had verified before.
async fn hit_rate(address: &str, token: &str, report: &mut Report) -> Result<()> {
    let ask = request("GET", "/api/v1/auth/cache-stats", &format!("authorization: Bearer {token}\r\n"), "");
    let (status, body) = Client::connect(address).await?.send(&ask).await?;
    ensure!(status == 200, "cache-stats answered {status}");
    let stats: Value = serde_json::from_slice(&body)?;
    let rate = stats["hit_rate"].as_f64().context("no rate")?;
    let of = format!("of {} requests", stats["hits"].as_u64().unwrap_or(0) + stats["misses"].as_u64().unwrap_or(0));
    report.row("tokens remembered under load", format!("{:.2} %", rate * 100.0), of, rate, Target::AtLeast(0.9));
    Ok(())
}

/// How long a command is answered; where its events go then makes no difference to it.
async fn commands(server: &Server, people: &Arc<People>, seconds: f64, report: &mut Report) -> Result<()> {
    let cluster = server.cluster().await?;
    let plain = Database::embedded(cluster.connect_options(OWNER, DATABASE));
    let (_, store) = append::database(|user, name| cluster.connect_options(user, name), "bench_http").await?;
    append::writers(&store, 128, true, 0.5).await?;
    let (before, _) = append::writers(&store, 128, true, seconds / 2.0).await?;
    let (rate, latencies) = closed_loop(&server.address, people, 64, seconds).await?;
    let (after, _) = append::writers(&store, 128, true, seconds / 2.0).await?;
    let append = f64::midpoint(before, after);
    report.row(
        "HTTP commands/s, 64 connections",
        format!("{rate:.0}/s (p50 {:.1} ms, p99 {:.1} ms)", latencies.ms(0.5), latencies.ms(0.99)),
        format!("append with key, 128 writers {append:.0}/s"),
        rate / append,
        Target::AtLeast(0.15),
    );

    let before = yardstick::single_row_insert(&plain, seconds / 2.0).await?;
    let asked = Asked::default();
    let open = open_loop(&server.address, people, seconds.max(2.0), &asked).await?;
    let after = yardstick::single_row_insert(&plain, seconds / 2.0).await?;
    for (name, quantile, target) in [("p50", 0.5, 3.0), ("p99", 0.99, 10.0)] {
        let insert = f64::midpoint(before.ms(quantile), after.ms(quantile));
        report.row(
            &format!("HTTP command at 100/s, {name}"),
            format!("{:.2} ms", open.ms(quantile)),
            format!("single-row INSERT {name} {insert:.3} ms"),
            open.ms(quantile) / insert,
            Target::AtMost(target),
        );
    }
    Ok(())
}

/// The bounds of command to subscriber in milliseconds: p50 and p99.
const JOURNAL: [f64; 2] = [5.0, 20.0];
const KAFKA: [f64; 2] = [10.0, 30.0];

/// How long a subscriber waits for what a command did, at 100 commands a second.
async fn to_subscriber(
    address: &str,
    people: &Arc<People>,
    seconds: f64,
    (log, bounds): (&str, [f64; 2]),
    report: &mut Report,
) -> Result<()> {
    let asked = Asked::default();
    let mut arriving = subscribe(address, &people.asks).await?;
    // What the projector still had to do is done, or nearly, once this one has come.
    let (_, body) = Client::connect(address).await?.send(&ask(people)).await?;
    arrivals(&mut arriving, HashMap::from([(id(&body)?, Instant::now())])).await?;
    open_loop(address, people, seconds.max(2.0), &asked).await?;
    // All who held it have ended.
    let due = std::mem::take(&mut *asked.lock().expect("not poisoned"));
    let waits = arrivals(&mut arriving, due).await?;
    for (name, quantile, bound) in [("p50", 0.5, bounds[0]), ("p99", 0.99, bounds[1])] {
        report.row(
            &format!("command to subscriber at 100/s, {log}, {name}"),
            format!("{:.2} ms", waits.ms(quantile)),
            format!("target {bound} ms"),
            waits.ms(quantile) / bound,
            Target::AtMost(1.0),
        );
    }
    Ok(())
}
