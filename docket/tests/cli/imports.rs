//! The real permit requests, and their numbers in all places that count them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use docket_log::{Mode, in_both_modes};
use serde_json::Value;

use super::server::{Client, Folder, Server, docket, done, eventually};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/consultations/permits.csv");

in_both_modes!(the_real_file_gives_the_same_numbers_in_all_places);

async fn the_real_file_gives_the_same_numbers_in_all_places(mode: Mode) {
    if !Path::new(FILE).exists() {
        println!("skipped: {FILE} is not there");
        return;
    }
    let folder = Folder::on(mode);
    let path = folder.0.to_str().expect("a plain path").to_owned();
    let server = Server::up(&folder);
    let client = Client::login(&server.url, &server.credentials("admin")).await;
    let endpoint = serde_json::json!({ "url": "https://hooks.invalid/", "event_types": ["consultation.*"] });
    let made = client.post(format!("{}/api/v1/webhook-endpoints", server.url), &endpoint).await;
    assert_eq!(made.status(), 201);
    kill_an_import_on_its_way(&path).await;
    let summary = done(&["import", "permits", FILE, "--data-dir", &path]);
    let counts: Vec<u64> = summary.lines().filter_map(|line| line.split_whitespace().last()?.parse().ok()).collect();
    let [cases, imported, there, outcomes @ ..] = counts.as_slice() else { panic!("{summary}") };
    assert_eq!((*cases, imported + there, outcomes), (1434, 1434, &[952, 482, 377][..]), "{summary}");
    assert!(*there > 0, "the import that was killed had written something: {summary}");

    let query = "{ consultationStats { pending responded timedOut lateAnswered } }";
    let expected = serde_json::json!({ "pending": 0, "responded": 952, "timedOut": 482, "lateAnswered": 377 });
    eventually("the read model has caught up", async || {
        let stats = client.query(&server.url, query).await["consultationStats"].clone();
        (stats == expected).then_some(())
    })
    .await;

    let mut types = Types::new();
    for line in done(&["replay", "--category", "consultation", "--data-dir", &path]).lines() {
        let event: Value = serde_json::from_str(line).expect("one JSON object a line");
        *types.entry(event["type"].as_str().expect("a type").to_owned()).or_default() += 1;
    }
    assert_numbers(&types);
    folder.log_is_whole(mode).await;
    if mode == Mode::Kafka {
        assert_numbers(&by_kcat(&folder));
        // The counts once more, from nothing but the topics.
        let rebuild = ["rebuild", "consultation_stats", "--from", "kafka"];
        let rebuilt = folder.docket(&rebuild).output().expect("the program starts");
        assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
        assert_eq!(client.query(&server.url, query).await["consultationStats"], expected);
    }

    // Nobody was told of any of it; what happens now is told.
    let live: Value = client.ask(&server.url, "Now?").await.json().await.expect("JSON");
    let told = eventually("the live one is told", async || {
        let shown = client.query(&server.url, "{ webhookDeliveries(first: 100) { nodes { consultationId } } }").await;
        let nodes = shown["webhookDeliveries"]["nodes"].as_array()?.clone();
        nodes.iter().any(|node| node["consultationId"] == live["id"]).then_some(nodes)
    })
    .await;
    assert!(told.iter().all(|node| node["consultationId"] == live["id"]), "{told:?}");
}

const GRAPH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/graph");

#[tokio::test]
async fn the_real_graph_is_imported_once_and_walked() {
    let [entities, relationships] = ["entities", "relationships"].map(|name| format!("{GRAPH}/{name}.tsv"));
    if !Path::new(&entities).exists() {
        println!("skipped: {entities} is not there");
        return;
    }
    let folder = Folder::on(Mode::Journal);
    let path = folder.0.to_str().expect("a plain path").to_owned();
    let server = Server::up(&folder);
    let client = Client::login(&server.url, &server.credentials("admin")).await;
    let import = || -> Vec<u64> {
        let summary = done(&["import", "graph", &entities, &relationships, "--data-dir", &path]);
        summary.lines().filter_map(|line| line.split_whitespace().last()?.parse().ok()).collect()
    };
    // 447 of the 109,071 lines relate something to itself.
    assert_eq!(import(), [14_308, 14_308, 0, 108_624, 108_624, 0, 447, 0]);
    assert_eq!(import(), [14_308, 0, 14_308, 108_624, 0, 108_624, 447, 0]);
    let query = "{ searchEntities(text: \"el paso\", type: \"location\", limit: 1) { name externalId relationships(limit: 1) { id } relatedEntities(depth: 2) { id } } }";
    let found = eventually("the read model has caught up", async || {
        let found = client.query(&server.url, query).await["searchEntities"][0].clone();
        let related = found["relatedEntities"].as_array().is_some_and(|all| all.len() == 100);
        related.then_some(found)
    })
    .await;
    assert_eq!(
        (&found["name"], &found["externalId"]),
        (&serde_json::json!("El Paso"), &serde_json::json!("/m/0100mt"))
    );
}

#[tokio::test]
async fn a_graph_with_broken_lines_is_imported_only_when_they_are_to_be_skipped() {
    let folder = Folder::on(Mode::Journal);
    let path = folder.0.to_str().expect("a plain path").to_owned();
    let server = Server::up(&folder);
    let [entities, relationships] =
        ["e.tsv", "r.tsv"].map(|name| folder.0.join(name).to_str().expect("a plain path").to_owned());
    std::fs::write(&entities, "id\tname\ttype\na\tA\tthing\nb\tB\nc\tC\tthing\n").expect("written");
    std::fs::write(&relationships, "source\ttype\ttarget\na\tnear\tc\na\tnear\tb\n").expect("written");
    let arguments = ["import", "graph", &entities, &relationships, "--data-dir", &path];
    let refused = docket(&arguments).output().expect("the program starts");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(said.contains("e.tsv, line 3: ") && said.contains("r.tsv, line 3: there is no entity `b`"), "{said}");
    let replayed = ["replay", "--category", "knowledge", "--data-dir", &path];
    assert_eq!(done(&replayed), "", "nothing half done");
    done(&[&arguments[..], &["--skip-bad"]].concat());
    assert_eq!(done(&replayed).lines().count(), 3);
    drop(server);
}

const ARTICLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/articles/articles.ndjson");

#[tokio::test]
async fn the_real_articles_are_imported_once_and_found() {
    if !Path::new(ARTICLES).exists() {
        println!("skipped: {ARTICLES} is not there");
        return;
    }
    let folder = Folder::on(Mode::Journal);
    let path = folder.0.to_str().expect("a plain path").to_owned();
    let server = Server::up(&folder);
    let client = Client::login(&server.url, &server.credentials("admin")).await;
    let import = || -> Vec<u64> {
        let summary = done(&["import", "articles", ARTICLES, "--data-dir", &path]);
        summary.lines().filter_map(|line| line.split_whitespace().last()?.parse().ok()).collect()
    };
    assert_eq!(import(), [2_001, 2_001, 0, 0]);
    assert_eq!(import(), [2_001, 0, 2_001, 0]);
    let query = "{ searchArticles(text: \"fraternal organizations\", limit: 3) { article { title externalId } titleMarked excerpt } }";
    let found = eventually("the read model has caught up", async || {
        let found = client.query(&server.url, query).await["searchArticles"][0].clone();
        (found["article"]["externalId"] == "Q996839").then_some(found)
    })
    .await;
    assert_eq!(found["titleMarked"], "<mark>fraternal</mark> <mark>organization</mark>");
    let broken = folder.0.join("broken.ndjson");
    std::fs::write(&broken, "{\"id\":\"x\",\"title\":\"X\",\"topics\":[\"none\"]}\n{\n").expect("written");
    let broken = broken.to_str().expect("a plain path");
    let refused = docket(&["import", "articles", broken, "--data-dir", &path]).output().expect("the program starts");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(said.contains("line 1: there is no topic `none`") && said.contains("line 2: "), "{said}");
}

/// How many events there are of each type.
type Types = BTreeMap<String, u64>;

fn assert_numbers(types: &Types) {
    let count = |kind: &str| types[&format!("docket.consultation.{kind}.v1")];
    assert_eq!(["requested", "responded", "timed_out", "late_response_recorded"].map(count), [1434, 952, 482, 377]);
    assert_eq!(count("commented"), 8577);
}

/// The same, read from the topic by another program than ours. A message that repeats an event counts once.
fn by_kcat(folder: &Folder) -> Types {
    let (brokers, prefix) = (folder.setting("KAFKA_BROKERS"), folder.setting("DOCKET_KAFKA_TOPIC_PREFIX"));
    let topic = format!("{prefix}.consultation");
    let read = ["-C", "-q", "-e", "-b", &brokers, "-t", &topic, "-o", "beginning", "-f", "%h\n"];
    let output = Command::new("kcat").args(read).output().expect("kcat, which script/bootstrap test installs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (mut types, mut seen) = (Types::new(), BTreeSet::new());
    for line in String::from_utf8(output.stdout).expect("UTF-8").lines() {
        let header = |name: &str| line.split(',').find_map(|header| header.strip_prefix(name)).expect(name).to_owned();
        if seen.insert(header("ce_id=")) {
            *types.entry(header("ce_type=")).or_default() += 1;
        }
    }
    types
}

/// Starts an import, and kills it once something of it stands on the log.
async fn kill_an_import_on_its_way(path: &str) {
    let mut import = docket(&["import", "permits", FILE, "--data-dir", path]).spawn().expect("it starts");
    let stands = ["replay", "--data-dir", path, "--type", "docket.consultation.requested.v1"];
    eventually("something is imported", async || (!done(&stands).is_empty()).then_some(())).await;
    // It may have come to its end just now.
    let _ = import.kill();
    import.wait().expect("it ends");
}
