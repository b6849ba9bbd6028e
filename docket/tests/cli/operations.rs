//! What operators do while Docket serves: move the log, rebuild, recover, and look at what is wrong.

use std::process::{Command, Output};

use docket_log::Mode;
use reqwest::Response;
use serde_json::{Value, json};

use super::server::{Client, Folder, PATIENCE, Server, eventually};

/// The output of a command that must succeed.
fn done(folder: &Folder, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    text(&output)
}

fn run(folder: &Folder, arguments: &[&str]) -> Output {
    folder.docket(arguments).output().expect("the program starts")
}

/// Everything that a command said.
fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

async fn titles(client: &Client, url: &str) -> Vec<String> {
    let data = client.query(url, "{ consultations(first: 50) { nodes { title } } }").await;
    let nodes = data["consultations"]["nodes"].as_array().expect("nodes").clone();
    let mut titles: Vec<String> =
        nodes.iter().map(|node| node["title"].as_str().expect("a title").to_owned()).collect();
    titles.sort();
    titles
}

/// Asks; answers the position of the request.
async fn asked(client: &Client, url: &str, title: &str) -> String {
    let answer = client.ask(url, title).await;
    assert_eq!(answer.status(), 201);
    answer.headers()["docket-position"].to_str().expect("a position").to_owned()
}

/// Changes of consultations since a position, as they come.
struct Subscription {
    answer: Response,
    buffer: String,
}

impl Subscription {
    async fn open(client: &Client, url: &str, since: &str) -> Self {
        let query = format!(
            "subscription {{ consultationChanged(since: {since:?}) {{ kind position consultation {{ title }} }} }}"
        );
        let answer = client.stream(format!("{url}/graphql"), &json!({ "query": query })).await;
        assert_eq!(answer.status(), 200);
        Self { answer, buffer: String::new() }
    }

    /// The next answer: a change, or an error.
    async fn next(&mut self) -> Value {
        tokio::time::timeout(PATIENCE, self.event()).await.expect("in time")
    }

    async fn event(&mut self) -> Value {
        loop {
            let found = self.buffer.find("\n\n").map(|end| self.buffer.drain(..end + 2).collect::<String>());
            if let Some(event) = found {
                let data = event.lines().find_map(|line| line.strip_prefix("data:"));
                if let Some(data) = data.filter(|data| !data.trim().is_empty()) {
                    return serde_json::from_str(data).expect("JSON");
                }
                continue;
            }
            let chunk = self.answer.chunk().await.expect("a chunk").expect("the stream goes on");
            self.buffer.push_str(&String::from_utf8_lossy(&chunk));
        }
    }
}

#[tokio::test]
async fn the_log_moves_to_kafka_and_back_while_it_serves() {
    let mut folder = Folder::on(Mode::Kafka);
    // Set up without brokers: the log is in the journal.
    let brokers = folder.tell(Vec::new());
    let first = Server::up(&folder);
    let admin = first.credentials("admin");
    assert!(first.stop().0.success());
    folder.tell(brokers);
    let server = Server::up(&folder);
    let client = Client::login(&server.url, &admin).await;
    let before = asked(&client, &server.url, "before the move").await;
    let mut changes = Subscription::open(&client, &server.url, &before).await;
    asked(&client, &server.url, "in the journal").await;
    let change = changes.next().await["data"]["consultationChanged"].take();
    let position = change["position"].as_str().expect("a position").to_owned();

    // A move that is killed has moved the log, or has not.
    let mut killed = folder.docket(&["log", "switch", "kafka"]).spawn().expect("it starts");
    let _ = killed.kill();
    killed.wait().expect("it ends");
    let moved = done(&folder, &["log", "switch", "kafka"]);
    assert!(moved.starts_with("log  kafka at") && moved.contains("8 events are published"), "{moved}");
    asked(&client, &server.url, "after the move").await;
    assert_eq!(changes.next().await["data"]["consultationChanged"]["consultation"]["title"], "after the move");
    eventually("everything is published", async || {
        let check = run(&folder, &["status", "--check", "--full"]);
        (check.status.success() && text(&check).contains("9 events, ")).then_some(())
    })
    .await;
    // A position of before the move is a position still.
    let mut again = Subscription::open(&client, &server.url, &position).await;
    assert_eq!(again.next().await["data"]["consultationChanged"]["consultation"]["title"], "after the move");
    assert!(server.stop().0.success());

    // From now on brokers are asked for; without them a command says so.
    let brokers = folder.tell(Vec::new());
    let without = run(&folder, &["up", "--listen", "127.0.0.1:0"]);
    assert_eq!(without.status.code(), Some(2), "{}", text(&without));
    assert!(text(&without).contains("KAFKA_BROKERS"), "{}", text(&without));
    folder.tell(brokers);

    let server = Server::up(&folder);
    let client = Client::login(&server.url, &admin).await;
    assert!(done(&folder, &["log", "switch", "journal"]).starts_with("log  journal"));
    asked(&client, &server.url, "back again").await;
    eventually("it is read", async || (titles(&client, &server.url).await.len() == 4).then_some(())).await;
    assert!(server.stop().0.success());
}

#[tokio::test]
async fn a_rebuild_serves_on_and_tells_subscribers_to_read_anew() {
    let folder = Folder::on(Mode::Kafka);
    let server = Server::up(&folder);
    let client = Client::login(&server.url, &server.credentials("admin")).await;
    let position = asked(&client, &server.url, "one").await;
    let mut changes = Subscription::open(&client, &server.url, &position).await;
    asked(&client, &server.url, "two").await;
    assert_eq!(changes.next().await["data"]["consultationChanged"]["kind"], "requested");

    let rebuilt = done(&folder, &["rebuild", "consultation", "--from", "kafka"]);
    assert!(
        rebuilt.contains("rebuilt  consultation: 2 events") && rebuilt.contains("read_consultation_2"),
        "{rebuilt}"
    );
    let told = changes.next().await;
    assert_eq!(told["errors"][0]["extensions"]["code"], "RESYNC_REQUIRED", "{told}");
    asked(&client, &server.url, "three").await;
    let all = async || (titles(&client, &server.url).await == ["one", "three", "two"]).then_some(());
    eventually("the new tables are written", all).await;

    let list = done(&folder, &["rebuild", "--list"]);
    assert!(list.lines().any(|line| line.contains("read_consultation_2") && line.contains("live")), "{list}");
    assert!(list.lines().any(|line| line.starts_with("consultation  ") && line.contains("old")), "{list}");
    assert!(done(&folder, &["rebuild", "--drop-old", "consultation"]).starts_with("dropped  consultation 1"));
    let unknown = run(&folder, &["rebuild", "nothing"]);
    assert_eq!((unknown.status.code(), text(&unknown).trim()), (Some(2), "docket: there is no projection `nothing`"));
    assert!(server.stop().0.success());
}

#[tokio::test]
async fn a_restored_database_is_told_of_and_recovered() {
    let folder = Folder::on(Mode::Kafka);
    let server = Server::up(&folder);
    let admin = server.credentials("admin");
    let client = Client::login(&server.url, &admin).await;
    asked(&client, &server.url, "old").await;
    assert!(server.stop().0.success());
    let backup = folder.0.with_extension("backup");
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        let copied = Command::new("cp").arg("-a").args([from, to]).status().expect("cp");
        assert!(copied.success());
    };
    copy(&folder.0, &backup);

    let server = Server::up(&folder);
    let client = Client::login(&server.url, &admin).await;
    // The login is an event too.
    for n in 0..3 {
        asked(&client, &server.url, &format!("lost {n}")).await;
    }
    eventually("all is published", async || run(&folder, &["status", "--check"]).status.success().then_some(())).await;
    assert!(server.stop().0.success());
    std::fs::remove_dir_all(&folder.0).expect("removed");
    copy(&backup, &folder.0);
    std::fs::remove_dir_all(&backup).expect("removed");

    let server = Server::up(&folder);
    let check = run(&folder, &["status", "--check"]);
    assert_eq!(check.status.code(), Some(1), "{}", text(&check));
    assert!(text(&check).contains("PostgreSQL seems to have been restored"), "{}", text(&check));
    assert!(text(&check).contains("`docket recover`"), "{}", text(&check));
    let halted = async || done(&folder, &["status"]).contains("halted  consultation/").then_some(());
    eventually("the relay halts", halted).await;
    let recovered = done(&folder, &["recover"]);
    assert!(recovered.contains("recovered  4 events in"), "{recovered}");
    assert!(done(&folder, &["recover"]).starts_with("nothing to recover"));
    let client = Client::login(&server.url, &admin).await;
    asked(&client, &server.url, "new").await;
    folder.log_is_whole(Mode::Kafka).await;
    let expected = ["lost 0", "lost 1", "lost 2", "new", "old"];
    eventually("all is read", async || (titles(&client, &server.url).await == expected).then_some(())).await;
    assert!(server.stop().0.success());
}
