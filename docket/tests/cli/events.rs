//! The feed of events, read on while everything happens, and over a restart.

use std::collections::BTreeSet;

use docket_log::Mode;
use serde_json::Value;

use super::server::{Client, Folder, Server, eventually};

/// A reader that keeps its place, as a file would.
struct Reader {
    client: Client,
    since: Option<String>,
    seen: Vec<Value>,
}

impl Reader {
    /// Reads on; answers how many events came.
    async fn read(&mut self, server: &Server, wait: u32) -> usize {
        let since = self.since.iter().map(|since| format!("&since={since}")).collect::<String>();
        let url = format!("{}/api/v1/events?wait={wait}{since}", server.url);
        let response = self.client.get(url).await;
        assert_eq!(response.status().as_u16(), 200);
        self.since = response.headers()["docket-position"].to_str().ok().map(str::to_owned);
        let text = response.text().await.expect("text");
        let events = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        let before = self.seen.len();
        self.seen.extend(events);
        self.seen.len() - before
    }

    fn kinds(&self) -> BTreeSet<&str> {
        self.seen.iter().filter_map(|event| event["type"].as_str()?.split('.').nth(2)).collect()
    }
}

fn place(event: &Value) -> (String, u64, String) {
    let category = event["subject"].as_str().and_then(|subject| subject.split_once('-')).expect("a stream").0;
    let sequence = event["sequence"].as_str().expect("text").parse().expect("a number");
    (format!("{category}/{}", event["shard"]), sequence, event["id"].to_string())
}

async fn an_organisation_is_told_its_own_events_once_and_in_order(mode: Mode) {
    let folder = Folder::on(mode);
    let server = Server::up(&folder);
    let client = Client::login(&server.url, &server.credentials("admin")).await;
    let mut reader = Reader { client, since: None, seen: Vec::new() };
    let mut demo = folder.docket(&["demo", "--url", &server.url]);
    let demo = tokio::task::spawn_blocking(move || demo.output().expect("it starts"));
    while !demo.is_finished() {
        reader.read(&server, 1).await;
    }
    assert!(demo.await.expect("no panic").status.success());
    let tenant = reader.seen[0]["tenant"].clone();
    // What the log has of the organisation, shard by shard.
    let told = async |reader: &mut Reader, server: &Server| {
        let replayed = folder.docket(&["replay"]).output().expect("it starts");
        let lines = String::from_utf8(replayed.stdout).expect("UTF-8");
        let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let mut logged: Vec<_> = events.filter(|event| event["tenant"] == tenant).map(|event| place(&event)).collect();
        while reader.read(server, 0).await > 0 {}
        let mut seen: Vec<_> = reader.seen.iter().map(place).collect();
        // Shards are told beside each other, and each in its order.
        seen.sort_by(|one, next| one.0.cmp(&next.0));
        assert!(seen.is_sorted_by(|one, next| one.0 != next.0 || one.1 < next.1), "{seen:?}");
        logged.sort();
        seen.sort();
        (seen == logged).then_some(())
    };
    eventually("all of it is told", async || told(&mut reader, &server).await).await;
    for kind in
        ["organisation_created", "requested", "responded", "timed_out", "late_response_recorded", "member_removed"]
    {
        assert!(reader.kinds().contains(kind), "{kind} is not among {:?}", reader.kinds());
    }
    let text = serde_json::to_string(&reader.seen).expect("JSON");
    assert!(text.contains("Ada") && !text.contains("$personal"), "names are in clear");
    assert!(server.stop().0.success());
    let server = Server::up(&folder);
    let before = reader.seen.len();
    assert_eq!(reader.read(&server, 0).await, 0, "it was told before the restart");
    let consultation = serde_json::json!({ "title": "Behind the restart?" });
    let asked = reader.client.post(format!("{}/api/v1/consultations", server.url), &consultation).await;
    assert_eq!(asked.status().as_u16(), 201);
    while !reader.seen[before..].iter().any(|event| event["data"]["title"] == "Behind the restart?") {
        reader.read(&server, 60).await;
    }
    eventually("the rest is told", async || told(&mut reader, &server).await).await;
    assert!(server.stop().0.success());
}

mod in_the_journal {
    #[tokio::test]
    async fn an_organisation_is_told_its_own_events_once_and_in_order() {
        super::an_organisation_is_told_its_own_events_once_and_in_order(super::Mode::Journal).await;
    }
}

mod in_kafka {
    #[tokio::test]
    async fn an_organisation_is_told_its_own_events_once_and_in_order() {
        super::an_organisation_is_told_its_own_events_once_and_in_order(super::Mode::Kafka).await;
    }
}
