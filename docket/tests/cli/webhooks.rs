//! Webhooks as their users meet them: the receivers of the documentation, in three languages, verify what they are sent.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use docket_log::{Mode, in_both_modes};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::modes;
use super::server::{Client, Folder, PATIENCE, Server, eventually, secret};

/// The base64 of 32 bytes.
pub(super) const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// An example that receives.
pub(super) struct Example {
    child: Child,
    lines: mpsc::Receiver<String>,
    pub(super) url: String,
    pub(super) taken: Vec<String>,
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Example {
    fn start(mut command: Command) -> Option<Self> {
        let name = format!("{command:?}");
        let mut child = match command.env("WEBHOOK_SECRET", SECRET).stdout(Stdio::piped()).spawn() {
            Ok(child) => child,
            Err(error) => {
                println!("skipped: {name} does not start: {error}");
                return None;
            }
        };
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let first = lines.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{name} does not listen: {error}"));
        let url = first.strip_prefix("listening on ").expect("where it listens").to_owned();
        Some(Self { child, lines, url, taken: Vec::new() })
    }

    pub(super) fn python() -> Option<Self> {
        let python = root().join("target/python/bin/python");
        let mut command = Command::new(python);
        command.arg(root().join("docs/examples/webhooks/receiver.py")).arg("0");
        Self::start(command)
    }

    /// Beside the packages that it imports.
    pub(super) fn javascript() -> Option<Self> {
        let folder = root().join("tests/contracts/node_modules/.docket");
        std::fs::create_dir_all(&folder).expect("a folder");
        let script = folder.join("receiver.mjs");
        std::fs::copy(root().join("docs/examples/webhooks/receiver.mjs"), &script).expect("copied");
        let mut command = Command::new("node");
        command.arg(script).arg("0");
        Self::start(command)
    }

    /// Built first, so that the program itself is what is ended.
    fn go(folder: &Folder) -> Option<Self> {
        let program = folder.0.with_extension("receiver");
        let source = root().join("docs/examples/webhooks/receiver.go");
        let built = Command::new("go").arg("build").arg("-o").arg(&program).arg(source).output();
        match built {
            Err(error) => {
                println!("skipped: the receiver in Go, for there is no Go: {error}");
                None
            }
            Ok(built) => {
                assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
                let mut command = Command::new(&program);
                command.arg("0");
                let example = Self::start(command);
                let _ = std::fs::remove_file(program);
                example
            }
        }
    }

    /// Waits until it took an event of a consultation.
    pub(super) fn takes(&mut self, kind: &str, id: &str) -> String {
        let wanted = format!("{kind} consultation-{id} ");
        loop {
            if let Some(line) = self.taken.iter().find(|line| line.starts_with(&wanted)) {
                return line.clone();
            }
            let line =
                self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{wanted} never came: {:?}", self.taken));
            self.taken.push(line);
        }
    }
}

pub(super) async fn created(client: &Client, url: String, body: &Value) -> Value {
    let answer = client.post(url, body).await;
    let status = answer.status();
    let answer: Value = answer.json().await.expect("JSON");
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    answer
}

pub(super) async fn asked(client: &Client, url: &str, title: &str) -> String {
    let answer: Value = client.ask(url, title).await.json().await.expect("JSON");
    answer["id"].as_str().expect("an id").to_owned()
}

pub(super) async fn approved(client: &Client, url: &str, id: &str) {
    let path = format!("{url}/api/v1/consultations/{id}/responses");
    assert!(client.post(path, &json!({"decision": "approve"})).await.status().is_success());
}

fn folder(mode: Mode) -> Folder {
    Folder::with(|name| {
        let mut settings = modes::settings(mode, name);
        settings.push(("DOCKET_OUTGOING_LOCAL", "true".to_owned()));
        settings.push(("DOCKET_WEBHOOK_RETRIES", "200ms,200ms,200ms,200ms".to_owned()));
        settings
    })
}

/// The code of a problem, and the status it came with.
async fn problem(client: &Client, url: String, body: &Value) -> (u16, String) {
    let answer = client.post(url, body).await;
    let status = answer.status().as_u16();
    let answer: Value = answer.json().await.expect("JSON");
    (status, answer["code"].as_str().unwrap_or_default().to_owned())
}

in_both_modes!(receivers_in_three_languages_verify_what_they_are_sent);

async fn receivers_in_three_languages_verify_what_they_are_sent(mode: Mode) {
    secret(SECRET);
    let folder = folder(mode);
    let server = Server::up(&folder);
    let (admin, reviewer) = (server.credentials("admin"), server.credentials("reviewer"));
    let (admin, reviewer) = (Client::login(&server.url, &admin).await, Client::login(&server.url, &reviewer).await);
    let url = server.url.clone();
    let mut receivers: Vec<Example> =
        [Example::python(), Example::javascript(), Example::go(&folder)].into_iter().flatten().collect();
    let endpoints = format!("{url}/api/v1/webhook-endpoints");
    for receiver in &receivers {
        let body = json!({"url": receiver.url, "event_types": ["consultation.*"], "secret": SECRET});
        let made = created(&admin, endpoints.clone(), &body).await;
        assert_eq!(made["secret"], SECRET);
    }

    let id = asked(&admin, &url, "May it go out?").await;
    approved(&reviewer, &url, &id).await;
    for receiver in &mut receivers {
        receiver.takes("consultation.requested", &id);
        receiver.takes("consultation.responded", &id);
    }

    // Killed while it tells; the same server again.
    let mut ids = Vec::new();
    for n in 0..20 {
        let id = asked(&admin, &url, &format!("Number {n}")).await;
        approved(&reviewer, &url, &id).await;
        ids.push(id);
    }
    server.kill();
    let server = Server::up(&folder);
    for receiver in &mut receivers {
        for id in &ids {
            let outcome = receiver.takes("consultation.responded", id);
            let place = |start: &str| receiver.taken.iter().position(|line| line.starts_with(start));
            let first = place(&format!("consultation.requested consultation-{id} ")).expect("it was told of");
            assert!(Some(first) < place(&outcome), "{:?}", receiver.taken);
        }
    }
    assert!(server.stop().0.success());
}

#[tokio::test]
async fn endpoints_are_set_seen_tested_and_turned_off() {
    let folder = folder(Mode::Journal);
    let server = Server::up(&folder);
    let (admin, reviewer) = (server.credentials("admin"), server.credentials("reviewer"));
    let (admin, reviewer) = (Client::login(&server.url, &admin).await, Client::login(&server.url, &reviewer).await);
    let url = &server.url;
    let endpoints = format!("{url}/api/v1/webhook-endpoints");
    let to = |target: &str| json!({"url": target, "event_types": ["consultation.responded"]});

    // What is wrong is named, and nothing is there.
    for (body, field) in [
        (to(&format!("https://example.org/{}", "x".repeat(10_000))), "url"),
        (to("https://me:secret@example.org/"), "url"),
        (to("ftp://example.org/"), "url"),
        (json!({"url": "https://example.org", "event_types": ["consultation.exploded"]}), "event_types"),
        (
            json!({"url": "https://example.org", "event_types": ["consultation.*"], "secret": "whsec_c2hvcnQ="}),
            "secret",
        ),
        (json!({"url": "https://example.org", "event_types": ["consultation.*"], "format": "json"}), "template"),
    ] {
        let answer = admin.post(endpoints.clone(), &body).await;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        let answer: Value = answer.json().await.expect("JSON");
        assert_eq!(answer["errors"][0]["field"], field, "{answer}");
    }
    assert_eq!(problem(&reviewer, endpoints.clone(), &to("https://example.org")).await.0, 403);

    // Nobody listens there.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let target = format!("http://{}/hook", closed.local_addr().expect("an address"));
    drop(closed);
    let made = created(&admin, endpoints.clone(), &to(&target)).await;
    assert!(made["secret"].as_str().expect("a secret").starts_with("whsec_"), "{made}");
    secret(made["secret"].as_str().expect("a secret"));
    let id = made["id"].as_str().expect("an id");
    let test = admin.post(format!("{endpoints}/{id}/test"), &json!({})).await;
    assert_eq!(test.status(), StatusCode::ACCEPTED);
    let query = format!(
        "{{ webhookDeliveries(filter: {{endpointId: \"{id}\", state: DEAD}}) {{ nodes {{ id eventType outcome attempts {{ number error request }} }} }}
            webhookEndpoint(id: \"{id}\") {{ url dead pending failuresInARow rate {{ attempts successRate }} }} }}"
    );
    let dead = eventually("it is given up", async || {
        let shown = admin.query(url, &query).await;
        // The two are read one after the other.
        let told = shown["webhookDeliveries"]["nodes"].as_array()?.len() == 1 && shown["webhookEndpoint"]["dead"] == 1;
        told.then_some(shown)
    })
    .await;
    let delivery = &dead["webhookDeliveries"]["nodes"][0];
    assert_eq!(delivery["eventType"], "webhook.test");
    assert_eq!(delivery["attempts"].as_array().map(Vec::len), Some(5), "{delivery}");
    assert_eq!(delivery["attempts"][0]["error"], "the target cannot be reached");
    assert_eq!(dead["webhookEndpoint"]["url"], target.as_str());
    assert_eq!((&dead["webhookEndpoint"]["dead"], &dead["webhookEndpoint"]["pending"]), (&json!(1), &json!(0)));
    assert_eq!(dead["webhookEndpoint"]["rate"], json!({"attempts": 5, "successRate": 0.0}));

    // Somebody listens elsewhere, and it is changed and made again.
    let Some(mut receiver) = Example::python() else { return };
    let changed = to(&receiver.url);
    let put = reqwest::Client::new().put(format!("{endpoints}/{id}")).bearer_auth(&admin.token).json(&changed);
    assert_eq!(put.send().await.expect("an answer").status(), StatusCode::OK);
    let rotated = admin.post(format!("{endpoints}/{id}/rotate-secret"), &json!({"secret": SECRET})).await;
    assert_eq!(rotated.status(), StatusCode::OK);
    let asked = asked(&admin, url, "Once more?").await;
    approved(&reviewer, url, &asked).await;
    receiver.takes("consultation.responded", &asked);
    assert_eq!(problem(&admin, format!("{endpoints}/{id}/redeliveries"), &json!({})).await.0, 422);
    let again = json!({"delivery_id": delivery["id"]});
    assert_eq!(admin.post(format!("{endpoints}/{id}/redeliveries"), &again).await.status(), StatusCode::ACCEPTED);
    let none = format!("{{ webhookDelivery(id: {}) {{ state attemptCount }} }}", delivery["id"]);
    eventually("it is delivered", async || {
        (admin.query(url, &none).await["webhookDelivery"]["state"] == "DELIVERED").then_some(())
    })
    .await;

    // Off: it is told nothing, and cannot be tested.
    assert_eq!(admin.post(format!("{endpoints}/{id}/disable"), &json!({})).await.status(), StatusCode::OK);
    let off = problem(&admin, format!("{endpoints}/{id}/test"), &json!({})).await;
    assert_eq!(off, (409, "endpoint_off".to_owned()));
    let missing = format!("{endpoints}/{asked}/enable");
    assert_eq!(problem(&admin, missing, &json!({})).await, (404, "not_found".to_owned()));
    assert_eq!(admin.delete(format!("{endpoints}/{id}")).await.status(), StatusCode::OK);
    eventually("it is gone", async || {
        let left = admin.query(url, "{ webhookEndpoints { id } }").await;
        left["webhookEndpoints"].as_array()?.is_empty().then_some(())
    })
    .await;
    assert!(server.stop().0.success());
}

#[tokio::test]
async fn a_callback_is_signed_by_the_secret_that_the_administrator_took() {
    let folder = folder(Mode::Journal);
    let server = Server::up(&folder);
    let (admin, reviewer) = (server.credentials("admin"), server.credentials("reviewer"));
    let (admin, reviewer) = (Client::login(&server.url, &admin).await, Client::login(&server.url, &reviewer).await);
    let Some(mut receiver) = Example::python() else { return };
    let rotate = format!("{}/api/v1/callbacks/rotate-secret", server.url);
    assert_eq!(admin.post(rotate, &json!({"secret": SECRET})).await.status(), StatusCode::OK);
    let body = json!({"title": "Call me", "callback_url": receiver.url});
    let asked = created(&admin, format!("{}/api/v1/consultations", server.url), &body).await;
    let id = asked["id"].as_str().expect("an id");
    // Attempts are seen as they are made.
    let subscription = json!({"query": "subscription { webhookAttempted { number status error } }"});
    let mut live = admin.stream(format!("{}/graphql", server.url), &subscription).await;
    approved(&reviewer, &server.url, id).await;
    receiver.takes("consultation.responded", id);
    let mut seen = String::new();
    let watched = tokio::time::timeout(PATIENCE, async {
        while !seen.contains("\"status\":204") {
            seen.push_str(&String::from_utf8_lossy(&live.chunk().await.expect("a chunk").expect("more")));
        }
    });
    assert!(watched.await.is_ok(), "{seen}");
    assert!(server.stop().0.success());
}
